// SPDX-License-Identifier: Apache-2.0
// What changed in the datastore, made wanted state of data path, kernel, firewall and BGP.
#include "agent/agent.h"

#include "agent/kernel/addresses.h"
#include "agent/kernel/neighbours.h"

#include <fmt/ranges.h>

namespace margay {
namespace {

constexpr std::chrono::milliseconds kUntilSettled{100};

datapath::RouteWant local_want(const model::WantedRoute& route)
{
    datapath::RouteWant want;
    want.kind = route.kind == model::RouteKind::Host ? ROUTE_HOST : ROUTE_BLACKHOLE;
    return want;
}

} // namespace

void Agent::apply_bgp(const model::Changes& changes)
{
    peering_->hold(own_node_held_);
    peering_->apply(changes);
    join_.set_peers(peering_->peer_addresses());
    if (!peering_->speaker())
        set_bgp_settled(); // nobody to wait for
    want_peer_routes();
    if (changes.bgp_sessions.empty())
        return;
    peering_addresses_due_ = true;
    want_host_addresses();
}

// localWorkloadSelector: by the interfaces of workloads that are BGP peers, what they know us by.
std::map<std::string, Ipv4> Agent::peering_addresses() const
{
    std::map<std::string, Ipv4> addresses;
    if (!peering_)
        return addresses;
    for (const auto& [name, session] : peering_->sessions())
        if (!session.workload_interface.empty() && session.source && session.source->is_v4())
            addresses.emplace(session.workload_interface, session.source->v4());
    return addresses;
}

// On the host's side of each, as Calico has it: a packet from there finds it local. What carries our
// number on a workload's interface and is not wanted is of an earlier time.
void Agent::ensure_peering_addresses()
{
    if (!peering_addresses_due_)
        return;
    if (!datapath_->settled()) // what it does not know as the host's must not be the host's
        return schedule_turn(kUntilSettled);
    peering_addresses_due_ = false;
    const auto wanted = peering_addresses();
    for (const auto& [index, link] : links_.table().links()) {
        if (!is_workload(link.name))
            continue;
        const auto here = wanted.find(link.name);
        std::optional<Prefix4> missing;
        if (here != wanted.end())
            missing = Prefix4::host(here->second);
        Status changed;
        for (const kernel::Address& address : links_.table().addresses(index)) {
            if (address.prefix == missing)
                missing.reset();
            else if (address.protocol == kernel::kProtocolMargay)
                changed = kernel::remove_address(*netlink_, link, address.prefix);
        }
        if (missing && changed)
            changed = kernel::add_address(*netlink_, link, *missing, kernel::Scope::Link);
        warn_once("peering address of " + link.name, changed ? "" : changed.error().what);
    }
}

void Agent::apply_endpoints(const model::Changes& changes)
{
    for (const auto& [interface, endpoint] : changes.endpoints) {
        if (endpoint)
            endpoints_[interface] = *endpoint;
        else
            endpoints_.erase(interface);
        want_endpoint(interface);
    }
}

// Called when the endpoint changes and when its interface does: both must be there.
void Agent::want_endpoint(const std::string& interface)
{
    const auto endpoint = endpoints_.find(interface);
    const kernel::Link* link = links_.table().find(interface);
    if (endpoint == endpoints_.end() || link == nullptr) {
        slots_.erase(interface);
        datapath_->forget_endpoint(interface);
        for (const auto& [prefix, route] : local_routes_)
            if (route.interface_name == interface)
                want_local_route(prefix, route);
        return;
    }
    datapath::EndpointWant want;
    want.ifindex = link->ifindex;
    want.host_mac = link->mac;
    want.mac = endpoint->second.mac.value_or(model::Mac{});
    if (!endpoint->second.addresses.empty())
        want.address = endpoint->second.addresses.front();
    want.ingress = endpoint->second.ingress;
    want.egress = endpoint->second.egress;
    const auto slot = datapath_->want_endpoint(interface, want);
    warn_once("endpoint " + interface, slot ? "" : slot.error().what);
    if (slot)
        slots_[interface] = *slot;
    neighbours_due_.insert(interface);
    for (const auto& [prefix, route] : local_routes_)
        if (route.interface_name == interface)
            want_local_route(prefix, route);
}

void Agent::apply_routes(const model::Changes& changes)
{
    for (const auto& [prefix, route] : changes.routes) {
        const bool remote = route && route->kind == model::RouteKind::Remote;
        join_.set_owned(prefix,
                        remote ? std::optional(routing::Owned{route->node, route->node_address,
                                                              route->encap, is_announced(prefix)})
                               : std::nullopt);
        if (route && !remote) {
            local_routes_[prefix] = *route;
            want_local_route(prefix, *route);
            remote_.set_due(prefix); // a local route keeps a remote one out of the kernel
        } else if (const auto known = local_routes_.find(prefix); known != local_routes_.end()) {
            if (known->second.kind == model::RouteKind::LocalWorkload)
                kernel_routes_.unwant(workload_route(prefix, 0).key());
            else
                kernel_routes_.unwant(kernel::blackhole_route(prefix).key());
            local_routes_.erase(known);
            routes_.forget(RouteClaims::Layer::Local, prefix);
            remote_.set_due(prefix);
        }
    }
}

void Agent::want_local_route(const Prefix4& prefix, const model::WantedRoute& route)
{
    if (route.kind != model::RouteKind::LocalWorkload) {
        routes_.want(RouteClaims::Layer::Local, prefix, local_want(route));
        if (route.kind == model::RouteKind::Blackhole && prefix.length < 32)
            kernel_routes_.want(kernel::blackhole_route(prefix));
        return;
    }
    const kernel::Link* link = links_.table().find(route.interface_name);
    datapath::RouteWant want; // without interface: an own address without workload
    const auto slot = slots_.find(route.interface_name);
    if (slot != slots_.end()) {
        want.kind = ROUTE_ENDPOINT;
        want.endpoint = slot->second;
    }
    routes_.want(RouteClaims::Layer::Local, prefix, want);
    if (link != nullptr && link->up()) // the kernel takes no route by a device that is down
        kernel_routes_.want(workload_route(prefix, link->ifindex));
    else
        kernel_routes_.unwant(workload_route(prefix, 0).key());
}

kernel::Route Agent::workload_route(const Prefix4& prefix, kernel::IfIndex ifindex) const
{
    return kernel::workload_route(prefix.addr, ifindex, settings_.workload_route_metric);
}

// The host reaches a pod without asking, also one that answers no ARP.
void Agent::write_static_neighbours()
{
    for (const std::string& interface : std::exchange(neighbours_due_, {})) {
        const auto endpoint = endpoints_.find(interface);
        const kernel::Link* link = links_.table().find(interface);
        if (endpoint == endpoints_.end() || !endpoint->second.mac || link == nullptr || !link->up())
            continue; // one that is left over goes with its interface
        for (const Ipv4 address : endpoint->second.addresses)
            warn_if("ARP entry of ", Prefix4::host(address),
                    kernel::set_static_neighbour(*netlink_, link->ifindex, address,
                                                 *endpoint->second.mac));
    }
}

void Agent::apply_nodes(const model::Changes& changes)
{
    for (const auto& [address, node] : changes.nodes) {
        join_.set_node(address, node ? std::optional(node->name) : std::nullopt);
        if (node) {
            want_node(Prefix4::host(address), false);
            // A remote node's own address is no pod's; without this entry it were "outside" too,
            // but a node address may lie inside a pool.
            datapath::RouteWant outside;
            outside.kind = ROUTE_OUTSIDE;
            routes_.want(RouteClaims::Layer::NodeAddress, Prefix4::host(address), outside);
            nodes_[address] = *node;
        } else {
            if (external_nodes_.contains(Prefix4::host(address)))
                want_node(Prefix4::host(address), true);
            else
                forget_node(Prefix4::host(address));
            routes_.forget(RouteClaims::Layer::NodeAddress, Prefix4::host(address));
            nodes_.erase(address);
        }
    }
    if (!changes.nodes.empty())
        want_nat_sets();
}

// Who may send IPIP to us. Without room for it, it is denied and tried again.
void Agent::want_node(const Prefix4& source, bool external)
{
    const Status wanted = datapath_->want_node(source, external);
    warn_if("node ", source, wanted);
    if (wanted)
        refused_nodes_.erase(source);
    else
        refused_nodes_[source] = external;
}

void Agent::forget_node(const Prefix4& source)
{
    refused_nodes_.erase(source);
    warn_if("node ", source, {});
    datapath_->forget_node(source);
}

void Agent::retry_nodes()
{
    for (const auto& [source, external] : std::exchange(refused_nodes_, {}))
        want_node(source, external);
}

void Agent::apply_pools(const model::Changes& changes)
{
    for (const auto& [cidr, pool] : changes.pools) {
        if (pool) {
            pools_[cidr] = *pool;
            datapath::RouteWant none; // an address of the pool that no node holds
            none.kind = ROUTE_NONE;
            none.tunnelled = pool->ipip_mode == model::Encapsulation::Always;
            routes_.want(RouteClaims::Layer::Pool, cidr, none);
        } else {
            pools_.erase(cidr);
            routes_.forget(RouteClaims::Layer::Pool, cidr);
        }
    }
    if (changes.pools.empty())
        return;
    want_nat_sets();
    std::vector<Prefix4> tunnelled;
    for (const auto& [cidr, pool] : pools_)
        if (pool.ipip_mode != model::Encapsulation::Never)
            tunnelled.push_back(cidr);
    join_.set_tunnelled_pools(std::move(tunnelled));
}

// Whose traffic natOutgoing translates, and towards whom it does not.
void Agent::want_nat_sets()
{
    std::set<Prefix4> sources;
    std::set<Prefix4> exempt;
    for (const auto& [cidr, pool] : pools_) {
        exempt.insert(cidr);
        if (pool.nat_outgoing)
            sources.insert(cidr);
    }
    if (felix_.nat_outgoing_exclusions == "IPPoolsAndHostIPs")
        for (const auto& [address, node] : nodes_)
            exempt.insert(Prefix4::host(address));
    firewall_dirty_ |= sources != firewall_sets_.nat_sources || exempt != firewall_sets_.nat_exempt;
    firewall_sets_.nat_sources = std::move(sources);
    firewall_sets_.nat_exempt = std::move(exempt);
}

void Agent::apply_own_node(const model::OwnNode& own)
{
    registration_->check({own.present, own.address, own.tunnel_address});
    // Somebody deleted the own Node: margayd writes it again, and goes on as it was meanwhile.
    told_own_node_ = own;
    own_node_held_ = !own.present && own_node_.present;
    if (!own_node_held_)
        take_own_node();
}

void Agent::take_own_node()
{
    const auto held = own_node_.tunnel_address;
    own_node_ = told_own_node_;
    // Somebody took the tunnel address away, or the Node is written anew and does not have it yet.
    if (!own_node_.tunnel_address && registration_->state().tunnel_address == held)
        own_node_.tunnel_address = held;
    own_node_stated_ |= own_node_.present;
    remote_.set_all_due(); // the outer source may have changed
    set_datapath_config();
    ensure_tunnel_device();
    firewall_rules_dirty_ = true;
}

void Agent::apply_felix(const model::FelixConfiguration& felix)
{
    felix_ = felix;
    auto overlaid = config::with_datastore(config_, felix_settings(felix));
    refused_settings_ = overlaid.refused;
    warn_once("FelixConfiguration", fmt::format("{}", fmt::join(refused_settings_, "; ")));
    const config::Config before = std::exchange(settings_, std::move(overlaid.config));
    log_->set_level(spdlog::level::from_str(std::string(to_string(settings_.log_level))));
    if (before.interface_prefixes != settings_.interface_prefixes)
        apply_interface_prefixes(before.interface_prefixes);
    if (before.workload_route_metric != settings_.workload_route_metric)
        for (const auto& [prefix, route] : local_routes_)
            if (route.kind == model::RouteKind::LocalWorkload) {
                kernel_routes_.unwant(
                    kernel::workload_route(prefix.addr, 0, before.workload_route_metric).key());
                want_local_route(prefix, route);
            }
    apply_external_nodes();
    want_nat_sets();
    set_datapath_config();
    ensure_tunnel_device();
    firewall_rules_dirty_ = true;
    remote_.set_all_due();
}

// Interfaces that are workloads' now, and those that no longer are.
void Agent::apply_interface_prefixes(const std::vector<std::string>& before)
{
    for (const auto& [index, link] : links_.table().links()) {
        const bool was = has_prefix(link.name, before);
        if (was == is_workload(link.name))
            continue;
        if (was) {
            datapath_->forget_device(index);
        } else {
            uplinks_.erase(index); // its device is wanted otherwise now, and not to be forgotten
            adopt_workload(link);
        }
    }
    uplinks_due_ = true;
    want_host_addresses();
}

void Agent::apply_external_nodes()
{
    const std::set<Prefix4> now(settings_.external_nodes.begin(), settings_.external_nodes.end());
    const auto is_node = [this](const Prefix4& prefix) {
        return prefix.length == 32 && nodes_.contains(prefix.addr);
    };
    for (const Prefix4& prefix : external_nodes_)
        if (!now.contains(prefix) && !is_node(prefix))
            forget_node(prefix);
    for (const Prefix4& prefix : now)
        if (!external_nodes_.contains(prefix) && !is_node(prefix))
            want_node(prefix, true);
    external_nodes_ = now;
}

} // namespace margay
