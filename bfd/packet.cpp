// SPDX-License-Identifier: Apache-2.0
#include "bfd/packet.h"

#include <algorithm>

namespace margay::bfd {
namespace {

using std::chrono::microseconds;
using Fixed = std::span<const std::uint8_t, kPacketSize>;

constexpr std::size_t kMinAuthenticated = 26; // with the head of an authentication section

// Bits of the second octet, below the state.
constexpr unsigned kPoll = 0x20, kFinal = 0x10, kControlPlaneIndependent = 0x08,
                   kAuthenticated = 0x04, kDemand = 0x02, kMultipoint = 0x01;

// Offsets of the four-octet fields.
constexpr std::size_t kMyDiscriminator = 4, kYourDiscriminator = 8, kDesiredMinTx = 12,
                      kRequiredMinRx = 16, kRequiredMinEchoRx = 20;

// The offset is checked when it is compiled.
template <std::size_t At>
std::uint32_t number(Fixed bytes)
{
    std::uint32_t value = 0;
    for (const std::uint8_t byte : bytes.subspan<At, 4>())
        value = value << 8 | byte;
    return value;
}

template <std::size_t At>
void put(PacketBytes& bytes, std::uint32_t value)
{
    const std::span<std::uint8_t, kPacketSize> all(bytes);
    for (std::uint8_t& byte : all.subspan<At, 4>()) {
        byte = static_cast<std::uint8_t>(value >> 24);
        value <<= 8;
    }
}

std::uint32_t on_the_wire(microseconds interval)
{
    return static_cast<std::uint32_t>(std::clamp(interval, microseconds(0), kMaxInterval).count());
}

unsigned flag(bool set, unsigned bit)
{
    return set ? bit : 0;
}

Packet fields_of(Fixed bytes)
{
    const unsigned flags = bytes[1];
    Packet packet;
    packet.diag = static_cast<Diag>(bytes[0] & 0x1f);
    packet.state = static_cast<State>(flags >> 6);
    packet.poll = flags & kPoll;
    packet.final = flags & kFinal;
    packet.control_plane_independent = flags & kControlPlaneIndependent;
    packet.authenticated = flags & kAuthenticated;
    packet.demand = flags & kDemand;
    packet.detect_mult = bytes[2];
    packet.my_discriminator = number<kMyDiscriminator>(bytes);
    packet.your_discriminator = number<kYourDiscriminator>(bytes);
    packet.desired_min_tx = microseconds(number<kDesiredMinTx>(bytes));
    packet.required_min_rx = microseconds(number<kRequiredMinRx>(bytes));
    packet.required_min_echo_rx = microseconds(number<kRequiredMinEchoRx>(bytes));
    return packet;
}

} // namespace

const char* name_of(State state)
{
    constexpr const char* kNames[] = {"AdminDown", "Down", "Init", "Up"};
    return kNames[static_cast<std::size_t>(state)];
}

const char* name_of(Diag diag)
{
    constexpr const char* kNames[] = {"no diagnostic",
                                      "control detection time expired",
                                      "echo function failed",
                                      "neighbor signaled session down",
                                      "forwarding plane reset",
                                      "path down",
                                      "concatenated path down",
                                      "administratively down",
                                      "reverse concatenated path down"};
    const auto code = static_cast<std::size_t>(diag);
    return code < std::size(kNames) ? kNames[code] : "unknown diagnostic";
}

const char* name_of(Reject reject)
{
    constexpr const char* kNames[kRejects] = {
        "shorter than a BFD packet",
        "BFD version is not 1",
        "length does not fit",
        "detect multiplier is 0",
        "multipoint",
        "no discriminator of the sender",
        "no discriminator of ours in state Init or Up",
        "unknown discriminator",
        "unknown source",
        "came from too many hops away",
        "authenticated, and nothing is agreed on",
        "our session is administratively down",
    };
    return kNames[static_cast<std::size_t>(reject)];
}

// RFC 5880 6.8.6 down to what needs a session.
std::variant<Packet, Reject> decode(std::span<const std::uint8_t> payload)
{
    if (payload.size() < kPacketSize)
        return Reject::Short; // the length that it claims can only be wrong
    const Fixed bytes = payload.first<kPacketSize>();
    if (bytes[0] >> 5 != kVersion)
        return Reject::Version;
    const Packet packet = fields_of(bytes);
    const std::size_t length = bytes[3];
    if (length < (packet.authenticated ? kMinAuthenticated : kPacketSize) ||
        length > payload.size())
        return Reject::Length;
    if (packet.detect_mult == 0)
        return Reject::DetectMult;
    if (bytes[1] & kMultipoint)
        return Reject::Multipoint;
    if (packet.my_discriminator == 0)
        return Reject::MyDiscriminator;
    if (packet.your_discriminator == 0 && packet.state >= State::Init)
        return Reject::YourDiscriminator;
    return packet;
}

PacketBytes encode(const Packet& packet)
{
    PacketBytes bytes{};
    bytes[0] = static_cast<std::uint8_t>(kVersion << 5 | static_cast<unsigned>(packet.diag));
    bytes[1] =
        static_cast<std::uint8_t>(static_cast<unsigned>(packet.state) << 6 |
                                  flag(packet.poll, kPoll) | flag(packet.final, kFinal) |
                                  flag(packet.control_plane_independent, kControlPlaneIndependent) |
                                  flag(packet.demand, kDemand));
    bytes[2] = packet.detect_mult;
    bytes[3] = kPacketSize;
    put<kMyDiscriminator>(bytes, packet.my_discriminator);
    put<kYourDiscriminator>(bytes, packet.your_discriminator);
    put<kDesiredMinTx>(bytes, on_the_wire(packet.desired_min_tx));
    put<kRequiredMinRx>(bytes, on_the_wire(packet.required_min_rx));
    put<kRequiredMinEchoRx>(bytes, on_the_wire(packet.required_min_echo_rx));
    return bytes;
}

} // namespace margay::bfd
