// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/classes.h"

#include <algorithm>
#include <iterator>

namespace margay::datapath {
namespace {

class4_key make_key(const Prefix4& prefix)
{
    const Prefix4 network = prefix.network();
    return {network.length, network.addr.be()};
}

Prefix4 prefix_of(const class4_key& key)
{
    return {Ipv4::from_be(key.addr), static_cast<std::uint8_t>(std::min(key.prefix_bits, 32u))};
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

SetList merged(const SetList& a, const SetList& b)
{
    SetList all;
    std::set_union(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(all));
    return all;
}

// What the map holds for the longest prefix around this one.
template <typename Value>
const Value* longest_around(const std::map<Prefix4, Value>& map, const Prefix4& prefix)
{
    for (int length = prefix.length; length >= 0; length--) {
        const auto it = map.find(Prefix4{prefix.addr, static_cast<std::uint8_t>(length)}.network());
        if (it != map.end())
            return &it->second;
    }
    return nullptr;
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
    tables_.classes4.each_actual([&](const class4_key& key, std::uint32_t id) {
        const auto bits = tables_.class_sets.wanted(id);
        if (!bits)
            return;
        const SetList sets = sets_of(*bits);
        unnamed_.insert(sets.begin(), sets.end());
        adopted_.emplace(prefix_of(key), sets);
    });
}

SetList Classes::kept(const Prefix4& prefix) const
{
    SetList sets;
    if (unnamed_.empty())
        return sets;
    if (const SetList* had = longest_around(adopted_, prefix))
        std::set_intersection(had->begin(), had->end(), unnamed_.begin(), unnamed_.end(),
                              std::back_inserter(sets));
    return sets;
}

void Classes::refresh(Clock::Time now)
{
    if (adopted_.empty())
        return;
    std::vector<std::pair<Prefix4, SetList>> due;
    for (const auto& [prefix, entry] : wanted_)
        if (entry.placed != merged(entry.sets, kept(prefix)))
            due.emplace_back(prefix, entry.sets);
    for (const auto& [prefix, sets] : due)
        (void)want(prefix, sets, now); // without room it is unplaced, and known as that
    for (const auto& [prefix, had] : adopted_) {
        if (wanted_.contains(prefix) || unplaced_.contains(prefix))
            continue;
        const SetList keep = kept(prefix);
        const Entry* around = longest_around(wanted_, prefix);
        if (keep.empty())
            end_lingering(prefix, now);
        else
            linger(prefix, around ? merged(around->sets, keep) : keep, now);
    }
}

void Classes::leave_adopted(Clock::Time now)
{
    unnamed_.clear();
    refresh(now);
    adopted_.clear();
}

void Classes::linger(const Prefix4& prefix, const SetList& sets, Clock::Time now)
{
    if (const auto it = lingering_.find(prefix); it != lingering_.end() && it->second == sets)
        return;
    const auto id = ids_.acquire(sets);
    end_lingering(prefix, now);
    lingering_[prefix] = id ? std::optional(sets) : std::nullopt;
    write_class(prefix, id ? *id : CLASS_UNKNOWN, sets);
}

void Classes::end_lingering(const Prefix4& prefix, Clock::Time now)
{
    const auto it = lingering_.find(prefix);
    if (it == lingering_.end())
        return;
    if (it->second)
        ids_.release(*it->second, now);
    lingering_.erase(it);
    tables_.classes4.erase(make_key(prefix));
}

void Classes::write_class(const Prefix4& prefix, std::uint32_t id, const SetList& sets)
{
    if (id != CLASS_UNKNOWN)
        tables_.class_sets.set(id, bits_of(sets));
    tables_.classes4.set(make_key(prefix), id);
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
    const SetList full = merged(sets, kept(prefix));
    const auto it = wanted_.find(prefix);
    if (it != wanted_.end() && it->second.sets == sets && it->second.placed == full)
        return {};
    const auto id = ids_.acquire(full);
    if (!id)
        return Error{id.error().code, 0, "class of " + prefix.str() + ": " + id.error().what};
    if (it != wanted_.end())
        ids_.release(it->second.placed, now);
    end_lingering(prefix, now);
    touch(it == wanted_.end() ? SetList{} : it->second.sets, sets);
    wanted_[prefix] = {sets, full};
    unplaced_changed_ |= unplaced_.erase(prefix) > 0;
    write_class(prefix, *id, full);
    return {};
}

// The class that the prefix had would be a lie now, and so would the one of a prefix around it.
void Classes::displace(const Prefix4& prefix, const SetList& sets, Clock::Time now)
{
    if (const auto it = wanted_.find(prefix); it != wanted_.end()) {
        ids_.release(it->second.placed, now);
        wanted_.erase(it);
    }
    end_lingering(prefix, now);
    unplaced_changed_ |= unplaced_.insert_or_assign(prefix, sets).second;
    write_class(prefix, CLASS_UNKNOWN, sets);
}

void Classes::forget(const Prefix4& prefix, Clock::Time now)
{
    const bool was_unplaced = unplaced_.erase(prefix) > 0;
    unplaced_changed_ |= was_unplaced;
    if (was_unplaced)
        tables_.classes4.erase(make_key(prefix));
    const auto it = wanted_.find(prefix);
    if (it == wanted_.end())
        return;
    ids_.release(it->second.placed, now);
    touch(it->second.sets, {});
    wanted_.erase(it);
    tables_.classes4.erase(make_key(prefix));
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
