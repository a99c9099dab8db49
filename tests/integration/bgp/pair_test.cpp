// SPDX-License-Identifier: Apache-2.0
// Speakers of ours against each other and against raw sockets, in a namespace of their own.

#include "support/bgp/lab_test.h"

#include "bgp/wire/message.h"
#include "support/bgp/codec.h"
#include "support/bgp/raw_peer.h"

#include <gmock/gmock.h>

#include <random>

namespace margay::bgp::lab {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

struct PairTest : LabTest {};

// Each side waits in the kernel until both have dialed, so the attempts cross on the wire.
void both_dial_at_once(Executor& executor, bool passive_rule)
{
    std::uint64_t collisions = 0;
    for (int round = 0; round < 100; ++round) {
        Node a(executor, 1, 1790), b(executor, 2, 1790);
        PeerConfig to_b = peer_config(1, 2, 1790), to_a = peer_config(2, 1, 1790);
        to_b.passive = passive_rule; // "10.99.0.2" > "10.99.0.1": the smaller one waits
        // Either may be the first to reach the event loop.
        if (round % 2)
            a.speaker().set_peers({to_b});
        b.speaker().set_peers({to_a});
        a.speaker().set_peers({to_b});
        ASSERT_TRUE(run_until(executor, [&] { return a.up() && b.up(); })) << "round " << round;
        run_for(executor, 5ms);
        EXPECT_EQ(a.peer().established_count, 1u) << "round " << round;
        EXPECT_EQ(b.peer().established_count, 1u) << "round " << round;
        EXPECT_TRUE(a.up() && b.up()) << "round " << round;
        collisions += a.peer().sent.notification + b.peer().sent.notification;
    }
    if (passive_rule)
        EXPECT_EQ(collisions, 0u);
    else
        EXPECT_GT(collisions, 20u) << "the attempts hardly ever crossed: this test shows nothing";
}

TEST_F(PairTest, both_ends_dial_at_once_100_times_and_there_is_always_one_session)
{
    both_dial_at_once(executor, false);
}

TEST_F(PairTest, both_ends_start_at_once_100_times_with_the_passive_rule_and_there_is_one_session)
{
    both_dial_at_once(executor, true);
}

TEST_F(PairTest, routes_come_and_go_in_both_directions)
{
    Node a(executor, 1, 1790), b(executor, 2, 1790);
    a.speaker().announce(net("10.1.0.0/26"));
    a.speaker().set_peers({peer_config(1, 2, 1790)});
    b.speaker().set_peers({peer_config(2, 1, 1790)});
    b.speaker().announce(net("10.2.0.0/26"));
    EXPECT_TRUE(until([&] {
        return a.way("10.2.0.0/26") == "10.99.0.2" && b.way("10.1.0.0/26") == "10.99.0.1";
    }));
    ASSERT_EQ(b.speaker().routes().size(), 2u);
    EXPECT_EQ(b.speaker().routes()[0].attributes->local_pref, 2147482623u);
    a.speaker().withdraw(net("10.1.0.0/26"));
    EXPECT_TRUE(until([&] { return b.way("10.1.0.0/26").empty(); }));
    EXPECT_EQ(a.way("10.2.0.0/26"), "10.99.0.2");
}

TEST_F(PairTest, internal_routes_are_not_passed_on_to_internal_peers)
{
    Node a(executor, 1, 1790), b(executor, 2, 1790), c(executor, 3, 1790);
    a.speaker().set_peers({peer_config(1, 2, 1790)});
    b.speaker().set_peers({peer_config(2, 1, 1790, "a"), peer_config(2, 3, 1790, "c")});
    c.speaker().set_peers({peer_config(3, 2, 1790)});
    a.speaker().announce(net("10.1.0.0/26"));
    b.speaker().announce(net("10.2.0.0/26"));
    EXPECT_TRUE(
        until([&] { return !b.way("10.1.0.0/26").empty() && !c.way("10.2.0.0/26").empty(); }));
    EXPECT_EQ(c.way("10.1.0.0/26"), "");
    EXPECT_EQ(b.peer("c").prefixes_advertised, 1u);
}

TEST_F(PairTest, external_peers_pass_routes_on_with_path_and_next_hop)
{
    Node a(executor, 1, 1790, false, Asn{4200000001}), b(executor, 2, 1790),
        c(executor, 3, 1790, false, Asn{65003});
    PeerConfig a_to_b = peer_config(1, 2, 1790), b_to_a = peer_config(2, 1, 1790, "a");
    PeerConfig b_to_c = peer_config(2, 3, 1790, "c"), c_to_b = peer_config(3, 2, 1790);
    b_to_a.remote_as = Asn{4200000001};
    b_to_c.remote_as = Asn{65003};
    a.speaker().set_peers({a_to_b});
    b.speaker().set_peers({b_to_a, b_to_c});
    c.speaker().set_peers({c_to_b});
    a.speaker().announce(net("10.1.0.0/26"));
    EXPECT_TRUE(until([&] { return c.way("10.1.0.0/26") == "10.99.0.2"; }));
    ASSERT_EQ(c.speaker().routes().size(), 1u);
    EXPECT_EQ(c.speaker().routes()[0].attributes->as_path.str(), "64512 4200000001");
}

TEST_F(PairTest, change_of_one_peer_leaves_the_others_alone)
{
    Node a(executor, 1, 1790), b(executor, 2, 1790), c(executor, 3, 1790);
    a.speaker().set_peers({peer_config(1, 2, 1790, "b"), peer_config(1, 3, 1790, "c")});
    b.speaker().set_peers({peer_config(2, 1, 1790)});
    c.speaker().set_peers({peer_config(3, 1, 1790)});
    ASSERT_TRUE(until([&] { return a.up("b") && a.up("c"); }));
    PeerConfig changed = peer_config(1, 3, 1790, "c");
    changed.hold_time = Seconds(90);
    a.speaker().set_peers({peer_config(1, 2, 1790, "b"), changed});
    ASSERT_TRUE(until([&] { return a.up("c") && a.peer("c").hold_time == Seconds(90) && c.up(); }));
    EXPECT_EQ(a.peer("b").established_count, 1u);
    EXPECT_EQ(b.peer().established_count, 1u);
    EXPECT_EQ(c.peer().established_count, 2u);
    EXPECT_THAT(c.peer().last_notification_received, HasSubstr("Other Configuration Change"));

    c.speaker().announce(net("10.3.0.0/26"));
    ASSERT_TRUE(until([&] { return !a.way("10.3.0.0/26").empty(); }));
    a.speaker().set_peers({peer_config(1, 2, 1790, "b")});
    EXPECT_TRUE(until([&] { return a.way("10.3.0.0/26").empty() && !c.up(); }));
    EXPECT_THAT(c.peer().last_notification_received, HasSubstr("Peer De-configured"));
    EXPECT_EQ(b.peer().established_count, 1u);
}

TEST_F(PairTest, clean_shutdown_withdraws_and_silent_end_keeps_routes_until_the_peer_is_back)
{
    auto a = std::make_unique<Node>(executor, 1, 1790);
    Node b(executor, 2, 1790);
    const auto begin = [&](bool restarting) {
        a = std::make_unique<Node>(executor, 1, 1790, restarting);
        a->speaker().set_peers({peer_config(1, 2, 1790)});
    };
    a.reset();
    begin(false);
    b.speaker().set_peers({peer_config(2, 1, 1790)});
    b.speaker().announcements_complete();
    a->speaker().announce(net("10.1.0.0/26"));
    a->speaker().announce(net("10.1.1.0/26"));
    a->speaker().announcements_complete();
    ASSERT_TRUE(until([&] {
        return !b.way("10.1.0.0/26").empty() && !b.way("10.1.1.0/26").empty() &&
               b.peer().end_of_rib_received;
    }));

    a.reset(); // without a word, as after SIGKILL
    ASSERT_TRUE(until([&] { return b.peer().routes_are_stale; }));
    EXPECT_EQ(b.way("10.1.0.0/26"), "10.99.0.1");
    begin(true);
    a->speaker().announce(net("10.1.0.0/26"));
    ASSERT_TRUE(until([&] { return b.up() && a->synced(); }));
    run_for(executor, 100ms);
    EXPECT_EQ(b.way("10.1.1.0/26"), "10.99.0.1") << "no End-of-RIB before announcements_complete()";
    a->speaker().announcements_complete();
    EXPECT_TRUE(until([&] { return b.way("10.1.1.0/26").empty(); }));
    EXPECT_EQ(b.losses("10.1.0.0/26"), 0);
    EXPECT_EQ(b.way("10.1.0.0/26"), "10.99.0.1");

    a->speaker().shutdown(Speaker::Goodbye::Notify);
    EXPECT_TRUE(until([&] { return b.way("10.1.0.0/26").empty(); }));
    EXPECT_FALSE(b.peer().routes_are_stale);
    EXPECT_THAT(b.peer().last_notification_received, HasSubstr("margayd stops"));
}

TEST_F(PairTest, routes_of_a_peer_that_never_returns_go_when_its_restart_time_is_over)
{
    Node b(executor, 2, 1790);
    Node a(executor, 1, 1790);
    PeerConfig to_b = peer_config(1, 2, 1790);
    to_b.restart_time = Seconds(2);
    a.speaker().set_peers({to_b});
    b.speaker().set_peers({peer_config(2, 1, 1790)});
    a.speaker().announce(net("10.1.0.0/26"));
    ASSERT_TRUE(until([&] { return !b.way("10.1.0.0/26").empty(); }));
    a.end();
    ASSERT_TRUE(until([&] { return b.peer().routes_are_stale; }));
    EXPECT_TRUE(until([&] { return b.way("10.1.0.0/26").empty(); }));
    EXPECT_FALSE(b.peer().routes_are_stale);
}

TEST_F(PairTest, restarting_speaker_hears_everybody_before_it_reports_the_initial_sync)
{
    Node b(executor, 2, 1790), c(executor, 3, 1790);
    b.speaker().set_peers({peer_config(2, 1, 1790)});
    c.speaker().set_peers({peer_config(3, 1, 1790)});
    b.speaker().announcements_complete();
    Node a(executor, 1, 1790, true);
    a.speaker().set_peers({peer_config(1, 2, 1790, "b"), peer_config(1, 3, 1790, "c")});
    ASSERT_TRUE(until([&] { return a.up("b") && a.up("c") && a.peer("b").end_of_rib_received; }));
    run_for(executor, 50ms);
    EXPECT_FALSE(a.synced());
    c.speaker().announcements_complete();
    EXPECT_TRUE(until([&] { return a.synced(); }));
}

TEST_F(PairTest, status_says_in_plain_words_why_a_session_is_down)
{
    ASSERT_EQ(std::system("ip route add unreachable 10.98.0.0/24"), 0);
    Node a(executor, 1, 1790), b(executor, 2, 1790);
    PeerConfig unreachable = peer_config(1, 8, 1790, "unreachable");
    unreachable.address = *Ip::parse("10.98.0.1");
    PeerConfig no_source = peer_config(1, 8, 1790, "source");
    no_source.source = *Ip::parse("10.97.0.1");
    PeerConfig waits = peer_config(1, 7, 1790, "passive");
    waits.passive = true;
    PeerConfig wrong = peer_config(1, 2, 1790, "wrong");
    wrong.remote_as = Asn{65000};
    a.speaker().set_peers(
        {peer_config(1, 9, 1790, "refused"), unreachable, no_source, waits, wrong});
    b.speaker().set_peers({peer_config(2, 1, 1790)});
    const auto says = [&](const Node& node, const char* name, const char* text) {
        EXPECT_TRUE(until([&] { return node.peer(name).why_down.find(text) != std::string::npos; }))
            << name << ": " << node.peer(name).why_down;
    };
    says(a, "refused", "connection refused: nobody listens at 10.99.0.9 port 1790");
    says(a, "unreachable", "no route to 10.98.0.1");
    says(a, "source", "cannot use source address 10.97.0.1");
    says(a, "passive", "waits for the peer to connect");
    says(a, "wrong", "wrong AS: the peer says 64512, configured is 65000");
    EXPECT_TRUE(until([&] { return b.peer().last_notification_received == "Bad Peer AS (2/2)"; }));
    (void)std::system("ip route del unreachable 10.98.0.0/24");
}

TEST_F(PairTest, taken_port_is_said_and_sessions_that_we_dial_work_all_the_same)
{
    Node b(executor, 2, 1790), taken(executor, 1, 1790), a(executor, 1, 1790);
    const Status status = a.speaker().listen();
    ASSERT_FALSE(status);
    EXPECT_THAT(status.error().what, HasSubstr("10.99.0.1 port 1790: Address already in use"));
    b.speaker().set_peers({peer_config(2, 1, 1791)});
    a.speaker().set_peers({peer_config(1, 2, 1790)});
    EXPECT_TRUE(until([&] { return a.up() && b.up(); }));
}

// RFC 4456: two clients and another internal peer around a reflector, none knows the others.
TEST_F(PairTest, reflector_passes_the_routes_of_its_clients_on)
{
    Node reflector(executor, 1, 1790), b(executor, 2, 1790), c(executor, 3, 1790);
    PeerConfig to_b = peer_config(1, 2, 1790, "b"), to_c = peer_config(1, 3, 1790, "c");
    to_b.reflector_client = to_c.reflector_client = true;
    reflector.speaker().set_peers({to_b, to_c});
    b.speaker().set_peers({peer_config(2, 1, 1790)});
    c.speaker().set_peers({peer_config(3, 1, 1790)});
    b.speaker().announce(net("10.2.0.0/26"));
    c.speaker().announce(net("10.3.0.0/26"));
    EXPECT_TRUE(until([&] { return b.way("10.3.0.0/26") == "10.99.0.3"; }));
    EXPECT_TRUE(until([&] { return c.way("10.2.0.0/26") == "10.99.0.2"; }));
    const auto routes = c.speaker().routes();
    ASSERT_EQ(routes.size(), 2u) << "its own route does not come back";
    EXPECT_EQ(routes[0].attributes->originator_id, lab_address(2).v4());
    EXPECT_THAT(routes[0].attributes->cluster_list, ElementsAre(lab_address(1).v4()));
    b.speaker().withdraw(net("10.2.0.0/26"));
    EXPECT_TRUE(until([&] { return c.way("10.2.0.0/26").empty(); }));
}

TEST_F(PairTest, new_export_filter_takes_back_what_it_does_not_pass)
{
    Node a(executor, 1, 1790), b(executor, 2, 1790);
    a.speaker().set_peers({peer_config(1, 2, 1790)});
    b.speaker().set_peers({peer_config(2, 1, 1790)});
    a.speaker().announce(net("10.1.0.0/26"));
    a.speaker().announce(net("10.1.1.0/26"));
    ASSERT_TRUE(until([&] { return b.known() == 2; }));
    a.speaker().set_export_filter(
        [](const FilterContext& context, const AttributesPtr& attributes) {
            return context.prefix == IpPrefix(net("10.1.0.0/26")) ? attributes : AttributesPtr();
        });
    EXPECT_TRUE(until([&] { return b.known() == 1; }));
    EXPECT_FALSE(b.way("10.1.0.0/26").empty());
    a.speaker().set_export_filter({});
    EXPECT_TRUE(until([&] { return b.known() == 2; }));
}

// RFC 4271 has no word for it: the peer sees UPDATEs and nothing else.
TEST_F(PairTest, other_filters_for_a_peer_change_what_it_hears_and_not_its_session)
{
    Node a(executor, 1, 1790), b(executor, 2, 1790), c(executor, 3, 1790);
    PeerConfig to_b = peer_config(1, 2, 1790, "b"), to_c = peer_config(1, 3, 1790, "c");
    to_b.policy = to_c.policy = "all";
    const auto filter = [](const FilterContext& context, const AttributesPtr& attributes) {
        const bool first = context.prefix == IpPrefix(net("10.1.0.0/26")) ||
                           context.prefix == IpPrefix(net("10.2.0.0/26"));
        return context.peer.policy == "all" || first ? attributes : AttributesPtr();
    };
    a.speaker().set_export_filter(filter);
    a.speaker().set_import_filter(filter);
    a.speaker().set_peers({to_b, to_c});
    b.speaker().set_peers({peer_config(2, 1, 1790)});
    c.speaker().set_peers({peer_config(3, 1, 1790)});
    for (const char* prefix : {"10.1.0.0/26", "10.1.1.0/26"})
        a.speaker().announce(net(prefix));
    for (const char* prefix : {"10.2.0.0/26", "10.2.1.0/26"})
        b.speaker().announce(net(prefix));
    ASSERT_TRUE(until([&] { return b.known() == 2 && c.known() == 2 && a.known() == 2; }));
    to_b.policy = "first";
    a.speaker().set_peers({to_b, to_c});
    EXPECT_TRUE(until([&] { return b.known() == 1 && a.known() == 1; }));
    EXPECT_FALSE(b.way("10.1.0.0/26").empty());
    to_b.policy = "all";
    a.speaker().set_peers({to_b, to_c});
    EXPECT_TRUE(until([&] { return b.known() == 2 && a.known() == 2; }));
    EXPECT_EQ(c.known(), 2u);
    EXPECT_EQ(a.peer("b").established_count, 1u);
    EXPECT_EQ(a.peer("c").established_count, 1u);
}

// What margayctl bgp routes asks.
TEST_F(PairTest, portions_tell_who_told_what_was_rejected_and_what_goes_out)
{
    Node a(executor, 1, 1790), b(executor, 2, 1790);
    a.speaker().set_import_filter(
        [](const FilterContext& context, const AttributesPtr& attributes) -> AttributesPtr {
            return context.prefix.length() == 27 ? nullptr : attributes;
        });
    a.speaker().announce(net("10.1.0.0/26"));
    a.speaker().set_peers({peer_config(1, 2, 1790, "b")});
    b.speaker().set_peers({peer_config(2, 1, 1790)});
    b.speaker().announce(net("10.2.0.0/26"));
    b.speaker().announce(net("10.2.0.64/27"));
    EXPECT_TRUE(until([&] { return a.speaker().routes().size() == 3 && b.known() == 1; }));

    const auto received = a.speaker().routes({.prefix = {}, .match = {}, .received_from = "b"}, {});
    ASSERT_EQ(received.views.size(), 2u);
    for (const RouteView& route : received.views) {
        EXPECT_EQ(route.peer, "b");
        EXPECT_EQ(route.rejected, route.prefix.length() == 27);
        EXPECT_EQ(route.why, route.rejected ? "rejected by the import filter" : "best");
    }
    const auto own = a.speaker().routes_to("b", {.prefix = IpPrefix(net("10.1.0.0/26"))}, {});
    ASSERT_EQ(own.views.size(), 1u);
    EXPECT_TRUE(own.views[0].told);
    EXPECT_EQ(own.views[0].route.attributes->next_hop, lab_address(1));
    const auto back = a.speaker().routes_to("b", {.prefix = IpPrefix(net("10.2.0.0/26"))}, {});
    ASSERT_EQ(back.views.size(), 1u);
    EXPECT_EQ(back.views[0].why, "it told us");
    EXPECT_TRUE(a.speaker().routes_to("nobody", {}, {}).views.empty());
}

TEST_F(PairTest, stranger_is_refused_and_counted)
{
    Node a(executor, 1, 1790);
    a.speaker().set_peers({peer_config(1, 2, 1790)});
    RawPeer stranger(executor, 5, 1, 1790);
    EXPECT_TRUE(until([&] { return a.speaker().refused_connections() == 1; }));
}

TEST_F(PairTest, peer_that_does_not_read_delays_nobody_and_gets_only_the_last_state)
{
    Node a(executor, 1, 1790), b(executor, 2, 1790);
    PeerConfig slow = peer_config(1, 3, 1790, "slow");
    slow.passive = true;
    a.speaker().set_peers({peer_config(1, 2, 1790, "b"), slow});
    b.speaker().set_peers({peer_config(2, 1, 1790)});
    RawPeer raw(executor, 3, 1, 1790);
    boost::asio::socket_base::receive_buffer_size small(65536);
    raw.socket().set_option(small);
    raw.say(raw_greeting(3));
    ASSERT_TRUE(until([&] { return a.up("slow") && a.up("b"); }));
    constexpr std::uint32_t kRoutes = 8000;
    const auto announce_all = [&](std::uint32_t med) {
        Announcement announcement;
        for (std::uint32_t i = 0; i < kRoutes; ++i) {
            announcement.med = med + i; // no two share an UPDATE
            a.speaker().announce(Prefix4{Ipv4(0x0b000000 + (i << 8)), 24}, announcement);
        }
    };
    for (std::uint32_t round = 0; round < 3; ++round) {
        announce_all(round * 100000);
        ASSERT_TRUE(until([&] {
            const auto routes = b.peer().prefixes_received;
            return routes == kRoutes && a.peer("b").sent.update >= kRoutes * (round + 1);
        })) << round;
    }
    EXPECT_TRUE(a.up("slow"));
    const std::uint64_t while_stuck = a.peer("slow").sent.update;
    EXPECT_LT(while_stuck, kRoutes);
    // Now it reads: everything it lacked comes once.
    EXPECT_TRUE(until([&] {
        while (!raw.hear().empty())
            ;
        return a.peer("slow").prefixes_advertised == kRoutes;
    }));
    EXPECT_LE(a.peer("slow").sent.update, while_stuck + kRoutes + 1000);
}

TEST_F(PairTest, garbage_at_any_point_ends_that_session_only)
{
    Node a(executor, 1, 1790), b(executor, 2, 1790);
    PeerConfig hostile = peer_config(1, 3, 1790, "hostile");
    hostile.passive = true;
    hostile.idle_hold = std::chrono::milliseconds(1);
    a.speaker().set_peers({peer_config(1, 2, 1790, "b"), hostile});
    b.speaker().set_peers({peer_config(2, 1, 1790)});
    b.speaker().announce(net("10.2.0.0/26"));
    ASSERT_TRUE(until([&] { return !a.way("10.2.0.0/26").empty(); }));

    Bytes good = raw_greeting(3);
    Attributes attributes;
    attributes.next_hop = lab_address(3).v4();
    const std::vector<Prefix4> prefixes{net("10.3.0.0/26")};
    encode_announce(attributes, WireSession{}, prefixes, good);
    std::mt19937 random(11);
    for (std::size_t at = 0; at < good.size(); ++at) {
        RawPeer raw(executor, 3, 1, 1790);
        Bytes bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(at));
        for (int i = 0; i < 60; ++i)
            bytes.push_back(static_cast<std::uint8_t>(random()));
        raw.say(bytes);
        run_for(executor, 3ms);
    }
    EXPECT_EQ(b.peer().established_count, 1u);
    EXPECT_EQ(a.way("10.2.0.0/26"), "10.99.0.2");
    ASSERT_TRUE(until([&] { return a.peer("hostile").state == State::Active; }));
    RawPeer raw(executor, 3, 1, 1790);
    raw.say(good);
    EXPECT_TRUE(until([&] { return a.way("10.3.0.0/26") == "10.99.0.3"; }))
        << "and a good one is welcome again";
}

} // namespace
} // namespace margay::bgp::lab
