// SPDX-License-Identifier: Apache-2.0
#include "margay/pattern.h"

#include <gmock/gmock.h>

namespace margay {
namespace {

using ::testing::HasSubstr;

TEST(PatternTest, matches_anywhere_unless_anchored)
{
    EXPECT_TRUE(Pattern::compile("th")->matches("eth0"));
    EXPECT_TRUE(Pattern::compile("^eth[0-9]$")->matches("eth0"));
    EXPECT_FALSE(Pattern::compile("^eth[0-9]$")->matches("veth0"));
}

TEST(PatternTest, a_bad_text_is_refused_by_name)
{
    const auto bad = Pattern::compile("eth[");
    ASSERT_FALSE(bad);
    EXPECT_EQ(bad.error().code, Errc::Invalid);
    EXPECT_THAT(bad.error().what, HasSubstr("'eth['"));
    EXPECT_FALSE(Pattern::compile_all({"eth", "("}));
}

TEST(PatternTest, first_match_goes_by_the_order_of_patterns)
{
    const auto patterns = Pattern::compile_all({"docker", "eth", "eth0"});
    ASSERT_TRUE(patterns);
    const Pattern* found = first_match(*patterns, "eth0");
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(found->text(), "eth");
    EXPECT_EQ(first_match(*patterns, "lo"), nullptr);
}

} // namespace
} // namespace margay
