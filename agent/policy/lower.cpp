// SPDX-License-Identifier: Apache-2.0

#include "agent/policy/lower.h"

#include <netinet/in.h>

#include <algorithm>
#include <bit>

#include "agent/policy/evaluator.h"
#include "maps/policy.h"

namespace margay::policy {

namespace {

// A rule may be cut in several with the same ordinal when a list is longer than this: a segment
// has to hold at least one rule.
constexpr std::size_t kListMax = 1000;

std::uint32_t mask_of(std::uint8_t length)
{
    return length == 0 ? 0 : ~std::uint32_t{0} << (32 - length);
}

Alternative port_range(bool destination, const PortRange& r)
{
    return {{Check::Kind::Port, destination, r.first, r.last}, {}};
}

Alternative named_port(bool destination, const NamedPort& n)
{
    return {{Check::Kind::Port, destination, n.port, n.port},
            Check{Check::Kind::AllSets, destination, n.set / 32, std::uint32_t{1} << (n.set % 32)}};
}

Alternative icmp(const Icmp& i)
{
    Alternative alternative{{Check::Kind::IcmpType, false, i.type, 0}, {}};
    if (i.code)
        alternative.also = Check{Check::Kind::IcmpCode, false, *i.code, 0};
    return alternative;
}

// Collects one rule's conditions; `never` says that no packet can satisfy them.
class RuleLowering {
public:
    explicit RuleLowering(const Rule& rule)
    {
        lower_protocol(rule);
        lower_side(rule.source, false);
        lower_side(rule.destination, true);
    }

    bool never() const { return never_; }
    std::vector<Condition> take() { return std::move(conditions_); }

private:
    void require(std::vector<Alternative> any) { add({false, std::move(any)}); }
    void refuse(std::vector<Alternative> any)
    {
        if (!any.empty())
            add({true, std::move(any)});
    }
    void add(Condition condition)
    {
        std::sort(condition.any.begin(), condition.any.end());
        const auto end = std::unique(condition.any.begin(), condition.any.end());
        condition.any.erase(end, condition.any.end());
        conditions_.push_back(std::move(condition));
    }

    static Alternative is_protocol(std::uint8_t p)
    {
        return {{Check::Kind::Protocol, false, p, 0}, {}};
    }

    // The protocol, and what conditions on ports and ICMP ask of it.
    void lower_protocol(const Rule& rule)
    {
        const bool on_icmp = rule.icmp || rule.not_icmp;
        const bool on_ports =
            has_port_condition(rule.source) || has_port_condition(rule.destination);
        std::vector<std::uint8_t> possible;
        if (rule.protocol)
            possible = {*rule.protocol};
        else if (on_icmp)
            possible = {IPPROTO_ICMP};
        else if (on_ports)
            possible = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP};

        const auto impossible = [&](std::uint8_t p) {
            return (on_icmp && p != IPPROTO_ICMP) || (on_ports && !has_ports(p)) ||
                   p == rule.not_protocol;
        };
        const bool any_protocol = possible.empty();
        std::erase_if(possible, impossible);
        if (!any_protocol && possible.empty())
            never_ = true;
        if (any_protocol && rule.not_protocol)
            refuse({is_protocol(*rule.not_protocol)});
        if (!possible.empty()) {
            std::vector<Alternative> any;
            for (const auto p : possible)
                any.push_back(is_protocol(p));
            require(std::move(any));
        }
        if (rule.icmp)
            require({icmp(*rule.icmp)});
        if (rule.not_icmp)
            refuse({icmp(*rule.not_icmp)});
    }

    static bool has_port_condition(const Side& s)
    {
        return s.match_no_port || !s.ports.empty() || !s.named_ports.empty() ||
               !s.not_ports.empty() || !s.not_named_ports.empty();
    }

    void lower_side(const Side& side, bool destination)
    {
        lower_nets(side, destination);
        lower_sets(side, destination);
        if (side.match_no_port)
            never_ = true;
        if (!side.ports.empty() || !side.named_ports.empty())
            lower_wanted_ports(side, destination);
        refuse(port_list(side.not_ports, side.not_named_ports, destination));
        if (covers_all_ports(side.not_ports))
            never_ = true;
    }

    void lower_wanted_ports(const Side& side, bool destination)
    {
        if (covers_all_ports(side.ports))
            return; // the protocol has ports: that was all it asked
        auto wanted = port_list(side.ports, side.named_ports, destination);
        if (wanted.empty())
            never_ = true;
        else
            require(std::move(wanted));
    }

    static bool covers_all_ports(const std::vector<PortRange>& ranges)
    {
        return std::any_of(ranges.begin(), ranges.end(),
                           [](const auto& r) { return r.first == 0 && r.last == 0xffff; });
    }

    static std::vector<Alternative> port_list(const std::vector<PortRange>& ranges,
                                              const std::vector<NamedPort>& named, bool destination)
    {
        std::vector<Alternative> any;
        for (const auto& r : ranges)
            if (r.first <= r.last)
                any.push_back(port_range(destination, r));
        for (const auto& n : named)
            any.push_back(named_port(destination, n));
        return any;
    }

    static std::vector<Alternative> net_list(const std::vector<Prefix4>& nets, bool destination)
    {
        std::vector<Alternative> any;
        for (const auto& net : nets)
            any.push_back(
                {{Check::Kind::Net, destination, net.network().addr.value(), mask_of(net.length)},
                 {}});
        return any;
    }

    static bool has_default(const std::vector<Prefix4>& nets)
    {
        return std::any_of(nets.begin(), nets.end(), [](const auto& n) { return n.length == 0; });
    }

    void lower_nets(const Side& side, bool destination)
    {
        if (!side.nets.empty() && !has_default(side.nets))
            require(net_list(side.nets, destination));
        if (has_default(side.not_nets))
            never_ = true;
        else
            refuse(net_list(side.not_nets, destination));
    }

