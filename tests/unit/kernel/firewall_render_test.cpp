// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/nftables.h"

#include <gmock/gmock.h>

#include "support/addresses.h"

namespace margay::kernel {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

FirewallConfig config()
{
    FirewallConfig made;
    made.judged = {0x1, 0x1};
    return made;
}

TEST(FirewallRenderTest, covered_and_equal_prefixes_are_left_out)
{
    EXPECT_THAT(
        without_covered({prefix("10.0.0.0/8"), prefix("10.1.0.0/16"), prefix("10.1.2.3/16"),
                         prefix("11.0.0.0/16"), prefix("10.255.255.255/32"), prefix("9.0.0.0/8")}),
        ElementsAre(prefix("9.0.0.0/8"), prefix("10.0.0.0/8"), prefix("11.0.0.0/16")));
}

TEST(FirewallRenderTest, set_changes_name_only_what_differs)
{
    FirewallSets before;
    before.nat_sources = {prefix("10.0.0.0/16"), prefix("10.1.0.0/16")};
    before.attached = {5, 6};
    FirewallSets after;
    after.nat_sources = {prefix("10.1.0.0/16"), prefix("10.2.0.0/16")};
    after.attached = {5, 6};
    EXPECT_EQ(render_set_changes(before, after),
              "delete element inet margay nat_sources { 10.0.0.0/16 }\n"
              "add element inet margay nat_sources { 10.2.0.0/16 }\n");
    EXPECT_EQ(render_set_changes(before, before), "");
}

TEST(FirewallRenderTest, end_of_a_covering_prefix_brings_the_covered_one_back)
{
    FirewallSets before;
    before.nat_exempt = {prefix("10.0.0.0/8"), prefix("10.1.0.0/16")};
    FirewallSets after;
    after.nat_exempt = {prefix("10.1.0.0/16")};
    EXPECT_EQ(render_set_changes(before, after),
              "delete element inet margay nat_exempt { 10.0.0.0/8 }\n"
              "add element inet margay nat_exempt { 10.1.0.0/16 }\n");
}

TEST(FirewallRenderTest, names_that_could_end_the_quotation_are_refused)
{
    for (const char* name : {"cali\"; drop #", "", "a b", "0123456789abcdef", "x\n", "*"}) {
        FirewallConfig bad = config();
        bad.workload_prefixes = {name};
        EXPECT_FALSE(render_firewall(bad, {})) << name;
        bad = config();
        bad.nat_out_interfaces = {name};
        EXPECT_FALSE(render_firewall(bad, {})) << name;
    }
}

TEST(FirewallRenderTest, guard_without_a_mark_bit_is_refused)
{
    FirewallConfig bad = config();
    bad.judged = {0x2, 0x1};
    EXPECT_FALSE(render_firewall(bad, {})) << "every unmarked packet would pass";
    bad.judged = {0, 0};
    EXPECT_FALSE(render_firewall(bad, {}));
    bad.guard = false;
    EXPECT_TRUE(render_firewall(bad, {}));
}

TEST(FirewallRenderTest, unjudged_egress_leaves_only_where_a_program_judges_it)
{
    FirewallConfig with = config();
    with.pending = MarkMatch{0x4, 0x4};
    FirewallSets sets;
    sets.uplinks = {2};
    const auto text = render_firewall(with, sets);
    ASSERT_TRUE(text) << text.error().what;
    EXPECT_THAT(
        *text, HasSubstr("hook forward priority -310; policy accept;\n    meta mark & "
                         "0x00000004 == 0x00000004 oif != @attached oif != @uplinks counter drop"));
    EXPECT_THAT(*text, HasSubstr("hook input priority -310; policy accept;\n    meta mark & "
                                 "0x00000004 == 0x00000004 counter drop"));
    EXPECT_THAT(render_set_changes({}, sets), HasSubstr("add element inet margay uplinks { 2 }"));
}

TEST(FirewallRenderTest, several_prefixes_share_one_rule)
{
    FirewallConfig two = config();
    two.workload_prefixes = {"cali", "tap"};
    EXPECT_THAT(*render_firewall(two, {}), HasSubstr("iifname { \"cali*\", \"tap*\" } meta mark"));
}

} // namespace
} // namespace margay::kernel
