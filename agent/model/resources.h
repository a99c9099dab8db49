// SPDX-License-Identifier: Apache-2.0
// The datastore's resources as plain values: what decode.h makes of JSON and calc works on.
//
// Only fields that Margay uses are here; what is read but not enforced yet is reported by
// decode.h beside the value. An optional is a field that may be absent with a meaning of its
// own; other members hold the documented default when the field is absent. Names and namespaces
// are repeated from the key where another resource refers to them. Ports and AS numbers are in
// host order.

#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "agent/model/bgp.h"
#include "agent/model/key.h"
#include "agent/model/labels.h"
#include "agent/model/selector.h"
#include "margay/ip.h"

namespace margay::model {

enum class Encapsulation { Never, Always, CrossSubnet };

struct Node {
    std::string name{};
    Labels labels{};
    std::optional<std::uint32_t> as_number{};
    std::optional<Prefix4> ipv4_address{}; // with host bits; the length decides CrossSubnet
    std::optional<Prefix6> ipv6_address{};
    std::optional<Ipv4> ipip_tunnel_address{};
    std::string route_reflector_cluster_id{}; // set: the node is a route reflector
    struct Address {
        std::string type{}; // CalicoNodeIP, InternalIP, ExternalIP
        Ip ip{};
        bool operator==(const Address&) const = default;
    };
    std::vector<Address> addresses{};

    // spec.bgp.ipv4Address, else the first InternalIP, else the first ExternalIP.
    std::optional<Ipv4> host_address() const;

    bool operator==(const Node&) const = default;
};

struct IpPool {
    std::string name{};
    std::variant<Prefix4, Prefix6> cidr{}; // masked
    Encapsulation ipip_mode = Encapsulation::Never;
    Encapsulation vxlan_mode = Encapsulation::Never;
    bool nat_outgoing = false;
    bool disabled = false;
    bool disable_bgp_export = false;
    int block_size = 26;
    Selector node_selector{};
    std::optional<Selector> namespace_selector{};
    bool for_workloads = true; // allowedUses
    bool for_tunnels = true;
    bool for_load_balancers = false;
    bool manual = false; // assignmentMode: only addresses that are asked for by name

    const Prefix4* v4() const { return std::get_if<Prefix4>(&cidr); }
    bool only_load_balancers() const
    {
        return for_load_balancers && !for_workloads && !for_tunnels;
    }
    bool operator==(const IpPool&) const = default;
};

using Mac = std::array<std::uint8_t, 6>;

struct EndpointPort {
    std::string name{};
    std::uint8_t protocol = 0;
    std::uint16_t port = 0;

    auto operator<=>(const EndpointPort&) const = default;
};

struct WorkloadEndpoint {
    std::string name{};
    std::string ns{};
    Labels labels{}; // converted: own pcns./pcsa. labels gone, service account added
    std::string node{};
    std::string orchestrator{};
    std::string workload{};
    std::string pod{};
    std::string container_id{};
    std::string endpoint{};
    std::string interface_name{};
    std::optional<Mac> mac{};
    Nets addresses{}; // host prefixes; never all empty, that decodes as a deletion
    std::vector<std::string> profiles{};
    std::vector<EndpointPort> ports{};
    Nets allowed_spoofed_sources{};

    bool operator==(const WorkloadEndpoint&) const = default;
};

// A number range, or the name of a port of the endpoints on that side.
struct PortMatch {
    std::uint16_t first = 0;
    std::uint16_t last = 0; // inclusive
    std::string name{};     // not empty: a named port; first and last mean nothing

    bool operator==(const PortMatch&) const = default;
};

struct IcmpMatch {
    std::optional<std::uint8_t> type{};
    std::optional<std::uint8_t> code{};

    bool operator==(const IcmpMatch&) const = default;
};

struct ServiceAccountMatch {
    std::vector<std::string> names{};
    std::optional<Selector> selector{};

    bool operator==(const ServiceAccountMatch&) const = default;
};

// Source or destination of a rule, as written; calc does the rewrites.
struct EntityRule {
    Nets nets{};
    Nets not_nets{};
    std::optional<Selector> selector{};
    std::optional<Selector> not_selector{};
    std::optional<Selector> namespace_selector{};
    std::optional<ServiceAccountMatch> service_accounts{};
    std::vector<PortMatch> ports{};
    std::vector<PortMatch> not_ports{};
    bool has_services = false; // not enforced: calc keeps such a rule from widening anything

