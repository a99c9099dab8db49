// SPDX-License-Identifier: Apache-2.0
#include "bgp/speaker/views.h"

#include <algorithm>
#include <tuple>
#include <type_traits>

namespace margay::bgp {
namespace {

constexpr WalkBudget kPortion{16384, 512};

RouteView& route_of(RouteView& view)
{
    return view;
}

RouteView& route_of(ExportedView& view)
{
    return view.route;
}

} // namespace

std::vector<PeerStatus> Views::peers() const
{
    std::vector<PeerStatus> statuses;
    for (const auto& [name, peer] : peers_.all())
        statuses.push_back(peer->status());
    return statuses;
}

// A route may outlive its peer by some turns: then it has no name.
template <typename View>
void Views::name_peers(std::vector<View>& views) const
{
    for (View& each : views)
        if (const Peer* peer = peers_.find(route_of(each).peer_id))
            route_of(each).peer = peer->config().name;
}

std::vector<RouteView> Views::routes() const
{
    std::vector<RouteView> views;
    ipv4_.append_views({}, 0, kWholeWalk, views);
    ipv6_.append_views({}, 0, kWholeWalk, views);
    name_peers(views);
    std::ranges::sort(views, [](const RouteView& a, const RouteView& b) {
        return std::tie(a.prefix, b.best, a.from, a.path) <
               std::tie(b.prefix, a.best, b.from, b.path);
    });
    return views;
}

std::vector<ExportedView> Views::routes_to(const std::string& name) const
{
    std::vector<ExportedView> views;
    const Peer* peer = peers_.find(name);
    if (!peer)
        return views;
    if (peer->carries<Prefix4>())
        ipv4_.append_exported(peer->id(), peer->export_view<Prefix4>(), peer->config(), {}, 0,
                              kWholeWalk, views);
    if (peer->carries<Prefix6>())
        ipv6_.append_exported(peer->id(), peer->export_view<Prefix6>(), peer->config(), {}, 0,
                              kWholeWalk, views);
    name_peers(views);
    std::ranges::sort(views, {}, [](const ExportedView& view) { return view.route.prefix; });
    return views;
}

// Empty: nothing of this family is wanted.
template <typename P>
std::optional<WalkQuery<P>> Views::walk_query(const RouteQuery& query) const
{
    WalkQuery<P> walk;
    walk.match = query.match;
    if (!query.received_from.empty()) {
        const Peer* peer = peers_.find(query.received_from);
        if (!peer)
            return std::nullopt;
        walk.from = peer->id();
    }
    if (!query.prefix)
        return walk;
    if constexpr (std::is_same_v<P, Prefix4>) {
        if (!query.prefix->is_v4())
            return std::nullopt;
        walk.prefix = query.prefix->v4().network();
    } else {
        if (query.prefix->is_v4())
            return std::nullopt;
        walk.prefix = query.prefix->v6().network();
    }
    return walk;
}

// IPv4 first, then IPv6 from its beginning: a portion is of one family.
template <typename View, typename Walk>
Portion<View> Views::portion(const RouteQuery& query, RouteCursor from, const Walk& walk) const
{
    Portion<View> portion;
    if (!from.ipv6) {
        const auto wanted = walk_query<Prefix4>(query);
        const EntryId next = wanted ? walk(*wanted, from.entry, portion.views) : kNoEntry;
        if (next != kNoEntry)
            portion.next = RouteCursor{false, next};
        else if (walk_query<Prefix6>(query))
            portion.next = RouteCursor{true, 0};
    } else if (const auto wanted = walk_query<Prefix6>(query)) {
        if (const EntryId next = walk(*wanted, from.entry, portion.views); next != kNoEntry)
            portion.next = RouteCursor{true, next};
    }
    name_peers(portion.views);
    return portion;
}

Portion<RouteView> Views::routes(const RouteQuery& query, RouteCursor from) const
{
    return portion<RouteView>(
        query, from, [this]<typename P>(const WalkQuery<P>& wanted, EntryId entry, auto& views) {
            return tables<P>().append_views(wanted, entry, kPortion, views);
        });
}

Portion<ExportedView> Views::routes_to(const std::string& name, const RouteQuery& query,
                                       RouteCursor from) const
{
    const Peer* peer = peers_.find(name);
    if (!peer || !peer->up())
        return {};
    return portion<ExportedView>(
        query, from,
        [this, peer]<typename P>(const WalkQuery<P>& wanted, EntryId entry, auto& views) {
            if (!peer->carries<P>())
                return kNoEntry;
            return tables<P>().append_exported(peer->id(), peer->export_view<P>(), peer->config(),
                                               wanted, entry, kPortion, views);
        });
}

template <typename P>
TableCounts::Family Views::count(const Tables<P>& tables) const
{
    TableCounts::Family counts{tables.rib().table().size(), tables.reachable(), 0};
    for (const auto& [name, peer] : peers_.all())
        counts.paths += tables.rib().count(peer->id());
    return counts;
}

TableCounts Views::counts(std::size_t attribute_sets) const
{
    return {count(ipv4_), count(ipv6_), attribute_sets};
}

} // namespace margay::bgp
