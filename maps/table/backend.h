// SPDX-License-Identifier: Apache-2.0
// What SyncedTable needs of a map: three calls that say how far they came.
//
// Keys and values are plain structs of maps/*.h. Two of them are equal when their bytes are, for
// that is how the kernel sees them; a type with hidden padding is refused at compile time.

#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <functional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "margay/result.h"

namespace margay::maps {

template <typename T>
concept MapData = std::is_trivially_copyable_v<T> && std::has_unique_object_representations_v<T>;

// The first `done` entries took effect; `status` says why the next one did not, if there is one.
struct Progress {
    std::size_t done = 0;
    Status status;
};

// update() writes or replaces, remove() counts an absent key as done. dump() gives the entries
// that differ from "nothing there": in an array those are the elements that are not all zero.
template <typename T, typename K, typename V>
concept TableBackend = requires(T table, std::span<const K> keys, std::span<const V> values) {
    { table.update(keys, values) } -> std::same_as<Progress>;
    { table.remove(keys) } -> std::same_as<Progress>;
    { table.dump() } -> std::same_as<Result<std::vector<std::pair<K, V>>>>;
};

struct ByteEqual {
    template <MapData T>
    bool operator()(const T& a, const T& b) const
    {
        return std::memcmp(&a, &b, sizeof(T)) == 0;
    }
};

// Of what fits a word the word itself: Boost's tables mix it.
struct ByteHash {
    template <MapData T>
    std::size_t operator()(const T& value) const
    {
        if constexpr (sizeof(T) <= sizeof(std::size_t)) {
            std::size_t word = 0;
            std::memcpy(&word, &value, sizeof(T));
            return word;
        }
        return std::hash<std::string_view>{}(
            std::string_view(reinterpret_cast<const char*>(&value), sizeof(T)));
    }
};

} // namespace margay::maps
