// SPDX-License-Identifier: Apache-2.0
// Peers of a Rib, as tests like them.

#pragma once

#include "bgp/rib/export.h"

namespace margay::bgp {

inline constexpr Asn kOwnAs{64512};
inline const Ipv4 kOwnAddress(0x0a000001);

inline ExportView internal_view()
{
    ExportView view;
    view.local_as = kOwnAs;
    view.own_next_hop = kOwnAddress;
    view.cluster_id = Ipv4(99);
    return view;
}

inline ExportView external_view()
{
    ExportView view = internal_view();
    view.internal = false;
    return view;
}

// A peer with the lowest free number.
template <typename P>
PeerId add_peer(Rib<P>& rib)
{
    PeerId id = 1;
    while (rib.knows(id))
        ++id;
    rib.add_peer(id);
    return id;
}

// An internal peer with this number as address and identifier, on a session with our `local`.
inline PeerTraits internal_peer(std::uint32_t number, Ipv4 local)
{
    PeerTraits traits;
    traits.address = Ip(Ipv4(number));
    traits.identifier = Ipv4(number);
    traits.local_as = kOwnAs;
    traits.local_address = local;
    return traits;
}

} // namespace margay::bgp
