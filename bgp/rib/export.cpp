// SPDX-License-Identifier: Apache-2.0
#include "bgp/rib/export.h"

namespace margay::bgp {
namespace {

// RFC 4456 section 6: a client's word is for all internal peers, any other's for clients.
bool reflects(const PeerTraits& from, const ExportView& to)
{
    return from.client || to.client;
}

} // namespace

bool may_pass(const Path& best, const PeerTraits& from, const ExportView& to)
{
    const bool own = best.peer == kOurselves;
    // Next hop self needs an IPv4 address of ours; a session over IPv6 has none to give.
    const bool next_hop_self = own || !to.internal;
    if (next_hop_self && to.local_address.is_zero())
        return false;
    if (own)
        return true;
    // RFC 4271 9.2: what one internal peer said is not for another, but for reflection.
    if (from.internal && to.internal && !reflects(from, to))
        return false;
    // RFC 1997.
    return !best.accepted->no_advertise && (to.internal || !best.accepted->no_export);
}

Rewrite rewrite_for(const AttributeSet& policed, PeerId source, const PeerTraits& from,
                    const ExportView& to)
{
    const bool own = source == kOurselves;
    Rewrite rewrite;
    rewrite.four_octet_as = to.four_octet_as;
    if (own || !to.internal)
        rewrite.next_hop = to.local_address; // RFC 4271 5.1.3
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

} // namespace margay::bgp
