// SPDX-License-Identifier: Apache-2.0
// Classes: prefixes and the combination of address sets each belongs to ("classes4", "class_sets").
//
// A combination is a class, and its contents never change: a prefix whose sets change gets another
// class. So a packet sees the old membership of an address or the new one, whole. A class that no
// prefix names rests for kClassGrace before its number can mean something else.
//
// A prefix for whose combination there is no room is unplaced: it carries CLASS_UNKNOWN, with which
// every program that asks for a set of its addresses denies, and expire() tries again.
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

    // The sets of a prefix, those of every prefix around it included. Full: too many combinations;
    // the prefix is then unplaced, and remembered.
    Status want(const Prefix4& prefix, const SetList& sets, Clock::Time now);
    void forget(const Prefix4& prefix, Clock::Time now);

    // Sets that an address joined or left since the last call: who uses them must judge again.
    std::set<policy::SetId> take_touched() { return std::exchange(touched_, {}); }
    // A prefix became unplaced or ceased to be since the last call: everybody judges again.
    bool take_unplaced_changed() { return std::exchange(unplaced_changed_, false); }
    void expire(Clock::Time now);
    std::size_t size() const { return wanted_.size() + unplaced_.size(); }
    std::size_t unplaced() const { return unplaced_.size(); }

private:
    Status place(const Prefix4& prefix, const SetList& sets, Clock::Time now);
    void displace(const Prefix4& prefix, const SetList& sets, Clock::Time now);
    void touch(const SetList& before, const SetList& after);

    Tables& tables_;
    KeyedIds<SetList> ids_;
    std::map<Prefix4, SetList> wanted_;
    std::map<Prefix4, SetList> unplaced_;
    bool unplaced_changed_ = false;
    std::set<policy::SetId> touched_;
};

} // namespace margay::datapath
