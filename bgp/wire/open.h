// SPDX-License-Identifier: Apache-2.0
// OPEN and its capabilities (RFC 4271 4.2, 5492, 9072; 4760, 6793, 4724, 8538, 2918, 7313, 7911, 8654,
// 8950).
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
    bool notification = false; // RFC 8538: also a NOTIFICATION lets routes outlive the session

    bool operator==(const GracefulRestart&) const = default;
    bool covers(Family family) const;
    bool forwarding_kept(Family family) const;
};
inline constexpr Seconds kMaxRestartTime{4095};

// RFC 7911 section 4.
struct AddPath {
    Family family;
    bool receive = false;
    bool send = false;

    bool operator==(const AddPath&) const = default;
};

struct Capabilities {
    std::vector<Family> families; // none announced means IPv4 unicast
    std::vector<Family> ipv6_next_hop; // RFC 8950: of those it takes IPv6 next hops, too
    std::optional<Asn> four_octet_as;
    bool route_refresh = false;
    bool enhanced_refresh = false; // RFC 7313
    bool extended_message = false; // RFC 8654
    std::vector<AddPath> add_path;
    std::optional<GracefulRestart> graceful_restart;

    bool operator==(const Capabilities&) const = default;
    bool carries(Family family) const;
    AddPath add_path_of(Family family) const;
    bool takes_ipv6_next_hops(Family family) const;
};

struct Open {
    Asn as; // four octets where the peer can, else the two of the header
    Seconds hold_time{0}; // 0, or at least 3
    Ipv4 identifier;
    Capabilities capabilities;

    bool operator==(const Open&) const = default;
};

// `body` is what follows the 19-octet header.
std::variant<Open, Notify> decode_open(ByteView body);
void encode_open(const Open& open, Bytes& body);

} // namespace margay::bgp
