// SPDX-License-Identifier: Apache-2.0
// What a turn does: wanted state goes from calc and routing to data path, kernel, firewall, BGP.
#include "agent/agent.h"

#include "agent/kernel/autodetect.h"
#include "agent/kernel/neighbours.h"
#include "agent/kernel/sysctl.h"
#include "agent/kernel/tunnel_device.h"

#include <boost/asio/post.hpp>

#include <algorithm>

namespace margay {
namespace {

// Kernel calls a turn; a large change takes several turns, so that keepalives are never late.
constexpr std::size_t kBudget = 2000;
constexpr std::chrono::milliseconds kNextTurn{1};
constexpr std::chrono::milliseconds kAfterFailure{500};

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

endpoint_to_host to_host(config::EndpointToHost action)
{
    switch (action) {
    case config::EndpointToHost::Accept:
        return TO_HOST_ACCEPT;
    case config::EndpointToHost::Return:
        return TO_HOST_RETURN;
    case config::EndpointToHost::Drop:
        break;
    }
    return TO_HOST_DROP;
}

datapath::RouteWant local_want(const model::WantedRoute& route)
{
    datapath::RouteWant want;
    want.kind = route.kind == model::RouteKind::Host ? ROUTE_HOST : ROUTE_BLACKHOLE;
    return want;
}

} // namespace

void Agent::schedule_turn(std::chrono::milliseconds delay)
{
    if (!turn_timer_.running() || delay.count() == 0)
        turn_timer_.start(delay, [this] { turn(); });
}

void Agent::turn()
{
    if (!synced_ || !datapath_)
        return; // what the last run left stays in force until we know better
    const model::Changes changes = calc_.take_changes();
    if (!changes.empty())
        apply(changes);
    apply_paths();
    routes_.retry();
    flush();
}

void Agent::apply(const model::Changes& changes)
{
    if (changes.felix)
        apply_felix(*changes.felix);
    if (changes.own_node)
        apply_own_node(*changes.own_node);
    for (const auto& [prefix, sets] : changes.classes)
        warn_if("address class of ", prefix,
                datapath_->want_class(prefix, sets ? *sets : datapath::SetList{}));
    apply_nodes(changes);
    apply_pools(changes);
    apply_endpoints(changes);
    apply_routes(changes);
    apply_bgp(changes);
}

void Agent::apply_bgp(const model::Changes& changes)
{
    // While the own Node is away it is being repaired: sessions go on with what they have.
    if (!own_node_held_) {
        peering_->apply(changes);
    } else {
        model::Changes rest = changes;
        rest.bgp.reset();
        peering_->apply(rest);
    }
    join_.set_peers(peering_->peer_addresses());
    if (!peering_->speaker())
        join_.set_bgp_settled(); // nobody to wait for
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
            paths_due_.insert(prefix); // a local route keeps a remote one out of the kernel
        } else if (const auto known = local_routes_.find(prefix); known != local_routes_.end()) {
            if (known->second.kind == model::RouteKind::LocalWorkload)
                kernel_routes_.unwant(workload_route(prefix, 0).key());
            else
                kernel_routes_.unwant(kernel::blackhole_route(prefix).key());
            local_routes_.erase(known);
            routes_.forget(RouteClaims::Layer::Local, prefix);
            paths_due_.insert(prefix);
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
            warn_if("node ", Prefix4::host(address),
                    datapath_->want_node(Prefix4::host(address), false));
            // A remote node's own address is no pod's; without this entry it were "outside" too,
            // but a node address may lie inside a pool.
            datapath::RouteWant outside;
            outside.kind = ROUTE_OUTSIDE;
            routes_.want(RouteClaims::Layer::NodeAddress, Prefix4::host(address), outside);
            nodes_[address] = *node;
        } else {
            if (external_nodes_.contains(Prefix4::host(address)))
                warn_if("node ", Prefix4::host(address),
                        datapath_->want_node(Prefix4::host(address), true));
            else
                datapath_->forget_node(Prefix4::host(address));
            routes_.forget(RouteClaims::Layer::NodeAddress, Prefix4::host(address));
            nodes_.erase(address);
        }
    }
    if (!changes.nodes.empty())
        want_nat_sets();
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
    own_node_held_ = !own.present && own_node_.present;
    if (own_node_held_)
        return;
    own_node_ = own;
    own_node_stated_ = true;
    for (const auto& [prefix, path] : paths_)
        paths_due_.insert(prefix); // the outer source may have changed
    set_datapath_config();
    ensure_tunnel_device();
    firewall_rules_dirty_ = true;
}

void Agent::apply_felix(const model::FelixConfiguration& felix)
{
    felix_ = felix;
    auto overlaid = config::with_datastore(config_, felix_settings(felix));
    std::string refused;
    for (const std::string& line : overlaid.refused)
        refused += (refused.empty() ? "" : "; ") + line;
    warn_once("FelixConfiguration", refused);
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
    for (const auto& [prefix, path] : paths_)
        paths_due_.insert(prefix);
}

