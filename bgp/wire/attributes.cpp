// SPDX-License-Identifier: Apache-2.0
#include "bgp/wire/attributes.h"

#include "bgp/wire/notification.h"

#include <algorithm>
#include <array>
#include <bitset>
#include <limits>

namespace margay::bgp {
namespace {

constexpr std::uint8_t kOptional = 0x80, kTransitive = 0x40, kPartial = 0x20, kExtended = 0x10;

enum Type : std::uint8_t {
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
    kLargeCommunities = 32,
};

struct Decoding {
    AttributeList& list;
    const WireSession& session;
    std::uint8_t flags = 0;
    std::uint8_t type = 0;
    // RFC 6793: seen beside their two-octet twins, joined when the whole list was read.
    std::optional<AsPath> as4_path;
    std::optional<Aggregator> as4_aggregator;
};

// ---- Decoders: false when the value is broken. Lengths were checked by the table. -------------

bool decode_origin(ByteReader in, Decoding& d)
{
    const std::uint8_t value = in.u8();
    if (value > static_cast<std::uint8_t>(Origin::Incomplete))
        return false;
    d.list.attributes.origin = static_cast<Origin>(value);
    d.list.has_origin = true;
    return true;
}

// RFC 7606 7.2: unknown segment type, a segment without ASes, or one that overruns. Confederation
// segments have no business here (RFC 5065 5), nor has AS 0 (RFC 7607).
std::optional<AsPath> read_path(ByteReader in, bool four_octets)
{
    std::vector<PathSegment> segments;
    while (!in.at_end()) {
        PathSegment segment;
        const std::uint8_t type = in.u8();
        const std::size_t count = in.u8();
        if (type != 1 && type != 2)
            return std::nullopt;
        if (count == 0 || in.left() < count * (four_octets ? 4 : 2))
            return std::nullopt;
        segment.type = static_cast<PathSegment::Type>(type);
        segment.asns.reserve(count);
        for (std::size_t i = 0; i < count; ++i)
            segment.asns.push_back(Asn{four_octets ? in.u32() : in.u16()});
        if (std::ranges::find(segment.asns, Asn{0}) != segment.asns.end())
            return std::nullopt;
        segments.push_back(std::move(segment));
    }
    return AsPath(std::move(segments));
}

bool decode_as_path(ByteReader in, Decoding& d)
{
    auto path = read_path(in, d.session.four_octet_as);
    if (!path)
        return false;
    d.list.attributes.as_path = std::move(*path);
    d.list.has_as_path = true;
    return true;
}

bool decode_as4_path(ByteReader in, Decoding& d)
{
    d.as4_path = read_path(in, true);
    return d.as4_path.has_value();
}

bool decode_next_hop(ByteReader in, Decoding& d)
{
    d.list.attributes.next_hop = Ipv4(in.u32());
    d.list.has_next_hop = is_host_address(d.list.attributes.next_hop);
    return d.list.has_next_hop;
}

bool decode_med(ByteReader in, Decoding& d)
{
    d.list.attributes.med = in.u32();
    return true;
}

bool decode_local_pref(ByteReader in, Decoding& d)
{
    d.list.attributes.local_pref = in.u32();
    return true;
}

bool decode_atomic_aggregate(ByteReader, Decoding& d)
{
    d.list.attributes.atomic_aggregate = true;
    return true;
}

// RFC 7606 7.7: its length follows from what the OPENs agreed on.
bool decode_aggregator(ByteReader in, Decoding& d)
{
    if (in.left() != (d.session.four_octet_as ? 8u : 6u))
        return false;
    const Asn as{d.session.four_octet_as ? in.u32() : in.u16()};
    if (as == Asn{0})
        return false;
    d.list.attributes.aggregator = Aggregator{as, Ipv4(in.u32())};
    return true;
}

bool decode_as4_aggregator(ByteReader in, Decoding& d)
{
    const Asn as{in.u32()};
    if (as == Asn{0})
        return false;
    d.as4_aggregator = Aggregator{as, Ipv4(in.u32())};
    return true;
}

bool decode_communities(ByteReader in, Decoding& d)
{
    while (!in.at_end())
        d.list.attributes.communities.push_back(in.u32());
    return true;
}

bool decode_originator_id(ByteReader in, Decoding& d)
{
    d.list.attributes.originator_id = Ipv4(in.u32());
    return true;
}

bool decode_cluster_list(ByteReader in, Decoding& d)
{
    while (!in.at_end())
        d.list.attributes.cluster_list.push_back(Ipv4(in.u32()));
    return true;
}

bool decode_mp_reach(ByteReader in, Decoding& d)
{
    d.list.mp_reach = in.rest();
    return true;
}

bool decode_mp_unreach(ByteReader in, Decoding& d)
{
    d.list.mp_unreach = in.rest();
    return true;
}

bool keep_raw(ByteReader in, Decoding& d)
{
    const auto flags = static_cast<std::uint8_t>(d.flags & ~kExtended);
    d.list.attributes.others.push_back(
        RawAttribute{flags, d.type, Bytes(in.rest().begin(), in.rest().end())});
    return true;
}

// ---- The table (RFC 7606 section 7) ------------------------------------------------------------

enum class From : std::uint8_t { Anyone, InternalOnly, OldSpeakerOnly };

struct Rule {
    std::uint8_t type;
    std::uint8_t flags; // of Optional and Transitive
    struct Length {
        std::size_t min, max, multiple;
    } length;
    FaultAction on_fault;
    From from; // sent by anybody else it is discarded unread
    bool (*decode)(ByteReader, Decoding&);
    const char* name;
};

constexpr std::size_t kAny = std::numeric_limits<std::size_t>::max();
constexpr auto kDiscard = FaultAction::DiscardAttribute;
constexpr auto kWithdraw = FaultAction::TreatAsWithdraw;
constexpr auto kReset = FaultAction::SessionReset;
constexpr std::uint8_t kWellKnown = kTransitive;
constexpr std::uint8_t kOptTrans = kOptional | kTransitive;

// clang-format off
constexpr std::array kRules{
    Rule{kOrigin,              kWellKnown, {1, 1, 1},     kWithdraw, From::Anyone,         decode_origin,           "ORIGIN"},
    Rule{kAsPath,              kWellKnown, {0, kAny, 2},  kWithdraw, From::Anyone,         decode_as_path,          "AS_PATH"},
    Rule{kNextHop,             kWellKnown, {4, 4, 1},     kWithdraw, From::Anyone,         decode_next_hop,         "NEXT_HOP"},
    Rule{kMed,                 kOptional,  {4, 4, 1},     kWithdraw, From::Anyone,         decode_med,              "MULTI_EXIT_DISC"},
    Rule{kLocalPref,           kWellKnown, {4, 4, 1},     kWithdraw, From::InternalOnly,   decode_local_pref,       "LOCAL_PREF"},
    Rule{kAtomicAggregate,     kWellKnown, {0, 0, 1},     kDiscard,  From::Anyone,         decode_atomic_aggregate, "ATOMIC_AGGREGATE"},
    Rule{kAggregator,          kOptTrans,  {6, 8, 2},     kDiscard,  From::Anyone,         decode_aggregator,       "AGGREGATOR"},
    Rule{kCommunities,         kOptTrans,  {4, kAny, 4},  kWithdraw, From::Anyone,         decode_communities,      "COMMUNITIES"},
    Rule{kOriginatorId,        kOptional,  {4, 4, 1},     kWithdraw, From::InternalOnly,   decode_originator_id,    "ORIGINATOR_ID"},
    Rule{kClusterList,         kOptional,  {4, kAny, 4},  kWithdraw, From::InternalOnly,   decode_cluster_list,     "CLUSTER_LIST"},
    Rule{kMpReach,             kOptional,  {5, kAny, 1},  kReset,    From::Anyone,         decode_mp_reach,         "MP_REACH_NLRI"},
    Rule{kMpUnreach,           kOptional,  {3, kAny, 1},  kReset,    From::Anyone,         decode_mp_unreach,       "MP_UNREACH_NLRI"},
    Rule{kExtendedCommunities, kOptTrans,  {8, kAny, 8},  kWithdraw, From::Anyone,         keep_raw,                "EXTENDED_COMMUNITIES"},
    Rule{kAs4Path,             kOptTrans,  {6, kAny, 2},  kDiscard,  From::OldSpeakerOnly, decode_as4_path,         "AS4_PATH"},
    Rule{kAs4Aggregator,       kOptTrans,  {8, 8, 1},     kDiscard,  From::OldSpeakerOnly, decode_as4_aggregator,   "AS4_AGGREGATOR"},
    Rule{kLargeCommunities,    kOptTrans,  {12, kAny, 12}, kWithdraw, From::Anyone,        keep_raw,                "LARGE_COMMUNITY"},
};
// clang-format on

const Rule* rule_for(std::uint8_t type)
{
    const auto found = std::ranges::find(kRules, type, &Rule::type);
    return found == kRules.end() ? nullptr : &*found;
}

bool admits(const Rule::Length& length, std::size_t size)
{
    return size >= length.min && size <= length.max && size % length.multiple == 0;
}

bool comes_from_the_wrong_peer(const Rule& rule, const WireSession& session)
{
    return (rule.from == From::InternalOnly && !session.internal) ||
           (rule.from == From::OldSpeakerOnly && session.four_octet_as);
}

void decode_known(const Rule& rule, ByteView value, Decoding& d)
{
    auto& faults = d.list.faults;
    if (comes_from_the_wrong_peer(rule, d.session)) {
        faults.push_back({rule.type, FaultAction::DiscardAttribute});
        return;
    }
    // RFC 7606 3(c). The multiprotocol ones are read all the same: what they name is withdrawn.
    if ((d.flags & kOptTrans) != rule.flags) {
        faults.push_back({rule.type, FaultAction::TreatAsWithdraw});
        if (rule.on_fault != FaultAction::SessionReset)
            return;
    }
    if (!admits(rule.length, value.size()) || !rule.decode(ByteReader(value), d))
        faults.push_back({rule.type, rule.on_fault, update_error::kOptional});
}

void decode_unknown(ByteView value, Decoding& d)
{
    if (!(d.flags & kOptional)) {
        d.list.faults.push_back(
            {d.type, FaultAction::SessionReset, update_error::kUnknownWellKnown});
        return;
    }
    if (!(d.flags & kTransitive))
        return; // RFC 4271 5: quietly ignored and not passed on
    keep_raw(ByteReader(value), d);
    d.list.attributes.others.back().flags |= kPartial;
}

// RFC 7606 3(g): the first of a kind counts; twice a multiprotocol one ends the session.
void note_repetition(const Rule* rule, Decoding& d)
{
    if (rule && rule->on_fault == FaultAction::SessionReset)
        d.list.faults.push_back({d.type, FaultAction::SessionReset, update_error::kAttributeList});
    else
        d.list.faults.push_back({d.type, FaultAction::DiscardAttribute});
}

// The leading part of `path` that stands for `count` ASes.
std::vector<PathSegment> leading(const AsPath& path, std::size_t count)
{
    std::vector<PathSegment> taken;
    for (const PathSegment& segment : path.segments()) {
        if (count == 0)
            break;
        const bool is_set = segment.type == PathSegment::Type::Set;
        const std::size_t use = is_set ? segment.asns.size() : std::min(count, segment.asns.size());
        taken.push_back(
            {segment.type,
             {segment.asns.begin(), segment.asns.begin() + static_cast<std::ptrdiff_t>(use)}});
        count -= is_set ? 1 : use;
    }
    return taken;
}

// RFC 6793 4.2.3: what old speakers wrote in two octets is completed by what new ones had left
// beside it.
void join_four_octet_parts(Decoding& d)
{
    Attributes& attributes = d.list.attributes;
    if (attributes.aggregator && d.as4_aggregator) {
        if (attributes.aggregator->as != kAsTrans)
            return; // an old speaker aggregated after the last new one: the rest is outdated
        attributes.aggregator = d.as4_aggregator;
    }
    if (!d.as4_path || d.as4_path->length() > attributes.as_path.length())
        return;
    auto segments = leading(attributes.as_path, attributes.as_path.length() - d.as4_path->length());
    for (const PathSegment& segment : d.as4_path->segments())
        segments.push_back(segment);
    attributes.as_path = AsPath(std::move(segments));
}

// ---- Encoders ----------------------------------------------------------------------------------

void put(std::uint8_t flags, std::uint8_t type, ByteView value, ByteWriter& out)
{
    const bool wide = value.size() > 0xff;
    out.u8(static_cast<std::uint8_t>(wide ? flags | kExtended : flags));
    out.u8(type);
    if (wide)
        out.u16(static_cast<std::uint16_t>(value.size()));
    else
        out.u8(static_cast<std::uint8_t>(value.size()));
    out.bytes(value);
}

void put_u32(std::uint8_t flags, std::uint8_t type, std::uint32_t value, ByteWriter& out)
{
    Bytes bytes;
    ByteWriter(bytes).u32(value);
    put(flags, type, bytes, out);
}

Asn narrowed(Asn as)
{
    return as.fits_two_octets() ? as : kAsTrans;
}

void put_path(std::uint8_t flags, std::uint8_t type, const AsPath& path, bool four_octets,
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

void put_aggregator(std::uint8_t type, const Aggregator& aggregator, bool four_octets,
                    ByteWriter& out)
{
    Bytes bytes;
    ByteWriter value(bytes);
    if (four_octets)
        value.u32(aggregator.as.value);
    else
        value.u16(static_cast<std::uint16_t>(narrowed(aggregator.as).value));
    value.u32(aggregator.identifier.value());
    put(kOptTrans, type, bytes, out);
}

bool needs_four_octets(const AsPath& path)
{
    return std::ranges::any_of(path.segments(), [](const PathSegment& segment) {
        return !std::ranges::all_of(segment.asns, &Asn::fits_two_octets);
    });
}

template <typename Numbers, typename Value>
void put_numbers(std::uint8_t flags, std::uint8_t type, const Numbers& numbers, Value value_of,
                 ByteWriter& out)
{
    if (numbers.empty())
        return;
    Bytes bytes;
    for (const auto& number : numbers)
        ByteWriter(bytes).u32(value_of(number));
    put(flags, type, bytes, out);
}

void put_four_octet_parts(const Attributes& attributes, ByteWriter& out)
{
    if (needs_four_octets(attributes.as_path))
        put_path(kOptTrans, kAs4Path, attributes.as_path, true, out);
    if (attributes.aggregator && !attributes.aggregator->as.fits_two_octets())
        put_aggregator(kAs4Aggregator, *attributes.aggregator, true, out);
}

} // namespace

AttributeList decode_attributes(ByteView bytes, const WireSession& session)
{
    AttributeList list;
    Decoding d{list, session, 0, 0, {}, {}};
    std::bitset<256> seen;
    ByteReader in(bytes);
    while (!in.at_end()) {
        d.flags = in.u8();
        d.type = in.u8();
        const std::size_t length = d.flags & kExtended ? in.u16() : in.u8();
        const ByteView value = in.take(length);
        if (!in.ok()) { // RFC 7606 section 4: the list ends inside an attribute
            list.faults.push_back({0, FaultAction::TreatAsWithdraw});
            ++list.count;
            break;
        }
        ++list.count;
        const Rule* rule = rule_for(d.type);
        if (seen.test(d.type))
            note_repetition(rule, d);
        else if (rule)
            decode_known(*rule, value, d);
        else
            decode_unknown(value, d);
        seen.set(d.type);
    }
    join_four_octet_parts(d);
    return list;
}

void encode_attributes(const Attributes& attributes, const WireSession& session, Bytes& bytes)
{
    ByteWriter out(bytes);
    const std::uint8_t origin = static_cast<std::uint8_t>(attributes.origin);
    put(kWellKnown, kOrigin, ByteView(&origin, 1), out);
    put_path(kWellKnown, kAsPath, attributes.as_path, session.four_octet_as, out);
    put_u32(kWellKnown, kNextHop, attributes.next_hop.value(), out);
    if (attributes.med)
        put_u32(kOptional, kMed, *attributes.med, out);
    if (attributes.local_pref)
        put_u32(kWellKnown, kLocalPref, *attributes.local_pref, out);
    if (attributes.atomic_aggregate)
        put(kWellKnown, kAtomicAggregate, {}, out);
    if (attributes.aggregator)
        put_aggregator(kAggregator, *attributes.aggregator, session.four_octet_as, out);
    put_numbers(kOptTrans, kCommunities, attributes.communities, [](auto c) { return c; }, out);
    if (attributes.originator_id)
        put_u32(kOptional, kOriginatorId, attributes.originator_id->value(), out);
    put_numbers(
        kOptional, kClusterList, attributes.cluster_list, [](Ipv4 id) { return id.value(); }, out);
    if (!session.four_octet_as)
        put_four_octet_parts(attributes, out);
    for (const RawAttribute& other : attributes.others)
        put(other.flags, other.type, other.value, out);
}

bool is_host_address(Ipv4 address)
{
    const std::uint32_t first = address.value() >> 24;
    return first != 0 && first != 127 && first < 224;
}

const char* attribute_name(std::uint8_t type)
{
    const Rule* rule = rule_for(type);
    return rule ? rule->name : "attribute list";
}

} // namespace margay::bgp
