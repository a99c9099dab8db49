// SPDX-License-Identifier: Apache-2.0
// The second half of PolicyCalc: order, Programs, and what changed.

#include <algorithm>
#include <limits>
#include <utility>

#include "agent/calc/policy_calc.h"

namespace margay::calc {
namespace {

constexpr double kLast = std::numeric_limits<double>::infinity();
constexpr std::uint64_t kEndOfTiers = ~std::uint64_t{0};

std::strong_ordering compare_orders(const std::optional<double>& a, const std::optional<double>& b)
{
    return std::strong_order(a.value_or(kLast), b.value_or(kLast));
}

} // namespace

struct PolicyCalc::Direction {
    Version tag; // keeps signatures of the two directions apart
    bool model::Policy::* applies;
    std::vector<policy::Rule> Body::* rules;
};

void PolicyCalc::resolve(Body& body, const std::vector<model::Rule>& ingress,
                         const std::vector<model::Rule>& egress, const std::string& ns)
{
    // What the old rules give back stays filled until the data path runs the new ones.
    Holdings before = std::exchange(body.holdings, {});
    RuleResolver resolver(sets_, body.holdings);
    body.ingress = resolver.resolve(ingress, ns);
    body.egress = resolver.resolve(egress, ns);
    body.version = ++last_version_;
    for (const auto& selector : before.selectors)
        sets_.release(selector);
    for (const auto& name : before.ports)
        sets_.release(name);
    dirty_endpoints_.insert(body.endpoints.begin(), body.endpoints.end());
}

void PolicyCalc::release(Body& body)
{
    for (const auto& selector : body.holdings.selectors)
        sets_.release(selector);
    for (const auto& name : body.holdings.ports)
        sets_.release(name);
    const auto endpoints = std::move(body.endpoints);
    body = Body{};
    body.endpoints = endpoints;
    dirty_endpoints_.insert(endpoints.begin(), endpoints.end());
}

// A number has become free for a set: rules that do without it are resolved again.
void PolicyCalc::mark_refused()
{
    for (const auto& [key, state] : policies_)
        if (state.body.holdings.refused)
            dirty_policies_.insert(key);
    for (const auto& [name, state] : profiles_)
        if (state.body.holdings.refused)
            dirty_profiles_.insert(name);
}

void PolicyCalc::resolve_dirty()
{
    for (const auto& key : std::exchange(dirty_policies_, {})) {
        auto& state = policies_.at(key);
        const auto& policy = state.policy;
        if (state.body.endpoints.empty())
            release(state.body);
        else
            resolve(state.body, policy.ingress_rules, policy.egress_rules, policy.ns);
    }
    for (const auto& name : std::exchange(dirty_profiles_, {})) {
        auto& state = profiles_.at(name);
        if (state.body.endpoints.empty() || !state.profile)
            release(state.body);
        else
            resolve(state.body, state.profile->ingress_rules, state.profile->egress_rules, "");
        if (!state.profile && state.body.endpoints.empty())
            profiles_.erase(name);
    }
}

// Tiers with a resource first, by order, then by name. What stands in for a policy of a tier that
// nobody can read comes before all: in any later place an Allow could decide before it.
std::strong_ordering PolicyCalc::order_of_tiers(const std::string& a, const std::string& b) const
{
    if ((a == model::kUnreadableTier) != (b == model::kUnreadableTier))
        return a == model::kUnreadableTier ? std::strong_ordering::less
                                           : std::strong_ordering::greater;
    const auto left = tiers_.find(a);
    const auto right = tiers_.find(b);
    if ((left == tiers_.end()) != (right == tiers_.end()))
        return left == tiers_.end() ? std::strong_ordering::greater : std::strong_ordering::less;
    if (left != tiers_.end())
        if (const auto by_order = compare_orders(left->second.tier.order, right->second.tier.order);
            by_order != 0)
            return by_order;
    return a <=> b;
}

bool PolicyCalc::is_before(const PolicyState& a, const PolicyState& b) const
{
    if (const auto tiers = order_of_tiers(a.policy.tier, b.policy.tier); tiers != 0)
        return tiers < 0;
    if (const auto orders = compare_orders(a.policy.order, b.policy.order); orders != 0)
        return orders < 0;
    return a.tie_break < b.tie_break;
}

std::vector<const PolicyCalc::PolicyState*> PolicyCalc::in_order(const Endpoint& endpoint) const
{
    std::vector<const PolicyState*> ordered;
    for (const auto& key : endpoint.policies)
        ordered.push_back(&policies_.at(key));
    std::sort(ordered.begin(), ordered.end(),
              [this](const PolicyState* a, const PolicyState* b) { return is_before(*a, *b); });
    return ordered;
}

std::vector<PolicyCalc::Version>
PolicyCalc::signature(const Endpoint& endpoint, const std::vector<const PolicyState*>& policies,
                      const Direction& direction) const
{
    std::vector<Version> versions{direction.tag};
    for (const auto* state : policies) {
        if (!(state->policy.*direction.applies))
            continue;
        const auto tier = tiers_.find(state->policy.tier);
        versions.push_back(tier == tiers_.end() ? 0 : tier->second.version);
        versions.push_back(state->body.version);
    }
    versions.push_back(kEndOfTiers);
    for (const auto& name : endpoint.wanted.profiles)
        versions.push_back(profiles_.at(name).body.version);
    return versions;
}

policy::Program PolicyCalc::build(const Endpoint& endpoint,
                                  const std::vector<const PolicyState*>& policies,
                                  const Direction& direction) const
{
    policy::Program program;
    for (const auto* state : policies) {
        if (!(state->policy.*direction.applies))
            continue;
        const auto& tier = state->policy.tier;
        if (program.tiers.empty() || program.tiers.back().name != tier) {
            const auto known = tiers_.find(tier);
            const bool pass = known != tiers_.end() && known->second.tier.pass_at_end;
            program.tiers.push_back(
                {tier, {}, pass ? policy::TierEnd::Pass : policy::TierEnd::Deny});
        }
        program.tiers.back().policies.push_back({state->ir_name, state->body.*direction.rules});
    }
    for (const auto& name : endpoint.wanted.profiles) {
        const auto& state = profiles_.at(name);
        if (state.profile)
            program.profiles.push_back({"profile/" + name, state.body.*direction.rules});
    }
    return program;
}

model::ProgramRef PolicyCalc::shared(policy::Program program)
{
    const auto hash = policy::canonical_hash(program);
    auto& slot = by_hash_[hash];
    auto known = slot.lock();
    if (known && known->program == program)
        return known;
    auto fresh = std::make_shared<const model::SharedProgram>(
        model::SharedProgram{hash, std::move(program)});
    slot = fresh;
    return fresh;
}

model::ProgramRef PolicyCalc::program(const Endpoint& endpoint,
                                      const std::vector<const PolicyState*>& policies,
                                      const Direction& direction)
{
    auto& slot = by_signature_[signature(endpoint, policies, direction)];
    auto known = slot.lock();
    if (!known) {
        known = shared(build(endpoint, policies, direction));
        slot = known;
    }
    return known;
}

void PolicyCalc::forget_unused_programs()
{
    std::erase_if(by_signature_, [](const auto& entry) { return entry.second.expired(); });
    std::erase_if(by_hash_, [](const auto& entry) { return entry.second.expired(); });
}

void PolicyCalc::take_changes(model::Changes& into)
{
    static constexpr Direction kIngress{1, &model::Policy::ingress, &Body::ingress};
    static constexpr Direction kEgress{2, &model::Policy::egress, &Body::egress};
    if (sets_.has_refused() && sets_.retry_refused())
        mark_refused();
    resolve_dirty();
    for (const ItemId item : std::exchange(dirty_endpoints_, {})) {
        auto& endpoint = endpoints_.at(item);
        const auto policies = in_order(endpoint);
        endpoint.wanted.ingress = program(endpoint, policies, kIngress);
        endpoint.wanted.egress = program(endpoint, policies, kEgress);
        if (!endpoint.wanted.interface_name.empty())
            dirty_interfaces_.insert(endpoint.wanted.interface_name);
    }
    for (const auto& name : std::exchange(dirty_interfaces_, {})) {
        const auto claims = interfaces_.find(name);
        if (claims == interfaces_.end()) {
            if (published_.erase(name))
                into.endpoints.emplace(name, std::nullopt);
            continue;
        }
        const auto& wanted = endpoints_.at(claims->second.begin()->second).wanted;
        const auto known = published_.find(name);
        if (known != published_.end() && known->second == wanted)
            continue;
        published_.insert_or_assign(name, wanted);
        into.endpoints.emplace(name, wanted);
    }
    forget_unused_programs();
    sets_.take_changes(into);
}

} // namespace margay::calc
