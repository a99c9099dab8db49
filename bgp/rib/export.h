// SPDX-License-Identifier: Apache-2.0
// What a peer is told: the rules of BGP for passing a route on, and the attributes it then has.

#pragma once

#include "bgp/rib/rib.h"

namespace margay::bgp {

// What becomes of a route's next hop on the way to a peer.
enum class NextHopMode : std::uint8_t {
    Auto, // RFC 4271 5.1.3: ourselves for external peers, for own routes, for link-local next hops
    Self, // ourselves, always
    Keep, // unchanged, but for own routes and link-local ones
};

// All that makes one peer's view of a route differ from another's, but for who told us the route.
// Peers with equal views are told the same octets.
struct ExportView {
    bool internal = true;
    bool client = false; // of us as its route reflector
    Encoding encoding;
    Asn local_as;
    Ip own_next_hop; // ours on this session: "next hop self"; zero where we have none to give
    std::optional<Ipv6> own_link_local{}; // goes with it, towards a peer on our link (RFC 2545)
    bool ipv6_next_hop = false; // RFC 8950: it takes one for an IPv4 route
    NextHopMode next_hop = NextHopMode::Auto;
    Ipv4 cluster_id;
    std::string policy; // of the export filter

    bool operator==(const ExportView&) const = default;
};

// The rule that keeps the route from peers with this view, in words; null if it may pass. Not asked
// here: nobody is told what he told us.
template <typename P>
const char* why_not_passed(const Path& path, const PeerTraits& from, const ExportView& to);
template <typename P>
bool may_pass(const Path& path, const PeerTraits& from, const ExportView& to)
{
    return why_not_passed<P>(path, from, to) == nullptr;
}

// `policed`: the attributes as the export filter left them.
template <typename P>
Rewrite rewrite_for(const AttributeSet& policed, PeerId source, const PeerTraits& from,
                    const ExportView& to);

} // namespace margay::bgp
