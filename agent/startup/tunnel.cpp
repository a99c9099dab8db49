// SPDX-License-Identifier: Apache-2.0
// The node's address inside the tunnels (calico-facts 2.9).
//
// One difference to Calico: when the Node names no address but IPAM still holds one under our
// handle, that one is taken again instead of being released for another. A Node that somebody
// deleted comes back with the address its peers know.
#include "agent/startup/startup.h"

#include <algorithm>

namespace margay::startup {
namespace {

using ipam::Ipam;
using ipam::Owner;
using ipam::Pool;

Owner tunnel_owner(const std::string& node)
{
    return {tunnel_handle(node), {{"node", node}, {"type", kTunnelType}}};
}

bool tunnels(const Pool& pool, const model::Labels& labels)
{
    return pool.enabled() && pool.spec.for_tunnels &&
           pool.spec.ipip_mode != model::Encapsulation::Never &&
           pool.spec.node_selector.matches(labels);
}

Result<std::vector<Pool>> suitable_pools(Ipam& ipam)
{
    const auto labels = ipam.node_labels();
    if (!labels)
        return labels.error();
    auto pools = ipam.pools();
    if (!pools)
        return pools.error();
    std::erase_if(*pools, [&](const Pool& pool) { return !tunnels(pool, *labels); });
    return pools;
}

bool is_ours(const Ipam::Holder& holder, const std::string& node)
{
    const auto owner = tunnel_owner(node).attributes;
    return holder.in_use && std::ranges::includes(holder.attributes, owner);
}

Status release_handle(Ipam& ipam, const std::string& node)
{
    const auto released = ipam.release_by_handle(tunnel_handle(node));
    return released ? Status() : Status(released.error());
}

// Exactly this address, if it is free; nothing when somebody has it.
Result<bool> try_address(Ipam& ipam, const std::string& node, Ipv4 address)
{
    const Status ok = ipam.assign(address, tunnel_owner(node), ipam::Use::Tunnel);
    if (!ok && ok.error().code == Errc::Unavailable)
        return ok.error();
    return static_cast<bool>(ok);
}

// One that our handle holds inside the pools; the others under it are released.
Result<std::optional<Ipv4>> adopt(Ipam& ipam, const std::string& node,
                                  const std::vector<Pool>& pools)
{
    const auto addresses = ipam.held_by(tunnel_handle(node));
    if (!addresses)
        return addresses.error();
    std::optional<Ipv4> adopted;
    std::vector<ipam::Release> others;
    for (const Ipv4 address : *addresses) {
        const auto holder = ipam.holder(address);
        if (!holder)
            return holder.error();
        if (!adopted && is_ours(*holder, node) && ipam::find_pool(pools, address))
            adopted = address;
        else
            others.push_back({address, tunnel_handle(node), {}});
    }
    if (!adopted)
        return adopted;
    const auto released = ipam.release(others);
    if (!released)
        return released.error();
    return adopted;
}

Result<std::optional<Ipv4>> assign_new(Ipam& ipam, const std::string& node,
                                       const std::vector<Pool>& pools, std::optional<Ipv4> held)
{
    if (Status ok = release_handle(ipam, node); !ok)
        return ok.error();
    if (held && ipam::find_pool(pools, *held)) {
        const auto again = try_address(ipam, node, *held);
        if (!again)
            return again.error();
        if (*again)
            return held;
    }
    ipam::AssignRequest request{.owner = tunnel_owner(node), .use = ipam::Use::Tunnel};
    for (const Pool& pool : pools)
        request.pools.push_back(pool.spec.name);
    const auto assigned = ipam.auto_assign(request);
    if (!assigned)
        return assigned.error();
    if (assigned->addresses.empty())
        return Error{assigned->shortfall.error().code, 0,
                     "no tunnel address: " + assigned->shortfall.error().what};
    return std::optional(assigned->addresses.front());
}

} // namespace

std::string tunnel_handle(const std::string& node)
{
    return "ipip-tunnel-addr-" + node;
}

Result<std::optional<Ipv4>> ensure_tunnel_address(Ipam& ipam, const std::string& node,
                                                  std::optional<Ipv4> stored,
                                                  std::optional<Ipv4> held)
{
    const auto pools = suitable_pools(ipam);
    if (!pools)
        return pools.error();
    if (pools->empty()) {
        if (Status ok = release_handle(ipam, node); !ok)
            return ok.error();
        return std::optional<Ipv4>();
    }
    if (!stored) {
        const auto adopted = adopt(ipam, node, *pools);
        if (!adopted || *adopted)
            return adopted;
        return assign_new(ipam, node, *pools, held);
    }
    const auto holder = ipam.holder(*stored);
    if (!holder)
        return holder.error();
    if (is_ours(*holder, node) && ipam::find_pool(*pools, *stored))
        return stored;
    if (holder->in_use && !holder->handle && holder->attributes.empty()) {
        // From before addresses had owners: ours by the Node's word.
        const auto released = ipam.release({{*stored, {}, {}}});
        if (!released)
            return released.error();
        return assign_new(ipam, node, *pools, stored);
    }
    // Ours but outside the pools, somebody else's, or nobody's: only what our handle holds is
    // released.
    return assign_new(ipam, node, *pools, held ? held : stored);
}

} // namespace margay::startup
