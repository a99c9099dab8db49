// SPDX-License-Identifier: Apache-2.0
#include "bgp/wire/open.h"

#include <algorithm>

namespace margay::bgp {
namespace {

constexpr std::uint8_t kVersion = 4;
constexpr std::uint8_t kCapabilitiesParameter = 2;
constexpr std::uint8_t kExtendedLength = 255; // RFC 9072: as length and as type of the first
constexpr Seconds kShortestHoldTime{3};

enum Capability : std::uint8_t {
    kMultiprotocol = 1,
    kRouteRefresh = 2,
    kExtendedNextHop = 5,
    kExtendedMessage = 6,
    kGracefulRestart = 64,
    kFourOctetAs = 65,
    kAddPath = 69,
    kEnhancedRefresh = 70,
};
constexpr std::uint16_t kRestartStateBit = 0x8000;
constexpr std::uint16_t kNotificationBit = 0x4000; // RFC 8538
constexpr std::uint16_t kAfiIpv6 = 2;
constexpr std::uint8_t kReceives = 1, kSends = 2; // RFC 7911; their sum is both
constexpr std::uint16_t kRestartTimeMask = 0x0fff;
constexpr std::uint8_t kForwardingBit = 0x80;

Notify open_fault(std::uint8_t subcode, Bytes data = {})
{
    return Notify{ErrorCode::Open, subcode, std::move(data)};
}

bool decode_graceful_restart(ByteReader in, Capabilities& caps)
{
    GracefulRestart gr;
    const std::uint16_t flags = in.u16();
    gr.restarting = flags & kRestartStateBit;
    gr.notification = flags & kNotificationBit;
    gr.restart_time = Seconds(flags & kRestartTimeMask);
    while (in.ok() && !in.at_end()) {
        GracefulRestart::Entry entry;
        entry.family.afi = in.u16();
        entry.family.safi = in.u8();
        entry.forwarding = in.u8() & kForwardingBit;
        gr.entries.push_back(entry);
    }
    if (!in.ok())
        return false;
    caps.graceful_restart = std::move(gr); // of several, the last counts
    return true;
}

// RFC 8950 section 4. Next hops of other families than IPv6 say nothing to us.
bool decode_extended_next_hop(ByteReader in, Capabilities& caps)
{
    while (in.ok() && !in.at_end()) {
        Family family;
        family.afi = in.u16();
        const std::uint16_t safi = in.u16(); // of two octets only here
        family.safi = static_cast<std::uint8_t>(safi);
        if (in.u16() == kAfiIpv6 && in.ok() && safi == family.safi)
            caps.ipv6_next_hop.push_back(family);
    }
    return in.ok();
}

// RFC 7911 section 4: with a value that it does not name the capability is not understood; of several
// entries for a family the first counts.
bool decode_add_path(ByteReader in, Capabilities& caps)
{
    std::vector<AddPath> entries;
    bool understood = true;
    while (in.ok() && !in.at_end()) {
        AddPath entry;
        entry.family.afi = in.u16();
        entry.family.safi = in.u8();
        const std::uint8_t what = in.u8();
        entry.receive = what & kReceives;
        entry.send = what & kSends;
        understood &= what >= kReceives && what <= (kReceives | kSends);
        if (std::ranges::find(entries, entry.family, &AddPath::family) == entries.end())
            entries.push_back(entry);
    }
    if (in.ok() && understood)
        caps.add_path = std::move(entries);
    return in.ok();
}

// False when a capability that we know has a length that it cannot have.
bool decode_capability(std::uint8_t code, ByteView value, Capabilities& caps)
{
    ByteReader in(value);
    switch (code) {
    case kMultiprotocol: {
        Family family;
        family.afi = in.u16();
        in.u8(); // reserved
        family.safi = in.u8();
        if (in.ok() && std::ranges::find(caps.families, family) == caps.families.end())
            caps.families.push_back(family);
        return in.ok() && in.at_end();
    }
    case kRouteRefresh:
        caps.route_refresh = true;
        return in.at_end();
    case kExtendedNextHop:
        return decode_extended_next_hop(in, caps);
    case kExtendedMessage:
        caps.extended_message = true;
        return in.at_end();
    case kAddPath:
        return decode_add_path(in, caps);
    case kEnhancedRefresh:
        caps.enhanced_refresh = true;
        return in.at_end();
    case kGracefulRestart:
        return decode_graceful_restart(in, caps);
    case kFourOctetAs:
        caps.four_octet_as = Asn{in.u32()};
        return in.ok() && in.at_end();
    default:
        return true; // RFC 5492: what is not known is not used
    }
}

bool decode_capabilities(ByteReader in, Capabilities& caps)
{
    while (!in.at_end()) {
        const std::uint8_t code = in.u8();
        const ByteView value = in.take(in.u8());
        if (!in.ok() || !decode_capability(code, value, caps))
            return false;
    }
    return true;
}

// `wide`: RFC 9072, parameters with lengths of two octets.
std::optional<Notify> decode_parameters(ByteReader in, bool wide, Capabilities& caps)
{
    while (!in.at_end()) {
        const std::uint8_t type = in.u8();
        const ByteView value = in.take(wide ? in.u16() : in.u8());
        if (!in.ok())
            return open_fault(0);
        if (type != kCapabilitiesParameter)
            return open_fault(open_error::kParameter);
        if (!decode_capabilities(ByteReader(value), caps))
            return open_fault(0);
    }
    return std::nullopt;
}

void encode_graceful_restart(const GracefulRestart& gr, ByteWriter& out)
{
    const auto time =
        static_cast<std::uint16_t>(std::min(gr.restart_time, kMaxRestartTime).count());
    const auto flags = static_cast<std::uint16_t>((gr.restarting ? kRestartStateBit : 0) |
                                                  (gr.notification ? kNotificationBit : 0));
    out.u8(kGracefulRestart);
    out.u8(static_cast<std::uint8_t>(2 + 4 * gr.entries.size()));
    out.u16(static_cast<std::uint16_t>(time | flags));
    for (const auto& entry : gr.entries) {
        out.u16(entry.family.afi);
        out.u8(entry.family.safi);
        out.u8(entry.forwarding ? kForwardingBit : 0);
    }
}

void encode_extended_next_hop(const Capabilities& caps, ByteWriter& out)
{
    if (caps.ipv6_next_hop.empty())
        return;
    out.u8(kExtendedNextHop);
    out.u8(static_cast<std::uint8_t>(6 * caps.ipv6_next_hop.size()));
    for (const Family& family : caps.ipv6_next_hop) {
        out.u16(family.afi);
        out.u16(family.safi);
        out.u16(kAfiIpv6);
    }
}

void encode_add_path(const Capabilities& caps, ByteWriter& out)
{
    if (caps.add_path.empty())
        return;
    out.u8(kAddPath);
    out.u8(static_cast<std::uint8_t>(4 * caps.add_path.size()));
    for (const AddPath& entry : caps.add_path) {
        out.u16(entry.family.afi);
        out.u8(entry.family.safi);
        out.u8(
            static_cast<std::uint8_t>((entry.receive ? kReceives : 0) | (entry.send ? kSends : 0)));
    }
}

void encode_capabilities(const Capabilities& caps, ByteWriter& out)
{
    for (const Family& family : caps.families) {
        out.u8(kMultiprotocol);
        out.u8(4);
        out.u16(family.afi);
        out.u8(0);
        out.u8(family.safi);
    }
    if (caps.route_refresh) {
        out.u8(kRouteRefresh);
        out.u8(0);
    }
    if (caps.enhanced_refresh) {
        out.u8(kEnhancedRefresh);
        out.u8(0);
    }
    if (caps.extended_message) {
        out.u8(kExtendedMessage);
        out.u8(0);
    }
    encode_extended_next_hop(caps, out);
    encode_add_path(caps, out);
    if (caps.graceful_restart)
        encode_graceful_restart(*caps.graceful_restart, out);
    if (caps.four_octet_as) {
        out.u8(kFourOctetAs);
        out.u8(4);
        out.u32(caps.four_octet_as->value);
    }
}

} // namespace

bool GracefulRestart::covers(Family family) const
{
    return std::ranges::any_of(entries, [&](const Entry& e) { return e.family == family; });
}

bool GracefulRestart::forwarding_kept(Family family) const
{
    return std::ranges::any_of(entries,
                               [&](const Entry& e) { return e.family == family && e.forwarding; });
}

bool Capabilities::carries(Family family) const
{
    if (families.empty())
        return family == kIpv4Unicast;
    return std::ranges::find(families, family) != families.end();
}

const char* name_of(Family family)
{
    if (family == kIpv4Unicast)
        return "IPv4 unicast";
    return family == kIpv6Unicast ? "IPv6 unicast" : "another family";
}

AddPath Capabilities::add_path_of(Family family) const
{
    const auto found = std::ranges::find(add_path, family, &AddPath::family);
    return found == add_path.end() ? AddPath{family} : *found;
}

bool Capabilities::takes_ipv6_next_hops(Family family) const
{
    return std::ranges::find(ipv6_next_hop, family) != ipv6_next_hop.end();
}

std::variant<Open, Notify> decode_open(ByteView body)
{
    ByteReader in(body);
    Open open;
    const std::uint8_t version = in.u8();
    open.as = Asn{in.u16()};
    open.hold_time = Seconds(in.u16());
    open.identifier = Ipv4(in.u32());
    std::size_t parameters_length = in.u8();
    if (!in.ok())
        return open_fault(0);
    if (version != kVersion)
        return open_fault(open_error::kVersion, {0, kVersion});
    // RFC 9072 section 2; the first length need not be 255.
    const bool wide = parameters_length > 0 && !in.at_end() && in.rest().front() == kExtendedLength;
    if (wide) {
        in.u8();
        parameters_length = in.u16();
    }
    if (!in.ok() || parameters_length != in.left())
        return open_fault(0);
    if (const auto fault = decode_parameters(in, wide, open.capabilities))
        return *fault;
    if (open.hold_time != Seconds(0) && open.hold_time < kShortestHoldTime)
        return open_fault(open_error::kHoldTime);
    if (open.identifier.is_zero()) // RFC 6286
        return open_fault(open_error::kBadIdentifier);
    const Asn narrow = open.as;
    if (open.capabilities.four_octet_as)
        open.as = *open.capabilities.four_octet_as;
    // RFC 6793 4.1: the narrow one is the same, or stands for it. RFC 7607: it is not 0.
    if ((narrow != open.as && narrow != kAsTrans) || open.as == Asn{0})
        return open_fault(open_error::kBadPeerAs);
    return open;
}

void encode_open(const Open& open, Bytes& body)
{
    const Asn narrow = open.as.fits_two_octets() ? open.as : kAsTrans;
    ByteWriter out(body);
    out.u8(kVersion);
    out.u16(static_cast<std::uint16_t>(narrow.value));
    out.u16(static_cast<std::uint16_t>(open.hold_time.count()));
    out.u32(open.identifier.value());
    Bytes bytes;
    ByteWriter capabilities(bytes);
    encode_capabilities(open.capabilities, capabilities);
    const std::size_t size = bytes.size();
    if (size == 0) {
        out.u8(0); // no parameters at all: the peer may know none (RFC 5492 section 3)
    } else if (size + 2 < kExtendedLength) {
        out.u8(static_cast<std::uint8_t>(size + 2));
        out.u8(kCapabilitiesParameter);
        out.u8(static_cast<std::uint8_t>(size));
    } else { // RFC 9072 section 2
        out.u8(kExtendedLength);
        out.u8(kExtendedLength);
        out.u16(static_cast<std::uint16_t>(size + 3));
        out.u8(kCapabilitiesParameter);
        out.u16(static_cast<std::uint16_t>(size));
    }
    out.bytes(bytes);
}

} // namespace margay::bgp
