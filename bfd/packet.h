// SPDX-License-Identifier: Apache-2.0
// The BFD Control packet (RFC 5880 section 4.1) as a value, and the reasons to refuse one.
//
// The checks of RFC 5880 6.8.6 that need the packet alone are decode()'s, in its order; those that
// need a session are Session::receive()'s, and finding the session is the monitor's.

#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <variant>

namespace margay::bfd {

inline constexpr std::size_t kPacketSize = 24; // without an authentication section
inline constexpr std::uint8_t kVersion = 1;
// Intervals are numbers of microseconds in four octets.
inline constexpr std::chrono::microseconds kMaxInterval{0xffffffff};

enum class State : std::uint8_t { AdminDown = 0, Down = 1, Init = 2, Up = 3 };
const char* name_of(State state);

// Codes that RFC 5880 does not know are kept as they are.
enum class Diag : std::uint8_t {
    None = 0,
    DetectionTimeExpired = 1,
    EchoFailed = 2,
    NeighborSignaledDown = 3,
    ForwardingPlaneReset = 4,
    PathDown = 5,
    ConcatenatedPathDown = 6,
    AdminDown = 7,
    ReverseConcatenatedPathDown = 8,
};
const char* name_of(Diag diag);

struct Packet {
    State state = State::Down;
    Diag diag = Diag::None;
    bool poll = false;
    bool final = false;
    bool control_plane_independent = false;
    bool authenticated = false; // there is an authentication section; it is not read
    bool demand = false;
    std::uint8_t detect_mult = 3;
    std::uint32_t my_discriminator = 0;
    std::uint32_t your_discriminator = 0;
    std::chrono::microseconds desired_min_tx{0};
    std::chrono::microseconds required_min_rx{0};
    std::chrono::microseconds required_min_echo_rx{0};

    bool operator==(const Packet&) const = default;
};

// Why a packet was dropped; also the index of its counter.
enum class Reject : std::uint8_t {
    // by decode()
    Short,
    Version,
    Length,
    DetectMult,
    Multipoint,
    MyDiscriminator,
    YourDiscriminator,
    // by the monitor
    UnknownSession,
    UnknownSource,
    Ttl,
    // by Session::receive()
    Authentication,
    AdminDown,
};
inline constexpr std::size_t kRejects = 12;
const char* name_of(Reject reject);

// `payload` is all of the datagram; octets behind the packet's own length are ignored.
std::variant<Packet, Reject> decode(std::span<const std::uint8_t> payload);

using PacketBytes = std::array<std::uint8_t, kPacketSize>;
// Has no authentication section, whatever the packet says.
PacketBytes encode(const Packet& packet);

} // namespace margay::bfd
