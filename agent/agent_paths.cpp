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
    constexpr std::size_t kPrefixesATurn = 1000;
    for (routing::Change& change : join_.take_changes(kPrefixesATurn))
        remote_.decide(change.prefix, std::move(change.decision));
    Plans plans;
    for (std::size_t n = 0; n < kPrefixesATurn && remote_.any_due(); ++n)
        plan(remote_.take_due(), plans);
    learned6_.apply(kPrefixesATurn);
    if (join_.pending() || remote_.any_due() || learned6_.pending())
        schedule_turn(std::chrono::milliseconds(0));
    uplinks_due_ |= remote_.take_devices_changed();
    if (std::exchange(uplinks_due_, false))
        update_uplinks();
}

void Agent::plan(const Prefix4& prefix, Plans& plans)
{
    const RemotePaths::Path& path = *remote_.find(prefix);
    const PlannedPathPtr before = path.plan;
    if (!path.decision) {
        want_kernel_route(prefix, before.get(), nullptr);
        routes_.forget(RouteClaims::Layer::Remote, prefix);
        firewall_dirty_ |= firewall_sets_.tunnel_blocks.erase(prefix) > 0;
        remote_.erase(prefix);
        return;
    }
    PlannedPathPtr& planned = plans[path.decision.get()];
    if (!planned)
        planned = std::make_shared<const PlannedPath>(
            plan_path(*path.decision, local_facts(), links_.table(),
                      [this](Ipv4 hop) { return resolver_.find(hop); }));
    want_kernel_route(prefix, before.get(), planned.get());
    if (before && *before == *planned)
        return;
    if (planned->in_datapath)
        routes_.want(RouteClaims::Layer::Remote, prefix,
                     RouteWantPtr(planned, &planned->route)); // keeps the plan
    else
        routes_.forget(RouteClaims::Layer::Remote, prefix);
    const bool tunnelled = planned->route.encap();
    firewall_dirty_ |= tunnelled ? firewall_sets_.tunnel_blocks.insert(prefix).second
                                 : firewall_sets_.tunnel_blocks.erase(prefix) > 0;
    remote_.plan(prefix, planned);
}

// A prefix that is local, too (a block or address that moves between nodes), has its local route.
void Agent::want_kernel_route(const Prefix4& prefix, const PlannedPath* before,
                              const PlannedPath* planned)
{
    const auto route_of = [&](const PlannedPath* plan) {
        std::optional<kernel::Route> route;
        if (plan != nullptr && plan->kernel_route) {
            route = plan->kernel_route;
            route->destination = prefix.network();
        }
        return route;
    };
    const auto local = local_routes_.find(prefix);
    const bool here = local != local_routes_.end();
    std::optional<kernel::Route> wanted = route_of(planned);
    if (const auto last = route_of(before)) {
        const bool same_key = here && local->second.kind == model::RouteKind::Blackhole &&
                              last->key() == kernel::blackhole_route(prefix).key();
        if (!same_key && (here || !wanted || wanted->key() != last->key()))
            kernel_routes_.unwant(last->key());
    }
    if (wanted && !here)
        kernel_routes_.want(std::move(*wanted));
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
        else if (!local_routes_.contains(peer) && !remote_.contains(peer))
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
    return remote_.leave_by(link.ifindex);
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
