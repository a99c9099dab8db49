// SPDX-License-Identifier: Apache-2.0
// Inbox: what a receiver has of a table, one bit a prefix, and when it had all of it.

#pragma once

#include "bench/bgp/table.h"

#include <chrono>
#include <string>
#include <vector>

namespace margay::bgp_bench {

using Clock = std::chrono::steady_clock;

// How many inboxes are not yet where they are to go, and when the last one arrived.
struct Race {
    std::size_t waiting = 0;
    Clock::time_point finished;
};

class Inbox {
public:
    // `table` outlives the inbox. `added_hops` is by how much the device under test makes AS paths
    // longer: 1 on external sessions.
    Inbox(const Table& table, std::size_t added_hops)
        : table_(&table), added_hops_(added_hops), has_(table.index.size())
    {
    }

    // Joins a race that is over for this inbox when it has exactly `count` prefixes.
    void expect(std::size_t count, Race& race);

    // The body of an UPDATE; false when it is malformed.
    bool on_update(View body);

    std::size_t count() const { return count_; }
    // Prefixes that nobody announced, or with attributes of others. Empty: all was right.
    std::string fault() const;

private:
    bool learn(View nlri, const SeenAttributes& seen);
    bool unlearn(View withdrawn);
    void check_arrival();

    const Table* table_;
    std::size_t added_hops_;
    std::vector<bool> has_;
    std::size_t count_ = 0;
    std::size_t expected_ = 0;
    Race* race_ = nullptr; // nullptr: not in one, or arrived
    std::size_t strange_ = 0;
    std::size_t wrong_ = 0;
};

} // namespace margay::bgp_bench
