// SPDX-License-Identifier: Apache-2.0
// OPEN and its capabilities (RFC 4271 4.2, 5492, 4760, 6793, 4724, 2918).
//
// The decoder judges what can be judged from the bytes alone; whether the AS and the identifier
// are those of the configured peer is the session's question. To add a capability: a member in
// Capabilities, a row in decode_capability() and one in encode_capabilities().

#pragma once

#include "bgp/wire/notification.h"
#include "bgp/wire/types.h"
#include "margay/ip.h"

#include <optional>
#include <variant>
#include <vector>

namespace margay::bgp {

// RFC 4724 section 3.
struct GracefulRestart {
    struct Entry {
        Family family;
        bool forwarding = false; // forwarding state survived the restart

        bool operator==(const Entry&) const = default;
    };

    bool restarting = false; // "do not wait for my End-of-RIB before you send yours"
    Seconds restart_time{0}; // 12 bits on the wire
    std::vector<Entry> entries;

    bool operator==(const GracefulRestart&) const = default;
    bool covers(Family family) const;
    bool forwarding_kept(Family family) const;
};
inline constexpr Seconds kMaxRestartTime{4095};

struct Capabilities {
    std::vector<Family> families; // none announced means IPv4 unicast
    std::optional<Asn> four_octet_as;
    bool route_refresh = false;
    std::optional<GracefulRestart> graceful_restart;

    bool operator==(const Capabilities&) const = default;
    bool carries(Family family) const;
};

struct Open {
    Asn as;              // four octets where the peer can, else the two of the header
    Seconds hold_time{0}; // 0, or at least 3
    Ipv4 identifier;
    Capabilities capabilities;

    bool operator==(const Open&) const = default;
};

// `body` is what follows the 19-octet header.
std::variant<Open, Notify> decode_open(ByteView body);
void encode_open(const Open& open, Bytes& body);

} // namespace margay::bgp
