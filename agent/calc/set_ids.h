// SPDX-License-Identifier: Apache-2.0
// SetIds: numbers for address sets, stable for a name and not reused too early.
//
// A number is a bit position in the data path's class_sets, and programs compiled with it may run
// a while longer than the set exists, also across a restart. So a freed number stays with its
// name until recycle(), and the dictionary of the last run can be given at construction.

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "agent/policy/ir.h"

namespace margay::calc {

class SetIds {
public:
    using Dictionary = std::map<std::string, policy::SetId>;

    static constexpr policy::SetId kCapacity = 4096; // CLASS_SET_MAX of maps/policy.h

    explicit SetIds(Dictionary known = {}, policy::SetId capacity = kCapacity)
        : ids_(std::move(known))
    {
        for (policy::SetId id = 0; id < capacity; ++id)
            free_.insert(free_.end(), id);
        for (const auto& [name, id] : ids_) {
            free_.erase(id);
            retired_.insert(name);
        }
    }

    // Nothing: all numbers are taken.
    std::optional<policy::SetId> acquire(const std::string& name)
    {
        retired_.erase(name);
        if (const auto at = ids_.find(name); at != ids_.end())
            return at->second;
        if (free_.empty())
            return std::nullopt;
        const policy::SetId id = *free_.begin();
        free_.erase(free_.begin());
        ids_.emplace(name, id);
        return id;
    }
    void retire(const std::string& name) { retired_.insert(name); }
    // Every program and class that could know a retired number is gone: they may be given anew.
    void recycle()
    {
        for (const auto& name : retired_) {
            free_.insert(ids_.at(name));
            ids_.erase(name);
        }
        retired_.clear();
    }
    const Dictionary& dictionary() const { return ids_; }

private:
    Dictionary ids_;
    std::set<policy::SetId> free_;
    std::set<std::string> retired_;
};

} // namespace margay::calc
