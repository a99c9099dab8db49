// SPDX-License-Identifier: Apache-2.0
// What people and the dictionary see of a Program: ordinals, texts, the canonical hash.

#include "agent/policy/ir.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "agent/policy/describe.h"
#include "agent/policy/hash.h"
#include "maps/policy.h"

namespace margay::policy {
namespace {

Rule rule(Action action)
{
    Rule r;
    r.action = action;
    return r;
}

Program example()
{
    Program program;
    program.tiers.push_back({"sec", {{"sec/a", {rule(Action::Log), rule(Action::Deny)}}}});
    program.tiers.push_back({"default", {{"default/b", {}}, {"default/c", {rule(Action::Pass)}}}});
    program.profiles.push_back({"profile/kns.ns1", {rule(Action::Allow)}});
    return program;
}

TEST(Ordinals, count_every_rule_of_tiers_and_profiles)
{
    EXPECT_EQ(rule_count(example()), 4u);
    EXPECT_EQ(rule_count({}), 0u);
}

TEST(Ordinals, describe_tier_policy_rule_and_action)
{
    EXPECT_EQ(describe_rule(example(), 0), "tier sec, policy sec/a, rule 0 (Log)");
    EXPECT_EQ(describe_rule(example(), 1), "tier sec, policy sec/a, rule 1 (Deny)");
    EXPECT_EQ(describe_rule(example(), 2), "tier default, policy default/c, rule 0 (Pass)");
    EXPECT_EQ(describe_rule(example(), 3), "profile/kns.ns1, rule 0 (Allow)");
}

TEST(Ordinals, special_values_have_texts_and_unknown_ones_do_not_crash)
{
    EXPECT_EQ(describe_rule(example(), POLICY_RULE_NO_PROFILE), "no rule matched (Deny)");
    EXPECT_EQ(describe_rule(example(), POLICY_RULE_CLASS_UNKNOWN),
              "address belongs to a class for which there was no room (Deny)");
    EXPECT_EQ(describe_rule(example(), POLICY_RULE_TIER_END | 1),
              "tier default, end of tier (Deny)");
    EXPECT_EQ(describe_rule(example(), POLICY_RULE_TIER_END | 2), "unknown tier 2");
    EXPECT_EQ(describe_rule(example(), 4), "unknown rule 4");
}

TEST(Ordinals, list_of_texts_agrees_with_the_single_ones)
{
    const auto program = example();
    const auto texts = describe_rules(program);
    ASSERT_EQ(texts.size(), rule_count(program));
    for (std::uint32_t i = 0; i < texts.size(); ++i)
        EXPECT_EQ(texts[i], describe_rule(program, i) + ": any");
}

TEST(Match, text_names_every_field_and_cuts_long_lists)
{
    Rule r;
    r.protocol = 6;
    r.source.nets = {*Prefix4::parse("10.0.0.0/8")};
    r.source.not_sets = {5};
    r.destination.ports = {{80, 80}, {8000, 8100}, {1, 1}, {2, 2}, {3, 3}, {4, 4}};
    r.destination.named_ports = {{53, 9}};
    EXPECT_EQ(describe_match(r),
              "tcp from 10.0.0.0/8 not set 5 to port 80,8000-8100,1,2,+2 named port 53@set9");
    Rule ping;
    ping.icmp = Icmp{8, 0};
    ping.not_protocol = 17;
    EXPECT_EQ(describe_match(ping), "not udp type 8 code 0");
}

TEST(CanonicalHash, is_stable_over_releases)
{
    // Pinned dictionaries on running nodes hold such values: a change needs a new encoding number
    // and a plan for them.
    const ProgramHash expected{0x4c, 0x04, 0xdf, 0xea, 0xbd, 0x75, 0x60, 0x59,
                               0x8f, 0xa6, 0x0d, 0x1f, 0x35, 0xaf, 0x26, 0xf8};
    EXPECT_EQ(canonical_hash(example()), expected);
    EXPECT_EQ(to_hex(expected), "4c04dfeabd7560598fa60d1f35af26f8");
}

TEST(CanonicalHash, every_field_counts)
{
    using Edit = std::function<void(Program&)>;
    const auto field = [](auto member, auto value) -> Edit {
        return [=](Program& p) { p.profiles[0].rules[0].*member = value; };
    };
    const auto side = [](auto member, auto value) {
        std::vector<Edit> edits;
        edits.push_back([=](Program& p) { p.profiles[0].rules[0].source.*member = value; });
        edits.push_back([=](Program& p) { p.profiles[0].rules[0].destination.*member = value; });
        return edits;
    };
    std::vector<Edit> edits{
        [](Program&) {},
        [](Program& p) { p.tiers[0].name = "x"; },
        [](Program& p) { p.tiers[0].end = TierEnd::Pass; },
        [](Program& p) { p.tiers.pop_back(); },
        [](Program& p) { std::swap(p.tiers[0], p.tiers[1]); },
        [](Program& p) { p.profiles[0].name = "x"; },
        [](Program& p) { p.profiles[0].rules.push_back({}); },
        [](Program& p) { p.tiers[1].policies[0].rules.swap(p.tiers[1].policies[1].rules); },
        field(&Rule::action, Action::Deny),
        field(&Rule::protocol, std::optional<std::uint8_t>(0)),
        field(&Rule::not_protocol, std::optional<std::uint8_t>(0)),
        field(&Rule::icmp, std::optional(Icmp{0, {}})),
        field(&Rule::icmp, std::optional(Icmp{0, std::uint8_t{0}})),
        field(&Rule::not_icmp, std::optional(Icmp{0, {}})),
    };
    const std::vector<Prefix4> nets{{}};
    const std::vector<PortRange> ports{{}};
    const std::vector<NamedPort> named{{}};
    const std::vector<SetId> sets{0};
    for (const auto& more :
         {side(&Side::nets, nets), side(&Side::not_nets, nets), side(&Side::sets, sets),
          side(&Side::not_sets, sets), side(&Side::ports, ports), side(&Side::not_ports, ports),
          side(&Side::named_ports, named), side(&Side::not_named_ports, named),
          side(&Side::match_no_port, true)})
        edits.insert(edits.end(), more.begin(), more.end());

    std::set<ProgramHash> seen;
    for (const auto& edit : edits) {
        auto program = example();
        edit(program);
        EXPECT_TRUE(seen.insert(canonical_hash(program)).second) << "edit " << seen.size();
    }
}

} // namespace
} // namespace margay::policy
