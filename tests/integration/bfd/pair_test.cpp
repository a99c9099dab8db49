// SPDX-License-Identifier: Apache-2.0
// Monitors of ours against each other and against raw sockets.

#include "lab.h"

#include <random>
#include <set>

namespace margay::bfd::lab {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

SessionConfig multihop(SessionConfig config, std::uint8_t min_ttl = 1)
{
    config.multihop = true;
    config.min_ttl = min_ttl;
    return config;
}

struct PairTest : LabTest {
    Watch us{executor};
    Watch them{executor};

    void watch(const std::vector<SessionConfig>& sessions) { us.monitor().set_sessions(sessions); }
    void they_watch(const Netns& where, const std::vector<SessionConfig>& sessions)
    {
        inside(where, [&] { them.monitor().set_sessions(sessions); });
    }
    void meet() // the neighbour, over IPv4
    {
        watch({session_with("10.77.0.2", "10.77.0.1")});
        they_watch(*neighbour, {session_with("10.77.0.1", "10.77.0.2")});
        ASSERT_TRUE(until([&] { return us.up("10.77.0.2") && them.up("10.77.0.1"); }))
            << us.session("10.77.0.2").why_down;
    }
    // What a peer without a session of its own would say to ours.
    Packet hello(State state) const
    {
        Packet packet;
        packet.state = state;
        packet.my_discriminator = 4711;
        packet.desired_min_tx = 100ms;
        packet.required_min_rx = 100ms;
        return packet;
    }
};

TEST_F(PairTest, neighbours_meet_over_both_families_and_lose_each_other_with_the_link)
{
    watch({session_with("10.77.0.2", "10.77.0.1"), session_with("fd77::2", "fd77::1")});
    they_watch(*neighbour,
               {session_with("10.77.0.1", "10.77.0.2"), session_with("fd77::1", "fd77::2")});
    ASSERT_TRUE(until([&] { return us.up("10.77.0.2") && us.up("fd77::2"); }));
    ASSERT_TRUE(until([&] { return us.session("fd77::2").detection_time == 300ms; }));
    EXPECT_EQ(us.session("fd77::2").why_down, "");
    neighbour->must("ip link set eth1 down; tc qdisc add dev eth0 root netem loss 100% 2>/dev/null"
                    " || ip link set eth0 down");
    ASSERT_TRUE(until([&] { return !us.up("10.77.0.2") && !us.up("fd77::2"); }));
    EXPECT_THAT(us.said("10.77.0.2"), ::testing::EndsWith("Up, Down!"));
    EXPECT_THAT(us.said("fd77::2"), ::testing::EndsWith("Up, Down!"));
    EXPECT_EQ(us.session("10.77.0.2").diag, Diag::DetectionTimeExpired);
    EXPECT_EQ(us.session("10.77.0.2").failures, 1u);
}

TEST_F(PairTest, multihop_session_crosses_a_router_and_single_hop_does_not)
{
    SessionConfig direct = session_with("fd78::2", "fd77::1");
    watch({multihop(session_with("10.78.0.2", "10.77.0.1"), 254), direct});
    they_watch(*far, {multihop(session_with("10.77.0.1", "10.78.0.2"), 254),
                      session_with("fd77::1", "fd78::2")});
    ASSERT_TRUE(until([&] { return us.up("10.78.0.2") && them.up("10.77.0.1"); }));
    ASSERT_TRUE(until([&] { return us.drops(Reject::Ttl) > 1; }));
    EXPECT_EQ(us.state("fd78::2"), State::Down);
    EXPECT_GT(us.session("fd78::2").dropped, 1u);
    EXPECT_EQ(us.session("fd78::2").why_down,
              "packets of the peer are dropped: came from too many hops away");

    watch({multihop(session_with("10.78.0.2", "10.77.0.1"), 255), direct});
    EXPECT_TRUE(until([&] { return !us.up("10.78.0.2"); })) << "it may come from a neighbour only";
}

TEST_F(PairTest, packets_leave_as_rfc_5881_wants_them)
{
    Raw peer = inside(*neighbour, [] { return Raw(ip("10.77.0.2"), 3784); });
    Raw peer6 = inside(*neighbour, [] { return Raw(ip("fd77::2"), 3784); });
    neighbour->must("ip addr add 10.77.0.3/24 dev eth0");
    Raw other = inside(*neighbour, [] { return Raw(ip("10.77.0.3"), 3784); });
    watch({session_with("10.77.0.2", "10.77.0.1"), session_with("10.77.0.3", "10.77.0.1"),
           session_with("fd77::2", "fd77::1")});
    std::set<std::uint16_t> ports;
    std::set<std::uint32_t> discriminators;
    for (Raw* raw : {&peer, &peer6, &other}) {
        std::vector<Raw::Heard> heard;
        ASSERT_TRUE(until([&] {
            for (const auto& h : raw->hear())
                heard.push_back(h);
            return heard.size() >= 3;
        }));
        for (const auto& h : heard) {
            EXPECT_EQ(h.ttl, 255);
            EXPECT_EQ(h.port, heard[0].port) << "one port for the life of a session";
            EXPECT_GE(h.port, 49152);
            EXPECT_EQ(h.packet.desired_min_tx, 1s);
            EXPECT_EQ(h.packet.required_min_echo_rx, 0ms);
            EXPECT_FALSE(h.packet.demand);
        }
        ports.insert(heard[0].port);
        discriminators.insert(heard[0].packet.my_discriminator);
    }
    EXPECT_EQ(ports.size(), 3u);
    EXPECT_EQ(discriminators.size(), 3u);
}

TEST_F(PairTest, removed_session_is_no_failure_for_the_peer_and_may_come_again)
{
    meet();
    watch({});
    ASSERT_TRUE(until([&] { return !them.up("10.77.0.1"); }));
    EXPECT_THAT(them.said("10.77.0.1"), ::testing::EndsWith("Up, Down"));
    EXPECT_EQ(them.session("10.77.0.1").remote.state, State::AdminDown);
    EXPECT_EQ(them.session("10.77.0.1").why_down, "the peer has shut the session down");
    EXPECT_EQ(us.monitor().sessions().size(), 0u);
    EXPECT_THAT(us.said("10.77.0.2"), ::testing::EndsWith("Up")) << "who asked for it knows";
    watch({session_with("10.77.0.2", "10.77.0.1")});
    EXPECT_TRUE(until([&] { return us.up("10.77.0.2") && them.up("10.77.0.1"); }));
    EXPECT_EQ(them.session("10.77.0.1").failures, 0u);
}

TEST_F(PairTest, removal_ends_also_on_the_wire)
{
    Raw peer = inside(*neighbour, [] { return Raw(ip("10.77.0.2"), 3784); });
    watch({session_with("10.77.0.2", "10.77.0.1")});
    watch({});
    ASSERT_TRUE(until([&] {
        const auto heard = peer.hear();
        return !heard.empty() && heard.back().packet.state == State::AdminDown;
    }));
    run_for(4s);
    peer.hear();
    run_for(1500ms);
    EXPECT_TRUE(peer.hear().empty());
}

TEST_F(PairTest, end_of_the_monitor_is_no_failure_for_the_peer)
{
    meet();
    us.end();
    ASSERT_TRUE(until([&] { return !them.up("10.77.0.1"); }));
    EXPECT_THAT(them.said("10.77.0.1"), ::testing::EndsWith("Up, Down"));
}

TEST_F(PairTest, changed_timers_are_agreed_on_and_unchanged_sessions_are_left_alone)
{
    SessionConfig v4 = session_with("10.77.0.2", "10.77.0.1");
    const SessionConfig v6 = session_with("fd77::2", "fd77::1");
    watch({v4, v6});
    they_watch(*neighbour,
               {session_with("10.77.0.1", "10.77.0.2"), session_with("fd77::1", "fd77::2")});
    ASSERT_TRUE(until([&] { return us.up("10.77.0.2") && us.up("fd77::2"); }));
    const auto before = us.session("fd77::2").discriminator;
    const auto changed_before = us.session("10.77.0.2").discriminator;

    v4.parameters = Parameters{400ms, 50ms, 5};
    watch({v4, v6});
    ASSERT_TRUE(until([&] {
        return us.session("10.77.0.2").transmit_interval == 400ms &&
               them.session("10.77.0.1").detection_time == 2s;
    }));
    EXPECT_EQ(us.session("10.77.0.2").discriminator, changed_before);
    EXPECT_EQ(us.session("fd77::2").discriminator, before);
    EXPECT_EQ(us.session("10.77.0.2").failures + them.session("10.77.0.1").failures, 0u);
    EXPECT_EQ(us.said("fd77::2").find("Down"), std::string::npos);
}

TEST_F(PairTest, packet_that_passed_a_router_is_no_neighbours)
{
    watch({session_with("10.77.0.2", "10.77.0.1")});
    Raw cheat = inside(*neighbour, [] { return Raw(ip("10.77.0.2"), 50000, 254); });
    cheat.say(ip("10.77.0.1"), encode(hello(State::Down)));
    ASSERT_TRUE(until([&] { return us.drops(Reject::Ttl) == 1; }));
    EXPECT_EQ(us.state("10.77.0.2"), State::Down);
    Raw honest = inside(*neighbour, [] { return Raw(ip("10.77.0.2"), 50001, 255); });
    honest.say(ip("10.77.0.1"), encode(hello(State::Down)));
    EXPECT_TRUE(until([&] { return us.state("10.77.0.2") == State::Init; }));
}

TEST_F(PairTest, strangers_are_counted_and_change_nothing)
{
    meet();
    neighbour->must("ip addr add 10.77.0.3/24 dev eth0");
    we->must("ip addr add 10.77.0.9/24 dev eth0");
    Raw stranger = inside(*neighbour, [] { return Raw(ip("10.77.0.3"), 50000); });
    Raw peer = inside(*neighbour, [] { return Raw(ip("10.77.0.2"), 50000); });
    stranger.say(ip("10.77.0.1"), encode(hello(State::Down)));
    ASSERT_TRUE(until([&] { return us.drops(Reject::UnknownSource) == 1; }));
    peer.say(ip("10.77.0.9"), encode(hello(State::Down)));
    ASSERT_TRUE(until([&] { return us.drops(Reject::UnknownSource) == 2; }))
        << "to another address";
    Packet guess = hello(State::Down);
    guess.your_discriminator = us.session("10.77.0.2").discriminator + 1;
    peer.say(ip("10.77.0.1"), encode(guess));
    ASSERT_TRUE(until([&] { return us.drops(Reject::UnknownSession) == 1; }));
    EXPECT_EQ(us.session("10.77.0.2").failures, 0u);
    EXPECT_TRUE(us.up("10.77.0.2"));
}

// The ports of both kinds are not one: what came over a router must not be judged by the other's TTL.
TEST_F(PairTest, discriminator_of_a_single_hop_session_is_unknown_on_the_multihop_port)
{
    watch(
        {session_with("10.77.0.2", "10.77.0.1"), multihop(session_with("10.78.0.2", "10.77.0.1"))});
    Raw remote = inside(*far, [] { return Raw(ip("10.78.0.2"), 50000); });
    Packet packet = hello(State::Down);
    packet.your_discriminator = us.session("10.77.0.2").discriminator;
    remote.say(ip("10.77.0.1"), encode(packet), 4784);
    ASSERT_TRUE(until([&] { return us.drops(Reject::UnknownSession) == 1; }));
    EXPECT_EQ(us.state("10.77.0.2"), State::Down);
}

// RFC 5880 6.3.
TEST_F(PairTest, discriminator_alone_finds_the_session_once_the_peer_knows_it)
{
    watch({session_with("10.77.0.2", "10.77.0.1")});
    neighbour->must("ip addr add 10.77.0.3/24 dev eth0");
    Raw peer = inside(*neighbour, [] { return Raw(ip("10.77.0.3"), 50000); });
    Packet packet = hello(State::Down);
    packet.your_discriminator = us.session("10.77.0.2").discriminator;
    peer.say(ip("10.77.0.1"), encode(packet));
    EXPECT_TRUE(until([&] { return us.state("10.77.0.2") == State::Init; }));
}

TEST_F(PairTest, garbage_at_full_speed_costs_no_session)
{
    meet();
    Raw hostile = inside(*neighbour, [] { return Raw(ip("10.77.0.2"), 50000); });
    Raw hostile6 = inside(*neighbour, [] { return Raw(ip("fd77::2"), 50000); });
    std::mt19937 random(5881);
    const PacketBytes good = encode(hello(State::Up));
    for (int round = 0; round < 300; ++round) {
        for (std::size_t size = 0; size <= good.size(); ++size)
            hostile.say(ip("10.77.0.1"), std::span(good).first(size));
        for (int i = 0; i < 50; ++i) {
            std::vector<std::uint8_t> bytes(random() % 1400);
            for (auto& byte : bytes)
                byte = static_cast<std::uint8_t>(random());
            if (bytes.size() > 4 && random() % 2)
                std::copy(good.begin(), good.begin() + 4, bytes.begin());
            hostile.say(ip("10.77.0.1"), bytes);
            hostile6.say(ip("fd77::1"), bytes);
        }
        run_for(5ms);
    }
    EXPECT_TRUE(us.up("10.77.0.2"));
    EXPECT_EQ(us.session("10.77.0.2").failures + them.session("10.77.0.1").failures, 0u);
    EXPECT_GT(us.drops(Reject::Short), 1000u);
    EXPECT_GT(us.drops(Reject::YourDiscriminator), 100u);
}

TEST_F(PairTest, authenticated_packets_are_counted_and_change_nothing)
{
    watch({session_with("10.77.0.2", "10.77.0.1")});
    Raw peer = inside(*neighbour, [] { return Raw(ip("10.77.0.2"), 50000); });
    const PacketBytes plain = encode(hello(State::Down));
    std::vector<std::uint8_t> bytes(plain.begin(), plain.end());
    bytes.insert(bytes.end(), {1, 3, 1}); // a simple password of no length
    bytes[1] |= 0x04;
    bytes[3] = static_cast<std::uint8_t>(bytes.size());
    peer.say(ip("10.77.0.1"), bytes);
    ASSERT_TRUE(until([&] { return us.drops(Reject::Authentication) == 1; }));
    EXPECT_EQ(us.state("10.77.0.2"), State::Down);
}

TEST_F(PairTest, taken_port_is_said_and_tried_again)
{
    auto thief = std::make_unique<Raw>(ip("0.0.0.0"), std::uint16_t{3784});
    watch({session_with("10.77.0.2", "10.77.0.1")});
    they_watch(*neighbour, {session_with("10.77.0.1", "10.77.0.2")});
    EXPECT_THAT(us.session("10.77.0.2").why_down,
                HasSubstr("listen for BFD on IPv4 port 3784: Address already in use"));
    thief.reset();
    EXPECT_TRUE(until([&] { return us.up("10.77.0.2"); }));
}

TEST_F(PairTest, status_says_in_plain_words_why_a_session_is_down)
{
    we->must("ip route add unreachable 10.80.0.0/24");
    watch({session_with("10.77.0.2", "10.77.0.1"), session_with("10.77.0.77", "10.77.0.1"),
           session_with("10.80.0.1", "10.77.0.1"), session_with("10.77.0.5", "10.77.0.9")});
    const auto says = [&](const char* peer, const char* text) {
        EXPECT_TRUE(until([&] {
            return us.session(peer).why_down.find(text) != std::string::npos;
        })) << peer
            << ": " << us.session(peer).why_down;
    };
    says("10.77.0.2", "nobody listens at 10.77.0.2 port 3784");
    says("10.77.0.77", "no route to 10.77.0.77");
    says("10.80.0.1", "no route to 10.80.0.1");
    says("10.77.0.5", "cannot use local address 10.77.0.9");
    we->must("ip addr add 10.77.0.9/24 dev eth0");
    says("10.77.0.5", "no route to 10.77.0.5");
}

TEST_F(PairTest, what_cannot_be_a_session_is_left_out)
{
    const SessionConfig good = session_with("10.77.0.2", "10.77.0.1");
    const auto because = [&](auto change, const char* text) {
        SessionConfig bad = good;
        change(bad);
        const Status status = check(bad);
        ASSERT_FALSE(status);
        EXPECT_THAT(status.error().what, HasSubstr(text));
        watch({bad});
        EXPECT_TRUE(us.monitor().sessions().empty());
    };
    EXPECT_TRUE(check(good));
    because([](SessionConfig& c) { c.local = ip("fd77::1"); }, "of another family");
    because([](SessionConfig& c) { c.local = ip("0.0.0.0"); }, "both addresses are needed");
    because([](SessionConfig& c) { c.peer = ip("fe80::1"), c.local = ip("fd77::1"); },
            "link-local addresses are not supported");
    because([](SessionConfig& c) { c.parameters.detect_mult = 0; }, "at least 1");
    because([](SessionConfig& c) { c.parameters.min_tx = 9ms; }, "9000 us is not within");
    because([](SessionConfig& c) { c.parameters.min_rx = 4295s; }, "not within");
}

TEST_F(PairTest, callback_may_change_the_sessions_and_end_the_monitor)
{
    us.on_event = [&](const SessionEvent& event) {
        if (event.state == State::Up)
            watch({session_with("10.77.0.2", "10.77.0.1"), session_with("fd77::2", "fd77::1")});
        if (event.peer == ip("fd77::2"))
            us.end();
    };
    watch({session_with("10.77.0.2", "10.77.0.1")});
    they_watch(*neighbour,
               {session_with("10.77.0.1", "10.77.0.2"), session_with("fd77::1", "fd77::2")});
    EXPECT_TRUE(until([&] { return them.said("10.77.0.1").ends_with("Up, Down"); }));
}

} // namespace
} // namespace margay::bfd::lab
