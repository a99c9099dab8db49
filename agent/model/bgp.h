// SPDX-License-Identifier: Apache-2.0
// The datastore's BGP resources as plain values: BGPConfiguration, BGPPeer, BGPFilter.

#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "agent/model/selector.h"
#include "margay/ip.h"

namespace margay::model {

// A list of prefixes of both families, masked.
struct Nets {
    std::vector<Prefix4> v4{};
    std::vector<Prefix6> v6{};

    bool empty() const { return v4.empty() && v6.empty(); }
    bool operator==(const Nets&) const = default;
};

// One prefix of either family.
using AnyPrefix = std::variant<Prefix4, Prefix6>;

// "65001:1:10" (RFC 8092).
struct LargeCommunity {
    std::uint32_t administrator = 0;
    std::uint32_t first = 0;
    std::uint32_t second = 0;

    auto operator<=>(const LargeCommunity&) const = default;
};

// "65001:10" (RFC 1997), or a large one.
using Community = std::variant<std::uint32_t, LargeCommunity>;

// A key of a Kubernetes Secret. Both parts are safe as names of files: the datastore is written by
// many, and these become a path.
struct SecretKeyRef {
    std::string name{};
    std::string key{};

    auto operator<=>(const SecretKeyRef&) const = default;
};

// Of two equally good routes the one with the lower priority number wins; on the wire between
// internal peers it is a local preference: 2147483647 less the priority.
inline constexpr std::uint32_t kNormalRoutePriority = 1024;
inline constexpr std::uint32_t kMaxRoutePriority = 2147483646;

struct PrefixAdvertisement {
    AnyPrefix cidr{};
    std::vector<Community> communities{};

    bool operator==(const PrefixAdvertisement&) const = default;
};

struct BgpConfiguration {
    std::string name{}; // "default" or "node.<name>"; others are ignored
    std::optional<bool> mesh_enabled{};
    std::optional<std::uint32_t> as_number{};
    std::optional<std::uint16_t> listen_port{};
    std::optional<std::chrono::milliseconds> mesh_restart_time{};
    std::optional<SecretKeyRef> mesh_password{};
    std::optional<std::string> log_severity_screen{};
    std::optional<std::string> bind_mode{}; // None, NodeIP
    std::optional<std::uint32_t> route_priority4{};
    std::optional<std::uint32_t> route_priority6{};
    std::optional<std::vector<PrefixAdvertisement>> prefix_advertisements{};
    Nets service_cluster_ips{};
    Nets service_external_ips{};
    Nets service_load_balancer_ips{};
    bool aggregates_load_balancer_ips = true; // else one address at a time is announced
    std::optional<Ipv4> workload_peering4{}; // ours towards workloads that are peers

    bool operator==(const BgpConfiguration&) const = default;
};

enum class NextHopMode { Auto, Self, Keep };

struct BgpPeer {
    std::string name{};
    // On which nodes: this one, those that are selected, or all.
    std::string node{};
    std::optional<Selector> node_selector{};
    // With whom: an address, or the nodes or workloads that are selected.
    std::optional<Ip> address{};
    std::optional<std::uint16_t> port{};
    std::uint32_t as_number = 0; // of the address, or of the workloads
    std::optional<Selector> peer_selector{};
    std::optional<Selector> workload_selector{}; // workloads of the node itself
    std::optional<std::uint32_t> local_as_number{};
    NextHopMode next_hop = NextHopMode::Auto;
    std::optional<SecretKeyRef> password{};
    bool from_node_address = true; // sourceAddress
    std::optional<std::chrono::milliseconds> max_restart_time{};
    std::optional<std::chrono::milliseconds> keepalive_time{};
    std::uint8_t allowed_own_as = 0;
    std::uint8_t ttl_security = 0;
    std::optional<Ip> reachable_by{};
    std::vector<std::string> filters{};
    bool reverse = true; // nodes that are peers by this have the session towards us

    bool is_global() const { return node.empty() && !node_selector; }
    bool operator==(const BgpPeer&) const = default;
};

struct AddCommunity {
    Community value{};
    bool operator==(const AddCommunity&) const = default;
};
struct PrependAsPath {
    std::vector<std::uint32_t> as_numbers{}; // the first becomes the path's first
    bool operator==(const PrependAsPath&) const = default;
};
struct SetPriority {
    std::uint32_t value = 0;
    bool operator==(const SetPriority&) const = default;
};
using BgpOperation = std::variant<AddCommunity, PrependAsPath, SetPriority>;

// A field that is absent matches every route.
struct BgpFilterRule {
    enum class CidrMatch { Equal, NotEqual, In, NotIn };
    enum class PeerType { Any, External, Internal };
    enum class Action { Continue, Accept, Reject };

    std::optional<AnyPrefix> cidr{};
    CidrMatch cidr_match = CidrMatch::In;
    std::optional<std::uint8_t> min_length{}; // with In and NotIn
    std::optional<std::uint8_t> max_length{};
    bool learned = false; // source: RemotePeers
    std::string interface_name{}; // may hold "*" and "?"
    PeerType peer_type = PeerType::Any;
    std::optional<Community> community{};
    std::vector<std::uint32_t> as_path_prefix{};
    std::optional<std::uint32_t> priority{};
    std::vector<BgpOperation> operations{}; // in order, before the action
    Action action = Action::Continue;

    bool operator==(const BgpFilterRule&) const = default;
};
using BgpFilterRules = std::vector<BgpFilterRule>;

struct BgpFilter {
    std::string name{};
    BgpFilterRules import4{};
    BgpFilterRules export4{};
    BgpFilterRules import6{};
    BgpFilterRules export6{};

    bool operator==(const BgpFilter&) const = default;
};

} // namespace margay::model
