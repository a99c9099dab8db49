// SPDX-License-Identifier: Apache-2.0
#include "agent/bgp/export.h"

#include <algorithm>

namespace margay::bgp_rules {
namespace {

bool inside_any(const std::vector<model::AnyPrefix>& around, const model::AnyPrefix& prefix)
{
    return std::ranges::any_of(around, [&](const auto& p) { return contains(p, prefix); });
}

bool inside_any(const model::Nets& around, const model::AnyPrefix& prefix)
{
    const auto holds = [&](const auto& p) { return contains(p, prefix); };
    return std::ranges::any_of(around.v4, holds) || std::ranges::any_of(around.v6, holds);
}

bool is_one_of(const model::Nets& nets, const model::AnyPrefix& prefix)
{
    const auto is_it = [&](const auto& p) { return model::AnyPrefix(p) == prefix; };
    return std::ranges::any_of(nets.v4, is_it) || std::ranges::any_of(nets.v6, is_it);
}

bool inside_pool(const model::BgpExport& facts, const model::AnyPrefix& prefix, bool exported)
{
    return std::ranges::any_of(facts.pools, [&](const auto& pool) {
        return pool.exported == exported && contains(pool.cidr, prefix);
    });
}

bool add_communities(const model::BgpExport& facts, Route& route)
{
    for (const auto& advertisement : facts.advertisements)
        if (contains(advertisement.cidr, route.prefix()))
            for (const auto& community : advertisement.communities)
                if (!route.add(community))
                    return false;
    return true;
}

} // namespace

ExportRule run_export(const model::BgpExport& facts, Route& route)
{
    const auto& prefix = route.prefix();
    if (inside_pool(facts, prefix, false))
        return ExportRule::HiddenPool;
    const std::uint32_t priority = route.priority();
    if (!add_communities(facts, route))
        return ExportRule::TooManyCommunities;
    if (std::ranges::find(facts.own_blocks, prefix) != facts.own_blocks.end())
        return ExportRule::OwnBlock;
    if (inside_any(facts.own_blocks, prefix)) {
        const bool v4 = std::holds_alternative<Prefix4>(prefix);
        const std::uint32_t normal = v4 ? facts.priority4 : facts.priority6;
        return priority < normal ? ExportRule::Elevated : ExportRule::InsideOwnBlock;
    }
    if (is_one_of(facts.service_routes, prefix))
        return ExportRule::ServiceRoute;
    if (inside_any(facts.reflected_services, prefix))
        return ExportRule::ReflectedService;
    return inside_pool(facts, prefix, true) ? ExportRule::Pool : ExportRule::Otherwise;
}

bool accepts(ExportRule rule)
{
    switch (rule) {
    case ExportRule::OwnBlock:
    case ExportRule::Elevated:
    case ExportRule::ServiceRoute:
    case ExportRule::ReflectedService:
    case ExportRule::Pool:
        return true;
    case ExportRule::HiddenPool:
    case ExportRule::TooManyCommunities:
    case ExportRule::InsideOwnBlock:
    case ExportRule::Otherwise:
        break;
    }
    return false;
}

} // namespace margay::bgp_rules