    // Sets that share a word of the class are one check.
    void lower_sets(const Side& side, bool destination)
    {
        for (const auto& [word, bits] : words_of(side.sets))
            require({{{Check::Kind::AllSets, destination, word, bits}, {}}});
        std::vector<Alternative> refused;
        for (const auto& [word, bits] : words_of(side.not_sets))
            refused.push_back({{Check::Kind::AnySet, destination, word, bits}, {}});
        refuse(std::move(refused));
    }

    static std::map<std::uint32_t, std::uint32_t> words_of(const std::vector<SetId>& sets)
    {
        std::map<std::uint32_t, std::uint32_t> words;
        for (const auto set : sets)
            words[set / 32] |= std::uint32_t{1} << (set % 32);
        return words;
    }

    std::vector<Condition> conditions_;
    bool never_ = false;
};

// Conditions of a rule are asked in ascending order: what is cheap and seldom true comes first,
// since its failure ends the rule. `rules` is how many of the block's rules ask it: a condition
// that many share tells them apart badly.
int order_of(const Condition& c, std::size_t rules)
{
    constexpr int kSeldomFails = 100;
    const auto& check = c.any.front().check;
    if (c.negate || check.kind == Check::Kind::Protocol)
        return kSeldomFails + c.negate;
    const int shared = 2 * static_cast<int>(std::bit_width(rules));
    const int length = c.any.size() > 1 ? 4 : 0;
    switch (check.kind) {
    case Check::Kind::Port:
        return shared + length + (check.a == check.b ? 0 : 3);
    case Check::Kind::Net:
        return shared + length + 1;
    case Check::Kind::AllSets:
    case Check::Kind::AnySet:
        return shared + length + 2;
    default:
        return shared;
    }
}

class Lowering {
public:
    Lowered run(const Program& program)
    {
        for (std::size_t t = 0; t < program.tiers.size(); ++t)
            lower_tier(program.tiers[t], static_cast<std::uint32_t>(t));
        for (const auto& profile : program.profiles) {
            Block block;
            block.name = profile.name;
            lower_policy(profile, block);
            finish(std::move(block));
        }
        return std::move(result_);
    }

private:
    void lower_tier(const Tier& tier, std::uint32_t number)
    {
        Block block;
        block.name = "tier " + tier.name;
        for (const auto& policy : tier.policies)
            lower_policy(policy, block);
        if (tier.end == TierEnd::Deny && !tier.policies.empty())
            block.deny_at_end = POLICY_RULE_TIER_END | number;
        finish(std::move(block));
    }

    void finish(Block block)
    {
        std::map<ConditionId, std::size_t> rules;
        for (const auto& rule : block.rules)
            for (const auto id : rule.conditions)
                ++rules[id];
        const auto order = [&](ConditionId id) {
            return std::pair(order_of(result_.conditions[id], rules.at(id)), id);
        };
        for (auto& rule : block.rules)
            std::sort(rule.conditions.begin(), rule.conditions.end(),
                      [&](auto x, auto y) { return order(x) < order(y); });
        result_.blocks.push_back(std::move(block));
    }

    void lower_policy(const Policy& policy, Block& block)
    {
        for (const auto& rule : policy.rules) {
            const auto ordinal = next_ordinal_++;
            RuleLowering lowering(rule);
            if (lowering.never())
                continue;
            block.passes |= rule.action == Action::Pass;
            add_rule(block, {rule.action, ordinal, {}}, lowering.take(), 0);
        }
    }

    // Numbers the conditions from `at` on. A long positive list becomes several rules that do the
    // same: whichever matches first, the outcome is one.
    void add_rule(Block& block, LoweredRule rule, const std::vector<Condition>& conditions,
                  std::size_t at)
    {
        if (at == conditions.size()) {
            block.rules.push_back(std::move(rule));
            return;
        }
        const auto& condition = conditions[at];
        const auto chunk = condition.negate ? condition.any.size() : kListMax;
        for (std::size_t i = 0; i < condition.any.size(); i += chunk) {
            const auto first = condition.any.begin() + static_cast<std::ptrdiff_t>(i);
            const auto count = std::min(chunk, condition.any.size() - i);
            auto part = rule;
            part.conditions.push_back(
                number({condition.negate, {first, first + static_cast<std::ptrdiff_t>(count)}}));
            add_rule(block, std::move(part), conditions, at + 1);
        }
    }

    ConditionId number(Condition condition)
    {
        const auto next = static_cast<ConditionId>(result_.conditions.size());
        const auto [at, is_new] = numbers_.try_emplace(condition, next);
        if (is_new)
            result_.conditions.push_back(std::move(condition));
        return at->second;
    }

    Lowered result_;
    std::map<Condition, ConditionId> numbers_;
    std::uint32_t next_ordinal_ = 0;
};

Cost cost_of(const Check& check)
{
    switch (check.kind) {
    case Check::Kind::Port:
        return {check.a == check.b ? 2u : 4u, 1};
    case Check::Kind::Net:
    case Check::Kind::AllSets:
    case Check::Kind::AnySet:
        return {3, 1};
    default:
        return {2, 1};
    }
}

} // namespace

Cost cost_of(const Condition& condition)
{
    Cost sum{1, 0};
    const auto add = [&](const Check& check) {
        const auto cost = cost_of(check);
        sum.instructions += cost.instructions;
        sum.jumps += cost.jumps;
    };
    for (const auto& alternative : condition.any) {
        add(alternative.check);
        if (alternative.also)
            add(*alternative.also);
    }
    return sum;
}

Lowered lower(const Program& program)
{
    return Lowering().run(program);
}

} // namespace margay::policy
