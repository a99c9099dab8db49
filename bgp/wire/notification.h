// SPDX-License-Identifier: Apache-2.0
// NOTIFICATION: why a session ends, as sent, as received, and in words (RFC 4271 4.5, 6).
//
// A Notify is also the typed outcome of every decoder here: "this ends the session, and this is
// what the RFC wants the peer to be told".

#pragma once

#include "bgp/wire/bytes.h"

#include <string>
#include <string_view>

namespace margay::bgp {

enum class ErrorCode : std::uint8_t {
    Header = 1,
    Open = 2,
    Update = 3,
    HoldExpired = 4,
    Fsm = 5,
    Cease = 6,
    RouteRefresh = 7, // RFC 7313
    SendHoldExpired = 8, // RFC 9687
};

// Subcodes. Zero is "unspecific" with every code.
namespace header_error {
inline constexpr std::uint8_t kNotSynchronized = 1, kBadLength = 2, kBadType = 3;
}
namespace open_error {
inline constexpr std::uint8_t kVersion = 1, kBadPeerAs = 2, kBadIdentifier = 3, kParameter = 4,
                              kHoldTime = 6, kCapability = 7;
}
namespace update_error {
inline constexpr std::uint8_t kAttributeList = 1, kUnknownWellKnown = 2, kOptional = 9,
                              kNetwork = 10;
}
namespace fsm_error { // RFC 6608: the state in which the unexpected message came
inline constexpr std::uint8_t kInOpenSent = 1, kInOpenConfirm = 2, kInEstablished = 3;
}
namespace cease { // RFC 4486
inline constexpr std::uint8_t kMaxPrefixes = 1, kAdminShutdown = 2, kPeerRemoved = 3,
                              kAdminReset = 4, kRejected = 5, kConfigChange = 6, kCollision = 7,
                              kOutOfResources = 8, kHardReset = 9 /* RFC 8538 */,
                              kBfdDown = 10 /* RFC 9384 */;
}
namespace refresh_error { // RFC 7313
inline constexpr std::uint8_t kBadLength = 1;
}

struct Notify {
    ErrorCode code = ErrorCode::Cease;
    std::uint8_t subcode = 0;
    Bytes data;

    bool operator==(const Notify&) const = default;
    bool is_collision() const { return code == ErrorCode::Cease && subcode == cease::kCollision; }
    // RFC 8538: routes do not outlive it, whatever was agreed on.
    bool is_hard_reset() const { return code == ErrorCode::Cease && subcode == cease::kHardReset; }
};

// "Bad Peer AS (2/2)", with the shutdown communication of RFC 9003 where there is one. Bytes of
// the peer's that do not print are shown as '?'.
std::string describe(const Notify& notify);

// Cease with a text for people on the other side (RFC 9003), cut to its limit.
Notify shutdown_notice(std::uint8_t subcode, std::string_view text);

// The same as a Hard Reset (RFC 8538 section 3), for a peer that else would keep our routes.
Notify hard_reset(const Notify& notify);

} // namespace margay::bgp
