// SPDX-License-Identifier: Apache-2.0
// The UPDATE codec as tests like it: values in, values out, one pool for all.

#pragma once

#include "bgp/wire/message.h"
#include "bgp/wire/update.h"

#include <variant>

namespace margay::bgp {

inline AttributePool& test_pool()
{
    static AttributePool pool;
    return pool;
}

inline std::variant<Update, Notify> decode_update(ByteView body, const WireSession& session)
{
    UpdateDecoder decoder(test_pool());
    if (const auto notify = decoder.decode(body, session))
        return *notify;
    return decoder.update();
}

// The prefixes of messages without path identifiers, and back.
template <typename P>
std::vector<Nlri<P>> nlri_of(std::span<const P> prefixes)
{
    std::vector<Nlri<P>> nlri;
    for (const P& prefix : prefixes)
        nlri.push_back({prefix});
    return nlri;
}
template <typename P>
std::vector<P> prefixes_of(const std::vector<Nlri<P>>& nlri)
{
    std::vector<P> prefixes;
    for (const Nlri<P>& one : nlri)
        prefixes.push_back(one.prefix);
    return prefixes;
}

// With these attributes as they are.
template <typename P>
std::size_t encode_announce(const AttributeSet& attributes, Rewrite rewrite,
                            std::span<const Nlri<P>> prefixes, Bytes& out)
{
    rewrite.next_hop = attributes.next_hop;
    rewrite.in_mp_reach = std::is_same_v<P, Prefix6> || !rewrite.next_hop.is_v4();
    Bytes octets;
    write_attributes(attributes.octets(), attributes, rewrite, octets);
    return encode_announce(octets, rewrite, prefixes, out);
}

// The same, to a peer that reads two or four octets of an AS number.
inline std::size_t encode_announce(const Attributes& attributes, const WireSession& session,
                                   std::span<const Prefix4> prefixes, Bytes& out)
{
    Rewrite rewrite;
    rewrite.encoding.four_octet_as = session.four_octet_as;
    return encode_announce(*test_pool().intern(attributes), rewrite,
                           std::span<const Nlri<Prefix4>>(nlri_of(prefixes)), out);
}

inline std::size_t encode_withdraw(std::span<const Prefix4> prefixes, Bytes& out)
{
    return encode_withdraw(Encoding{}, std::span<const Nlri<Prefix4>>(nlri_of(prefixes)), out);
}

} // namespace margay::bgp
