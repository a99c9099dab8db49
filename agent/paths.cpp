// SPDX-License-Identifier: Apache-2.0
#include "agent/paths.h"

#include "agent/kernel/autodetect.h"

#include <algorithm>

namespace margay {
namespace {

using routing::Decision;

// The resolver's answer for one next hop, if packets can go there.
const kernel::Target* usable(const FindTarget& find, Ipv4 hop)
{
    const kernel::Target* target = find(hop);
    return target != nullptr && target->path && !target->path->local ? target : nullptr;
}

std::uint32_t link_mtu(const kernel::Target& target, const kernel::Link* link)
{
    if (target.path->mtu != 0)
        return target.path->mtu;
    return link != nullptr ? link->mtu : 0;
}

datapath::PathWant path_to(const kernel::Target& target, Ipv4 hop, bool tunnel,
                           const LocalFacts& local, const kernel::Link* link)
{
    datapath::PathWant path;
    path.encap = tunnel;
    path.ifindex = target.path->ifindex;
    if (link != nullptr)
        path.source_mac = link->mac;
    path.next_hop = target.path->next_hop(hop);
    path.mtu = link_mtu(target, link);
    if (tunnel) {
        path.outer_source = local.node_address;
        path.outer_destination = hop;
        const std::uint32_t inside =
            path.mtu > kernel::kIpipOverhead ? path.mtu - kernel::kIpipOverhead : 0;
        path.mtu = local.tunnel_mtu != 0 ? std::min(local.tunnel_mtu, inside) : inside;
    }
    return path;
}

} // namespace

PlannedPath plan_path(const Decision& decision, const LocalFacts& local,
                      const kernel::LinkTable& links, const FindTarget& find)
{
    PlannedPath planned;
    planned.why = decision.why;
    planned.route.kind = ROUTE_REMOTE;
    const bool tunnel = decision.reach == Decision::Reach::Tunnel;
    planned.route.node = decision.node_address;
    planned.in_datapath = decision.owned || decision.node_address;
    planned.route.tunnelled = decision.tunnelled; // also of a lost node: nobody may speak for it

    kernel::NextHops hops;
    for (const Ipv4 hop : decision.next_hops) {
        const kernel::Target* target = usable(find, hop);
        if (target == nullptr) {
            const kernel::Target* known = find(hop);
            planned.why = "no way to " + hop.str() +
                          (known != nullptr && !known->why.empty() ? ": " + known->why : "");
            continue;
        }
        // Two BGP next hops behind one router are one way.
        const kernel::NextHop way{target->path->ifindex, target->path->next_hop(hop)};
        if (hops.size() == kernel::kMaxHops || std::ranges::find(hops, way) != hops.end())
            continue;
        const kernel::Link* link = links.find(way.ifindex);
        if (hops.empty()) {
            planned.device = link != nullptr ? link->name : "";
            planned.via = way.gateway;
        }
        planned.route.paths.push_back(path_to(*target, hop, tunnel, local, link));
        hops.push_back(way);
    }
    if (hops.empty())
        return planned;
    std::ranges::sort(hops);
    if (tunnel)
        planned.kernel_route = kernel::block_route({}, hops, local.tunnel_address.value_or(Ipv4()),
                                                   planned.route.paths.front().mtu);
    else
        planned.kernel_route = kernel::block_route({}, hops);
    planned.kernel_route->metric = decision.metric;
    return planned;
}

} // namespace margay
