// SPDX-License-Identifier: Apache-2.0
// Configuration objects: Felix, cluster.

#include "agent/model/json_fields.h"

#include <algorithm>
#include <cctype>

namespace margay::model {
namespace {

// A parameter of FelixConfiguration comes from its spec field, or, winning over it, from the
// annotation "config.projectcalico.org/<ParamName>", which holds text as the environment does.
class FelixReader {
public:
    explicit FelixReader(const Document& document)
        : spec_(document.spec), annotations_(document.metadata.object("annotations"))
    {
    }

    void read(std::string_view field, std::string_view parameter,
              std::optional<std::string>& into) const
    {
        into = annotation(parameter);
        if (!into)
            into = spec_.text(field);
    }
    void read(std::string_view field, std::string_view parameter, std::optional<bool>& into) const
    {
        from_text(parameter, into, parse_bool, "true or false");
        if (!into)
            into = spec_.flag(field);
    }
    void read(std::string_view field, std::string_view parameter, std::optional<int>& into,
              int max) const
    {
        const auto number = [max](std::string_view text) { return parse_number(text, 0, max); };
        std::optional<long> given;
        from_text(parameter, given, number, "a number in range");
        if (given)
            into = static_cast<int>(*given);
        else if (const auto value = spec_.integer(field, 0, static_cast<std::uint64_t>(max)))
            into = static_cast<int>(*value);
    }
    void read(std::string_view field, std::string_view parameter, std::optional<Ipv4>& into) const
    {
        from_text(parameter, into, Ipv4::parse, "an IPv4 address");
        const auto text = into ? std::nullopt : spec_.text(field);
        if (!text)
            return;
        into = Ipv4::parse(*text);
        if (!into)
            spec_.fail(field, quoted_for_people(*text) + " is not an IPv4 address");
    }
    void read(std::string_view field, std::string_view parameter,
              std::optional<std::chrono::milliseconds>& into) const
    {
        const auto seconds = [](std::string_view text) -> std::optional<std::chrono::milliseconds> {
            const auto number = parse_number(text, 0, INT32_MAX);
            return number ? std::optional<std::chrono::milliseconds>(*number * 1000) : std::nullopt;
        };
        from_text(parameter, into, seconds, "a number of seconds");
        if (!into)
            into = spec_.duration(field);
    }
    void read(std::string_view field, std::string_view parameter,
              std::optional<std::vector<FailsafePort>>& into) const
    {
        from_text(parameter, into, parse_failsafe_ports, "a list of protocol:port");
        if (into || !spec_.has(field))
            return;
        into.emplace(); // an empty list means none
        spec_.for_each_object(
            field, [&into](const Fields& entry) { into->push_back(failsafe_entry(entry)); });
    }
    void read(std::string_view field, std::string_view parameter,
              std::optional<std::vector<Prefix4>>& into) const
    {
        const auto list = [](std::string_view text) { return prefix_list(text); };
        from_text(parameter, into, list, "a list of prefixes");
        if (!into && spec_.has(field))
            into = spec_.nets(field).v4;
    }

private:
    std::optional<std::string> annotation(std::string_view parameter) const
    {
        return annotations_.text("config.projectcalico.org/" + std::string(parameter));
    }

    template <typename T, typename Parse>
    void from_text(std::string_view parameter, std::optional<T>& into, Parse parse,
                   std::string_view what) const
    {
        const auto text = annotation(parameter);
        if (!text)
            return;
        into = parse(*text);
        if (!into)
            annotations_.fail(parameter, quoted_for_people(*text) + " is not " + std::string(what));
    }

    static FailsafePort failsafe_entry(const Fields& entry)
    {
        FailsafePort port;
        port.protocol = entry.protocol("protocol").value_or(kProtoTcp);
        const auto number = entry.integer("port", 0, 65535);
        if (!number)
            entry.fail("port", "is missing");
        port.port = static_cast<std::uint16_t>(number.value_or(0));
        if (const auto net = entry.text("net")) {
            const auto prefix = Prefix4::parse(*net);
            if (prefix)
                port.net = prefix->network();
            else if (Prefix6::parse(*net))
                entry.not_enforced("net", " (IPv6)");
            else
                entry.fail("net", quoted_for_people(*net) + " is not a prefix");
        }
        return port;
    }

