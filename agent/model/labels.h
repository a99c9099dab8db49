// SPDX-License-Identifier: Apache-2.0
// Labels: the key-value pairs of one object, sorted by key, small and cheap to search.

#pragma once

#include <algorithm>
#include <compare>
#include <initializer_list>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace margay::model {

class Labels {
public:
    using Pair = std::pair<std::string, std::string>;

    Labels() = default;
    Labels(std::initializer_list<Pair> pairs)
    {
        for (const auto& [key, value] : pairs)
            set(key, value);
    }

    const std::string* find(std::string_view key) const
    {
        const auto at = position(key);
        return at != pairs_.end() && at->first == key ? &at->second : nullptr;
    }
    void set(std::string_view key, std::string_view value)
    {
        const auto at = pairs_.begin() + (position(key) - pairs_.cbegin());
        if (at != pairs_.end() && at->first == key)
            at->second = value;
        else
            pairs_.emplace(at, key, value);
    }
    // Takes from `other` only the keys that are not here: how profile labels are inherited.
    void inherit(const Labels& other)
    {
        const auto by_key = [](const Pair& a, const Pair& b) { return a.first < b.first; };
        std::vector<Pair> merged;
        merged.reserve(pairs_.size() + other.pairs_.size());
        std::set_union(pairs_.begin(), pairs_.end(), other.pairs_.begin(), other.pairs_.end(),
                       std::back_inserter(merged), by_key); // of equal keys it takes the first's
        pairs_ = std::move(merged);
    }
    // Keys are unique; the order is free.
    static Labels from(std::vector<Pair> pairs)
    {
        Labels labels;
        labels.pairs_ = std::move(pairs);
        std::sort(labels.pairs_.begin(), labels.pairs_.end());
        return labels;
    }

    auto begin() const { return pairs_.begin(); }
    auto end() const { return pairs_.end(); }
    std::size_t size() const { return pairs_.size(); }
    bool empty() const { return pairs_.empty(); }

    bool operator==(const Labels&) const = default;

private:
    std::vector<Pair>::const_iterator position(std::string_view key) const
    {
        return std::lower_bound(
            pairs_.begin(), pairs_.end(), key,
            [](const Pair& pair, std::string_view k) { return pair.first < k; });
    }

    std::vector<Pair> pairs_;
};

} // namespace margay::model
