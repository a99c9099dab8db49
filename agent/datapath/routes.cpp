// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/routes.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace margay::datapath {
namespace {

using namespace std::chrono_literals;

// Idle flows remember path slots, so those rest as long as a flow may sleep. Node slots, which flows
// do not remember, share the time.
constexpr auto kSlotGrace = 1h;

prefix4_key key_of_prefix(const Prefix4& prefix)
{
    const Prefix4 network = prefix.network();
    return {network.length, network.addr.be()};
}

Prefix4 prefix_of(const prefix4_key& key)
{
    return {Ipv4::from_be(key.addr), static_cast<std::uint8_t>(std::min(key.prefix_bits, 32u))};
}

} // namespace

Routes::Routes(Tables& tables)
    : tables_(tables), path_ids_(1, PATH_SLOTS - 1, kSlotGrace, "path slots"),
      node_ids_(1, NODE_SLOTS - 1, kSlotGrace, "node slots")
{
}

void Routes::adopt()
{
    tables_.routes4.each_actual([&](const prefix4_key& key, const route& r) {
        if (r.kind == ROUTE_REMOTE)
            path_ids_.adopt(prefix_of(key), r.slot);
    });
    tables_.nodes4.each_actual(
        [&](const prefix4_key& key, const node4& n) { node_ids_.adopt(prefix_of(key), n.slot); });
}

void Routes::seal(Clock::Time now)
{
    std::vector<std::pair<Prefix4, route>> unnamed;
    tables_.routes4.each_actual([&](const prefix4_key& key, const route& r) {
        const Prefix4 prefix = prefix_of(key);
        if (r.kind == ROUTE_REMOTE && !wanted_.contains(prefix) &&
            path_ids_.find(prefix) == std::optional(r.slot))
            unnamed.emplace_back(prefix, r);
    });
    for (const auto& [prefix, entry] : unnamed) {
        const auto way = tables_.paths.actual(entry.slot);
        if (!way || !path_ids_.acquire(prefix))
            continue;
        tables_.routes4.set(key_of_prefix(prefix), entry);
        tables_.paths.set(entry.slot, *way);
        kept_.insert(prefix);
    }
    path_ids_.seal(now);
    node_ids_.seal(now);
}

void Routes::drop_kept(Clock::Time now)
{
    for (const Prefix4& prefix : std::exchange(kept_, {})) {
        path_ids_.release(prefix, now);
        if (path_ids_.in_use(prefix))
            continue;
        if (const auto slot = path_ids_.find(prefix))
            tables_.paths.erase(*slot);
        if (wanted_.contains(prefix))
            continue;
        tables_.routes4.erase(key_of_prefix(prefix));
        changed_ = true;
    }
}

Status Routes::want(const Prefix4& prefix, const RouteWant& wanted, Clock::Time now)
{
    const auto old = wanted_.find(prefix);
    if (old != wanted_.end() && old->second == wanted)
        return {};
    route entry{};
    entry.kind = wanted.kind;
    entry.flags = flag_if(wanted.tunnelled, ROUTE_TUNNELLED);
    entry.slot = wanted.kind == ROUTE_ENDPOINT ? wanted.endpoint : 0;
    // New references before old ones are dropped, so that an equal one keeps its slot.
    if (wanted.node) {
        const auto slot = node_ids_.acquire(Prefix4::host(*wanted.node));
        if (!slot)
            return Error{slot.error().code, 0, "route " + prefix.str() + ": " + slot.error().what};
        entry.node = *slot;
    }
    if (wanted.kind == ROUTE_REMOTE) {
        const auto slot = path_ids_.acquire(prefix);
        if (!slot) {
            if (wanted.node)
                node_ids_.release(Prefix4::host(*wanted.node), now);
            return Error{slot.error().code, 0, "route " + prefix.str() + ": " + slot.error().what};
        }
        entry.slot = *slot;
        write_path(*slot, wanted, entry.node);
    }
    if (old != wanted_.end())
        drop_references(prefix, old->second, now);
    wanted_[prefix] = wanted;
    if (wanted.kind == ROUTE_REMOTE)
        by_next_hop_[{wanted.path.ifindex, wanted.path.next_hop}].insert(prefix);
    const auto key = key_of_prefix(prefix);
    const auto actual = tables_.routes4.actual(key);
    changed_ = changed_ || !actual || !maps::ByteEqual{}(*actual, entry);
    tables_.routes4.set(key, entry);
    return {};
}

