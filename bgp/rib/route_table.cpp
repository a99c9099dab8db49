// SPDX-License-Identifier: Apache-2.0
#include "bgp/rib/route_table.h"

#include "margay/hash.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <random>
#include <utility>

#include <sys/mman.h>

namespace margay::bgp {
namespace {

constexpr std::size_t kHugePage = 2 * 1024 * 1024;
constexpr std::size_t kFirstSlots = 16;
constexpr std::size_t kPrefetched = 16; // slots ahead of the one that is moved

std::uint64_t keyed(const Prefix4& prefix, std::uint64_t key)
{
    return mixed((std::uint64_t{prefix.addr.value()} << 8 | prefix.length) ^ key,
                 0x9e3779b97f4a7c15ull);
}

std::uint64_t keyed(const Prefix6& prefix, std::uint64_t key)
{
    std::uint64_t halves[2];
    std::memcpy(halves, prefix.addr.bytes().data(), sizeof(halves));
    const std::uint64_t low = mixed(halves[1] ^ key, 0x9e3779b97f4a7c15ull ^ prefix.length);
    return mixed(halves[0] ^ low, key | 1);
}

} // namespace

template <typename P>
RouteTable<P>::RouteTable() : cursors_(1)
{
    std::random_device random;
    key_ = std::uint64_t{random()} << 32 | random();
    cursors_[0] = Cursor{{kHead, kHead}, 0, true};
}

// ---- The index ---------------------------------------------------------------------------------

template <typename P>
std::uint64_t RouteTable<P>::hash(const P& prefix) const
{
    return keyed(prefix, key_) * (key_ | 1);
}

// Which shard and where in it are the upper and middle bits, the tag is the lowest ones.
template <typename P>
std::uint32_t* RouteTable<P>::slot_of(Shard& shard, std::uint64_t hash, const P& prefix)
{
    const std::size_t mask = shard.slots.size() - 1;
    const auto tag = static_cast<std::uint32_t>(hash << 24);
    std::size_t at = (hash >> 16) & mask;
    for (; shard.slots[at] != kEmpty; at = (at + 1) & mask)
        if ((shard.slots[at] & ~kNumber) == tag &&
            this->at(shard.slots[at] & kNumber).prefix == prefix)
            break;
    return &shard.slots[at];
}

template <typename P>
EntryId RouteTable<P>::find(const P& prefix) const
{
    const std::uint64_t h = hash(prefix);
    auto& self = const_cast<RouteTable&>(*this);
    Shard& shard = self.shards_[h >> 58];
    if (shard.slots.empty())
        return kNoEntry;
    const std::uint32_t slot = *self.slot_of(shard, h, prefix);
    return slot == kEmpty ? kNoEntry : slot & kNumber;
}

template <typename P>
EntryId RouteTable<P>::find_or_add(const P& prefix)
{
    const std::uint64_t h = hash(prefix);
    Shard& shard = shards_[h >> 58];
    if ((shard.count + 1) * 3 > shard.slots.size() * 2)
        grow(shard);
    std::uint32_t* slot = slot_of(shard, h, prefix);
    if (*slot != kEmpty)
        return *slot & kNumber;
    const EntryId id = add(prefix);
    if (id == kNoEntry)
        return id;
    *slot = static_cast<std::uint32_t>(h << 24) | id;
    ++shard.count;
    return id;
}

template <typename P>
void RouteTable<P>::grow(Shard& shard)
{
    std::vector<std::uint32_t> old(std::max(kFirstSlots, shard.slots.size() * 2), kEmpty);
    old.swap(shard.slots);
    const std::size_t mask = shard.slots.size() - 1;
    for (std::size_t i = 0; i < old.size(); ++i) {
        const std::uint32_t slot = old[i];
        if (i + kPrefetched < old.size() && old[i + kPrefetched] != kEmpty)
            __builtin_prefetch(&at(old[i + kPrefetched] & kNumber));
        if (slot == kEmpty)
            continue;
        std::size_t place = (hash(at(slot & kNumber).prefix) >> 16) & mask;
        while (shard.slots[place] != kEmpty)
            place = (place + 1) & mask;
        shard.slots[place] = slot;
    }
}

// Those behind it move up, so that no probe ends early.
template <typename P>
void RouteTable<P>::unindex(const P& prefix)
{
    const std::uint64_t h = hash(prefix);
    Shard& shard = shards_[h >> 58];
    const std::size_t mask = shard.slots.size() - 1;
    auto hole = static_cast<std::size_t>(slot_of(shard, h, prefix) - shard.slots.data());
    for (std::size_t place = (hole + 1) & mask; shard.slots[place] != kEmpty;
         place = (place + 1) & mask) {
        const std::size_t home = (hash(at(shard.slots[place] & kNumber).prefix) >> 16) & mask;
        if (((place - home) & mask) >= ((place - hole) & mask)) {
            shard.slots[hole] = shard.slots[place];
            hole = place;
        }
    }
    shard.slots[hole] = kEmpty;
    --shard.count;
}

// ---- Memory ------------------------------------------------------------------------------------

template <typename P>
RouteTable<P>::Chunk::Chunk(bool huge)
    : entries_(
          static_cast<Entry*>(::operator new(kChunk * sizeof(Entry), std::align_val_t(kHugePage))))
{
    // A fault for each small page would take as long as the rest of the work. The first chunk of a
    // table stays without: most tables are small.
    if (huge)
        (void)::madvise(entries_.get(), kHugePage, MADV_HUGEPAGE);
}

template <typename P>
RouteTable<P>::Chunk::~Chunk()
{
    if (entries_)
        std::destroy_n(entries_.get(), count_);
}

template <typename P>
void RouteTable<P>::Chunk::Free::operator()(Entry* entries) const
{
    ::operator delete(entries, std::align_val_t(kHugePage));
}

template <typename P>
void RouteTable<P>::Chunk::add()
{
    new (entries_.get() + count_++) Entry();
}

// ---- Entries -----------------------------------------------------------------------------------

template <typename P>
EntryId RouteTable<P>::add(const P& prefix)
{
    EntryId id = end_;
    if (!free_.empty()) {
        id = free_.back();
        free_.pop_back();
    } else if (end_ == kNumber) {
        return kNoEntry; // 16,777,215 prefixes: the numbers are used up
    } else {
        if (end_ % kChunk == 0)
            chunks_.emplace_back(!chunks_.empty());
        chunks_.back().add();
        ++end_;
    }
    Entry& entry = at(id);
    entry.prefix = prefix;
    entry.used = true;
    ++size_;
    return id;
}

template <typename P>
void RouteTable<P>::free_entry(EntryId id)
{
    unindex(at(id).prefix);
    if (at(id).links.next != kNoEntry)
        unlink(id);
    at(id) = Entry{};
    free_.push_back(id);
    --size_;
}

template <typename P>
void RouteTable<P>::let_go(EntryId id)
{
    Entry& entry = at(id);
    if (entry.links.next == kNoEntry)
        free_entry(id);
    else if (!std::exchange(entry.has_grave, true))
        graves_.push_back({id, entry.changed});
}

template <typename P>
void RouteTable<P>::bury(std::size_t budget)
{
    for (; budget > 0 && !graves_.empty(); --budget) {
        const Grave grave = graves_.front();
        Entry& entry = at(grave.id);
        if (!entry.paths.empty() || entry.dirty) { // it is back, or may be
            entry.has_grave = false;
        } else if (entry.changed != grave.changed) { // it was back meanwhile: wait for that change
            graves_.push_back({grave.id, entry.changed});
        } else {
            if (!all_passed(grave.changed))
                return;
            free_entry(grave.id);
        }
        graves_.pop_front();
    }
}

// ---- The change list ---------------------------------------------------------------------------

template <typename P>
void RouteTable<P>::unlink(std::uint32_t node)
{
    const Links old = links(node);
    links(old.previous).next = old.next;
    links(old.next).previous = old.previous;
    links(node) = {};
}

template <typename P>
void RouteTable<P>::insert_after(std::uint32_t place, std::uint32_t node)
{
    const std::uint32_t next = links(place).next;
    links(node) = {place, next};
    links(place).next = node;
    links(next).previous = node;
}

template <typename P>
bool RouteTable<P>::all_passed(std::uint64_t change)
{
    if (change <= all_passed_)
        return true;
    all_passed_ = change_;
    for (std::size_t i = 1; i < cursors_.size(); ++i)
        if (cursors_[i].used)
            all_passed_ = std::min(all_passed_, cursors_[i].passed);
    return change <= all_passed_;
}

template <typename P>
void RouteTable<P>::note_change(EntryId id, bool best)
{
    Entry& entry = at(id);
    if (entry.links.next != kNoEntry)
        unlink(id);
    insert_after(links(kHead).previous, id);
    const std::uint64_t best_changed = entry.best_changed();
    const bool is_news = best || !all_passed(entry.changed);
    entry.changed = ++change_;
    constexpr std::uint64_t kMost = std::numeric_limits<std::uint32_t>::max();
    entry.since_best =
        is_news ? 0 : static_cast<std::uint32_t>(std::min(kMost, change_ - best_changed));
}

template <typename P>
typename RouteTable<P>::CursorId RouteTable<P>::add_cursor()
{
    std::size_t at = 1;
    while (at < cursors_.size() && cursors_[at].used)
        ++at;
    if (at == cursors_.size())
        cursors_.emplace_back();
    const auto id = static_cast<CursorId>(kCursors + at);
    cursors_[at].used = true;
    insert_after(kHead, id);
    rewind(id);
    return id;
}

template <typename P>
typename RouteTable<P>::CursorId RouteTable<P>::add_cursor_at(CursorId other)
{
    const CursorId id = add_cursor();
    unlink(id);
    insert_after(other, id);
    cursors_[id - kCursors].passed = cursors_[other - kCursors].passed;
    cursors_[id - kCursors].walks_since = cursors_[other - kCursors].walks_since;
    return id;
}

template <typename P>
void RouteTable<P>::remove_cursor(CursorId id)
{
    unlink(id);
    cursors_[id - kCursors] = {};
}

template <typename P>
void RouteTable<P>::merge_cursor(CursorId into, CursorId from)
{
    Cursor& cursor = cursors_[into - kCursors];
    if (peek(into) != kNoEntry)
        cursor.walks_since = std::max(cursor.walks_since, cursor.passed);
    remove_cursor(from);
}

// Before everything: nothing of what is in the list has been passed.
template <typename P>
void RouteTable<P>::rewind(CursorId id)
{
    unlink(id);
    insert_after(kHead, id);
    std::uint32_t node = links(id).next;
    while (node >= kCursors && node != kHead)
        node = links(node).next;
    cursors_[id - kCursors].passed = node == kHead ? change_ : 0;
    cursors_[id - kCursors].walks_since = change_;
    all_passed_ = std::min(all_passed_, cursors_[id - kCursors].passed);
}

template <typename P>
EntryId RouteTable<P>::peek(CursorId id) const
{
    std::uint32_t node = links(id).next;
    while (node >= kCursors && node != kHead)
        node = links(node).next;
    return node == kHead ? kNoEntry : node;
}

template <typename P>
EntryId RouteTable<P>::advance(CursorId id)
{
    const EntryId passed = peek(id);
    if (passed == kNoEntry)
        return passed;
    unlink(id);
    insert_after(passed, id);
    Cursor& cursor = cursors_[id - kCursors];
    cursor.passed = at(passed).changed;
    if (cursor.links.next == kHead)
        cursor.walks_since = 0;
    return passed;
}

template <typename P>
bool RouteTable<P>::same_place(CursorId a, CursorId b) const
{
    return peek(a) == peek(b);
}

static_assert(sizeof(RouteTable<Prefix4>::Entry) == 64, "a cache line");

template class RouteTable<Prefix4>;
template class RouteTable<Prefix6>;

} // namespace margay::bgp
