// SPDX-License-Identifier: Apache-2.0
// Where tables keep their entries: by any key, and by numbers.
#include "maps/table/pooled_map.h"

#include "maps/table/slot_map.h"

#include <gmock/gmock.h>

#include <cstdint>
#include <map>
#include <random>

namespace margay::maps {
namespace {

template <typename Map>
struct PooledMapTest : ::testing::Test {};

using Kinds = ::testing::Types<PooledMap<std::uint32_t, int, std::hash<std::uint32_t>>,
                               SlotMap<std::uint32_t, int>>;
TYPED_TEST_SUITE(PooledMapTest, Kinds);

template <typename Map>
std::map<std::uint32_t, int> contents(Map& map)
{
    std::map<std::uint32_t, int> all;
    map.each([&](std::uint32_t key, const int& value) { all.emplace(key, value); });
    return all;
}

TYPED_TEST(PooledMapTest, behaves_as_a_map_and_values_never_move)
{
    std::mt19937 random(7);
    TypeParam map;
    std::map<std::uint32_t, int> expected;
    std::map<std::uint32_t, int*> places;
    for (int step = 1; step <= 20000; step++) {
        const auto key =
            static_cast<std::uint32_t>(random() % 700 * (step % 3 == 0 ? 6'000'000 : 1));
        if (random() % 3 == 0) {
            map.erase(key);
            expected.erase(key);
            places.erase(key);
            continue;
        }
        const auto [value, fresh] = map.try_emplace(key);
        ASSERT_EQ(fresh, !expected.contains(key));
        if (fresh) {
            ASSERT_EQ(*value, 0) << "what an erased one left";
        }
        ASSERT_EQ(places.try_emplace(key, value).first->second, value);
        *value = expected[key] = step;
    }
    EXPECT_EQ(contents(map), expected);
    for (const auto& [key, value] : expected)
        EXPECT_EQ(map.find(key), places.at(key));
    EXPECT_EQ(map.find(701), nullptr);
}

} // namespace
} // namespace margay::maps
