// SPDX-License-Identifier: Apache-2.0
// UPDATE: prefixes that come and go (RFC 4271 4.3, 4760), judged by RFC 7606.
//
// UpdateDecoder gives either the session's end (Notify) or an Update in which everything that
// RFC 7606 wants withdrawn already stands among the withdrawn: a caller cannot forget it. The
// faults tell people what was wrong.

#pragma once

#include "bgp/wire/attribute_set.h"
#include "bgp/wire/notification.h"

#include <optional>
#include <span>
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

class UpdateDecoder {
public:
    explicit UpdateDecoder(AttributePool& pool) : pool_(pool) {}

    // Fills update(), or says with which NOTIFICATION the session ends.
    std::optional<Notify> decode(ByteView body, const WireSession& session);
    const Update& update() const { return update_; } // until the next decode()

private:
    bool read_multiprotocol();
    bool reaches_something() const { return !plain_.empty() || list_.mp_reach; }
    void note_missing_attributes();
    bool to_withdraw() const;
    void announce(std::vector<Prefix4>& prefixes, const Ip& next_hop);
    void note_end_of_rib(ByteView attributes, ByteView prefixes);

    AttributePool& pool_;
    Update update_;
    AttributeList list_;
    std::vector<Prefix4> plain_;
    std::vector<Prefix4> mp_;
    Ipv4 mp_next_hop_;
    Family unreach_family_;
};

// Both append one message with as many of the prefixes as fit and return how many those are.
// encode_announce() returns 0 and appends nothing when the attributes alone fill a message.
std::size_t encode_announce(const AttributeSet& attributes, const Rewrite& rewrite,
                            std::span<const Prefix4> prefixes, Bytes& out);
std::size_t encode_withdraw(std::span<const Prefix4> prefixes, Bytes& out);
void encode_end_of_rib(Bytes& out); // IPv4 unicast

} // namespace margay::bgp
