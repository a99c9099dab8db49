// SPDX-License-Identifier: Apache-2.0
// The form of path attributes on the wire (RFC 4271 4.3): what the reader and the writer of them
// share. For the wire library alone.

#pragma once

#include "bgp/wire/attributes.h"

namespace margay::bgp {

inline constexpr std::uint8_t kOptional = 0x80, kTransitive = 0x40, kPartial = 0x20,
                              kExtended = 0x10;

inline constexpr std::uint8_t kOptTrans = kOptional | kTransitive;
inline constexpr std::uint8_t kWellKnown = kTransitive;

enum AttributeType : std::uint8_t {
    kOrigin = 1,
    kAsPath = 2,
    kNextHop = 3,
    kMed = 4,
    kLocalPref = 5,
    kAtomicAggregate = 6,
    kAggregator = 7,
    kCommunities = 8,
    kOriginatorId = 9,
    kClusterList = 10,
    kMpReach = 14,
    kMpUnreach = 15,
    kExtendedCommunities = 16,
    kAs4Path = 17,
    kAs4Aggregator = 18,
    kIpv6Communities = 25, // RFC 5701
    kLargeCommunities = 32,
};

inline void put_header(std::uint8_t flags, std::uint8_t type, std::size_t size, ByteWriter& out)
{
    const bool wide = size > 0xff;
    out.u8(static_cast<std::uint8_t>(wide ? flags | kExtended : flags));
    out.u8(type);
    if (wide)
        out.u16(static_cast<std::uint16_t>(size));
    else
        out.u8(static_cast<std::uint8_t>(size));
}

inline void put(std::uint8_t flags, std::uint8_t type, ByteView value, ByteWriter& out)
{
    put_header(flags, type, value.size(), out);
    out.bytes(value);
}

inline void put_u32(std::uint8_t flags, std::uint8_t type, std::uint32_t value, ByteWriter& out)
{
    put_header(flags, type, 4, out);
    out.u32(value);
}

// One attribute of a list whose form was checked before.
struct Attribute {
    std::uint8_t flags = 0;
    std::uint8_t type = 0;
    ByteView value;
};

inline bool next_attribute(ByteReader& in, Attribute& attribute)
{
    if (in.at_end())
        return false;
    attribute.flags = in.u8();
    attribute.type = in.u8();
    attribute.value = in.take(attribute.flags & kExtended ? in.u16() : in.u8());
    return in.ok();
}

// ---- AS_PATH -----------------------------------------------------------------------------------

struct Segment {
    std::uint8_t type = 0;
    std::size_t count = 0;
    ByteView asns;
};

inline bool next_segment(ByteReader& in, std::size_t octets_an_as, Segment& segment)
{
    if (in.at_end())
        return false;
    segment.type = in.u8();
    segment.count = in.u8();
    segment.asns = in.take(segment.count * octets_an_as);
    return in.ok();
}

inline std::uint32_t number_at(ByteView octets, std::size_t at, std::size_t size)
{
    std::uint32_t number = 0;
    for (std::size_t i = 0; i < size; ++i)
        number = number << 8 | octets[at + i];
    return number;
}

inline AsPath decode_path(ByteView value, std::size_t octets_an_as)
{
    std::vector<PathSegment> segments;
    ByteReader in(value);
    Segment segment;
    while (next_segment(in, octets_an_as, segment)) {
        PathSegment& to = segments.emplace_back();
        to.type = static_cast<PathSegment::Type>(segment.type);
        for (std::size_t at = 0; at < segment.asns.size(); at += octets_an_as)
            to.asns.push_back(Asn{number_at(segment.asns, at, octets_an_as)});
    }
    return AsPath(std::move(segments));
}

inline Asn narrowed(Asn as)
{
    return as.fits_two_octets() ? as : kAsTrans;
}

inline void put_path(std::uint8_t flags, std::uint8_t type, const AsPath& path, bool four_octets,
                     ByteWriter& out)
{
    Bytes bytes;
    ByteWriter value(bytes);
    for (const PathSegment& segment : path.segments()) {
        value.u8(static_cast<std::uint8_t>(segment.type));
        value.u8(static_cast<std::uint8_t>(segment.asns.size()));
        for (const Asn as : segment.asns) {
            if (four_octets)
                value.u32(as.value);
            else
                value.u16(static_cast<std::uint16_t>(narrowed(as).value));
        }
    }
    put(flags, type, bytes, out);
}

inline void put_aggregator(std::uint8_t flags, std::uint8_t type, const Aggregator& aggregator,
                           bool four_octets, ByteWriter& out)
{
    put_header(flags, type, four_octets ? 8 : 6, out);
    if (four_octets)
        out.u32(aggregator.as.value);
    else
        out.u16(static_cast<std::uint16_t>(narrowed(aggregator.as).value));
    out.u32(aggregator.identifier.value());
}

} // namespace margay::bgp
