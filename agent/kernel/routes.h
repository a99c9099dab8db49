// SPDX-License-Identifier: Apache-2.0
// RouteTable: the routes of one family that Margay keeps in the kernel's main table.
//
// want() and unwant() state what should be there and touch memory only; flush() has the changes
// made, on a thread of its own (route_writer.h) and in order. The rules (what is ours, conflicts,
// order, removals only in sync) stand in route_plan.h. Kernel events keep the picture true: a link
// that goes down takes its routes without a message, so link and address events cause a fresh
// dump. While a dump goes on, events wait in their socket and nothing is changed.

#pragma once

#include "agent/kernel/route_plan.h"
#include "agent/kernel/route_writer.h"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>

namespace margay::kernel {

template <typename P>
class RouteTableOf {
public:
    using Route = RouteOf<P>;
    using RouteOperation = RouteOperationOf<P>;

    struct Callbacks {
        std::function<bool(const std::string&)> is_workload; // by interface name
        std::function<void()> on_settled; // nothing is pending any more
        std::function<void(const RouteReportOf<P>&)> on_report;
        // A route to this prefix was changed: by us, or by anybody in any table. Of a change that was
        // missed nobody knows the prefix.
        std::function<void(const P&)> on_change;
        std::function<void()> on_missed;
        // Why the kernel cannot be asked at all, empty: it can again.
        std::function<void(const std::string&)> on_trouble;
    };

    RouteTableOf(Executor& executor, Callbacks callbacks);

    // Subscribes and adopts what a previous run left.
    Status start();

    void want(Route route) { plan_.want(std::move(route)); }
    void unwant(const RouteKeyOf<P>& key) { plan_.unwant(key); }
    // The datastore is in sync: what is not wanted now is stale, but for what is to be kept.
    void allow_removals(Keep keep = Keep::Nothing) { plan_.allow_removals(keep); }
    // --cleanup: nothing is wanted; flush until nothing is pending.
    void remove_all();

    // Has changes made, as many as may be in flight; the others follow by themselves. What the
    // kernel refuses is reported, and due again after a back-off or when interfaces change.
    void flush();

    std::size_t pending() const { return plan_.pending(); }
    std::size_t parked() const { return plan_.parked(); } // refused or fought over, due later
    std::size_t present_count() const { return plan_.present_count(); } // ours

private:
    void on_message(const nlmsghdr* message);
    void on_route(const Route& route, const nlmsghdr* message);
    void on_link(const Link& link, bool gone);
    void on_overrun();
    Status read_workloads();
    void on_turn();
    void on_written(const std::vector<RouteOperation>& operations,
                    const Result<std::vector<Refusal>>& refusals);
    void tell_written(const std::vector<RouteOperation>& operations);
    void on_listed(const Status& status);
    void resync();
    void suspend(const Error& error);
    void settle();

    Executor& executor_;
    Callbacks callbacks_;
    // Known here and not asked elsewhere: this socket tells of an interface before it tells of the
    // routes on it, another one might be late, and the route be taken for a foreign one.
    std::set<IfIndex> workloads_;
    RoutePlanOf<P> plan_;
    std::unique_ptr<RouteWriterOf<P>> writer_;
    std::unique_ptr<NetlinkMonitor> monitor_;
    std::set<IfIndex> lost_; // interfaces that went down or away in this turn
    bool gained_ = false; // an interface came up or an address appeared
    bool listing_ = false; // the table is dumped
    bool suspended_ = false; // the kernel could not be asked: until retry_
    bool busy_ = false; // on_settled is owed
    Timer retry_;
    std::chrono::milliseconds back_off_;
};
using RouteTable = RouteTableOf<Prefix4>;
using RouteTable6 = RouteTableOf<Prefix6>;

} // namespace margay::kernel
