// SPDX-License-Identifier: Apache-2.0
#include "agent/routing/join.h"

#include <gmock/gmock.h>

#include "support/addresses.h"

namespace margay::routing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Reach = Decision::Reach;

struct JoinTest : ::testing::Test {
    const Prefix4 block = *Prefix4::parse("10.244.1.0/26");
    const Ipv4 node = ip("172.31.1.12");
    const Ipv4 router = ip("172.31.1.1");
    Join join;

    Decision one_change()
    {
        auto changes = join.take_changes();
        if (changes.size() != 1 || !changes[0].decision) {
            ADD_FAILURE() << changes.size() << " changes";
            return {};
        }
        EXPECT_EQ(changes[0].prefix, block);
        return *changes[0].decision;
    }
};

TEST_F(JoinTest, owned_prefix_with_a_bgp_path_is_tunnelled_to_its_owner)
{
    join.set_peers({node});
    join.set_bgp_settled();
    join.set_owned(block, Owned{"n2", node, true});
    join.set_learned(block, {router}); // a reflector that sets itself as next hop
    const auto decision = one_change();
    EXPECT_EQ(decision.reach, Reach::Tunnel);
    EXPECT_THAT(decision.next_hops, ElementsAre(node));
    EXPECT_TRUE(decision.by_bgp);
}

TEST_F(JoinTest, untunnelled_prefix_follows_the_bgp_next_hops)
{
    join.set_owned(block, Owned{"n2", node, false});
    join.set_learned(block, {router, node});
    const auto decision = one_change();
    EXPECT_EQ(decision.reach, Reach::Routed);
    EXPECT_THAT(decision.next_hops, ElementsAre(router, node));
}

TEST_F(JoinTest, node_that_is_no_peer_is_routed_by_the_datastore_alone)
{
    join.set_bgp_settled();
    join.set_owned(block, Owned{"n2", node, true});
    EXPECT_EQ(one_change().reach, Reach::Tunnel);
}

TEST_F(JoinTest, restart_keeps_the_datastores_word_until_bgp_has_settled)
{
    join.set_peers({node});
    join.set_owned(block, Owned{"n2", node, true});
    EXPECT_EQ(one_change().reach, Reach::Tunnel);
    join.set_bgp_settled();
    const auto decision = one_change();
    EXPECT_EQ(decision.reach, Reach::Unreachable);
    EXPECT_NE(decision.why.find("n2 (172.31.1.12)"), std::string::npos);
}

TEST_F(JoinTest, withdrawal_makes_a_peers_prefix_unreachable_but_not_unknown)
{
    join.set_peers({node});
    join.set_bgp_settled();
    join.set_owned(block, Owned{"n2", node, true});
    join.set_learned(block, {node});
    (void)join.take_changes();
    join.set_learned(block, {});
    const auto decision = one_change();
    EXPECT_EQ(decision.reach, Reach::Unreachable);
    EXPECT_TRUE(decision.owned);
}

TEST_F(JoinTest, prefix_that_only_bgp_knows_is_tunnelled_only_to_a_node_and_in_a_tunnelled_pool)
{
    join.set_learned(block, {node});
    EXPECT_EQ(one_change().reach, Reach::Routed);
    join.set_node(node, "bird");
    auto decision = one_change();
    EXPECT_EQ(decision.reach, Reach::Routed);
    EXPECT_EQ(decision.node, "bird");
    join.set_tunnelled_pools({*Prefix4::parse("10.244.0.0/16")});
    EXPECT_EQ(one_change().reach, Reach::Tunnel);
    join.set_node(node, std::nullopt);
    EXPECT_EQ(one_change().reach, Reach::Routed);
}

TEST_F(JoinTest, lost_nodes_prefix_still_counts_as_tunnelled)
{
    join.set_peers({node});
    join.set_bgp_settled();
    join.set_owned(block, Owned{"n2", node, true});
    const auto decision = one_change();
    EXPECT_EQ(decision.reach, Reach::Unreachable);
    EXPECT_TRUE(decision.tunnelled);
}

