// SPDX-License-Identifier: Apache-2.0

#include "agent/policy/compiler.h"

#include <algorithm>

#include "agent/policy/describe.h"
#include "agent/policy/emitter.h"
#include "agent/policy/lower.h"
#include "agent/policy/plan.h"
#include "maps/policy.h"

namespace margay::policy {

namespace {

bool is_in_range(const std::vector<SetId>& sets)
{
    return std::all_of(sets.begin(), sets.end(), [](auto s) { return s < CLASS_SET_MAX; });
}

bool is_in_range(const std::vector<NamedPort>& ports)
{
    return std::all_of(ports.begin(), ports.end(), [](auto& p) { return p.set < CLASS_SET_MAX; });
}

bool is_valid(const std::vector<Prefix4>& nets)
{
    return std::all_of(nets.begin(), nets.end(), [](auto& n) { return n.length <= Ipv4::kBits; });
}

bool is_valid(const Side& s)
{
    return is_in_range(s.sets) && is_in_range(s.not_sets) && is_in_range(s.named_ports) &&
           is_in_range(s.not_named_ports) && is_valid(s.nets) && is_valid(s.not_nets);
}

Status check(const std::vector<Policy>& policies)
{
    for (const auto& policy : policies)
        for (const auto& rule : policy.rules)
            if (!is_valid(rule.source) || !is_valid(rule.destination))
                return Error{Errc::Invalid, 0,
                             "compile policy " + policy.name +
                                 ": address set or prefix length out of range"};
    return {};
}

Status check(const Program& program)
{
    for (const auto& tier : program.tiers)
        if (auto status = check(tier.policies); !status)
            return status;
    return check(program.profiles);
}

} // namespace

Result<std::size_t> segment_count(const Program& program, const SegmentLimits& limits)
{
    if (auto status = check(program); !status)
        return status.error();
    const auto plan = plan_segments(lower(program), limits);
    if (!plan)
        return plan.error();
    return plan->segments.size();
}

Result<Compiled> compile(const Program& program, const CompileContext& context,
                         const SegmentLimits& limits)
{
    if (auto status = check(program); !status)
        return status.error();
    const auto lowered = lower(program);
    const auto plan = plan_segments(lowered, limits);
    if (!plan)
        return plan.error();
    if (plan->segments.size() > context.continuations.size() + 1)
        return Error{Errc::Full, 0,
                     "compile policy: " + std::to_string(plan->segments.size()) + " segments, " +
                         std::to_string(context.continuations.size()) + " continuation slots"};

    const auto texts = describe_rules(program);
    Compiled compiled;
    for (std::size_t i = 0; i < plan->segments.size(); ++i) {
        auto segment = SegmentEmitter(lowered, *plan, context, texts, i).run();
        if (!segment)
            return segment.error();
        compiled.segments.push_back(std::move(*segment));
    }
    return compiled;
}

} // namespace margay::policy