    static std::optional<std::vector<Prefix4>> prefix_list(std::string_view text)
    {
        Nets nets;
        while (!text.empty()) {
            const auto comma = std::min(text.find(','), text.size());
            if (!add_net(nets, text.substr(0, comma)))
                return std::nullopt;
            text.remove_prefix(std::min(comma + 1, text.size()));
        }
        return nets.v4;
    }

    Fields spec_;
    Fields annotations_;
};

void read_interfaces_and_encap(const FelixReader& reader, FelixConfiguration& config)
{
    constexpr int kPort = 65535;
    reader.read("interfacePrefix", "InterfacePrefix", config.interface_prefix);
    reader.read("interfaceExclude", "InterfaceExclude", config.interface_exclude);
    reader.read("ipipEnabled", "IpInIpEnabled", config.ipip_enabled);
    reader.read("ipipMTU", "IpInIpMtu", config.ipip_mtu, 65535);
    reader.read("vxlanEnabled", "VXLANEnabled", config.vxlan_enabled);
    reader.read("vxlanPort", "VXLANPort", config.vxlan_port, kPort);
    reader.read("externalNodesList", "ExternalNodesCIDRList", config.external_nodes);
    reader.read("mtuIfacePattern", "MTUIfacePattern", config.mtu_iface_pattern);
    reader.read("bpfDataIfacePattern", "BPFDataIfacePattern", config.bpf_data_iface_pattern);
    reader.read("deviceRouteProtocol", "DeviceRouteProtocol", config.device_route_protocol, 255);
    reader.read("deviceRouteSourceAddress", "DeviceRouteSourceAddress",
                config.device_route_source_address);
    reader.read("removeExternalRoutes", "RemoveExternalRoutes", config.remove_external_routes);
    reader.read("routeSource", "RouteSource", config.route_source);
    reader.read("ipv4NormalRoutePriority", "IPv4NormalRoutePriority", config.route_metric,
                INT32_MAX);
}

void read_enforcement(const FelixReader& reader, FelixConfiguration& config)
{
    reader.read("defaultEndpointToHostAction", "DefaultEndpointToHostAction",
                config.default_endpoint_to_host_action);
    reader.read("iptablesFilterDenyAction", "IptablesFilterDenyAction", config.filter_deny_action);
    reader.read("failsafeInboundHostPorts", "FailsafeInboundHostPorts", config.failsafe_inbound);
    reader.read("failsafeOutboundHostPorts", "FailsafeOutboundHostPorts", config.failsafe_outbound);
    reader.read("workloadSourceSpoofing", "WorkloadSourceSpoofing",
                config.workload_source_spoofing);
    reader.read("allowIPIPPacketsFromWorkloads", "AllowIPIPPacketsFromWorkloads",
                config.allow_ipip_from_workloads);
    reader.read("allowVXLANPacketsFromWorkloads", "AllowVXLANPacketsFromWorkloads",
                config.allow_vxlan_from_workloads);
    reader.read("disableConntrackInvalidCheck", "DisableConntrackInvalidCheck",
                config.disable_conntrack_invalid_check);
    reader.read("natOutgoingAddress", "NATOutgoingAddress", config.nat_outgoing_address);
    reader.read("natOutgoingExclusions", "NATOutgoingExclusions", config.nat_outgoing_exclusions);
    reader.read("iptablesNATOutgoingInterfaceFilter", "IptablesNATOutgoingInterfaceFilter",
                config.nat_outgoing_interface_filter);
}

void read_observability(const FelixReader& reader, FelixConfiguration& config)
{
    constexpr int kPort = 65535;
    reader.read("logSeverityScreen", "LogSeverityScreen", config.log_severity_screen);
    reader.read("logPrefix", "LogPrefix", config.log_prefix);
    reader.read("reportingInterval", "ReportingIntervalSecs", config.reporting_interval);
    reader.read("prometheusMetricsEnabled", "PrometheusMetricsEnabled",
                config.prometheus_metrics_enabled);
    reader.read("prometheusMetricsHost", "PrometheusMetricsHost", config.prometheus_metrics_host);
    reader.read("prometheusMetricsPort", "PrometheusMetricsPort", config.prometheus_metrics_port,
                kPort);
    reader.read("healthEnabled", "HealthEnabled", config.health_enabled);
    reader.read("healthHost", "HealthHost", config.health_host);
    reader.read("healthPort", "HealthPort", config.health_port, kPort);
}

// Port 0 is no port; a range that ends there is Calico's way to say none.
void set_nat_ports(FelixConfiguration& config, std::uint64_t first, std::uint64_t last)
{
    if (last > 0)
        config.nat_port_range.emplace(static_cast<std::uint16_t>(std::max<std::uint64_t>(first, 1)),
                                      static_cast<std::uint16_t>(last));
}

// "lo:hi" as a text, or a single number.
void read_nat_port_range(const Fields& spec, FelixConfiguration& config)
{
    const auto* member = spec.find("natPortRange");
    if (!member)
        return;
    if (!member->is_string()) {
        if (const auto port = spec.integer("natPortRange", 0, 65535))
            set_nat_ports(config, *port, *port);
        return;
    }
    const auto text = spec.text_or_empty("natPortRange");
    const auto range = parse_port(text);
    if (range && range->name.empty())
        set_nat_ports(config, range->first, range->last);
    else
        spec.fail("natPortRange", quoted_for_people(text) + " is not a range of ports");
}

// One name of an interface, or the beginning of one before "+" (iptables' wildcard).
bool is_interface_filter(std::string_view text)
{
    if (text.ends_with('+'))
        text.remove_suffix(1);
    return text.size() <= 15 && std::ranges::all_of(text, [](unsigned char c) {
               return std::isalnum(c) != 0 || c == '_' || c == '.' || c == '-';
           });
}

// Of a closed list of words, as the API spells them.
void check_word(const Fields& spec, std::string_view field, const std::optional<std::string>& value,
                std::initializer_list<std::string_view> known)
{
    if (!value)
        return;
    for (const auto word : known)
        if (*value == word)
            return;
    spec.fail(field, quoted_for_people(*value) + " is not a known value");
}

} // namespace

// Read, but nothing follows from them yet.
constexpr std::string_view kWithoutEffect[] = {"interfaceExclude",
                                               "mtuIfacePattern",
                                               "bpfDataIfacePattern",
                                               "deviceRouteProtocol",
                                               "deviceRouteSourceAddress",
                                               "removeExternalRoutes",
                                               "iptablesFilterDenyAction",
                                               "disableConntrackInvalidCheck",
                                               "failsafeInboundHostPorts",
                                               "failsafeOutboundHostPorts",
                                               "logPrefix",
                                               "prometheusMetricsEnabled",
                                               "prometheusMetricsHost",
                                               "prometheusMetricsPort",
                                               "healthEnabled",
                                               "healthHost",
                                               "healthPort"};

Resource decode_felix_configuration(const Document& document)
{
    FelixConfiguration config;
    config.name = document.key.name;
    config.created = document.metadata.text_or_empty("creationTimestamp");
    config.node_selector = document.spec.selector("nodeSelector");
    const FelixReader reader(document);
    read_interfaces_and_encap(reader, config);
    read_enforcement(reader, config);
    read_observability(reader, config);
    read_nat_port_range(document.spec, config);
    check_word(document.spec, "defaultEndpointToHostAction", config.default_endpoint_to_host_action,
               {"Drop", "Return", "Accept", "DROP", "RETURN", "ACCEPT"});
    check_word(document.spec, "workloadSourceSpoofing", config.workload_source_spoofing,
               {"Disabled", "Any"});
    check_word(document.spec, "routeSource", config.route_source, {"CalicoIPAM", "WorkloadIPs"});
    if (const auto& filter = config.nat_outgoing_interface_filter;
        filter && !is_interface_filter(*filter))
        document.spec.fail("iptablesNATOutgoingInterfaceFilter",
                           quoted_for_people(*filter) +
                               " is not an interface's name, nor a beginning of one and \"+\"");
    check_word(document.spec, "natOutgoingExclusions", config.nat_outgoing_exclusions,
               {"IPPoolsOnly", "IPPoolsAndHostIPs"});
    for (const std::string_view field : kWithoutEffect)
        if (document.spec.has(field))
            document.spec.not_enforced(field);
    for (const char* field : {"wireguardEnabled", "wireguardEnabledV6", "vxlanEnabled"})
        if (document.spec.flag(field).value_or(false))
            document.spec.not_enforced(field);
    return config;
}

Resource decode_cluster_information(const Document& document)
{
    ClusterInformation cluster;
    cluster.name = document.key.name;
    cluster.cluster_guid = document.spec.text_or_empty("clusterGUID");
    cluster.cluster_type = document.spec.text_or_empty("clusterType");
    cluster.calico_version = document.spec.text_or_empty("calicoVersion");
    cluster.datastore_ready = document.spec.flag("datastoreReady");
    return cluster;
}

} // namespace margay::model
