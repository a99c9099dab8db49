// SPDX-License-Identifier: Apache-2.0
// The rules of a BGPFilter on one route.
//
// They are tried in order. A rule whose fields all match does its operations, which later rules see,
// and its action, which ends the list; without an action the list goes on.

#pragma once

#include "agent/bgp/route.h"

namespace margay::bgp_rules {

enum class Verdict { Continue, Accept, Reject };

// Continue: no rule had an action for it.
Verdict run(const model::BgpFilterRules& rules, Route& route);

// "eth*": "*" is any text, "?" any character.
bool matches_wildcard(std::string_view pattern, std::string_view text);

} // namespace margay::bgp_rules
