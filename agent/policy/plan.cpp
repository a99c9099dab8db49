// SPDX-License-Identifier: Apache-2.0

#include "agent/policy/plan.h"

namespace margay::policy {

namespace {

// Prologue, both class lookups, exits and continuations; generous.
constexpr Cost kFrame{200, 20};
constexpr std::size_t kRuleOverhead = 4; // the action, a jump back, a guard

class Planner {
public:
    Planner(const Lowered& lowered, const SegmentLimits& limits)
        : lowered_(lowered), limits_(limits)
    {
        open_segment();
    }

    Result<Plan> run()
    {
        for (std::size_t b = 0; b < lowered_.blocks.size(); ++b)
            if (auto status = place(b); !status)
                return status.error();
        if (plan_.segments.size() > limits_.segments)
            return Error{Errc::Full, 0,
                         "policy program needs " + std::to_string(plan_.segments.size()) +
                             " segments, at most " + std::to_string(limits_.segments) +
                             " can be chained"};
        return std::move(plan_);
    }

private:
    Status place(std::size_t number)
    {
        const auto& block = lowered_.blocks[number];
        std::vector<Cost> costs;
        Cost total{kRuleOverhead, 1};
        for (const auto& rule : block.rules) {
            costs.push_back(cost_of_rule(rule));
            total.instructions += costs.back().instructions;
            total.jumps += costs.back().jumps;
        }
        if (!fits(total) && !empty())
            open_segment();
        plan_.segment_of_block.push_back(plan_.segments.size() - 1);
        if (fits(total)) {
            add_part({number, 0, block.rules.size(), true, true}, total);
            return {};
        }
        return split(number, costs);
    }

    Status split(std::size_t number, const std::vector<Cost>& costs)
    {
        const auto& block = lowered_.blocks[number];
        std::size_t first = 0;
        Cost part{kRuleOverhead, 1};
        for (std::size_t i = 0; i < costs.size(); ++i) {
            const Cost more{part.instructions + costs[i].instructions, part.jumps + costs[i].jumps};
            if (fits(more)) {
                part = more;
                continue;
            }
            if (i == first)
                return Error{Errc::Full, 0, block.name + ": one rule is too large to compile"};
            add_part({number, first, i, first == 0, false}, part);
            open_segment();
            first = i--; // this rule begins the next part
            part = {kRuleOverhead, 1};
        }
        add_part({number, first, costs.size(), first == 0, true}, part);
        if (block.passes && number + 1 < lowered_.blocks.size())
            open_segment(); // its earlier parts pass to the next block by a tail call
        return {};
    }

    Cost cost_of_rule(const LoweredRule& rule) const
    {
        Cost sum{kRuleOverhead, 0};
        for (const auto id : rule.conditions) {
            const auto cost = cost_of(lowered_.conditions[id]);
            sum.instructions += cost.instructions;
            sum.jumps += cost.jumps;
        }
        return sum;
    }

    bool fits(const Cost& cost) const
    {
        return used_.instructions + cost.instructions <= limits_.instructions &&
               used_.jumps + cost.jumps <= limits_.jumps;
    }
    bool empty() const { return plan_.segments.back().empty(); }
    void open_segment()
    {
        plan_.segments.emplace_back();
        used_ = kFrame;
    }
    void add_part(const Part& part, const Cost& cost)
    {
        plan_.segments.back().push_back(part);
        used_.instructions += cost.instructions;
        used_.jumps += cost.jumps;
    }

    const Lowered& lowered_;
    const SegmentLimits& limits_;
    Plan plan_;
    Cost used_;
};

} // namespace

Result<Plan> plan_segments(const Lowered& lowered, const SegmentLimits& limits)
{
    return Planner(lowered, limits).run();
}

} // namespace margay::policy
