// SPDX-License-Identifier: Apache-2.0
// What a peer is told: the rules of BGP for passing a route on, and the attributes it then has.

#pragma once

#include "bgp/rib/rib.h"

namespace margay::bgp {

// All that makes one peer's view of a route differ from another's, but for who told us the route.
// Peers with equal views are told the same octets.
struct ExportView {
    bool internal = true;
    bool client = false; // of us as its route reflector
    bool four_octet_as = true;
    Asn local_as;
    Ipv4 local_address; // ours on this session: "next hop self"
    Ipv4 cluster_id;
    std::string policy; // whose export filter

    bool operator==(const ExportView&) const = default;
};

// May the route go to peers with this view? Not asked here: nobody is told what he told us.
bool may_pass(const Path& best, const PeerTraits& from, const ExportView& to);

// `policed`: the attributes as the export filter left them.
Rewrite rewrite_for(const AttributeSet& policed, PeerId source, const PeerTraits& from,
                    const ExportView& to);

} // namespace margay::bgp
