// SPDX-License-Identifier: Apache-2.0
// Cache: what the store has told so far, as key → (mod_revision, hash of the value), so that a
// new full listing can be turned into the changes since.
//
// The hash is there for datastores that were restored or wiped: their revisions start over, and
// an unlucky key can carry its old mod_revision with a new value.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "agent/store/store.h"

namespace margay::store {

class Cache {
public:
    // Both say whether this is news.
    bool put(std::string_view key, std::string_view value, std::int64_t mod_revision);
    bool erase(const std::string& key);

    // Replaces everything by `entries`, the whole contents as of `revision`. Gives the changes,
    // removals first: a name that moved between keys is free before it is taken again.
    std::vector<Change> replace(std::vector<Entry> entries, std::int64_t revision);

    std::size_t size() const { return known_.size(); }

private:
    struct Known {
        std::int64_t mod_revision = 0;
        std::size_t hash = 0;
        std::uint32_t generation = 0; // the replace() that saw it last
    };
    std::unordered_map<std::string, Known> known_;
    std::uint32_t generation_ = 0;
};

} // namespace margay::store
