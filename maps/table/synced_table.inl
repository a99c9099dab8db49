// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

namespace margay::maps {

template <MapData K, MapData V, TableBackend<K, V> B>
Status SyncedTable<K, V, B>::adopt()
{
    auto dump = kernel_.dump();
    if (!dump)
        return dump.error();
    for (auto& [key, entry] : entries_)
        entry.actual.reset();
    for (const auto& [key, value] : *dump)
        entries_[key].actual = value;
    actual_count_ = dump->size();
    to_write_.clear();
    to_remove_.clear();
    std::erase_if(entries_, [](const auto& e) { return !e.second.wanted && !e.second.actual; });
    for (auto& [key, entry] : entries_)
        mark(key, entry);
    return {};
}

template <MapData K, MapData V, TableBackend<K, V> B>
void SyncedTable<K, V, B>::seal()
{
    sealed_ = true;
}

template <MapData K, MapData V, TableBackend<K, V> B>
void SyncedTable<K, V, B>::set(const K& key, const V& value)
{
    Entry& entry = entries_[key];
    entry.wanted = value;
    mark(key, entry);
}

template <MapData K, MapData V, TableBackend<K, V> B>
void SyncedTable<K, V, B>::erase(const K& key)
{
    const auto it = entries_.find(key);
    if (it == entries_.end())
        return;
    it->second.wanted.reset();
    mark(key, it->second);
    if (!it->second.actual)
        entries_.erase(it);
}

template <MapData K, MapData V, TableBackend<K, V> B>
void SyncedTable<K, V, B>::mark(const K& key, Entry& entry)
{
    to_write_.erase(key);
    to_remove_.erase(key);
    if (!entry.wanted) {
        if (entry.actual)
            to_remove_.insert(key);
    } else if (!entry.actual || !ByteEqual{}(*entry.wanted, *entry.actual)) {
        to_write_.insert(key);
    }
}

template <MapData K, MapData V, TableBackend<K, V> B>
void SyncedTable<K, V, B>::acknowledge_write(const K& key, const V& value)
{
    Entry& entry = entries_[key];
    if (!entry.actual)
        actual_count_++;
    entry.actual = value;
    mark(key, entry);
}

template <MapData K, MapData V, TableBackend<K, V> B>
void SyncedTable<K, V, B>::acknowledge_removal(const K& key)
{
    to_remove_.erase(key);
    entries_.erase(key); // to_remove_ holds unwanted keys only
    actual_count_--;
}

template <MapData K, MapData V, TableBackend<K, V> B>
std::vector<K> SyncedTable<K, V, B>::next_keys(const Keys& from, const std::optional<K>& last,
                                               std::size_t limit)
{
    std::vector<K> keys;
    for (auto it = last ? from.upper_bound(*last) : from.begin();
         it != from.end() && keys.size() < limit; ++it)
        keys.push_back(*it);
    return keys;
}

template <MapData K, MapData V, TableBackend<K, V> B>
Status SyncedTable<K, V, B>::write_pass(Budget& budget)
{
    Status first;
    std::optional<K> last;
    while (budget.left > 0) {
        const auto keys = next_keys(to_write_, last, std::min(budget.left, kBatch));
        if (keys.empty())
            break;
        std::vector<V> values;
        values.reserve(keys.size());
        for (const K& key : keys)
            values.push_back(*entries_.at(key).wanted);
        const Progress progress =
            kernel_.update(std::span<const K>(keys), std::span<const V>(values));
        for (std::size_t i = 0; i < progress.done; i++)
            acknowledge_write(keys[i], values[i]);
        const std::size_t tried = std::min(progress.done + 1, keys.size());
        budget.left -= tried;
        last = keys[tried - 1];
        // "Full" outranks the others: write() can do something about it.
        if (progress.done < keys.size() && (first || progress.status.error().code == Errc::Full))
            first = progress.status;
    }
    return first;
}

template <MapData K, MapData V, TableBackend<K, V> B>
Status SyncedTable<K, V, B>::write(Budget& budget)
{
    Status status = write_pass(budget);
    if (status || status.error().code != Errc::Full || to_remove_.empty() || !sealed_)
        return status;
    if (Status removed = remove(budget); !removed)
        return removed;
    return write_pass(budget);
}

template <MapData K, MapData V, TableBackend<K, V> B>
Status SyncedTable<K, V, B>::remove(Budget& budget)
{
    Status first;
    std::optional<K> last;
    while (sealed_ && budget.left > 0) {
        const auto keys = next_keys(to_remove_, last, std::min(budget.left, kBatch));
        if (keys.empty())
            break;
        const Progress progress = kernel_.remove(std::span<const K>(keys));
        for (std::size_t i = 0; i < progress.done; i++)
            acknowledge_removal(keys[i]);
        const std::size_t tried = std::min(progress.done + 1, keys.size());
        budget.left -= tried;
        last = keys[tried - 1];
        if (progress.done < keys.size() && first)
            first = progress.status;
    }
    return first;
}

template <MapData K, MapData V, TableBackend<K, V> B>
Status SyncedTable<K, V, B>::flush(Budget& budget)
{
    Status written = write(budget);
    // Removing while a replacement is still missing would leave neither: wait for it.
    if (!to_write_.empty())
        return written;
    Status removed = remove(budget);
    return written ? removed : written;
}

template <MapData K, MapData V, TableBackend<K, V> B>
std::optional<V> SyncedTable<K, V, B>::wanted(const K& key) const
{
    const auto it = entries_.find(key);
    return it == entries_.end() ? std::nullopt : it->second.wanted;
}

template <MapData K, MapData V, TableBackend<K, V> B>
std::optional<V> SyncedTable<K, V, B>::actual(const K& key) const
{
    const auto it = entries_.find(key);
    return it == entries_.end() ? std::nullopt : it->second.actual;
}

} // namespace margay::maps
