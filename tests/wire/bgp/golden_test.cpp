// SPDX-License-Identifier: Apache-2.0
// Messages recorded from other speakers, octet for octet, and what they mean.
//
// Each stream is what the daemon sent first on a session: OPEN, KEEPALIVE, its routes,
// End-of-RIB. BIRD 2.0.12, FRR 8.4.4 and GoBGP 3.10 as Debian 12 has them.

#include "bgp/wire/message.h"
#include "support/addresses.h"
#include "support/bgp/codec.h"

#include <gmock/gmock.h>

#include <string_view>

namespace margay::bgp {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::string_view kBird = // AS 64512, iBGP
    "ffffffffffffffffffffffffffffffff00390104fc00005a0a6300021c021a0104000100010200400600780001"
    "010041040000fc0046004700"
    "ffffffffffffffffffffffffffffffff001304"
    "ffffffffffffffffffffffffffffffff00520200000036400101004002004003040a63000240050400000064c0"
    "0804fc000007c010080002fc0000000003c0200c0000fc0000000001000000021a0a020000"
    "ffffffffffffffffffffffffffffffff0038020000001c400101004002004003040a6300028004040000000940"
    "0504000000641a0a020100"
    "ffffffffffffffffffffffffffffffff00170200000000";

constexpr std::string_view kFrr = // AS 4200000002, eBGP, aggregates
    "ffffffffffffffffffffffffffffffff006201045ba0005a0a63000245020601040001000102028000020202"
    "000202460002064104fa56ea020202060002064504000101010206490402766d0002084006c07800010100"
    "0209470700010180000000"
    "ffffffffffffffffffffffffffffffff001304"
    "ffffffffffffffffffffffffffffffff00170200000000"
    "ffffffffffffffffffffffffffffffff0044020000002a40010100500200060201fa56ea024003040a630002"
    "80040400000000400600c00708fa56ea020a630002100a02"
    "ffffffffffffffffffffffffffffffff003f020000002340010100500200060201fa56ea024003040a630002"
    "80040400000003c00804fc0000071a0a020000";

constexpr std::string_view kGobgp = // AS 65002, eBGP, with AIGP, which we do not know
    "ffffffffffffffffffffffffffffffff00430104fdea005a0a6300022602240200490402766d000104000100"
    "0141040000fdea40060014000101000506000100010002"
    "ffffffffffffffffffffffffffffffff001304"
    "ffffffffffffffffffffffffffffffff004c02000000304001010240020602010000fdea4003040a63000280"
    "040400000005c00804fc000007801a0b01000b000000000000000a1a0a020000"
    "ffffffffffffffffffffffffffffffff003002000000144001010240020602010000fdea4003040a6300021a"
    "0a020100"
    "ffffffffffffffffffffffffffffffff00170200000000";

Bytes from_hex(std::string_view hex)
{
    Bytes bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
        bytes.push_back(
            static_cast<std::uint8_t>(std::stoul(std::string(hex.substr(i, 2)), nullptr, 16)));
    return bytes;
}

struct Recorded {
    std::optional<Open> open;
    int keepalives = 0;
    std::vector<Update> updates;
};

Recorded replay(std::string_view hex, bool internal)
{
    const Bytes stream = from_hex(hex);
    Recorded recorded;
    for (ByteView rest(stream); !rest.empty();) {
        const auto next = next_frame(rest);
        const Frame* frame = std::get_if<Frame>(&next);
        if (!frame) {
            ADD_FAILURE() << "framing";
            break;
        }
        if (frame->type == MessageType::Open)
            recorded.open = std::get<Open>(decode_open(frame->body));
        if (frame->type == MessageType::Keepalive)
            ++recorded.keepalives;
        if (frame->type == MessageType::Update)
            recorded.updates.push_back(
                std::get<Update>(decode_update(frame->body, WireSession{internal, true})));
        rest = rest.subspan(frame->size);
    }
    return recorded;
}

TEST(Golden, bird_opens_with_graceful_restart_and_sends_three_kinds_of_communities)
{
    const Recorded bird = replay(kBird, true);
    ASSERT_TRUE(bird.open);
    EXPECT_EQ(bird.open->as, Asn{64512});
    EXPECT_EQ(bird.open->hold_time, Seconds(90));
    EXPECT_EQ(bird.open->identifier.str(), "10.99.0.2");
    EXPECT_TRUE(bird.open->capabilities.route_refresh);
    const GracefulRestart expected{false, Seconds(120), {{kIpv4Unicast, false}}};
    EXPECT_EQ(bird.open->capabilities.graceful_restart, expected);
    EXPECT_EQ(bird.keepalives, 1);

    ASSERT_EQ(bird.updates.size(), 3u);
    const Reach<Prefix4>& first = bird.updates[0].ipv4.announced.at(0);
    EXPECT_THAT(first.prefixes, ElementsAre(prefix("10.2.0.0/26")));
    EXPECT_EQ(first.attributes->origin, Origin::Igp);
    EXPECT_EQ(first.attributes->decode().as_path.length(), 0u);
    EXPECT_EQ(first.attributes->next_hop.str(), "10.99.0.2");
    EXPECT_EQ(first.attributes->local_pref, 100u);
    EXPECT_THAT(first.attributes->decode().communities, ElementsAre(0xfc000007u));
    EXPECT_THAT(first.attributes->decode().others,
                ElementsAre(RawAttribute{0xc0, 16, {0, 2, 0xfc, 0, 0, 0, 0, 3}},
                            RawAttribute{0xc0, 32, {0, 0, 0xfc, 0, 0, 0, 0, 1, 0, 0, 0, 2}}));
    EXPECT_EQ(bird.updates[1].ipv4.announced.at(0).attributes->med, 9u);
    EXPECT_EQ(bird.updates[2].end_of_rib, kIpv4Unicast);
}

TEST(Golden, frr_opens_with_one_parameter_a_capability_and_sends_an_aggregate)
{
    const Recorded frr = replay(kFrr, false);
    ASSERT_TRUE(frr.open);
    EXPECT_EQ(frr.open->as, Asn{4200000002}) << "AS_TRANS stands in the header";
    ASSERT_TRUE(frr.open->capabilities.graceful_restart);
    EXPECT_TRUE(frr.open->capabilities.graceful_restart->restarting);
    EXPECT_EQ(frr.open->capabilities.graceful_restart->restart_time, Seconds(120));
    EXPECT_THAT(frr.open->capabilities.families, ElementsAre(kIpv4Unicast));

    ASSERT_EQ(frr.updates.size(), 3u);
    EXPECT_EQ(frr.updates[0].end_of_rib, kIpv4Unicast) << "it has nothing to say at first";
    const Reach<Prefix4>& aggregate = frr.updates[1].ipv4.announced.at(0);
    EXPECT_THAT(aggregate.prefixes, ElementsAre(prefix("10.2.0.0/16")));
    EXPECT_TRUE(aggregate.attributes->decode().atomic_aggregate);
    EXPECT_EQ(aggregate.attributes->decode().aggregator,
              (Aggregator{Asn{4200000002}, *Ipv4::parse("10.99.0.2")}));
    EXPECT_EQ(aggregate.attributes->decode().as_path.str(), "4200000002") << "extended length";
    EXPECT_THAT(frr.updates[2].ipv4.announced.at(0).attributes->decode().communities,
                ElementsAre(0xfc000007u));
    for (const Update& update : frr.updates)
        EXPECT_THAT(update.faults, IsEmpty());
}

TEST(Golden, gobgp_sends_a_non_transitive_attribute_that_is_dropped_in_silence)
{
    const Recorded gobgp = replay(kGobgp, false);
    ASSERT_TRUE(gobgp.open);
    EXPECT_EQ(gobgp.open->as, Asn{65002});
    EXPECT_EQ(gobgp.open->capabilities.graceful_restart->restart_time, Seconds(20));
    ASSERT_EQ(gobgp.updates.size(), 3u);
    const Attributes& first = gobgp.updates[0].ipv4.announced.at(0).attributes->decode();
    EXPECT_EQ(first.origin, Origin::Incomplete);
    EXPECT_EQ(first.med, 5u);
    EXPECT_THAT(first.others, IsEmpty());
    EXPECT_THAT(gobgp.updates[0].faults, IsEmpty());
    EXPECT_EQ(gobgp.updates[2].end_of_rib, kIpv4Unicast);
}

// What others wrote in the canonical form we write in the same octets.
TEST(Golden, our_encoder_writes_birds_routes_in_birds_octets)
{
    const Bytes stream = from_hex(kBird);
    for (ByteView rest(stream); !rest.empty();) {
        const auto frame = std::get<Frame>(next_frame(rest));
        const Bytes original(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(frame.size));
        rest = rest.subspan(frame.size);
        Bytes again;
        if (frame.type == MessageType::Keepalive)
            encode_keepalive(again);
        if (frame.type == MessageType::Update) {
            const auto update = std::get<Update>(decode_update(frame.body, WireSession{}));
            if (update.end_of_rib)
                encode_end_of_rib(kIpv4Unicast, again);
            for (const Reach<Prefix4>& reach : update.ipv4.announced)
                encode_announce(*reach.attributes, Rewrite{}, std::span(reach.prefixes), again);
        }
        if (frame.type != MessageType::Open) {
            EXPECT_EQ(again, original);
        }
    }
}

TEST(Golden, our_open_is_this)
{
    Open open;
    open.as = Asn{64512};
    open.hold_time = Seconds(240);
    open.identifier = *Ipv4::parse("10.0.0.1");
    open.capabilities.families = {kIpv4Unicast};
    open.capabilities.route_refresh = true;
    open.capabilities.four_octet_as = open.as;
    open.capabilities.graceful_restart =
        GracefulRestart{true, Seconds(120), {{kIpv4Unicast, true}}};
    Bytes message;
    encode_open_message(open, message);
    EXPECT_EQ(message, from_hex("ffffffffffffffffffffffffffffffff0035"
                                "0104fc0000f00a000001"
                                "180216"
                                "010400010001"
                                "0200"
                                "4006807800010180"
                                "41040000fc00"));
}

} // namespace
} // namespace margay::bgp
