// SPDX-License-Identifier: Apache-2.0
// What goes into a speaker and what comes out of it: plain values.

#pragma once

#include "bgp/rib/export.h"
#include "bgp/rib/next_hops.h"
#include "bgp/session/fsm.h"
#include "bgp/wire/attribute_set.h"
#include "margay/ip.h"

#include <chrono>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace margay::bgp {

inline constexpr std::uint16_t kBgpPort = 179;
// Calico's normal route: 2147483647 less a priority of 1024 (see README.md).
inline constexpr std::uint32_t kNormalLocalPref = 2147482623;

struct SpeakerConfig {
    Asn local_as;
    Ipv4 router_id;
    std::uint16_t listen_port = kBgpPort; // 0: does not listen
    std::optional<Ip> listen_address{};     // all addresses of both families
    // The previous run left routes in force, which are kept until the peers have told theirs
    // again (RFC 4724 4.1). Also bounds that time, see Callbacks::on_initial_sync_done.
    bool restarting = false;
    Seconds restart_time{120};
    // Ours, as the next hop of IPv6 routes on sessions over IPv4, and the other way round. By default what
    // the interface of the session has.
    std::optional<Ipv4> address4{};
    std::optional<Ipv6> address6{};
    // RFC 4456: as a reflector, for the peers that are its clients. By default the router id.
    std::optional<Ipv4> cluster_id{};
    std::size_t dynamic_limit = 1000; // dynamic neighbours at a time, of all ranges

    Ipv4 cluster() const { return cluster_id.value_or(router_id); }
};

// Two configs that differ in nothing but the policy mean the same session: set_peers() leaves it alone.
struct PeerConfig {
    std::string name; // "Mesh_10_0_0_1"; unique
    Ip address;
    std::string interface{}; // by which a link-local address is meant
    std::uint16_t port = kBgpPort;
    Asn remote_as;
    std::vector<Asn> also_as{}; // of which it may be, too
    bool any_external_as = false; // instead of these, it may be of any but ours
    std::optional<Asn> local_as; // ours on this session; the speaker's when empty
    std::vector<Family> families{kIpv4Unicast};
    std::optional<Ip> source; // own address of the session; by route when empty
    bool passive = false; // waits for the peer to connect
    std::string password; // of TCP MD5 (RFC 2385), at most 80 octets; empty: none
    std::uint8_t ttl_security =
        0; // RFC 5082: the peer is at most that many hops away; 0: not asked
    NextHopMode next_hop = NextHopMode::Auto;
    std::uint8_t allowed_own_as = 0; // how often our AS may be in the path of what it tells
    bool reflector_client = false; // an internal peer to whom and for whom we reflect (RFC 4456)
    bool add_path = true; // RFC 7911, both ways, where the peer wants it
    std::optional<std::size_t> max_prefixes; // of a family; with more the session ends (RFC 4486)
    // What the filters know the peer by, beside its kind: those with the same are told the same.
    std::string policy;
    // RFC 9687: that long without room for what it is to be told; 0: without a limit.
    Seconds send_hold_time{480};
    std::chrono::milliseconds delay_open{0}; // RFC 4271 8.1.1: the peer may speak first so long
    bool graceful_restart = true;
    // RFC 8538: routes also outlive a NOTIFICATION and the hold time. A dead peer is found later.
    bool restart_on_notification = false;
    Seconds restart_time{120}; // how long the peer may keep our routes
    Seconds hold_time{240};
    Seconds keepalive_time{80};
    std::chrono::milliseconds connect_retry{5000}; // jittered
    // After an error, until we dial; doubles up to six times that. The peer may come after a second. 0: at once.
    std::chrono::milliseconds idle_hold{5000};
    // RFC 4271 6.3: what an external peer tells begins with its AS. A route server's does not (RFC 7947).
    bool enforce_first_as = false;
    std::optional<IpPrefix> range{}; // of a dynamic neighbour, set by the speaker alone

    std::string address_text() const
    {
        return interface.empty() ? address.str() : address.str() + "%" + interface;
    }
    bool operator==(const PeerConfig&) const = default;
    bool same_session(const PeerConfig& other) const
    {
        PeerConfig same = other;
        same.policy = policy;
        return *this == same;
    }
};

// Dynamic neighbours: who connects from the prefix and is no configured peer becomes one by this, and is
// forgotten when its session has ended and its routes are gone. We never dial it.
struct PeerRange {
    IpPrefix prefix;
    PeerConfig
        peer; // of each; its name is the beginning of theirs, its address and source say nothing
    std::size_t limit = 100; // at a time
};

// A connection that was refused, or a dynamic neighbour that never became one.
struct RefusedConnection {
    Ip from;
    std::string why; // in plain words
    std::uint64_t count = 0; // from this address, while it is remembered
    std::chrono::system_clock::time_point last;
};

// A route of our own. The next hop is the own address of each session.
struct Announcement {
    std::uint32_t local_pref = kNormalLocalPref;
    std::optional<std::uint32_t> med;
    std::vector<std::uint32_t> communities;
};

struct NextHop {
    Ip gateway;
    Ip from; // the peer that told us
    // The index of the link that we share with that peer, where there is one: a link-local gateway is meant
    // by it, and so is the one that the peer may have told beside a global gateway (RFC 2545).
    std::uint32_t interface = 0;
    std::optional<Ipv6> link_local{};

    bool operator==(const NextHop&) const = default;
};

