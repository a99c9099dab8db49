// SPDX-License-Identifier: Apache-2.0
// The match of a rule as one line of text, for people who read a generated program.

#pragma once

#include <string>
#include <vector>

#include "agent/policy/ir.h"

namespace margay::policy {

const char* action_name(Action action);

// "tcp from 10.0.0.0/8 set 5 to !10.1.0.0/16 port 80,8000-8100"; "any" without conditions. Long
// lists are cut: the text explains, it does not define.
std::string describe_match(const Rule& rule);

// For each ordinal: describe_rule, then describe_match.
std::vector<std::string> describe_rules(const Program& program);

} // namespace margay::policy
