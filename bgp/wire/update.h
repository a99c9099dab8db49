// SPDX-License-Identifier: Apache-2.0
// UPDATE: prefixes that come and go (RFC 4271 4.3, 4760), judged by RFC 7606.
//
// decode_update() gives either the session's end (Notify) or an Update in which everything that
// RFC 7606 wants withdrawn already stands among the withdrawn: a caller cannot forget it. The
// faults tell people what was wrong.

#pragma once

#include "bgp/wire/attributes.h"
#include "bgp/wire/notification.h"

#include <span>
#include <variant>
#include <vector>

namespace margay::bgp {

struct Reach {
    AttributesPtr attributes;
    std::vector<Prefix4> prefixes;
};

struct Update {
    std::vector<Prefix4> withdrawn;
    std::vector<Reach> announced;
    std::vector<AttributeFault> faults;
    std::optional<Family> end_of_rib; // RFC 4724 section 2
};

std::variant<Update, Notify> decode_update(ByteView body, const WireSession& session);

// Both append one message with as many of the prefixes as fit and return how many those are.
// encode_announce() returns 0 and appends nothing when the attributes alone fill a message.
std::size_t encode_announce(const Attributes& attributes, const WireSession& session,
                            std::span<const Prefix4> prefixes, Bytes& out);
std::size_t encode_withdraw(std::span<const Prefix4> prefixes, Bytes& out);
void encode_end_of_rib(Bytes& out); // IPv4 unicast

} // namespace margay::bgp
