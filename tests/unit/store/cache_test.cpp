// SPDX-License-Identifier: Apache-2.0
#include "agent/store/cache.h"

#include <gmock/gmock.h>

namespace margay::testing {
namespace {

using namespace store;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(CacheTest, listing_gives_what_is_new_changed_or_gone_and_nothing_else)
{
    Cache cache;
    cache.put("/same", "1", 5);
    cache.put("/changed", "1", 6);
    cache.put("/gone", "1", 7);
    const auto changes =
        cache.replace({{"/changed", "2", 9}, {"/new", "x", 10}, {"/same", "1", 5}}, 11);
    EXPECT_THAT(changes, ElementsAre(Change{"/gone", std::nullopt, 11}, Change{"/changed", "2", 9},
                                     Change{"/new", "x", 10}));
    EXPECT_THAT(cache.replace({{"/changed", "2", 9}, {"/new", "x", 10}, {"/same", "1", 5}}, 12),
                IsEmpty());
}

TEST(CacheTest, restored_datastore_with_equal_revision_and_other_value_is_a_change)
{
    Cache cache;
    cache.put("/a", "before", 2);
    EXPECT_THAT(cache.replace({{"/a", "after", 2}}, 2), ElementsAre(Change{"/a", "after", 2}));
}

TEST(CacheTest, lower_revision_is_a_change_too)
{
    Cache cache;
    cache.put("/a", "same", 9);
    EXPECT_THAT(cache.replace({{"/a", "same", 2}}, 2), ElementsAre(Change{"/a", "same", 2}));
}

TEST(CacheTest, event_that_was_told_already_is_not_news)
{
    Cache cache;
    EXPECT_TRUE(cache.put("/a", "1", 2));
    EXPECT_FALSE(cache.put("/a", "1", 2));
    EXPECT_TRUE(cache.put("/a", "1", 3));
    EXPECT_TRUE(cache.erase("/a"));
    EXPECT_FALSE(cache.erase("/a"));
}

TEST(CacheTest, empty_listing_removes_everything)
{
    Cache cache;
    cache.put("/a", "1", 2);
    EXPECT_THAT(cache.replace({}, 3), ElementsAre(Change{"/a", std::nullopt, 3}));
    EXPECT_EQ(cache.size(), 0u);
}

} // namespace
} // namespace margay::testing
