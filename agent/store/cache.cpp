// SPDX-License-Identifier: Apache-2.0
#include "agent/store/cache.h"

#include <functional>
#include <utility>

namespace margay::store {

bool Cache::put(std::string_view key, std::string_view value, std::int64_t mod_revision)
{
    const Known now{mod_revision, std::hash<std::string_view>{}(value), generation_};
    auto [it, is_new] = known_.try_emplace(std::string(key), now);
    const bool changed =
        is_new || it->second.mod_revision != now.mod_revision || it->second.hash != now.hash;
    it->second = now;
    return changed;
}

bool Cache::erase(const std::string& key)
{
    return known_.erase(key) > 0;
}

std::vector<Change> Cache::replace(std::vector<Entry> entries, std::int64_t revision)
{
    ++generation_;
    std::vector<Change> written;
    for (Entry& e : entries) {
        if (put(e.key, e.value, e.mod_revision))
            written.push_back({std::move(e.key), std::move(e.value), e.mod_revision});
    }
    std::vector<Change> changes;
    for (auto it = known_.begin(); it != known_.end();) {
        if (it->second.generation == generation_) {
            ++it;
            continue;
        }
        changes.push_back({it->first, std::nullopt, revision});
        it = known_.erase(it);
    }
    changes.insert(changes.end(), std::make_move_iterator(written.begin()),
                   std::make_move_iterator(written.end()));
    return changes;
}

} // namespace margay::store
