// SPDX-License-Identifier: Apache-2.0
#include "bgp/wire/communities.h"

#include "bgp/wire/attribute_octets.h"

#include <array>
#include <cstdio>

namespace margay::bgp {
namespace {

std::string pair_text(std::uint32_t high, std::uint32_t low)
{
    return std::to_string(high) + ":" + std::to_string(low);
}

// RFC 4360 section 4 and 5, 5668: what the sub-types of the common types mean.
const char* extended_kind(std::uint8_t subtype)
{
    switch (subtype) {
    case 0x02:
        return "target:";
    case 0x03:
        return "origin:";
    default:
        return nullptr;
    }
}

// The top bits say IANA's range and whether it is transitive; the form is below them.
std::string extended_text(ByteView octets)
{
    constexpr std::uint8_t kForm = 0x3f;
    const char* kind = extended_kind(octets[1]);
    ByteReader in(octets.subspan(2));
    if (kind && (octets[0] & kForm) == 0x00) { // an AS of two octets
        const std::uint32_t as = in.u16();
        return kind + pair_text(as, in.u32());
    }
    if (kind && (octets[0] & kForm) == 0x01) { // an IPv4 address
        const Ipv4 address(in.u32());
        return kind + address.str() + ":" + std::to_string(in.u16());
    }
    if (kind && (octets[0] & kForm) == 0x02) { // an AS of four octets
        const std::uint32_t as = in.u32();
        return kind + pair_text(as, in.u16());
    }
    std::string text = "0x";
    for (const std::uint8_t octet : octets) {
        std::array<char, 3> hex{};
        std::snprintf(hex.data(), hex.size(), "%02x", octet);
        text += hex.data();
    }
    return text;
}

// The octets of one community after another; a tail that is too short for one is not looked at.
template <typename Text>
std::vector<std::string> texts_of(const Attributes& attributes, std::uint8_t type, std::size_t size,
                                  const Text& text)
{
    std::vector<std::string> texts;
    for (const RawAttribute& attribute : attributes.others)
        if (attribute.type == type)
            for (std::size_t at = 0; at + size <= attribute.value.size(); at += size)
                texts.push_back(text(ByteView(attribute.value).subspan(at, size)));
    return texts;
}

} // namespace

std::string community_text(std::uint32_t community)
{
    switch (community) {
    case kNoExport:
        return "no-export";
    case kNoAdvertise:
        return "no-advertise";
    case kNoExportSubconfed:
        return "no-export-subconfed";
    default:
        return pair_text(community >> 16, community & 0xffff);
    }
}

std::vector<std::string> large_communities(const Attributes& attributes)
{
    return texts_of(attributes, kLargeCommunities, 12, [](ByteView octets) {
        ByteReader in(octets);
        const std::string as = std::to_string(in.u32());
        const std::uint32_t first = in.u32();
        return as + ":" + pair_text(first, in.u32());
    });
}

std::vector<std::string> extended_communities(const Attributes& attributes)
{
    return texts_of(attributes, kExtendedCommunities, 8, extended_text);
}

} // namespace margay::bgp
