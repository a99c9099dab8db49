// SPDX-License-Identifier: Apache-2.0
// The difference between a table that was published and the one that is wanted now.

#pragma once

#include <map>

#include "agent/model/wanted.h"

namespace margay::calc {

// Notes in `into` what leads from `known` to `now`, and makes `known` equal to `now`.
template <typename Key, typename Value>
void publish(std::map<Key, Value>& known, std::map<Key, Value> now, model::Delta<Key, Value>& into)
{
    for (const auto& [key, value] : known)
        if (!now.contains(key))
            into.insert_or_assign(key, std::nullopt);
    for (const auto& [key, value] : now) {
        const auto at = known.find(key);
        if (at == known.end() || !(at->second == value))
            into.insert_or_assign(key, value);
    }
    known = std::move(now);
}

// The same for one key.
template <typename Key, typename Value>
void publish_one(std::map<Key, Value>& known, const Key& key, const std::optional<Value>& now,
                 model::Delta<Key, Value>& into)
{
    const auto at = known.find(key);
    if (!now) {
        if (at == known.end())
            return;
        known.erase(at);
        into.insert_or_assign(key, std::nullopt);
        return;
    }
    if (at != known.end() && at->second == *now)
        return;
    known.insert_or_assign(key, *now);
    into.insert_or_assign(key, now);
}

} // namespace margay::calc
