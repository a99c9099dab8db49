// SPDX-License-Identifier: Apache-2.0
// The second half of RouteCalc: claims, pools and node addresses to routes and announcements.

#include <algorithm>
#include <utility>

#include "agent/calc/delta.h"
#include "agent/calc/route_calc.h"

namespace margay::calc {
namespace {

// Of several claims to one prefix.
int precedence(model::RouteKind kind)
{
    switch (kind) {
    case model::RouteKind::LocalWorkload:
        return 0;
    case model::RouteKind::Host:
        return 1;
    case model::RouteKind::Remote:
        return 2;
    case model::RouteKind::Blackhole:
        break;
    }
    return 3;
}

} // namespace

// The longest pool around the prefix.
const model::IpPool* RouteCalc::pool_of(const Prefix4& prefix) const
{
    for (int length = prefix.length; length >= 0; --length) {
        const auto cidr = Prefix4{prefix.addr, static_cast<std::uint8_t>(length)}.network();
        const auto at = pools_by_cidr_.find(cidr);
        if (at != pools_by_cidr_.end())
            return at->second.front();
    }
    return nullptr;
}

// False: withheld, for the node or its address is not known yet.
bool RouteCalc::complete_remote(const Claim& claim, const model::IpPool& pool,
                                model::WantedRoute& route) const
{
    const auto node = nodes_.find(claim.node);
    const auto address = node == nodes_.end() ? std::nullopt : node->second.host_address();
    if (!address)
        return false;
    const auto own = nodes_.find(own_);
    const auto network = own == nodes_.end() ? std::nullopt : own->second.ipv4_address;
    if (network && network->addr == *address)
        return false; // somebody else has our address: never send to ourselves
    route.node_address = *address;
    // Only the local node's length counts.
    route.same_subnet = network && network->contains(*address);
    route.encap = ipip_allowed_ &&
                  (pool.ipip_mode == model::Encapsulation::Always ||
                   (pool.ipip_mode == model::Encapsulation::CrossSubnet && !route.same_subnet));
    return true;
}

std::optional<model::WantedRoute> RouteCalc::route_for(const Prefix4& prefix) const
{
    const auto at = claims_.find(prefix);
    if (at == claims_.end())
        return std::nullopt;
    const auto& best =
        std::min_element(at->second.begin(), at->second.end(), [](const auto& a, const auto& b) {
            return precedence(a.second.kind) < precedence(b.second.kind);
        })->second;
    const auto* pool = pool_of(prefix);
    model::WantedRoute route;
    route.kind = best.kind;
    route.node = best.node;
    route.interface_name = best.interface_name;
    route.nat_outgoing = pool && pool->nat_outgoing;
    route.in_tunnelled_pool =
        pool && ipip_allowed_ && pool->ipip_mode != model::Encapsulation::Never;
    if (best.kind == model::RouteKind::Remote && (!pool || !complete_remote(best, *pool, route)))
        return std::nullopt;
    if (best.kind == model::RouteKind::Blackhole && !pool)
        return std::nullopt;
    return route;
}

void RouteCalc::take_routes(model::Changes& into)
{
    if (std::exchange(all_prefixes_dirty_, false)) {
        for (const auto& [prefix, unused] : claims_)
            dirty_prefixes_.insert(prefix);
        for (const auto& [prefix, unused] : routes_)
            dirty_prefixes_.insert(prefix);
    }
    for (const auto& prefix : std::exchange(dirty_prefixes_, {}))
        publish_one(routes_, prefix, route_for(prefix), into.routes);
}

void RouteCalc::take_nodes(model::Changes& into)
{
    for (const Ipv4 address : std::exchange(dirty_node_addresses_, {})) {
        std::optional<model::WantedNode> wanted;
        const auto names = node_addresses_.find(address);
        // Of two nodes with one address the first by name has it; we are no remote node.
        if (names != node_addresses_.end() && !names->second.contains(own_)) {
            const auto& name = *names->second.begin();
            wanted = model::WantedNode{name, nodes_.at(name).ipip_tunnel_address, {}};
            if (const auto mine = by_node_.find(name); mine != by_node_.end())
                for (const auto& [prefix, unused] : mine->second)
                    wanted->prefixes.push_back(prefix);
        }
        publish_one(wanted_nodes_, address, wanted, into.nodes);
    }
}

void RouteCalc::take_pools(model::Changes& into)
{
    if (!std::exchange(pools_dirty_, false))
        return;
    std::map<Prefix4, model::WantedPool> now;
    for (const auto& [cidr, same] : pools_by_cidr_) {
        const auto& pool = *same.front();
        now.emplace(cidr, model::WantedPool{pool.name, pool.nat_outgoing, pool.disabled,
                                            pool.ipip_mode, pool.disable_bgp_export});
    }
    publish(wanted_pools_, std::move(now), into.pools);
}

std::vector<Prefix4> RouteCalc::own_confirmed_blocks() const
{
    std::vector<Prefix4> blocks;
    for (const auto& [key, affinity] : affinities_)
        if (affinity.v4() && affinity.host() == own_ &&
            affinity.state == model::AffinityState::Confirmed)
            blocks.push_back(*affinity.v4());
    std::sort(blocks.begin(), blocks.end());
    return blocks;
}

// All that is ours: pools, and what stands for what, are the export rules' matter (agent/bgp).
std::map<Prefix4, model::Announcement> RouteCalc::announcements() const
{
    using Kind = model::Announcement::Kind;
    std::map<Prefix4, model::Announcement> announced;
    for (const auto& block : own_confirmed_blocks())
        announced.emplace(block, model::Announcement{Kind::Block, {}});
    for (const auto& [prefix, route] : routes_)
        if (route.kind == model::RouteKind::LocalWorkload || route.kind == model::RouteKind::Host)
            announced.emplace(prefix, model::Announcement{Kind::Address, route.interface_name});
    return announced;
}

void RouteCalc::take_own(model::Changes& into)
{
    if (!std::exchange(own_dirty_, false))
        return;
    model::OwnNode own;
    if (const auto at = nodes_.find(own_); at != nodes_.end()) {
        own.present = true;
        own.address = at->second.ipv4_address;
        own.tunnel_address = at->second.ipip_tunnel_address;
    }
    own.blocks = own_confirmed_blocks();
    if (own_published_ != own)
        into.own_node = own_published_ = own;
    publish(announced_, announcements(), into.announcements);
}

void RouteCalc::take_changes(model::Changes& into)
{
    take_routes(into);
    take_nodes(into);
    take_pools(into);
    take_own(into);
}

} // namespace margay::calc
