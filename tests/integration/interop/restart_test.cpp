// SPDX-License-Identifier: Apache-2.0
// Graceful restart (RFC 4724), each end in each role.

#include "interop.h"

namespace margay::bgp::lab {
namespace {

using namespace std::chrono_literals;

constexpr Asn kWatcherAs{64600};
const std::string kGone = "10.1.1.0/26";

struct RestartTest : Interop {
    // An external peer of the daemon's, who would see a flap.
    static Neighbor watcher() { return Neighbor{.address = lab_address(kThird), .as = kWatcherAs}; }
    static Neighbor restarting_us()
    {
        Neighbor neighbor = us();
        neighbor.restart_time = Seconds(30);
        return neighbor;
    }
};

INSTANTIATE_TEST_SUITE_P(With, RestartTest, ::testing::ValuesIn(daemon_kinds()), kind_name);

TEST_P(RestartTest, killed_daemon_comes_back_and_we_lose_only_what_it_does_not_tell_again)
{
    row("graceful restart (RFC 4724), the peer restarts");
    ASSERT_TRUE(daemon->start(
        with(kOurAs, restarting_us(), {{kTheirs, {}, {}, {}}, {"10.2.1.0/26", {}, {}, {}}})));
    Node node(executor, kUs, kPort);
    node.speaker().announcements_complete();
    node.speaker().set_peers({peer()});
    ASSERT_TRUE(until([&] {
        return !node.way(kTheirs).empty() && !node.way("10.2.1.0/26").empty();
    })) << node.peer().why_down;
    const std::string offered = daemon->offers(lab_address(kUs));
    daemon->kill();
    ASSERT_TRUE(until([&] { return !node.up(); }));
    if (!node.peer().routes_are_stale)
        return not_applicable(between(offered, "\"graceful_restart\"", "}") + "}");
    daemon->withdraw("10.2.1.0/26"); // from its configuration: nobody is there to hear it
    ASSERT_TRUE(daemon->restart());
    EXPECT_TRUE(until([&] { return node.up() && node.way("10.2.1.0/26").empty(); }, 60s))
        << node.peer().why_down;
    EXPECT_EQ(node.way(kTheirs), "10.99.0.2");
    EXPECT_EQ(node.losses(kTheirs), 0) << "the route was lost for a moment";
    EXPECT_FALSE(node.peer().routes_are_stale);
}

TEST_P(RestartTest, we_come_back_and_a_third_peer_sees_no_flap)
{
    row("graceful restart (RFC 4724), Margay restarts");
    ASSERT_TRUE(daemon->start({kDaemon, kOurAs, {restarting_us(), watcher()}, {}}));
    Node third(executor, kThird, kPort, false, kWatcherAs);
    third.speaker().announcements_complete();
    third.speaker().set_peers({peer(kOurAs, kDaemon, "peer", kThird)});
    auto node = std::make_unique<Node>(executor, kUs, kPort);
    const auto begin = [&](std::vector<std::string> prefixes) {
        for (const std::string& prefix : prefixes)
            node->speaker().announce(net(prefix));
        node->speaker().announcements_complete();
        node->speaker().set_peers({peer()});
    };
    begin({kOurs, kGone});
    ASSERT_TRUE(until([&] {
        return node->synced() && !third.way(kOurs).empty() && !third.way(kGone).empty();
    })) << node->peer().why_down
        << third.peer().why_down;
    node.reset(); // without a word, as after SIGKILL
    ASSERT_TRUE(until_told([&] { return !daemon->up(lab_address(kUs)); }));
    node = std::make_unique<Node>(executor, kUs, kPort, true);
    begin({kOurs});
    EXPECT_TRUE(until([&] { return third.way(kGone).empty(); }, 60s)) << node->peer().why_down;
    EXPECT_TRUE(until([&] { return node->up(); }, 60s));
    EXPECT_EQ(third.losses(kOurs), 0) << "the route was lost for a moment";
    EXPECT_EQ(third.way(kOurs), "10.99.0.2");
    EXPECT_TRUE(learned(kOurs));
}

} // namespace
} // namespace margay::bgp::lab
