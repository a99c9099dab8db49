// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/route_plan.h"

#include <linux/rtnetlink.h>

#include <algorithm>
#include <utility>

namespace margay::kernel {
namespace {

template <typename P>
bool by_gateway(const RouteOf<P>& route)
{
    return std::any_of(route.hops.begin(), route.hops.end(),
                       [](const auto& hop) { return !hop.gateway.is_zero(); });
}

template <typename P>
bool leads_by(const RouteOf<P>& route, const std::set<IfIndex>& interfaces)
{
    return std::any_of(route.hops.begin(), route.hops.end(),
                       [&](const auto& hop) { return interfaces.contains(hop.ifindex); });
}

// A route less some of its next hops, which IPv6 adds and removes one by one; nothing, where `part` is
// none of it or all.
template <typename P>
std::optional<RouteOf<P>> less(RouteOf<P> route, const RouteOf<P>& part)
{
    const std::size_t before = route.hops.size();
    for (const auto& hop : part.hops)
        route.hops.erase(std::remove(route.hops.begin(), route.hops.end(), hop), route.hops.end());
    const bool is_part = part.protocol == route.protocol && part.metric == route.metric &&
                         !part.hops.empty() && !route.hops.empty() &&
                         before == route.hops.size() + part.hops.size();
    return is_part ? std::optional(std::move(route)) : std::nullopt;
}

} // namespace

template <typename P>
bool RoutePlanOf<P>::is_ours(const Route& route) const
{
    if (route.protocol == kProtocolMargay)
        return true;
    return route.protocol == kProtocolWorkload && route.destination.length == P::Address::kBits &&
           route.scope == RT_SCOPE_LINK && route.hops.size() == 1 &&
           is_workload_(route.hops[0].ifindex);
}

// --- Entries ------------------------------------------------------------------------------------

template <typename P>
typename RoutePlanOf<P>::Entry& RoutePlanOf<P>::entry(const Key& key)
{
    return entries_.try_emplace(key, key).first->second;
}

template <typename P>
typename RoutePlanOf<P>::Places* RoutePlanOf<P>::list_of(Place place)
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

template <typename P>
void RoutePlanOf<P>::move(Entry& entry, Place place)
{
    if (entry.place == place)
        return;
    if (Places* from = list_of(entry.place))
        from->erase(from->iterator_to(entry));
    entry.place = place;
    if (Places* to = list_of(place))
        to->push_back(entry);
}

template <typename P>
void RoutePlanOf<P>::set_present(Entry& entry, const Route& route)
{
    if (entry.present)
        present_.erase(present_.iterator_to(entry));
    if (entry.present != route)
        entry.present = route;
    entry.seen = resync_;
    present_.push_back(entry);
}

template <typename P>
void RoutePlanOf<P>::set_absent(Entry& entry)
{
    if (!entry.present)
        return;
    present_.erase(present_.iterator_to(entry));
    entry.present.reset();
}

template <typename P>
void RoutePlanOf<P>::drop(Entry& entry)
{
    move(entry, Place::Settled);
    entries_.erase(Key(entry.key)); // by a copy: the key goes with it
}

template <typename P>
const typename RoutePlanOf<P>::Route* RoutePlanOf<P>::find(const Key& key) const
{
    const auto known = entries_.find(key);
    return known != entries_.end() && known->second.present ? &*known->second.present : nullptr;
}

template <typename P>
bool RoutePlanOf<P>::in_flight(const Key& key) const
{
    const auto known = entries_.find(key);
    return known != entries_.end() && known->second.place == Place::InFlight;
}

// What is in flight may have been made before the loss.
template <typename P>
bool RoutePlanOf<P>::any_by(const std::set<IfIndex>& interfaces) const
{
    return std::any_of(present_.begin(), present_.end(),
                       [&](const Entry& entry) { return leads_by(*entry.present, interfaces); }) ||
           std::any_of(in_flight_.begin(), in_flight_.end(), [&](const Entry& entry) {
               return entry.changed || (entry.wanted && leads_by(*entry.wanted, interfaces));
           });
}

template <typename P>
bool RoutePlanOf<P>::any_conflict() const
{
    return std::any_of(reported_.begin(), reported_.end(), [](const auto& reported) {
        return reported.first == Report::Kind::Conflict;
    });
}

// --- Wanted -------------------------------------------------------------------------------------

template <typename P>
void RoutePlanOf<P>::want(Route route)
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

template <typename P>
void RoutePlanOf<P>::unwant(const Key& key)
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

template <typename P>
void RoutePlanOf<P>::unwant_all()
{
    std::vector<Key> keys;
    for (const auto& [key, entry] : entries_)
        if (entry.wanted)
            keys.push_back(key);
    for (const Key& key : keys)
        unwant(key);
}

template <typename P>
void RoutePlanOf<P>::allow_removals(Keep keep)
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

template <typename P>
void RoutePlanOf<P>::learn(const Route& route, bool replaces, const std::string& by)
{
    const Key key = route.key();
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

template <typename P>
void RoutePlanOf<P>::learn_foreign(const Route& route, bool replaces, const std::string& by)
{
    const Key key = route.key();
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

template <typename P>
void RoutePlanOf<P>::forget(const Route& route, const std::string& by)
{
    const Key key = route.key();
    doubtful_ |= in_flight(key);
    const auto ours = entries_.find(key);
    if (ours != entries_.end() && ours->second.present == route) {
        set_absent(ours->second);
        if (ours->second.wanted)
            strike(ours->second, by); // put back: the kernel says if it is there
        else
            doubtful_ = true; // it may have been put back since, and nobody would look for it
    } else if (const auto left = ours != entries_.end() && ours->second.present
                                     ? less(*ours->second.present, route)
                                     : std::nullopt) {
        set_present(ours->second, *left);
        if (ours->second.wanted)
            strike(ours->second, by);
    } else if (!is_ours(route)) {
        const auto foreign = foreign_.find(key);
        if (foreign != foreign_.end() && --foreign->second.count <= 0)
            foreign_.erase(foreign);
    }
    // Hardly one of several: it was listed first and told after, and counted twice. Or a next hop of
    // ours, which IPv6 takes away one by one.
    doubtful_ |= foreign_.contains(key) || find(key) != nullptr;
    judge(key);
}

template <typename P>
void RoutePlanOf<P>::lose(const std::set<IfIndex>& interfaces)
{
    if (interfaces.empty())
        return;
    foreign_doubtful_ = true;
    doubtful_ |= any_conflict() || any_by(interfaces);
}

template <typename P>
void RoutePlanOf<P>::begin_resync()
{
    ++resync_;
    doubtful_ = foreign_doubtful_ = false;
    foreign_now_.clear();
}

template <typename P>
void RoutePlanOf<P>::present(const Route& route)
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

template <typename P>
void RoutePlanOf<P>::end_resync()
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
template <typename P>
void RoutePlanOf<P>::judge(Entry& entry)
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
        reported_.erase({Report::Kind::Refused, entry.key});
        move(entry, Place::Settled);
    } else if (entry.place != Place::Parked) {
        move(entry, blocked ? Place::Settled : Place::Due);
    }
}

template <typename P>
void RoutePlanOf<P>::judge(const Key& key)
{
    if (const auto known = entries_.find(key); known != entries_.end())
        judge(known->second);
}

// A foreign route for the same destination either shadows ours (smaller metric) or stands in its
// place (same metric). Returns the latter.
template <typename P>
bool RoutePlanOf<P>::judge_conflict(const Route& route)
{
    const Key key = route.key();
    const auto foreign = foreign_.lower_bound({key.destination, 0});
    if (foreign == foreign_.end() || foreign->first.destination != key.destination ||
        foreign->first.metric > key.metric) {
        reported_.erase({Report::Kind::Conflict, key});
        return false;
    }
    report(Report::Kind::Conflict, route,
           "a route of protocol " + std::to_string(foreign->second.protocol) + " with metric " +
               std::to_string(foreign->first.metric) + " has precedence over " + route.str());
    return foreign_.contains(key);
}

template <typename P>
std::vector<RouteOperationOf<P>> RoutePlanOf<P>::next(std::size_t budget)
{
    using Kind = typename Operation::Kind;
    std::vector<Operation> operations;
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

template <typename P>
void RoutePlanOf<P>::depart(Entry& entry)
{
    entry.retried = entry.changed = false;
    move(entry, Place::InFlight);
}

template <typename P>
void RoutePlanOf<P>::land(Entry& entry)
{
    move(entry, Place::Settled);
    judge(entry);
}

template <typename P>
void RoutePlanOf<P>::done(const Operation& operation)
{
    Entry& entry = this->entry(operation.route.key());
    if (operation.kind == Operation::Kind::Remove)
        set_absent(entry);
    else
        set_present(entry, operation.route);
    land(entry);
}

template <typename P>
void RoutePlanOf<P>::failed(const Operation& operation, const Error& error)
{
    const bool remove = operation.kind == Operation::Kind::Remove;
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
    report(Report::Kind::Refused, operation.route, error.what);
    move(entry, Place::Parked);
}

template <typename P>
void RoutePlanOf<P>::unknown(const Operation& operation)
{
    doubt();
    land(entry(operation.route.key()));
}

template <typename P>
void RoutePlanOf<P>::retry()
{
    strikes_.clear();
    for (Entry& entry : in_flight_) // it may be refused for what no longer holds
        entry.retried = true;
    while (!parked_.empty())
        land(parked_.front());
}

// Somebody took a wanted route away. Nobody named: the kernel, along with an interface.
template <typename P>
void RoutePlanOf<P>::strike(Entry& entry, const std::string& by)
{
    if (by.empty())
        return;
    report(Report::Kind::RemovedByOther, *entry.wanted, by + " took away " + entry.wanted->str());
    if (++strikes_[entry.key] >= kStrikes && entry.place != Place::InFlight)
        move(entry, Place::Parked);
}

// --- Reports ------------------------------------------------------------------------------------

template <typename P>
void RoutePlanOf<P>::report(typename Report::Kind kind, const Route& route, std::string text)
{
    if (reported_.insert({kind, route.key()}).second)
        reports_.push_back({kind, route, std::move(text)});
}

template <typename P>
void RoutePlanOf<P>::resolve(const Key& key)
{
    using Kind = typename Report::Kind;
    strikes_.erase(key);
    for (const Kind kind : {Kind::Conflict, Kind::RemovedByOther, Kind::Refused})
        reported_.erase({kind, key});
}

template <typename P>
std::vector<RouteReportOf<P>> RoutePlanOf<P>::take_reports()
{
    return std::exchange(reports_, {});
}

template class RoutePlanOf<Prefix4>;
template class RoutePlanOf<Prefix6>;

} // namespace margay::kernel
