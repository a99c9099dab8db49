// SPDX-License-Identifier: Apache-2.0
// Every write of every operation is cut off, before it and just after it, and lost to another
// writer. What must hold always is World::check(); what must hold after the restart is that work
// goes on and that nothing leaks.
#include "world.h"

namespace margay::ipam {
namespace {

using ::testing::SizeIs;
using Fate = margay::testing::FakeKv::Fate;

constexpr Fate kFates[] = {Fate::CrashBefore, Fate::CrashAfter, Fate::Conflict, Fate::Unavailable};

// Runs `operation` on a fresh world for each write and fate; `after` is the restarted process.
template <typename Prepare, typename Operation, typename After>
int at_every_write(Prepare prepare, Operation operation, After after)
{
    int cases = 0;
    for (const Fate fate : kFates) {
        for (int number = 1;; number++) {
            World world;
            prepare(world);
            NodeOf node{world, "n1"};
            node.kv.fail_write(number, fate);
            operation(node);
            world.check();
            if (node.kv.writes.size() < static_cast<std::size_t>(number))
                break;
            SCOPED_TRACE("write " + std::to_string(number) + " fate " +
                         std::to_string(static_cast<int>(fate)) + " " +
                         node.kv.writes[static_cast<std::size_t>(number) - 1].key);
            after(world);
            world.check();
            cases++;
        }
    }
    return cases;
}

TEST(Crash, interrupted_assignment_is_undone_by_its_handle_and_the_node_goes_on)
{
    const int cases =
        at_every_write([](World& world) { world.pool("p", "10.0.0.0/27", 28); },
                       [](NodeOf& node) { (void)node.take(1, "pod"); },
                       [](World& world) {
                           NodeOf other{world, "n2"};
                           EXPECT_THAT(other.take(1, "theirs")->addresses, SizeIs(1));
                           NodeOf restarted{world, "n1"};
                           ASSERT_TRUE(restarted.ipam.release_by_handle("pod"));
                           ASSERT_THAT(restarted.take(1, "pod")->addresses, SizeIs(1));
                           ASSERT_TRUE(restarted.ipam.release_by_handle("pod"));
                           EXPECT_EQ(world.in_use(), 1u) << "the other node's";
                           EXPECT_FALSE(world.table->entries.contains(handle_key("pod")));
                       });
    EXPECT_GE(cases, 4 * 5);
}

TEST(Crash, interrupted_assignment_over_two_blocks_leaks_nothing)
{
    at_every_write([](World& world) { world.pool("p", "10.0.0.0/28", 30); },
                   [](NodeOf& node) { (void)node.take(6, "pod"); },
                   [](World& world) {
                       NodeOf restarted{world, "n1"};
                       ASSERT_TRUE(restarted.ipam.release_by_handle("pod"));
                       EXPECT_EQ(world.in_use(), 0u);
                       EXPECT_EQ(world.count("/calico/ipam/v2/handle/"), 0u);
                       EXPECT_THAT(restarted.take(16, "all")->addresses, SizeIs(16))
                           << "every block of the pool can be had";
                   });
}

TEST(Crash, interrupted_release_is_finished_by_calling_it_again)
{
    at_every_write(
        [](World& world) {
            world.pool("p", "10.0.0.0/28", 30);
            NodeOf before{world, "n1"};
            ASSERT_THAT(before.take(6, "pod")->addresses, SizeIs(6));
        },
        [](NodeOf& node) { (void)node.ipam.release_by_handle("pod"); },
        [](World& world) {
            NodeOf restarted{world, "n1"};
            ASSERT_TRUE(restarted.ipam.release_by_handle("pod"));
            EXPECT_EQ(world.in_use(), 0u);
            EXPECT_EQ(world.count("/calico/ipam/v2/handle/"), 0u);
        });
}

TEST(Crash, interrupted_release_of_a_block_is_repaired_by_the_next_claim)
{
    const Prefix4 cidr = *Prefix4::parse("10.0.0.0/30");
    at_every_write(
        [&](World& world) {
            NodeOf before{world, "n1"};
            ASSERT_TRUE(*before.ipam.claim(cidr));
        },
        [&](NodeOf& node) { (void)node.ipam.release_affinity("n1", cidr, true); },
        [&](World& world) {
            NodeOf restarted{world, "n1"};
            ASSERT_TRUE(*restarted.ipam.claim(cidr));
            EXPECT_EQ(world.blocks().at(0).affinity, "host:n1");
        });
}

TEST(Crash, interrupted_takeover_of_an_empty_block_leaves_it_to_one_node)
{
    at_every_write(
        [](World& world) {
            world.pool("p", "10.0.0.0/30", 30);
            NodeOf other{world, "n2"};
            ASSERT_TRUE(*other.ipam.claim(*Prefix4::parse("10.0.0.0/30")));
            world.clock.wall_time += std::chrono::minutes(2);
        },
        [](NodeOf& node) { (void)node.take(1, "pod"); },
        [](World& world) {
            NodeOf other{world, "n2"};
            EXPECT_THAT(other.take(1, "theirs")->addresses, SizeIs(1));
            NodeOf restarted{world, "n1"};
            ASSERT_TRUE(restarted.ipam.release_by_handle("pod"));
            EXPECT_THAT(restarted.take(1, "pod")->addresses, SizeIs(1));
            EXPECT_EQ(world.blocks().size(), 1u);
            EXPECT_EQ(world.in_use(), 2u);
        });
}

TEST(Crash, handle_taken_away_under_a_running_assignment_is_counted_again)
{
    World world;
    world.pool("p", "10.0.0.0/28", 28);
    NodeOf n1{world, "n1"};
    NodeOf other{world, "n1"};
    n1.kv.before_write = [&](const auto& write) {
        if (write.op == "update" && write.key.starts_with(kBlockPrefix))
            (void)other.ipam.release_by_handle("pod");
        return Fate::Normal;
    };
    ASSERT_THAT(n1.take(1, "pod")->addresses, SizeIs(1));
    world.check();
}

} // namespace
} // namespace margay::ipam
