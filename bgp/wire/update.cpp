// SPDX-License-Identifier: Apache-2.0
#include "bgp/wire/update.h"

#include "bgp/wire/message.h"

#include <algorithm>

namespace margay::bgp {
namespace {

Notify update_fault(std::uint8_t subcode)
{
    return Notify{ErrorCode::Update, subcode, {}};
}

std::size_t octets_of(int prefix_length)
{
    return static_cast<std::size_t>(prefix_length + 7) / 8;
}

// RFC 7606 5.3. Bits behind the length mean nothing and are cleared.
bool read_prefixes(ByteReader in, std::vector<Prefix4>& prefixes)
{
    while (!in.at_end()) {
        const std::uint8_t length = in.u8();
        if (length > Ipv4::kBits)
            return false;
        const ByteView octets = in.take(octets_of(length));
        if (!in.ok())
            return false;
        std::uint32_t address = 0;
        for (std::size_t i = 0; i < octets.size(); ++i)
            address |= std::uint32_t{octets[i]} << (24 - 8 * i);
        prefixes.push_back(Prefix4{Ipv4(address), length}.network());
    }
    return true;
}

void write_prefix(const Prefix4& prefix, ByteWriter& out)
{
    out.u8(prefix.length);
    for (std::size_t i = 0; i < octets_of(prefix.length); ++i)
        out.u8(static_cast<std::uint8_t>(prefix.addr.value() >> (24 - 8 * i)));
}

// Fills the message that starts at `begin`, but for its last `reserve` octets.
std::size_t write_prefixes(std::span<const Prefix4> prefixes, std::size_t begin,
                           std::size_t reserve, Bytes& out)
{
    std::size_t count = 0;
    for (const Prefix4& prefix : prefixes) {
        if (out.size() - begin + 1 + octets_of(prefix.length) + reserve > kMaxMessage)
            break;
        ByteWriter writer(out);
        write_prefix(prefix, writer);
        ++count;
    }
    return count;
}

// RFC 4760 section 3. False when the attribute cannot be parsed; a family that is not ours is
// ignored (section 7).
bool read_mp_reach(ByteView value, std::vector<Prefix4>& prefixes, Ipv4& next_hop)
{
    ByteReader in(value);
    Family family;
    family.afi = in.u16();
    family.safi = in.u8();
    const ByteView hop = in.take(in.u8());
    in.u8(); // reserved
    if (!in.ok())
        return false;
    if (family != kIpv4Unicast)
        return true;
    if (hop.size() != 4)
        return false;
    next_hop = Ipv4(ByteReader(hop).u32());
    return is_host_address(next_hop) && read_prefixes(ByteReader(in.rest()), prefixes);
}

bool read_mp_unreach(ByteView value, std::vector<Prefix4>& withdrawn, Family& family)
{
    ByteReader in(value);
    family.afi = in.u16();
    family.safi = in.u8();
    if (!in.ok())
        return false;
    return family != kIpv4Unicast || read_prefixes(ByteReader(in.rest()), withdrawn);
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

std::optional<Notify> UpdateDecoder::decode(ByteView body, const WireSession& session)
{
    update_.withdrawn.clear();
    if (!update_.announced.empty())
        plain_.swap(update_.announced.front().prefixes); // its memory is used again
    update_.announced.clear();
    update_.faults.clear();
    update_.end_of_rib.reset();
    plain_.clear();
    mp_.clear();
    unreach_family_ = {};
    Fields fields;
    if (!split(body, fields))
        return update_fault(update_error::kAttributeList);
    check_attributes(fields.attributes, session, list_);
    if (!read_prefixes(ByteReader(fields.withdrawn), update_.withdrawn) ||
        !read_prefixes(ByteReader(fields.prefixes), plain_))
        return update_fault(update_error::kNetwork);
    if (!read_multiprotocol())
        return update_fault(update_error::kOptional);
    for (const AttributeFault& fault : list_.faults)
        if (fault.action == FaultAction::SessionReset)
            return update_fault(fault.subcode);
    note_missing_attributes();
    if (to_withdraw() && !reaches_something() && list_.count > (list_.mp_unreach ? 1 : 0))
        return update_fault(update_error::kAttributeList); // RFC 7606 5.2
    announce(plain_, list_.summary.next_hop);
    announce(mp_, mp_next_hop_);
    update_.faults = list_.faults;
    note_end_of_rib(fields.attributes, fields.prefixes);
    return std::nullopt;
}

bool UpdateDecoder::read_multiprotocol()
{
    if (list_.mp_reach && !read_mp_reach(*list_.mp_reach, mp_, mp_next_hop_))
        return false;
    return !list_.mp_unreach ||
           read_mp_unreach(*list_.mp_unreach, update_.withdrawn, unreach_family_);
}

// RFC 7606 3(d).
void UpdateDecoder::note_missing_attributes()
{
    const bool reaches = !plain_.empty() || !mp_.empty();
    const bool complete =
        list_.has_origin && list_.has_as_path && (list_.has_next_hop || plain_.empty());
    if (reaches && !complete && !to_withdraw())
        list_.faults.push_back({0, FaultAction::TreatAsWithdraw});
}

bool UpdateDecoder::to_withdraw() const
{
    return std::ranges::any_of(list_.faults, [](const AttributeFault& fault) {
        return fault.action == FaultAction::TreatAsWithdraw;
    });
}

void UpdateDecoder::announce(std::vector<Prefix4>& prefixes, const Ip& next_hop)
{
    if (prefixes.empty())
        return;
    if (to_withdraw()) {
        update_.withdrawn.insert(update_.withdrawn.end(), prefixes.begin(), prefixes.end());
        return;
    }
    list_.summary.next_hop = next_hop;
    update_.announced.push_back({pool_.intern(list_.summary, list_.octets), {}});
    update_.announced.back().prefixes.swap(prefixes);
}

void UpdateDecoder::note_end_of_rib(ByteView attributes, ByteView prefixes)
{
    if (!update_.withdrawn.empty() || !prefixes.empty())
        return;
    if (attributes.empty())
        update_.end_of_rib = kIpv4Unicast;
    else if (list_.count == 1 && list_.mp_unreach && list_.mp_unreach->size() == 3)
        update_.end_of_rib = unreach_family_;
}

std::size_t encode_announce(const AttributeSet& attributes, const Rewrite& rewrite,
                            std::span<const Prefix4> prefixes, Bytes& out)
{
    const std::size_t begin = begin_message(MessageType::Update, out);
    ByteWriter writer(out);
    writer.u16(0); // nothing withdrawn
    const std::size_t length_at = out.size();
    writer.u16(0);
    write_attributes(attributes.octets(), attributes, rewrite, out);
    const std::size_t length = out.size() - length_at - 2;
    const std::size_t count =
        out.size() - begin > kMaxMessage ? 0 : write_prefixes(prefixes, begin, 0, out);
    if (count == 0) {
        out.resize(begin);
        return 0;
    }
    ByteWriter(out).patch_u16(length_at, length);
    end_message(begin, out);
    return count;
}

std::size_t encode_withdraw(std::span<const Prefix4> prefixes, Bytes& out)
{
    const std::size_t begin = begin_message(MessageType::Update, out);
    const std::size_t length_at = out.size();
    ByteWriter(out).u16(0);
    constexpr std::size_t kAttributeLengthField = 2;
    const std::size_t count = write_prefixes(prefixes, begin, kAttributeLengthField, out);
    ByteWriter(out).patch_u16(length_at, out.size() - length_at - 2);
    ByteWriter(out).u16(0);
    end_message(begin, out);
    return count;
}

void encode_end_of_rib(Bytes& out)
{
    const std::size_t begin = begin_message(MessageType::Update, out);
    ByteWriter(out).u32(0);
    end_message(begin, out);
}

} // namespace margay::bgp
