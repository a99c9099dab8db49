// SPDX-License-Identifier: Apache-2.0
// RoutePlan: which routes are wanted, which are there, and the operations that close the gap.
//
// Pure: it is told what the kernel holds (learn, forget) and how its operations went, and decides.
// Rules:
//  1. Ours are routes of protocol 80, and /32 routes of protocol 3 with scope link on a workload
//     interface, whatever their metric (it is a setting, and 0 when a CNI plugin made them).
//     Everything else is foreign and never changed.
//  2. A foreign route with a wanted key is a conflict: reported, not fought; ours goes in when it
//     has left. So a present key is replaced only when the present route is ours.
//  3. Adds come before removals, so that traffic never falls through a hole in between.
//  4. Removals of what nobody wants begin only after allow_removals(): until the datastore is in
//     sync "not wanted" may mean "not known yet".
//  5. A route that somebody removes is put back at once; after kStrikes times only at the next
//     retry, so that two daemons never fight at full speed.

#pragma once

#include "agent/kernel/route.h"

#include <cstddef>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace margay::kernel {

struct RouteOperation {
    enum class Kind { Add, Replace, Remove };
    Kind kind;
    Route route;
};

// Something a person should read once. Each (kind, route) is reported once until it is resolved.
struct RouteReport {
    enum class Kind {
        Conflict,      // a foreign route has the key of a wanted one
        RemovedByOther, // somebody else removed or replaced a route of ours
        Refused,       // the kernel does not take a wanted route
    };
    Kind kind;
    Route route;
    std::string text;
};

class RoutePlan {
public:
    using IsWorkload = std::function<bool(IfIndex)>;
    static constexpr int kStrikes = 3;

    // What an earlier run left and nobody has wanted: all of it is stale, or the routes by other
    // nodes are kept, because BGP has not told yet which of them it has (RFC 4724).
    enum class Keep { Nothing, ByGateway };

    explicit RoutePlan(IsWorkload is_workload) : is_workload_(std::move(is_workload)) {}

    // Wanted.
    void want(Route route);
    void unwant(const RouteKey& key);
    void unwant_all();
    void allow_removals(Keep keep = Keep::Nothing);

    // What the kernel says. `by` names who did it, for the report; empty: the kernel itself.
    void learn(const Route& route, bool replaces, const std::string& by);
    void forget(const Route& route, const std::string& by);
    // A complete dump.
    void resync(const std::vector<Route>& present);

    // The next operations, at most `budget`. Each must be answered by done() or failed() before
    // the next call.
    std::vector<RouteOperation> next(std::size_t budget) const;
    void done(const RouteOperation& operation);
    void failed(const RouteOperation& operation, const Error& error);
    // Failed and fought-over routes are due again (an interface came up, the timer fired).
    void retry();

    std::size_t pending() const { return due_.size() + (removals_allowed_ ? stale_.size() : 0); }
    std::size_t parked() const { return parked_.size(); }
    std::size_t wanted() const { return wanted_.size(); }
    const std::map<RouteKey, Route>& actual() const { return actual_; }
    std::vector<RouteReport> take_reports();

private:
    bool is_ours(const Route& route) const;
    void learn_foreign(const Route& route, bool replaces, const std::string& by);
    void judge(const RouteKey& key);
    bool judge_conflict(const Route& route);
    void park(const RouteKey& key);
    void report(RouteReport::Kind kind, const Route& route, std::string text);
    void resolve(const RouteKey& key);
    void strike(const RouteKey& key, const std::string& by);

    IsWorkload is_workload_;
    bool removals_allowed_ = false;
    std::map<RouteKey, Route> wanted_;
    std::map<RouteKey, Route> actual_; // ours, as the kernel acknowledged or told them
    struct Foreign {
        std::uint8_t protocol = 0; // of the latest
        int count = 0; // `ip route append` makes several with one key
    };
    std::map<RouteKey, Foreign> foreign_;
    std::set<RouteKey> due_; // wanted and not actual
    std::set<RouteKey> stale_; // actual and not wanted
    std::set<RouteKey> kept_; // as stale_, but to be kept for now
    std::set<RouteKey> parked_; // due, but not before retry()
    std::map<RouteKey, int> strikes_;
    std::set<std::pair<RouteReport::Kind, RouteKey>> reported_;
    std::vector<RouteReport> reports_;
};

} // namespace margay::kernel
