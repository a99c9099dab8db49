// SPDX-License-Identifier: Apache-2.0
#include "margay/interner.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

namespace margay {
namespace {

using Strings = Interner<std::string, std::hash<std::string>>;

TEST(Interner, equal_values_are_one_object_and_others_are_not)
{
    Strings strings;
    const auto a = strings.get("a");
    const auto b = strings.get("b");
    EXPECT_EQ(strings.get("a"), a);
    EXPECT_EQ(strings.get("a"), a) << "as the last one, too";
    EXPECT_NE(a, b);
    EXPECT_EQ(*b, "b");
}

TEST(Interner, what_nobody_holds_makes_room_and_what_is_held_stays_the_same)
{
    Strings strings;
    const auto held = strings.get("held");
    for (int i = 0; i < 10'000; ++i)
        (void)strings.get(std::to_string(i));
    EXPECT_LT(strings.size(), 200u);
    EXPECT_EQ(strings.get("held"), held);
}

TEST(Interner, many_that_are_held_are_kept)
{
    Strings strings;
    std::vector<Strings::Ptr> held;
    for (int i = 0; i < 1000; ++i)
        held.push_back(strings.get(std::to_string(i)));
    for (int i = 0; i < 1000; ++i)
        EXPECT_EQ(strings.get(std::to_string(i)), held[static_cast<std::size_t>(i)]);
    EXPECT_EQ(strings.size(), 1000u);
}

} // namespace
} // namespace margay