// What is now the best way to `prefix`: several next hops when they are equal down to the IGP
// step of the decision, the first of them the best path. None: nobody reaches it any more, or it
// is our own.
template <typename P>
struct RouteChangeOf {
    P prefix;
    std::uint32_t local_pref = 0; // of the best path
    std::span<const NextHop> best; // for the time of the callback
};
using RouteChange = RouteChangeOf<Prefix4>;
using RouteChange6 = RouteChangeOf<Prefix6>;

struct MessageCounts {
    std::uint64_t open = 0;
    std::uint64_t update = 0;
    std::uint64_t notification = 0;
    std::uint64_t keepalive = 0;
    std::uint64_t route_refresh = 0;
};

struct PeerStatus {
    std::string name;
    Ip address;
    std::string interface{}; // of a link-local address
    std::optional<IpPrefix> range{}; // a dynamic neighbour of that range
    bool forgotten = false; // the last word of a dynamic neighbour
    Asn remote_as; // as it says itself while the session is up, else as configured; 0: any
    State state = State::Idle;
    std::chrono::system_clock::time_point since; // of the last change between up and down
    std::string why_down; // in plain words; empty while Established
    std::string last_notification_sent; // with its text; empty if none
    std::string last_notification_received;
    MessageCounts sent;
    MessageCounts received;
    std::uint64_t established_count = 0; // sessions so far
    std::size_t prefixes_received = 0;
    std::size_t prefixes_advertised = 0;
    std::uint64_t update_faults = 0; // attributes that RFC 7606 had to deal with
    std::vector<Family> families; // agreed on by both, as all that follows
    bool add_path = false; // of one of them at least, one way at least
    bool extended_messages = false;
    bool graceful_restart = false;
    bool routes_are_stale = false; // session down, routes kept for the restart time
    bool end_of_rib_received = false;
    Seconds hold_time{0}; // negotiated
    bool route_refresh = false;
    std::optional<Ipv4> identifier; // the peer's, while the session is up

    // It came from a range and has not had a session: anybody may come and go like that.
    bool is_stranger() const { return range && established_count == 0; }
};

struct RouteView {
    IpPrefix prefix;
    std::optional<Ip> from; // empty: our own
    PeerId peer_id = kOurselves;
    std::string peer; // its name; empty: our own
    std::uint32_t interface = 0; // of a link-local next hop
    PathId path = 0; // the peer's number (RFC 7911)
    std::optional<Attributes> attributes;
    bool best = false;
    bool multipath = false; // used beside the best
    bool stale = false;
    bool rejected = false; // no candidate for the decision
    std::string why; // best, or by which step of the decision it lost, or why it is not used
};

// What a peer is told of a route, or why it is not told.
struct ExportedView {
    RouteView route; // the attributes as the peer gets them
    bool told = false;
    std::string why; // empty if told
};

struct TableCounts {
    struct Family {
        std::size_t prefixes = 0;
        std::size_t reachable = 0; // by what peers told
        std::size_t paths = 0; // of peers
    };
    Family ipv4;
    Family ipv6;
    std::size_t attribute_sets = 0;
};

// Which routes somebody wants to see.
struct RouteQuery {
    enum class Match {
        Exact,
        Within, // the prefix and what is more specific
        Covering, // the prefix and what is less specific
    };
    std::optional<IpPrefix> prefix{}; // empty: all, of both families
    Match match = Match::Exact;
    std::string received_from{}; // a peer's name; empty: anybody, and ourselves
};

// Where a walk over the tables goes on: the family, and the number of the entry. Between two portions the
// tables change; a route that is there all the time is seen once.
struct RouteCursor {
    bool ipv6 = false;
    std::uint32_t entry = 0;

    bool operator==(const RouteCursor&) const = default;
};

template <typename View>
struct Portion {
    std::vector<View> views;
    std::optional<RouteCursor> next; // empty: that was all
};

struct FilterContext {
    // Export: any of the peers with this policy, of which one group is told the same.
    const PeerConfig& peer;
    bool internal; // iBGP
    const IpPrefix& prefix;
    AttributePool& pool; // where changed attributes are made
    bool own = false; // export: announced by ourselves
};

// A function of what it is given and nothing else, and of the peer by its `policy` only: it is asked in
// the middle of walks over the tables, and must not call the speaker. Gives back what it was given
// (accept), something else (accept, modified), or nullptr (reject).
using RouteFilter = std::function<AttributesPtr(const FilterContext&, const AttributesPtr&)>;

struct Callbacks {
    // Once a turn of the event loop, with everything that changed in it.
    std::function<void(std::span<const RouteChange>)> on_routes;
    std::function<void(const PeerStatus&)> on_peer_state;
    // Once: every peer is up and has sent End-of-RIB (or cannot), or restart_time is over. Routes
    // of a previous run that nobody confirmed until now are to go.
    std::function<void()> on_initial_sync_done;
    // As on_routes, of the other family.
    std::function<void(std::span<const RouteChange6>)> on_routes6;
    // RFC 4271 9.1.2: whether anything leads to a next hop of what peers told (NextHops::Watch). Both are
    // asked inside of calls and must not call the speaker; what changes is set_next_hop(). Without them
    // every next hop is reachable.
    std::function<bool(const Ip&)> watch_next_hop;
    std::function<void(const Ip&)> unwatch_next_hop;
};

} // namespace margay::bgp
