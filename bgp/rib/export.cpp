// SPDX-License-Identifier: Apache-2.0
#include "bgp/rib/export.h"

namespace margay::bgp {
namespace {

// RFC 4456 section 6: a client's word is for all internal peers, any other's for clients.
bool reflects(const PeerTraits& from, const ExportView& to)
{
    return from.client || to.client;
}

// A link-local address means nothing beyond the link that it was told on (RFC 2545 section 2).
bool is_next_hop_ours(PeerId source, const Ip& next_hop, const ExportView& to)
{
    if (source == kOurselves || to.next_hop == NextHopMode::Self || next_hop.is_link_local6())
        return true;
    return to.next_hop == NextHopMode::Auto && !to.internal;
}

// What the peer can read as the next hop of a prefix of this family.
template <typename P>
bool is_readable(const Ip& next_hop, const ExportView& to)
{
    if (!next_hop.is_v4())
        return std::is_same_v<P, Prefix6> || to.ipv6_next_hop;
    return std::is_same_v<P, Prefix4> && !next_hop.v4().is_zero();
}

} // namespace

template <typename P>
const char* why_not_passed(const Path& path, const PeerTraits& from, const ExportView& to)
{
    const bool own = path.peer == kOurselves;
    const bool ours = is_next_hop_ours(path.peer, path.accepted->next_hop, to);
    if (!is_readable<P>(ours ? to.own_next_hop : path.accepted->next_hop, to))
        return "its next hop is of a family that the peer cannot read";
    if (own)
        return nullptr;
    if (from.internal && to.internal && !reflects(from, to)) // RFC 4271 9.2, 4456 section 6
        return "from one internal peer to another, and neither is our client";
    if (path.accepted->no_advertise) // RFC 1997
        return "its communities say NO_ADVERTISE";
    if (!to.internal && path.accepted->no_export)
        return "its communities say NO_EXPORT";
    return nullptr;
}

template <typename P>
Rewrite rewrite_for(const AttributeSet& policed, PeerId source, const PeerTraits& from,
                    const ExportView& to)
{
    const bool own = source == kOurselves;
    Rewrite rewrite;
    rewrite.encoding = to.encoding;
    const bool ours = is_next_hop_ours(source, policed.next_hop, to); // 5.1.3
    rewrite.next_hop = ours ? to.own_next_hop : policed.next_hop;
    rewrite.in_mp_reach = std::is_same_v<P, Prefix6> || !rewrite.next_hop.is_v4();
    if (ours && rewrite.in_mp_reach && !rewrite.next_hop.is_v4())
        rewrite.link_local = to.own_link_local;
    if (!to.internal) {
        rewrite.prepend = to.local_as;  // 5.1.2
        rewrite.strip_internal = true;  // 5.1.5, RFC 4456: within the AS only
        rewrite.strip_med = !own;       // 5.1.4: not beyond the neighbouring AS
        return rewrite;
    }
    if (!policed.local_pref)
        rewrite.local_pref = kDefaultLocalPref; // 5.1.5: an internal peer must be told one
    if (!own && from.internal) { // RFC 4456 section 8
        rewrite.originator_id = from.identifier;
        rewrite.cluster_id = to.cluster_id;
    }
    return rewrite;
}

template const char* why_not_passed<Prefix4>(const Path&, const PeerTraits&, const ExportView&);
template const char* why_not_passed<Prefix6>(const Path&, const PeerTraits&, const ExportView&);
template Rewrite rewrite_for<Prefix4>(const AttributeSet&, PeerId, const PeerTraits&,
                                      const ExportView&);
template Rewrite rewrite_for<Prefix6>(const AttributeSet&, PeerId, const PeerTraits&,
                                      const ExportView&);

} // namespace margay::bgp
