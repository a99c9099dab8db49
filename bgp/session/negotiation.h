// SPDX-License-Identifier: Apache-2.0
// What two OPENs agree on: our OPEN, the judgement of the peer's (RFC 4271 6.2), and the result.

#pragma once

#include "bgp/wire/attributes.h"
#include "bgp/wire/open.h"

#include <string>
#include <variant>

namespace margay::bgp {

// What a session is configured with.
struct SessionConfig {
    Asn local_as;
    Asn remote_as;
    std::vector<Asn> also_as{}; // accepted, too
    bool any_external_as = false; // instead of these, any other than ours
    Ipv4 router_id;
    bool capabilities = true; // false: as if neither end had heard of them (RFC 5492 section 3)
    std::vector<Family> families{kIpv4Unicast};
    bool ipv6_next_hop = false; // RFC 8950: we can use IPv6 next hops of IPv4 routes
    bool add_path = true;
    Seconds hold_time{240};
    Seconds keepalive_time{80}; // at most; a third of the negotiated hold time if that is less
    bool graceful_restart = true;
    bool restart_on_notification = false; // RFC 8538
    Seconds restart_time{120};

    bool operator==(const SessionConfig&) const = default;
};

// RFC 4724: what our OPEN says about our own restart. It changes during the life of a speaker.
struct RestartState {
    bool restarting = false;      // the R bit
    bool forwarding_kept = false; // the F bit
};

struct Negotiated {
    WireSession wire;
    Asn remote_as;
    Ipv4 peer_identifier;
    Seconds hold_time{0}; // 0: no timers
    Seconds keepalive_time{0};
    bool route_refresh = false;
    bool enhanced_refresh = false; // RFC 7313
    // What the peer said, if both ends want it. Its restart time is how long we keep its routes.
    // Its `notification` is set when both ends said so.
    std::optional<GracefulRestart> peer_restart;

    // Some of the peer's routes may outlive the session (RFC 4724 4.2).
    bool keeps_routes() const;
    bool keeps_routes_on_notification() const // RFC 8538
    {
        return keeps_routes() && peer_restart->notification;
    }
};

struct Refusal {
    Notify notify;
    std::string why; // in plain words
};

Open make_open(const SessionConfig& config, const RestartState& restart);
std::variant<Negotiated, Refusal> negotiate(const SessionConfig& config, const Open& peer);

// RFC 4271 6.8 and 6286 2.3: of two connections between the same speakers, does the one survive
// that we opened? It does if our identifier is the higher one; both ends come to the same answer.
bool our_connection_survives(const SessionConfig& config, const Open& peer);

} // namespace margay::bgp
