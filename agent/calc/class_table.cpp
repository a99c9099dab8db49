// SPDX-License-Identifier: Apache-2.0

#include "agent/calc/class_table.h"

#include <algorithm>
#include <utility>

namespace margay::calc {
namespace {

template <typename List>
auto position(List& own, policy::SetId set)
{
    return std::lower_bound(own.begin(), own.end(), set,
                            [](const auto& counted, policy::SetId id) { return counted.set < id; });
}

Ipv4 last_of(const Prefix4& prefix)
{
    const std::uint32_t host = prefix.length == 0 ? ~0u : ~(~0u << (32 - prefix.length) % 32);
    return Ipv4(prefix.addr.value() | host);
}

} // namespace

void ClassTable::add(const Prefix4& prefix, policy::SetId set)
{
    auto& entry = entries_[prefix];
    const auto at = position(entry.own, set);
    if (at != entry.own.end() && at->set == set) {
        ++at->members;
        return;
    }
    if (entry.own.empty())
        ++by_length_[prefix.length];
    entry.own.insert(at, Counted{set, 1});
    touch(prefix);
}

void ClassTable::remove(const Prefix4& prefix, policy::SetId set)
{
    const auto found = entries_.find(prefix);
    if (found == entries_.end())
        return;
    auto& own = found->second.own;
    const auto at = position(own, set);
    if (at == own.end() || at->set != set || --at->members > 0)
        return;
    own.erase(at);
    if (own.empty())
        --by_length_[prefix.length];
    touch(prefix);
}

// Everything inside `prefix` follows it in the map, up to its last address.
void ClassTable::touch(const Prefix4& prefix)
{
    const Ipv4 last = last_of(prefix);
    for (auto at = entries_.find(prefix); at != entries_.end() && at->first.addr <= last; ++at)
        dirty_.insert(at->first);
}

std::vector<policy::SetId> ClassTable::sets_at(const Prefix4& prefix) const
{
    std::vector<policy::SetId> sets;
    for (std::uint8_t length = 0; length <= prefix.length; ++length) {
        if (by_length_[length] == 0)
            continue;
        const auto around = entries_.find(Prefix4{prefix.addr, length}.network());
        if (around == entries_.end())
            continue;
        for (const auto& counted : around->second.own)
            sets.push_back(counted.set);
    }
    std::sort(sets.begin(), sets.end());
    sets.erase(std::unique(sets.begin(), sets.end()), sets.end());
    return sets;
}

model::Delta<Prefix4, std::vector<policy::SetId>> ClassTable::take_changes()
{
    model::Delta<Prefix4, std::vector<policy::SetId>> changes;
    for (const auto& prefix : std::exchange(dirty_, {})) {
        const auto at = entries_.find(prefix);
        auto& entry = at->second;
        if (entry.own.empty()) {
            if (entry.known)
                changes.emplace(prefix, std::nullopt);
            entries_.erase(at);
            continue;
        }
        auto sets = sets_at(prefix);
        if (entry.known && sets == entry.published)
            continue;
        entry.known = true;
        entry.published = sets;
        changes.emplace(prefix, std::move(sets));
    }
    return changes;
}

} // namespace margay::calc
