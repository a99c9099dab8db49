// SPDX-License-Identifier: Apache-2.0
// Ordinals: the one place that knows in which order a Program's rules are counted.

#include "agent/policy/ir.h"

#include "agent/policy/describe.h"
#include "maps/policy.h"

namespace margay::policy {

namespace {

std::string rule_text(const Policy& policy, std::size_t index)
{
    return policy.name + ", rule " + std::to_string(index) + " (" +
           action_name(policy.rules[index].action) + ")";
}

// Finds rule `left` counted from the first of `policies`; otherwise takes their rules off `left`.
std::optional<std::string> find_rule(const std::vector<Policy>& policies, std::size_t& left)
{
    for (const auto& policy : policies) {
        if (left < policy.rules.size())
            return rule_text(policy, left);
        left -= policy.rules.size();
    }
    return std::nullopt;
}

std::string describe_tier_end(const Program& program, std::size_t tier)
{
    if (tier >= program.tiers.size())
        return "unknown tier " + std::to_string(tier);
    return "tier " + program.tiers[tier].name + ", end of tier (Deny)";
}

} // namespace

std::size_t rule_count(const Program& program)
{
    std::size_t count = 0;
    for (const auto& tier : program.tiers)
        for (const auto& policy : tier.policies)
            count += policy.rules.size();
    for (const auto& profile : program.profiles)
        count += profile.rules.size();
    return count;
}

std::string describe_rule(const Program& program, std::uint32_t rule)
{
    if (rule == POLICY_RULE_NO_PROFILE)
        return "no rule matched (Deny)";
    if (rule == POLICY_RULE_CLASS_UNKNOWN)
        return "address belongs to a class for which there was no room (Deny)";
    if (rule & POLICY_RULE_TIER_END)
        return describe_tier_end(program, rule & ~POLICY_RULE_TIER_END);

    std::size_t left = rule;
    for (const auto& tier : program.tiers)
        if (const auto found = find_rule(tier.policies, left))
            return "tier " + tier.name + ", policy " + *found;
    if (const auto found = find_rule(program.profiles, left))
        return *found;
    return "unknown rule " + std::to_string(rule);
}

} // namespace margay::policy
