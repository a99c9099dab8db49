// SPDX-License-Identifier: Apache-2.0
#include "agent/bgp/rules.h"

#include <algorithm>

namespace margay::bgp_rules {
namespace {

const model::BgpFilterRules& rules_of(const model::BgpFilter& filter, bool import, bool v4)
{
    if (import)
        return v4 ? filter.import4 : filter.import6;
    return v4 ? filter.export4 : filter.export6;
}

} // namespace

std::string chain_of(const std::vector<std::string>& filters)
{
    std::string chain;
    for (const std::string& name : filters)
        chain += (chain.empty() ? "" : ",") + name;
    return chain;
}

void Rules::set_filter(const std::string& name, const model::BgpFilter* filter)
{
    if (filter)
        filters_.insert_or_assign(name, *filter);
    else
        filters_.erase(name);
    chains_.clear();
}

const Rules::Lists* Rules::filters_of(const std::string& chain)
{
    const auto [at, fresh] = chains_.try_emplace(chain);
    Chain& found = at->second;
    if (!fresh)
        return found.whole ? &found.filters : nullptr;
    for (std::string_view rest = chain; !rest.empty();) {
        const auto comma = std::min(rest.find(','), rest.size());
        const auto filter = filters_.find(rest.substr(0, comma));
        if (filter == filters_.end())
            found.whole = false;
        else
            found.filters.push_back(&filter->second);
        rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
    return found.whole ? &found.filters : nullptr;
}

Verdict Rules::run_filters(const std::string& chain, bool import, Route& route)
{
    const Lists* filters = filters_of(chain);
    if (!filters)
        return Verdict::Reject;
    const bool v4 = std::holds_alternative<Prefix4>(route.prefix());
    for (const model::BgpFilter* filter : *filters)
        if (const auto verdict = run(rules_of(*filter, import, v4), route);
            verdict != Verdict::Continue)
            return verdict;
    return Verdict::Continue;
}

bgp::AttributesPtr Rules::import_route(const std::string& chain, Route route,
                                       bgp::AttributePool& pool)
{
    if (run_filters(chain, true, route) == Verdict::Reject)
        return nullptr;
    return route.attributes(pool);
}

bgp::AttributesPtr Rules::export_route(const std::string& chain, Route route,
                                       bgp::AttributePool& pool)
{
    const auto verdict = run_filters(chain, false, route);
    if (verdict == Verdict::Reject)
        return nullptr;
    if (verdict == Verdict::Continue && !accepts(run_export(export_, route)))
        return nullptr;
    return route.attributes(pool);
}

std::vector<std::string> Rules::missing(const std::vector<std::string>& filters) const
{
    std::vector<std::string> names;
    for (const std::string& name : filters)
        if (!filters_.contains(name))
            names.push_back(name);
    return names;
}

} // namespace margay::bgp_rules
