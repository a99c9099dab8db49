// SPDX-License-Identifier: Apache-2.0
// SyncedTable: wanted contents on one side, a kernel map on the other, and the gap between them.
//
// set() and erase() move the wanted side and cost no system call. write() and remove() close the
// gap in batches. The gap is kept as data, so nothing is lost when the kernel refuses: what it
// did not acknowledge is still pending, and the next call tries it again.
//
// adopt() reads what is there, once at the start (what the previous run left) or again at any
// time (someone else may have written). Until seal() nothing is removed: after a restart the
// wanted side fills bit by bit, and what nobody named yet may be carrying traffic.
//
// One table orders its own entries only: writes first, then removals. What spans several tables
// is the caller's order: write() them front to back, remove() them back to front.

#pragma once

#include <cstddef>
#include <optional>
#include <set>
#include <span>
#include <unordered_map>
#include <vector>

#include "maps/table/backend.h"
#include "margay/result.h"

namespace margay::maps {

// Entries that may still be sent to the kernel in this turn. Shared by the tables of one flush,
// so that a large change cannot starve the timers on this thread.
struct Budget {
    std::size_t left = 0;
};

// Belongs to the agent's executor; not thread-safe.
template <MapData K, MapData V, TableBackend<K, V> Backend>
class SyncedTable {
public:
    explicit SyncedTable(Backend kernel) : kernel_(std::move(kernel)) {}

    // Learns what the kernel holds. Entries that differ from the wanted ones become pending.
    Status adopt();
    // The wanted side is complete: from now on, what nobody wants goes.
    void seal();
    bool sealed() const { return sealed_; }

    void set(const K& key, const V& value);
    void erase(const K& key);

    // Writes what is missing or different. An entry that the kernel refuses is passed over and
    // stays pending, the others go on; the first error is returned. A full map gets room from its
    // own stale entries, and only then does a removal precede a write.
    Status write(Budget& budget);
    // Removes what is stale. Does nothing before seal().
    Status remove(Budget& budget);
    // Both halves, for a table that depends on no other.
    Status flush(Budget& budget);

    std::size_t pending() const { return to_write_.size() + to_remove_.size(); }
    std::size_t pending_writes() const { return to_write_.size(); }
    std::size_t actual_size() const { return actual_count_; }
    std::optional<V> wanted(const K& key) const;
    std::optional<V> actual(const K& key) const;
    // Every entry the kernel acknowledged; for adoption of ids and for people.
    template <typename F>
    void each_actual(F&& f) const
    {
        for (const auto& [key, entry] : entries_)
            if (entry.actual)
                f(key, *entry.actual);
    }

    Backend& kernel() { return kernel_; }
    const Backend& kernel() const { return kernel_; }

private:
    static constexpr std::size_t kBatch = 1024;
    using Keys = std::set<K, ByteLess>;

    struct Entry {
        std::optional<V> wanted;
        std::optional<V> actual; // what the kernel acknowledged, not what was sent
    };

    void mark(const K& key, Entry& entry);
    void acknowledge_write(const K& key, const V& value);
    void acknowledge_removal(const K& key);
    Status write_pass(Budget& budget);
    // Up to `limit` keys of `from` behind `last`, so that a pass meets each key once.
    static std::vector<K> next_keys(const Keys& from, const std::optional<K>& last,
                                    std::size_t limit);

    Backend kernel_;
    std::unordered_map<K, Entry, ByteHash, ByteEqual> entries_;
    Keys to_write_; // wanted, and absent from the kernel or different there
    Keys to_remove_; // in the kernel only
    std::size_t actual_count_ = 0;
    bool sealed_ = false;
};

} // namespace margay::maps

#include "maps/table/synced_table.inl"
