// SPDX-License-Identifier: Apache-2.0
// Who is judged by what; policy_programs.cpp turns it into Programs.

#include "agent/calc/policy_calc.h"

#include "agent/model/scalars.h"

namespace margay::calc {
namespace {

model::Profile default_allow()
{
    model::Rule allow;
    allow.action = model::RuleAction::Allow;
    return {std::string(model::kDefaultAllowProfile), {}, {allow}, {allow}};
}

std::string ir_name(const model::Policy& policy)
{
    return (policy.ns.empty() ? "" : policy.ns + "/") + policy.tier + "/" + policy.name;
}

// Such policies concern host endpoints alone.
bool judges_workloads(const model::Policy& policy)
{
    return !policy.do_not_track && !policy.pre_dnat;
}

} // namespace

PolicyCalc::PolicyCalc(SetIds ids)
    : sets_(std::move(ids), [this](const PortName& name) { on_ports(name); }),
      index_([this](SelectorId id, ItemId item, bool matches) { on_match(id, item, matches); })
{
    profiles_[std::string(model::kDefaultAllowProfile)].profile = default_allow();
}

void PolicyCalc::set_policy(const model::ResourceKey& key, const model::Policy* policy)
{
    const auto at = policies_.find(key);
    if (at != policies_.end()) {
        if (policy && at->second.policy == *policy)
            return;
        auto& state = at->second;
        index_.remove_selector(state.selector);
        by_selector_.erase(state.selector);
        for (const ItemId item : std::exchange(state.body.endpoints, {})) {
            endpoints_.at(item).policies.erase(key);
            dirty_endpoints_.insert(item);
        }
    }
    if (!policy || !judges_workloads(*policy)) {
        if (at != policies_.end()) {
            release(at->second.body);
            policies_.erase(at);
        }
        dirty_policies_.erase(key);
        return;
    }
    auto& state = policies_[key];
    state.policy = *policy;
    state.ir_name = ir_name(*policy);
    state.tie_break =
        policy->name + "/" + policy->ns + "/" + std::string(model::kind_name(key.kind));
    state.selector = ++last_selector_;
    by_selector_.emplace(state.selector, key);
    dirty_policies_.insert(key);
    index_.add_selector(state.selector, rewritten_selector(*policy));
}

void PolicyCalc::set_tier(const std::string& name, const model::Tier* tier)
{
    const auto at = tiers_.find(name);
    if (tier ? at != tiers_.end() && at->second.tier == *tier : at == tiers_.end())
        return;
    if (tier)
        tiers_.insert_or_assign(name, TierState{*tier, ++last_version_});
    else
        tiers_.erase(name);
    mark_all_endpoints();
}

void PolicyCalc::set_profile(const std::string& name, const model::Profile* profile)
{
    if (name == model::kDefaultAllowProfile)
        return; // built in
    auto& state = profiles_[name];
    if (profile)
        state.profile = *profile;
    else
        state.profile.reset();
    dirty_profiles_.insert(name);
    if (!profile && state.body.endpoints.empty()) {
        release(state.body);
        profiles_.erase(name);
        dirty_profiles_.erase(name);
    }
}

void PolicyCalc::note_interface(ItemId item, const model::WantedEndpoint& wanted, bool in)
{
    if (wanted.interface_name.empty())
        return;
    auto& claims = interfaces_[wanted.interface_name];
    if (in)
        claims.insert_or_assign(wanted.id, item);
    else
        claims.erase(wanted.id);
    if (claims.empty())
        interfaces_.erase(wanted.interface_name);
    dirty_interfaces_.insert(wanted.interface_name);
}

void PolicyCalc::set_profiles(ItemId item, Endpoint& endpoint,
                              const std::vector<std::string>& profiles)
{
    for (const auto& name : endpoint.wanted.profiles) {
        auto& state = profiles_[name];
        state.body.endpoints.erase(item);
        dirty_profiles_.insert(name);
    }
    for (const auto& name : profiles) {
        profiles_[name].body.endpoints.insert(item);
        dirty_profiles_.insert(name);
    }
}

void PolicyCalc::set_endpoint(ItemId item, const model::WorkloadEndpoint& from,
                              const model::Labels& labels)
{
    auto& endpoint = endpoints_[item];
    note_interface(item, endpoint.wanted, false);
    if (endpoint.wanted.profiles != from.profiles)
        set_profiles(item, endpoint, from.profiles);
    auto& wanted = endpoint.wanted;
    wanted.id = {model::Kind::WorkloadEndpoint, from.ns, from.name};
    wanted.interface_name = from.interface_name;
    wanted.addresses.clear();
    for (const auto& net : from.addresses.v4)
        wanted.addresses.push_back(net.addr);
    wanted.mac = from.mac;
    wanted.profiles = from.profiles;
    note_interface(item, wanted, true);
    dirty_endpoints_.insert(item);
    index_.set_item(item, labels);
}

void PolicyCalc::remove_endpoint(ItemId item)
{
    const auto at = endpoints_.find(item);
    if (at == endpoints_.end())
        return;
    index_.remove_item(item);
    set_profiles(item, at->second, {});
    note_interface(item, at->second.wanted, false);
    endpoints_.erase(at);
    dirty_endpoints_.erase(item);
}

void PolicyCalc::on_match(SelectorId selector, ItemId item, bool matches)
{
    const auto& key = by_selector_.at(selector);
    auto& body = policies_.at(key).body;
    auto& policies = endpoints_.at(item).policies;
    if (matches) {
        body.endpoints.insert(item);
        policies.insert(key);
    } else {
        body.endpoints.erase(item);
        policies.erase(key);
    }
    if (body.endpoints.empty() || body.version == 0)
        dirty_policies_.insert(key);
    dirty_endpoints_.insert(item);
}

// Rare, and there are few active bodies with named ports: a search is cheap enough.
void PolicyCalc::on_ports(const PortName& name)
{
    const auto holds = [&name](const Body& body) {
        for (const auto& held : body.holdings.ports)
            if (held == name)
                return true;
        return false;
    };
    for (const auto& [key, state] : policies_)
        if (holds(state.body))
            dirty_policies_.insert(key);
    for (const auto& [key, state] : profiles_)
        if (holds(state.body))
            dirty_profiles_.insert(key);
}

void PolicyCalc::mark_all_endpoints()
{
    for (const auto& [item, unused] : endpoints_)
        dirty_endpoints_.insert(item);
}

bool PolicyCalc::dirty() const
{
    return !dirty_policies_.empty() || !dirty_profiles_.empty() || !dirty_endpoints_.empty() ||
           !dirty_interfaces_.empty() || sets_.dirty();
}

} // namespace margay::calc
