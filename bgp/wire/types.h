// SPDX-License-Identifier: Apache-2.0
// Numbers that every part of bgp/ speaks of.

#pragma once

#include <chrono>
#include <compare>
#include <cstdint>

namespace margay::bgp {

using Seconds = std::chrono::seconds;

// An autonomous system number, four octets (RFC 6793).
struct Asn {
    std::uint32_t value = 0;

    constexpr auto operator<=>(const Asn&) const = default;
    constexpr bool fits_two_octets() const { return value <= 0xffff; }
};
inline constexpr Asn kAsTrans{23456}; // stands for a wide number where only two octets fit

// Address family and subsequent address family (RFC 4760).
struct Family {
    std::uint16_t afi = 0;
    std::uint8_t safi = 0;

    constexpr auto operator<=>(const Family&) const = default;
};
inline constexpr Family kIpv4Unicast{1, 1};
inline constexpr Family kIpv6Unicast{2, 1};
const char* name_of(Family family); // "IPv4 unicast"

// Distinguishes several paths to one prefix (RFC 7911); 0 where there is one for each.
using PathId = std::uint32_t;

} // namespace margay::bgp
