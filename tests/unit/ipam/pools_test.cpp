// SPDX-License-Identifier: Apache-2.0
#include "agent/ipam/pools.h"

#include <gmock/gmock.h>

#include <set>

namespace margay::ipam {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Pool pool(const char* name, const char* cidr)
{
    Pool result;
    result.spec.name = name;
    result.spec.cidr = *Prefix4::parse(cidr);
    return result;
}

std::vector<std::string> names(const std::vector<Pool>& pools)
{
    std::vector<std::string> result;
    for (const Pool& p : pools)
        result.push_back(p.spec.name);
    return result;
}

struct PoolsTest : ::testing::Test {
    std::vector<Pool> all{pool("b", "10.1.0.0/16"), pool("a", "10.2.0.0/16")};
    PoolChoice choice;

    std::vector<std::string> chosen()
    {
        const auto result = choose_pools(all, choice);
        return result ? names(*result) : std::vector<std::string>{result.error().what};
    }
};

TEST_F(PoolsTest, pools_are_used_in_the_order_of_their_names)
{
    EXPECT_THAT(chosen(), ElementsAre("a", "b"));
}

TEST_F(PoolsTest, disabled_deleted_manual_and_unselected_pools_give_nothing)
{
    all[0].spec.disabled = true;
    all[1].allocatable = false;
    EXPECT_THAT(chosen(), IsEmpty());
    all = {pool("a", "10.1.0.0/16"), pool("b", "10.2.0.0/16"), pool("c", "10.3.0.0/16")};
    all[0].spec.manual = true;
    all[1].spec.node_selector = *model::Selector::parse("rack == 'x'");
    all[2].spec.namespace_selector = *model::Selector::parse("has(team)");
    EXPECT_THAT(chosen(), IsEmpty());
    choice.node_labels.set("rack", "x");
    choice.namespace_labels.set("team", "y");
    EXPECT_THAT(chosen(), ElementsAre("b", "c"));
}

TEST_F(PoolsTest, use_decides)
{
    all[0].spec.for_tunnels = false;
    choice.use = Use::Tunnel;
    EXPECT_THAT(chosen(), ElementsAre("a"));
}

TEST_F(PoolsTest, named_pools_skip_selectors_but_not_being_disabled)
{
    all[0].spec.manual = true;
    all[0].spec.node_selector = *model::Selector::parse("rack == 'x'");
    choice.names = {"b"};
    EXPECT_THAT(chosen(), ElementsAre("b"));
    choice.names = {"10.1.0.0/16"};
    EXPECT_THAT(chosen(), ElementsAre("b"));
    all[0].spec.disabled = true;
    EXPECT_THAT(chosen(), ElementsAre("pool 10.1.0.0/16 is disabled or being deleted"));
    choice.names = {"z"};
    EXPECT_THAT(chosen(), ElementsAre("pool z does not exist"));
}

TEST(BlockWalk, visits_every_block_once_from_a_start_of_its_node)
{
    const Prefix4 cidr = *Prefix4::parse("10.0.0.0/24");
    const TakenRanges nothing({});
    std::set<Prefix4> seen;
    std::set<Prefix4> starts;
    for (const char* node : {"n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8"}) {
        BlockWalk walk(cidr, 28, node);
        seen.clear();
        std::uint64_t rank = 0;
        while (const auto block = walk.next(nothing)) {
            if (seen.empty())
                starts.insert(*block);
            EXPECT_EQ(walk.rank(block->addr), rank++);
            EXPECT_TRUE(cidr.contains(*block));
            EXPECT_TRUE(seen.insert(*block).second);
        }
        EXPECT_EQ(seen.size(), 16u);
    }
    EXPECT_GT(starts.size(), 2u);
    EXPECT_EQ(fnv1_32("a"), 0x050c5d7eu) << "FNV-1 with 32 bits";
}

TEST(BlockWalk, passes_over_blocks_of_any_size_that_overlap)
{
    BlockWalk walk(*Prefix4::parse("10.0.0.0/24"), 26, "n1");
    const TakenRanges taken({*Prefix4::parse("10.0.0.0/25"), *Prefix4::parse("10.0.0.130/32")});

    EXPECT_EQ(walk.next(taken)->str(), "10.0.0.192/26");
    EXPECT_EQ(walk.next(taken), std::nullopt);
}

TEST(BlockWalk, full_large_pool_ends_at_once_and_small_pool_has_no_block)
{
    BlockWalk huge(*Prefix4::parse("0.0.0.0/0"), 32, "n1");
    EXPECT_EQ(huge.next(TakenRanges({*Prefix4::parse("0.0.0.0/0")})), std::nullopt);
    BlockWalk small(*Prefix4::parse("10.0.0.0/28"), 26, "n1");
    EXPECT_EQ(small.next(TakenRanges({})), std::nullopt);
    BlockWalk top(*Prefix4::parse("255.255.255.0/24"), 26, "n1");
    int count = 0;
    while (top.next(TakenRanges({})))
        count++;
    EXPECT_EQ(count, 4);
}

} // namespace
} // namespace margay::ipam