// Interfaces that are workloads' now, and those that no longer are.
void Agent::apply_interface_prefixes(const std::vector<std::string>& before)
{
    for (const auto& [index, link] : links_.table().links()) {
        const bool was = has_prefix(link.name, before);
        if (was == is_workload(link.name))
            continue;
        if (was)
            datapath_->forget_device(index);
        else
            adopt_workload(link);
    }
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
            datapath_->forget_node(prefix);
    for (const Prefix4& prefix : now)
        if (!external_nodes_.contains(prefix) && !is_node(prefix))
            warn_if("external node ", prefix, datapath_->want_node(prefix, true));
    external_nodes_ = now;
}

// --- Remote prefixes -----------------------------------------------------------------------------

void Agent::apply_paths()
{
    for (const routing::Change& change : join_.take_changes()) {
        paths_due_.insert(change.prefix);
        watch_hops(change.prefix,
                   change.decision ? change.decision->next_hops : std::vector<Ipv4>{});
    }
    for (const Prefix4& prefix : std::exchange(paths_due_, {})) {
        plan(prefix);
        uplinks_due_ = true;
    }
    if (std::exchange(uplinks_due_, false))
        update_uplinks();
}

void Agent::watch_hops(const Prefix4& prefix, const std::vector<Ipv4>& hops)
{
    for (const Ipv4 hop : std::exchange(hops_of_[prefix], hops)) {
        auto& waiting = prefixes_by_hop_[hop];
        waiting.erase(prefix);
    }
    for (const Ipv4 hop : hops) {
        prefixes_by_hop_[hop].insert(prefix);
        // A neighbour that the kernel knew already is no news that on_targets() would bring.
        (void)resolver_.watch(hop);
        use_neighbour(hop);
    }
    for (auto it = prefixes_by_hop_.begin(); it != prefixes_by_hop_.end();) {
        if (!it->second.empty()) {
            ++it;
            continue;
        }
        resolver_.unwatch(it->first);
        it = prefixes_by_hop_.erase(it);
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
    const bool tunnelled = planned.route.path.reachable && planned.route.path.encap;
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
        return entry.second.route.path.reachable && entry.second.route.path.ifindex == link.ifindex;
    });
}

void Agent::update_uplinks()
{
    for (const auto& [index, link] : links_.table().links()) {
        const bool wanted = wants_uplink(link);
        if (wanted == uplinks_.contains(index))
            continue;
        if (!wanted) {
            datapath_->forget_device(index);
            uplinks_.erase(index);
            continue;
        }
        datapath_->want_uplink(index, xdp_mode(config_.xdp));
        uplinks_.insert(index);
        const auto filter = kernel::read_rp_filter(link.name);
        if (filter && !filter->usable())
            warn_once("rp_filter " + link.name,
                      "net.ipv4.conf." + link.name +
                          ".rp_filter is 1 (strict) and drops packets from the tunnel; set it to "
                          "0 or 2");
    }
}

// --- This node -----------------------------------------------------------------------------------

void Agent::want_host_addresses()
{
    std::set<Ipv4> now;
    for (const auto& [index, link] : links_.table().links())
        if (!is_workload(link.name))
            for (const auto& address : links_.table().addresses(index))
                now.insert(address.prefix.addr);
    for (const Ipv4 address : now)
        if (!host_addresses_.contains(address)) {
            datapath::RouteWant want;
            want.kind = ROUTE_HOST;
            routes_.want(RouteClaims::Layer::HostAddress, Prefix4::host(address), want);
        }
    for (const Ipv4 address : host_addresses_)
        if (!now.contains(address))
            routes_.forget(RouteClaims::Layer::HostAddress, Prefix4::host(address));
    host_addresses_ = std::move(now);
}

void Agent::set_datapath_config()
{
    datapath::ConfigWant wanted;
    if (own_node_.address)
        wanted.node_address = own_node_.address->addr;
    wanted.ipip = settings_.ipip_enabled.value_or(true);
    wanted.ipip_from_workloads = settings_.allow_ipip_from_workloads;
    wanted.vxlan_from_workloads = settings_.allow_vxlan_from_workloads;
    wanted.vxlan_port = static_cast<std::uint16_t>(felix_.vxlan_port.value_or(4789));
    wanted.to_host = to_host(settings_.endpoint_to_host);
    datapath_->want_config(wanted);
}

void Agent::ensure_tunnel_device()
{
    // Before the datastore has told the own Node, the address that an earlier run gave stays: routes
    // of the host hang on it.
    if (!own_node_stated_ || !netlink_)
        return;
    kernel::TunnelSpec spec;
    spec.address = own_node_.tunnel_address;
    const kernel::Link* own =
        own_node_.address ? links_.table().owner(own_node_.address->addr) : nullptr;
    if (own != nullptr && own->mtu > kernel::kIpipOverhead)
        spec.mtu = own->mtu - kernel::kIpipOverhead;
    if (settings_.ipip_mtu != 0)
        spec.mtu = std::min(spec.mtu, settings_.ipip_mtu);
    const auto device = kernel::ensure_tunnel_device(*netlink_, spec);
    if (!device) {
        warn_once("device tunl0", device.error().what);
        return;
    }
    std::string foreign;
    for (const Prefix4& address : device->foreign_addresses)
        foreign += " " + address.str();
    warn_once("device tunl0", foreign.empty() ? "" : "not ours, carries" + foreign);
    // Makes the kernel answer the pods' ARP for their gateway on a host without default route.
    kernel_routes_.want(kernel::gateway_route(device->link.ifindex));
}

