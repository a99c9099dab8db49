// SPDX-License-Identifier: Apache-2.0
#include "bench/bgp/table.h"

#include <algorithm>
#include <numeric>
#include <random>

namespace margay::bgp_bench {
namespace {

constexpr std::uint32_t kFirstAddress = 16u << 24; // 16.0.0.0: clear of 10/8, where sessions are
constexpr unsigned kBlockLength = 26; // as Calico's
constexpr std::uint32_t kFirstOrigin = 4200000000u; // private; each attribute set has one
constexpr std::uint32_t kFirstTransit = 1000, kTransits = 20000;

// Shares in thousandths of the table, as in a default-free table of 2024.
struct Share {
    unsigned value;
    unsigned share;
};
constexpr Share kLengths[] = {{24, 600}, {23, 100}, {22, 110}, {21, 50}, {20, 50},
                              {19, 30},  {18, 20},  {17, 15},  {16, 15}, {15, 10}};
constexpr Share kPathHops[] = {{2, 60}, {3, 220}, {4, 340}, {5, 220}, {6, 100}, {7, 60}};
constexpr Share kGroupSizes[] = {{3, 250}, {4, 250}, {5, 250}, {6, 250}};
constexpr Share kCommunityCounts[] = {{0, 300}, {1, 150}, {2, 200}, {4, 200}, {8, 150}};

// std::uniform_int_distribution differs between libraries; the table must not.
class Dice {
public:
    unsigned below(unsigned limit) { return static_cast<unsigned>(engine_() % limit); }
    unsigned pick(std::span<const Share> shares)
    {
        unsigned left = below(1000);
        for (const Share& share : shares) {
            if (left < share.share)
                return share.value;
            left -= share.share;
        }
        return shares.back().value;
    }
    template <typename T>
    void shuffle(std::vector<T>& values)
    {
        for (std::size_t i = values.size(); i > 1; --i)
            std::swap(values[i - 1], values[engine_() % i]);
    }

private:
    std::mt19937_64 engine_{20};
};

// Prefixes that share one attribute set: neighbours of one length.
struct Group {
    std::size_t first = 0;
    std::size_t count = 0;
};

PrefixIndex internet_prefixes(std::size_t prefixes)
{
    PrefixIndex index;
    for (const Share& length : kLengths)
        if (length.value != 24)
            index.add(length.value, Ipv4(kFirstAddress), prefixes * length.share / 1000);
    index.add(24, Ipv4(kFirstAddress), prefixes - index.size()); // what rounding left, too
    return index;
}

std::vector<Group> internet_groups(const PrefixIndex& index, Dice& dice)
{
    std::vector<Group> groups;
    for (std::size_t at = 0; at < index.size();) {
        Group group{at, 1};
        const std::size_t size = dice.pick(kGroupSizes);
        while (group.count < size && at + group.count < index.size() &&
               index.at(at + group.count).length == index.at(at).length)
            ++group.count;
        groups.push_back(group);
        at += group.count;
    }
    dice.shuffle(groups);
    return groups;
}

std::vector<Group> few_groups(std::size_t prefixes)
{
    const std::size_t size = std::max<std::size_t>(100, (prefixes + 999) / 1000);
    std::vector<Group> groups;
    for (std::size_t at = 0; at < prefixes; at += size)
        groups.push_back({at, std::min(size, prefixes - at)});
    return groups;
}

// The neighbour first, the set's own origin last.
PathAttributes random_attributes(std::uint32_t as, Ipv4 next_hop, std::uint32_t origin, Dice& dice)
{
    PathAttributes attributes;
    attributes.next_hop = next_hop;
    attributes.as_path.push_back(as);
    const unsigned hops = dice.pick(kPathHops);
    while (attributes.as_path.size() + 1 < hops)
        attributes.as_path.push_back(kFirstTransit + dice.below(kTransits));
    attributes.as_path.push_back(origin);
    if (dice.below(1000) < 300)
        attributes.med = dice.below(200);
    for (unsigned count = dice.pick(kCommunityCounts); count > 0; --count)
        attributes.communities.push_back((kFirstTransit + dice.below(kTransits)) << 16 |
                                         dice.below(10000));
    std::ranges::sort(attributes.communities);
    return attributes;
}

std::vector<Prefix4> prefixes_of(const PrefixIndex& index, const Group& group)
{
    std::vector<Prefix4> prefixes;
    prefixes.reserve(group.count);
    for (std::size_t i = 0; i < group.count; ++i)
        prefixes.push_back(index.at(group.first + i));
    return prefixes;
}

void announce_group(Announced& out, const Group& group, const PathAttributes& attributes)
{
    const std::vector<Prefix4> prefixes = prefixes_of(out.table.index, group);
    put_announcements(attributes, prefixes, out.announcements);
    for (std::size_t i = group.first; i < group.first + group.count; ++i) {
        out.table.marks[i] = attributes.as_path.back();
        out.table.hops[i] = static_cast<std::uint8_t>(attributes.as_path.size());
    }
}

} // namespace

void PrefixIndex::add(unsigned length, Ipv4 first, std::size_t count)
{
    runs_[length] = Run{first.value(), count, size_};
    size_ += count;
}

Prefix4 PrefixIndex::at(std::size_t index) const
{
    for (unsigned length = 1; length <= 32; ++length) {
        const Run& run = runs_[length];
        if (index >= run.base && index - run.base < run.count) {
            const auto offset = static_cast<std::uint32_t>(index - run.base) << (32 - length);
            return Prefix4{Ipv4(run.first + offset), static_cast<std::uint8_t>(length)};
        }
    }
    return {};
}

Announced make_table(Mix mix, std::size_t prefixes, std::uint32_t as, Ipv4 next_hop)
{
    Dice dice;
    Announced out;
    if (mix == Mix::Internet)
        out.table.index = internet_prefixes(prefixes);
    else
        out.table.index.add(24, Ipv4(kFirstAddress), prefixes);
    const std::vector<Group> groups =
        mix == Mix::Internet ? internet_groups(out.table.index, dice) : few_groups(prefixes);
    out.table.sets = groups.size();
    out.table.marks.resize(prefixes);
    out.table.hops.resize(prefixes);
    std::uint32_t origin = kFirstOrigin;
    std::vector<Prefix4> all;
    for (const Group& group : groups)
        announce_group(out, group, random_attributes(as, next_hop, origin++, dice));
    for (const Group& group : groups)
        std::ranges::copy(prefixes_of(out.table.index, group), std::back_inserter(all));
    put_withdrawals(all, out.withdrawals);
    return out;
}

MeshAnnounced make_mesh(const std::vector<Announcer>& peers, std::uint32_t node_as,
                        std::size_t each, Announced outside)
{
    MeshAnnounced out;
    ManyAnnounced blocks = make_blocks(peers, each);
    out.announcements = std::move(blocks.announcements);
    out.outside = std::move(outside);
    out.at_peer = out.at_outside = out.outside.table;
    // Blocks are one run of prefixes, the node's behind its peers'. Paths are empty in the mesh.
    const std::size_t theirs = blocks.table.index.size();
    const auto add_blocks = [](Table& table, Ipv4 first, std::size_t count, std::uint32_t mark) {
        table.index.add(kBlockLength, first, count);
        table.marks.insert(table.marks.end(), count, mark);
        table.hops.insert(table.hops.end(), count, 0);
    };
    add_blocks(out.at_outside, Ipv4(kFirstAddress), theirs + each, node_as);
    out.own = prefixes_of(out.at_outside.index, {out.at_outside.index.size() - each, each});
    add_blocks(out.at_peer, out.own.front().addr, each, 0);
    return out;
}

ManyAnnounced make_blocks(const std::vector<Announcer>& announcers, std::size_t each)
{
    ManyAnnounced out;
    out.table.mark = announcers.front().internal ? Mark::NextHop : Mark::OriginAs;
    out.table.index.add(kBlockLength, Ipv4(kFirstAddress), announcers.size() * each);
    out.table.sets = announcers.size();
    for (std::size_t i = 0; i < announcers.size(); ++i) {
        const Announcer& from = announcers[i];
        PathAttributes attributes;
        attributes.next_hop = from.address;
        if (from.internal)
            attributes.local_pref = 100;
        else
            attributes.as_path = {from.as};
        const std::uint32_t mark = from.internal ? from.address.value() : from.as;
        out.table.marks.insert(out.table.marks.end(), each, mark);
        out.table.hops.insert(out.table.hops.end(), each,
                              static_cast<std::uint8_t>(attributes.as_path.size()));
        put_announcements(attributes, prefixes_of(out.table.index, {i * each, each}),
                          out.announcements.emplace_back());
    }
    return out;
}

} // namespace margay::bgp_bench
