// SPDX-License-Identifier: Apache-2.0
// Autodetection of the node's IPv4 address and of the host MTU (calico-facts 4.3, 5.6).
//
// Pure functions over a LinkTable; the kernel glue at the end reads it and asks for a route. The
// result names the winner and says of every other address why it lost, because a wrongly chosen
// address is the most frequent complaint about agents of this kind.
//
// Rules as Calico has them: interfaces in reverse order of their index (newest first), link state
// is not looked at, patterns are unanchored searches, the first global unicast address of an
// interface counts.

#pragma once

#include "agent/kernel/links.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace margay::kernel {

struct AutodetectMethod {
    enum class Kind { FirstFound, Interface, SkipInterface, CanReach, Cidr };
    Kind kind = Kind::FirstFound;
    std::vector<std::string> patterns; // Interface, SkipInterface
    std::vector<Prefix4> cidrs;        // Cidr
    std::string destination;           // CanReach: address or name
};

// The text of IP_AUTODETECTION_METHOD. Invalid names the value and what is allowed.
Result<AutodetectMethod> parse_autodetect_method(std::string_view text);

struct Candidate {
    std::string interface;
    Prefix4 address; // with the length configured on the interface
    std::string why; // "first global address of eth0", "interface matches ^docker.*"
};

struct Detection {
    std::optional<Candidate> winner;
    std::vector<Candidate> losers;
    std::string str() const; // one line for the log
};

// `reach_source` is the local address towards the destination; CanReach only.
Result<Detection> detect_address(const AutodetectMethod& method, const LinkTable& table,
                                 std::optional<Ipv4> reach_source = std::nullopt);

// Loopback, multicast, link-local, unspecified and broadcast are not; private ranges are.
bool is_global_unicast(Ipv4 address);
// The default list of interfaces that hold no node address.
const std::vector<std::string>& excluded_interfaces();
// For an address given without length: the length on the interface that has it, else 32.
Prefix4 with_interface_length(Ipv4 address, const LinkTable& table);

inline constexpr std::string_view kDefaultMtuPattern =
    "^((en|wl|ww|sl|ib)[Pcopsvx].*|(eth|wlan|wwan).*)";
inline constexpr std::uint32_t kFallbackHostMtu = 1460;
inline constexpr std::uint32_t kIpipOverhead = 20; // bytes of the outer IPv4 header

struct HostMtu {
    std::uint32_t mtu = kFallbackHostMtu;
    std::string interface; // empty: none matched
};
// The smallest MTU of the interfaces that are up and match.
Result<HostMtu> detect_host_mtu(const LinkTable& table,
                                std::string_view pattern = kDefaultMtuPattern);

// Reads interfaces, resolves and asks as the method needs. May block in name resolution: for
// start-up and the slow poll of the address.
Result<Detection> autodetect(const AutodetectMethod& method);

} // namespace margay::kernel
