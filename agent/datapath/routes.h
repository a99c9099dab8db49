// SPDX-License-Identifier: Apache-2.0
// Routes: where addresses are, by which ways, and which nodes may send ("routes4", "paths",
// "nodes4", "nodes").
//
// Every remote prefix has path slots of its own. What changes on an established flow's way out
// (next hop, MAC, encapsulation, the node) is a write to its slot, and needs no new judgement; a
// prefix that comes, goes or changes its kind does, and a node that goes: take_changed() says so.
//
// Several paths share the run of slots (path_slots.h), a flow has one of these for good. A run grows
// with the number of paths and does not shrink. The one before it is written as long as flows may
// know it, an hour; those that live on then change over at their next judgement.
//
// Slots survive a restart: the maps themselves name them, and say which path each has.

#pragma once

#include <boost/container/small_vector.hpp>

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "agent/datapath/keyed_ids.h"
#include "agent/datapath/path_slots.h"
#include "agent/datapath/tables.h"
#include "maps/table/pooled_map.h"
#include "margay/ip.h"

namespace margay::datapath {

using MacBytes = std::array<std::uint8_t, 6>;

// A way to a node, or to a router towards it. No two of a route have the same next hop, and there are
// at most PATH_SPREAD_MAX.
struct PathWant {
    bool encap = false;
    std::uint32_t ifindex = 0; // of the uplink
    MacBytes source_mac{}; // the uplink's
    Ipv4 next_hop{}; // on the link
    Ipv4 outer_source{}; // encap
    Ipv4 outer_destination{}; // encap
    std::uint32_t mtu = 0; // largest packet of a workload; 0: no limit

    bool operator==(const PathWant&) const = default;
};

using PathWants = boost::container::small_vector<PathWant, 1>;

struct RouteWant {
    route_kind kind = ROUTE_BLACKHOLE;
    bool tunnelled = false; // its packets come encapsulated: plain ones are spoofed
    std::uint32_t endpoint = 0; // ROUTE_ENDPOINT: its slot
    std::optional<Ipv4> node{}; // who may send from these addresses
    PathWants paths{}; // ROUTE_REMOTE: flows are spread over them. None: packets are dropped

    bool encap() const { return !paths.empty() && paths.front().encap; }
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

    // Prefixes without host bits. Where slots run out a prefix has fewer paths than wanted, and an
    // error if there is none at all.
    Status want(const Prefix4& prefix, const RouteWant& route, Clock::Time now);
    void forget(const Prefix4& prefix, Clock::Time now);

    // A node that may send IPIP; `external` for externalNodesList, where prefixes are allowed.
    Status want_node(const Prefix4& outer_source, bool external, Clock::Time now);
    void forget_node(const Prefix4& outer_source, Clock::Time now);

    // What the kernel knows of a next hop. Nothing: the packet asks the kernel itself.
    void set_neighbour(std::uint32_t ifindex, Ipv4 next_hop, std::optional<MacBytes> mac);

    bool take_changed() { return std::exchange(changed_, false); }
    void expire(Clock::Time now);

    const RouteWant* find(const Prefix4& prefix) const;
    std::map<Prefix4, RouteWant> wanted() const; // a copy, for people

private:
    struct Entry {
        RouteWant want{};
        SlotRun run{};
        bool wanted = false;
        bool kept = false; // of an earlier run, and not wanted yet
        std::optional<Clock::Time> resting_since{}; // nobody's; the run is the prefix's for a while
    };
    struct Resting {
        Clock::Time since;
        Prefix4 prefix;
        SlotRun run;
    };
    using HopKey = std::pair<std::uint32_t, Ipv4>; // interface, next hop
    struct HopHash {
        std::size_t operator()(const HopKey& key) const
        {
            return (std::size_t{key.first} << 32 | key.second.value()) * 0x9e3779b97f4a7c15u;
        }
    };
    // Slots that go by one next hop, as a list through slots_.
    struct Hop {
        std::optional<MacBytes> mac{};
        std::uint32_t first = 0;
    };
    using Hops = std::unordered_map<HopKey, Hop, HopHash>; // its elements stay where they are
    struct Slot {
        Hops::value_type* hop = nullptr;
        std::uint32_t before = 0;
        std::uint32_t next = 0;
    };

    struct Outgrown {
        Clock::Time since;
        SlotRun run;
        bool operator==(const Outgrown&) const = default;
    };

    void keep(const Prefix4& prefix, Entry& entry, Clock::Time now);
    Status want_run(const Prefix4& prefix, Entry& entry, const RouteWant& wanted, Clock::Time now);
    void release_run(const Prefix4& prefix, Entry& entry, Clock::Time now);
    bool free_run(const Resting& resting);
    void clear_run(SlotRun run);
    Error refused(const Prefix4& prefix, const Error& error);
    void drop_if_empty(const Prefix4& prefix);

    void write(const Prefix4& prefix, const Entry& known, std::uint32_t node_slot,
               bool other_paths);
    void write_run(SlotRun run, const PathWants& paths, std::uint32_t node_slot);
    void write_path(std::uint32_t slot, const PathWant* want, std::uint32_t node_slot);
    std::uint8_t path_of(std::uint32_t slot, const PathWants& paths) const;
    const Hop& link(std::uint32_t slot, HopKey key);
    void unlink(std::uint32_t slot);
    void drop_if_unused(HopKey key);

    Tables& tables_;
    PathSlots path_slots_;
    KeyedIds<Prefix4> node_ids_; // by outer source
    maps::PooledMap<Prefix4, Entry, std::hash<Prefix4>> entries_;
    std::vector<Prefix4> kept_; // some may be wanted or forgotten by now
    // Runs that grew, of which flows may know the smaller ones.
    std::map<Prefix4, std::vector<Outgrown>> outgrown_;
    std::deque<Resting> resting_; // the oldest first; passed over where it is in use again
    std::vector<SlotRun> left_over_; // of an earlier run
    std::vector<SlotRun> cooling_; // free, and to be taken after the next expire()
    std::map<Prefix4, bool> nodes_; // wanted; true: external
    Hops hops_;
    std::vector<Slot> slots_;
    bool changed_ = false;
};

} // namespace margay::datapath
