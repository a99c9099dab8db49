// SPDX-License-Identifier: Apache-2.0

#include "agent/calc/bgp_calc.h"

#include <algorithm>
#include <utility>

#include "agent/calc/delta.h"

namespace margay::calc {
namespace {

constexpr std::uint16_t kBgpPort = 179;

std::string session_name(std::string_view kind, const Ip& address, std::uint16_t port)
{
    std::string name = address.str();
    for (char& c : name)
        if (c == '.' || c == ':')
            c = '_';
    name = std::string(kind) + "_" + name;
    return port == kBgpPort ? name : name + "_port_" + std::to_string(port);
}

// A prefix that is announced as it is; a single address is announced with its service only.
void add_service_routes(const model::Nets& cidrs, model::Nets& into)
{
    for (const Prefix4& cidr : cidrs.v4)
        if (cidr.length < Ipv4::kBits)
            into.v4.push_back(cidr);
    for (const Prefix6& cidr : cidrs.v6)
        if (cidr.length < Ipv6::kBits)
            into.v6.push_back(cidr);
}

void append(const model::Nets& nets, model::Nets& into)
{
    into.v4.insert(into.v4.end(), nets.v4.begin(), nets.v4.end());
    into.v6.insert(into.v6.end(), nets.v6.begin(), nets.v6.end());
}

} // namespace

// ---- What is known -----------------------------------------------------------------------------

template <typename Value>
void BgpCalc::put(std::map<std::string, Value>& table, const std::string& name, const Value* value)
{
    const auto known = table.find(name);
    if (known == table.end() ? value == nullptr : value && known->second == *value)
        return;
    if (value)
        table.insert_or_assign(name, *value);
    else
        table.erase(known);
    dirty_ = true;
}

void BgpCalc::set_node(const std::string& name, const model::Node* node)
{
    put(nodes_, name, node);
}

void BgpCalc::set_configuration(const std::string& name,
                                const model::BgpConfiguration* configuration)
{
    put(configurations_, name, configuration);
}

void BgpCalc::set_peer(const std::string& name, const model::BgpPeer* peer)
{
    put(peers_, name, peer);
}

void BgpCalc::set_filter(const std::string& name, const model::BgpFilter* filter)
{
    put(filters_, name, filter);
}

void BgpCalc::set_pool(const std::string& name, const model::IpPool* pool)
{
    put(pools_, name, pool);
}

void BgpCalc::set_affinity(const model::ResourceKey& key, const model::BlockAffinity* affinity)
{
    if (key.ns != "host:" + own_)
        return;
    if (affinity)
        affinities_.insert_or_assign(key, *affinity);
    else
        affinities_.erase(key);
    dirty_ = true;
}

void BgpCalc::set_workload(const model::ResourceKey& key, const model::WorkloadEndpoint& endpoint,
                           const model::Labels& labels)
{
    if (endpoint.addresses.v4.empty())
        return remove_workload(key);
    const Workload workload{labels, endpoint.addresses.v4.front().addr, endpoint.interface_name};
    const auto [known, fresh] = workloads_.try_emplace(key);
    if (!fresh && known->second == workload)
        return;
    known->second = workload;
    workloads_changed();
}

void BgpCalc::remove_workload(const model::ResourceKey& key)
{
    if (workloads_.erase(key) > 0)
        workloads_changed();
}

// They come and go all the time, and concern sessions only where a BGPPeer selects any.
void BgpCalc::workloads_changed()
{
    dirty_ |= std::ranges::any_of(
        peers_, [](const auto& peer) { return peer.second.workload_selector.has_value(); });
}

const model::BgpConfiguration* BgpCalc::configuration(const std::string& name) const
{
    const auto at = configurations_.find(name);
    return at == configurations_.end() ? nullptr : &at->second;
}

std::uint16_t BgpCalc::listen_port_of(const std::string& node) const
{
    for (const auto* configured : {configuration("node." + node), configuration("default")})
        if (configured && configured->listen_port)
            return *configured->listen_port;
    return kBgpPort;
}

std::uint32_t BgpCalc::global_as() const
{
    const auto* global = configuration("default");
    return global && global->as_number ? *global->as_number : model::LocalBgp{}.as_number;
}

const model::Node* BgpCalc::own_node() const
{
    const auto own = nodes_.find(own_);
    return own == nodes_.end() ? nullptr : &own->second;
}

std::optional<Ip> BgpCalc::own_address(bool v4) const
{
    const auto* own = own_node();
    if (own && v4 && own->ipv4_address)
        return Ip(own->ipv4_address->addr);
    if (own && !v4 && own->ipv6_address)
        return Ip(own->ipv6_address->addr);
    return std::nullopt;
}

// The first by name, or "".
std::string BgpCalc::node_at(const Ip& address) const
{
    for (const auto& [name, node] : nodes_) {
        const bool here = address.is_v4()
                              ? node.ipv4_address && node.ipv4_address->addr == address.v4()
                              : node.ipv6_address && node.ipv6_address->addr == address.v6();
        if (here)
            return name;
    }
    return "";
}

// Mesh, AS number, restart time and bind mode are taken from the "default" object alone.
model::LocalBgp BgpCalc::local() const
{
    model::LocalBgp local;
    local.listen_port = listen_port_of(own_);
    local.as_number = global_as();
    if (const auto* global = configuration("default")) {
        local.mesh_enabled = global->mesh_enabled.value_or(true);
        local.restart_time = global->mesh_restart_time.value_or(local.restart_time);
        local.bind_node_address = global->bind_mode == "NodeIP";
    }
    const auto* own = own_node();
    if (!own)
        return local;
    local.as_number = own->as_number.value_or(local.as_number);
    local.route_reflector_cluster_id = own->route_reflector_cluster_id;
    if (own->ipv4_address) {
        local.address = own->ipv4_address->addr;
        local.network = own->ipv4_address->network();
    }
    return local;
}

// ---- Sessions ----------------------------------------------------------------------------------

// The mesh joins all nodes that are no route reflectors. Of two nodes the one whose address is
// the smaller text waits: "10.0.0.10" for "10.0.0.9".
void BgpCalc::add_mesh(const model::LocalBgp& local, Found& into) const
{
    if (!local.mesh_enabled || !local.route_reflector_cluster_id.empty())
        return;
    const auto* global = configuration("default");
    std::vector<End> ends;
    for (const auto& [name, node] : nodes_)
        if (node.route_reflector_cluster_id.empty())
            add_ends(node, ends);
    for (const End& end : ends) {
        const auto own = own_address(end.address.is_v4());
        const std::uint16_t port = listen_port_of(end.node);
        if (!own || end.address == *own || into.has(end.address, port))
            continue;
        model::BgpSession session;
        session.origin = "mesh";
        session.node = end.node;
        session.address = end.address;
        session.port = port;
        // Our own AS, not the global one, where the peer names none: so it always was.
        session.as_number = nodes_.at(end.node).as_number.value_or(local.as_number);
        session.source = own;
        session.passive = end.address.str() > own->str();
        if (global)
            session.password = global->mesh_password;
        session.restart_time = local.restart_time;
        // The port is the node's matter, and no part of the name.
        into.add(session_name("Mesh", end.address, kBgpPort), session);
    }
}

void BgpCalc::add_ends(const model::Node& node, std::vector<End>& into) const
{
    if (node.name == own_)
        return;
    const std::uint32_t as_number = node.as_number.value_or(global_as());
    if (node.ipv4_address)
        into.push_back({node.name, node.ipv4_address->addr, std::nullopt, as_number});
    if (node.ipv6_address)
        into.push_back({node.name, node.ipv6_address->addr, std::nullopt, as_number});
}

bool BgpCalc::is_on(const model::BgpPeer& peer, const model::Node& node) const
{
    if (!peer.node.empty())
        return peer.node == node.name;
    return !peer.node_selector || peer.node_selector->matches(node.labels);
}

std::vector<BgpCalc::End> BgpCalc::ends_of(const model::BgpPeer& peer) const
{
    std::vector<End> ends;
    if (peer.address)
        ends.push_back({node_at(*peer.address), *peer.address, peer.port, peer.as_number});
    else if (peer.peer_selector)
        for (const auto& [name, node] : nodes_)
            if (peer.peer_selector->matches(node.labels))
                add_ends(node, ends);
    return ends;
}

model::BgpSession BgpCalc::session(const model::LocalBgp& local, const model::BgpPeer& peer,
                                   const End& end, bool reverse) const
{
    model::BgpSession session;
    session.origin = peer.name;
    session.node = end.node;
    session.address = end.address;
    session.port = end.port.value_or(end.node.empty() ? kBgpPort : listen_port_of(end.node));
    session.as_number = end.as_number;
    if (reverse) // the AS that the other end shows on this session
        session.as_number = peer.local_as_number.value_or(end.as_number);
    else
        session.local_as_number = peer.local_as_number;
    if (peer.from_node_address)
        session.source = own_address(end.address.is_v4());
    session.next_hop = peer.next_hop;
    session.password = peer.password;
    session.ttl_security = peer.ttl_security;
    session.allowed_own_as = peer.allowed_own_as;
    session.restart_time = peer.max_restart_time;
    session.keepalive_time = peer.keepalive_time;
    session.filters = peer.filters;
    const auto own = own_address(end.address.is_v4());
    session.passive =
        peer.is_global() && !reverse && !end.node.empty() && own && end.address.str() > own->str();
    // RFC 4456: reflectors of one cluster are no clients of each other.
    const bool internal = session.local_as_number.value_or(local.as_number) == session.as_number;
    const auto node = nodes_.find(end.node);
    const std::string cluster = node == nodes_.end() ? "" : node->second.route_reflector_cluster_id;
    session.reflector_client = internal && !local.route_reflector_cluster_id.empty() &&
                               cluster != local.route_reflector_cluster_id;
    if (peer.reachable_by && peer.reachable_by->is_v4() && end.address.is_v4() && !reverse)
        session.reachable_by = peer.reachable_by->v4();
    return session;
}

void BgpCalc::add_peers(const model::LocalBgp& local, bool global, Found& into) const
{
    const auto* own = own_node();
    for (const auto& [name, peer] : peers_) {
        if (peer.is_global() != global || !own || !is_on(peer, *own))
            continue;
        if (peer.workload_selector)
            add_workloads(local, peer, into);
        for (const End& end : ends_of(peer)) {
            const auto own_here = own_address(end.address.is_v4());
            if (!own_here || end.address == *own_here)
                continue;
            const auto made = session(local, peer, end, false);
            into.add(session_name(global ? "Global" : "Node", made.address, made.port), made);
        }
    }
}

// We have the same address towards all of them.
void BgpCalc::add_workloads(const model::LocalBgp& local, const model::BgpPeer& peer,
                            Found& into) const
{
    const auto* global = configuration("default");
    for (const auto& [key, workload] : workloads_) {
        if (!peer.workload_selector->matches(workload.labels))
            continue;
        const End end{"", Ip(workload.address), std::nullopt, peer.as_number};
        auto made = session(local, peer, end, false);
        made.workload_interface = workload.interface_name;
        made.reachable_by.reset();
        made.source.reset();
        if (global && global->workload_peering4)
            made.source = Ip(*global->workload_peering4);
        into.add(session_name("Local_Workload", made.address, made.port), made);
    }
}

// The other way round: of the nodes that the BGPPeer is on.
std::vector<BgpCalc::End> BgpCalc::ends_on(const model::BgpPeer& peer) const
{
    std::vector<End> ends;
    if (const auto node = nodes_.find(peer.node); node != nodes_.end()) {
        add_ends(node->second, ends); // one BGPPeer a node may be many
    } else if (peer.node.empty()) {
        for (const auto& [name, each] : nodes_)
            if (is_on(peer, each))
                add_ends(each, ends);
    }
    return ends;
}

// Is this node a peer of the nodes that the BGPPeer is on?
bool BgpCalc::names_us(const model::BgpPeer& peer, const model::LocalBgp& local) const
{
    const auto* own = own_node();
    if (!own)
        return false;
    if (peer.peer_selector)
        return peer.peer_selector->matches(own->labels);
    return peer.address && peer.address == own_address(peer.address->is_v4()) &&
           peer.as_number == local.as_number &&
           peer.port.value_or(local.listen_port) == local.listen_port;
}

void BgpCalc::add_reverse(const model::LocalBgp& local, Found& into) const
{
    for (const auto& [name, peer] : peers_) {
        if (!peer.reverse || !names_us(peer, local))
            continue;
        for (const End& end : ends_on(peer)) {
            const auto own_here = own_address(end.address.is_v4());
            const bool same_family = !peer.address || peer.address->is_v4() == end.address.is_v4();
            if (!own_here || !same_family || end.address == *own_here)
                continue;
            const auto made = session(local, peer, end, true);
            into.add(session_name("Node", made.address, made.port), made);
        }
    }
}

// Without an IPv4 address there is no speaker.
BgpCalc::Sessions BgpCalc::sessions(const model::LocalBgp& local) const
{
    Found found;
    if (!local.address)
        return {};
    add_peers(local, true, found);
    add_peers(local, false, found);
    add_reverse(local, found);
    add_mesh(local, found);
    return found.take();
}

// ---- Export ------------------------------------------------------------------------------------

// The own object's list stands for all of the default's.
const std::vector<model::PrefixAdvertisement>* BgpCalc::advertisements() const
{
    for (const auto* configured : {configuration("node." + own_), configuration("default")})
        if (configured && configured->prefix_advertisements)
            return &*configured->prefix_advertisements;
    return nullptr;
}

model::BgpExport BgpCalc::exported() const
{
    model::BgpExport out;
    for (const auto& [name, pool] : pools_)
        out.pools.push_back({pool.cidr, !pool.disable_bgp_export});
    std::ranges::sort(out.pools);
    for (const auto& [key, affinity] : affinities_)
        if (affinity.state == model::AffinityState::Confirmed)
            out.own_blocks.push_back(affinity.cidr);
    std::ranges::sort(out.own_blocks);
    if (const auto* list = advertisements())
        out.advertisements = *list;
    const auto* global = configuration("default");
    if (!global)
        return out;
    out.priority4 = global->route_priority4.value_or(out.priority4);
    out.priority6 = global->route_priority6.value_or(out.priority6);
    add_service_routes(global->service_cluster_ips, out.service_routes);
    add_service_routes(global->service_external_ips, out.service_routes);
    if (global->aggregates_load_balancer_ips)
        add_service_routes(global->service_load_balancer_ips, out.service_routes);
    if (const auto* own = own_node(); own && !own->route_reflector_cluster_id.empty()) {
        append(global->service_external_ips, out.reflected_services);
        append(global->service_load_balancer_ips, out.reflected_services);
    }
    return out;
}

void BgpCalc::take_changes(model::Changes& into)
{
    if (!std::exchange(dirty_, false))
        return;
    const auto now = local();
    if (local_published_ != now)
        into.bgp = local_published_ = now;
    if (auto table = exported(); export_published_ != table)
        into.bgp_export = export_published_ = std::move(table);
    publish(filters_published_, filters_, into.bgp_filters);
    publish(sessions_published_, sessions(now), into.bgp_sessions);
}

} // namespace margay::calc