    bool operator==(const EntityRule&) const = default;
};

enum class RuleAction { Allow, Deny, Log, Pass };

struct Rule {
    RuleAction action = RuleAction::Deny;
    std::optional<int> ip_version{}; // 4 or 6
    std::optional<std::uint8_t> protocol{};
    std::optional<std::uint8_t> not_protocol{};
    std::optional<IcmpMatch> icmp{};
    std::optional<IcmpMatch> not_icmp{};
    EntityRule source{};
    EntityRule destination{};
    bool has_http = false; // not enforced, as has_services

    // A field that only narrows the match is there, and we cannot evaluate it.
    bool narrowed_beyond_us() const
    {
        return has_http || source.has_services || destination.has_services;
    }
    bool operator==(const Rule&) const = default;
};

// The tier of a stored policy that does not say it readably: no resource has this name.
inline constexpr std::string_view kUnreadableTier = "(unreadable)";

// GlobalNetworkPolicy (ns is empty) and NetworkPolicy.
struct Policy {
    std::string name{}; // the real name: annotation, or the key without a legacy "default."
    std::string ns{};
    std::string tier = "default";
    std::optional<double> order{}; // absent: last
    Selector selector{};
    std::optional<Selector> service_account_selector{};
    std::optional<Selector> namespace_selector{};
    bool ingress = true; // types
    bool egress = true;
    std::vector<Rule> ingress_rules{};
    std::vector<Rule> egress_rules{};
    bool do_not_track = false; // with pre_dnat: for host endpoints only, never for workloads
    bool pre_dnat = false;
    bool apply_on_forward = false;
    // The stored value could not be read; this one denies in its place (Quarantine).
    bool stands_in = false;

    bool operator==(const Policy&) const = default;
};

struct Tier {
    std::string name{};
    std::optional<double> order{}; // absent: last
    bool pass_at_end = false;      // defaultAction

    bool operator==(const Tier&) const = default;
};

struct Profile {
    std::string name{};
    Labels labels_to_apply{};
    std::vector<Rule> ingress_rules{};
    std::vector<Rule> egress_rules{};

    bool operator==(const Profile&) const = default;
};

// GlobalNetworkSet (ns is empty) and NetworkSet.
struct NetworkSet {
    std::string name{};
    std::string ns{};
    Labels labels{}; // of a NetworkSet with projectcalico.org/namespace
    Nets nets{};

    bool operator==(const NetworkSet&) const = default;
};

// "tcp 22 from 10.0.0.0/8"
struct FailsafePort {
    std::uint8_t protocol = 0;
    std::uint16_t port = 0;
    Prefix4 net{}; // 0.0.0.0/0: from and to anywhere

    auto operator<=>(const FailsafePort&) const = default;
};

// Every field is optional: an object sets only what it names, and several are merged by
// precedence (calc). Environment variables win over all of them.
struct FelixConfiguration {
    std::string name{}; // "default", "node.<name>", or any other: scoped by node_selector
    std::string created{}; // creationTimestamp, RFC 3339 in UTC: text order is time order
    std::optional<Selector> node_selector{};