kernel::FirewallConfig Agent::firewall_config() const
{
    const struct constants marks = mark_constants(config_.mark_mask);
    kernel::FirewallConfig wanted;
    wanted.workload_prefixes = settings_.interface_prefixes;
    wanted.judged = {marks.mark_seen, marks.mark_seen};
    wanted.bypass = kernel::MarkMatch{marks.mark_notrack, marks.mark_notrack};
    wanted.pending = kernel::MarkMatch{marks.mark_pending, marks.mark_pending};
    wanted.tunnel_address = own_node_.tunnel_address;
    wanted.nat_address = felix_.nat_outgoing_address;
    wanted.nat_ports = felix_.nat_port_range;
    if (felix_.nat_outgoing_interface_filter)
        wanted.nat_out_interfaces = {*felix_.nat_outgoing_interface_filter};
    return wanted;
}

void Agent::install_firewall()
{
    note_judged_devices();
    const auto installed = firewall_->install(firewall_config(), firewall_sets_);
    warn_once("nftables", installed ? "" : installed.error().what);
    firewall_rules_dirty_ = !installed;
    firewall_dirty_ = !installed;
}

// Interfaces that programs of ours judge in both directions, be it those of an earlier run. Returns
// whether they changed.
bool Agent::note_judged_devices()
{
    std::set<kernel::IfIndex> attached;
    std::set<kernel::IfIndex> uplinks;
    if (datapath_)
        for (const std::uint32_t ifindex : datapath_->judged_devices())
            if (const kernel::Link* link = links_.table().find(ifindex))
                (is_workload(link->name) ? attached : uplinks).insert(ifindex);
    const bool changed = attached != firewall_sets_.attached || uplinks != firewall_sets_.uplinks;
    firewall_sets_.attached = std::move(attached);
    firewall_sets_.uplinks = std::move(uplinks);
    return changed;
}

void Agent::update_firewall()
{
    if (firewall_rules_dirty_)
        return install_firewall();
    firewall_dirty_ |= note_judged_devices();
    if (!firewall_dirty_)
        return;
    const auto updated = firewall_->update(firewall_sets_);
    warn_once("nftables", updated ? "" : updated.error().what);
    firewall_dirty_ = !updated;
}

// --- The end of a turn ---------------------------------------------------------------------------

void Agent::flush()
{
    if (stated_ && join_.bgp_settled() && !std::exchange(routes_complete_, true)) {
        datapath_->set_routes_complete();
        kernel_routes_.allow_removals();
    }
    // What the data path refuses or has no budget for, it tries again by itself.
    const auto flushed = datapath_->flush(kBudget);
    warn_once("data path", flushed ? "" : flushed.error().what);
    if (datapath_->settled())
        calc_.release_retired();
    update_firewall();
    write_static_neighbours();
    const auto routes_left = kernel_routes_.flush(kBudget);
    warn_once("kernel routes", routes_left ? "" : routes_left.error().what);
    if (!routes_left)
        return schedule_turn(kAfterFailure);
    if (!stated_) {
        // All of the snapshot has been stated: what is left of an earlier run is stale now, but
        // for the ways to other nodes that BGP may yet name.
        stated_ = true;
        datapath_->set_in_sync();
        kernel_routes_.allow_removals(kernel::RoutePlan::Keep::ByGateway);
        return schedule_turn();
    }
    if (*routes_left > 0 || (!flushed_once_ && !datapath_->settled()))
        return schedule_turn(kNextTurn);
    if (!flushed_once_) {
        flushed_once_ = true;
        log_->info("in sync revision={}", revision_);
    }
    if (calc_.dirty()) // sets that nobody reads any more
        schedule_turn(kNextTurn);
    else if (datapath_->hooks_due()) // the guard opens to devices whose hooks are in place
        schedule_turn(flushed ? kNextTurn : kAfterFailure);
    else if (calc_.waiting() || routes_.pending())
        schedule_turn(kAfterFailure);
}

std::vector<std::string> Agent::not_ready() const
{
    std::vector<std::string> why;
    if (registration_ && !registration_->done())
        why.push_back("registration: " + registration_->trouble());
    if (registration_ && !registration_->state().conflict.empty())
        why.push_back(registration_->state().conflict);
    if (!synced_)
        why.push_back("datastore: no complete snapshot yet" +
                      (store_ && !store_->status().reason.empty()
                           ? " (" + store_->status().reason + ")"
                           : std::string()));
    else if (!flushed_once_)
        why.emplace_back("data path: the first snapshot is being applied");
    for (const char* topic : {"nftables", "data path"})
        if (const auto wrong = warnings_.find(topic);
            wrong != warnings_.end() && !wrong->second.empty())
            why.push_back(wrong->first + ": " + wrong->second);
    return why;
}

} // namespace margay
