// SPDX-License-Identifier: Apache-2.0
// The oracle itself: one test for each rule of matching and of the order of evaluation.

#include "agent/policy/evaluator.h"

#include <gtest/gtest.h>
#include <netinet/in.h>

#include "maps/policy.h"
#include "support/addresses.h"

namespace margay::policy {
namespace {

const Packet kTcp{ip("10.0.0.1"), ip("10.0.0.2"), 40000, 80, IPPROTO_TCP, 0, 0};
const Packet kPing{ip("10.0.0.1"), ip("10.0.0.2"), 0, 0, IPPROTO_ICMP, 8, 0};

// 10.0.0.1 is in sets 1 and 2, 10.0.0.2 in set 3.
bool in_set(Ipv4 addr, SetId set)
{
    if (addr == ip("10.0.0.1"))
        return set == 1 || set == 2;
    return addr == ip("10.0.0.2") && set == 3;
}

bool hits(const Rule& rule, const Packet& packet = kTcp)
{
    return matches(rule, packet, in_set);
}

Rule with(Action action)
{
    Rule rule;
    rule.action = action;
    return rule;
}

Rule to(Side destination)
{
    Rule rule;
    rule.destination = std::move(destination);
    return rule;
}

Rule from(Side source)
{
    Rule rule;
    rule.source = std::move(source);
    return rule;
}

Rule never()
{
    auto rule = with(Action::Allow);
    rule.protocol = 254;
    return rule;
}

Side side_with_nets(std::vector<Prefix4> nets)
{
    Side side;
    side.nets = std::move(nets);
    return side;
}

Side side_with_ports(std::vector<PortRange> ports)
{
    Side side;
    side.ports = std::move(ports);
    return side;
}

TEST(RuleMatching, rule_without_conditions_matches_everything)
{
    EXPECT_TRUE(hits({}));
    EXPECT_TRUE(hits({}, kPing));
}

TEST(RuleMatching, protocol_must_be_equal_and_not_protocol_must_differ)
{
    Rule rule;
    rule.protocol = IPPROTO_TCP;
    EXPECT_TRUE(hits(rule));
    EXPECT_FALSE(hits(rule, kPing));
    Rule other;
    other.not_protocol = IPPROTO_TCP;
    EXPECT_FALSE(hits(other));
    EXPECT_TRUE(hits(other, kPing));
}

TEST(RuleMatching, icmp_type_without_code_matches_every_code)
{
    Rule rule;
    rule.icmp = Icmp{8, {}};
    auto packet = kPing;
    EXPECT_TRUE(hits(rule, packet));
    packet.icmp_code = 3;
    EXPECT_TRUE(hits(rule, packet));
    rule.icmp->code = 0;
    EXPECT_FALSE(hits(rule, packet));
}

TEST(RuleMatching, not_icmp_refuses_the_type_and_asks_for_icmp)
{
    Rule rule;
    rule.not_icmp = Icmp{8, {}};
    EXPECT_FALSE(hits(rule, kPing));
    auto reply = kPing;
    reply.icmp_type = 0;
    EXPECT_TRUE(hits(rule, reply));
    EXPECT_FALSE(hits(rule, kTcp)) << "no ICMP header, nothing to compare";
}

TEST(RuleMatching, any_net_is_enough_and_no_not_net_may_contain_the_address)
{
    EXPECT_TRUE(hits(to(side_with_nets({prefix("192.168.0.0/16"), prefix("10.0.0.2/32")}))));
    EXPECT_FALSE(hits(to(side_with_nets({prefix("192.168.0.0/16"), prefix("10.0.0.3/32")}))));
    Side refused;
    refused.not_nets = {prefix("192.168.0.0/16"), prefix("10.0.0.0/31")};
    EXPECT_TRUE(hits(to(refused)));
    EXPECT_FALSE(hits(from(refused)));
}

TEST(RuleMatching, negated_catch_all_never_matches)
{
    Side refused;
    refused.not_nets = {prefix("0.0.0.0/0")};
    EXPECT_FALSE(hits(from(refused)));
}

TEST(RuleMatching, every_set_must_contain_the_address_and_no_negated_one)
{
    Side side;
    side.sets = {1, 2};
    EXPECT_TRUE(hits(from(side)));
    side.sets = {1, 3};
    EXPECT_FALSE(hits(from(side)));
    side.sets = {1};
    side.not_sets = {3, 2};
    EXPECT_FALSE(hits(from(side)));
}

TEST(RuleMatching, negated_selector_alone_matches_addresses_in_no_set)
{
    Side side;
    side.not_sets = {1};
    auto packet = kTcp;
    packet.source = ip("203.0.113.1");
    EXPECT_TRUE(hits(from(side), packet));
}

TEST(RuleMatching, port_ranges_include_both_ends)
{
    for (const std::uint16_t port : {std::uint16_t{0}, std::uint16_t{65535}}) {
        auto packet = kTcp;
        packet.destination_port = port;
        EXPECT_TRUE(hits(to(side_with_ports({{port, port}})), packet));
    }
    EXPECT_TRUE(hits(to(side_with_ports({{80, 90}}))));
    EXPECT_TRUE(hits(to(side_with_ports({{70, 80}}))));
    EXPECT_FALSE(hits(to(side_with_ports({{81, 90}, {70, 79}}))));
}

TEST(RuleMatching, named_port_asks_for_port_and_set_and_is_an_alternative_to_numbers)
{
    Side side;
    side.named_ports = {{80, 3}};
    EXPECT_TRUE(hits(to(side)));
    side.named_ports = {{80, 4}};
    EXPECT_FALSE(hits(to(side)));
    side.named_ports = {{81, 3}};
    EXPECT_FALSE(hits(to(side)));
    side.ports = {{80, 80}};
    EXPECT_TRUE(hits(to(side)));
}

TEST(RuleMatching, not_ports_refuse_numbers_and_named_ports)
{
    Side side;
    side.not_ports = {{80, 80}};
    EXPECT_FALSE(hits(to(side)));
    side.not_ports = {{81, 81}};
    EXPECT_TRUE(hits(to(side)));
    side.not_named_ports = {{80, 3}};
    EXPECT_FALSE(hits(to(side)));
}

TEST(RuleMatching, port_conditions_match_only_protocols_with_ports)
{
    EXPECT_FALSE(hits(to(side_with_ports({{0, 65535}})), kPing));
    Side refused;
    refused.not_ports = {{80, 80}};
    EXPECT_FALSE(hits(to(refused), kPing));
    for (const int protocol : {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP}) {
        auto packet = kTcp;
        packet.protocol = static_cast<std::uint8_t>(protocol);
        EXPECT_TRUE(hits(to(side_with_ports({{80, 80}})), packet)) << protocol;
    }
}

TEST(RuleMatching, named_port_that_resolves_to_nothing_never_matches)
{
    Side side;
    side.match_no_port = true;
    EXPECT_FALSE(hits(to(side)));
    EXPECT_FALSE(hits(from(side)));
    EXPECT_FALSE(hits(to(side), kPing));
}

// ---- Order of evaluation. Ordinals count over tiers and profiles.

Tier tier(std::vector<Rule> rules, TierEnd end = TierEnd::Deny)
{
    return {"t", {{"p", std::move(rules)}}, end};
}

Outcome run(const Program& program)
{
    return evaluate(program, kTcp, in_set);
}

TEST(Evaluation, empty_program_denies)
{
    EXPECT_EQ(run({}), (Outcome{Verdict::Deny, POLICY_RULE_NO_PROFILE, 0}));
}

TEST(Evaluation, first_matching_rule_decides)
{
    EXPECT_EQ(run({{tier({never(), with(Action::Allow), with(Action::Deny)})}, {}}),
              (Outcome{Verdict::Allow, 1, 0}));
    EXPECT_EQ(run({{tier({never(), with(Action::Deny), with(Action::Allow)})}, {}}),
              (Outcome{Verdict::Deny, 1, 0}));
}

TEST(Evaluation, end_of_a_tier_with_policies_denies)
{
    EXPECT_EQ(run({{tier({never()})}, {{"f", {with(Action::Allow)}}}}),
              (Outcome{Verdict::Deny, POLICY_RULE_TIER_END | 0u, 0}));
    EXPECT_EQ(run({{tier({}), tier({with(Action::Allow)})}, {}}),
              (Outcome{Verdict::Deny, POLICY_RULE_TIER_END | 0u, 0}))
        << "a policy without rules is a policy";
}

TEST(Evaluation, tier_without_policies_is_left)
{
    EXPECT_EQ(run({{Tier{"none", {}, TierEnd::Deny}, tier({with(Action::Allow)})}, {}}),
              (Outcome{Verdict::Allow, 0, 0}));
}

TEST(Evaluation, end_of_a_tier_may_pass_to_the_next)
{
    EXPECT_EQ(run({{tier({never()}, TierEnd::Pass), tier({never()})}, {}}),
              (Outcome{Verdict::Deny, POLICY_RULE_TIER_END | 1u, 0}));
}

TEST(Evaluation, pass_skips_the_rest_of_the_tier)
{
    Tier first{"t", {{"p", {with(Action::Pass), with(Action::Deny)}}, {"q", {with(Action::Deny)}}}};
    EXPECT_EQ(run({{first, tier({with(Action::Allow)})}, {}}), (Outcome{Verdict::Allow, 3, 0}));
}

TEST(Evaluation, pass_in_the_last_tier_goes_to_the_profiles)
{
    EXPECT_EQ(run({{tier({with(Action::Pass)})}, {{"f", {with(Action::Allow)}}}}),
              (Outcome{Verdict::Allow, 1, 0}));
    EXPECT_EQ(run({{tier({with(Action::Pass)})}, {}}),
              (Outcome{Verdict::Deny, POLICY_RULE_NO_PROFILE, 0}));
}

TEST(Evaluation, pass_in_a_profile_goes_to_the_next_profile)
{
    EXPECT_EQ(
        run({{}, {{"f", {with(Action::Pass), with(Action::Deny)}}, {"g", {with(Action::Allow)}}}}),
        (Outcome{Verdict::Allow, 2, 0}));
}

TEST(Evaluation, log_is_remembered_and_evaluation_continues)
{
    EXPECT_EQ(
        run({{tier({never(), with(Action::Log), with(Action::Log), with(Action::Allow)})}, {}}),
        (Outcome{Verdict::Allow, 3, 3}));
    EXPECT_EQ(run({{tier({with(Action::Log)})}, {}}),
              (Outcome{Verdict::Deny, POLICY_RULE_TIER_END | 0u, 1}));
}

} // namespace
} // namespace margay::policy
