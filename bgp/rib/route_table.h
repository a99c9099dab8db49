// SPDX-License-Identifier: Apache-2.0
// RouteTable: prefixes, the paths to each, and the order in which they changed.
//
// An entry has a number that stays the same while it lives. Three structures lead to it: a hash
// index from prefix to number, the numbers themselves (for walks in portions), and the change list:
// all entries, the one that changed last at the end. Who passes routes on is a cursor in that list.
// An entry that changes moves to the end, so whoever is slow finds it once, as it is by then; who
// is new starts at the beginning. Nobody has a queue of his own.
//
// An entry without paths stays until every cursor has passed it, so that all are told that it went.
//
// Memory an IPv4 prefix with one path: 64 octets of the entry, a cache line, and some 6 of the index.

#pragma once

#include "bgp/rib/paths.h"
#include "margay/ip.h"

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

namespace margay::bgp {

using EntryId = std::uint32_t;
inline constexpr EntryId kNoEntry = 0xffffffff;

// The most that the paths of an entry lost, each step more than the one before.
enum class Loss : std::uint8_t { Nothing, Path, UsablePath, Best };

template <typename P>
class RouteTable {
public:
    struct Links {
        std::uint32_t previous = kNoEntry;
        std::uint32_t next = kNoEntry;
    };
    struct Entry {
        P prefix;
        Links links; // in the change list; none before the first decision
        std::uint64_t changed = 0; // the number of that change
        // How long before that the best path changed last; at most: what is longer ago is less exact.
        std::uint32_t since_best = 0;
        bool dirty = false; // to be decided
        Loss lost = Loss::Nothing; // since the last decision
        bool used = false; // false: the number is free
        bool has_grave = false;
        Paths paths;

        std::uint64_t best_changed() const { return changed - since_best; }
    };
    using CursorId = std::uint32_t;

    RouteTable();
    RouteTable(RouteTable&&) = default;
    RouteTable& operator=(RouteTable&&) = default;

    EntryId find(const P& prefix) const;
    EntryId find_or_add(const P& prefix);
    // The prefix will be looked up soon.
    void prefetch(const P& prefix) const
    {
        const std::uint64_t h = hash(prefix);
        const Shard& shard = shards_[h >> 58];
        if (!shard.slots.empty())
            __builtin_prefetch(&shard.slots[(h >> 16) & (shard.slots.size() - 1)]);
    }
    Entry& at(EntryId id) { return chunks_[id / kChunk][id % kChunk]; }
    const Entry& at(EntryId id) const { return chunks_[id / kChunk][id % kChunk]; }
    std::size_t size() const { return size_; }
    EntryId end() const { return end_; } // numbers below are, or were, in use

    // The entry's result is another one: to the end of the change list. `best`: the best path is, too,
    // or it was before, and somebody has not passed that.
    void note_change(EntryId id, bool best = true);
    std::uint64_t last_change() const { return change_; }

    // A cursor stands before the entry that it comes to next.
    CursorId add_cursor(); // at the beginning
    CursorId add_cursor_at(CursorId other);
    void remove_cursor(CursorId id);
    // At the same place: from now on `into` goes for both, and what either has not met is news.
    void merge_cursor(CursorId into, CursorId from);
    void rewind(CursorId id);
    EntryId peek(CursorId id) const; // kNoEntry at the end
    EntryId advance(CursorId id); // the entry that it passes
    bool same_place(CursorId a, CursorId b) const; // no entry stands between them
    // The entry that it comes to has a best path that it did not meet before, as far as can be known.
    bool best_is_news(CursorId id, const Entry& entry) const
    {
        const Cursor& cursor = cursors_[id - kCursors];
        const std::uint64_t changed = entry.best_changed();
        return changed > cursor.passed || changed <= cursor.walks_since;
    }
    // The change of the last entry that it passed: of those behind it, all were later.
    std::uint64_t passed(CursorId id) const { return cursors_[id - kCursors].passed; }

    // An entry without paths goes: at once if it is not in the list, else in a later bury(), when
    // every cursor has passed it.
    void let_go(EntryId id);
    void bury(std::size_t budget);

private:
    static constexpr std::size_t kChunk = 32768;
    static constexpr std::size_t kShards = 64; // grow one by one, so that no growth is long
    static constexpr std::uint32_t kCursors = 0xff000000; // list nodes from here on are cursors
    static constexpr std::uint32_t kHead = kCursors; // the list's ends meet in it
    // An index slot: number below, hash bits above, so that most that differ are not looked at.
    static constexpr std::uint32_t kNumber = 0x00ffffff;
    static constexpr std::uint32_t kEmpty = 0xffffffff;

    // Room for kChunk entries, of which those are made that are needed: the rest costs no memory.
    class Chunk {
    public:
        explicit Chunk(bool huge);
        Chunk(Chunk&&) = default;
        Chunk& operator=(Chunk&&) = default;
        ~Chunk();
        void add();
        Entry& operator[](std::size_t at) const { return entries_.get()[at]; }

    private:
        struct Free {
            void operator()(Entry* entries) const;
        };
        std::unique_ptr<Entry[], Free> entries_;
        std::size_t count_ = 0;
    };
    struct Shard {
        std::vector<std::uint32_t> slots;
        std::size_t count = 0;
    };
    struct Cursor {
        Links links;
        std::uint64_t passed = 0; // the change of the last entry that it passed
        // The last change before it was rewound: of what was earlier it may have met anything or
        // nothing, until it comes to the end.
        std::uint64_t walks_since = 0;
        bool used = false;
    };
    struct Grave {
        EntryId id;
        std::uint64_t changed;
    };

    std::uint64_t hash(const P& prefix) const;
    std::uint32_t* slot_of(Shard& shard, std::uint64_t hash, const P& prefix);
    void grow(Shard& shard);
    void unindex(const P& prefix);
    EntryId add(const P& prefix);
    void free_entry(EntryId id);

    Links& links(std::uint32_t node)
    {
        return node >= kCursors ? cursors_[node - kCursors].links : at(node).links;
    }
    const Links& links(std::uint32_t node) const
    {
        return node >= kCursors ? cursors_[node - kCursors].links : at(node).links;
    }
    bool all_passed(std::uint64_t change);
    void unlink(std::uint32_t node);
    void insert_after(std::uint32_t place, std::uint32_t node);

    std::vector<Chunk> chunks_;
    std::array<Shard, kShards> shards_;
    std::vector<EntryId> free_;
    std::deque<Cursor> cursors_; // the first is the list's head
    std::deque<Grave> graves_;
    std::size_t size_ = 0;
    EntryId end_ = 0;
    std::uint64_t change_ = 0;
    std::uint64_t all_passed_ = 0; // every cursor has passed that change, maybe more
    std::uint64_t key_; // of the hash: no peer can choose prefixes that meet in one slot
};

extern template class RouteTable<Prefix4>;
extern template class RouteTable<Prefix6>;

} // namespace margay::bgp
