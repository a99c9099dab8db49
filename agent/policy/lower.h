// SPDX-License-Identifier: Apache-2.0
// Lowering: from the IR's rules to the few questions that instructions can answer.
//
// A rule becomes a conjunction of Conditions, a Condition a disjunction of Alternatives (or its
// negation), an Alternative one or two Checks. Equal Conditions get equal numbers, so that a run
// of rules that share one is seen at a glance. Rules that never match are gone, conditions that
// always hold too. What is left of the structure of the Program is a list of Blocks: a tier or a
// profile, each with its end.

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/policy/ir.h"

namespace margay::policy {

struct Check {
    enum class Kind : std::uint8_t {
        Protocol, // == a
        IcmpType, // == a
        IcmpCode, // == a
        Port,     // a <= port <= b
        Net,      // (address & b) == a, host order
        AllSets,  // word a of the class has every bit of b
        AnySet,   // word a of the class has some bit of b
    };
    Kind kind = Kind::Protocol;
    bool destination = false; // the side, for Port, Net and sets
    std::uint32_t a = 0;
    std::uint32_t b = 0;
    auto operator<=>(const Check&) const = default;
};

struct Alternative {
    Check check;
    std::optional<Check> also;
    auto operator<=>(const Alternative&) const = default;
};

struct Condition {
    bool negate = false;
    std::vector<Alternative> any;
    auto operator<=>(const Condition&) const = default;
};

using ConditionId = std::uint32_t; // index in Lowered::conditions

struct LoweredRule {
    Action action = Action::Deny;
    std::uint32_t ordinal = 0;
    std::vector<ConditionId> conditions; // the cheapest and most selective first; none: always
};

struct Block {
    std::string name;
    std::vector<LoweredRule> rules;
    std::optional<std::uint32_t> deny_at_end; // judgement.rule of the end of a tier that denies
    bool passes = false;                      // some rule's action is Pass
};

struct Lowered {
    std::vector<Condition> conditions;
    std::vector<Block> blocks;
};

Lowered lower(const Program& program);

// Upper bounds of what a condition costs, in instructions and in conditional jumps.
struct Cost {
    std::size_t instructions = 0;
    std::size_t jumps = 0;
};
Cost cost_of(const Condition& condition);

} // namespace margay::policy
