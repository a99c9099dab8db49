// SPDX-License-Identifier: Apache-2.0

#include "agent/calc/rule_resolver.h"

#include <algorithm>

#include "agent/model/scalars.h"

namespace margay::calc {
namespace {

using model::EntityRule;
using model::Selector;

constexpr std::string_view kNamespacePrefix = "pcns.";
constexpr std::string_view kServiceAccountPrefix = "pcsa.";

Selector has_namespace()
{
    return Selector::has(std::string(model::kNamespaceLabel));
}

Selector in_namespace(const std::string& ns)
{
    return Selector::equals(std::string(model::kNamespaceLabel), ns);
}

// all() over namespaces or accounts means "has one", not "everything".
Selector prefixed(const Selector& selector, std::string_view prefix, std::string_view own_label)
{
    return selector.is_all() ? Selector::has(std::string(own_label))
                             : selector.with_key_prefix(prefix);
}

Selector account_selector(const Selector& selector)
{
    return prefixed(selector, kServiceAccountPrefix, model::kServiceAccountLabel);
}

Selector namespace_selector(const Selector& selector)
{
    if (selector.is_global())
        return Selector::negation(has_namespace());
    return prefixed(selector, kNamespacePrefix, model::kNamespaceLabel);
}

std::optional<Selector> accounts_of(const EntityRule& entity)
{
    if (!entity.service_accounts)
        return std::nullopt;
    const auto& [names, selector] = *entity.service_accounts;
    std::optional<Selector> result;
    if (!names.empty())
        result = Selector::in(std::string(model::kServiceAccountLabel), names);
    if (selector)
        result = Selector::both(result.value_or(Selector()), account_selector(*selector));
    return result;
}

policy::Action action_of(model::RuleAction action)
{
    switch (action) {
    case model::RuleAction::Allow:
        return policy::Action::Allow;
    case model::RuleAction::Deny:
        return policy::Action::Deny;
    case model::RuleAction::Log:
        return policy::Action::Log;
    case model::RuleAction::Pass:
        break;
    }
    return policy::Action::Pass;
}

// A type is what the IR matches by; ICMP without one says no more than the protocol does.
std::optional<policy::Icmp> icmp_of(const std::optional<model::IcmpMatch>& match)
{
    if (!match || !match->type)
        return std::nullopt;
    return policy::Icmp{*match->type, match->code};
}

// The rule is for IPv6 packets alone.
bool is_for_ipv6(const model::Rule& rule)
{
    const auto lacks_v4 = [](const model::Nets& nets) {
        return nets.v4.empty() && !nets.v6.empty();
    };
    const auto side = [&](const EntityRule& entity) {
        return lacks_v4(entity.nets) || lacks_v4(entity.not_nets);
    };
    return rule.ip_version == 6 || side(rule.source) || side(rule.destination) ||
           (rule.protocol == model::kProtoIcmpV6 && (rule.icmp || rule.not_icmp));
}

bool excludes_everything(const EntityRule& entity)
{
    const auto& nets = entity.not_nets.v4;
    return std::any_of(nets.begin(), nets.end(),
                       [](const Prefix4& net) { return net.length == 0; });
}

} // namespace

std::optional<Selector> rewritten_selector(const EntityRule& entity, const std::string& ns)
{
    const auto accounts = accounts_of(entity);
    std::optional<Selector> result = entity.selector;
    const auto require = [&result](const Selector& more) {
        result = Selector::both(result.value_or(Selector()), more);
    };
    if (accounts)
        require(*accounts);
    if (entity.namespace_selector)
        require(namespace_selector(*entity.namespace_selector));
    else if (!ns.empty() && (entity.selector || entity.not_selector || accounts))
        require(in_namespace(ns));
    return result;
}

Selector rewritten_selector(const model::Policy& policy)
{
    Selector result = policy.selector;
    if (policy.service_account_selector)
        result = Selector::both(result, account_selector(*policy.service_account_selector));
    if (policy.namespace_selector)
        result = Selector::both(
            result, prefixed(*policy.namespace_selector, kNamespacePrefix, model::kNamespaceLabel));
    if (!policy.ns.empty())
        result = Selector::both(result, in_namespace(policy.ns));
    return result;
}

std::vector<policy::Rule> RuleResolver::resolve(const std::vector<model::Rule>& rules,
                                                const std::string& ns)
{
    std::vector<policy::Rule> resolved;
    for (const auto& rule : rules)
        if (auto result = resolve_rule(rule, ns))
            resolved.push_back(*std::move(result));
    return resolved;
}

std::optional<policy::Rule> RuleResolver::resolve_rule(const model::Rule& rule,
                                                       const std::string& ns)
{
    if (is_for_ipv6(rule) || excludes_everything(rule.source) ||
        excludes_everything(rule.destination))
        return std::nullopt;
    policy::Rule result;
    result.action = action_of(rule.action);
    result.protocol = rule.protocol;
    result.not_protocol = rule.not_protocol;
    result.icmp = icmp_of(rule.icmp);
    result.not_icmp = icmp_of(rule.not_icmp);
    const auto protocol = rule.protocol.value_or(0);
    const Fit source = resolve_side(rule.source, protocol, ns, result.source);
    const Fit destination = resolve_side(rule.destination, protocol, ns, result.destination);
    if (source == Fit::CannotMatch || destination == Fit::CannotMatch)
        return std::nullopt;
    const bool narrowed =
        rule.narrowed_beyond_us() || source == Fit::Unsupported || destination == Fit::Unsupported;
    if (narrowed &&
        (rule.action == model::RuleAction::Allow || rule.action == model::RuleAction::Log))
        return std::nullopt;
    if (narrowed)
        result.action = policy::Action::Deny;
    return result;
}

RuleResolver::Fit RuleResolver::resolve_side(const EntityRule& entity, std::uint8_t protocol,
                                             const std::string& ns, policy::Side& side)
{
    side.nets = entity.nets.v4;
    side.not_nets = entity.not_nets.v4;
    const auto positive = rewritten_selector(entity, ns);
    const Selector scope = positive.value_or(Selector());
    const Fit sets = resolve_sets(entity, positive, side);
    const Fit ports = resolve_ports(entity.ports, scope, protocol, side.ports, side.named_ports);
    const Fit not_ports =
        resolve_ports(entity.not_ports, scope, protocol, side.not_ports, side.not_named_ports);
    if (ports ==
        Fit::Unsupported) { // a part of the list would match less, or, in a Deny, too little
        side.ports.clear();
        side.named_ports.clear();
    } else {
        side.match_no_port =
            !entity.ports.empty() && side.ports.empty() && side.named_ports.empty();
    }
    const bool unsupported =
        sets == Fit::Unsupported || ports == Fit::Unsupported || not_ports == Fit::Unsupported;
    return unsupported ? Fit::Unsupported : Fit::Resolved;
}

// Positive and negative selector together are one set; a negative one alone is excluded, and
// addresses that nobody knows are then let through to the other conditions.
RuleResolver::Fit RuleResolver::resolve_sets(const EntityRule& entity,
                                             const std::optional<Selector>& positive,
                                             policy::Side& side)
{
    if (!positive && !entity.not_selector)
        return Fit::Resolved;
    Selector wanted = positive.value_or(Selector());
    if (positive && entity.not_selector)
        wanted = Selector::both(*positive, Selector::negation(*entity.not_selector));
    const Selector& selector = positive ? wanted : *entity.not_selector;
    const auto set = sets_.acquire(selector);
    holdings_.selectors.push_back(selector);
    if (!set) {
        holdings_.refused = true;
        return Fit::Unsupported;
    }
    (positive ? side.sets : side.not_sets).push_back(*set);
    return Fit::Resolved;
}

RuleResolver::Fit RuleResolver::resolve_ports(const std::vector<model::PortMatch>& ports,
                                              const Selector& scope, std::uint8_t protocol,
                                              std::vector<policy::PortRange>& ranges,
                                              std::vector<policy::NamedPort>& named)
{
    Fit fit = Fit::Resolved;
    for (const auto& port : ports) {
        if (port.name.empty()) {
            ranges.push_back({port.first, port.last});
            continue;
        }
        const PortName name{scope, port.name, protocol};
        sets_.acquire(name);
        holdings_.ports.push_back(name);
        const auto found = sets_.ports(name);
        holdings_.refused |= !found;
        if (!found)
            fit = Fit::Unsupported;
        else
            named.insert(named.end(), found->begin(), found->end());
    }
    return fit;
}

} // namespace margay::calc
