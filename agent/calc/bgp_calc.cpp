// SPDX-License-Identifier: Apache-2.0

#include "agent/calc/bgp_calc.h"

#include <algorithm>
#include <utility>

#include "agent/calc/delta.h"

namespace margay::calc {
namespace {

constexpr std::uint16_t kBgpPort = 179;

std::string session_name(Ipv4 address)
{
    std::string name = "Mesh_" + address.str();
    std::replace(name.begin(), name.end(), '.', '_');
    return name;
}

} // namespace

void BgpCalc::set_node(const std::string& name, const model::Node* node)
{
    if (node)
        nodes_.insert_or_assign(name, *node);
    else
        nodes_.erase(name);
    dirty_ = true;
}

void BgpCalc::set_configuration(const std::string& name,
                                const model::BgpConfiguration* configuration)
{
    if (configuration)
        configurations_.insert_or_assign(name, *configuration);
    else
        configurations_.erase(name);
    dirty_ = true;
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

// Mesh, AS number, restart time and bind mode are taken from the "default" object alone.
model::LocalBgp BgpCalc::local() const
{
    model::LocalBgp local;
    local.listen_port = listen_port_of(own_);
    if (const auto* global = configuration("default")) {
        local.mesh_enabled = global->mesh_enabled.value_or(true);
        local.as_number = global->as_number.value_or(local.as_number);
        local.restart_time = global->mesh_restart_time.value_or(local.restart_time);
        local.bind_node_address = global->bind_mode == "NodeIP";
    }
    const auto own = nodes_.find(own_);
    if (own == nodes_.end())
        return local;
    local.as_number = own->second.as_number.value_or(local.as_number);
    local.route_reflector_cluster_id = own->second.route_reflector_cluster_id;
    if (own->second.ipv4_address)
        local.address = own->second.ipv4_address->addr;
    return local;
}

// The mesh joins all nodes that are no route reflectors. Of two nodes the one whose address is
// the smaller text waits: "10.0.0.10" for "10.0.0.9".
std::map<std::string, model::MeshPeer> BgpCalc::mesh(const model::LocalBgp& local) const
{
    std::map<std::string, model::MeshPeer> peers;
    if (!local.mesh_enabled || !local.address || !local.route_reflector_cluster_id.empty())
        return peers;
    for (const auto& [name, node] : nodes_) {
        if (name == own_ || !node.ipv4_address || !node.route_reflector_cluster_id.empty())
            continue;
        const Ipv4 address = node.ipv4_address->addr;
        if (address == *local.address)
            continue;
        model::MeshPeer peer;
        peer.node = name;
        peer.address = address;
        peer.port = listen_port_of(name);
        // Our own AS, not the global one, where the peer names none: so it always was.
        peer.as_number = node.as_number.value_or(local.as_number);
        peer.passive = address.str() > local.address->str();
        peers.emplace(session_name(address), peer); // of two with one address the first by name
    }
    return peers;
}

void BgpCalc::take_changes(model::Changes& into)
{
    if (!std::exchange(dirty_, false))
        return;
    const auto now = local();
    if (local_published_ != now)
        into.bgp = local_published_ = now;
    publish(mesh_published_, mesh(now), into.mesh_peers);
}

} // namespace margay::calc
