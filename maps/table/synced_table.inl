// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <utility>

namespace margay::maps {

template <MapData K, MapData V, TableBackend<K, V> B>
Status SyncedTable<K, V, B>::adopt()
{
    auto dump = kernel_.dump();
    if (!dump)
        return dump.error();
    std::vector<K> gone;
    entries_.each([&](const K& key, Entry& entry) {
        if (entry.state == State::Stale)
            gone.push_back(key);
        else
            entry = {key, entry.value, State::Absent};
    });
    for (const K& key : gone)
        entries_.erase(key);
    instead_ = {};
    writes_.clear();
    removals_.clear();
    for (const auto& [key, value] : *dump) {
        const auto [entry, fresh] = entries_.try_emplace(key);
        if (fresh)
            *entry = {key, value, State::Stale};
        else
            entry->state = ByteEqual{}(entry->value, value) ? State::Same : State::Differs;
        if (entry->state == State::Differs)
            *instead_.try_emplace(key).first = value;
    }
    entries_.each([&](const K&, Entry& entry) { enqueue(entry); });
    missing_ = writes_.size();
    stale_ = removals_.size();
    actual_count_ = dump->size();
    return {};
}

template <MapData K, MapData V, TableBackend<K, V> B>
void SyncedTable<K, V, B>::seal()
{
    sealed_ = true;
}

template <MapData K, MapData V, TableBackend<K, V> B>
const V* SyncedTable<K, V, B>::actual_of(const Entry& entry) const
{
    if (entry.state == State::Absent)
        return nullptr;
    return entry.state == State::Differs ? instead_.find(entry.key) : &entry.value;
}

template <MapData K, MapData V, TableBackend<K, V> B>
void SyncedTable<K, V, B>::enqueue(Entry& entry)
{
    if (needs_write(entry) && !std::exchange(entry.to_write, true))
        writes_.push_back(&entry);
    if (entry.state == State::Stale && !std::exchange(entry.to_remove, true))
        removals_.push_back(&entry);
}

template <MapData K, MapData V, TableBackend<K, V> B>
void SyncedTable<K, V, B>::move(Entry& entry, State state)
{
    missing_ -= needs_write(entry) ? 1 : 0;
    stale_ -= entry.state == State::Stale ? 1 : 0;
    entry.state = state;
    missing_ += needs_write(entry) ? 1 : 0;
    stale_ += entry.state == State::Stale ? 1 : 0;
    enqueue(entry);
}

template <MapData K, MapData V, TableBackend<K, V> B>
bool SyncedTable<K, V, B>::set(const K& key, const V& value)
{
    const auto [entry, fresh] = entries_.try_emplace(key);
    if (!fresh)
        return want_other(*entry, value);
    *entry = {key, value, State::Absent};
    missing_++;
    enqueue(*entry);
    return true;
}

template <MapData K, MapData V, TableBackend<K, V> B>
bool SyncedTable<K, V, B>::want_other(Entry& entry, const V& value)
{
    if (entry.state == State::Absent) {
        entry.value = value;
        return true;
    }
    const V actual = *actual_of(entry);
    const bool same = ByteEqual{}(actual, value);
    if (same)
        instead_.erase(entry.key);
    else
        *instead_.try_emplace(entry.key).first = actual;
    entry.value = value;
    move(entry, same ? State::Same : State::Differs);
    return !same;
}

template <MapData K, MapData V, TableBackend<K, V> B>
void SyncedTable<K, V, B>::erase(const K& key)
{
    Entry* entry = entries_.find(key);
    if (entry == nullptr || entry->state == State::Stale)
        return;
    if (entry->state == State::Absent) {
        missing_--;
        entries_.erase(key);
        return;
    }
    entry->value = *actual_of(*entry);
    instead_.erase(key);
    move(*entry, State::Stale);
}

template <MapData K, MapData V, TableBackend<K, V> B>
void SyncedTable<K, V, B>::take_due(const Queue& queue, std::size_t& at, std::size_t limit,
                                    bool Entry::* queued)
{
    keys_.clear();
    values_.clear();
    taken_.clear();
    while (at < queue.size() && taken_.size() < limit) {
        Entry& entry = *queue[at++];
        if (!std::exchange(entry.*queued, false))
            continue;
        if (queued == &Entry::to_write ? !needs_write(entry) : entry.state != State::Stale)
            continue;
        keys_.push_back(entry.key);
        values_.push_back(entry.value);
        taken_.push_back(&entry);
    }
}

// All that were taken, those behind a refused one too. Returns how many: what the budget pays for.
template <MapData K, MapData V, TableBackend<K, V> B>
std::size_t SyncedTable<K, V, B>::write_taken(Status& first)
{
    const std::span<const K> keys(keys_);
    const std::span<const V> values(values_);
    for (std::size_t at = 0; at < keys.size(); at++) {
        const Progress progress = kernel_.update(keys.subspan(at), values.subspan(at));
        for (const std::size_t end = at + progress.done; at < end; at++) {
            actual_count_ += taken_[at]->state == State::Absent ? 1 : 0;
            if (taken_[at]->state == State::Differs)
                instead_.erase(keys[at]);
            move(*taken_[at], State::Same);
        }
        if (at == keys.size())
            break;
        enqueue(*taken_[at]); // due again
        // "Full" outranks the others: write() can do something about it.
        if (first || progress.status.error().code == Errc::Full)
            first = progress.status;
    }
    return keys.size();
}

template <MapData K, MapData V, TableBackend<K, V> B>
std::size_t SyncedTable<K, V, B>::remove_taken(Status& first)
{
    const std::span<const K> keys(keys_);
    for (std::size_t at = 0; at < keys.size(); at++) {
        const Progress progress = kernel_.remove(keys.subspan(at));
        for (const std::size_t end = at + progress.done; at < end; at++) {
            entries_.erase(keys[at]);
            stale_--;
            actual_count_--;
        }
        if (at == keys.size())
            break;
        enqueue(*taken_[at]); // due again
        if (first)
            first = progress.status;
    }
    return keys.size();
}

template <MapData K, MapData V, TableBackend<K, V> B>
Status SyncedTable<K, V, B>::write_pass(Budget& budget)
{
    Status first;
    const Queue queue = std::exchange(writes_, {});
    std::size_t at = 0;
    while (budget.left > 0) {
        take_due(queue, at, std::min(budget.left, kBatch), &Entry::to_write);
        if (keys_.empty())
            break;
        budget.left -= write_taken(first);
    }
    writes_.insert(writes_.end(), queue.begin() + static_cast<std::ptrdiff_t>(at), queue.end());
    return first;
}

template <MapData K, MapData V, TableBackend<K, V> B>
Status SyncedTable<K, V, B>::write(Budget& budget)
{
    Status status = write_pass(budget);
    if (status || status.error().code != Errc::Full || stale_ == 0 || !sealed_)
        return status;
    if (Status removed = remove(budget); !removed)
        return removed;
    return write_pass(budget);
}

template <MapData K, MapData V, TableBackend<K, V> B>
Status SyncedTable<K, V, B>::remove(Budget& budget)
{
    Status first;
    if (!sealed_)
        return first;
    const Queue queue = std::exchange(removals_, {});
    std::size_t at = 0;
    while (budget.left > 0) {
        take_due(queue, at, std::min(budget.left, kBatch), &Entry::to_remove);
        if (keys_.empty())
            break;
        budget.left -= remove_taken(first);
    }
    removals_.insert(removals_.end(), queue.begin() + static_cast<std::ptrdiff_t>(at), queue.end());
    return first;
}

template <MapData K, MapData V, TableBackend<K, V> B>
Status SyncedTable<K, V, B>::flush(Budget& budget)
{
    Status written = write(budget);
    // Removing while a replacement is still missing would leave neither: wait for it.
    if (missing_ > 0)
        return written;
    Status removed = remove(budget);
    return written ? removed : written;
}

template <MapData K, MapData V, TableBackend<K, V> B>
std::optional<V> SyncedTable<K, V, B>::wanted(const K& key) const
{
    const Entry* entry = entries_.find(key);
    if (entry == nullptr || entry->state == State::Stale)
        return std::nullopt;
    return entry->value;
}

template <MapData K, MapData V, TableBackend<K, V> B>
std::optional<V> SyncedTable<K, V, B>::actual(const K& key) const
{
    const Entry* entry = entries_.find(key);
    const V* value = entry == nullptr ? nullptr : actual_of(*entry);
    return value == nullptr ? std::nullopt : std::optional(*value);
}

} // namespace margay::maps
