// SPDX-License-Identifier: Apache-2.0
#include "bench/bgp/wire.h"

namespace margay::bgp_bench {
namespace {

enum Attribute : std::uint8_t { // RFC 4271 5.1
    kOrigin = 1,
    kAsPath = 2,
    kNextHop = 3,
    kMed = 4,
    kLocalPref = 5,
    kCommunities = 8, // RFC 1997
    kOriginatorId = 9, // RFC 4456 8
    kClusterList = 10,
};
constexpr std::uint8_t kOptional = 0x80, kTransitive = 0x40, kExtendedLength = 0x10;
constexpr std::uint8_t kAsSequence = 2;

void put_u16(std::size_t value, Bytes& out)
{
    out.push_back(static_cast<std::uint8_t>(value >> 8));
    out.push_back(static_cast<std::uint8_t>(value));
}

void put_u32(std::uint32_t value, Bytes& out)
{
    put_u16(value >> 16, out);
    put_u16(value & 0xffff, out);
}

std::size_t begin_message(MessageType type, Bytes& out)
{
    const std::size_t begin = out.size();
    out.insert(out.end(), 16, 0xff); // the marker
    put_u16(0, out);
    out.push_back(static_cast<std::uint8_t>(type));
    return begin;
}

void patch_u16(std::size_t at, std::size_t value, Bytes& out)
{
    out[at] = static_cast<std::uint8_t>(value >> 8);
    out[at + 1] = static_cast<std::uint8_t>(value);
}

void end_message(std::size_t begin, Bytes& out)
{
    patch_u16(begin + 16, out.size() - begin, out);
}

void put_attribute(std::uint8_t flags, Attribute type, const Bytes& value, Bytes& out)
{
    const bool wide = value.size() > 255;
    out.push_back(wide ? flags | kExtendedLength : flags);
    out.push_back(type);
    if (wide)
        put_u16(value.size(), out);
    else
        out.push_back(static_cast<std::uint8_t>(value.size()));
    out.insert(out.end(), value.begin(), value.end());
}

Bytes numbers(std::span<const std::uint32_t> values)
{
    Bytes bytes;
    for (const std::uint32_t value : values)
        put_u32(value, bytes);
    return bytes;
}

// Four-octet numbers in one AS_SEQUENCE: both ends have the capability of RFC 6793.
Bytes path_value(const std::vector<std::uint32_t>& path)
{
    if (path.empty())
        return {};
    Bytes value{kAsSequence, static_cast<std::uint8_t>(path.size())};
    const Bytes ases = numbers(path);
    value.insert(value.end(), ases.begin(), ases.end());
    return value;
}

Bytes attributes_field(const PathAttributes& attributes)
{
    Bytes out;
    put_attribute(kTransitive, kOrigin, {0}, out); // IGP
    put_attribute(kTransitive, kAsPath, path_value(attributes.as_path), out);
    put_attribute(kTransitive, kNextHop, numbers({{attributes.next_hop.value()}}), out);
    if (attributes.med)
        put_attribute(kOptional, kMed, numbers({{*attributes.med}}), out);
    if (attributes.local_pref)
        put_attribute(kTransitive, kLocalPref, numbers({{*attributes.local_pref}}), out);
    if (!attributes.communities.empty())
        put_attribute(kOptional | kTransitive, kCommunities, numbers(attributes.communities), out);
    return out;
}

std::size_t wire_size(const Prefix4& prefix)
{
    return 1 + (prefix.length + 7u) / 8;
}

void put_prefix(const Prefix4& prefix, Bytes& out)
{
    out.push_back(prefix.length);
    for (std::size_t i = 0; i + 1 < wire_size(prefix); ++i)
        out.push_back(static_cast<std::uint8_t>(prefix.addr.value() >> (24 - 8 * i)));
}

// Writes prefixes and takes them off `rest` while `out` stays within `end` octets.
void put_what_fits(std::size_t end, std::span<const Prefix4>& rest, Bytes& out)
{
    while (!rest.empty() && out.size() + wire_size(rest.front()) <= end) {
        put_prefix(rest.front(), out);
        rest = rest.subspan(1);
    }
}

// A parameter of OPEN with one capability (RFC 5492).
void put_capability(std::uint8_t code, const Bytes& value, Bytes& out)
{
    out.push_back(2); // parameter type: capabilities
    out.push_back(static_cast<std::uint8_t>(value.size() + 2));
    out.push_back(code);
    out.push_back(static_cast<std::uint8_t>(value.size()));
    out.insert(out.end(), value.begin(), value.end());
}

// AS_PATH with four-octet numbers; sets do not occur in what we send.
bool read_path(View value, SeenAttributes& seen)
{
    while (!value.empty()) {
        const std::size_t count = value.size() < 2 ? 0 : value[1];
        const std::size_t size = 2 + count * 4;
        if (count == 0 || value.size() < size)
            return false;
        seen.origin_as = read_u32(value.data() + size - 4);
        seen.hops += count;
        value = value.subspan(size);
    }
    return true;
}

} // namespace

void put_open(const OpenFields& open, Bytes& out)
{
    constexpr std::uint32_t kAsTrans = 23456;
    const std::size_t begin = begin_message(MessageType::Open, out);
    out.push_back(4); // version
    put_u16(open.as <= 0xffff ? open.as : kAsTrans, out);
    put_u16(open.hold_time, out);
    put_u32(open.identifier.value(), out);
    const std::size_t length = out.size();
    out.push_back(0);
    put_capability(1, {0, 1, 0, 1}, out);           // multiprotocol: IPv4 unicast (RFC 4760)
    put_capability(65, numbers({{open.as}}), out); // RFC 6793
    out[length] = static_cast<std::uint8_t>(out.size() - length - 1);
    end_message(begin, out);
}

void put_keepalive(Bytes& out)
{
    end_message(begin_message(MessageType::Keepalive, out), out);
}

void put_announcements(const PathAttributes& attributes, std::span<const Prefix4> prefixes,
                       Bytes& out)
{
    const Bytes field = attributes_field(attributes);
    while (!prefixes.empty()) {
        const std::size_t begin = begin_message(MessageType::Update, out);
        put_u16(0, out); // nothing withdrawn
        put_u16(field.size(), out);
        out.insert(out.end(), field.begin(), field.end());
        put_what_fits(begin + kMaxMessage, prefixes, out);
        end_message(begin, out);
    }
}

void put_withdrawals(std::span<const Prefix4> prefixes, Bytes& out)
{
    while (!prefixes.empty()) {
        const std::size_t begin = begin_message(MessageType::Update, out);
        const std::size_t length = out.size();
        put_u16(0, out);
        put_what_fits(begin + kMaxMessage - 2, prefixes, out); // 2: no attributes
        patch_u16(length, out.size() - length - 2, out);
        put_u16(0, out);
        end_message(begin, out);
    }
}

std::optional<UpdateView> split_update(View body)
{
    if (body.size() < 4)
        return std::nullopt;
    const std::size_t withdrawn = read_u16(body.data());
    if (body.size() < 4 + withdrawn)
        return std::nullopt;
    const std::size_t attributes = read_u16(body.data() + 2 + withdrawn);
    if (body.size() < 4 + withdrawn + attributes)
        return std::nullopt;
    return UpdateView{body.subspan(2, withdrawn), body.subspan(4 + withdrawn, attributes),
                      body.subspan(4 + withdrawn + attributes)};
}

std::optional<SeenAttributes> read_attributes(View field)
{
    SeenAttributes seen;
    bool has_originator = false, has_clusters = false;
    while (!field.empty()) {
        const std::size_t head = field[0] & kExtendedLength ? 4 : 3;
        if (field.size() < head)
            return std::nullopt;
        const std::size_t length = head == 4 ? read_u16(field.data() + 2) : field[2];
        if (field.size() < head + length)
            return std::nullopt;
        const View value = field.subspan(head, length);
        if (field[1] == kNextHop && length == 4)
            seen.next_hop = read_u32(value.data());
        if (field[1] == kAsPath && !read_path(value, seen))
            return std::nullopt;
        has_originator |= field[1] == kOriginatorId && length == 4;
        has_clusters |= field[1] == kClusterList && length >= 4;
        field = field.subspan(head + length);
    }
    seen.reflected = has_originator && has_clusters;
    return seen;
}

} // namespace margay::bgp_bench
