// SPDX-License-Identifier: Apache-2.0
#include "maps/table/synced_table.h"

#include <gmock/gmock.h>

#include "support/fake_table.h"

namespace margay::maps {
namespace {

using margay::testing::FakeTable;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

using Table = SyncedTable<int, int, FakeTable<int, int>>;

struct SyncedTableTest : ::testing::Test {
    Table table{FakeTable<int, int>{.contents = {{1, 10}, {2, 20}}}}; // the previous run's
    FakeTable<int, int>& kernel = table.kernel();

    void SetUp() override
    {
        ASSERT_TRUE(table.adopt());
        table.seal();
    }
    Status flush(std::size_t entries = 100)
    {
        Budget budget{entries};
        return table.flush(budget);
    }
};

TEST_F(SyncedTableTest, restart_keeps_what_is_wanted_without_touching_it_and_removes_the_rest)
{
    table.set(1, 10);
    table.set(3, 30);
    ASSERT_TRUE(flush());
    EXPECT_THAT(kernel.contents, ElementsAre(Pair(1, 10), Pair(3, 30)));
    EXPECT_EQ(kernel.writes, 1u) << "entry 1 was right already";
    EXPECT_EQ(kernel.removals, 1u);
    EXPECT_EQ(table.actual_size(), 2u);
}

TEST_F(SyncedTableTest, nothing_is_removed_before_the_wanted_side_is_complete)
{
    Table fresh{FakeTable<int, int>{.contents = {{1, 10}}}};
    ASSERT_TRUE(fresh.adopt());
    fresh.set(5, 50);
    Budget budget{100};
    ASSERT_TRUE(fresh.flush(budget));
    EXPECT_THAT(fresh.kernel().contents, ElementsAre(Pair(1, 10), Pair(5, 50)));
    fresh.seal();
    ASSERT_TRUE(fresh.flush(budget));
    EXPECT_THAT(fresh.kernel().contents, ElementsAre(Pair(5, 50)));
}

TEST_F(SyncedTableTest, full_map_makes_room_from_its_own_stale_entries)
{
    kernel.capacity = 2;
    table.set(2, 20);
    table.set(3, 30);
    ASSERT_TRUE(flush());
    EXPECT_THAT(kernel.contents, ElementsAre(Pair(2, 20), Pair(3, 30)));
}

TEST_F(SyncedTableTest, full_map_without_stale_entries_says_so_and_keeps_the_entry_pending)
{
    kernel.capacity = 2;
    table.set(1, 10);
    table.set(2, 20);
    table.set(3, 30);
    const Status status = flush();
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, Errc::Full);
    EXPECT_EQ(table.pending(), 1u);
    kernel.capacity = 3;
    ASSERT_TRUE(flush());
    EXPECT_EQ(kernel.contents.at(3), 30);
}

TEST_F(SyncedTableTest, writes_come_before_removals_and_the_budget_bounds_both)
{
    table.set(3, 30);
    table.set(4, 40);
    ASSERT_TRUE(flush(3));
    EXPECT_THAT(kernel.order, ElementsAre('w', 'w', 'r'));
    EXPECT_EQ(table.pending(), 1u);
}

TEST_F(SyncedTableTest, one_refused_entry_does_not_hold_up_the_others_and_is_tried_again)
{
    kernel.refuses = {3};
    table.set(1, 10);
    table.set(2, 20);
    table.set(3, 30);
    table.set(4, 40);
    EXPECT_FALSE(flush());
    EXPECT_THAT(kernel.contents, ElementsAre(Pair(1, 10), Pair(2, 20), Pair(4, 40)));
    EXPECT_EQ(table.pending(), 1u);
    kernel.refuses.clear();
    ASSERT_TRUE(flush());
    EXPECT_EQ(kernel.contents.at(3), 30);
}

TEST_F(SyncedTableTest, removals_wait_until_every_replacement_is_in)
{
    kernel.refuses = {3};
    table.set(3, 30);
    EXPECT_FALSE(flush());
    EXPECT_EQ(kernel.removals, 0u);
}

TEST_F(SyncedTableTest, change_that_is_taken_back_before_the_flush_costs_nothing)
{
    table.set(1, 10);
    table.set(2, 20);
    table.set(1, 11);
    table.set(1, 10);
    table.set(9, 90);
    table.erase(9);
    table.erase(2);
    table.set(2, 20);
    EXPECT_EQ(table.pending(), 0u);
    ASSERT_TRUE(flush());
    EXPECT_THAT(kernel.order, IsEmpty());
}

TEST_F(SyncedTableTest, key_that_goes_and_comes_back_between_flushes_is_written_once)
{
    table.set(1, 10);
    table.set(2, 20);
    table.set(9, 90);
    table.erase(9);
    table.set(9, 91);
    table.erase(1);
    table.set(1, 12);
    EXPECT_EQ(table.pending(), 2u);
    ASSERT_TRUE(flush());
    EXPECT_THAT(kernel.contents, ElementsAre(Pair(1, 12), Pair(2, 20), Pair(9, 91)));
    EXPECT_THAT(kernel.order, ElementsAre('w', 'w'));
}

TEST_F(SyncedTableTest, entry_in_the_place_of_one_that_was_taken_back_is_nobodys_old_change)
{
    table.set(1, 10);
    table.set(2, 20);
    table.set(9, 90);
    table.erase(9);
    table.set(8, 80);
    ASSERT_TRUE(flush());
    table.erase(8);
    table.set(7, 70);
    EXPECT_EQ(table.pending(), 2u);
    ASSERT_TRUE(flush());
    EXPECT_THAT(kernel.contents, ElementsAre(Pair(1, 10), Pair(2, 20), Pair(7, 70)));
    EXPECT_EQ(kernel.writes, 2u);
    EXPECT_EQ(table.pending(), 0u);
}

TEST_F(SyncedTableTest, set_says_whether_the_kernel_has_something_else)
{
    EXPECT_FALSE(table.set(1, 10));
    EXPECT_TRUE(table.set(1, 11));
    EXPECT_EQ(table.actual(1), 10);
    EXPECT_FALSE(table.set(1, 10));
    EXPECT_TRUE(table.set(3, 30));
    EXPECT_FALSE(table.actual(3));
}

TEST_F(SyncedTableTest, second_adoption_repairs_what_somebody_else_changed)
{
    table.set(1, 10);
    table.set(2, 20);
    ASSERT_TRUE(flush());
    kernel.contents = {{1, 99}, {7, 70}};
    ASSERT_TRUE(table.adopt());
    ASSERT_TRUE(flush());
    EXPECT_THAT(kernel.contents, ElementsAre(Pair(1, 10), Pair(2, 20)));
}

TEST_F(SyncedTableTest, failed_removal_stays_pending)
{
    kernel.refuses = {1};
    EXPECT_FALSE(flush());
    EXPECT_THAT(kernel.contents, ElementsAre(Pair(1, 10)));
    EXPECT_EQ(table.pending(), 1u);
    kernel.refuses.clear();
    ASSERT_TRUE(flush());
    EXPECT_THAT(kernel.contents, IsEmpty());
    EXPECT_EQ(table.actual_size(), 0u);
}

} // namespace
} // namespace margay::maps
