// SPDX-License-Identifier: Apache-2.0
// PolicyCalc: which policies and profiles judge each local endpoint, in which order, as Programs.
//
// Only a policy that selects a local endpoint is active: its rules are resolved and its selectors
// become address sets. Endpoints judged by the same list share one Program object, and a list
// that was built once is not built again while somebody uses it.

#pragma once

#include <compare>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent/calc/address_sets.h"
#include "agent/calc/label_index.h"
#include "agent/calc/rule_resolver.h"
#include "agent/model/resources.h"
#include "agent/model/wanted.h"

namespace margay::calc {

class PolicyCalc {
public:
    explicit PolicyCalc(SetIds ids);
    PolicyCalc(const PolicyCalc&) = delete;
    PolicyCalc& operator=(const PolicyCalc&) = delete;

    // nullptr: it is gone.
    void set_policy(const model::ResourceKey& key, const model::Policy* policy);
    void set_tier(const std::string& name, const model::Tier* tier);
    void set_profile(const std::string& name, const model::Profile* profile);
    // `labels` with those of the profiles.
    void set_endpoint(ItemId item, const model::WorkloadEndpoint& endpoint,
                      const model::Labels& labels);
    void remove_endpoint(ItemId item);

    AddressSets& sets() { return sets_; }
    void take_changes(model::Changes& into);
    bool dirty() const;

private:
    using Version = std::uint64_t; // unique to one state of one policy, profile or tier

    // The rules of a policy or profile, resolved while somebody is judged by them.
    struct Body {
        std::vector<policy::Rule> ingress{};
        std::vector<policy::Rule> egress{};
        Holdings holdings{};
        Version version = 0; // 0: not resolved
        std::set<ItemId> endpoints{};
    };
    struct PolicyState {
        model::Policy policy{};
        std::string ir_name{};
        std::string tie_break{}; // name/namespace/kind
        SelectorId selector = 0;
        Body body{};
    };
    struct ProfileState {
        std::optional<model::Profile> profile{};
        Body body{};
    };
    struct TierState {
        model::Tier tier{};
        Version version = 0;
    };
    struct Endpoint {
        model::WantedEndpoint wanted{};
        std::set<model::ResourceKey> policies{};
    };
    struct Direction; // policy_calc.cpp: ingress or egress

    void on_match(SelectorId selector, ItemId item, bool matches);
    void on_ports(const PortName& name);
    void set_profiles(ItemId item, Endpoint& endpoint, const std::vector<std::string>& profiles);
    void note_interface(ItemId item, const model::WantedEndpoint& wanted, bool in);
    void resolve(Body& body, const std::vector<model::Rule>& ingress,
                 const std::vector<model::Rule>& egress, const std::string& ns);
    void release(Body& body);
    void resolve_dirty();
    void mark_refused();
    std::vector<const PolicyState*> in_order(const Endpoint& endpoint) const;
    std::strong_ordering order_of_tiers(const std::string& a, const std::string& b) const;
    bool is_before(const PolicyState& a, const PolicyState& b) const;
    model::ProgramRef program(const Endpoint& endpoint,
                              const std::vector<const PolicyState*>& policies,
                              const Direction& direction);
    policy::Program build(const Endpoint& endpoint, const std::vector<const PolicyState*>& policies,
                          const Direction& direction) const;
    std::vector<Version> signature(const Endpoint& endpoint,
                                   const std::vector<const PolicyState*>& policies,
                                   const Direction& direction) const;
    model::ProgramRef shared(policy::Program program);
    void mark_all_endpoints();
    void forget_unused_programs();

    std::map<model::ResourceKey, PolicyState> policies_;
    std::map<SelectorId, model::ResourceKey> by_selector_;
    std::map<std::string, ProfileState> profiles_;
    std::map<std::string, TierState> tiers_;
    std::map<ItemId, Endpoint> endpoints_;
    // Who claims an interface; of several the lowest id is it.
    std::map<std::string, std::map<model::ResourceKey, ItemId>> interfaces_;
    std::map<std::string, model::WantedEndpoint> published_;
    std::set<model::ResourceKey> dirty_policies_;
    std::set<std::string> dirty_profiles_;
    std::set<ItemId> dirty_endpoints_;
    std::set<std::string> dirty_interfaces_;
    std::map<std::vector<Version>, std::weak_ptr<const model::SharedProgram>> by_signature_;
    std::map<policy::ProgramHash, std::weak_ptr<const model::SharedProgram>> by_hash_;
    Version last_version_ = 0;
    SelectorId last_selector_ = 0;
    AddressSets sets_;
    LabelIndex index_; // policy selectors over local endpoints
};

} // namespace margay::calc