void Routes::forget(const Prefix4& prefix, Clock::Time now)
{
    const auto it = wanted_.find(prefix);
    if (it == wanted_.end())
        return;
    const RouteWant old = it->second;
    wanted_.erase(it);
    drop_references(prefix, old, now);
    tables_.routes4.erase(key_of_prefix(prefix));
    changed_ = true;
}

void Routes::drop_references(const Prefix4& prefix, const RouteWant& old, Clock::Time now)
{
    if (old.node)
        node_ids_.release(Prefix4::host(*old.node), now);
    if (old.kind != ROUTE_REMOTE)
        return;
    const auto hop = by_next_hop_.find({old.path.ifindex, old.path.next_hop});
    if (hop != by_next_hop_.end() && hop->second.erase(prefix) != 0 && hop->second.empty())
        by_next_hop_.erase(hop);
    path_ids_.release(prefix, now);
    // No remote prefix any more: the slot is zeroed at once, so that its flows find no way, and
    // its number rests.
    if (!path_ids_.in_use(prefix))
        if (const auto slot = path_ids_.find(prefix))
            tables_.paths.erase(*slot);
}

void Routes::write_path(std::uint32_t slot, const RouteWant& wanted, std::uint32_t node_slot)
{
    const PathWant& want = wanted.path;
    path entry{};
    entry.node = node_slot;
    if (want.reachable) {
        entry.kind = want.encap ? PATH_ENCAP : PATH_PLAIN;
        entry.ifindex = want.ifindex;
        entry.next_hop = want.next_hop.be();
        entry.mtu = want.mtu;
        std::copy(want.source_mac.begin(), want.source_mac.end(), entry.smac);
        if (want.encap) {
            entry.outer_src = want.outer_source.be();
            entry.outer_dst = want.outer_destination.be();
        }
        if (const auto it = neighbours_.find({want.ifindex, want.next_hop});
            it != neighbours_.end()) {
            entry.flags |= PATH_RESOLVED;
            std::copy(it->second.begin(), it->second.end(), entry.dmac);
        }
    }
    tables_.paths.set(slot, entry);
}

void Routes::set_neighbour(std::uint32_t ifindex, Ipv4 next_hop, std::optional<MacBytes> mac)
{
    const NextHop hop{ifindex, next_hop};
    if (mac)
        neighbours_[hop] = *mac;
    else
        neighbours_.erase(hop);
    const auto users = by_next_hop_.find(hop);
    if (users == by_next_hop_.end())
        return;
    for (const auto& prefix : users->second) {
        const RouteWant& wanted = wanted_.at(prefix);
        const auto node = wanted.node ? node_ids_.find(Prefix4::host(*wanted.node)).value_or(0) : 0;
        write_path(*path_ids_.find(prefix), wanted, node);
    }
}

Status Routes::want_node(const Prefix4& outer_source, bool external, Clock::Time now)
{
    const Prefix4 source = outer_source.network();
    const auto slot = node_ids_.acquire(source);
    if (!slot)
        return Error{slot.error().code, 0, "node " + source.str() + ": " + slot.error().what};
    if (!nodes_.insert_or_assign(source, external).second)
        node_ids_.release(source, now); // it was wanted already
    node entry{};
    entry.addr = source.length == Ipv4::kBits ? source.addr.be() : 0;
    entry.flags = flag_if(external, NODE_EXTERNAL);
    tables_.nodes.set(*slot, entry);
    tables_.nodes4.set(key_of_prefix(source), node4{*slot});
    return {};
}

void Routes::forget_node(const Prefix4& outer_source, Clock::Time now)
{
    const Prefix4 source = outer_source.network();
    if (nodes_.erase(source) == 0)
        return;
    changed_ = true; // flows hold its address
    // Zeroed at once: nobody is accepted under a number that rests.
    if (const auto slot = node_ids_.find(source))
        tables_.nodes.erase(*slot);
    tables_.nodes4.erase(key_of_prefix(source));
    node_ids_.release(source, now);
}

void Routes::expire(Clock::Time now)
{
    // Numbers that are free now may be given to others: idle flows must not follow them.
    changed_ = !path_ids_.expire(now).empty() || changed_;
    changed_ = !node_ids_.expire(now).empty() || changed_;
}

} // namespace margay::datapath
