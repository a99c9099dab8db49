// SPDX-License-Identifier: Apache-2.0
#include "agent/felix.h"

#include <netinet/in.h>

namespace margay {
namespace {

const char* text(bool value)
{
    return value ? "true" : "false";
}

std::string text(const std::vector<Prefix4>& prefixes)
{
    std::string list;
    for (const Prefix4& prefix : prefixes)
        list += (list.empty() ? "" : ",") + prefix.str();
    return list;
}

std::string text(const std::vector<model::FailsafePort>& ports)
{
    std::string list;
    for (const model::FailsafePort& port : ports) {
        const char* protocol = port.protocol == IPPROTO_TCP    ? "tcp:"
                               : port.protocol == IPPROTO_SCTP ? "sctp:"
                                                               : "udp:";
        const std::string net = port.net.length == 0 ? "" : port.net.str() + ":";
        list += (list.empty() ? "" : ",") + (protocol + net) + std::to_string(port.port);
    }
    return list.empty() ? "none" : list;
}

} // namespace

config::Values felix_settings(const model::FelixConfiguration& felix)
{
    config::Values values;
    if (felix.interface_prefix)
        values["interface-prefix"] = *felix.interface_prefix;
    if (felix.ipip_enabled)
        values["ipip-enabled"] = text(*felix.ipip_enabled);
    if (felix.ipip_mtu)
        values["ipip-mtu"] = std::to_string(*felix.ipip_mtu);
    if (felix.allow_ipip_from_workloads)
        values["allow-ipip-from-workloads"] = text(*felix.allow_ipip_from_workloads);
    if (felix.allow_vxlan_from_workloads)
        values["allow-vxlan-from-workloads"] = text(*felix.allow_vxlan_from_workloads);
    if (felix.default_endpoint_to_host_action)
        values["endpoint-to-host-action"] = *felix.default_endpoint_to_host_action;
    if (felix.route_metric)
        values["workload-route-metric"] = std::to_string(*felix.route_metric);
    if (felix.external_nodes)
        values["external-nodes"] = text(*felix.external_nodes);
    if (felix.failsafe_inbound)
        values["failsafe-inbound"] = text(*felix.failsafe_inbound);
    if (felix.failsafe_outbound)
        values["failsafe-outbound"] = text(*felix.failsafe_outbound);
    if (felix.log_severity_screen)
        values["log-severity"] = *felix.log_severity_screen;
    return values;
}

} // namespace margay
