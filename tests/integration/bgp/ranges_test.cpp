// SPDX-License-Identifier: Apache-2.0
// Dynamic neighbours: who may come from a range, what he becomes, how he is forgotten, and what strangers
// cannot do.

#include "support/bgp/hostile.h"
#include "support/bgp/lab_test.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <memory>

namespace margay::bgp::lab {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using namespace std::chrono_literals;

constexpr const char* kRange = "10.99.0.0/24";
constexpr const char* kSecondHost = "Dynamic_10_99_0_2";
constexpr const char* kRawName = "Dynamic_10_99_0_3";

PeerRange range_of(const char* prefix, Asn as = Asn{64512}, std::size_t limit = 10)
{
    PeerRange range;
    range.prefix = IpPrefix::parse(prefix).value();
    range.limit = limit;
    range.peer.name = "Dynamic";
    range.peer.remote_as = as;
    range.peer.idle_hold = 100ms;
    return range;
}

// A TCP connection to our speaker from an address, and nothing more.
struct Stranger {
    boost::asio::ip::tcp::socket socket;

    Stranger(Executor& executor, const std::string& from) : socket(executor)
    {
        using boost::asio::ip::tcp;
        socket.open(tcp::v4());
        socket.bind(tcp::endpoint(boost::asio::ip::make_address(from), 0));
        socket.connect(tcp::endpoint(
            boost::asio::ip::address_v4(lab_address(kOurHost).v4().value()), kOurPort4));
        socket.non_blocking(true);
    }
    bool ended()
    {
        char octets[4096];
        boost::system::error_code error;
        while (!error) // past the OPEN that came
            socket.read_some(boost::asio::buffer(octets), error);
        return error != boost::asio::error::would_block;
    }
};

struct RangesTest : LabTest {
    std::unique_ptr<Node> us;

