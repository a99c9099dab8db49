// SPDX-License-Identifier: Apache-2.0
// What calc asks of the data path, the kernel and BGP, as values.
//
// A Changes holds what is different since the one before: a key with a value is new or changed, a
// key with nothing is gone, an empty optional of a single value says nothing changed. The first
// Changes after a complete snapshot is therefore the whole wanted state. Addresses are Ipv4
// values, ports and AS numbers are in host order.

#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/model/resources.h"
#include "agent/policy/hash.h"
#include "agent/policy/ir.h"
#include "margay/ip.h"

namespace margay::model {

template <typename Key, typename Value>
using Delta = std::map<Key, std::optional<Value>>;

// Endpoints with equal lists share one object. `hash` is canonical: the same program has it again
// after a restart, as long as set ids come from the same dictionary.
struct SharedProgram {
    policy::ProgramHash hash{};
    policy::Program program{};
};
using ProgramRef = std::shared_ptr<const SharedProgram>;

// A workload endpoint of this node; its key in Changes is the interface name.
struct WantedEndpoint {
    ResourceKey id{};
    std::string interface_name{};
    std::vector<Ipv4> addresses{};
    std::optional<Mac> mac{};
    std::vector<std::string> profiles{};
    ProgramRef ingress{};
    ProgramRef egress{};

    bool operator==(const WantedEndpoint&) const = default;
};

// An address set of the programs. Its members are in Changes::classes.
struct WantedSet {
    std::string name{}; // canonical: the key of the pinned dictionary

    bool operator==(const WantedSet&) const = default;
};

enum class RouteKind {
    LocalWorkload, // to `interface_name`
    Host,          // an address of this node itself: its tunnel address
    Remote,        // to `node` at `node_address`
    Blackhole,     // a block of this node: an address without endpoint is a drop
};

struct WantedRoute {
    RouteKind kind = RouteKind::Blackhole;
    std::string node{};
    Ipv4 node_address{};      // Remote
    bool encap = false;       // Remote: in IPIP to node_address; else plain, via node_address
    bool same_subnet = false; // Remote: node_address is inside this node's own network
    bool nat_outgoing = false; // of the pool
    bool in_tunnelled_pool =
        false; // the pool may encapsulate: plain packets from there are spoofed
    std::string interface_name{};   // LocalWorkload

    bool operator==(const WantedRoute&) const = default;
};

// A node that may send us IPIP; its key in Changes is the outer source address. An inner source
// belongs to it when it is the tunnel address or inside one of the prefixes.
struct WantedNode {
    std::string name{};
    std::optional<Ipv4> tunnel_address{};
    std::vector<Prefix4> prefixes{}; // its blocks and the addresses it borrowed, sorted

    bool operator==(const WantedNode&) const = default;
};

struct WantedPool {
    std::string name{};
    bool nat_outgoing = false;
    bool disabled = false; // still routed, excluded from masquerading and exported
    Encapsulation ipip_mode = Encapsulation::Never;
    bool disable_bgp_export = false;

    bool operator==(const WantedPool&) const = default;
};

// This node, as the datastore has it.
struct OwnNode {
    bool present = false;
    std::optional<Prefix4> address{}; // with host bits and the length of its network
    std::optional<Ipv4> tunnel_address{};
    std::vector<Prefix4> blocks{}; // confirmed, by affinity object

    bool operator==(const OwnNode&) const = default;
};

struct LocalBgp {
    std::uint32_t as_number = 64512;
    std::optional<Ipv4> address{}; // spec.bgp.ipv4Address; without it there are no peers
    std::optional<Prefix4> network{}; // of that address
    std::uint16_t listen_port = 179;
    bool bind_node_address = false;
    bool mesh_enabled = true;
    std::chrono::milliseconds restart_time = std::chrono::seconds(120);
    std::string route_reflector_cluster_id{};

    bool operator==(const LocalBgp&) const = default;
};

// A session of the node mesh or of a BGPPeer; its key in Changes is "Mesh_10_0_0_9",
// "Global_10_0_0_9_port_1790", "Node_fd00__9", "Local_Workload_10_65_0_2".
struct BgpSession {
    std::string origin{}; // "mesh", or the BGPPeer's name
    std::string node{};   // of ours at the other end, if it is one
    Ip address{};
    std::uint16_t port = 179;
    std::uint32_t as_number = 0;
    std::optional<std::uint32_t> local_as_number{};
    std::optional<Ip> source{};
    std::string workload_interface{}; // of a workload of ours; then it must have the source
    bool passive = false; // we wait for the peer to connect
    bool reflector_client = false;
    NextHopMode next_hop = NextHopMode::Auto;
    std::optional<SecretKeyRef> password{};
    std::uint8_t ttl_security = 0;
    std::uint8_t allowed_own_as = 0;
    std::optional<std::chrono::milliseconds> restart_time{};
    std::optional<std::chrono::milliseconds> keepalive_time{};
    std::optional<Ipv4> reachable_by{}; // a gateway, by which the peer shall be reached
    std::vector<std::string> filters{}; // names, in order

    bool operator==(const BgpSession&) const = default;
};

// What decides, beside a peer's filters, which routes are told (agent/bgp/export.h).
struct BgpExport {
    struct Pool {
        AnyPrefix cidr{};
        bool exported = true; // disableBGPExport says no

        auto operator<=>(const Pool&) const = default;
    };
    std::vector<Pool> pools{};            // disabled ones, too
    std::vector<AnyPrefix> own_blocks{};  // confirmed
    std::vector<PrefixAdvertisement> advertisements{};
    Nets service_routes{};     // announced as they are
    Nets reflected_services{}; // of a route reflector: what is inside is passed on
    std::uint32_t priority4 = kNormalRoutePriority; // of own routes
    std::uint32_t priority6 = kNormalRoutePriority;

    bool operator==(const BgpExport&) const = default;
};

// An own route: a confirmed block, or an address that a workload or the node itself has. Which of them
// a peer is told is for its filters and the export rules to say (agent/bgp).
struct Announcement {
    enum class Kind { Block, Address };

    Kind kind = Kind::Block;
    std::string interface_name{}; // of a workload's address

    bool operator==(const Announcement&) const = default;
};

struct Changes {
    Delta<std::string, WantedEndpoint> endpoints{}; // by interface name
    Delta<policy::SetId, WantedSet> sets{};
    // The sets that contain a prefix's addresses, those of shorter prefixes included, so that the
    // longest match alone gives an address's class. Sorted.
    Delta<Prefix4, std::vector<policy::SetId>> classes{};
    Delta<Prefix4, WantedRoute> routes{};
    Delta<Ipv4, WantedNode> nodes{};
    Delta<Prefix4, WantedPool> pools{}; // without those for load balancers alone
    Delta<Prefix4, Announcement> announcements{};
    Delta<std::string, BgpSession> bgp_sessions{};
    Delta<std::string, BgpFilter> bgp_filters{}; // by name
    std::optional<BgpExport> bgp_export{};
    std::optional<OwnNode> own_node{};
    std::optional<LocalBgp> bgp{};
    std::optional<FelixConfiguration> felix{}; // merged by precedence
    std::optional<ClusterInformation> cluster{};

    bool empty() const
    {
        return endpoints.empty() && sets.empty() && classes.empty() && routes.empty() &&
               nodes.empty() && pools.empty() && announcements.empty() && bgp_sessions.empty() &&
               bgp_filters.empty() && !bgp_export && !own_node && !bgp && !felix && !cluster;
    }
};

} // namespace margay::model
