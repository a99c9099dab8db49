// SPDX-License-Identifier: Apache-2.0
// The intermediate representation of policy: what calc produces, what the compiler turns into
// eBPF, and what the plain evaluator (the oracle of the tests) executes.
//
// A Program is the ordered list for ONE direction of an endpoint: tiers with the policies that
// select it, then its profiles. Everything is resolved: selectors are address sets named by
// number, named ports are (port, address set) pairs, rewrites of namespaces and service accounts
// are done, rules that cannot match IPv4 are gone. Equal lists are equal Programs, so endpoints
// share one compiled program.
//
// Ports are host-order numbers. Semantics: Calico's (order of evaluation: tiers, then policies,
// then rules; Pass leaves the tier; the end of a tier denies or passes; after the last tier the
// profiles; then deny).

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "margay/ip.h"

namespace margay::policy {

// An address set: bit number in maps/policy.h struct class_sets, below CLASS_SET_MAX.
using SetId = std::uint32_t;

struct PortRange {
    std::uint16_t first = 0;
    std::uint16_t last = 0; // inclusive
    auto operator<=>(const PortRange&) const = default;
};

// A named port, resolved: `port` on the addresses of `set`.
struct NamedPort {
    std::uint16_t port = 0;
    SetId set = 0;
    auto operator<=>(const NamedPort&) const = default;
};

struct Icmp {
    std::uint8_t type = 0;
    std::optional<std::uint8_t> code;
    auto operator<=>(const Icmp&) const = default;
};

// Source or destination of a rule. Every field that is present must hold; an empty list is
// "absent", so calc drops a rule whose list lost all its members.
struct Side {
    std::vector<Prefix4> nets;     // any contains the address
    std::vector<Prefix4> not_nets; // none contains it
    std::vector<SetId> sets;       // every one contains it
    std::vector<SetId> not_sets;   // none contains it
    // `ports` and `named_ports` are one condition: any of either matches. `match_no_port` is set
    // when a port condition is there whose named ports resolve to nothing and no number is left.
    std::vector<PortRange> ports;
    std::vector<NamedPort> named_ports;
    bool match_no_port = false;
    std::vector<PortRange> not_ports;
    std::vector<NamedPort> not_named_ports;
    auto operator<=>(const Side&) const = default;
};

enum class Action : std::uint8_t { Allow, Deny, Log, Pass };

struct Rule {
    Action action = Action::Deny;
    std::optional<std::uint8_t> protocol;
    std::optional<std::uint8_t> not_protocol;
    std::optional<Icmp> icmp;
    std::optional<Icmp> not_icmp;
    Side source;
    Side destination;
    auto operator<=>(const Rule&) const = default;
};

struct Policy {
    std::string name; // "default/allow-web", "ns1/default/web", "profile/kns.ns1": for people
    std::vector<Rule> rules;
    auto operator<=>(const Policy&) const = default;
};

enum class TierEnd : std::uint8_t { Deny, Pass };

struct Tier {
    std::string name;
    std::vector<Policy> policies;
    TierEnd end = TierEnd::Deny;
    auto operator<=>(const Tier&) const = default;
};

struct Program {
    std::vector<Tier> tiers;
    std::vector<Policy> profiles;
    auto operator<=>(const Program&) const = default;
};

// Ordinals in maps/policy.h (judgement.rule) count the rules of a Program in evaluation order:
// tiers first, then profiles.
std::size_t rule_count(const Program& program);

// "tier default, policy web, rule 2 (Deny)" for judgement.rule; the special values too. Rules of
// a policy are counted from 0.
std::string describe_rule(const Program& program, std::uint32_t rule);

} // namespace margay::policy
