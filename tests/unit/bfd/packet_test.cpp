// SPDX-License-Identifier: Apache-2.0
#include "bfd/packet.h"

#include <gmock/gmock.h>

#include <random>
#include <vector>

namespace margay::bfd {
namespace {

using namespace std::chrono_literals;
using Bytes = std::vector<std::uint8_t>;

// Every field differs from every other and from its default.
Packet full_packet()
{
    Packet packet;
    packet.state = State::Up;
    packet.diag = Diag::PathDown;
    packet.poll = true;
    packet.control_plane_independent = true;
    packet.detect_mult = 7;
    packet.my_discriminator = 0x01020304;
    packet.your_discriminator = 0x05060708;
    packet.desired_min_tx = 300ms;
    packet.required_min_rx = 200ms;
    packet.required_min_echo_rx = 50ms;
    return packet;
}

const Bytes kFull{
    0x25, 0xe8, 7,    24,   1, 2,
    3,    4,    5,    6,    7, 8, // version and diag, state and flags, mult, length
    0x00, 0x04, 0x93, 0xe0,                    // 300,000 us
    0x00, 0x03, 0x0d, 0x40,                    // 200,000 us
    0x00, 0x00, 0xc3, 0x50,                    // 50,000 us
};

// What decode() says to the full packet after `change`.
template <typename Change>
std::string verdict(Change change)
{
    Bytes bytes = kFull;
    change(bytes);
    const auto decoded = decode(bytes);
    const auto* reject = std::get_if<Reject>(&decoded);
    return reject ? name_of(*reject) : "taken";
}

TEST(PacketTest, layout_is_that_of_rfc_5880)
{
    const PacketBytes bytes = encode(full_packet());
    EXPECT_EQ(Bytes(bytes.begin(), bytes.end()), kFull);
    const auto decoded = decode(kFull);
    ASSERT_TRUE(std::holds_alternative<Packet>(decoded));
    EXPECT_EQ(std::get<Packet>(decoded), full_packet());
}

TEST(PacketTest, each_flag_and_state_survives_the_way)
{
    for (unsigned bits = 0; bits < 256; ++bits) {
        if (bits & 0x05)
            continue; // authenticated, multipoint: not ours to send
        Bytes bytes = kFull;
        bytes[1] = static_cast<std::uint8_t>(bits);
        const auto decoded = decode(bytes);
        ASSERT_TRUE(std::holds_alternative<Packet>(decoded)) << bits;
        const Packet& packet = std::get<Packet>(decoded);
        EXPECT_EQ(static_cast<unsigned>(packet.state), bits >> 6);
        EXPECT_EQ(packet.poll, (bits & 0x20) != 0);
        EXPECT_EQ(packet.final, (bits & 0x10) != 0);
        EXPECT_EQ(packet.control_plane_independent, (bits & 0x08) != 0);
        EXPECT_EQ(packet.demand, (bits & 0x02) != 0);
        EXPECT_EQ(encode(packet)[1], bits);
    }
}

TEST(PacketTest, intervals_are_cut_to_what_four_octets_hold)
{
    Packet packet = full_packet();
    packet.desired_min_tx = 5000s;
    packet.required_min_rx = -1us;
    const auto decoded = decode(encode(packet));
    EXPECT_EQ(std::get<Packet>(decoded).desired_min_tx, kMaxInterval);
    EXPECT_EQ(std::get<Packet>(decoded).required_min_rx, 0us);
}

TEST(PacketTest, every_truncation_is_refused)
{
    for (std::size_t size = 0; size < kPacketSize; ++size) {
        const auto decoded = decode(std::span(kFull).first(size));
        ASSERT_TRUE(std::holds_alternative<Reject>(decoded)) << size;
        EXPECT_EQ(std::get<Reject>(decoded), Reject::Short) << size;
    }
}

// RFC 5880 6.8.6.
TEST(PacketTest, each_rule_of_reception_refuses_what_breaks_it)
{
    EXPECT_EQ(verdict([](Bytes&) {}), "taken");
    for (const int version : {0, 2, 7})
        EXPECT_EQ(verdict([&](Bytes& b) { b[0] = static_cast<std::uint8_t>(version << 5 | 5); }),
                  "BFD version is not 1");
    EXPECT_EQ(verdict([](Bytes& b) { b[3] = 23; }), "length does not fit");
    EXPECT_EQ(verdict([](Bytes& b) { b[3] = 0; }), "length does not fit");
    EXPECT_EQ(verdict([](Bytes& b) { b[3] = 25; }), "length does not fit");
    EXPECT_EQ(verdict([](Bytes& b) { b[2] = 0; }), "detect multiplier is 0");
    EXPECT_EQ(verdict([](Bytes& b) { b[1] |= 0x01; }), "multipoint");
    EXPECT_EQ(verdict([](Bytes& b) { b[4] = b[5] = b[6] = b[7] = 0; }),
              "no discriminator of the sender");
}

TEST(PacketTest, without_our_discriminator_only_a_peer_that_is_down_may_speak)
{
    for (const unsigned state : {0u, 1u, 2u, 3u})
        EXPECT_EQ(verdict([&](Bytes& b) {
                      b[8] = b[9] = b[10] = b[11] = 0;
                      b[1] = static_cast<std::uint8_t>(state << 6);
                  }),
                  state < 2 ? "taken" : "no discriminator of ours in state Init or Up");
}

TEST(PacketTest, authenticated_packet_needs_room_for_its_section_and_says_that_it_is_one)
{
    const auto authenticate = [](Bytes& b, std::uint8_t length) {
        b[1] |= 0x04;
        b[3] = length;
        b.resize(length);
    };
    EXPECT_EQ(verdict([&](Bytes& b) { authenticate(b, 24); }), "length does not fit");
    EXPECT_EQ(verdict([&](Bytes& b) { authenticate(b, 25); }), "length does not fit");
    Bytes bytes = kFull;
    authenticate(bytes, 26);
    const auto decoded = decode(bytes);
    ASSERT_TRUE(std::holds_alternative<Packet>(decoded));
    EXPECT_TRUE(std::get<Packet>(decoded).authenticated);
}

TEST(PacketTest, the_first_rule_that_is_broken_is_the_one_that_is_named)
{
    EXPECT_EQ(verdict([](Bytes& b) { b[0] = 0, b[3] = 0; }), "BFD version is not 1");
    EXPECT_EQ(verdict([](Bytes& b) { b[3] = 0, b[2] = 0; }), "length does not fit");
    EXPECT_EQ(verdict([](Bytes& b) { b[2] = 0, b[1] |= 1; }), "detect multiplier is 0");
    EXPECT_EQ(verdict([](Bytes& b) { b[1] |= 1, b[4] = b[5] = b[6] = b[7] = 0; }), "multipoint");
    EXPECT_EQ(verdict([](Bytes& b) { std::fill(b.begin() + 4, b.begin() + 12, 0); }),
              "no discriminator of the sender");
}

TEST(PacketTest, octets_behind_the_packet_mean_nothing)
{
    Bytes bytes = kFull;
    bytes.resize(300, 0xff);
    const auto decoded = decode(bytes);
    ASSERT_TRUE(std::holds_alternative<Packet>(decoded));
    EXPECT_EQ(std::get<Packet>(decoded), full_packet());
}

TEST(PacketTest, random_octets_are_refused_or_are_a_packet_that_keeps_the_rules)
{
    std::mt19937 random(5880);
    int taken = 0;
    for (int i = 0; i < 200'000; ++i) {
        Bytes bytes(random() % 40);
        for (std::uint8_t& byte : bytes)
            byte = static_cast<std::uint8_t>(random());
        if (bytes.size() > 3) { // else next to nothing would pass the first two rules
            bytes[0] = static_cast<std::uint8_t>((bytes[0] & 0x1f) | 0x20);
            bytes[3] = static_cast<std::uint8_t>(20 + bytes[3] % 20);
        }
        const auto decoded = decode(bytes);
        const auto* packet = std::get_if<Packet>(&decoded);
        if (!packet)
            continue;
        ++taken;
        ASSERT_GE(bytes.size(), kPacketSize);
        ASSERT_NE(packet->my_discriminator, 0u);
        ASSERT_NE(packet->detect_mult, 0);
        EXPECT_NE(std::string(name_of(packet->state)), "");
        EXPECT_NE(std::string(name_of(packet->diag)), "");
    }
    EXPECT_GT(taken, 1000);
}

} // namespace
} // namespace margay::bfd