TEST_F(JoinTest, silence_about_a_pool_that_is_not_announced_says_nothing)
{
    join.set_peers({node});
    join.set_bgp_settled();
    join.set_owned(block, Owned{"n2", node, true, false});
    EXPECT_EQ(one_change().reach, Reach::Tunnel);
}

TEST_F(JoinTest, new_speaker_keeps_what_was_learned_until_it_has_settled)
{
    join.set_peers({node});
    join.set_bgp_settled();
    join.set_learned(block, {router}, 100);
    (void)join.take_changes();
    join.begin_relearning();
    EXPECT_FALSE(join.bgp_settled());
    EXPECT_THAT(join.take_changes(), IsEmpty());
    join.set_bgp_settled();
    const auto changes = join.take_changes();
    ASSERT_EQ(changes.size(), 1u);
    EXPECT_FALSE(changes[0].decision);
}

TEST_F(JoinTest, route_that_only_bgp_knows_never_beats_the_hosts_own)
{
    join.set_learned(block, {router}, 100);
    EXPECT_EQ(one_change().metric, 2147483547u);
    join.set_learned(block, {router}, 2147482623);
    EXPECT_EQ(one_change().metric, 1024u);
    join.set_owned(block, Owned{"n2", node, true});
    EXPECT_EQ(one_change().metric, 0u);
}

TEST_F(JoinTest, prefix_that_nobody_knows_any_more_is_forgotten_once)
{
    join.set_owned(block, Owned{"n2", node, true});
    (void)join.take_changes();
    join.set_owned(block, std::nullopt);
    const auto changes = join.take_changes();
    ASSERT_EQ(changes.size(), 1u);
    EXPECT_FALSE(changes[0].decision);
    EXPECT_THAT(join.take_changes(), IsEmpty());
    EXPECT_EQ(join.find(block), nullptr);
}

TEST_F(JoinTest, what_a_portion_leaves_comes_with_the_next)
{
    for (std::uint32_t i = 0; i < 5; ++i)
        join.set_learned(Prefix4{Ipv4(0x0a000000 + (i << 8)), 24}, {router}, 100);
    EXPECT_EQ(join.take_changes(3).size(), 3u);
    EXPECT_TRUE(join.pending());
    EXPECT_EQ(join.take_changes(3).size(), 2u);
    EXPECT_FALSE(join.pending());
    for (std::uint32_t i = 0; i < 5; ++i)
        EXPECT_NE(join.find(Prefix4{Ipv4(0x0a000000 + (i << 8)), 24}), nullptr);
}

TEST_F(JoinTest, prefixes_that_are_reached_alike_share_a_decision)
{
    const Prefix4 other = *Prefix4::parse("10.244.2.0/26");
    join.set_learned(block, {router, node}, 100);
    join.set_learned(other, {node, router}, 100);
    auto changes = join.take_changes();
    ASSERT_EQ(changes.size(), 2u);
    EXPECT_EQ(changes[0].decision, changes[1].decision);
    EXPECT_EQ(join.find(block), join.find(other));

    join.set_node(node, "bird");
    join.set_tunnelled_pools({block});
    changes = join.take_changes();
    ASSERT_EQ(changes.size(), 2u);
    EXPECT_NE(join.find(block), join.find(other)) << "one is in a tunnelled pool";
    EXPECT_EQ(join.find(block)->reach, Reach::Tunnel);
    EXPECT_EQ(join.find(other)->reach, Reach::Routed);
}

TEST_F(JoinTest, fact_that_changes_nothing_is_no_change)
{
    join.set_owned(block, Owned{"n2", node, true});
    (void)join.take_changes();
    join.set_owned(block, Owned{"n2", node, true});
    join.set_learned(block, {});
    join.set_peers({});
    EXPECT_THAT(join.take_changes(), IsEmpty());
}

} // namespace
} // namespace margay::routing
