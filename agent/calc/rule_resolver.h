// SPDX-License-Identifier: Apache-2.0
// RuleResolver: rules as written in the datastore to rules of the IR.
//
// It does the rewrites (namespace, service account), turns selectors into numbered address sets
// and port names into (port, set) pairs, and leaves out what cannot match an IPv4 packet. A rule
// that is narrowed by something we cannot evaluate (services, http, a set that got no number)
// never allows more than it should: Allow and Log are left out, Deny drops the condition and so
// denies more, and Pass becomes such a Deny, for what it would pass over might allow.

#pragma once

#include <string>
#include <vector>

#include "agent/calc/address_sets.h"
#include "agent/model/resources.h"
#include "agent/policy/ir.h"

namespace margay::calc {

// The sets that resolved rules hold, to be given back.
struct Holdings {
    std::vector<model::Selector> selectors{};
    std::vector<PortName> ports{};
    bool refused = false; // some set had no number: rules are narrower than written
};

// The positive selector of a side after the rewrites, or nothing: every address. `ns` is the
// namespace of the policy, empty for global ones and profiles.
std::optional<model::Selector> rewritten_selector(const model::EntityRule& entity,
                                                  const std::string& ns);

// The whole selector of a policy after the rewrites.
model::Selector rewritten_selector(const model::Policy& policy);

class RuleResolver {
public:
    // Sets are acquired from `sets` and noted in `holdings`; both must outlive this object.
    RuleResolver(AddressSets& sets, Holdings& holdings) : sets_(sets), holdings_(holdings) {}

    std::vector<policy::Rule> resolve(const std::vector<model::Rule>& rules, const std::string& ns);

private:
    enum class Fit { Resolved, CannotMatch, Unsupported };

    Fit resolve_side(const model::EntityRule& entity, std::uint8_t protocol, const std::string& ns,
                     policy::Side& side);
    Fit resolve_sets(const model::EntityRule& entity,
                     const std::optional<model::Selector>& positive, policy::Side& side);
    Fit resolve_ports(const std::vector<model::PortMatch>& ports, const model::Selector& scope,
                      std::uint8_t protocol, std::vector<policy::PortRange>& ranges,
                      std::vector<policy::NamedPort>& named);
    std::optional<policy::Rule> resolve_rule(const model::Rule& rule, const std::string& ns);

    AddressSets& sets_;
    Holdings& holdings_;
};

} // namespace margay::calc
