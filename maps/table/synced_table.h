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
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include "maps/table/backend.h"
#include "maps/table/pooled_map.h"
#include "maps/table/slot_map.h"
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

    // True where the kernel has something else, or nothing.
    bool set(const K& key, const V& value);
    void erase(const K& key);

    // Writes what is missing or different. An entry that the kernel refuses is passed over and
    // stays pending, the others go on; the first error is returned. A full map gets room from its
    // own stale entries, and only then does a removal precede a write.
    Status write(Budget& budget);
    // Removes what is stale. Does nothing before seal().
    Status remove(Budget& budget);
    // Both halves, for a table that depends on no other.
    Status flush(Budget& budget);

    std::size_t pending() const { return missing_ + stale_; }
    std::size_t pending_writes() const { return missing_; }
    std::size_t actual_size() const { return actual_count_; }
    std::optional<V> wanted(const K& key) const;
    std::optional<V> actual(const K& key) const;
    // Every entry the kernel acknowledged; for adoption of ids and for people.
    template <typename F>
    void each_actual(F&& f) const
    {
        entries_.each([&](const K& key, const Entry& entry) {
            if (const V* value = actual_of(entry))
                f(key, *value);
        });
    }

    Backend& kernel() { return kernel_; }
    const Backend& kernel() const { return kernel_; }

private:
    static constexpr std::size_t kBatch = 1024;

    // Keys that are numbers are slots or interfaces.
    template <typename T>
    using ByKey = std::conditional_t<std::is_integral_v<K>, SlotMap<K, T>,
                                     PooledMap<K, T, ByteHash, ByteEqual>>;
    enum class State : std::uint8_t {
        Same, // wanted, and acknowledged
        Absent, // wanted
        Differs, // wanted; what the kernel has instead is in `instead_`
        Stale, // in the kernel only
    };
    struct Entry {
        K key{};
        V value{}; // the wanted one, or the stale one
        State state = State::Same;
        // In the queue. A change that is taken back stays there, and is passed over.
        bool to_write = false;
        bool to_remove = false;
    };
    using Queue = std::vector<Entry*>; // some may be another key's by now, or nobody's

    static bool needs_write(const Entry& entry)
    {
        return entry.state == State::Absent || entry.state == State::Differs;
    }
    const V* actual_of(const Entry& entry) const;
    void enqueue(Entry& entry);
    void move(Entry& entry, State state);
    bool want_other(Entry& entry, const V& value);
    // Takes up to `limit` entries that are still due from the queue, from `at` on.
    void take_due(const Queue& queue, std::size_t& at, std::size_t limit, bool Entry::* queued);
    std::size_t write_taken(Status& first);
    std::size_t remove_taken(Status& first);
    Status write_pass(Budget& budget);

    Backend kernel_;
    ByKey<Entry> entries_;
    ByKey<V> instead_; // what the kernel acknowledged, not what was sent
    Queue writes_;
    Queue removals_;
    std::size_t missing_ = 0; // from the kernel, or different there
    std::size_t stale_ = 0;
    // Of the batch under way.
    std::vector<K> keys_;
    std::vector<V> values_;
    Queue taken_;
    std::size_t actual_count_ = 0;
    bool sealed_ = false;
};

} // namespace margay::maps

#include "maps/table/synced_table.inl"
