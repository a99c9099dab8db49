// SPDX-License-Identifier: Apache-2.0

#include "agent/calc/felix_calc.h"

#include <utility>

namespace margay::calc {
namespace {

using Felix = model::FelixConfiguration;

template <typename... Fields>
void overlay(Felix& base, const Felix& top, Fields... fields)
{
    const auto take = [&](auto field) {
        if (top.*field)
            base.*field = top.*field;
    };
    (take(fields), ...);
}

void overlay(Felix& base, const Felix& top)
{
    overlay(base, top, &Felix::interface_prefix, &Felix::interface_exclude, &Felix::ipip_enabled,
            &Felix::ipip_mtu, &Felix::vxlan_enabled, &Felix::vxlan_port,
            &Felix::default_endpoint_to_host_action, &Felix::filter_deny_action,
            &Felix::failsafe_inbound, &Felix::failsafe_outbound, &Felix::workload_source_spoofing,
            &Felix::allow_ipip_from_workloads, &Felix::allow_vxlan_from_workloads,
            &Felix::external_nodes, &Felix::disable_conntrack_invalid_check);
    overlay(base, top, &Felix::device_route_protocol, &Felix::device_route_source_address,
            &Felix::remove_external_routes, &Felix::route_source, &Felix::route_metric,
            &Felix::nat_outgoing_address, &Felix::nat_outgoing_exclusions,
            &Felix::nat_outgoing_interface_filter, &Felix::nat_port_range,
            &Felix::mtu_iface_pattern, &Felix::log_severity_screen, &Felix::log_prefix,
            &Felix::reporting_interval, &Felix::prometheus_metrics_enabled,
            &Felix::prometheus_metrics_host, &Felix::prometheus_metrics_port,
            &Felix::health_enabled, &Felix::health_host, &Felix::health_port,
            &Felix::bpf_data_iface_pattern);
}

} // namespace

void FelixCalc::set(const std::string& name, const Felix* configuration)
{
    if (configuration)
        all_.insert_or_assign(name, *configuration);
    else
        all_.erase(name);
    merge();
}

void FelixCalc::set_own_labels(const model::Labels& labels)
{
    if (labels_ == labels)
        return;
    labels_ = labels;
    merge();
}

const Felix* FelixCalc::scoped() const
{
    const Felix* winner = nullptr;
    for (const auto& [name, configuration] : all_) {
        if (name == "default" || name.starts_with("node.") || !configuration.node_selector ||
            !configuration.node_selector->matches(labels_))
            continue;
        if (!winner || configuration.created < winner->created)
            winner = &configuration;
    }
    return winner;
}

void FelixCalc::merge()
{
    effective_ = Felix{};
    effective_.name = own_;
    const auto add = [this](const std::string& name) {
        if (const auto at = all_.find(name); at != all_.end())
            overlay(effective_, at->second);
    };
    add("default");
    if (const auto* winner = scoped())
        overlay(effective_, *winner);
    add("node." + own_);
}

} // namespace margay::calc
