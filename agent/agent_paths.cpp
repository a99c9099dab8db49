// SPDX-License-Identifier: Apache-2.0
// Remote prefixes: the ways to them, and the uplinks that they use.
#include "agent/agent.h"

#include "agent/kernel/sysctl.h"

#include <algorithm>

namespace margay {
namespace {

datapath::XdpMode xdp_mode(config::XdpMode mode)
{
    switch (mode) {
    case config::XdpMode::Native:
        return datapath::XdpMode::Native;
    case config::XdpMode::Generic:
        return datapath::XdpMode::Generic;
    case config::XdpMode::Off:
        return datapath::XdpMode::Off;
    case config::XdpMode::Auto:
        break;
    }
    return datapath::XdpMode::Auto;
}

} // namespace

// At most so many prefixes a turn, so that a full table does not hold up a KEEPALIVE.
void Agent::apply_paths()
{
    constexpr std::size_t kPrefixesATurn = 500;
    for (const routing::Change& change : join_.take_changes(kPrefixesATurn)) {
        paths_due_.insert(change.prefix);
        watch_hops(change.prefix,
                   change.decision ? change.decision->next_hops : std::vector<Ipv4>{});
    }
    for (std::size_t n = 0; n < kPrefixesATurn && !paths_due_.empty(); ++n) {
        plan(paths_due_.extract(paths_due_.begin()).value());
        uplinks_due_ = true;
    }
    if (join_.pending() || !paths_due_.empty())
        schedule_turn(std::chrono::milliseconds(0));
    if (std::exchange(uplinks_due_, false))
        update_uplinks();
}

void Agent::watch_hops(const Prefix4& prefix, const std::vector<Ipv4>& hops)
{
    const std::vector<Ipv4> before = std::exchange(hops_of_[prefix], hops);
    for (const Ipv4 hop : hops) {
        const auto [waiting, fresh] = prefixes_by_hop_.try_emplace(hop);
        waiting->second.insert(prefix);
        if (!fresh)
            continue;
        // A neighbour that the kernel knew already is no news that on_targets() would bring.
        (void)resolver_.watch(hop);
        use_neighbour(hop);
    }
    for (const Ipv4 hop : before) {
        if (std::ranges::find(hops, hop) != hops.end())
            continue;
        const auto waiting = prefixes_by_hop_.find(hop);
        waiting->second.erase(prefix);
        if (!waiting->second.empty())
            continue;
        resolver_.unwatch(hop);
        prefixes_by_hop_.erase(waiting);
    }
    if (hops.empty())
        hops_of_.erase(prefix);
}

void Agent::plan(const Prefix4& prefix)
{
    const auto decision = join_.decisions().find(prefix);
    const auto before = paths_.find(prefix);
    if (decision == join_.decisions().end()) {
        if (before == paths_.end())
            return;
        want_kernel_route(prefix, before->second.kernel_route, std::nullopt);
        routes_.forget(RouteClaims::Layer::Remote, prefix);
        firewall_dirty_ |= firewall_sets_.tunnel_blocks.erase(prefix) > 0;
        paths_.erase(before);
        return;
    }
    PlannedPath planned = plan_path(prefix, decision->second, local_facts(), links_.table(),
                                    [this](Ipv4 hop) { return resolver_.find(hop); });
    planned.route.node = decision->second.node_address;
    want_kernel_route(prefix, before == paths_.end() ? std::nullopt : before->second.kernel_route,
                      planned.kernel_route);
    if (before != paths_.end() && before->second == planned)
        return;
    // What only BGP knows and no node announced is the kernel's to route.
    if (decision->second.owned || planned.route.node)
        routes_.want(RouteClaims::Layer::Remote, prefix, planned.route);
    else
        routes_.forget(RouteClaims::Layer::Remote, prefix);
    const bool tunnelled = planned.route.encap();
    firewall_dirty_ |= tunnelled ? firewall_sets_.tunnel_blocks.insert(prefix).second
                                 : firewall_sets_.tunnel_blocks.erase(prefix) > 0;
    paths_[prefix] = std::move(planned);
}

// A prefix that is local, too (a block or address that moves between nodes), has its local route.
void Agent::want_kernel_route(const Prefix4& prefix, const std::optional<kernel::Route>& before,
                              const std::optional<kernel::Route>& wanted)
{
    const auto local = local_routes_.find(prefix);
    const bool here = local != local_routes_.end();
    const bool same_key = here && local->second.kind == model::RouteKind::Blackhole && before &&
                          before->key() == kernel::blackhole_route(prefix).key();
    if (before && !same_key && (here || !wanted || wanted->key() != before->key()))
        kernel_routes_.unwant(before->key());
    if (wanted && !here)
        kernel_routes_.want(*wanted);
}

// The interface whose network the gateway is in; no workload's.
const kernel::Link* Agent::link_towards(Ipv4 gateway) const
{
    for (const auto& [index, link] : links_.table().links()) {
        if (is_workload(link.name) || !link.up())
            continue;
        const auto& addresses = links_.table().addresses(index);
        if (std::ranges::any_of(addresses, [&](const kernel::Address& address) {
                return address.prefix.contains(gateway);
            }))
            return &link;
    }
    return nullptr;
}

// reachableBy: a static route to the peer, so that the way to it never depends on what it tells. A
// prefix that is a pod's, too, is left to that.
void Agent::want_peer_routes()
{
    std::map<Prefix4, kernel::Route> wanted;
    std::string astray;
    for (const auto& [name, session] : peering_->sessions()) {
        if (!session.reachable_by)
            continue;
        const Prefix4 peer = Prefix4::host(session.address.v4());
        const kernel::Link* link = link_towards(*session.reachable_by);
        if (!link)
            astray += " " + session.reachable_by->str() + " (" + name + ")";
        else if (!local_routes_.contains(peer) && !paths_.contains(peer))
            wanted.emplace(peer,
                           kernel::block_route(peer, {{link->ifindex, *session.reachable_by, 1}}));
    }
    for (const auto& [peer, route] : peer_routes_)
        if (!wanted.contains(peer))
            kernel_routes_.unwant(route.key());
    for (const auto& [peer, route] : wanted)
        kernel_routes_.want(route);
    peer_routes_ = std::move(wanted);
    warn_once("reachableBy", astray.empty() ? "" : "no interface leads to" + astray);
}

bool Agent::is_announced(const Prefix4& prefix) const
{
    return std::ranges::none_of(pools_, [&](const auto& pool) {
        return pool.second.disable_bgp_export && pool.first.contains(prefix);
    });
}

LocalFacts Agent::local_facts() const
{
    LocalFacts facts;
    if (own_node_.address)
        facts.node_address = own_node_.address->addr;
    facts.tunnel_address = own_node_.tunnel_address;
    facts.tunnel_mtu = settings_.ipip_mtu;
    return facts;
}

// In auto every interface with an address: a pod's packets may leave by any of them, and what
// leaves without passing to_uplink would leave without its egress policy.
bool Agent::wants_uplink(const kernel::Link& link) const
{
    if (is_workload(link.name) || link.loopback() || link.name == "tunl0")
        return false;
    if (!config_.uplinks.empty())
        return first_match(uplink_patterns_, link.name) != nullptr;
    if (!links_.table().addresses(link.ifindex).empty())
        return true;
    return std::ranges::any_of(paths_, [&](const auto& entry) {
        return std::ranges::any_of(entry.second.route.paths, [&](const datapath::PathWant& path) {
            return path.ifindex == link.ifindex;
        });
    });
}

void Agent::update_uplinks()
{
    for (const auto& [index, link] : links_.table().links()) {
        const bool wanted = wants_uplink(link);
        if (wanted || uplinks_.contains(index)) // not for each workload's interface
            check_rp_filter(link.name, wanted);
        if (wanted == uplinks_.contains(index))
            continue;
        if (!wanted) {
            datapath_->forget_device(index);
            uplinks_.erase(index);
            continue;
        }
        datapath_->want_uplink(index, xdp_mode(config_.xdp));
        uplinks_.insert(index);
    }
}

void Agent::check_rp_filter(const std::string& device, bool is_uplink)
{
    const std::string topic = "rp_filter " + device;
    if (!is_uplink)
        return warn_once(topic, "");
    const auto filter = kernel::read_rp_filter(device);
    if (!filter || filter->usable())
        return warn_once(topic, "");
    warn_once(topic, "net.ipv4.conf." + device +
                         ".rp_filter is 1 (strict) and drops packets from the tunnel; set it to 0 "
                         "or 2");
}

} // namespace margay
