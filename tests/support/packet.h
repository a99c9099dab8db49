// SPDX-License-Identifier: Apache-2.0
// Frames for tests, built from the inside out: ethernet(ipv4({...}, tcp(...))).
//
// Numbers are in host order here and in network order in the bytes. Checksums are right unless a
// test breaks them.

#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace margay::testing {

using Bytes = std::vector<std::uint8_t>;
using Mac = std::array<std::uint8_t, 6>;

inline constexpr std::size_t kEthernet = 14;
inline constexpr std::uint16_t kDf = 0x4000;
inline constexpr std::uint16_t kMf = 0x2000;
inline constexpr std::uint8_t kFin = 1, kSyn = 2, kRst = 4, kAck = 16;

// "10.0.0.1" in host order; ends the test program when it is no address.
std::uint32_t addr(std::string_view text);

struct Ipv4Header {
    std::uint32_t src = 0;
    std::uint32_t dst = 0;
    std::uint8_t proto = 0;
    std::uint8_t ttl = 64;
    std::uint8_t tos = 0;
    std::uint16_t id = 0x1234;
    std::uint16_t frag = 0; // flags and offset in units of 8
    Bytes options{};        // a multiple of 4
    auto operator<=>(const Ipv4Header&) const = default;
};

Bytes ipv4(const Ipv4Header& header, const Bytes& payload); // proto stays as given
Bytes tcp(std::uint16_t sport, std::uint16_t dport, std::uint8_t flags, std::size_t data = 0);
Bytes udp(std::uint16_t sport, std::uint16_t dport, std::size_t data = 0);
Bytes icmp(std::uint8_t type, std::uint8_t code, std::uint16_t first, std::uint16_t second,
           const Bytes& data = {});
Bytes ethernet(const Bytes& payload, std::uint16_t ethertype = 0x0800, const Mac& dst = {},
               const Mac& src = {2, 0, 0, 0, 0, 1});

// Convenience: whole IPv4 packets.
Bytes tcp_packet(std::string_view src, std::uint16_t sport, std::string_view dst,
                 std::uint16_t dport, std::uint8_t flags, std::size_t data = 0);
Bytes udp_packet(std::string_view src, std::uint16_t sport, std::string_view dst,
                 std::uint16_t dport, std::size_t data = 0);
Bytes echo_packet(std::string_view src, std::string_view dst, std::uint16_t id, bool reply = false);
Bytes ipip(std::string_view src, std::string_view dst, const Bytes& inner);

// What stands at `offset`; fails the test when the header's checksum is wrong or bytes are missing.
Ipv4Header read_ipv4(std::span<const std::uint8_t> frame, std::size_t offset = kEthernet);
std::uint16_t total_length(std::span<const std::uint8_t> frame, std::size_t offset = kEthernet);
std::uint16_t checksum(std::span<const std::uint8_t> bytes);
Bytes slice(std::span<const std::uint8_t> bytes, std::size_t from, std::size_t count);
Bytes slice(std::span<const std::uint8_t> bytes, std::size_t from);
// The packet with its TTL one less and the checksum made anew: what forwarding leaves.
Bytes forwarded(const Bytes& packet);

} // namespace margay::testing
