// SPDX-License-Identifier: Apache-2.0
// This node: its addresses, tunl0, the data path's configuration, the firewall.
#include "agent/agent.h"

#include "agent/kernel/autodetect.h"
#include "agent/kernel/tunnel_device.h"
#include "maps/flows.h"

#include <algorithm>

namespace margay {
namespace {

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

} // namespace

void Agent::want_host_addresses()
{
    std::set<Ipv4> now;
    for (const auto& [index, link] : links_.table().links())
        if (!is_workload(link.name))
            for (const auto& address : links_.table().addresses(index))
                now.insert(address.prefix.addr);
    for (const auto& [interface, address] : peering_addresses())
        now.insert(address);
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
    static_assert(config::Config::kMaxFlowBudget == FLOWS_MAX);
    wanted.flow_budget = config_.flow_budget;
    datapath_->want_config(wanted);
}

void Agent::ensure_tunnel_device()
{
    // Before the datastore has told the own Node (it may have been deleted while we were away), the
    // address that an earlier run gave stays: routes of the host hang on it.
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
    const std::string filter = felix_.nat_outgoing_interface_filter.value_or("");
    if (!filter.empty() && filter != "+") // else any
        wanted.nat_out_interfaces = {filter};
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
    // An adopted table knows the tunnel address, which we may not yet.
    if (firewall_rules_dirty_ && (own_node_stated_ || !adopted_))
        return install_firewall();
    firewall_dirty_ |= note_judged_devices();
    if (!firewall_dirty_)
        return;
    const auto updated = firewall_->update(firewall_sets_);
    warn_once("nftables", updated ? "" : updated.error().what);
    firewall_dirty_ = !updated;
}

} // namespace margay
