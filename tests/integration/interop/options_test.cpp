// SPDX-License-Identifier: Apache-2.0
// What the two ends of a session may want of each other: refresh, guards, limits, next hops.

#include "interop.h"

#include "support/bgp/raw_peer.h"

#include <algorithm>
#include <cctype>

namespace margay::bgp::lab {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

constexpr Asn kOriginAs{64700};
const std::string kPassed = "10.5.0.0/26";

struct OptionsTest : Interop {
    // What the daemon has written or answers, in small letters.
    std::string words()
    {
        std::string text = daemon->about(lab_address(kUs)) + daemon->log();
        std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
        return text;
    }
    // As soon as the daemon listens: OpenBGPD answers questions a moment before.
    std::unique_ptr<RawPeer> dial()
    {
        std::unique_ptr<RawPeer> raw;
        EXPECT_TRUE(until_told([&] {
            try {
                raw = std::make_unique<RawPeer>(executor, kUs, kDaemon, kPort);
            } catch (const boost::system::system_error&) {
                return false;
            }
            return true;
        }));
        return raw;
    }
};

INSTANTIATE_TEST_SUITE_P(With, OptionsTest, ::testing::ValuesIn(daemon_kinds()), kind_name);

// An external speaker of ours that tells `told` one route.
struct Origin {
    Node node;

