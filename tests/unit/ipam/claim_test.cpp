// SPDX-License-Identifier: Apache-2.0
#include "world.h"

namespace margay::ipam {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using State = Affinity::State;
using Fate = margay::testing::FakeKv::Fate;

const Prefix4 kCidr = *Prefix4::parse("10.0.0.0/28");

struct ClaimTest : ::testing::Test {
    World world;
    NodeOf n1{world, "n1"};
    NodeOf n2{world, "n2"};

    void affinity(const std::string& node, State state)
    {
        world.table->write(affinity_key(node, kCidr), encode_affinity(Affinity{state, {}}));
    }
    void block(const std::string& owner)
    {
        world.table->write(block_key(kCidr),
                           encode_block(new_block(kCidr, owner, world.clock.wall())));
    }
    bool exists(const std::string& key) const { return world.table->entries.contains(key); }
    State state(const std::string& node) const
    {
        return decode_affinity(world.table->entries.at(affinity_key(node, kCidr)).value).state;
    }
};

TEST_F(ClaimTest, claim_writes_pending_then_block_then_confirmed)
{
    ASSERT_TRUE(*n1.ipam.claim(kCidr));

    ASSERT_THAT(n1.kv.writes, SizeIs(3));
    EXPECT_EQ(n1.kv.writes[0].key, affinity_key("n1", kCidr));
    EXPECT_EQ(n1.kv.writes[0].value, R"({"state":"pending","deleted":false})");
    EXPECT_EQ(n1.kv.writes[1].key, block_key(kCidr));
    EXPECT_EQ(n1.kv.writes[2].value, R"({"state":"confirmed","deleted":false})");
    EXPECT_THAT(n1.ipam.take_repairs(), IsEmpty());
    world.check();
}

TEST_F(ClaimTest, block_of_another_node_is_not_claimed_and_no_affinity_stays)
{
    ASSERT_TRUE(*n2.ipam.claim(kCidr));

    EXPECT_FALSE(*n1.ipam.claim(kCidr));
    EXPECT_FALSE(exists(affinity_key("n1", kCidr)));
    world.check();
}

TEST_F(ClaimTest, node_that_is_faster_between_two_writes_wins)
{
    n1.kv.before_write = [&](const auto& write) {
        if (write.op == "create" && write.key == block_key(kCidr)) {
            EXPECT_TRUE(*n2.ipam.claim(kCidr));
        }
        return Fate::Normal;
    };
    EXPECT_FALSE(*n1.ipam.claim(kCidr));
    EXPECT_FALSE(exists(affinity_key("n1", kCidr)));
    EXPECT_EQ(state("n2"), State::Confirmed);
    world.check();
}

TEST_F(ClaimTest, confirmed_affinity_without_block_gets_one)
{
    affinity("n1", State::Confirmed);
    ASSERT_TRUE(*n1.ipam.claim(kCidr));
    EXPECT_EQ(state("n1"), State::Confirmed);
    EXPECT_THAT(n1.ipam.take_repairs(), SizeIs(1));
    world.check();
}

TEST_F(ClaimTest, affinity_for_another_nodes_block_is_removed)
{
    for (const State s : {State::Confirmed, State::Pending, State::PendingDeletion}) {
        affinity("n1", s);
        block("host:n2");
        EXPECT_FALSE(*n1.ipam.claim(kCidr));
        EXPECT_FALSE(exists(affinity_key("n1", kCidr)));
    }
}

TEST_F(ClaimTest, unconfirmed_affinity_with_own_block_is_finished_and_a_racing_releaser_loses)
{
    for (const State s : {State::Pending, State::PendingDeletion}) {
        affinity("n1", s);
        block("host:n1");
        const auto seen_by_releaser = world.table->entries.at(block_key(kCidr)).mod_revision;
        ASSERT_TRUE(*n1.ipam.claim(kCidr));
        EXPECT_EQ(state("n1"), State::Confirmed);
        EXPECT_EQ(n2.kv.remove(block_key(kCidr), seen_by_releaser)->refused, Errc::Conflict);
        world.check();
    }
}

TEST_F(ClaimTest, own_block_that_lost_its_affinity_gets_it_back)
{
    block("host:n1");
    ASSERT_TRUE(*n1.ipam.claim(kCidr));
    world.check();
}

TEST_F(ClaimTest, block_without_owner_is_not_taken)
{
    Block orphan = new_block(kCidr, "", world.clock.wall());
    orphan.affinity.reset();
    world.table->write(block_key(kCidr), encode_block(orphan));
    EXPECT_FALSE(*n1.ipam.claim(kCidr));
}

TEST_F(ClaimTest, overlapping_block_that_appears_during_the_claim_makes_us_withdraw)
{
    const Prefix4 larger = *Prefix4::parse("10.0.0.0/26");
    n1.kv.before_write = [&](const auto& write) {
        if (write.op == "create" && write.key == block_key(kCidr)) {
            EXPECT_TRUE(*n2.ipam.claim(larger));
        }
        return Fate::Normal;
    };
    EXPECT_FALSE(*n1.ipam.claim(kCidr));
    EXPECT_FALSE(exists(block_key(kCidr)));
    EXPECT_FALSE(exists(affinity_key("n1", kCidr)));
    EXPECT_THAT(n1.ipam.take_repairs(), ::testing::Contains(HasSubstr("overlaps")));
    world.check();
}

TEST_F(ClaimTest, giving_up_an_empty_block_removes_it_and_a_used_one_keeps_its_addresses)
{
    ASSERT_TRUE(*n1.ipam.claim(kCidr));
    ASSERT_TRUE(n1.ipam.release_affinity("n1", kCidr, true));
    EXPECT_EQ(world.count("/calico/ipam/v2/"), 0u);

    world.pool("p", "10.0.0.0/28", 28);
    ASSERT_TRUE(n1.take(1, "h"));
    const Status refused = n1.ipam.release_affinity("n1", kCidr, true);
    EXPECT_EQ(refused.error().code, Errc::Exists);
    EXPECT_EQ(state("n1"), State::Confirmed) << "a refusal changes nothing";
    ASSERT_TRUE(n1.ipam.release_affinity("n1", kCidr, false));
    EXPECT_EQ(world.blocks().at(0).affinity, std::nullopt);
    EXPECT_EQ(world.in_use(), 1u);

    ASSERT_TRUE(*n1.ipam.release_by_handle("h"));
    EXPECT_EQ(world.count("/calico/ipam/v2/"), 0u) << "a block without owner goes when empty";
}

TEST_F(ClaimTest, endless_conflicts_end_with_an_error)
{
    n1.kv.before_write = [](const auto&) { return Fate::Conflict; };
    const auto claimed = n1.ipam.claim(kCidr);
    ASSERT_FALSE(claimed);
    EXPECT_EQ(claimed.error().code, Errc::Conflict);
    EXPECT_LE(n1.kv.writes.size(), static_cast<std::size_t>(2 * kRetries));
}

} // namespace
} // namespace margay::ipam
