// SPDX-License-Identifier: Apache-2.0
#include "bgp/wire/mrt.h"

#include "bgp/wire/attribute_octets.h"

#include <algorithm>

namespace margay::bgp {
namespace {

using Moment = std::chrono::system_clock::time_point;

constexpr std::uint16_t kTableDumpV2 = 13; // RFC 6396 section 4
enum MrtSubtype : std::uint16_t { // RFC 6396 4.3, RFC 8050 4.3
    kPeerIndexTable = 1,
    kRibIpv4Unicast = 2,
    kRibIpv6Unicast = 4,
    kRibIpv4UnicastAddPath = 8,
    kRibIpv6UnicastAddPath = 10,
};
// RFC 6396 4.3.1, the type of a peer.
constexpr std::uint8_t kPeerIpv6 = 0x01, kPeerFourOctetAs = 0x02;

std::uint32_t seconds(Moment time)
{
    return static_cast<std::uint32_t>(
        std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count());
}

// RFC 6396 section 2. The length comes when the rest is there.
class MrtRecord {
public:
    MrtRecord(Moment now, std::uint16_t subtype, Bytes& out) : out_(out), to_(out)
    {
        to_.u32(seconds(now));
        to_.u16(kTableDumpV2);
        to_.u16(subtype);
        to_.u32(0);
        begin_ = out.size();
    }
    ~MrtRecord()
    {
        const std::size_t length = out_.size() - begin_;
        to_.patch_u16(begin_ - 4, length >> 16 & 0xffff);
        to_.patch_u16(begin_ - 2, length & 0xffff);
    }
    MrtRecord(const MrtRecord&) = delete;
    MrtRecord& operator=(const MrtRecord&) = delete;

private:
    Bytes& out_;
    ByteWriter to_;
    std::size_t begin_ = 0;
};

void put_address(const Ip& address, ByteWriter& to)
{
    if (address.is_v4())
        to.u32(address.v4().value());
    else
        to.bytes(address.v6().bytes());
}

// RFC 6396 4.3.4: AS numbers have four octets, and of MP_REACH_NLRI there is the next hop alone, which is
// where a next hop of IPv6 stands.
void put_attributes(const Attributes& attributes, bool ipv6, ByteWriter& to)
{
    Bytes octets;
    encode_attributes(attributes, octets);
    ByteReader in(octets);
    const bool in_mp_reach = ipv6 || !attributes.next_hop.is_v4();
    bool hop_written = false;
    const auto put_hop = [&] {
        hop_written = true;
        if (!in_mp_reach)
            return put_u32(kWellKnown, kNextHop, attributes.next_hop.v4().value(), to);
        Bytes value;
        ByteWriter hop(value);
        hop.u8(attributes.next_hop.is_v4() ? 4 : 16);
        put_address(attributes.next_hop, hop);
        put(kOptional, kMpReach, value, to);
    };
    const std::uint8_t hop_type = in_mp_reach ? kMpReach : kNextHop;
    Attribute attribute;
    while (next_attribute(in, attribute)) { // by ascending type
        if (!hop_written && attribute.type > hop_type)
            put_hop();
        put(static_cast<std::uint8_t>(attribute.flags & ~kExtended), attribute.type,
            attribute.value, to);
    }
    if (!hop_written)
        put_hop();
}

template <typename P>
void put_prefix(const P& prefix, ByteView octets, ByteWriter& to)
{
    to.u8(prefix.length);
    to.bytes(octets.first((prefix.length + 7u) / 8));
}

void put_prefix(const IpPrefix& prefix, ByteWriter& to)
{
    if (!prefix.is_v4())
        return put_prefix(prefix.v6(), prefix.v6().addr.bytes(), to);
    Bytes octets;
    ByteWriter(octets).u32(prefix.v4().addr.value());
    put_prefix(prefix.v4(), octets, to);
}

std::uint16_t subtype_of(const IpPrefix& prefix, bool numbered)
{
    if (prefix.is_v4())
        return numbered ? kRibIpv4UnicastAddPath : kRibIpv4Unicast;
    return numbered ? kRibIpv6UnicastAddPath : kRibIpv6Unicast;
}

void put_record(Moment now, std::uint32_t sequence, const IpPrefix& prefix, bool numbered,
                std::span<const MrtPath> paths, Bytes& out)
{
    const MrtRecord record(now, subtype_of(prefix, numbered), out);
    ByteWriter to(out);
    to.u32(sequence);
    put_prefix(prefix, to);
    const std::size_t count_at = to.size();
    to.u16(0);
    std::size_t count = 0;
    for (const MrtPath& path : paths) {
        if ((path.path != 0) != numbered || count == kMrtPaths)
            continue;
        ++count;
        to.u16(path.peer);
        to.u32(seconds(path.since));
        if (numbered)
            to.u32(path.path);
        const std::size_t length_at = to.size();
        to.u16(0);
        put_attributes(*path.attributes, !prefix.is_v4(), to);
        to.patch_u16(length_at, to.size() - length_at - 2);
    }
    to.patch_u16(count_at, count);
}

} // namespace

void put_mrt_peers(Moment now, Ipv4 collector, std::string_view view,
                   std::span<const MrtPeer> peers, Bytes& out)
{
    const MrtRecord record(now, kPeerIndexTable, out);
    ByteWriter to(out);
    to.u32(collector.value());
    to.u16(static_cast<std::uint16_t>(view.size()));
    to.bytes({reinterpret_cast<const std::uint8_t*>(view.data()), view.size()});
    const auto listed = peers.first(std::min(peers.size(), kMrtPeers));
    to.u16(static_cast<std::uint16_t>(listed.size()));
    for (const MrtPeer& peer : listed) {
        to.u8(peer.address.is_v4() ? kPeerFourOctetAs : kPeerFourOctetAs | kPeerIpv6);
        to.u32(peer.identifier.value());
        put_address(peer.address, to);
        to.u32(peer.as.value);
    }
}

std::uint32_t put_mrt_paths(Moment now, std::uint32_t sequence, const IpPrefix& prefix,
                            std::span<const MrtPath> paths, Bytes& out)
{
    std::uint32_t records = 0;
    for (const bool numbered : {false, true})
        if (std::ranges::any_of(paths, [&](const MrtPath& p) { return (p.path != 0) == numbered; }))
            put_record(now, sequence + records++, prefix, numbered, paths, out);
    return records;
}

} // namespace margay::bgp
