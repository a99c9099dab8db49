// SPDX-License-Identifier: Apache-2.0
// Cutting a program into segments, and what the compiler refuses.

#include "agent/policy/plan.h"

#include <gtest/gtest.h>
#include <netinet/in.h>

#include "maps/policy.h"

namespace margay::policy {
namespace {

constexpr SegmentLimits kSmall{300, 100, 25}; // the frame takes 200

Rule port_rule(Action action, std::uint16_t port)
{
    Rule rule;
    rule.action = action;
    rule.protocol = IPPROTO_TCP;
    rule.destination.ports = {{port, port}};
    return rule;
}

Tier tier_of(std::size_t rules, Action action = Action::Allow)
{
    Policy policy{"p", {}};
    for (std::size_t i = 0; i < rules; ++i)
        policy.rules.push_back(port_rule(action, static_cast<std::uint16_t>(i)));
    return {"t", {policy}, TierEnd::Deny};
}

CompileContext context_with(std::size_t continuations)
{
    CompileContext context{3, 4, 5, 6, 7, 8, {}};
    for (std::uint32_t i = 0; i < continuations; ++i)
        context.continuations.push_back(100 + i);
    return context;
}

// Every rule of every block is in exactly one part, in order.
void expect_complete(const Plan& plan, const Lowered& lowered)
{
    std::size_t block = 0, next = 0;
    for (const auto& segment : plan.segments)
        for (const auto& part : segment) {
            ASSERT_EQ(part.block, block);
            ASSERT_EQ(part.first, next);
            ASSERT_EQ(part.opens, part.first == 0);
            next = part.last;
            if (part.ends) {
                ASSERT_EQ(part.last, lowered.blocks[block].rules.size());
                ++block;
                next = 0;
            }
        }
    EXPECT_EQ(block, lowered.blocks.size());
}

TEST(Plan, small_program_is_one_segment)
{
    EXPECT_EQ(*segment_count({}), 1u);
    EXPECT_EQ(*segment_count({{tier_of(100)}, {}}), 1u);
}

TEST(Plan, long_tier_is_split_and_loses_no_rule)
{
    const auto lowered = lower({{tier_of(100), tier_of(1)}, {}});
    const auto plan = plan_segments(lowered, kSmall);
    ASSERT_TRUE(plan) << plan.error().what;
    EXPECT_GT(plan->segments.size(), 5u);
    expect_complete(*plan, lowered);
}

TEST(Plan, block_that_fits_stays_whole)
{
    const auto lowered = lower({{tier_of(6), tier_of(6), tier_of(6)}, {}});
    const auto plan = plan_segments(lowered, kSmall);
    ASSERT_TRUE(plan) << plan.error().what;
    expect_complete(*plan, lowered);
    for (const auto& segment : plan->segments)
        for (const auto& part : segment)
            EXPECT_TRUE(part.opens && part.ends);
}

TEST(Plan, block_after_a_split_one_with_pass_begins_a_segment)
{
    const auto lowered = lower({{tier_of(100, Action::Pass), tier_of(1)}, {}});
    const auto plan = plan_segments(lowered, kSmall);
    ASSERT_TRUE(plan) << plan.error().what;
    const auto& last = plan->segments.back();
    ASSERT_EQ(last.size(), 1u);
    EXPECT_EQ(last.front().block, 1u);
    EXPECT_EQ(plan->segment_of_block[1], plan->segments.size() - 1);
}

TEST(Plan, more_segments_than_can_be_chained_are_refused)
{
    const auto count = segment_count({{tier_of(1000)}, {}}, kSmall);
    ASSERT_FALSE(count);
    EXPECT_EQ(count.error().code, Errc::Full);
}

TEST(Plan, rule_that_fits_no_segment_is_refused_by_name)
{
    auto tier = tier_of(1);
    for (std::uint32_t i = 0; i < 20000; ++i)
        tier.policies[0].rules[0].source.not_nets.push_back(Prefix4::host(Ipv4(i)));
    const auto count = segment_count({{tier}, {}});
    ASSERT_FALSE(count);
    EXPECT_EQ(count.error().code, Errc::Full);
    EXPECT_NE(count.error().what.find("tier t"), std::string::npos) << count.error().what;
}

TEST(Plan, long_list_of_nets_becomes_several_rules_with_one_ordinal)
{
    auto tier = tier_of(1);
    for (std::uint32_t i = 0; i < 20000; ++i)
        tier.policies[0].rules[0].source.nets.push_back(Prefix4::host(Ipv4(i)));
    const auto lowered = lower({{tier}, {}});
    ASSERT_EQ(lowered.blocks[0].rules.size(), 20u);
    for (const auto& rule : lowered.blocks[0].rules)
        EXPECT_EQ(rule.ordinal, 0u);
    EXPECT_TRUE(segment_count({{tier}, {}}));
}

TEST(Lowering, rules_that_never_match_are_gone_and_keep_their_ordinal)
{
    auto tier = tier_of(6);
    auto& rules = tier.policies[0].rules;
    rules[0].destination.match_no_port = true;
    rules[1].source.not_nets = {Prefix4{}};
    rules[2].not_protocol = IPPROTO_TCP;
    rules[3].protocol = IPPROTO_ICMP; // has no ports
    rules[4].destination.ports = {{9, 8}};
    const auto lowered = lower({{tier}, {}});
    ASSERT_EQ(lowered.blocks[0].rules.size(), 1u);
    EXPECT_EQ(lowered.blocks[0].rules[0].ordinal, 5u);
}

TEST(Compile, refuses_a_set_that_no_class_can_hold)
{
    for (auto member : {&Side::sets, &Side::not_sets}) {
        auto tier = tier_of(1);
        tier.policies[0].rules[0].source.*member = {CLASS_SET_MAX};
        const auto compiled = compile({{tier}, {}}, context_with(0));
        ASSERT_FALSE(compiled);
        EXPECT_EQ(compiled.error().code, Errc::Invalid);
    }
}

TEST(Compile, refuses_too_few_continuation_slots)
{
    const Program program{{tier_of(100)}, {}};
    const auto count = segment_count(program, kSmall);
    ASSERT_TRUE(count);
    EXPECT_FALSE(compile(program, context_with(*count - 2), kSmall));
    const auto compiled = compile(program, context_with(*count - 1), kSmall);
    ASSERT_TRUE(compiled) << compiled.error().what;
    EXPECT_EQ(compiled->segments.size(), *count);
}

TEST(Compile, segments_keep_their_limit_and_lines_ascend_from_the_first_instruction)
{
    const auto compiled = compile({{tier_of(100)}, {}}, context_with(24), kSmall);
    ASSERT_TRUE(compiled) << compiled.error().what;
    for (const auto& segment : compiled->segments) {
        EXPECT_LE(segment.instructions.size(), kSmall.instructions);
        ASSERT_FALSE(segment.lines.empty());
        EXPECT_EQ(segment.lines.front().instruction, 0u);
        for (std::size_t i = 1; i < segment.lines.size(); ++i)
            EXPECT_LT(segment.lines[i - 1].instruction, segment.lines[i].instruction);
    }
}

TEST(Compile, run_of_rules_with_one_protocol_and_different_sets_costs_a_compare_a_rule)
{
    const auto tier_of_sets = [](std::uint32_t rules) {
        auto tier = tier_of(rules);
        for (std::uint32_t i = 0; i < rules; ++i) {
            tier.policies[0].rules[i].destination = {};
            tier.policies[0].rules[i].source.sets = {i};
        }
        return Program{{tier}, {}};
    };
    const auto few = compile(tier_of_sets(32), context_with(0));
    const auto more = compile(tier_of_sets(64), context_with(0));
    ASSERT_TRUE(few && more);
    // One compare in the chain and two instructions of body; one load for the 32 sets of a word.
    EXPECT_EQ(more->segments[0].instructions.size() - few->segments[0].instructions.size(), 97u);
}

} // namespace
} // namespace margay::policy
