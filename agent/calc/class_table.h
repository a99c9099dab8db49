// SPDX-License-Identifier: Apache-2.0
// ClassTable: address sets turned inside out, for one longest-prefix match an address.
//
// Sets overlap and nest: 10.0.0.0/8 may be in set 1 and 10.1.2.3 in set 2. The data path finds
// the longest prefix only, so each prefix carries its own sets and those of every prefix around
// it. Members are counted: an address that two endpoints contribute stays until both are gone.
// A change costs its own prefix and the prefixes inside it.

#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "agent/model/wanted.h"

namespace margay::calc {

class ClassTable {
public:
    void add(const Prefix4& prefix, policy::SetId set);
    void remove(const Prefix4& prefix, policy::SetId set);

    model::Delta<Prefix4, std::vector<policy::SetId>> take_changes();
    bool dirty() const { return !dirty_.empty(); }

private:
    struct Counted {
        policy::SetId set = 0;
        std::uint32_t members = 0;
    };
    struct Entry {
        std::vector<Counted> own;              // sorted by set
        std::vector<policy::SetId> published{}; // what the data path knows
        bool known = false;
    };

    void touch(const Prefix4& prefix);
    std::vector<policy::SetId> sets_at(const Prefix4& prefix) const;

    std::map<Prefix4, Entry> entries_; // an entry without own sets lives until it was published
    std::array<std::uint32_t, 33> by_length_{}; // entries with own sets
    std::set<Prefix4> dirty_;
};

} // namespace margay::calc
