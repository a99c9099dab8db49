// SPDX-License-Identifier: Apache-2.0
#include "bgp/wire/open.h"

#include <algorithm>

namespace margay::bgp {
namespace {

constexpr std::uint8_t kVersion = 4;
constexpr std::uint8_t kCapabilitiesParameter = 2;
constexpr Seconds kShortestHoldTime{3};

enum Capability : std::uint8_t {
    kMultiprotocol = 1,
    kRouteRefresh = 2,
    kGracefulRestart = 64,
    kFourOctetAs = 65,
};
constexpr std::uint16_t kRestartStateBit = 0x8000;
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

std::optional<Notify> decode_parameters(ByteReader in, Capabilities& caps)
{
    while (!in.at_end()) {
        const std::uint8_t type = in.u8();
        const ByteView value = in.take(in.u8());
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
    out.u8(kGracefulRestart);
    out.u8(static_cast<std::uint8_t>(2 + 4 * gr.entries.size()));
    out.u16(static_cast<std::uint16_t>(time | (gr.restarting ? kRestartStateBit : 0)));
    for (const auto& entry : gr.entries) {
        out.u16(entry.family.afi);
        out.u8(entry.family.safi);
        out.u8(entry.forwarding ? kForwardingBit : 0);
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

std::variant<Open, Notify> decode_open(ByteView body)
{
    ByteReader in(body);
    Open open;
    const std::uint8_t version = in.u8();
    open.as = Asn{in.u16()};
    open.hold_time = Seconds(in.u16());
    open.identifier = Ipv4(in.u32());
    const std::uint8_t parameters_length = in.u8();
    if (!in.ok())
        return open_fault(0);
    if (version != kVersion)
        return open_fault(open_error::kVersion, {0, kVersion});
    if (parameters_length != in.left())
        return open_fault(0);
    if (const auto fault = decode_parameters(in, open.capabilities))
        return *fault;
    if (open.hold_time != Seconds(0) && open.hold_time < kShortestHoldTime)
        return open_fault(open_error::kHoldTime);
    if (open.identifier.is_zero()) // RFC 6286
        return open_fault(open_error::kBadIdentifier);
    if (open.capabilities.four_octet_as)
        open.as = *open.capabilities.four_octet_as;
    if (open.as == Asn{0}) // RFC 7607
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
    const std::size_t length_at = out.size();
    out.u8(0);
    out.u8(kCapabilitiesParameter);
    out.u8(0);
    encode_capabilities(open.capabilities, out);
    const std::size_t parameter = out.size() - length_at - 1;
    out.patch_u8(length_at, parameter);
    out.patch_u8(length_at + 2, parameter - 2);
}

} // namespace margay::bgp
