// SPDX-License-Identifier: Apache-2.0
// Session: what is known of an established one, and what follows from that and the configuration for the state
// machine and for the tables. Plain values: who acts on them is Peer.

#pragma once

#include "bgp/rib/rib.h"
#include "bgp/speaker/types.h"

namespace margay::bgp {

// What waits for the peer to have been told something: first for all to be decided that was queued, then for
// all to be told that was decided.
struct Due {
    std::optional<std::uint64_t> decisions;
    std::optional<std::uint64_t> change;
};

struct FamilySession {
    std::optional<Due> end_of_rib = Due{}; // none: it was sent
    std::optional<Due> end_of_refresh; // RFC 7313
    bool end_of_rib_received = false;
};

struct Session {
    ConnId connection = 0;
    Negotiated negotiated;
    Ip local_address;
    Ip address_beside; // zero where there is none, or no route could use it
    std::uint32_t interface = 0;
    FamilySession ipv4;
    FamilySession ipv6;

    template <typename P>
    const WireFamily& wire() const
    {
        return of_family<P>(negotiated.wire.ipv4, negotiated.wire.ipv6);
    }
    template <typename P>
    FamilySession& family()
    {
        return of_family<P>(ipv4, ipv6);
    }
    bool has_end_of_rib() const // of all families
    {
        return (!wire<Prefix4>().carried || ipv4.end_of_rib_received) &&
               (!wire<Prefix6>().carried || ipv6.end_of_rib_received);
    }
};

FsmConfig fsm_config(const SpeakerConfig& speaker, const PeerConfig& peer);
template <typename P>
PeerTraits traits_of(const Session& session, const PeerConfig& peer, const SpeakerConfig& speaker);
template <typename P>
ExportView export_view_of(const Session& session, const PeerConfig& peer,
                          const SpeakerConfig& speaker);

} // namespace margay::bgp
