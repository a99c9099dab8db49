// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/keyed_ids.h"

#include <gmock/gmock.h>

namespace margay::datapath {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

struct KeyedIdsTest : ::testing::Test {
    KeyedIds<std::string> ids{1, 3, 10s, "slots"};
    Clock::Time now{};
};

TEST_F(KeyedIdsTest, equal_keys_share_a_number_until_the_last_user_left)
{
    EXPECT_EQ(*ids.acquire("a"), 1u);
    EXPECT_EQ(*ids.acquire("a"), 1u);
    EXPECT_EQ(*ids.acquire("b"), 2u);
    ids.release("a", now);
    EXPECT_THAT(ids.expire(now + 1h), IsEmpty());
    ids.release("a", now);
    EXPECT_THAT(ids.expire(now + 1h), ElementsAre(Pair("a", 1u)));
}

TEST_F(KeyedIdsTest, number_is_not_given_to_another_key_within_the_grace_period)
{
    for (const char* key : {"a", "b", "c"})
        ASSERT_TRUE(ids.acquire(key));
    ids.release("b", now);
    EXPECT_THAT(ids.expire(now + 9s), IsEmpty());
    const auto refused = ids.acquire("d");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::Full);
    EXPECT_THAT(ids.expire(now + 10s), ElementsAre(Pair("b", 2u)));
    EXPECT_FALSE(ids.acquire("d")) << "the dictionary still names b";
    EXPECT_THAT(ids.expire(now + 10s), IsEmpty());
    EXPECT_EQ(*ids.acquire("d"), 2u);
}

TEST_F(KeyedIdsTest, key_that_comes_back_in_time_keeps_its_number)
{
    ASSERT_TRUE(ids.acquire("a"));
    ids.release("a", now);
    EXPECT_EQ(*ids.acquire("a"), 1u);
    EXPECT_THAT(ids.expire(now + 1h), IsEmpty());
}

TEST_F(KeyedIdsTest, adopted_numbers_wait_for_their_users_until_sealed)
{
    ASSERT_TRUE(ids.adopt("old", 2));
    ASSERT_TRUE(ids.adopt("stale", 3));
    EXPECT_THAT(ids.expire(now + 1h), IsEmpty());
    EXPECT_EQ(*ids.acquire("new"), 1u);
    EXPECT_EQ(*ids.acquire("old"), 2u);
    ids.seal(now);
    EXPECT_THAT(ids.expire(now + 10s), ElementsAre(Pair("stale", 3u)));
}

TEST_F(KeyedIdsTest, damaged_dictionary_gives_no_number_twice)
{
    ASSERT_TRUE(ids.adopt("a", 2));
    EXPECT_FALSE(ids.adopt("b", 2));
    EXPECT_FALSE(ids.adopt("a", 3));
    EXPECT_FALSE(ids.adopt("c", 0));
    EXPECT_FALSE(ids.adopt("c", 4));
}

TEST_F(KeyedIdsTest, fresh_numbers_are_preferred_to_used_ones)
{
    ASSERT_TRUE(ids.acquire("a"));
    ids.release("a", now);
    (void)ids.expire(now + 10s);
    (void)ids.expire(now + 10s);
    EXPECT_EQ(*ids.acquire("b"), 2u);
    EXPECT_EQ(*ids.acquire("c"), 3u);
    EXPECT_EQ(*ids.acquire("d"), 1u);
}

} // namespace
} // namespace margay::datapath
