// SPDX-License-Identifier: Apache-2.0
// MRT: a table as a file that others read, TABLE_DUMP_V2 (RFC 6396 4.3; with path numbers RFC 8050 4).
// First the peers, then a record for each prefix, in which a path names its peer by its place among them.

#pragma once

#include "bgp/wire/attributes.h"

#include <chrono>
#include <span>
#include <string_view>

namespace margay::bgp {

struct MrtPeer {
    Ip address;
    Ipv4 identifier; // 0.0.0.0 where it is not known
    Asn as;
};

struct MrtPath {
    std::uint16_t peer = 0; // its place in the table of peers
    std::chrono::system_clock::time_point since; // when it was learned, as far as is known
    PathId path = 0; // RFC 7911; 0: none
    const Attributes* attributes = nullptr;
};

inline constexpr std::size_t kMrtPeers = 65535;
inline constexpr std::size_t kMrtPaths = 65535; // of a prefix

void put_mrt_peers(std::chrono::system_clock::time_point now, Ipv4 collector, std::string_view view,
                   std::span<const MrtPeer> peers, Bytes& out);

// All paths to a prefix. Those with numbers are a record of another type than those without, so there may
// be two; gives how many. `sequence`: of the first one; a reader expects no gap.
std::uint32_t put_mrt_paths(std::chrono::system_clock::time_point now, std::uint32_t sequence,
                            const IpPrefix& prefix, std::span<const MrtPath> paths, Bytes& out);

} // namespace margay::bgp
