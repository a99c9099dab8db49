// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/route_plan.h"

#include <linux/rtnetlink.h>

#include <algorithm>
#include <utility>

namespace margay::kernel {
namespace {

bool by_gateway(const Route& route)
{
    return std::any_of(route.hops.begin(), route.hops.end(),
                       [](const NextHop& hop) { return hop.gateway != Ipv4{}; });
}

} // namespace

bool RoutePlan::is_ours(const Route& route) const
{
    if (route.protocol == kProtocolMargay)
        return true;
    return route.protocol == kProtocolWorkload && route.destination.length == 32 &&
           route.scope == RT_SCOPE_LINK && route.hops.size() == 1 &&
           is_workload_(route.hops[0].ifindex);
}

// --- Wanted -------------------------------------------------------------------------------------

void RoutePlan::want(Route route)
{
    const RouteKey key = route.key();
    kept_.erase(key);
    const auto [entry, fresh] = wanted_.try_emplace(key, route);
    if (!fresh) {
        if (entry->second == route)
            return;
        entry->second = std::move(route);
        parked_.erase(key); // another value may be taken
    }
    judge(key);
}

void RoutePlan::unwant(const RouteKey& key)
{
    if (wanted_.erase(key) == 0)
        return;
    parked_.erase(key);
    resolve(key);
    judge(key);
}

void RoutePlan::unwant_all()
{
    while (!wanted_.empty()) {
        const RouteKey key = wanted_.begin()->first; // a copy: the entry goes first
        unwant(key);
    }
}

void RoutePlan::allow_removals(Keep keep)
{
    removals_allowed_ = true;
    for (const RouteKey& key : std::exchange(kept_, {}))
        judge(key);
    if (keep == Keep::Nothing)
        return;
    for (const RouteKey& key : stale_)
        if (by_gateway(actual_.at(key)))
            kept_.insert(key);
    for (const RouteKey& key : kept_)
        stale_.erase(key);
}

// --- The kernel ---------------------------------------------------------------------------------

void RoutePlan::learn(const Route& route, bool replaces, const std::string& by)
{
    const RouteKey key = route.key();
    if (is_ours(route)) {
        const auto present = actual_.find(key);
        if (replaces && present == actual_.end())
            foreign_.erase(key); // what it replaced
        actual_[key] = route;
        const auto wanted = wanted_.find(key);
        if (replaces && wanted != wanted_.end() && wanted->second != route)
            strike(key, by);
    } else {
        learn_foreign(route, replaces, by);
    }
    judge(key);
}

void RoutePlan::learn_foreign(const Route& route, bool replaces, const std::string& by)
{
    const RouteKey key = route.key();
    Foreign& foreign = foreign_[key];
    foreign.protocol = route.protocol;
    if (replaces && actual_.erase(key) > 0) {
        ++foreign.count;
        if (wanted_.contains(key))
            strike(key, by);
    } else if (!replaces || foreign.count == 0) {
        ++foreign.count;
    }
}

void RoutePlan::forget(const Route& route, const std::string& by)
{
    const RouteKey key = route.key();
    const auto present = actual_.find(key);
    if (present != actual_.end() && present->second == route) {
        actual_.erase(present);
        if (wanted_.contains(key))
            strike(key, by);
    } else if (!is_ours(route)) {
        const auto foreign = foreign_.find(key);
        if (foreign != foreign_.end() && --foreign->second.count <= 0)
            foreign_.erase(foreign);
    }
    judge(key);
}

void RoutePlan::resync(const std::vector<Route>& present)
{
    std::set<RouteKey> touched;
    for (const auto& [key, route] : actual_)
        touched.insert(key);
    for (const auto& [key, route] : wanted_)
        touched.insert(key);
    actual_.clear();
    foreign_.clear();
    for (const Route& route : present) {
        if (is_ours(route)) {
            actual_[route.key()] = route;
            touched.insert(route.key());
        } else {
            Foreign& foreign = foreign_[route.key()];
            foreign.protocol = route.protocol;
            ++foreign.count;
        }
    }
    for (const RouteKey& key : touched)
        judge(key);
}

// --- Deciding -----------------------------------------------------------------------------------

// Puts a key into the sets where it belongs now.
void RoutePlan::judge(const RouteKey& key)
{
    due_.erase(key);
    stale_.erase(key);
    const auto actual = actual_.find(key);
    const auto wanted = wanted_.find(key);
    if (wanted == wanted_.end()) {
        if (actual != actual_.end() && !parked_.contains(key) && !kept_.contains(key))
            stale_.insert(key);
        return;
    }
    const bool blocked = judge_conflict(wanted->second);
    if (actual != actual_.end() && actual->second == wanted->second) {
        parked_.erase(key);
        reported_.erase({RouteReport::Kind::Refused, key});
        return;
    }
    if (!blocked && !parked_.contains(key))
        due_.insert(key);
}

// A foreign route for the same destination either shadows ours (smaller metric) or stands in its
// place (same metric). Returns the latter.
bool RoutePlan::judge_conflict(const Route& route)
{
    const RouteKey key = route.key();
    const auto foreign = foreign_.lower_bound({key.destination, 0});
    if (foreign == foreign_.end() || foreign->first.destination != key.destination ||
        foreign->first.metric > key.metric) {
        reported_.erase({RouteReport::Kind::Conflict, key});
        return false;
    }
    report(RouteReport::Kind::Conflict, route,
           "a route of protocol " + std::to_string(foreign->second.protocol) + " with metric " +
               std::to_string(foreign->first.metric) + " has precedence over " + route.str());
    return foreign_.contains(key);
}

std::vector<RouteOperation> RoutePlan::next(std::size_t budget) const
{
    using Kind = RouteOperation::Kind;
    std::vector<RouteOperation> operations;
    for (const RouteKey& key : due_) {
        if (operations.size() >= budget)
            return operations;
        const Kind kind = actual_.contains(key) ? Kind::Replace : Kind::Add;
        operations.push_back({kind, wanted_.at(key)});
    }
    if (!removals_allowed_)
        return operations;
    for (const RouteKey& key : stale_) {
        if (operations.size() >= budget)
            return operations;
        operations.push_back({Kind::Remove, actual_.at(key)});
    }
    return operations;
}

void RoutePlan::done(const RouteOperation& operation)
{
    const RouteKey key = operation.route.key();
    if (operation.kind == RouteOperation::Kind::Remove)
        actual_.erase(key);
    else
        actual_[key] = operation.route;
    judge(key);
}

void RoutePlan::failed(const RouteOperation& operation, const Error& error)
{
    const RouteKey key = operation.route.key();
    if (operation.kind == RouteOperation::Kind::Remove && error.code == Errc::NotFound) {
        done(operation); // gone with its interface, or by somebody's hand
        return;
    }
    // A route we did not know of: the dump that the caller now makes will tell whose it is.
    if (error.code == Errc::Exists && ++strikes_[key] < kStrikes)
        return;
    report(RouteReport::Kind::Refused, operation.route, error.what);
    park(key);
}

void RoutePlan::retry()
{
    strikes_.clear();
    const std::set<RouteKey> parked = std::exchange(parked_, {});
    for (const RouteKey& key : parked)
        judge(key);
}

void RoutePlan::park(const RouteKey& key)
{
    parked_.insert(key);
    due_.erase(key);
    stale_.erase(key);
}

// Somebody took a wanted route away. Nobody named: the kernel, along with an interface.
void RoutePlan::strike(const RouteKey& key, const std::string& by)
{
    if (by.empty())
        return;
    const Route& route = wanted_.at(key);
    report(RouteReport::Kind::RemovedByOther, route, by + " took away " + route.str());
    if (++strikes_[key] >= kStrikes)
        park(key);
}

// --- Reports ------------------------------------------------------------------------------------

void RoutePlan::report(RouteReport::Kind kind, const Route& route, std::string text)
{
    if (reported_.insert({kind, route.key()}).second)
        reports_.push_back({kind, route, std::move(text)});
}

void RoutePlan::resolve(const RouteKey& key)
{
    using Kind = RouteReport::Kind;
    strikes_.erase(key);
    for (const Kind kind : {Kind::Conflict, Kind::RemovedByOther, Kind::Refused})
        reported_.erase({kind, key});
}

std::vector<RouteReport> RoutePlan::take_reports()
{
    return std::exchange(reports_, {});
}

} // namespace margay::kernel
