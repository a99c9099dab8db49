// SPDX-License-Identifier: Apache-2.0
// Routes: where addresses are, by which way, and which nodes may send ("routes4", "paths",
// "nodes4", "nodes").
//
// Every remote prefix has a path slot of its own. What changes on an established flow's way out
// (next hop, MAC, encapsulation, the node) is a write to that slot, and needs no new judgement; a
// prefix that comes, goes or changes its kind does, and a node that goes: take_changed() says so.
//
// Slots survive a restart: the maps themselves name them.

#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "agent/datapath/keyed_ids.h"
#include "agent/datapath/tables.h"
#include "margay/ip.h"

namespace margay::datapath {

using MacBytes = std::array<std::uint8_t, 6>;

// The way to a node. Unreachable: packets to it are dropped with a reason.
struct PathWant {
    bool reachable = false;
    bool encap = false;
    std::uint32_t ifindex = 0; // of the uplink
    MacBytes source_mac{};     // the uplink's
    Ipv4 next_hop{};           // on the link
    Ipv4 outer_source{};       // encap
    Ipv4 outer_destination{};  // encap
    std::uint32_t mtu = 0;     // largest packet of a workload; 0: no limit

    bool operator==(const PathWant&) const = default;
};

struct RouteWant {
    route_kind kind = ROUTE_BLACKHOLE;
    bool tunnelled = false;    // its packets come encapsulated: plain ones are spoofed
    std::uint32_t endpoint = 0; // ROUTE_ENDPOINT: its slot
    std::optional<Ipv4> node{}; // who may send from these addresses
    PathWant path{};            // ROUTE_REMOTE

    bool operator==(const RouteWant&) const = default;
};

class Routes {
public:
    explicit Routes(Tables& tables);

    void adopt();
    // Remote prefixes of an earlier run that nobody has named are kept (RFC 4724: a restarting
    // speaker forwards as before until its peers have told their routes).
    void seal(Clock::Time now);
    // Now they go.
    void drop_kept(Clock::Time now);

    // Prefixes without host bits.
    Status want(const Prefix4& prefix, const RouteWant& route, Clock::Time now);
    void forget(const Prefix4& prefix, Clock::Time now);

    // A node that may send IPIP; `external` for externalNodesList, where prefixes are allowed.
    Status want_node(const Prefix4& outer_source, bool external, Clock::Time now);
    void forget_node(const Prefix4& outer_source, Clock::Time now);

    // What the kernel knows of a next hop. Nothing: the packet asks the kernel itself.
    void set_neighbour(std::uint32_t ifindex, Ipv4 next_hop, std::optional<MacBytes> mac);

    bool take_changed() { return std::exchange(changed_, false); }
    void expire(Clock::Time now);

    const std::map<Prefix4, RouteWant>& wanted() const { return wanted_; }

private:
    using NextHop = std::pair<std::uint32_t, Ipv4>;

    void write_path(std::uint32_t slot, const RouteWant& route, std::uint32_t node_slot);
    void drop_references(const Prefix4& prefix, const RouteWant& route, Clock::Time now);

    Tables& tables_;
    KeyedIds<Prefix4> path_ids_;
    KeyedIds<Prefix4> node_ids_; // by outer source
    std::map<Prefix4, RouteWant> wanted_;
    std::set<Prefix4> kept_; // of an earlier run; each holds its path slot
    std::map<Prefix4, bool> nodes_; // wanted; true: external
    std::map<NextHop, MacBytes> neighbours_;
    std::map<NextHop, std::set<Prefix4>> by_next_hop_; // remote prefixes
    bool changed_ = false;
};

} // namespace margay::datapath