    Origin(Executor& executor, int told, Asn told_as, Asn as = kOriginAs)
        : node(executor, kThird, kPort, false, as)
    {
        PeerConfig config = peer_config(kThird, told, kPort);
        config.remote_as = told_as;
        node.speaker().set_peers({config});
        node.speaker().announce(net(kPassed));
        node.speaker().announcements_complete();
    }
};

// ---- Route refresh ----

TEST_P(OptionsTest, refresh_has_a_beginning_and_an_end)
{
    row("enhanced route refresh (RFC 7313) that the peer asks for");
    Neighbor neighbor = us();
    neighbor.enhanced_refresh = true;
    ASSERT_TRUE(daemon->start(with(kOurAs, neighbor)));
    Node node(executor, kUs, kPort);
    node.speaker().announce(net(kOurs));
    node.speaker().announcements_complete();
    node.speaker().set_peers({peer()});
    ASSERT_TRUE(learns(kOurs)) << node.peer().why_down;
    daemon->refresh(lab_address(kUs));
    if (!until([&] { return node.peer().sent.route_refresh == 2; }, 4s) &&
        node.peer().received.route_refresh == 0)
        return not_applicable(between(daemon->about(lab_address(kUs)), "Route Refresh:", "\n"));
    EXPECT_EQ(node.peer().sent.route_refresh, 2u) << daemon->offers(lab_address(kUs));
    // Told before the end of the refresh, withdrawn after it: the daemon heard everything.
    EXPECT_TRUE(learned(kOurs));
    node.speaker().withdraw(net(kOurs));
    EXPECT_TRUE(forgets(kOurs));
    EXPECT_EQ(node.peer().established_count, 1u);
}

// ---- Guards and limits ----

TEST_P(OptionsTest, packets_of_a_neighbour_only_make_the_session)
{
    row("GTSM (RFC 5082)");
    Neighbor neighbor = us();
    neighbor.ttl_security = 1;
    ASSERT_TRUE(daemon->start(with(kTheirAs, neighbor, {{kTheirs, {}, {}, {}}})));
    Node node(executor, kUs, kPort);
    PeerConfig guarded = peer(kTheirAs);
    guarded.ttl_security = 1;
    node.speaker().announce(net(kOurs));
    node.speaker().set_peers({guarded});
    EXPECT_TRUE(until([&] { return node.way(kTheirs) == "10.99.0.2"; })) << node.peer().why_down;
    EXPECT_TRUE(learns(kOurs));
    // Ours may come from afar now. What is in the socket before the daemon guards it gets through.
    node.speaker().set_peers({peer(kTheirAs)});
    ASSERT_TRUE(until_told([&] { return !daemon->up(lab_address(kUs)); }));
    EXPECT_FALSE(until_told([&] { return daemon->up(lab_address(kUs)); }, 1s));
}

TEST_P(OptionsTest, too_many_prefixes_end_the_session)
{
    row("a limit of prefixes (RFC 4486), ours");
    ASSERT_TRUE(
        daemon->start(with(kOurAs, us(), {{kTheirs, {}, {}, {}}, {"10.2.1.0/26", {}, {}, {}}})));
    Node node(executor, kUs, kPort);
    PeerConfig limited = peer();
    limited.max_prefixes = 2;
    node.speaker().set_peers({limited});
    ASSERT_TRUE(until([&] { return node.known() == 2; })) << node.peer().why_down;
    daemon->announce({"10.2.2.0/26", {}, {}, {}});
    ASSERT_TRUE(until([&] { return !node.peer().last_notification_sent.empty(); }));
    EXPECT_EQ(node.peer().last_notification_sent, "Maximum Number of Prefixes Reached (6/1)");
    EXPECT_TRUE(until_told([&] {
        const std::string said = words();
        return said.find("maximum number of prefixes") != std::string::npos ||
               said.find("max-prefix") != std::string::npos;
    })) << words();
    EXPECT_TRUE(until([&] { return node.losses(kTheirs) > 0; })) << "its routes go at once";
}

// ---- Next hops and paths ----

TEST_P(OptionsTest, next_hop_self_is_for_internal_peers)
{
    row("next hop self, iBGP");
    ASSERT_TRUE(daemon->start(with(kOurAs, us())));
    Node node(executor, kUs, kPort);
    PeerConfig internal = peer();
    internal.next_hop = NextHopMode::Self;
    node.speaker().set_peers({internal, peer(kOriginAs, kThird, "origin")});
    const Origin third(executor, kUs, kOurAs);
    ASSERT_TRUE(learns(kPassed)) << node.peer().why_down;
    EXPECT_EQ(learned(kPassed)->next_hop, "10.99.0.1");
}

TEST_P(OptionsTest, next_hop_is_kept_for_external_peers)
{
    row("next hop unchanged, eBGP");
    ASSERT_TRUE(daemon->start(with(kTheirAs, us())));
    Node node(executor, kUs, kPort);
    PeerConfig external = peer(kTheirAs);
    external.next_hop = NextHopMode::Keep;
    node.speaker().set_peers({external, peer(kOriginAs, kThird, "origin")});
    const Origin third(executor, kUs, kOurAs);
    ASSERT_TRUE(learns(kPassed)) << node.peer().why_down;
    EXPECT_EQ(learned(kPassed)->next_hop, "10.99.0.3");
}

// Another site of our AS, behind the daemon's.
TEST_P(OptionsTest, our_own_as_in_a_path_is_taken_where_it_is_allowed)
{
    row("a path with our own AS");
    Neighbor third = us();
    third.address = lab_address(kThird);
    ASSERT_TRUE(daemon->start({kDaemon, kTheirAs, {us(), third}, {{kTheirs, {}, {}, {}}}}));
    const Origin site(executor, kDaemon, kTheirAs, kOurAs);
    Node node(executor, kUs, kPort);
    PeerConfig strict = peer(kTheirAs), allowed = peer(kTheirAs);
    allowed.allowed_own_as = 1;
    node.speaker().set_peers({strict});
    const auto told = [&] { return route(node, kPassed).has_value(); };
    ASSERT_TRUE(until([&] { return !node.way(kTheirs).empty(); })) << node.peer().why_down;
    if (!until(told, 4s))
        return not_applicable(
            between(daemon->about(lab_address(kUs)), "Route statistics", "Received"));
    EXPECT_EQ(node.way(kPassed), "");
    node.speaker().set_peers({allowed});
    EXPECT_TRUE(until([&] { return node.way(kPassed) == "10.99.0.2"; }));
    EXPECT_EQ(route(node, kPassed)->as_path.str(), "65002 64512");
}

TEST_P(OptionsTest, session_has_an_as_of_its_own)
{
    row("an AS of ours for one session");
    constexpr Asn kLocalAs{64999};
    ASSERT_TRUE(daemon->start(with(kTheirAs, us(kLocalAs), {{kTheirs, {}, {}, {}}})));
    Node node(executor, kUs, kPort);
    PeerConfig config = peer(kTheirAs);
    config.local_as = kLocalAs;
    node.speaker().announce(net(kOurs));
    node.speaker().set_peers({config});
    EXPECT_TRUE(until([&] { return !node.way(kTheirs).empty(); })) << node.peer().why_down;
    ASSERT_TRUE(learns(kOurs));
    EXPECT_EQ(learned(kOurs)->as_path, "64999");
}

// ---- Restart without a crash ----

TEST_P(OptionsTest, routes_outlive_the_notification_of_a_reset)
{
    row("routes outlive a NOTIFICATION (RFC 8538)");
    Neighbor neighbor = us();
    neighbor.restart_time = Seconds(120);
    neighbor.restart_on_notification = true;
    if (!can_start(with(kOurAs, neighbor, {{kTheirs, {}, {}, {}}})))
        return;
    Node node(executor, kUs, kPort);
    PeerConfig config = peer();
    config.restart_on_notification = true;
    node.speaker().announcements_complete();
    node.speaker().set_peers({config});
    ASSERT_TRUE(until([&] { return !node.way(kTheirs).empty(); })) << node.peer().why_down;
    const std::string offered = daemon->offers(lab_address(kUs));
    daemon->reset(lab_address(kUs));
    ASSERT_TRUE(until([&] { return !node.peer().last_notification_received.empty(); }));
    EXPECT_THAT(node.peer().last_notification_received, HasSubstr("(6/4)"));
    if (!node.peer().routes_are_stale)
        return not_applicable(offered);
    const bool back = until([&] { return node.up(); }, 3s); // GoBGP stays away for 30 s
    EXPECT_EQ(node.losses(kTheirs), 0) << (back ? "after" : "during") << " the restart";
}

// ---- Long OPENs ----

// BIRD alone has so much to say; FRR can be told to speak like that anyhow, and takes nothing else then.
TEST_P(OptionsTest, open_of_more_than_255_octets_of_parameters_is_understood)
{
    row("extended optional parameters of OPEN (RFC 9072), to us");
    Neighbor neighbor = us();
    neighbor.extended_parameters = true;
    neighbor.families = {kIpv4Unicast, kIpv6Unicast};
    neighbor.add_path = true;
    neighbor.restart_time = Seconds(30);
    ASSERT_TRUE(daemon->start(with(kOurAs, neighbor, {{kTheirs, {}, {}, {}}})));
    std::vector<RawMessage> said;
    {
        const auto raw = dial();
        ASSERT_TRUE(raw);
        raw->say(raw_open(kUs)); // GoBGP may wait for it
        ASSERT_TRUE(until_told([&] {
            said = raw->messages();
            return !said.empty();
        }));
    }
    ASSERT_EQ(said.front().type, MessageType::Open);
    constexpr std::size_t kParametersAt = 9;
    const int length = said.front().body[kParametersAt];
    if (length != 255)
        return not_applicable("an OPEN with " + std::to_string(length) + " octets of parameters");
    Node node(executor, kUs, kPort);
    node.speaker().set_peers({peer()});
    EXPECT_TRUE(until([&] {
        return !node.way(kTheirs).empty() || !node.peer().last_notification_received.empty();
    })) << node.peer().why_down;
    if (node.way(kTheirs).empty())
        not_applicable(node.peer().last_notification_received);
}

TEST_P(OptionsTest, peer_understands_an_open_of_more_than_255_octets_of_parameters)
{
    row("extended optional parameters of OPEN (RFC 9072), from us");
    ASSERT_TRUE(daemon->start(with(kOurAs, us())));
    Open open = raw_open_of(kUs, kOurAs);
    for (std::uint8_t safi = 200; safi < 250; ++safi) // for private use
        open.capabilities.families.push_back({1, safi});
    Bytes greeting = message_of(open);
    encode_keepalive(greeting);
    const auto raw = dial();
    ASSERT_TRUE(raw);
    raw->say(greeting);
    std::vector<RawMessage> said;
    ASSERT_TRUE(until_told([&] {
        for (RawMessage& message : raw->messages())
            said.push_back(std::move(message));
        return said.size() >= 2 || raw->ended();
    }));
    for (const RawMessage& message : said)
        if (message.type == MessageType::Notification)
            return not_applicable(describe(decode_notification(message.body)));
    ASSERT_GE(said.size(), 2u);
    EXPECT_EQ(said[1].type, MessageType::Keepalive);
}

} // namespace
} // namespace margay::bgp::lab
