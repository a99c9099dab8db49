// SPDX-License-Identifier: Apache-2.0
// RouteTable: the routes that Margay keeps in the kernel's main table.
//
// want() and unwant() state what should be there and touch memory only; flush() makes at most
// `budget` changes, in batches of one system call. The rules (what is ours, conflicts, order,
// removals only in sync) stand in route_plan.h. Kernel events keep the picture true: a link that
// goes down takes its routes without a message, so link and address events cause a fresh dump.

#pragma once

#include "agent/kernel/route_plan.h"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>

namespace margay::kernel {

class RouteTable {
public:
    struct Callbacks {
        std::function<bool(const std::string&)> is_workload; // by interface name
        std::function<void()> on_pending; // the kernel changed, or a retry is due: flush() please
        std::function<void(const RouteReport&)> on_report;
    };

    RouteTable(Executor& executor, Callbacks callbacks);

    // Subscribes and adopts what a previous run left.
    Status start();

    void want(Route route) { plan_.want(std::move(route)); }
    void unwant(const RouteKey& key) { plan_.unwant(key); }
    // The datastore is in sync: what is not wanted now is stale, but for what is to be kept.
    void allow_removals(RoutePlan::Keep keep = RoutePlan::Keep::Nothing)
    {
        plan_.allow_removals(keep);
    }
    // --cleanup: nothing is wanted; flush until nothing is pending.
    void remove_all();

    // Makes at most `budget` changes and returns what is still pending. What the kernel refused is
    // reported, and due again after a back-off or when interfaces change. An Error means that the
    // kernel could not be asked at all.
    Result<std::size_t> flush(std::size_t budget);

    std::size_t pending() const { return plan_.pending(); }
    std::size_t parked() const { return plan_.parked(); } // refused or fought over, due later
    const std::map<RouteKey, Route>& actual() const { return plan_.actual(); }

private:
    void on_message(const nlmsghdr* message);
    void on_route(const Route& route, const nlmsghdr* message);
    void on_link(const Link& link, bool gone);
    void on_turn();
    Status resync();
    Status run(const std::vector<RouteOperation>& operations);
    void settle();

    Executor& executor_;
    Callbacks callbacks_;
    // Known here and not asked elsewhere: this socket tells of an interface before it tells of the
    // routes on it, another one might be late, and the route be taken for a foreign one.
    std::set<IfIndex> workloads_;
    RoutePlan plan_;
    std::optional<NetlinkSocket> socket_;
    std::unique_ptr<NetlinkMonitor> monitor_;
    std::set<IfIndex> lost_; // interfaces that went down or away in this turn
    bool gained_ = false; // an interface came up or an address appeared
    bool stale_picture_ = false; // the table must be dumped again
    Timer retry_;
    std::chrono::milliseconds back_off_;
};

} // namespace margay::kernel
