// SPDX-License-Identifier: Apache-2.0
// SlotMap: PooledMap for keys that are small numbers, of which neighbours come together: they lie
// together, too.

#pragma once

#include <boost/unordered/unordered_flat_map.hpp>

#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <utility>

namespace margay::maps {

template <typename K, typename T>
class SlotMap {
public:
    T* find(K key) { return const_cast<T*>(std::as_const(*this).find(key)); }
    const T* find(K key) const
    {
        const auto it = chunks_.find(number_of(key));
        return it != chunks_.end() && it->second->there & bit_of(key) ? &place(*it->second, key)
                                                                      : nullptr;
    }
    std::pair<T*, bool> try_emplace(K key)
    {
        auto& chunk = chunks_[number_of(key)];
        if (!chunk)
            chunk = std::make_unique<Chunk>();
        const bool fresh = (chunk->there & bit_of(key)) == 0;
        chunk->there |= bit_of(key);
        return {&place(*chunk, key), fresh};
    }
    void erase(K key)
    {
        T* value = find(key);
        if (value == nullptr)
            return;
        *value = T{};
        chunks_.find(number_of(key))->second->there &= ~bit_of(key);
    }
    // `f` must not add or erase.
    template <typename F>
    void each(F&& f) const
    {
        for (const auto& [number, chunk] : chunks_)
            for (std::uint64_t left = chunk->there; left != 0; left &= left - 1) {
                const auto at = static_cast<std::uint32_t>(std::countr_zero(left));
                f(static_cast<K>(number * kChunk + at), chunk->values[at]);
            }
    }

private:
    static constexpr std::uint32_t kChunk = 64;
    struct Chunk {
        std::array<T, kChunk> values{};
        std::uint64_t there = 0;
    };

    static std::uint32_t number_of(K key) { return static_cast<std::uint32_t>(key) / kChunk; }
    static std::uint64_t bit_of(K key)
    {
        return std::uint64_t{1} << static_cast<std::uint32_t>(key) % kChunk;
    }
    static T& place(Chunk& chunk, K key)
    {
        return chunk.values[static_cast<std::uint32_t>(key) % kChunk];
    }

    boost::unordered_flat_map<std::uint32_t, std::unique_ptr<Chunk>> chunks_;
};

} // namespace margay::maps