    std::optional<std::string> interface_prefix{}; // comma separated
    std::optional<std::string> interface_exclude{};
    std::optional<bool> ipip_enabled{};
    std::optional<int> ipip_mtu{};
    std::optional<bool> vxlan_enabled{};
    std::optional<int> vxlan_port{};
    std::optional<std::string> default_endpoint_to_host_action{}; // Drop, Return, Accept
    std::optional<std::string> filter_deny_action{};              // Drop, Reject
    std::optional<std::vector<FailsafePort>> failsafe_inbound{};
    std::optional<std::vector<FailsafePort>> failsafe_outbound{};
    std::optional<std::string> workload_source_spoofing{}; // Disabled, Any
    std::optional<bool> allow_ipip_from_workloads{};
    std::optional<bool> allow_vxlan_from_workloads{};
    std::optional<std::vector<Prefix4>> external_nodes{}; // further IPIP senders
    std::optional<bool> disable_conntrack_invalid_check{};
    std::optional<int> device_route_protocol{};
    std::optional<Ipv4> device_route_source_address{};
    std::optional<bool> remove_external_routes{};
    std::optional<std::string> route_source{}; // CalicoIPAM, WorkloadIPs
    std::optional<int> route_metric{};         // ipv4NormalRoutePriority
    std::optional<Ipv4> nat_outgoing_address{};
    std::optional<std::string> nat_outgoing_exclusions{}; // IPPoolsOnly, IPPoolsAndHostIPs
    std::optional<std::string> nat_outgoing_interface_filter{};
    std::optional<std::pair<std::uint16_t, std::uint16_t>> nat_port_range{}; // first, last
    std::optional<std::string> mtu_iface_pattern{};
    std::optional<std::string> log_severity_screen{};
    std::optional<std::string> log_prefix{};
    std::optional<std::chrono::milliseconds> reporting_interval{};
    std::optional<bool> prometheus_metrics_enabled{};
    std::optional<std::string> prometheus_metrics_host{};
    std::optional<int> prometheus_metrics_port{};
    std::optional<bool> health_enabled{};
    std::optional<std::string> health_host{};
    std::optional<int> health_port{};
    std::optional<std::string> bpf_data_iface_pattern{};

    bool operator==(const FelixConfiguration&) const = default;
};

struct ClusterInformation {
    std::string name{};
    std::string cluster_guid{};
    std::string cluster_type{};
    std::string calico_version{};
    std::optional<bool> datastore_ready{};

    bool operator==(const ClusterInformation&) const = default;
};

struct HostEndpoint {
    std::string name{};
    Labels labels{};
    std::string node{};
    std::string interface_name{}; // "*": every host interface
    Nets expected_ips{};
    std::vector<std::string> profiles{};
    std::vector<EndpointPort> ports{};

    bool operator==(const HostEndpoint&) const = default;
};

struct IpamBlock {
    struct Attribute {
        std::string handle_id{};
        std::map<std::string, std::string> secondary{};
        std::string released_at{}; // not empty: in cooldown, not in use

        bool operator==(const Attribute&) const = default;
    };

    std::variant<Prefix4, Prefix6> cidr{};
    std::optional<std::string> affinity{}; // "host:<node>", "virtual:…"; absent: no owner
    std::vector<std::optional<std::uint32_t>> allocations{}; // by ordinal: index in attributes
    std::vector<std::uint32_t> unallocated{};                // ordinals, first in first out
    std::vector<Attribute> attributes{};
    std::uint64_t sequence_number = 0;
    std::map<std::uint32_t, std::uint64_t> allocation_sequence{};
    bool deleted = false;

    const Prefix4* v4() const { return std::get_if<Prefix4>(&cidr); }
    // The node of a "host:" affinity, or "".
    std::string host() const;
    bool operator==(const IpamBlock&) const = default;
};

enum class AffinityState { Confirmed, Pending, PendingDeletion };

struct BlockAffinity {
    std::variant<Prefix4, Prefix6> cidr{};
    std::string owner{}; // "host:n1"
    AffinityState state = AffinityState::Confirmed;

    const Prefix4* v4() const { return std::get_if<Prefix4>(&cidr); }
    std::string host() const;
    bool operator==(const BlockAffinity&) const = default;
};

struct IpamConfig {
    bool strict_affinity = false;
    bool auto_allocate_blocks = false; // absent in the stored value means false
    int max_blocks_per_host = 0;
    int cooldown_seconds = 0;

    bool operator==(const IpamConfig&) const = default;
};

// What IPAM goes by when nothing is stored.
inline constexpr IpamConfig kDefaultIpamConfig{false, true, 0, 0};

// A resource, or nothing: it is gone.
using Resource =
    std::variant<std::monostate, Node, IpPool, WorkloadEndpoint, Policy, Tier, Profile, NetworkSet,
                 FelixConfiguration, BgpConfiguration, BgpPeer, BgpFilter, ClusterInformation,
                 HostEndpoint, IpamBlock, BlockAffinity, IpamConfig>;

// One change of the datastore: the key now holds `value`, or nothing.
struct Update {
    ResourceKey key{};
    Resource value{};

    bool is_deletion() const { return std::holds_alternative<std::monostate>(value); }
    bool operator==(const Update&) const = default;
};

} // namespace margay::model
