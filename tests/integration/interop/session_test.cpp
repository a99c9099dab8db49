// SPDX-License-Identifier: Apache-2.0
// How a session with a daemon begins, lasts and ends.

#include "interop.h"

namespace margay::bgp::lab {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

struct SessionTest : Interop {};

INSTANTIATE_TEST_SUITE_P(With, SessionTest, ::testing::ValuesIn(daemon_kinds()), kind_name);

TEST_P(SessionTest, peer_dials_and_is_let_in)
{
    row("a session that the peer dials");
    Node node(executor, kUs, kPort);
    PeerConfig waits = peer();
    waits.passive = true;
    node.speaker().set_peers({waits});
    ASSERT_TRUE(daemon->start(with(kOurAs, us(), {{kTheirs, {}, {}, {}}})));
    EXPECT_TRUE(until([&] { return node.way(kTheirs) == "10.99.0.2"; })) << node.peer().why_down;
}

TEST_P(SessionTest, three_second_session_is_held_by_keepalives)
{
    row("hold time of 3 s");
    Neighbor neighbor = us();
    neighbor.hold_time = Seconds(3);
    ASSERT_TRUE(daemon->start(with(kOurAs, neighbor)));
    Node node(executor, kUs, kPort);
    node.speaker().set_peers({peer()});
    ASSERT_TRUE(until([&] { return node.up(); })) << node.peer().why_down;
    EXPECT_EQ(node.peer().hold_time, Seconds(3));
    EXPECT_TRUE(until(
        [&] { return node.peer().received.keepalive > 4 && node.peer().sent.keepalive > 4; }));
    EXPECT_EQ(node.peer().established_count, 1u);
}

TEST_P(SessionTest, their_shutdown_says_why)
{
    row("shutdown communication (RFC 9003) from the peer");
    ASSERT_TRUE(daemon->start(with(kOurAs, us(), {{kTheirs, {}, {}, {}}})));
    Node node(executor, kUs, kPort);
    node.speaker().set_peers({peer()});
    ASSERT_TRUE(until([&] { return !node.way(kTheirs).empty(); })) << node.peer().why_down;
    daemon->shut(lab_address(kUs), "new cables today");
    ASSERT_TRUE(until([&] { return !node.up(); }));
    EXPECT_THAT(node.peer().last_notification_received,
                HasSubstr("Administrative Shutdown (6/2): \"new cables today\""));
    EXPECT_TRUE(until([&] { return node.way(kTheirs).empty(); }));
}

TEST_P(SessionTest, our_shutdown_says_why)
{
    row("shutdown communication (RFC 9003) from us");
    ASSERT_TRUE(daemon->start(with(kOurAs, us())));
    Node node(executor, kUs, kPort);
    node.speaker().announce(net(kOurs));
    node.speaker().set_peers({peer()});
    ASSERT_TRUE(learns(kOurs)) << node.peer().why_down;
    node.speaker().shutdown(Speaker::Goodbye::Notify);
    EXPECT_TRUE(forgets(kOurs)) << "at once, in spite of graceful restart";
    EXPECT_TRUE(until_told(
        [&] {
            return (daemon->about(lab_address(kUs)) + daemon->log()).find("margayd stops") !=
                   std::string::npos;
        },
        10s))
        << daemon->about(lab_address(kUs)) << daemon->log();
}

TEST_P(SessionTest, wrong_as_is_refused_in_plain_words)
{
    row("a wrong AS number ends with Bad Peer AS");
    ASSERT_TRUE(daemon->start(with(kTheirAs, us())));
    Node node(executor, kUs, kPort);
    node.speaker().set_peers({peer(Asn{65009})});
    EXPECT_TRUE(until([&] {
        return node.peer().why_down.find("wrong AS: the peer says 65002, configured is 65009") !=
               std::string::npos;
    })) << node.peer().why_down;
}

} // namespace
} // namespace margay::bgp::lab
