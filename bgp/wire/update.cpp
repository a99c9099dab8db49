// SPDX-License-Identifier: Apache-2.0
#include "bgp/wire/update.h"

#include "bgp/wire/attribute_octets.h"
#include "bgp/wire/message.h"

#include <algorithm>

namespace margay::bgp {
namespace {

Notify update_fault(std::uint8_t subcode)
{
    return Notify{ErrorCode::Update, subcode, {}};
}

// RFC 4271 6.3: of a fault of one attribute the data is all of it.
Notify attribute_fault(std::uint8_t subcode, ByteView attributes, std::uint8_t type)
{
    Notify notify = update_fault(subcode);
    ByteReader in(attributes);
    ByteView begin = in.rest();
    for (Attribute attribute; next_attribute(in, attribute); begin = in.rest()) {
        if (attribute.type != type)
            continue;
        const ByteView whole = begin.first(begin.size() - in.left());
        notify.data.assign(whole.begin(), whole.end());
        break;
    }
    return notify;
}

std::size_t octets_of(int prefix_length)
{
    return static_cast<std::size_t>(prefix_length + 7) / 8;
}

void set_octet(Ipv4& address, std::size_t at, std::uint8_t octet)
{
    address = Ipv4(address.value() | std::uint32_t{octet} << (24 - 8 * at));
}

std::uint8_t octet_at(Ipv4 address, std::size_t at)
{
    return static_cast<std::uint8_t>(address.value() >> (24 - 8 * at));
}

void set_octet(Ipv6& address, std::size_t at, std::uint8_t octet)
{
    Ipv6::Bytes bytes = address.bytes();
    bytes[at] = octet;
    address = Ipv6(bytes);
}

std::uint8_t octet_at(const Ipv6& address, std::size_t at)
{
    return address.bytes()[at];
}

// RFC 7606 5.3. Bits behind the length mean nothing and are cleared.
template <typename P>
bool read_prefixes(ByteReader in, bool add_path, std::vector<Nlri<P>>& prefixes)
{
    using Address = decltype(P::addr);
    while (!in.at_end()) {
        const PathId path = add_path ? in.u32() : 0;
        const std::uint8_t length = in.u8();
        if (length > Address::kBits)
            return false;
        const ByteView octets = in.take(octets_of(length));
        if (!in.ok())
            return false;
        Address address;
        for (std::size_t i = 0; i < octets.size(); ++i)
            set_octet(address, i, octets[i]);
        prefixes.push_back({P{address, length}.network(), path});
    }
    return true;
}

template <typename P>
std::size_t octets_of(const Nlri<P>& nlri, bool add_path)
{
    return (add_path ? sizeof(PathId) : 0u) + 1u + octets_of(nlri.prefix.length);
}

template <typename P>
void write_prefix(const Nlri<P>& nlri, bool add_path, ByteWriter& out)
{
    if (add_path)
        out.u32(nlri.path);
    out.u8(nlri.prefix.length);
    for (std::size_t i = 0; i < octets_of(nlri.prefix.length); ++i)
        out.u8(octet_at(nlri.prefix.addr, i));
}

// As many as fit into `room` octets.
template <typename P>
std::size_t write_prefixes(std::span<const Nlri<P>> prefixes, std::size_t room, bool add_path,
                           Bytes& out)
{
    ByteWriter writer(out);
    std::size_t count = 0;
    for (const Nlri<P>& nlri : prefixes) {
        const std::size_t size = octets_of(nlri, add_path);
        if (size > room)
            break;
        room -= size;
        write_prefix(nlri, add_path, writer);
        ++count;
    }
    return count;
}

Family read_family(ByteReader& in)
{
    Family family;
    family.afi = in.u16();
    family.safi = in.u8();
    return family;
}

void write_family(Family family, ByteWriter& out)
{
    out.u16(family.afi);
    out.u8(family.safi);
}

Ipv6 ipv6_of(ByteView octets)
{
    Ipv6::Bytes bytes{};
    std::ranges::copy(octets.first(bytes.size()), bytes.begin());
    return Ipv6(bytes);
}

// RFC 4760 section 3, 2545 section 3 (a global address, and maybe a link-local one behind it),
// 8950 section 4. None when the length is none that the family can have.
std::optional<Ip> read_next_hop(ByteView octets, Family family, const WireSession& session)
{
    const bool may_be_v4 = family == kIpv4Unicast;
    const bool may_be_v6 = family == kIpv6Unicast || session.ipv4.ipv6_next_hop;
    if (octets.size() == 4 && may_be_v4)
        return Ip(Ipv4(ByteReader(octets).u32()));
    if (octets.size() == 16 && may_be_v6)
        return Ip(ipv6_of(octets));
    if (octets.size() == 32 && may_be_v6) {
        const Ipv6 global = ipv6_of(octets);
        return Ip(global == Ipv6() ? ipv6_of(octets.subspan(16)) : global);
    }
    return std::nullopt;
}

std::optional<LinkLocalHop> link_local_hop(ByteView octets)
{
    if (octets.size() != 32)
        return std::nullopt;
    const LinkLocalHop hop{ipv6_of(octets), ipv6_of(octets.subspan(16))};
    return hop.link_local.is_link_local() && hop.global != Ipv6() ? std::optional(hop)
                                                                  : std::nullopt;
}

bool is_host(const Ip& address)
{
    return address.is_v4() ? is_host_address(address.v4()) : is_host_address(address.v6());
}

// The three fields of the body. RFC 7606 3(b): lengths that contradict each other end the session.
struct Fields {
    ByteView withdrawn;
    ByteView attributes;
    ByteView prefixes;
};

bool split(ByteView body, Fields& fields)
{
    ByteReader in(body);
    fields.withdrawn = in.take(in.u16());
    fields.attributes = in.take(in.u16());
    fields.prefixes = in.rest();
    return in.ok();
}

} // namespace

void UpdateDecoder::forget()
{
    update_.ipv4.withdrawn.clear();
    if (!update_.ipv4.announced.empty())
        plain_.swap(update_.ipv4.announced.front().prefixes); // its memory is used again
    update_.ipv4.announced.clear();
    update_.ipv6.withdrawn.clear();
    if (!update_.ipv6.announced.empty())
        mp6_.swap(update_.ipv6.announced.front().prefixes);
    update_.ipv6.announced.clear();
    update_.faults.clear();
    update_.end_of_rib.reset();
    update_.link_local.reset();
    plain_.clear();
    mp4_.clear();
    mp6_.clear();
    reaches_by_mp_ = false;
    unreach_family_ = {};
}

std::optional<Notify> UpdateDecoder::decode(ByteView body, const WireSession& session)
{
    forget();
    Fields fields;
    if (!split(body, fields))
        return update_fault(update_error::kAttributeList);
    check_attributes(fields.attributes, session, list_);
    const bool add_path = session.ipv4.add_path_in;
    if (!read_prefixes(ByteReader(fields.withdrawn), add_path, update_.ipv4.withdrawn) ||
        !read_prefixes(ByteReader(fields.prefixes), add_path, plain_))
        return update_fault(update_error::kNetwork);
    if (list_.mp_reach && !read_reach(*list_.mp_reach, session))
        return attribute_fault(update_error::kOptional, fields.attributes, kMpReach);
    if (list_.mp_unreach && !read_unreach(*list_.mp_unreach, session))
        return attribute_fault(update_error::kOptional, fields.attributes, kMpUnreach);
    for (const AttributeFault& fault : list_.faults) {
        if (fault.action != FaultAction::SessionReset)
            continue;
        return fault.subcode == update_error::kAttributeList
                   ? update_fault(fault.subcode)
                   : attribute_fault(fault.subcode, fields.attributes, fault.type);
    }
    forgive_unused_next_hop();
    note_missing_attributes();
    note_long_attributes();
    if (to_withdraw() && !reaches_something() && list_.count > (list_.mp_unreach ? 1 : 0))
        return update_fault(update_error::kAttributeList); // RFC 7606 5.2
    if (!session.ipv4.carried) { // RFC 4760 section 7: not agreed on
        update_.ipv4.withdrawn.clear();
        plain_.clear();
    }
    announce(plain_, list_.summary.next_hop);
    announce(mp4_, mp_next_hop_);
    announce(mp6_, mp_next_hop_);
    update_.faults = list_.faults;
    note_end_of_rib(fields.attributes, fields.prefixes, session);
    return std::nullopt;
}

// RFC 4760 section 3. False when the attribute cannot be parsed (RFC 7606 7.11); a family that was
// not agreed on is ignored (section 7).
bool UpdateDecoder::read_reach(ByteView value, const WireSession& session)
{
    ByteReader in(value);
    const Family family = read_family(in);
    const ByteView hop = in.take(in.u8());
    in.u8(); // reserved
    if (!in.ok())
        return false;
    reaches_by_mp_ = !in.at_end();
    const bool is_ipv4 = family == kIpv4Unicast && session.ipv4.carried;
    const bool is_ipv6 = family == kIpv6Unicast && session.ipv6.carried;
    if (!is_ipv4 && !is_ipv6)
        return true;
    const auto next_hop = read_next_hop(hop, family, session);
    if (!next_hop)
        return false;
    mp_next_hop_ = *next_hop;
    update_.link_local = link_local_hop(hop);
    if (!is_host(*next_hop))
        list_.faults.push_back({kMpReach, FaultAction::TreatAsWithdraw});
    return is_ipv4 ? read_prefixes(ByteReader(in.rest()), session.ipv4.add_path_in, mp4_)
                   : read_prefixes(ByteReader(in.rest()), session.ipv6.add_path_in, mp6_);
}

bool UpdateDecoder::read_unreach(ByteView value, const WireSession& session)
{
    ByteReader in(value);
    unreach_family_ = read_family(in);
    if (!in.ok())
        return false;
    if (unreach_family_ == kIpv4Unicast && session.ipv4.carried)
        return read_prefixes(ByteReader(in.rest()), session.ipv4.add_path_in,
                             update_.ipv4.withdrawn);
    if (unreach_family_ == kIpv6Unicast && session.ipv6.carried)
        return read_prefixes(ByteReader(in.rest()), session.ipv6.add_path_in,
                             update_.ipv6.withdrawn);
    return true;
}

// RFC 4760 section 3: where all prefixes stand in MP_REACH_NLRI it is ignored; some say 0.0.0.0. One that
// is malformed (RFC 7606 7.3) is so all the same.
void UpdateDecoder::forgive_unused_next_hop()
{
    if (!plain_.empty() || !list_.mp_reach || !list_.has_odd_next_hop)
        return;
    for (AttributeFault& fault : list_.faults)
        if (fault.type == kNextHop)
            fault.action = FaultAction::DiscardAttribute;
}

// RFC 7606 3(d).
void UpdateDecoder::note_missing_attributes()
{
    const bool reaches = !plain_.empty() || !mp4_.empty() || !mp6_.empty();
    const bool complete =
        list_.has_origin && list_.has_as_path && (list_.has_next_hop || plain_.empty());
    if (reaches && !complete && !to_withdraw())
        list_.faults.push_back({0, FaultAction::TreatAsWithdraw});
}

// As they are kept: without prefixes, paths with four octets an AS.
void UpdateDecoder::note_long_attributes()
{
    if ((list_.too_long || list_.octets.size() > kMostAttributeOctets) && reaches_something())
        list_.faults.push_back({.action = FaultAction::TreatAsWithdraw, .too_long = true});
}

bool UpdateDecoder::to_withdraw() const
{
    return std::ranges::any_of(list_.faults, [](const AttributeFault& fault) {
        return fault.action == FaultAction::TreatAsWithdraw;
    });
}

template <typename P>
void UpdateDecoder::announce(std::vector<Nlri<P>>& prefixes, const Ip& next_hop)
{
    if (prefixes.empty())
        return;
    FamilyUpdate<P>& update = of_family<P>(update_.ipv4, update_.ipv6);
    if (to_withdraw()) {
        update.withdrawn.insert(update.withdrawn.end(), prefixes.begin(), prefixes.end());
        return;
    }
    list_.summary.next_hop = next_hop;
    update.announced.push_back({pool_.intern(list_.summary, list_.octets), {}});
    update.announced.back().prefixes.swap(prefixes);
}

void UpdateDecoder::note_end_of_rib(ByteView attributes, ByteView prefixes,
                                    const WireSession& session)
{
    if (!update_.ipv4.withdrawn.empty() || !update_.ipv6.withdrawn.empty() || !prefixes.empty())
        return;
    if (attributes.empty() && session.ipv4.carried)
        update_.end_of_rib = kIpv4Unicast;
    else if (list_.count == 1 && list_.mp_unreach && list_.mp_unreach->size() == 3)
        update_.end_of_rib = unreach_family_;
}

// ---- Out ---------------------------------------------------------------------------------------

namespace {

constexpr std::size_t kLengthField = 2;

Bytes next_hop_octets(const Rewrite& rewrite)
{
    Bytes octets;
    ByteWriter out(octets);
    if (rewrite.next_hop.is_v4())
        out.u32(rewrite.next_hop.v4().value());
    else
        out.bytes(rewrite.next_hop.v6().bytes());
    if (rewrite.link_local)
        out.bytes(rewrite.link_local->bytes());
    return octets;
}

// RFC 4760 section 3, as the first attribute (RFC 7606 5.1). Always with a wide length: it is
// known only afterwards.
template <typename P>
std::size_t write_mp_reach(const Rewrite& rewrite, std::span<const Nlri<P>> prefixes,
                           std::size_t room, Bytes& out)
{
    ByteWriter writer(out);
    const std::size_t begin = out.size();
    writer.u8(kOptional | kExtended);
    writer.u8(kMpReach);
    writer.u16(0);
    const std::size_t value = out.size();
    write_family(family_of<P>(), writer);
    const Bytes next_hop = next_hop_octets(rewrite);
    writer.u8(static_cast<std::uint8_t>(next_hop.size()));
    writer.bytes(next_hop);
    writer.u8(0);
    const std::size_t head = out.size() - begin;
    const std::size_t count =
        head > room ? 0 : write_prefixes(prefixes, room - head, rewrite.encoding.add_path, out);
    writer.patch_u16(value - kLengthField, out.size() - value);
    return count;
}

} // namespace

template <typename P>
std::size_t encode_announce(ByteView attributes, const Rewrite& rewrite,
                            std::span<const Nlri<P>> prefixes, Bytes& out)
{
    const std::size_t begin = begin_message(MessageType::Update, out);
    ByteWriter writer(out);
    writer.u16(0); // nothing withdrawn
    const std::size_t length_at = out.size();
    writer.u16(0);
    const std::size_t used = out.size() - begin + attributes.size();
    const std::size_t max = rewrite.encoding.max_message;
    const std::size_t room = max > used ? max - used : 0;
    std::size_t count = 0;
    if (rewrite.in_mp_reach)
        count = write_mp_reach(rewrite, prefixes, room, out);
    writer.bytes(attributes);
    writer.patch_u16(length_at, out.size() - length_at - kLengthField);
    if (!rewrite.in_mp_reach)
        count = write_prefixes(prefixes, room, rewrite.encoding.add_path, out);
    if (count == 0) {
        out.resize(begin);
        return 0;
    }
    end_message(begin, out);
    return count;
}

// IPv4 has a field of its own, whatever the next hops of its routes were.
template <typename P>
std::size_t encode_withdraw(const Encoding& encoding, std::span<const Nlri<P>> prefixes, Bytes& out)
{
    constexpr bool kPlain = std::is_same_v<P, Prefix4>;
    const std::size_t begin = begin_message(MessageType::Update, out);
    ByteWriter writer(out);
    std::size_t length_at = out.size();
    writer.u16(0); // of the withdrawn
    std::size_t value = out.size();
    if constexpr (!kPlain) {
        length_at = out.size();
        writer.u16(0); // of the attributes
        writer.u8(kOptional | kExtended);
        writer.u8(kMpUnreach);
        writer.u16(0);
        value = out.size();
        write_family(family_of<P>(), writer);
    }
    const std::size_t room =
        encoding.max_message - (out.size() - begin) - (kPlain ? kLengthField : 0);
    const std::size_t count = write_prefixes(prefixes, room, encoding.add_path, out);
    writer.patch_u16(length_at, out.size() - length_at - kLengthField);
    if constexpr (kPlain)
        writer.u16(0); // no attributes
    else
        writer.patch_u16(value - kLengthField, out.size() - value);
    end_message(begin, out);
    return count;
}

// RFC 4724 section 2.
void encode_end_of_rib(Family family, Bytes& out)
{
    const std::size_t begin = begin_message(MessageType::Update, out);
    ByteWriter writer(out);
    writer.u16(0);
    if (family == kIpv4Unicast) {
        writer.u16(0);
    } else {
        constexpr std::uint8_t kFamilyOctets = 3;
        writer.u16(3 + kFamilyOctets);
        writer.u8(kOptional);
        writer.u8(kMpUnreach);
        writer.u8(kFamilyOctets);
        write_family(family, writer);
    }
    end_message(begin, out);
}

template std::size_t encode_announce(ByteView, const Rewrite&, std::span<const Nlri<Prefix4>>,
                                     Bytes&);
template std::size_t encode_announce(ByteView, const Rewrite&, std::span<const Nlri<Prefix6>>,
                                     Bytes&);
template std::size_t encode_withdraw(const Encoding&, std::span<const Nlri<Prefix4>>, Bytes&);
template std::size_t encode_withdraw(const Encoding&, std::span<const Nlri<Prefix6>>, Bytes&);

} // namespace margay::bgp
