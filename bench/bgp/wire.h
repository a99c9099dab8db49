// SPDX-License-Identifier: Apache-2.0
// As much of BGP-4 as a load generator needs, written apart from bgp/wire: a benchmark that read
// UPDATEs with the decoder under test would not see its mistakes.
//
// Encoders append whole messages; they run before the clock starts. Readers run while it ticks:
// they copy nothing and look at no more than what is counted and checked.

#pragma once

#include "margay/ip.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace margay::bgp_bench {

using Bytes = std::vector<std::uint8_t>;
using View = std::span<const std::uint8_t>;

inline constexpr std::size_t kHeaderSize = 19; // RFC 4271 4.1
inline constexpr std::size_t kMaxMessage = 4096;

enum class MessageType : std::uint8_t {
    Open = 1,
    Update = 2,
    Notification = 3,
    Keepalive = 4,
};

struct OpenFields {
    std::uint32_t as = 0; // four octets (RFC 6793)
    std::uint16_t hold_time = 0;
    Ipv4 identifier;
};

struct PathAttributes {
    std::vector<std::uint32_t> as_path; // nearest first; empty on internal sessions
    Ipv4 next_hop;
    std::optional<std::uint32_t> med;
    std::optional<std::uint32_t> local_pref;
    std::vector<std::uint32_t> communities; // RFC 1997
};

// Capabilities: IPv4 unicast and four-octet AS numbers. Neither route refresh nor graceful
// restart: a session that ends shall cost its routes at once.
void put_open(const OpenFields& open, Bytes& out);
void put_keepalive(Bytes& out);
// As many UPDATEs as the prefixes fill.
void put_announcements(const PathAttributes& attributes, std::span<const Prefix4> prefixes,
                       Bytes& out);
void put_withdrawals(std::span<const Prefix4> prefixes, Bytes& out);

inline std::uint16_t read_u16(const std::uint8_t* at)
{
    return static_cast<std::uint16_t>(at[0] << 8 | at[1]);
}
inline std::uint32_t read_u32(const std::uint8_t* at)
{
    return std::uint32_t{at[0]} << 24 | std::uint32_t{at[1]} << 16 | std::uint32_t{at[2]} << 8 |
           at[3];
}

// The three fields of an UPDATE (RFC 4271 4.3).
struct UpdateView {
    View withdrawn;
    View attributes;
    View nlri;
};
std::optional<UpdateView> split_update(View body);

// What of the path attributes is checked.
struct SeenAttributes {
    std::uint32_t next_hop = 0;
    std::uint32_t origin_as = 0;
    std::size_t hops = 0;    // AS numbers
    bool reflected = false; // ORIGINATOR_ID and CLUSTER_LIST (RFC 4456 8)
};
std::optional<SeenAttributes> read_attributes(View attributes);

// Calls visit(address, length) for each prefix; false when the field is malformed. The common
// prefix is read as four octets at once, though it may be shorter: the mask cuts off what belongs
// to the next one.
template <typename Visit>
bool each_prefix(View field, const Visit& visit)
{
    const std::uint8_t* at = field.data();
    const std::uint8_t* const end = at + field.size();
    while (at != end) {
        const unsigned length = *at++;
        const auto octets = static_cast<std::ptrdiff_t>((length + 7) / 8);
        if (length > 32 || octets > end - at)
            return false;
        std::uint32_t address = 0;
        if (end - at >= 4) {
            address = read_u32(at);
        } else {
            for (std::ptrdiff_t i = 0; i < octets; ++i)
                address |= std::uint32_t{at[i]} << (24 - 8 * i);
        }
        visit(length == 0 ? 0 : address & ~std::uint32_t{0} << (32 - length), length);
        at += octets;
    }
    return true;
}

} // namespace margay::bgp_bench