    void SetUp() override
    {
        LabTest::SetUp();
        if (IsSkipped())
            return;
        us = std::make_unique<Node>(executor, kOurHost, kOurPort4);
        us->speaker().set_peers({});
        us->speaker().announcements_complete();
    }
    std::size_t peers() const { return us->speaker().peers().size(); }
    std::string refusal(int host) const
    {
        for (const RefusedConnection& refused : us->speaker().refused())
            if (refused.from == lab_address(host))
                return refused.why;
        return "";
    }
};

// A speaker at the second host that dials us.
PeerConfig towards_us()
{
    return peer_config(2, kOurHost, kOurPort4);
}

TEST_F(RangesTest, who_comes_from_a_range_is_a_peer_until_its_session_ends)
{
    us->speaker().set_ranges({range_of(kRange)});
    us->speaker().announce(net("10.1.0.0/26"));
    Node b(executor, 2, 0);
    b.speaker().announce(net("10.2.0.0/26"));
    b.speaker().announcements_complete();
    b.speaker().set_peers({towards_us()});
    ASSERT_TRUE(until([&] { return us->known() == 1 && b.known() == 1; })) << b.peer().why_down;
    const PeerStatus status = us->peer(kSecondHost);
    EXPECT_EQ(status.range, IpPrefix::parse(kRange));
    EXPECT_EQ(status.address, lab_address(2));
    EXPECT_EQ(status.remote_as, Asn{64512});
    EXPECT_EQ(us->speaker().routes().back().peer, kSecondHost);
    b.speaker().set_peers({});
    EXPECT_TRUE(until([&] { return peers() == 0 && us->known() == 0; }));
    EXPECT_THAT(us->speaker().refused(), IsEmpty());
}

TEST_F(RangesTest, routes_that_are_kept_for_a_restart_keep_their_neighbour)
{
    us->speaker().set_ranges({range_of(kRange)});
    auto b = std::make_unique<Node>(executor, 2, 0);
    b->speaker().announce(net("10.2.0.0/26"));
    b->speaker().announcements_complete();
    PeerConfig dial = towards_us();
    dial.restart_time = Seconds(2);
    b->speaker().set_peers({dial});
    ASSERT_TRUE(until([&] { return us->known() == 1; }));
    b.reset(); // without a word
    ASSERT_TRUE(until([&] { return us->peer(kSecondHost).routes_are_stale; }));
    EXPECT_EQ(us->known(), 1u);
    EXPECT_TRUE(until([&] { return peers() == 0 && us->known() == 0; })) << "its time is over";
    Node again(executor, 2, 0);
    again.speaker().set_peers({towards_us()});
    EXPECT_TRUE(until([&] { return us->up(kSecondHost); }));
}

TEST_F(RangesTest, who_comes_from_elsewhere_is_refused_and_named)
{
    us->speaker().set_ranges({range_of("10.99.0.0/31"), range_of("fd99::/64")});
    RawPeer raw(executor, kRawHost, kOurHost, kOurPort4);
    EXPECT_TRUE(until([&] {
        raw.hear();
        return raw.ended();
    }));
    EXPECT_EQ(peers(), 0u);
    EXPECT_THAT(refusal(kRawHost), HasSubstr("not a peer, nor in a range"));
    EXPECT_EQ(us->speaker().refused_connections(), 1u);
}

TEST_F(RangesTest, most_specific_range_counts)
{
    PeerRange narrow = range_of("10.99.0.2/31");
    narrow.peer.policy = "narrow";
    us->speaker().set_ranges(
        {range_of(kRange, Asn{65009}), narrow, range_of("10.99.0.0/16", Asn{65008})});
    Node b(executor, 2, 0);
    b.speaker().set_peers({towards_us()});
    ASSERT_TRUE(until([&] { return us->up(kSecondHost); }));
    EXPECT_EQ(us->peer(kSecondHost).range, narrow.prefix);
}

TEST_F(RangesTest, wrong_as_is_refused_and_what_it_was_is_said)
{
    PeerRange range = range_of(kRange, Asn{65010});
    range.peer.also_as = {Asn{65011}};
    us->speaker().set_ranges({range});
    RawPeer raw(executor, kRawHost, kOurHost, kOurPort4);
    raw.say(raw_greeting(kRawHost, kRawAs));
    ASSERT_TRUE(until([&] { return !refusal(kRawHost).empty(); }));
    EXPECT_THAT(refusal(kRawHost), HasSubstr("65001, configured is 65010 or 65011"));
    EXPECT_EQ(peers(), 0u);
    raw.messages();
    RawPeer again(executor, kRawHost, kOurHost, kOurPort4);
    again.say(raw_greeting(kRawHost, Asn{65011}));
    EXPECT_TRUE(until([&] { return us->up(kRawName); }));
    EXPECT_EQ(us->peer(kRawName).remote_as, Asn{65011});
}

TEST_F(RangesTest, any_external_as_is_any_but_ours)
{
    PeerRange range = range_of(kRange);
    range.peer.any_external_as = true;
    us->speaker().set_ranges({range});
    RawPeer raw(executor, kRawHost, kOurHost, kOurPort4);
    raw.say(raw_greeting(kRawHost, Asn{4200000000}));
    ASSERT_TRUE(until([&] { return us->up(kRawName); }));
    EXPECT_EQ(us->peer(kRawName).remote_as, Asn{4200000000});
    Node b(executor, 2, 0);
    b.speaker().set_peers({towards_us()});
    EXPECT_TRUE(until([&] { return refusal(2).find("any but 64512") != std::string::npos; }));
}

TEST_F(RangesTest, one_too_many_is_told_so_and_named)
{
    us->speaker().set_ranges({range_of(kRange, Asn{64512}, 1)});
    Node b(executor, 2, 0);
    b.speaker().set_peers({towards_us()});
    ASSERT_TRUE(until([&] { return us->up(kSecondHost); }));
    RawPeer raw(executor, kRawHost, kOurHost, kOurPort4);
    std::optional<Notify> told;
    EXPECT_TRUE(until([&] {
        for (const RawMessage& message : raw.messages())
            if (message.type == MessageType::Notification)
                told = decode_notification(message.body);
        return raw.ended();
    }));
    ASSERT_TRUE(told);
    EXPECT_EQ(describe(*told), "Connection Rejected (6/5)");
    EXPECT_THAT(refusal(kRawHost), HasSubstr("one too many: range 10.99.0.0/24 has its 1"));
    EXPECT_TRUE(us->up(kSecondHost));
    EXPECT_EQ(us->peer(kSecondHost).established_count, 1u);
}

TEST_F(RangesTest, who_only_connects_does_not_keep_others_out)
{
    us->speaker().set_ranges({range_of(kRange, Asn{64512}, 1)});
    RawPeer silent(executor, kRawHost, kOurHost, kOurPort4);
    ASSERT_TRUE(until([&] { return us->peer(kRawName).state == State::OpenSent; }));
    Node b(executor, 2, 0);
    b.speaker().set_peers({towards_us()});
    EXPECT_TRUE(until([&] { return us->up(kSecondHost); }));
    EXPECT_THAT(refusal(kRawHost), HasSubstr("gave way"));
    EXPECT_TRUE(until([&] {
        silent.hear();
        return silent.ended();
    }));
}

TEST_F(RangesTest, flood_of_strangers_is_bounded_and_does_not_touch_a_session)
{
    ASSERT_EQ(std::system("ip address add 10.98.0.1/16 dev lo"), 0);
    us->speaker().set_ranges({range_of(kRange), range_of("10.98.0.0/16", Asn{64512}, 1000)});
    Node b(executor, 2, 0);
    b.speaker().set_peers({towards_us()});
    ASSERT_TRUE(until([&] { return us->up(kSecondHost); }));
    std::vector<std::unique_ptr<Stranger>> flood;
    for (int i = 1; i <= 200; ++i) {
        flood.push_back(std::make_unique<Stranger>(executor, "10.98.1." + std::to_string(i)));
        run_for(executor, 1ms);
    }
    ASSERT_TRUE(until([&] { return us->speaker().refused_connections() >= 136; }));
    EXPECT_EQ(peers(), 65u);
    EXPECT_EQ(std::ranges::count_if(flood, [](auto& stranger) { return stranger->ended(); }), 136);
    EXPECT_THAT(us->speaker().refused(), SizeIs(64));
    EXPECT_EQ(us->peer(kSecondHost).established_count, 1u);
    flood.clear();
    EXPECT_TRUE(until([&] { return peers() == 1; })) << "nothing is left of those that went";
    EXPECT_EQ(std::system("ip address del 10.98.0.1/16 dev lo"), 0);
}

TEST_F(RangesTest, second_connection_of_a_neighbour_costs_one_place_and_no_session)
{
    us->speaker().set_ranges({range_of(kRange, kRawAs, 2)});
    RawPeer raw(executor, kRawHost, kOurHost, kOurPort4);
    raw.say(raw_greeting(kRawHost, kRawAs));
    ASSERT_TRUE(until([&] { return us->up(kRawName); }));
    std::vector<std::unique_ptr<RawPeer>> more;
    for (int i = 0; i < 20; ++i) {
        more.push_back(std::make_unique<RawPeer>(executor, kRawHost, kOurHost, kOurPort4));
        run_for(executor, 2ms);
    }
    EXPECT_EQ(peers(), 1u);
    EXPECT_EQ(us->peer(kRawName).established_count, 1u);
    EXPECT_TRUE(us->up(kRawName));
}

TEST_F(RangesTest, configured_peer_takes_the_place_of_a_neighbour)
{
    us->speaker().set_ranges({range_of(kRange)});
    Node b(executor, 2, 0);
    b.speaker().set_peers({towards_us()});
    ASSERT_TRUE(until([&] { return us->up(kSecondHost); }));
    PeerConfig configured = peer_config(kOurHost, 2, kOurPort4, "configured");
    configured.passive = true;
    us->speaker().set_peers({configured});
    EXPECT_TRUE(until([&] { return us->up("configured"); })) << b.peer().why_down;
    EXPECT_EQ(peers(), 1u);
}

TEST_F(RangesTest, ranges_that_change_end_the_sessions_that_they_concern_only)
{
    us->speaker().set_ranges({range_of("10.99.0.2/32"), range_of("10.99.0.3/32", kRawAs)});
    Node b(executor, 2, 0);
    b.speaker().set_peers({towards_us()});
    RawPeer raw(executor, kRawHost, kOurHost, kOurPort4);
    raw.say(raw_greeting(kRawHost, kRawAs));
    ASSERT_TRUE(until([&] { return us->up(kSecondHost) && us->up(kRawName); }));
    PeerRange other_policy = range_of("10.99.0.2/32");
    other_policy.peer.policy = "other";
    us->speaker().set_ranges({other_policy});
    EXPECT_EQ(peers(), 1u);
    EXPECT_TRUE(until([&] {
        raw.hear();
        return raw.ended();
    }));
    EXPECT_EQ(us->peer(kSecondHost).established_count, 1u);
    EXPECT_TRUE(us->up(kSecondHost)) << "another policy is no other session";
    us->speaker().set_peers({}); // what is configured is another list
    EXPECT_TRUE(us->up(kSecondHost));
}

TEST_F(RangesTest, password_of_a_range_is_asked_of_all_in_it)
{
    PeerRange range = range_of(kRange);
    range.peer.password = "correct-horse";
    us->speaker().set_ranges({range});
    Node b(executor, 2, 0);
    PeerConfig dial = towards_us();
    dial.password = "battery-staple";
    b.speaker().set_peers({dial});
    EXPECT_TRUE(until([&] { return b.peer().why_down.find("timed out") != std::string::npos; }));
    EXPECT_EQ(us->speaker().refused_connections() + peers(), 0u) << "the kernel drops it";
    dial.password = range.peer.password;
    b.speaker().set_peers({dial});
    EXPECT_TRUE(until([&] { return us->up(kSecondHost); })) << b.peer().why_down;
    us->speaker().set_ranges({range_of(kRange)});
    dial.password.clear();
    b.speaker().set_peers({dial});
    EXPECT_TRUE(until([&] { return us->up(kSecondHost) && b.up(); })) << b.peer().why_down;
}

TEST_F(RangesTest, neighbour_from_two_hops_away_is_not_heard_where_the_range_guards_itself)
{
    PeerRange range = range_of(kRange, kRawAs);
    range.peer.ttl_security = 1;
    us->speaker().set_ranges({range});
    RawPeer raw(executor, kRawHost, kOurHost, kOurPort4);
    ASSERT_TRUE(until([&] { return us->peer(kRawName).state == State::OpenSent; }));
    const auto speak_with = [&](int ttl) {
        ::setsockopt(raw.socket().native_handle(), IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl));
    };
    speak_with(254);
    raw.say(raw_greeting(kRawHost, kRawAs));
    run_for(executor, 300ms);
    EXPECT_EQ(us->peer(kRawName).received.open, 0u);
    speak_with(255); // sent again by TCP
    EXPECT_TRUE(until([&] { return us->up(kRawName); }));
}

TEST_F(RangesTest, restarting_speaker_waits_for_neighbours_that_it_does_not_know)
{
    us.reset();
    Node restarted(executor, kOurHost, kOurPort4, true);
    restarted.speaker().set_ranges({range_of(kRange)});
    restarted.speaker().set_peers({});
    restarted.speaker().announcements_complete();
    run_for(executor, 300ms);
    EXPECT_FALSE(restarted.speaker().initial_sync_done());
    restarted.speaker().set_ranges({});
    restarted.speaker().set_peers({});
    EXPECT_TRUE(until([&] { return restarted.speaker().initial_sync_done(); }));
}

} // namespace
} // namespace margay::bgp::lab
