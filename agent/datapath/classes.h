// SPDX-License-Identifier: Apache-2.0
// Classes: prefixes and the combination of address sets each belongs to ("classes4", "class_sets").
//
// A combination is a class, and its contents never change: a prefix whose sets change gets another
// class. So a packet sees the old membership of an address or the new one, whole. A class that no
// prefix names rests for kClassGrace before its number can mean something else.
//
// Class ids need no dictionary: after a restart "class_sets" itself says what they stand for.

#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "agent/datapath/keyed_ids.h"
#include "agent/datapath/tables.h"
#include "agent/policy/ir.h"
#include "margay/ip.h"

namespace margay::datapath {

using SetList = std::vector<policy::SetId>; // ascending, each once

inline constexpr std::chrono::seconds kClassGrace{5};

class Classes {
public:
    explicit Classes(Tables& tables);

    void adopt();
    void seal(Clock::Time now) { ids_.seal(now); }

    // The sets of a prefix, those of every prefix around it included. Full: too many combinations.
    Status want(const Prefix4& prefix, const SetList& sets, Clock::Time now);
    void forget(const Prefix4& prefix, Clock::Time now);

    // Sets that an address joined or left since the last call: who uses them must judge again.
    std::set<policy::SetId> take_touched() { return std::exchange(touched_, {}); }
    void expire(Clock::Time now);
    std::size_t size() const { return wanted_.size(); }

private:
    void touch(const SetList& before, const SetList& after);

    Tables& tables_;
    KeyedIds<SetList> ids_;
    std::map<Prefix4, SetList> wanted_;
    std::set<policy::SetId> touched_;
};

} // namespace margay::datapath
