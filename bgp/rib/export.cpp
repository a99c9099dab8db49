// SPDX-License-Identifier: Apache-2.0
#include "bgp/rib/export.h"

#include <algorithm>

namespace margay::bgp {
namespace {

constexpr std::uint8_t kTransitive = 0x40;

bool may_pass(const Chosen& best, bool from_internal, const ExportPeer& peer)
{
    const bool own = best.peer == kOurselves;
    const Attributes& attributes = *best.attributes;
    // 1. Nobody is told what he told us.
    if (best.peer == peer.id)
        return false;
    // 2. RFC 4271 9.2: what one internal peer said is not for another. This is where route
    //    reflection changes the rule.
    if (!own && from_internal && peer.internal)
        return false;
    // 3. RFC 1997.
    if (own)
        return true;
    if (attributes.has_community(kNoAdvertise))
        return false;
    const bool stays_in_as =
        attributes.has_community(kNoExport) || attributes.has_community(kNoExportSubconfed);
    return peer.internal || !stays_in_as;
}

void make_external(Attributes& attributes, bool own, const ExportPeer& peer)
{
    attributes.as_path.prepend(peer.local_as);   // RFC 4271 5.1.2
    attributes.next_hop = peer.local_address;    // 5.1.3
    attributes.local_pref.reset();               // 5.1.5
    if (!own)
        attributes.med.reset(); // 5.1.4: not beyond the neighbouring AS
    attributes.originator_id.reset(); // RFC 4456: within the AS only
    attributes.cluster_list.clear();
    std::erase_if(attributes.others,
                  [](const RawAttribute& other) { return !(other.flags & kTransitive); });
}

} // namespace

AttributesPtr export_route(const Chosen& best, bool from_internal, const ExportPeer& peer)
{
    if (!may_pass(best, from_internal, peer))
        return nullptr;
    const bool own = best.peer == kOurselves;
    // Next hop self needs an IPv4 address of ours; a session over IPv6 has none to give.
    const bool next_hop_self = own || !peer.internal;
    if (next_hop_self && peer.local_address.is_zero())
        return nullptr;
    if (peer.internal && !own && best.attributes->local_pref)
        return best.attributes; // as it is: next hop unchanged (RFC 4271 5.1.3)
    Attributes attributes = *best.attributes;
    if (!peer.internal)
        make_external(attributes, own, peer);
    else if (own)
        attributes.next_hop = peer.local_address;
    else
        attributes.local_pref = 100; // RFC 4271 5.1.5: an internal peer must be told one
    return std::make_shared<const Attributes>(std::move(attributes));
}

} // namespace margay::bgp
