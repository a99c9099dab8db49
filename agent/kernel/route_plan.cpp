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

bool leads_by(const Route& route, const std::set<IfIndex>& interfaces)
{
    return std::any_of(route.hops.begin(), route.hops.end(),
                       [&](const NextHop& hop) { return interfaces.contains(hop.ifindex); });
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

// --- Entries ------------------------------------------------------------------------------------

RoutePlan::Entry& RoutePlan::entry(const RouteKey& key)
{
    return entries_.try_emplace(key, key).first->second;
}

RoutePlan::Places* RoutePlan::list_of(Place place)
{
    switch (place) {
    case Place::Settled:
        return nullptr;
    case Place::Due:
        return &due_;
    case Place::InFlight:
        return &in_flight_;
    case Place::Stale:
        return &stale_;
    case Place::Kept:
        return &kept_;
    case Place::Parked:
        return &parked_;
    }
    return nullptr;
}

void RoutePlan::move(Entry& entry, Place place)
{
    if (entry.place == place)
        return;
    if (Places* from = list_of(entry.place))
        from->erase(from->iterator_to(entry));
    entry.place = place;
    if (Places* to = list_of(place))
        to->push_back(entry);
}

void RoutePlan::set_present(Entry& entry, const Route& route)
{
    if (entry.present)
        present_.erase(present_.iterator_to(entry));
    if (entry.present != route)
        entry.present = route;
    entry.seen = resync_;
    present_.push_back(entry);
}

void RoutePlan::set_absent(Entry& entry)
{
    if (!entry.present)
        return;
    present_.erase(present_.iterator_to(entry));
    entry.present.reset();
}

void RoutePlan::drop(Entry& entry)
{
    move(entry, Place::Settled);
    entries_.erase(RouteKey(entry.key)); // by a copy: the key goes with it
}

const Route* RoutePlan::find(const RouteKey& key) const
{
    const auto known = entries_.find(key);
    return known != entries_.end() && known->second.present ? &*known->second.present : nullptr;
}

bool RoutePlan::in_flight(const RouteKey& key) const
{
    const auto known = entries_.find(key);
    return known != entries_.end() && known->second.place == Place::InFlight;
}

// What is in flight may have been made before the loss.
bool RoutePlan::any_by(const std::set<IfIndex>& interfaces) const
{
    return std::any_of(present_.begin(), present_.end(),
                       [&](const Entry& entry) { return leads_by(*entry.present, interfaces); }) ||
           std::any_of(in_flight_.begin(), in_flight_.end(), [&](const Entry& entry) {
               return entry.changed || (entry.wanted && leads_by(*entry.wanted, interfaces));
           });
}

bool RoutePlan::any_conflict() const
{
    return std::any_of(reported_.begin(), reported_.end(), [](const auto& reported) {
        return reported.first == RouteReport::Kind::Conflict;
    });
}

// --- Wanted -------------------------------------------------------------------------------------

void RoutePlan::want(Route route)
{
    Entry& wanted = entry(route.key());
    if (wanted.wanted != route) {
        wanted.wanted = std::move(route);
        wanted.changed = true;
        if (wanted.place == Place::Parked) // another value may be taken
            move(wanted, Place::Settled);
    }
    judge(wanted);
}

void RoutePlan::unwant(const RouteKey& key)
{
    const auto known = entries_.find(key);
    if (known == entries_.end() || !known->second.wanted)
        return;
    Entry& entry = known->second;
    entry.wanted.reset();
    entry.changed = true;
    if (entry.place == Place::Parked)
        move(entry, Place::Settled);
    resolve(entry.key);
    judge(entry);
}

void RoutePlan::unwant_all()
{
    std::vector<RouteKey> keys;
    for (const auto& [key, entry] : entries_)
        if (entry.wanted)
            keys.push_back(key);
    for (const RouteKey& key : keys)
        unwant(key);
}

void RoutePlan::allow_removals(Keep keep)
{
    removals_allowed_ = true;
    while (!kept_.empty())
        move(kept_.front(), Place::Stale);
    if (keep == Keep::Nothing)
        return;
    for (auto it = stale_.begin(); it != stale_.end();) {
        Entry& stale = *it++;
        if (by_gateway(*stale.present))
            move(stale, Place::Kept);
    }
}

// --- The kernel ---------------------------------------------------------------------------------

void RoutePlan::learn(const Route& route, bool replaces, const std::string& by)
{
    const RouteKey key = route.key();
    doubtful_ |= in_flight(key); // before or after what we are just doing there?
    if (!is_ours(route)) {
        learn_foreign(route, replaces, by);
        judge(key);
        return;
    }
    Entry& learned = entry(key);
    if (replaces && !learned.present)
        foreign_.erase(learned.key); // what it replaced
    // Hardly two with one key, and ours may have been made after this one.
    doubtful_ |= foreign_.contains(key) || (learned.present && learned.present != route);
    set_present(learned, route);
    if (replaces && learned.wanted && learned.wanted != route)
        strike(learned, by);
    judge(learned);
}

void RoutePlan::learn_foreign(const Route& route, bool replaces, const std::string& by)
{
    const RouteKey key = route.key();
    Foreign& foreign = foreign_[key];
    foreign.protocol = route.protocol;
    const auto ours = entries_.find(key);
    if (replaces && ours != entries_.end() && ours->second.present) {
        set_absent(ours->second);
        doubtful_ = true; // or ours replaced it since
        ++foreign.count;
        if (ours->second.wanted)
            strike(ours->second, by);
    } else if (!replaces || foreign.count == 0) {
        ++foreign.count;
    }
    doubtful_ |= find(key) != nullptr; // hardly two with one key
}

void RoutePlan::forget(const Route& route, const std::string& by)
{
    const RouteKey key = route.key();
    doubtful_ |= in_flight(key);
    const auto ours = entries_.find(key);
    if (ours != entries_.end() && ours->second.present == route) {
        set_absent(ours->second);
        if (ours->second.wanted)
            strike(ours->second, by); // put back: the kernel says if it is there
        else
            doubtful_ = true; // it may have been put back since, and nobody would look for it
    } else if (!is_ours(route)) {
        const auto foreign = foreign_.find(key);
        if (foreign != foreign_.end() && --foreign->second.count <= 0)
            foreign_.erase(foreign);
    }
    // Hardly one of several: it was listed first and told after, and counted twice.
    doubtful_ |= foreign_.contains(key);
    judge(key);
}

void RoutePlan::lose(const std::set<IfIndex>& interfaces)
{
    if (interfaces.empty())
        return;
    foreign_doubtful_ = true;
    doubtful_ |= any_conflict() || any_by(interfaces);
}

void RoutePlan::begin_resync()
{
    ++resync_;
    doubtful_ = foreign_doubtful_ = false;
    foreign_now_.clear();
}

void RoutePlan::present(const Route& route)
{
    if (is_ours(route)) {
        Entry& ours = entry(route.key());
        set_present(ours, route);
        judge(ours);
        return;
    }
    Foreign& foreign = foreign_now_[route.key()];
    foreign.protocol = route.protocol;
    ++foreign.count;
}

void RoutePlan::end_resync()
{
    const bool others = foreign_ != foreign_now_;
    foreign_ = std::exchange(foreign_now_, {});
    while (!present_.empty() && present_.front().seen != resync_) {
        Entry& gone = present_.front();
        set_absent(gone);
        judge(gone);
    }
    if (!others)
        return;
    for (auto& [key, entry] : entries_)
        if (entry.wanted) // then it is not dropped
            judge(entry);
}

// --- Deciding -----------------------------------------------------------------------------------

// Puts an entry where it belongs now, or drops one that nobody needs any more.
void RoutePlan::judge(Entry& entry)
{
    if (entry.place == Place::InFlight)
        return; // when it has been answered
    if (!entry.wanted) {
        if (!entry.present)
            drop(entry);
        else if (entry.place != Place::Parked && entry.place != Place::Kept)
            move(entry, Place::Stale);
        return;
    }
    const bool blocked = judge_conflict(*entry.wanted);
    doubtful_ |= blocked && foreign_doubtful_;
    if (entry.present == entry.wanted) {
        reported_.erase({RouteReport::Kind::Refused, entry.key});
        move(entry, Place::Settled);
    } else if (entry.place != Place::Parked) {
        move(entry, blocked ? Place::Settled : Place::Due);
    }
}

void RoutePlan::judge(const RouteKey& key)
{
    if (const auto known = entries_.find(key); known != entries_.end())
        judge(known->second);
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

std::vector<RouteOperation> RoutePlan::next(std::size_t budget)
{
    using Kind = RouteOperation::Kind;
    std::vector<RouteOperation> operations;
    operations.reserve(std::min(budget, due()));
    while (operations.size() < budget && !due_.empty()) {
        Entry& due = due_.front();
        operations.push_back({due.present ? Kind::Replace : Kind::Add, *due.wanted});
        depart(due);
    }
    while (removals_allowed_ && operations.size() < budget && !stale_.empty()) {
        Entry& stale = stale_.front();
        operations.push_back({Kind::Remove, *stale.present});
        depart(stale);
    }
    return operations;
}

void RoutePlan::depart(Entry& entry)
{
    entry.retried = entry.changed = false;
    move(entry, Place::InFlight);
}

void RoutePlan::land(Entry& entry)
{
    move(entry, Place::Settled);
    judge(entry);
}

void RoutePlan::done(const RouteOperation& operation)
{
    Entry& entry = this->entry(operation.route.key());
    if (operation.kind == RouteOperation::Kind::Remove)
        set_absent(entry);
    else
        set_present(entry, operation.route);
    land(entry);
}

void RoutePlan::failed(const RouteOperation& operation, const Error& error)
{
    const bool remove = operation.kind == RouteOperation::Kind::Remove;
    if (remove && error.code == Errc::NotFound) {
        done(operation); // gone with its interface, or by somebody's hand
        return;
    }
    Entry& entry = this->entry(operation.route.key());
    const bool still_asked_for = remove ? !entry.wanted : entry.wanted == operation.route;
    doubtful_ |= error.code == Errc::Exists; // a route we did not know of: whose is it?
    if (!still_asked_for || entry.retried) {
        land(entry);
        return;
    }
    if (error.code == Errc::Exists && ++strikes_[entry.key] < kStrikes) {
        land(entry);
        return;
    }
    report(RouteReport::Kind::Refused, operation.route, error.what);
    move(entry, Place::Parked);
}

void RoutePlan::unknown(const RouteOperation& operation)
{
    doubt();
    land(entry(operation.route.key()));
}

void RoutePlan::retry()
{
    strikes_.clear();
    for (Entry& entry : in_flight_) // it may be refused for what no longer holds
        entry.retried = true;
    while (!parked_.empty())
        land(parked_.front());
}

// Somebody took a wanted route away. Nobody named: the kernel, along with an interface.
void RoutePlan::strike(Entry& entry, const std::string& by)
{
    if (by.empty())
        return;
    report(RouteReport::Kind::RemovedByOther, *entry.wanted,
           by + " took away " + entry.wanted->str());
    if (++strikes_[entry.key] >= kStrikes && entry.place != Place::InFlight)
        move(entry, Place::Parked);
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
