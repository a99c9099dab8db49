// SPDX-License-Identifier: Apache-2.0

#include "agent/policy/evaluator.h"

#include <netinet/in.h>

#include <algorithm>
#include <span>

#include "maps/policy.h"

namespace margay::policy {

namespace {

bool matches_icmp(const Icmp& icmp, const Packet& packet)
{
    return icmp.type == packet.icmp_type && (!icmp.code || *icmp.code == packet.icmp_code);
}

bool in_any_net(const std::vector<Prefix4>& nets, Ipv4 addr)
{
    return std::any_of(nets.begin(), nets.end(), [&](const auto& n) { return n.contains(addr); });
}

bool in_any_range(const std::vector<PortRange>& ranges, std::uint16_t port)
{
    return std::any_of(ranges.begin(), ranges.end(),
                       [&](const auto& r) { return r.first <= port && port <= r.last; });
}

bool is_any_named_port(const std::vector<NamedPort>& named, Ipv4 addr, std::uint16_t port,
                       const SetMembership& in_set)
{
    return std::any_of(named.begin(), named.end(),
                       [&](const auto& n) { return n.port == port && in_set(addr, n.set); });
}

bool matches_address(const Side& side, Ipv4 addr, const SetMembership& in_set)
{
    if (!side.nets.empty() && !in_any_net(side.nets, addr))
        return false;
    if (in_any_net(side.not_nets, addr))
        return false;
    const auto contains = [&](SetId set) { return in_set(addr, set); };
    return std::all_of(side.sets.begin(), side.sets.end(), contains) &&
           std::none_of(side.not_sets.begin(), side.not_sets.end(), contains);
}

bool matches_port(const Side& side, Ipv4 addr, std::uint16_t port, std::uint8_t protocol,
                  const SetMembership& in_set)
{
    if (side.match_no_port)
        return false;
    const bool wants = !side.ports.empty() || !side.named_ports.empty();
    const bool refuses = !side.not_ports.empty() || !side.not_named_ports.empty();
    if (!wants && !refuses)
        return true;
    if (!has_ports(protocol))
        return false;
    if (wants && !in_any_range(side.ports, port) &&
        !is_any_named_port(side.named_ports, addr, port, in_set))
        return false;
    return !in_any_range(side.not_ports, port) &&
           !is_any_named_port(side.not_named_ports, addr, port, in_set);
}

enum class Step { Continue, Leave, Done };

// Walks one list of rules; `ordinal` moves over all of them, also when it leaves early.
Step walk(std::span<const Policy> policies, const Packet& packet, const SetMembership& in_set,
          std::uint32_t& ordinal, Outcome& outcome)
{
    for (const auto& policy : policies) {
        for (const auto& rule : policy.rules) {
            const auto number = ordinal++;
            if (!matches(rule, packet, in_set))
                continue;
            switch (rule.action) {
            case Action::Log:
                outcome.log = number + 1;
                break;
            case Action::Pass:
                return Step::Leave;
            case Action::Allow:
                outcome = {Verdict::Allow, number, outcome.log};
                return Step::Done;
            case Action::Deny:
                outcome = {Verdict::Deny, number, outcome.log};
                return Step::Done;
            }
        }
    }
    return Step::Continue;
}

std::uint32_t rules_of(const std::vector<Policy>& policies)
{
    std::size_t count = 0;
    for (const auto& policy : policies)
        count += policy.rules.size();
    return static_cast<std::uint32_t>(count);
}

} // namespace

bool has_ports(std::uint8_t protocol)
{
    return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

bool matches(const Rule& rule, const Packet& packet, const SetMembership& in_set)
{
    if (rule.protocol && *rule.protocol != packet.protocol)
        return false;
    if (rule.not_protocol && *rule.not_protocol == packet.protocol)
        return false;
    if ((rule.icmp || rule.not_icmp) && packet.protocol != IPPROTO_ICMP)
        return false;
    if (rule.icmp && !matches_icmp(*rule.icmp, packet))
        return false;
    if (rule.not_icmp && matches_icmp(*rule.not_icmp, packet))
        return false;
    return matches_address(rule.source, packet.source, in_set) &&
           matches_address(rule.destination, packet.destination, in_set) &&
           matches_port(rule.source, packet.source, packet.source_port, packet.protocol, in_set) &&
           matches_port(rule.destination, packet.destination, packet.destination_port,
                        packet.protocol, in_set);
}

Outcome evaluate(const Program& program, const Packet& packet, const SetMembership& in_set)
{
    Outcome outcome;
    std::uint32_t first = 0; // ordinal of the first rule of the list at hand
    for (std::size_t t = 0; t < program.tiers.size(); ++t) {
        const auto& tier = program.tiers[t];
        auto ordinal = first;
        const auto step = walk(tier.policies, packet, in_set, ordinal, outcome);
        if (step == Step::Done)
            return outcome;
        // A tier ends a packet only if it has a policy for this endpoint at all.
        if (step == Step::Continue && tier.end == TierEnd::Deny && !tier.policies.empty())
            return {Verdict::Deny, POLICY_RULE_TIER_END | static_cast<std::uint32_t>(t),
                    outcome.log};
        first += rules_of(tier.policies);
    }
    for (const auto& profile : program.profiles) {
        // Pass in a profile leaves that profile only.
        auto ordinal = first;
        if (walk({&profile, 1}, packet, in_set, ordinal, outcome) == Step::Done)
            return outcome;
        first += static_cast<std::uint32_t>(profile.rules.size());
    }
    return {Verdict::Deny, POLICY_RULE_NO_PROFILE, outcome.log};
}

} // namespace margay::policy
