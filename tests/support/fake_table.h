// SPDX-License-Identifier: Apache-2.0
// FakeTable: a map in memory with a capacity, entries it refuses, and a count of what it was asked.

#pragma once

#include <map>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "maps/table/backend.h"

namespace margay::testing {

template <typename K, typename V>
struct FakeTable {
    std::map<K, V> contents{};
    std::size_t capacity = 1000;
    std::set<K> refuses{}; // update and remove of these keys fail
    std::size_t writes = 0;
    std::size_t removals = 0;
    std::vector<char> order{}; // 'w' or 'r' for each entry touched

    maps::Progress update(std::span<const K> keys, std::span<const V> values)
    {
        for (std::size_t i = 0; i < keys.size(); i++) {
            if (refuses.contains(keys[i]))
                return {i, Error{Errc::Unavailable, 0, "refused"}};
            if (!contents.contains(keys[i]) && contents.size() >= capacity)
                return {i, Error{Errc::Full, 0, "full"}};
            contents[keys[i]] = values[i];
            writes++;
            order.push_back('w');
        }
        return {keys.size(), {}};
    }
    maps::Progress remove(std::span<const K> keys)
    {
        for (std::size_t i = 0; i < keys.size(); i++) {
            if (refuses.contains(keys[i]))
                return {i, Error{Errc::Unavailable, 0, "refused"}};
            contents.erase(keys[i]);
            removals++;
            order.push_back('r');
        }
        return {keys.size(), {}};
    }
    Result<std::vector<std::pair<K, V>>> dump()
    {
        return std::vector<std::pair<K, V>>(contents.begin(), contents.end());
    }
};

} // namespace margay::testing
