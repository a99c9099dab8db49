// SPDX-License-Identifier: Apache-2.0
// Route reflection (RFC 4456) among daemons and us, in both roles.

#include "interop.h"

namespace margay::bgp::lab {
namespace {

using ::testing::ElementsAre;

struct ReflectionTest : Interop {
    std::unique_ptr<Daemon> second = GetParam().make();
};

INSTANTIATE_TEST_SUITE_P(With, ReflectionTest, ::testing::ValuesIn(daemon_kinds()), kind_name);

TEST_P(ReflectionTest, we_reflect_between_two_of_them)
{
    row("route reflection, Margay reflects");
    DaemonConfig one = with(kOurAs, us(), {{kTheirs, {"64512:5"}, {}, {}}}), other = one;
    other.host = kThird;
    other.routes = {{"10.3.0.0/26", {}, {}, {}}};
    ASSERT_TRUE(daemon->start(one));
    ASSERT_TRUE(second->start(other));
    Node node(executor, kUs, kPort);
    PeerConfig to_one = peer(kOurAs, kDaemon, "one"), to_other = peer(kOurAs, kThird, "other");
    to_one.reflector_client = to_other.reflector_client = true;
    node.speaker().set_peers({to_one, to_other});
    ASSERT_TRUE(learns("10.3.0.0/26"));
    const auto at_other = [&] { return second->learned(kTheirs, lab_address(kUs)); };
    ASSERT_TRUE(until_told([&] { return !at_other().empty(); }));
    const LearnedPath path = at_other().front();
    EXPECT_EQ(path.next_hop, "10.99.0.2");
    EXPECT_EQ(path.originator_id, "10.99.0.2");
    EXPECT_THAT(path.clusters, ElementsAre("10.99.0.1"));
    EXPECT_THAT(path.communities, ElementsAre("64512:5"));
    EXPECT_EQ(path.local_pref, 100u);
    EXPECT_FALSE(learned(kTheirs)) << "its own route does not come back";
    daemon->withdraw(kTheirs);
    EXPECT_TRUE(until_told([&] { return at_other().empty(); }));
}

TEST_P(ReflectionTest, one_of_them_reflects_between_us_and_another)
{
    row("route reflection, Margay is the client");
    Neighbor first = us(), third = us();
    third.address = lab_address(kThird);
    first.client = third.client = true;
    ASSERT_TRUE(daemon->start({kDaemon, kOurAs, {first, third}, {}}));
    Node node(executor, kUs, kPort), other(executor, kThird, kPort);
    node.speaker().announce(net(kOurs));
    other.speaker().announce(net("10.3.0.0/26"));
    node.speaker().set_peers({peer()});
    other.speaker().set_peers({peer(kOurAs, kDaemon, "peer", kThird)});
    ASSERT_TRUE(until([&] {
        return other.way(kOurs) == "10.99.0.1" && node.way("10.3.0.0/26") == "10.99.0.3";
    })) << node.peer().why_down
        << other.peer().why_down;
    const auto path = route(other, kOurs);
    ASSERT_TRUE(path);
    EXPECT_EQ(path->originator_id, lab_address(kUs).v4());
    EXPECT_THAT(path->cluster_list, ElementsAre(lab_address(kDaemon).v4()));
    EXPECT_EQ(path->local_pref, kNormalLocalPref);
    node.speaker().withdraw(net(kOurs));
    EXPECT_TRUE(until([&] { return other.way(kOurs).empty(); }));
    EXPECT_EQ(node.way("10.3.0.0/26"), "10.99.0.3");
}

} // namespace
} // namespace margay::bgp::lab
