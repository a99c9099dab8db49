// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/path_slots.h"

#include "maps/routes.h"

#include <gmock/gmock.h>

#include <algorithm>

namespace margay::datapath {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using Chosen = std::vector<std::uint8_t>;

TEST(PathSlotsTest, slot_zero_is_never_given_away)
{
    PathSlots slots(8);
    EXPECT_FALSE(slots.take(SlotRun{0, 1}));
    EXPECT_EQ(slots.take(1), (SlotRun{1, 1}));
    EXPECT_FALSE(slots.take(7));
}

TEST(PathSlotsTest, runs_are_neighbours_and_what_was_given_back_rests_until_the_search_comes_round)
{
    PathSlots slots(9);
    ASSERT_EQ(slots.take(2), (SlotRun{1, 2}));
    ASSERT_EQ(slots.take(3), (SlotRun{3, 3}));
    slots.give_back({1, 2});
    EXPECT_EQ(slots.take(2), (SlotRun{6, 2})) << "never used, so these come first";
    EXPECT_EQ(slots.take(2), (SlotRun{1, 2})) << "8 has no neighbour";
    EXPECT_EQ(slots.take(1), (SlotRun{8, 1}));
    EXPECT_FALSE(slots.take(1));
}

TEST(PathSlotsTest, run_of_a_damaged_map_is_refused)
{
    PathSlots slots(100);
    ASSERT_TRUE(slots.take(SlotRun{50, 4}));
    EXPECT_FALSE(slots.take(SlotRun{53, 2})) << "a part is another's";
    EXPECT_FALSE(slots.take(SlotRun{99, 2})) << "beyond the end";
    EXPECT_FALSE(slots.take(SlotRun{100, 1}));
    EXPECT_FALSE(slots.take(SlotRun{0xffffffff, 2}));
    EXPECT_FALSE(slots.take(SlotRun{60, 0xffffffff}));
    EXPECT_FALSE(slots.take(SlotRun{60, 0}));
    EXPECT_TRUE(slots.take(SlotRun{54, 1}));
}

TEST(PathSlotsTest, all_slots_can_be_taken_and_taken_again)
{
    PathSlots slots(PATH_SLOTS);
    for (int round = 0; round < 2; round++) {
        for (std::uint32_t i = 0; i < PATH_SLOTS / 2 - 1; i++)
            ASSERT_TRUE(slots.take(2));
        EXPECT_FALSE(slots.take(2));
        ASSERT_EQ(slots.take(1)->count, 1u);
        slots.give_back({1, PATH_SLOTS - 1});
    }
}

Chosen spread_to(Chosen slots, std::size_t paths)
{
    spread_over(slots, paths);
    return slots;
}

// How many slots the poorest and the richest path have.
std::pair<std::ptrdiff_t, std::ptrdiff_t> shares(const Chosen& chosen, std::uint8_t paths)
{
    std::vector<std::ptrdiff_t> held;
    for (std::uint8_t path = 0; path < paths; path++)
        held.push_back(std::ranges::count(chosen, path));
    const auto [least, most] = std::ranges::minmax(held);
    return {least, most};
}

TEST(SpreadTest, every_number_of_paths_is_spread_as_evenly_as_its_run_allows)
{
    for (std::uint8_t paths = 1; paths <= 32; paths++) {
        const Chosen nothing(run_for(paths), kOtherPath);
        const auto [least, most] = shares(spread_to(nothing, paths), paths);
        EXPECT_GE(least, 1) << int{paths};
        EXPECT_LE(most - least, nothing.size() % paths == 0 ? 0 : 1) << int{paths};
    }
    EXPECT_EQ(run_for(4) % 3, 0u) << "of four paths one may go";
    EXPECT_LE(run_for(32), std::uint32_t{PATH_SPREAD_MAX});
}

TEST(SpreadTest, slots_of_living_paths_do_not_change_when_one_goes)
{
    const Chosen all = spread_to(Chosen(12, kOtherPath), 4);
    // Path 1 goes, so 2 is 1 now and 3 is 2.
    Chosen before;
    for (const std::uint8_t path : all)
        before.push_back(path == 1 ? kOtherPath : path > 1 ? std::uint8_t(path - 1) : path);

    const Chosen after = spread_to(before, 3);

    EXPECT_EQ(shares(after, 3), (std::pair<std::ptrdiff_t, std::ptrdiff_t>{4, 4}));
    for (std::size_t slot = 0; slot < before.size(); slot++)
        if (before[slot] != kOtherPath) {
            EXPECT_EQ(after[slot], before[slot]) << slot;
        }
}

TEST(SpreadTest, path_that_comes_back_finds_the_slots_that_it_had)
{
    const Chosen all = spread_to(Chosen(12, kOtherPath), 3);
    Chosen without(all);
    for (auto& path : without)
        path = path == 0 ? kOtherPath : std::uint8_t(path - 1);
    Chosen again;
    for (const std::uint8_t path : spread_to(without, 2))
        again.push_back(std::uint8_t(path + 1));
    EXPECT_EQ(spread_to(again, 3), all);
    EXPECT_THAT(spread_to(Chosen{1, 1}, 2), ElementsAre(0, 1)) << "of two the other stays";
}

TEST(SpreadTest, path_that_is_new_takes_its_share_and_no_more)
{
    const Chosen two = spread_to(Chosen(64, kOtherPath), 2);

    const Chosen three = spread_to(two, 3);

    std::size_t moved = 0;
    for (std::size_t slot = 0; slot < two.size(); slot++)
        moved += two[slot] == three[slot] ? 0 : 1;
    EXPECT_EQ(moved, static_cast<std::size_t>(std::ranges::count(three, 2)));
    EXPECT_EQ(shares(three, 3), (std::pair<std::ptrdiff_t, std::ptrdiff_t>{21, 22}));
}

TEST(SpreadTest, one_path_has_all_slots_and_more_paths_than_slots_one_each)
{
    EXPECT_THAT(spread_to(Chosen{kOtherPath, 0, 7}, 1), Each(0));
    EXPECT_THAT(spread_to(Chosen{kOtherPath, kOtherPath}, 5), ElementsAre(0, 1));
}

} // namespace
} // namespace margay::datapath
