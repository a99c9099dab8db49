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
    Ipv4 router_id;
    Seconds hold_time{240};
    Seconds keepalive_time{80}; // at most; a third of the negotiated hold time if that is less
    bool graceful_restart = true;
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
    Ipv4 peer_identifier;
    Seconds hold_time{0}; // 0: no timers
    Seconds keepalive_time{0};
    bool route_refresh = false;
    // What the peer said, if both ends want it. Its restart time is how long we keep its routes.
    std::optional<GracefulRestart> peer_restart;
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
