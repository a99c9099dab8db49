// SPDX-License-Identifier: Apache-2.0
#include "agent/bgp/filter.h"

namespace margay::bgp_rules {
namespace {

using Rule = model::BgpFilterRule;

bool is_within(const Rule& rule, const model::AnyPrefix& prefix)
{
    const int length = length_of(prefix);
    return contains(*rule.cidr, prefix) && length >= rule.min_length.value_or(0) &&
           (!rule.max_length || length <= *rule.max_length);
}

bool matches_cidr(const Rule& rule, const model::AnyPrefix& prefix)
{
    if (!rule.cidr)
        return true;
    switch (rule.cidr_match) {
    case Rule::CidrMatch::Equal:
        return prefix == *rule.cidr;
    case Rule::CidrMatch::NotEqual:
        return prefix != *rule.cidr;
    case Rule::CidrMatch::In:
        return is_within(rule, prefix);
    case Rule::CidrMatch::NotIn:
        break;
    }
    return !is_within(rule, prefix);
}

bool matches_peer(Rule::PeerType type, bool external)
{
    return type == Rule::PeerType::Any || (type == Rule::PeerType::External) == external;
}

// Where the interface is not known such a rule rejects by its other fields alone, and accepts nothing, so
// that this opens nothing. A route that leads nowhere has none, as in BIRD.
bool matches_interface(const Rule& rule, const Route& route)
{
    if (rule.interface_name.empty())
        return true;
    const auto name = route.interface_name();
    if (!name)
        return rule.action == Rule::Action::Reject;
    return !name->empty() && matches_wildcard(rule.interface_name, *name);
}

bool matches(const Rule& rule, const Route& route)
{
    return matches_cidr(rule, route.prefix()) && (!rule.learned || route.circumstances().learned) &&
           matches_peer(rule.peer_type, route.circumstances().external) &&
           (!rule.priority || route.priority() == *rule.priority) &&
           (!rule.community || route.has(*rule.community)) &&
           (rule.as_path_prefix.empty() || route.path_begins_with(rule.as_path_prefix)) &&
           matches_interface(rule, route); // last: it may have to ask the kernel
}

bool operate(const model::BgpOperation& operation, Route& route)
{
    if (const auto* community = std::get_if<model::AddCommunity>(&operation))
        return route.add(community->value);
    if (const auto* path = std::get_if<model::PrependAsPath>(&operation))
        return route.prepend(path->as_numbers);
    route.set_priority(std::get<model::SetPriority>(operation).value);
    return true;
}

} // namespace

Verdict run(const model::BgpFilterRules& rules, Route& route)
{
    for (const Rule& rule : rules) {
        if (!matches(rule, route))
            continue;
        if (rule.action == Rule::Action::Reject)
            return Verdict::Reject;
        for (const auto& operation : rule.operations)
            if (!operate(operation, route))
                return Verdict::Reject; // what should mark the route does not fit
        if (rule.action == Rule::Action::Accept)
            return Verdict::Accept;
    }
    return Verdict::Continue;
}

// With one star to come back to: linear in time for each character, whatever the pattern.
bool matches_wildcard(std::string_view pattern, std::string_view text)
{
    std::size_t p = 0;
    std::size_t t = 0;
    std::size_t star = std::string_view::npos;
    std::size_t resume = 0;
    while (t < text.size()) {
        if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t]) &&
            pattern[p] != '*') {
            ++p;
            ++t;
        } else if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            resume = t;
        } else if (star != std::string_view::npos) {
            p = star + 1;
            t = ++resume;
        } else {
            return false;
        }
    }
    while (p < pattern.size() && pattern[p] == '*')
        ++p;
    return p == pattern.size();
}

} // namespace margay::bgp_rules
