// SPDX-License-Identifier: Apache-2.0
// SetIds: numbers for address sets.
//
// A number is a bit position in the data path's class_sets. Programs and classes that know it may
// live a while longer than the set, also across a restart, so the data path gives the numbers out,
// the same number for the same name, and rests them before they mean something else.

#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "agent/policy/ir.h"

namespace margay::calc {

struct SetIds {
    // One release for each claim that gave a number. Nothing: all numbers are taken.
    std::function<std::optional<policy::SetId>(const std::string& name)> claim;
    std::function<void(const std::string& name)> release;
};

// Counts up and forgets nothing: for tests and tools without a data path.
inline SetIds counting_set_ids(policy::SetId capacity = 4096)
{
    auto known = std::make_shared<std::map<std::string, policy::SetId>>();
    return {[known, capacity](const std::string& name) -> std::optional<policy::SetId> {
                if (!known->contains(name) && known->size() >= capacity)
                    return std::nullopt;
                return known->try_emplace(name, static_cast<policy::SetId>(known->size()))
                    .first->second;
            },
            [](const std::string&) {}};
}

} // namespace margay::calc
