// SPDX-License-Identifier: Apache-2.0
// PooledMap: a hash table of small numbers, and the values where they were made, one behind the other.
//
// A hundred thousand entries are looked up once each while they are made: what that costs is cache
// lines that are not there. The table is small, and values that come together lie together. They
// never move; an erased one's place is the next new one's.

#pragma once

#include <boost/unordered/unordered_flat_map.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace margay::maps {

template <typename K, typename T, typename Hash, typename Equal = std::equal_to<K>>
class PooledMap {
public:
    T* find(const K& key) { return const_cast<T*>(std::as_const(*this).find(key)); }
    const T* find(const K& key) const
    {
        const auto it = numbers_.find(key);
        return it == numbers_.end() ? nullptr : &at(it->second);
    }
    // True: it is new, and as made by T{}.
    std::pair<T*, bool> try_emplace(const K& key)
    {
        const std::uint32_t number = free_.empty() ? made_ : free_.back();
        const auto [it, fresh] = numbers_.try_emplace(key, number);
        if (!fresh)
            return {&at(it->second), false};
        if (!free_.empty())
            free_.pop_back();
        else if (made_++ % kChunk == 0)
            chunks_.push_back(std::make_unique<T[]>(kChunk));
        return {&at(number), true};
    }
    void erase(const K& key)
    {
        const auto it = numbers_.find(key);
        if (it == numbers_.end())
            return;
        at(it->second) = T{};
        free_.push_back(it->second);
        numbers_.erase(it);
    }
    // `f` must not add or erase.
    template <typename F>
    void each(F&& f)
    {
        for (const auto& [key, number] : numbers_)
            f(key, at(number));
    }
    template <typename F>
    void each(F&& f) const
    {
        for (const auto& [key, number] : numbers_)
            f(key, at(number));
    }

private:
    static constexpr std::uint32_t kChunk = 64;

    T& at(std::uint32_t number) { return chunks_[number / kChunk][number % kChunk]; }
    const T& at(std::uint32_t number) const { return chunks_[number / kChunk][number % kChunk]; }

    boost::unordered_flat_map<K, std::uint32_t, Hash, Equal> numbers_;
    std::vector<std::unique_ptr<T[]>> chunks_;
    std::vector<std::uint32_t> free_;
    std::uint32_t made_ = 0;
};

} // namespace margay::maps
