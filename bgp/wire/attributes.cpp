// SPDX-License-Identifier: Apache-2.0
#include "bgp/wire/attribute_octets.h"
#include "bgp/wire/notification.h"

#include <algorithm>
#include <array>
#include <bitset>
#include <limits>
#include <set>

namespace margay::bgp {
namespace {

struct Check {
    AttributeList& list;
    const WireSession& session;
    std::uint8_t flags = 0;
    std::uint8_t type = 0;
    std::uint8_t last = 0;  // type that was kept last
    bool ascending = true;
    // RFC 6793: what old speakers say in two octets, and beside it in four.
    std::optional<AsPath> as_path = std::nullopt;
    std::optional<AsPath> as4_path = std::nullopt;
    std::optional<Aggregator> aggregator = std::nullopt;
    std::optional<Aggregator> as4_aggregator = std::nullopt;
    std::uint8_t aggregator_flags = 0;
};

constexpr std::uint8_t kSet = static_cast<std::uint8_t>(PathSegment::Type::Set);
constexpr std::uint8_t kSequence = static_cast<std::uint8_t>(PathSegment::Type::Sequence);
constexpr std::uint8_t kLastOfConfederation = 4; // RFC 5065 section 3: their segments are 3 and 4

// RFC 7606 7.2: unknown segment type (behind `last_type`), a segment without ASes, or one that overruns.
// AS 0 has no business in it (RFC 7607).
bool path_is_sound(ByteView value, std::size_t octets_an_as, std::uint8_t last_type)
{
    ByteReader in(value);
    Segment segment;
    while (next_segment(in, octets_an_as, segment)) {
        if (segment.type < kSet || segment.type > last_type || segment.count == 0)
            return false;
        for (std::size_t at = 0; at < segment.asns.size(); at += octets_an_as)
            if (number_at(segment.asns, at, octets_an_as) == 0)
                return false;
    }
    return in.ok();
}

// ---- Checks ------------------------------------------------------------------------------------

// RFC 4271 4.3: the lower bits are zero when sent, Partial is for optional transitive ones.
std::uint8_t kept_flags(std::uint8_t flags)
{
    const bool may_be_partial = (flags & kOptTrans) == kOptTrans;
    return flags & (may_be_partial ? kOptTrans | kPartial : kOptTrans);
}

bool keep(ByteView value, Check& c)
{
    c.ascending = c.ascending && c.type > c.last;
    c.last = c.type;
    ByteWriter out(c.list.octets);
    put(kept_flags(c.flags), c.type, value, out);
    return true;
}

bool check_origin(ByteView value, Check& c)
{
    if (value[0] > static_cast<std::uint8_t>(Origin::Incomplete))
        return false;
    c.list.summary.origin = static_cast<Origin>(value[0]);
    c.list.has_origin = true;
    return keep(value, c);
}

bool check_as_path(ByteView value, Check& c)
{
    // We are in no confederation: nobody has its segments for us (RFC 5065 section 5).
    if (!path_is_sound(value, c.session.four_octet_as ? 4 : 2, kSequence))
        return false;
    c.list.has_as_path = true;
    if (c.session.four_octet_as)
        return keep(value, c);
    c.as_path = decode_path(value, 2); // joined when the whole list was read
    return true;
}

// RFC 6793 section 6: segments of a confederation are dropped, the others count.
bool check_as4_path(ByteView value, Check& c)
{
    if (!path_is_sound(value, 4, kLastOfConfederation))
        return false;
    const AsPath whole = decode_path(value, 4);
    std::vector<PathSegment> kept;
    for (const PathSegment& segment : whole.segments())
        if (static_cast<std::uint8_t>(segment.type) <= kSequence)
            kept.push_back(segment);
    if (kept.size() < whole.segments().size())
        c.list.faults.push_back({kAs4Path, FaultAction::DiscardAttribute});
    c.as4_path = AsPath(std::move(kept));
    return true;
}

bool check_next_hop(ByteView value, Check& c)
{
    const Ipv4 next_hop(number_at(value, 0, 4));
    c.list.summary.next_hop = next_hop;
    c.list.has_next_hop = is_host_address(next_hop);
    c.list.has_odd_next_hop = !c.list.has_next_hop;
    return c.list.has_next_hop;
}

bool check_med(ByteView value, Check& c)
{
    c.list.summary.med = number_at(value, 0, 4);
    return keep(value, c);
}

bool check_local_pref(ByteView value, Check& c)
{
    c.list.summary.local_pref = number_at(value, 0, 4);
    return keep(value, c);
}

// RFC 7606 7.7: its length follows from what the OPENs agreed on.
bool check_aggregator(ByteView value, Check& c)
{
    const std::size_t width = c.session.four_octet_as ? 4 : 2;
    if (value.size() != width + 4 || number_at(value, 0, width) == 0)
        return false;
    if (c.session.four_octet_as)
        return keep(value, c);
    c.aggregator = Aggregator{Asn{number_at(value, 0, 2)}, Ipv4(number_at(value, 2, 4))};
    c.aggregator_flags = kept_flags(c.flags); // RFC 4271 5: Partial stays where it was set
    return true;
}

bool check_as4_aggregator(ByteView value, Check& c)
{
    if (number_at(value, 0, 4) == 0)
        return false;
    c.as4_aggregator = Aggregator{Asn{number_at(value, 0, 4)}, Ipv4(number_at(value, 4, 4))};
    return true;
}

bool check_communities(ByteView value, Check& c)
{
    for (std::size_t at = 0; at < value.size(); at += 4) {
        const std::uint32_t community = number_at(value, at, 4);
        c.list.summary.no_export |= community == kNoExport || community == kNoExportSubconfed;
        c.list.summary.no_advertise |= community == kNoAdvertise;
    }
    return keep(value, c);
}

// RFC 8092 section 2: of equal ones the first is kept.
bool check_large_communities(ByteView value, Check& c)
{
    constexpr std::size_t kOctets = 12;
    std::set<std::array<std::uint8_t, kOctets>> seen;
    Bytes distinct;
    for (ByteView rest = value; !rest.empty(); rest = rest.subspan(kOctets)) {
        std::array<std::uint8_t, kOctets> one;
        std::ranges::copy(rest.first(kOctets), one.begin());
        if (seen.insert(one).second)
            distinct.insert(distinct.end(), one.begin(), one.end());
    }
    return keep(distinct, c);
}

bool check_originator_id(ByteView value, Check& c)
{
    c.list.summary.originator_id = Ipv4(number_at(value, 0, 4));
    return keep(value, c);
}

bool check_cluster_list(ByteView value, Check& c)
{
    c.list.summary.cluster_count = static_cast<std::uint16_t>(value.size() / 4);
    return keep(value, c);
}

bool check_mp_reach(ByteView value, Check& c)
{
    c.list.mp_reach = value;
    return true;
}

bool check_mp_unreach(ByteView value, Check& c)
{
    c.list.mp_unreach = value;
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
    bool (*check)(ByteView, Check&); // false when the value is broken; its length was checked
    const char* name;
};

constexpr std::size_t kAny = std::numeric_limits<std::size_t>::max();
constexpr auto kDiscard = FaultAction::DiscardAttribute;
constexpr auto kWithdraw = FaultAction::TreatAsWithdraw;
constexpr auto kReset = FaultAction::SessionReset;

// clang-format off
constexpr std::array kRules{
    Rule{kOrigin,              kWellKnown, {1, 1, 1},     kWithdraw, From::Anyone,         check_origin,           "ORIGIN"},
    Rule{kAsPath,              kWellKnown, {0, kAny, 2},  kWithdraw, From::Anyone,         check_as_path,          "AS_PATH"},
    Rule{kNextHop,             kWellKnown, {4, 4, 1},     kWithdraw, From::Anyone,         check_next_hop,         "NEXT_HOP"},
    Rule{kMed,                 kOptional,  {4, 4, 1},     kWithdraw, From::Anyone,         check_med,              "MULTI_EXIT_DISC"},
    Rule{kLocalPref,           kWellKnown, {4, 4, 1},     kWithdraw, From::InternalOnly,   check_local_pref,       "LOCAL_PREF"},
    Rule{kAtomicAggregate,     kWellKnown, {0, 0, 1},     kDiscard,  From::Anyone,         keep,                   "ATOMIC_AGGREGATE"},
    Rule{kAggregator,          kOptTrans,  {6, 8, 2},     kDiscard,  From::Anyone,         check_aggregator,       "AGGREGATOR"},
    Rule{kCommunities,         kOptTrans,  {4, kAny, 4},  kWithdraw, From::Anyone,         check_communities,      "COMMUNITIES"},
    Rule{kOriginatorId,        kOptional,  {4, 4, 1},     kWithdraw, From::InternalOnly,   check_originator_id,    "ORIGINATOR_ID"},
    Rule{kClusterList,         kOptional,  {4, kAny, 4},  kWithdraw, From::InternalOnly,   check_cluster_list,     "CLUSTER_LIST"},
    Rule{kMpReach,             kOptional,  {5, kAny, 1},  kReset,    From::Anyone,         check_mp_reach,         "MP_REACH_NLRI"},
    Rule{kMpUnreach,           kOptional,  {3, kAny, 1},  kReset,    From::Anyone,         check_mp_unreach,       "MP_UNREACH_NLRI"},
    Rule{kExtendedCommunities, kOptTrans,  {8, kAny, 8},  kWithdraw, From::Anyone,         keep,                "EXTENDED_COMMUNITIES"},
    Rule{kIpv6Communities,     kOptTrans,  {20, kAny, 20}, kWithdraw, From::Anyone,        keep,                "IPV6_EXTENDED_COMMUNITIES"},
    Rule{kAs4Path,             kOptTrans,  {6, kAny, 2},  kDiscard,  From::OldSpeakerOnly, check_as4_path,         "AS4_PATH"},
    Rule{kAs4Aggregator,       kOptTrans,  {8, 8, 1},     kDiscard,  From::OldSpeakerOnly, check_as4_aggregator,   "AS4_AGGREGATOR"},
    Rule{kLargeCommunities,    kOptTrans,  {12, kAny, 12}, kWithdraw, From::Anyone,        check_large_communities, "LARGE_COMMUNITY"},
};
// clang-format on

constexpr std::array<std::uint8_t, 256> index_rules()
{
    std::array<std::uint8_t, 256> index{};
    for (std::size_t i = 0; i < kRules.size(); ++i)
        index[kRules[i].type] = static_cast<std::uint8_t>(i + 1);
    return index;
}
constexpr auto kRuleIndex = index_rules();

const Rule* rule_for(std::uint8_t type)
{
    return kRuleIndex[type] == 0 ? nullptr : &kRules[kRuleIndex[type] - 1u];
}

bool admits(const Rule::Length& length, std::size_t size)
{
    return size >= length.min && size <= length.max && size % length.multiple == 0;
}

// RFC 7606 3(c), and RFC 4271 4.3 for Partial: only what is optional and transitive can be that.
bool has_its_flags(const Rule& rule, std::uint8_t flags)
{
    const bool may_be_partial = rule.flags == kOptTrans;
    const std::uint8_t fixed = may_be_partial ? kOptTrans : kOptTrans | kPartial;
    return (flags & fixed) == rule.flags;
}

bool comes_from_the_wrong_peer(const Rule& rule, const WireSession& session)
{
    return (rule.from == From::InternalOnly && !session.internal) ||
           (rule.from == From::OldSpeakerOnly && session.four_octet_as);
}

void check_known(const Rule& rule, ByteView value, Check& c)
{
    auto& faults = c.list.faults;
    if (comes_from_the_wrong_peer(rule, c.session)) {
        faults.push_back({rule.type, FaultAction::DiscardAttribute});
        return;
    }
    // The multiprotocol ones are read all the same: what they name is withdrawn.
    if (!has_its_flags(rule, c.flags)) {
        faults.push_back({rule.type, FaultAction::TreatAsWithdraw});
        if (rule.on_fault != FaultAction::SessionReset)
            return;
    }
    if (!admits(rule.length, value.size()) || !rule.check(value, c))
        faults.push_back({rule.type, rule.on_fault, update_error::kOptional});
}

void check_unknown(ByteView value, Check& c)
{
    if (!(c.flags & kOptional)) {
        c.list.faults.push_back(
            {c.type, FaultAction::SessionReset, update_error::kUnknownWellKnown});
        return;
    }
    if (!(c.flags & kTransitive))
        return; // RFC 4271 5: quietly ignored and not passed on
    c.flags |= kPartial;
    keep(value, c);
}

// RFC 7606 3(g): the first of a kind counts; twice a multiprotocol one ends the session.
void note_repetition(const Rule* rule, Check& c)
{
    if (rule && rule->on_fault == FaultAction::SessionReset)
        c.list.faults.push_back({c.type, FaultAction::SessionReset, update_error::kAttributeList});
    else
        c.list.faults.push_back({c.type, FaultAction::DiscardAttribute});
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

// One sequence goes on in another, as it did before the path was cut in two.
void append(const PathSegment& segment, std::vector<PathSegment>& to)
{
    constexpr std::size_t kLongest = 0xff;
    const auto is_sequence = [](const PathSegment& s) {
        return s.type == PathSegment::Type::Sequence;
    };
    const bool goes_on = !to.empty() && is_sequence(to.back()) && is_sequence(segment) &&
                         to.back().asns.size() + segment.asns.size() <= kLongest;
    if (goes_on)
        to.back().asns.insert(to.back().asns.end(), segment.asns.begin(), segment.asns.end());
    else
        to.push_back(segment);
}

// RFC 6793 4.2.3: what old speakers wrote in two octets is completed by what new ones had left
// beside it.
void join_four_octet_parts(Check& c)
{
    bool outdated = false; // an old speaker aggregated after the last new one
    if (c.aggregator && c.as4_aggregator) {
        outdated = c.aggregator->as != kAsTrans;
        if (!outdated)
            c.aggregator = c.as4_aggregator;
    }
    if (!c.as_path || outdated || !c.as4_path || c.as4_path->length() > c.as_path->length())
        return;
    auto segments = leading(*c.as_path, c.as_path->length() - c.as4_path->length());
    for (const PathSegment& segment : c.as4_path->segments())
        append(segment, segments);
    c.as_path = AsPath(std::move(segments));
}

std::size_t octets_of(const AsPath& path) // canonical
{
    std::size_t octets = 0;
    for (const PathSegment& segment : path.segments())
        octets += 2 + 4 * segment.asns.size();
    return octets;
}

void keep_joined_parts(Check& c)
{
    ByteWriter out(c.list.octets);
    c.ascending = c.ascending && !c.as_path && !c.aggregator;
    if (c.as_path && octets_of(*c.as_path) > kMostAttributeOctets) // of a long message, doubled
        c.list.too_long = true;
    else if (c.as_path)
        put_path(kWellKnown, kAsPath, *c.as_path, true, out);
    if (c.aggregator)
        put_aggregator(c.aggregator_flags, kAggregator, *c.aggregator, true, out);
}

void sort_attributes(Bytes& octets)
{
    std::vector<Attribute> attributes;
    ByteReader in(octets);
    for (Attribute attribute; next_attribute(in, attribute);)
        attributes.push_back(attribute);
    std::ranges::sort(attributes, {}, &Attribute::type);
    Bytes sorted;
    ByteWriter out(sorted);
    for (const Attribute& attribute : attributes)
        put(static_cast<std::uint8_t>(attribute.flags & ~kExtended), attribute.type,
            attribute.value, out);
    octets = std::move(sorted);
}

void summarize_path(AttributeList& list)
{
    ByteReader in(list.octets);
    for (Attribute attribute; next_attribute(in, attribute) && attribute.type <= kAsPath;) {
        if (attribute.type != kAsPath)
            continue;
        list.summary.path_at =
            static_cast<std::uint16_t>(attribute.value.data() - list.octets.data());
        list.summary.path_size = static_cast<std::uint16_t>(attribute.value.size());
        ByteReader path(attribute.value);
        for (Segment segment; next_segment(path, 4, segment);) {
            const bool is_set = segment.type == kSet;
            if (list.summary.path_length == 0 && !is_set)
                list.summary.neighbor = Asn{number_at(segment.asns, 0, 4)};
            list.summary.path_length =
                static_cast<std::uint16_t>(list.summary.path_length + (is_set ? 1 : segment.count));
        }
    }
}

void forget(AttributeList& list)
{
    list.summary = {};
    list.octets.clear();
    list.faults.clear();
    list.mp_reach.reset();
    list.mp_unreach.reset();
    list.has_origin = list.has_as_path = list.has_next_hop = list.has_odd_next_hop = false;
    list.too_long = false;
    list.count = 0;
}

} // namespace

void check_attributes(ByteView bytes, const WireSession& session, AttributeList& list)
{
    forget(list);
    Check c{.list = list, .session = session};
    std::bitset<256> seen;
    ByteReader in(bytes);
    while (!in.at_end()) {
        Attribute attribute;
        ++list.count;
        if (!next_attribute(in, attribute)) { // RFC 7606 section 4: it ends inside an attribute
            list.faults.push_back({0, FaultAction::TreatAsWithdraw});
            break;
        }
        c.flags = attribute.flags;
        c.type = attribute.type;
        const Rule* rule = rule_for(c.type);
        if (seen.test(c.type))
            note_repetition(rule, c);
        else if (rule)
            check_known(*rule, attribute.value, c);
        else
            check_unknown(attribute.value, c);
        seen.set(c.type);
    }
    join_four_octet_parts(c);
    keep_joined_parts(c);
    if (!c.ascending)
        sort_attributes(list.octets);
    summarize_path(list);
}

// ---- To and from Attributes --------------------------------------------------------------------

namespace {

template <typename Numbers, typename Value>
void put_numbers(std::uint8_t flags, std::uint8_t type, const Numbers& numbers, Value value_of,
                 ByteWriter& out)
{
    if (numbers.empty())
        return;
    put_header(flags, type, numbers.size() * 4, out);
    for (const auto& number : numbers)
        out.u32(value_of(number));
}

std::vector<std::uint32_t> numbers_of(ByteView value)
{
    std::vector<std::uint32_t> numbers;
    for (std::size_t at = 0; at < value.size(); at += 4)
        numbers.push_back(number_at(value, at, 4));
    return numbers;
}

void decode_one(const Attribute& attribute, Attributes& to)
{
    const ByteView value = attribute.value;
    switch (attribute.type) {
    case kOrigin:
        to.origin = static_cast<Origin>(value[0]);
        return;
    case kAsPath:
        to.as_path = decode_path(value, 4);
        return;
    case kMed:
        to.med = number_at(value, 0, 4);
        return;
    case kLocalPref:
        to.local_pref = number_at(value, 0, 4);
        return;
    case kAtomicAggregate:
        to.atomic_aggregate = true;
        return;
    case kAggregator:
        to.aggregator = Aggregator{Asn{number_at(value, 0, 4)}, Ipv4(number_at(value, 4, 4))};
        return;
    case kCommunities:
        to.communities = numbers_of(value);
        return;
    case kOriginatorId:
        to.originator_id = Ipv4(number_at(value, 0, 4));
        return;
    case kClusterList:
        for (const std::uint32_t id : numbers_of(value))
            to.cluster_list.push_back(Ipv4(id));
        return;
    default:
        to.others.push_back({static_cast<std::uint8_t>(attribute.flags & ~kExtended),
                             attribute.type, Bytes(value.begin(), value.end())});
    }
}

} // namespace

void encode_attributes(const Attributes& attributes, Bytes& bytes)
{
    ByteWriter out(bytes);
    const std::uint8_t origin = static_cast<std::uint8_t>(attributes.origin);
    put(kWellKnown, kOrigin, ByteView(&origin, 1), out);
    put_path(kWellKnown, kAsPath, attributes.as_path, true, out);
    if (attributes.med)
        put_u32(kOptional, kMed, *attributes.med, out);
    if (attributes.local_pref)
        put_u32(kWellKnown, kLocalPref, *attributes.local_pref, out);
    if (attributes.atomic_aggregate)
        put(kWellKnown, kAtomicAggregate, {}, out);
    if (attributes.aggregator)
        put_aggregator(kOptTrans, kAggregator, *attributes.aggregator, true, out);
    put_numbers(kOptTrans, kCommunities, attributes.communities, [](auto c) { return c; }, out);
    if (attributes.originator_id)
        put_u32(kOptional, kOriginatorId, attributes.originator_id->value(), out);
    put_numbers(
        kOptional, kClusterList, attributes.cluster_list, [](Ipv4 id) { return id.value(); }, out);
    for (const RawAttribute& other : attributes.others)
        put(kept_flags(other.flags), other.type, other.value, out);
}

Attributes decode_canonical(ByteView octets, const Ip& next_hop)
{
    Attributes attributes;
    attributes.next_hop = next_hop;
    ByteReader in(octets);
    for (Attribute attribute; next_attribute(in, attribute);)
        decode_one(attribute, attributes);
    return attributes;
}

std::size_t count_in_path(ByteView as_path, Asn as)
{
    std::size_t count = 0;
    ByteReader in(as_path);
    for (Segment segment; next_segment(in, 4, segment);)
        for (std::size_t at = 0; at < segment.asns.size(); at += 4)
            count += number_at(segment.asns, at, 4) == as.value;
    return count;
}

bool cluster_list_contains(ByteView octets, Ipv4 id)
{
    ByteReader in(octets);
    for (Attribute attribute; next_attribute(in, attribute);) {
        if (attribute.type != kClusterList)
            continue;
        for (std::size_t at = 0; at < attribute.value.size(); at += 4)
            if (number_at(attribute.value, at, 4) == id.value())
                return true;
    }
    return false;
}

bool is_host_address(Ipv4 address)
{
    const std::uint32_t first = address.value() >> 24;
    return first != 0 && first != 127 && first < 224;
}

bool is_host_address(const Ipv6& address)
{
    const Ipv6::Bytes& bytes = address.bytes();
    const bool multicast = bytes[0] == 0xff;
    const bool low = std::all_of(bytes.begin(), bytes.end() - 1, [](auto b) { return b == 0; });
    return !multicast && !(low && bytes.back() <= 1); // neither :: nor ::1
}

const char* attribute_name(std::uint8_t type)
{
    const Rule* rule = rule_for(type);
    return rule ? rule->name : "attribute list";
}

} // namespace margay::bgp
