// SPDX-License-Identifier: Apache-2.0
// The own Node: address, AS number, tunnel address.
#include "agent/startup/startup.h"

#include "agent/ipam/json.h"
#include "agent/ipam/stored_resources.h"
#include "agent/startup/edit.h"

#include <algorithm>

namespace margay::startup {
namespace {

namespace json = boost::json;
using config::NodeIp;

constexpr const char* kNodeIpType = "CalicoNodeIP";

struct StoredNode {
    bool exists = false;
    std::optional<Prefix4> address;
    std::optional<Ipv4> tunnel_address;
};

Result<StoredNode> read_node(store::Kv& kv, const std::string& node)
{
    const auto entry = kv.get(resource_key("nodes", node));
    if (!entry)
        return entry.error();
    StoredNode stored;
    if (!*entry)
        return stored;
    auto object = ipam::parse_object((*entry)->value, "Node " + node);
    if (!object)
        return object.error();
    const json::object& bgp = member(member(*object, "spec"), "bgp");
    stored.exists = true;
    stored.address = Prefix4::parse(text(bgp, "ipv4Address"));
    stored.tunnel_address = Ipv4::parse(text(bgp, "ipv4IPIPTunnelAddr"));
    return stored;
}

const Prefix4* on_host(Ipv4 address, const Surroundings& surroundings)
{
    const auto it = std::ranges::find(surroundings.host_addresses, address, &Prefix4::addr);
    return it == surroundings.host_addresses.end() ? nullptr : &*it;
}

Prefix4 fixed_address(const NodeIp& ip, const Surroundings& surroundings,
                      std::vector<std::string>& notes)
{
    const Prefix4* found = on_host(ip.address.addr, surroundings);
    if (!found)
        notes.push_back("address " + ip.address.addr.str() + " of this node is on no interface");
    return ip.length_given || !found ? ip.address : *found;
}

// What the Node's address ought to be; none for IP=none.
Result<std::optional<Prefix4>> wanted_address(const NodeIp& ip, const StoredNode& stored,
                                              const Surroundings& surroundings,
                                              std::vector<std::string>& notes)
{
    if (ip.kind == NodeIp::Kind::None)
        return std::optional<Prefix4>();
    if (ip.kind == NodeIp::Kind::Fixed)
        return std::optional(fixed_address(ip, surroundings, notes));
    if (ip.kind == NodeIp::Kind::Keep && stored.address)
        return stored.address;
    if (surroundings.detected)
        return surroundings.detected;
    if (stored.address && on_host(stored.address->addr, surroundings)) {
        notes.push_back("address kept=" + stored.address->str() +
                        ": none was detected: " + surroundings.detection);
        return stored.address;
    }
    return Error{Errc::Unavailable, 0,
                 "this node has no address: " + surroundings.detection +
                     "; set IP or IP_AUTODETECTION_METHOD"};
}

bool reports_status(store::Kv& kv, const std::string& node)
{
    const auto entry = kv.get("/calico/felix/v2/no-region/host/" + node + "/status");
    return entry && *entry;
}

std::string describe_conflict(store::Kv& kv, const std::string& other, Ipv4 address)
{
    if (reports_status(kv, other))
        return "node " + other + " has address " + address.str() +
               " too and reports its status: one of the two must change";
    return "node " + other + " has address " + address.str() +
           " too; if it is gone, delete it (calicoctl delete node " + other +
           "), or start with DISABLE_NODE_IP_CHECK=true";
}

// The reason, or "" when nobody else has the address.
Result<std::string> find_conflict(store::Kv& kv, const std::string& node, Ipv4 address)
{
    const auto entries = kv.list(ipam::resource_prefix("nodes"));
    if (!entries)
        return entries.error();
    const std::string own = resource_key("nodes", node);
    for (const store::Entry& entry : *entries) {
        auto object = ipam::parse_object(entry.value, entry.key);
        if (entry.key == own || !object)
            continue;
        const auto theirs =
            Prefix4::parse(text(member(member(*object, "spec"), "bgp"), "ipv4Address"));
        if (theirs && theirs->addr == address)
            return describe_conflict(kv, entry.key.substr(entry.key.rfind('/') + 1), address);
    }
    return std::string();
}

bool is_own_ipv4_entry(const json::value& entry)
{
    const json::object* object = entry.if_object();
    return object && text(*object, "type") == kNodeIpType &&
           Prefix4::parse(text(*object, "address"));
}

// spec.addresses with our address first and everybody else's entries as they are.
bool set_addresses(json::object& spec, const std::optional<Prefix4>& address)
{
    json::array wanted;
    if (address)
        wanted.push_back({{"address", address->str()}, {"type", kNodeIpType}});
    if (const json::value* current = spec.if_contains("addresses"); current && current->is_array())
        for (const json::value& entry : current->get_array())
            if (!is_own_ipv4_entry(entry))
                wanted.push_back(entry);
    if (!wanted.empty())
        return set(spec, "addresses", wanted);
    return spec.erase("addresses") > 0;
}

bool set_text(json::object& object, std::string_view name, const std::string& value)
{
    return value.empty() ? object.erase(name) > 0 : set(object, name, json::value(value));
}

bool add_orchestrator(json::object& spec, const std::string& k8s_node)
{
    if (k8s_node.empty())
        return false;
    json::value& refs = spec["orchRefs"];
    if (!refs.is_array())
        refs.emplace_array();
    const json::value wanted{{"nodeName", k8s_node}, {"orchestrator", "k8s"}};
    auto& list = refs.get_array();
    if (std::find(list.begin(), list.end(), wanted) != list.end())
        return false;
    list.push_back(wanted);
    return true;
}

bool set_node(json::object& object, const config::Config& config,
              const std::optional<Prefix4>& address)
{
    json::object& spec = member(object, "spec");
    json::object& bgp = member(spec, "bgp");
    bool changed = set_text(bgp, "ipv4Address", address ? address->str() : "");
    if (!address)
        changed |= set_text(bgp, "ipv4IPIPTunnelAddr", "");
    if (config.as_number)
        changed |= set(bgp, "asNumber", *config.as_number);
    if (config.cluster_id)
        changed |= set_text(bgp, "routeReflectorClusterID", config.cluster_id->str());
    // Absent, not {}: readers compare with absence.
    if (bgp.empty())
        spec.erase("bgp");
    changed |= set_addresses(spec, address);
    changed |= add_orchestrator(spec, config.k8s_node_ref);
    return changed;
}

bool set_tunnel_address(json::object& object, const std::optional<Ipv4>& address)
{
    json::object& spec = member(object, "spec");
    json::object& bgp = member(spec, "bgp");
    const bool changed = set_text(bgp, "ipv4IPIPTunnelAddr", address ? address->str() : "");
    if (bgp.empty())
        spec.erase("bgp");
    return changed;
}

json::object fresh_node(const std::string& node, const Clock& clock)
{
    json::object object = new_resource("Node", node, clock.wall());
    object["status"] = json::object();
    return object;
}

// Only into a Node that is there: one deleted meanwhile is made whole by the next repair().
Status write_tunnel_address(store::Kv& kv, const std::string& node,
                            const std::optional<Ipv4>& address)
{
    const auto written = edit(kv, resource_key("nodes", node), nullptr,
                              [&](json::object& o) { return set_tunnel_address(o, address); });
    return written ? Status() : Status(written.error());
}

} // namespace

Result<NodeState> repair(store::Kv& kv, const config::Config& config, const std::string& node,
                         const Surroundings& surroundings, const Clock& clock,
                         std::optional<Ipv4> held)
{
    if (Status ok = check_ready(kv); !ok)
        return ok.error();
    NodeState state;
    const auto stored = read_node(kv, node);
    if (!stored)
        return stored.error();
    const auto wanted = wanted_address(config.ip, *stored, surroundings, state.notes);
    if (!wanted)
        return wanted.error();
    state.address = *wanted;
    if (state.address && !config.disable_node_ip_check) {
        auto conflict = find_conflict(kv, node, state.address->addr);
        if (!conflict)
            return conflict.error();
        state.conflict = std::move(*conflict);
    }
    if (!state.conflict.empty()) {
        state.address = stored->address;
        state.tunnel_address = stored->tunnel_address;
        return state;
    }
    const json::object fresh = fresh_node(node, clock);
    const auto written = edit(kv, resource_key("nodes", node), &fresh, [&](json::object& object) {
        return set_node(object, config, state.address);
    });
    if (!written)
        return written.error();
    if (*written)
        state.notes.push_back(std::string(stored->exists ? "Node updated" : "Node created") +
                              " address=" + (state.address ? state.address->str() : "none") + ": " +
                              surroundings.detection);
    if (!state.address)
        return state;
    if (config.role == config::Role::RouteReflector) { // no tunnel; what it may have had is left
        state.tunnel_address = stored->tunnel_address;
        return state;
    }

    ipam::Ipam ipam(kv, node, clock);
    const auto tunnel = ensure_tunnel_address(ipam, node, stored->tunnel_address, held);
    for (std::string& repair : ipam.take_repairs())
        state.notes.push_back(std::move(repair));
    if (!tunnel)
        return tunnel.error();
    state.tunnel_address = *tunnel;
    if (Status ok = write_tunnel_address(kv, node, state.tunnel_address); !ok)
        return ok.error();
    if (state.tunnel_address != stored->tunnel_address)
        state.notes.push_back("tunnel address=" + (*tunnel ? (*tunnel)->str() : "none"));
    return state;
}

Result<NodeState> prepare(store::Kv& kv, const config::Config& config, const std::string& node,
                          const Surroundings& surroundings, const Clock& clock)
{
    if (Status ok = check_ready(kv); !ok)
        return ok.error();
    std::vector<std::string> notes;
    if (Status ok = ensure_cluster(kv, config, node, clock, notes); !ok)
        return ok.error();
    if (config.role == config::Role::Node) // a machine without pods is no measure for a pool
        if (Status ok = ensure_default_pool(kv, config, surroundings.host_addresses, clock, notes);
            !ok)
            return ok.error();
    auto state = repair(kv, config, node, surroundings, clock);
    if (state)
        state->notes.insert(state->notes.begin(), notes.begin(), notes.end());
    return state;
}

} // namespace margay::startup
