// SPDX-License-Identifier: Apache-2.0
#include "agent/learned_routes.h"

#include "agent/routing/join.h"

#include <algorithm>
#include <set>
#include <utility>

namespace margay {

void LearnedRoutes::learn(std::span<const bgp::RouteChange6> changes)
{
    for (const bgp::RouteChange6& change : changes) {
        WayPtr way = way_of(change);
        const auto known = prefixes_.find(change.prefix);
        if (!way && known == prefixes_.end())
            continue;
        Learned& learned = way ? prefixes_[change.prefix] : known->second;
        learned.stale = false;
        set_way(change.prefix, learned, std::move(way));
    }
}

LearnedRoutes::WayPtr LearnedRoutes::way_of(const bgp::RouteChange6& change)
{
    Way way;
    way.metric = routing::learned_metric(change.local_pref);
    for (const bgp::NextHop& hop : change.best)
        if (!hop.gateway.is_v4())
            way.hops.push_back({hop.gateway.v6(), hop.interface, hop.link_local});
    if (way.hops.empty())
        return nullptr;
    std::ranges::sort(way.hops);
    way.hops.erase(std::unique(way.hops.begin(), way.hops.end()), way.hops.end());
    return ways_.get(std::move(way));
}

void LearnedRoutes::set_way(const Prefix6& prefix, Learned& learned, WayPtr way)
{
    if (learned.way == way)
        return;
    use(way); // first, so that a hop of both stays watched
    release(learned.way);
    learned.way = std::move(way);
    set_due(prefix, learned);
}

void LearnedRoutes::begin_relearning()
{
    relearning_ = true;
    for (auto& [prefix, learned] : prefixes_)
        learned.stale = true;
}

void LearnedRoutes::set_settled()
{
    if (!std::exchange(relearning_, false))
        return;
    for (auto& [prefix, learned] : prefixes_)
        if (std::exchange(learned.stale, false))
            set_way(prefix, learned, nullptr);
}

// --- Ways ---------------------------------------------------------------------------------------

void LearnedRoutes::use(const WayPtr& way)
{
    if (!way || ++uses_[way].prefixes > 1)
        return;
    for (const Hop& hop : way->hops)
        if (!hop.gateway.is_link_local() && ++watched_[hop.gateway] == 1)
            kernel_.watch(hop.gateway);
    uses_.at(way).hops = next_hops(*way);
}

void LearnedRoutes::release(const WayPtr& way)
{
    if (!way)
        return;
    const auto used = uses_.find(way);
    if (--used->second.prefixes > 0)
        return;
    uses_.erase(used);
    for (const Hop& hop : way->hops) {
        const auto watched = watched_.find(hop.gateway);
        if (watched == watched_.end() || --watched->second > 0)
            continue;
        watched_.erase(watched);
        kernel_.unwatch(hop.gateway);
    }
}

// A link-local address beside a global one is on the link that we share with the peer (RFC 2545 3). It
// is the way where the global one is not on a link of ours: any other would be a detour.
std::optional<kernel::NextHop6> LearnedRoutes::next_hop(const Hop& hop) const
{
    const auto on_shared_link = [&hop](const Ipv6& gateway) {
        return hop.interface == 0 ? std::nullopt
                                  : std::optional(kernel::NextHop6{hop.interface, gateway});
    };
    if (hop.gateway.is_link_local())
        return on_shared_link(hop.gateway);
    const kernel::Target6* target = kernel_.find(hop.gateway);
    const kernel::Path6* path = target != nullptr && target->path ? &*target->path : nullptr;
    if (path != nullptr && path->local)
        return std::nullopt;
    const bool on_link = path != nullptr && path->gateway.is_zero();
    if (!on_link && hop.link_local)
        if (const auto direct = on_shared_link(*hop.link_local))
            return direct;
    if (path == nullptr)
        return std::nullopt;
    return kernel::NextHop6{path->ifindex, path->next_hop(hop.gateway)};
}

// Two BGP next hops behind one router are one.
kernel::NextHops6 LearnedRoutes::next_hops(const Way& way) const
{
    kernel::NextHops6 hops;
    for (const Hop& hop : way.hops)
        if (const auto next = next_hop(hop); next && std::ranges::find(hops, *next) == hops.end())
            hops.push_back(*next);
    std::ranges::sort(hops);
    return hops;
}

std::size_t LearnedRoutes::HashOf::operator()(const Way& way) const
{
    std::size_t hash = way.metric;
    for (const Hop& hop : way.hops)
        hash = hash * 31 + std::hash<Ipv6>()(hop.gateway);
    return hash;
}

// --- Prefixes -----------------------------------------------------------------------------------

void LearnedRoutes::set_due(const Prefix6& prefix, Learned& learned)
{
    if (!std::exchange(learned.due, true))
        due_.push_back(prefix);
}

void LearnedRoutes::set_due(std::span<const Ipv6> hops)
{
    const std::set<Ipv6> news(hops.begin(), hops.end());
    std::set<const Way*> moved;
    for (auto& [way, use] : uses_) {
        const bool has_news = std::ranges::any_of(
            way->hops, [&news](const Hop& hop) { return news.contains(hop.gateway); });
        if (!has_news)
            continue;
        kernel::NextHops6 now = next_hops(*way);
        if (now == use.hops)
            continue;
        use.hops = std::move(now);
        moved.insert(way.get());
    }
    if (moved.empty())
        return;
    for (auto& [prefix, learned] : prefixes_)
        if (moved.contains(learned.way.get()))
            set_due(prefix, learned);
}

void LearnedRoutes::apply(std::size_t budget)
{
    for (; budget > 0 && !due_.empty(); --budget) {
        const Prefix6 prefix = due_.front();
        due_.pop_front();
        const auto known = prefixes_.find(prefix);
        known->second.due = false;
        hand_over(prefix, known->second);
        if (!known->second.way)
            prefixes_.erase(known);
    }
}

void LearnedRoutes::hand_over(const Prefix6& prefix, Learned& learned)
{
    const kernel::NextHops6 hops = learned.way ? uses_.at(learned.way).hops : kernel::NextHops6();
    const std::uint32_t before = learned.metric;
    learned.metric = hops.empty() ? 0 : learned.way->metric;
    if (before != 0 && before != learned.metric)
        kernel_.unwant({prefix.network(), before});
    if (hops.empty())
        return;
    kernel::Route6 route = kernel::block_route(prefix, hops);
    route.metric = learned.metric;
    kernel_.want(std::move(route));
}

std::map<Prefix6, kernel::NextHops6> LearnedRoutes::list() const
{
    std::map<Prefix6, kernel::NextHops6> sorted;
    for (const auto& [prefix, learned] : prefixes_)
        if (learned.way)
            sorted.emplace(prefix, uses_.at(learned.way).hops);
    return sorted;
}

} // namespace margay
