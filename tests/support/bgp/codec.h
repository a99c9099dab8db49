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

// As they are, to a peer that reads two or four octets of an AS number.
inline std::size_t encode_announce(const Attributes& attributes, const WireSession& session,
                                   std::span<const Prefix4> prefixes, Bytes& out)
{
    Rewrite rewrite;
    rewrite.four_octet_as = session.four_octet_as;
    return encode_announce(*test_pool().intern(attributes), rewrite, prefixes, out);
}

} // namespace margay::bgp
