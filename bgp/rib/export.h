// SPDX-License-Identifier: Apache-2.0
// What a peer is told: the rules of BGP for passing a route on, and the attributes it then has.

#pragma once

#include "bgp/rib/rib.h"

namespace margay::bgp {

struct ExportPeer {
    PeerId id = 0;
    bool internal = true;
    Asn local_as;
    Ipv4 local_address; // ours on this session: "next hop self"
};

// The attributes with which `best` goes to the peer, or null when it must not.
// `from_internal`: learned by iBGP.
AttributesPtr export_route(const Chosen& best, bool from_internal, const ExportPeer& peer);

} // namespace margay::bgp
