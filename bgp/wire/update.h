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

template <typename P>
constexpr Family family_of();
template <>
constexpr Family family_of<Prefix4>()
{
    return kIpv4Unicast;
}
template <>
constexpr Family family_of<Prefix6>()
{
    return kIpv6Unicast;
}

// Of two things that stand side by side for the families, the one for P.
template <typename P, typename Of4, typename Of6>
constexpr auto& of_family(Of4& ipv4, Of6& ipv6)
{
    if constexpr (std::is_same_v<P, Prefix4>)
        return ipv4;
    else
        return ipv6;
}

// A prefix as messages have it.
template <typename P>
struct Nlri {
    Nlri() = default;
    Nlri(const P& of, PathId number = 0) : prefix(of), path(number) {}

    P prefix;
    PathId path = 0; // 0 without ADD-PATH

    auto operator<=>(const Nlri&) const = default;
};

template <typename P>
struct Reach {
    AttributesPtr attributes;
    std::vector<Nlri<P>> prefixes;
};

template <typename P>
struct FamilyUpdate {
    std::vector<Nlri<P>> withdrawn;
    std::vector<Reach<P>> announced;
};

// The same router by its address on the link that we share.
struct LinkLocalHop {
    Ipv6 global;
    Ipv6 link_local;
};

struct Update {
    FamilyUpdate<Prefix4> ipv4;
    FamilyUpdate<Prefix6> ipv6;
    std::vector<AttributeFault> faults;
    std::optional<Family> end_of_rib; // RFC 4724 section 2
    // RFC 2545 section 3: behind the global next hop of what MP_REACH announced.
    std::optional<LinkLocalHop> link_local;
};

class UpdateDecoder {
public:
    explicit UpdateDecoder(AttributePool& pool) : pool_(pool) {}

    // Fills update(), or says with which NOTIFICATION the session ends.
    std::optional<Notify> decode(ByteView body, const WireSession& session);
    const Update& update() const { return update_; } // until the next decode()

private:
    void forget();
    bool read_reach(ByteView value, const WireSession& session);
    bool read_unreach(ByteView value, const WireSession& session);
    bool reaches_something() const { return !plain_.empty() || reaches_by_mp_; }
    void forgive_unused_next_hop();
    void note_missing_attributes();
    void note_long_attributes();
    bool to_withdraw() const;
    template <typename P>
    void announce(std::vector<Nlri<P>>& prefixes, const Ip& next_hop);
    void note_end_of_rib(ByteView attributes, ByteView prefixes, const WireSession& session);

    AttributePool& pool_;
    Update update_;
    AttributeList list_;
    std::vector<Nlri<Prefix4>> plain_;
    std::vector<Nlri<Prefix4>> mp4_;
    std::vector<Nlri<Prefix6>> mp6_;
    Ip mp_next_hop_;
    bool reaches_by_mp_ = false; // MP_REACH_NLRI names prefixes, of whatever family
    Family unreach_family_;
};

// Both append one message with as many of the prefixes as fit and return how many those are.
// `attributes` is what write_attributes() has written for this rewrite. encode_announce() returns
// 0 and appends nothing when the attributes alone fill a message.
template <typename P>
std::size_t encode_announce(ByteView attributes, const Rewrite& rewrite,
                            std::span<const Nlri<P>> prefixes, Bytes& out);
template <typename P>
std::size_t encode_withdraw(const Encoding& encoding, std::span<const Nlri<P>> prefixes,
                            Bytes& out);
void encode_end_of_rib(Family family, Bytes& out);

} // namespace margay::bgp
