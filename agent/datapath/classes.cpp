// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/classes.h"

#include <algorithm>
#include <iterator>

namespace margay::datapath {
namespace {

class4_key key_of_class(const Prefix4& prefix)
{
    const Prefix4 network = prefix.network();
    return {network.length, network.addr.be()};
}

struct class_sets bits_of(const SetList& sets)
{
    struct class_sets bits{};
    for (const auto set : sets)
        bits.words[set / 32] |= 1u << (set % 32);
    return bits;
}

SetList sets_of(const struct class_sets& bits)
{
    SetList sets;
    for (std::uint32_t set = 0; set < CLASS_SET_MAX; set++)
        if ((bits.words[set / 32] >> (set % 32) & 1u) != 0)
            sets.push_back(set);
    return sets;
}

} // namespace

Classes::Classes(Tables& tables)
    : tables_(tables), ids_(1, CLASS_MAX - 1, kClassGrace, "address classes")
{
}

void Classes::adopt()
{
    std::vector<std::pair<std::uint32_t, struct class_sets>> known;
    tables_.class_sets.each_actual(
        [&](std::uint32_t id, const struct class_sets& bits) { known.emplace_back(id, bits); });
    for (const auto& [id, bits] : known)
        if (ids_.adopt(sets_of(bits), id))
            tables_.class_sets.set(id, bits);
}

Status Classes::want(const Prefix4& prefix, const SetList& sets, Clock::Time now)
{
    if (sets.empty()) {
        forget(prefix, now);
        return {};
    }
    const Status placed = place(prefix, sets, now);
    if (!placed)
        displace(prefix, sets, now);
    return placed;
}

Status Classes::place(const Prefix4& prefix, const SetList& sets, Clock::Time now)
{
    if (sets.back() >= CLASS_SET_MAX)
        return Error{Errc::Invalid, 0, "address set id " + std::to_string(sets.back())};
    const auto it = wanted_.find(prefix);
    if (it != wanted_.end() && it->second == sets)
        return {};
    const auto id = ids_.acquire(sets);
    if (!id)
        return Error{id.error().code, 0, "class of " + prefix.str() + ": " + id.error().what};
    if (it != wanted_.end())
        ids_.release(it->second, now);
    touch(it == wanted_.end() ? SetList{} : it->second, sets);
    wanted_[prefix] = sets;
    unplaced_changed_ |= unplaced_.erase(prefix) > 0;
    tables_.class_sets.set(*id, bits_of(sets));
    tables_.classes4.set(key_of_class(prefix), *id);
    return {};
}

// The class that the prefix had would be a lie now, and so would the one of a prefix around it.
void Classes::displace(const Prefix4& prefix, const SetList& sets, Clock::Time now)
{
    if (const auto it = wanted_.find(prefix); it != wanted_.end()) {
        ids_.release(it->second, now);
        wanted_.erase(it);
    }
    unplaced_changed_ |= unplaced_.insert_or_assign(prefix, sets).second;
    tables_.classes4.set(key_of_class(prefix), CLASS_UNKNOWN);
}

void Classes::forget(const Prefix4& prefix, Clock::Time now)
{
    const bool was_unplaced = unplaced_.erase(prefix) > 0;
    unplaced_changed_ |= was_unplaced;
    if (was_unplaced)
        tables_.classes4.erase(key_of_class(prefix));
    const auto it = wanted_.find(prefix);
    if (it == wanted_.end())
        return;
    ids_.release(it->second, now);
    touch(it->second, {});
    wanted_.erase(it);
    tables_.classes4.erase(key_of_class(prefix));
}

void Classes::touch(const SetList& before, const SetList& after)
{
    std::set_symmetric_difference(before.begin(), before.end(), after.begin(), after.end(),
                                  std::inserter(touched_, touched_.end()));
}

void Classes::expire(Clock::Time now)
{
    for (const auto& [sets, id] : ids_.expire(now))
        tables_.class_sets.erase(id);
    for (auto it = unplaced_.begin(); it != unplaced_.end();) {
        const auto [prefix, sets] = *it++; // place() may erase it
        (void)place(prefix, sets, now);
    }
}

} // namespace margay::datapath
