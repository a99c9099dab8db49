// SPDX-License-Identifier: Apache-2.0
// Nodes, workload and host endpoints, network sets, pools.

#include "agent/model/json_fields.h"

namespace margay::model {
namespace {

constexpr std::pair<std::string_view, Encapsulation> kEncapsulations[] = {
    {"Never", Encapsulation::Never},
    {"Always", Encapsulation::Always},
    {"CrossSubnet", Encapsulation::CrossSubnet},
};

// Reads a text member with `parse`, which returns an optional.
template <typename Parse>
auto read_with(const Fields& fields, std::string_view name, std::string_view what, Parse parse)
    -> decltype(parse(std::string_view()))
{
    const auto given = fields.text(name);
    if (!given)
        return std::nullopt;
    auto value = parse(*given);
    if (!value)
        fields.fail(name, quoted_for_people(*given) + " is not " + std::string(what));
    return value;
}

std::vector<EndpointPort> read_endpoint_ports(const Fields& spec)
{
    std::vector<EndpointPort> ports;
    spec.for_each_object("ports", [&ports](const Fields& fields) {
        const auto name = fields.text_or_empty("name");
        const auto protocol = fields.protocol("protocol");
        const auto port = fields.integer("port", 0, 65535);
        if (!name.empty() && protocol && port)
            ports.push_back({name, *protocol, static_cast<std::uint16_t>(*port)});
    });
    return ports;
}

// A label of these prefixes belongs to profiles; an endpoint's own one would forge it.
bool is_forged(std::string_view label)
{
    return label.starts_with("pcns.") || label.starts_with("pcsa.");
}

Labels endpoint_labels(const Document& document)
{
    Labels labels;
    for (const auto& [key, value] : document.metadata.labels("labels"))
        if (!is_forged(key))
            labels.set(key, value);
    if (const auto account = document.spec.text("serviceAccountName"))
        labels.set(kServiceAccountLabel, *account);
    // The key decides about the namespace, so that no endpoint escapes the policies of its own.
    labels.set(kNamespaceLabel, document.key.ns);
    const auto orchestrator = document.spec.text("orchestrator");
    if (orchestrator && !labels.find(kOrchestratorLabel))
        labels.set(kOrchestratorLabel, *orchestrator);
    return labels;
}

void check_host_prefixes(const Fields& spec, const Nets& nets)
{
    for (const auto& net : nets.v4)
        if (net.length != Ipv4::kBits)
            spec.fail("ipNetworks", net.str() + " is not a single address");
    for (const auto& net : nets.v6)
        if (net.length != Ipv6::kBits)
            spec.fail("ipNetworks", net.str() + " is not a single address");
}

Node::Address read_node_address(const Fields& fields, bool& valid)
{
    const auto text = fields.text_or_empty("address");
    const auto ip = Ip::parse(std::string_view(text).substr(0, text.find('/')));
    valid = ip.has_value();
    if (!valid)
        fields.report().skipped.push_back(fields.path("address") + ": " + quoted_for_people(text) +
                                          " is not an address");
    return {fields.text_or_empty("type"), ip.value_or(Ip())};
}

void read_allowed_uses(const Fields& spec, IpPool& pool)
{
    const auto uses = spec.texts("allowedUses");
    if (uses.empty())
        return;
    pool.for_workloads = pool.for_tunnels = false;
    for (const auto& use : uses) {
        if (use == "Workload")
            pool.for_workloads = true;
        else if (use == "Tunnel")
            pool.for_tunnels = true;
        else if (use == "LoadBalancer")
            pool.for_load_balancers = true;
        else
            spec.fail("allowedUses", quoted_for_people(use) + " is not a known use");
    }
}

void read_pool_size(const Fields& spec, IpPool& pool)
{
    const bool v4 = pool.v4() != nullptr;
    const auto size = spec.integer("blockSize", v4 ? 20 : 116, v4 ? 32 : 128);
    pool.block_size = size ? static_cast<int>(*size) : (v4 ? 26 : 122);
}

} // namespace

Resource decode_node(const Document& document)
{
    Node node;
    node.name = document.key.name;
    node.labels = document.metadata.labels("labels");
    const auto bgp = document.spec.object("bgp");
    node.as_number = bgp.as_number("asNumber");
    node.ipv4_address = read_with(bgp, "ipv4Address", "an IPv4 prefix", Prefix4::parse);
    node.ipv6_address = read_with(bgp, "ipv6Address", "an IPv6 prefix", Prefix6::parse);
    node.ipip_tunnel_address = read_with(bgp, "ipv4IPIPTunnelAddr", "an IPv4 address", Ipv4::parse);
    node.route_reflector_cluster_id = bgp.text_or_empty("routeReflectorClusterID");
    document.spec.for_each_object("addresses", [&node](const Fields& fields) {
        bool valid = false;
        auto address = read_node_address(fields, valid);
        if (valid)
            node.addresses.push_back(std::move(address));
    });
    return node;
}

Resource decode_workload_endpoint(const Document& document)
{
    const auto& spec = document.spec;
    WorkloadEndpoint endpoint;
    endpoint.name = document.key.name;
    endpoint.ns = document.key.ns;
    endpoint.labels = endpoint_labels(document);
    endpoint.node = spec.text_or_empty("node");
    endpoint.orchestrator = spec.text_or_empty("orchestrator");
    endpoint.workload = spec.text_or_empty("workload");
    endpoint.pod = spec.text_or_empty("pod");
    endpoint.container_id = spec.text_or_empty("containerID");
    endpoint.endpoint = spec.text_or_empty("endpoint");
    endpoint.interface_name = spec.text_or_empty("interfaceName");
    endpoint.mac = read_with(spec, "mac", "a MAC address", parse_mac);
    endpoint.addresses = spec.nets("ipNetworks");
    check_host_prefixes(spec, endpoint.addresses);
    endpoint.profiles = spec.texts("profiles");
    endpoint.ports = read_endpoint_ports(spec);
    endpoint.allowed_spoofed_sources = spec.nets("allowSpoofedSourcePrefixes");
    if (!spec)
        document.top.fail("spec", "is missing");
    else if (endpoint.node.empty())
        spec.fail("node", "is missing");
    for (const char* field : {"ipNATs", "qosControls"})
        if (spec.has(field))
            spec.not_enforced(field);
    if (!endpoint.allowed_spoofed_sources.empty())
        spec.not_enforced("allowSpoofedSourcePrefixes");
    if (endpoint.addresses.empty())
        return std::monostate();
    return endpoint;
}

Resource decode_host_endpoint(const Document& document)
{
    HostEndpoint endpoint;
    endpoint.name = document.key.name;
    endpoint.labels = document.metadata.labels("labels");
    endpoint.node = document.spec.text_or_empty("node");
    endpoint.interface_name = document.spec.text_or_empty("interfaceName");
    endpoint.expected_ips = document.spec.nets("expectedIPs");
    endpoint.profiles = document.spec.texts("profiles");
    endpoint.ports = read_endpoint_ports(document.spec);
    document.top.report().not_enforced.push_back("HostEndpoint");
    return endpoint;
}

Resource decode_network_set(const Document& document)
{
    NetworkSet set;
    set.name = document.key.name;
    set.ns = document.key.ns;
    set.labels = document.metadata.labels("labels");
    if (!set.ns.empty())
        set.labels.set(kNamespaceLabel, set.ns);
    std::size_t index = 0;
    for (const auto& net : document.spec.texts("nets")) {
        if (!add_net(set.nets, net))
            document.top.report().skipped.push_back("spec.nets[" + std::to_string(index) +
                                                    "]: " + quoted_for_people(net) +
                                                    " is not an address or prefix");
        ++index;
    }
    return set;
}

Resource decode_pool(const Document& document)
{
    const auto& spec = document.spec;
    IpPool pool;
    pool.name = document.key.name;
    Nets cidr;
    const auto text = spec.text_or_empty("cidr");
    if (text.find('/') == std::string::npos || !add_net(cidr, text))
        spec.fail("cidr", quoted_for_people(text) + " is not a prefix");
    if (!cidr.v4.empty())
        pool.cidr = cidr.v4.front();
    else if (!cidr.v6.empty())
        pool.cidr = cidr.v6.front();
    pool.ipip_mode = spec.word("ipipMode", Encapsulation::Never, kEncapsulations);
    pool.vxlan_mode = spec.word("vxlanMode", Encapsulation::Never, kEncapsulations);
    pool.nat_outgoing = spec.flag("natOutgoing").value_or(false);
    pool.disabled = spec.flag("disabled").value_or(false);
    pool.disable_bgp_export = spec.flag("disableBGPExport").value_or(false);
    read_pool_size(spec, pool);
    pool.node_selector = spec.selector("nodeSelector").value_or(Selector());
    pool.namespace_selector = spec.selector("namespaceSelector");
    read_allowed_uses(spec, pool);
    static constexpr std::pair<std::string_view, bool> kModes[] = {{"Automatic", false},
                                                                   {"Manual", true}};
    pool.manual = spec.word("assignmentMode", false, kModes);
    if (pool.vxlan_mode != Encapsulation::Never)
        spec.not_enforced("vxlanMode");
    if (!pool.v4())
        spec.not_enforced("cidr", " (IPv6)");
    return pool;
}

} // namespace margay::model
