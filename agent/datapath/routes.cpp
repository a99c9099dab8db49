// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/routes.h"

#include <algorithm>
#include <array>
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

void set_mac(path& entry, const std::optional<MacBytes>& mac)
{
    entry.flags = flag_if(mac.has_value(), PATH_RESOLVED);
    std::ranges::copy(mac.value_or(MacBytes{}), entry.dmac);
}

} // namespace

Routes::Routes(Tables& tables)
    : tables_(tables), path_slots_(PATH_SLOTS),
      node_ids_(1, NODE_SLOTS - 1, kSlotGrace, "node slots")
{
}

void Routes::adopt()
{
    tables_.routes4.each_actual([&](const prefix4_key& key, const route& r) {
        const SlotRun run{r.slot, std::max<std::uint32_t>(r.spread, 1)};
        if (r.kind != ROUTE_REMOTE || run.count > PATH_SPREAD_MAX || !path_slots_.take(run))
            return;
        entries_.try_emplace(prefix_of(key)).first->run = run;
        for (std::uint32_t slot = run.first; slot < run.end(); slot++)
            if (const auto way = tables_.paths.actual(slot); way && way->kind != PATH_NONE)
                link(slot, {way->ifindex, Ipv4::from_be(way->next_hop)});
    });
    // Outgrown, and flows may know them: nobody's until all have been judged again.
    tables_.paths.each_actual([&](std::uint32_t slot, const path&) {
        if (path_slots_.take(SlotRun{slot, 1}))
            left_over_.push_back({slot, 1});
    });
    tables_.nodes4.each_actual(
        [&](const prefix4_key& key, const node4& n) { node_ids_.adopt(prefix_of(key), n.slot); });
}

void Routes::seal(Clock::Time now)
{
    entries_.each([&](const Prefix4& prefix, Entry& entry) {
        if (!entry.wanted && entry.run.count != 0 && !entry.resting_since)
            keep(prefix, entry, now);
    });
    cooling_ = std::exchange(left_over_, {});
    node_ids_.seal(now);
}

// As it is in the kernel, or else its slots rest.
void Routes::keep(const Prefix4& prefix, Entry& entry, Clock::Time now)
{
    const auto before = tables_.routes4.actual(key_of_prefix(prefix));
    if (!before || before->kind != ROUTE_REMOTE || before->slot != entry.run.first)
        return release_run(prefix, entry, now);
    tables_.routes4.set(key_of_prefix(prefix), *before);
    for (std::uint32_t slot = entry.run.first; slot < entry.run.end(); slot++)
        if (const auto way = tables_.paths.actual(slot))
            tables_.paths.set(slot, *way);
    entry.kept = true;
    kept_.push_back(prefix);
}

void Routes::drop_kept(Clock::Time now)
{
    for (const Prefix4& prefix : std::exchange(kept_, {})) {
        Entry* entry = entries_.find(prefix);
        if (entry == nullptr || !std::exchange(entry->kept, false))
            continue;
        release_run(prefix, *entry, now);
        tables_.routes4.erase(key_of_prefix(prefix));
        changed_ = true;
    }
}

Status Routes::want(const Prefix4& prefix, const RouteWant& wanted, Clock::Time now)
{
    Entry& known = *entries_.try_emplace(prefix).first;
    if (known.wanted && known.want == wanted)
        return {};
    // New references before old ones are dropped, so that an equal one keeps its slot.
    std::uint32_t node_slot = 0;
    if (wanted.node) {
        const auto slot = node_ids_.acquire(Prefix4::host(*wanted.node));
        if (!slot)
            return refused(prefix, slot.error());
        node_slot = *slot;
    }
    if (wanted.kind == ROUTE_REMOTE) {
        if (Status status = want_run(prefix, known, wanted, now); !status) {
            if (wanted.node)
                node_ids_.release(Prefix4::host(*wanted.node), now);
            return refused(prefix, status.error());
        }
    }
    // Flows need not be judged again for other paths to the same place.
    const bool other_paths = known.wanted && known.want.kind == ROUTE_REMOTE &&
                             wanted.kind == ROUTE_REMOTE && known.want.node == wanted.node &&
                             known.want.tunnelled == wanted.tunnelled;
    if (known.wanted && known.want.node)
        node_ids_.release(Prefix4::host(*known.want.node), now);
    known.want = wanted;
    known.wanted = true;
    known.kept = false;
    if (wanted.kind != ROUTE_REMOTE && known.run.count != 0 && !known.resting_since)
        release_run(prefix, known, now);
    write(prefix, known, node_slot, other_paths);
    return {};
}

Error Routes::refused(const Prefix4& prefix, const Error& error)
{
    drop_if_empty(prefix);
    return Error{error.code, 0, "route " + prefix.str() + ": " + error.what};
}

void Routes::write(const Prefix4& prefix, const Entry& known, std::uint32_t node_slot,
                   bool other_paths)
{
    route entry{};
    entry.kind = known.want.kind;
    entry.flags = known.want.tunnelled ? std::uint16_t{ROUTE_TUNNELLED} : std::uint16_t{0};
    entry.node = node_slot;
    if (known.want.kind == ROUTE_ENDPOINT)
        entry.slot = known.want.endpoint;
    if (known.want.kind == ROUTE_REMOTE) {
        entry.slot = known.run.first;
        entry.spread = static_cast<std::uint16_t>(known.run.count);
        write_run(known.run, known.want.paths, node_slot);
        if (const auto outgrown = outgrown_.find(prefix); outgrown != outgrown_.end())
            for (const Outgrown& old : outgrown->second)
                write_run(old.run, known.want.paths, node_slot);
    }
    const bool differs = tables_.routes4.set(key_of_prefix(prefix), entry);
    changed_ = changed_ || (differs && !other_paths);
}

void Routes::forget(const Prefix4& prefix, Clock::Time now)
{
    Entry* entry = entries_.find(prefix);
    if (entry == nullptr || !std::exchange(entry->wanted, false))
        return;
    if (entry->want.node)
        node_ids_.release(Prefix4::host(*entry->want.node), now);
    if (entry->want.kind == ROUTE_REMOTE)
        release_run(prefix, *entry, now);
    entry->want = {};
    drop_if_empty(prefix);
    tables_.routes4.erase(key_of_prefix(prefix));
    changed_ = true;
}

// Nobody wants it, and no slots are its own.
void Routes::drop_if_empty(const Prefix4& prefix)
{
    const Entry* entry = entries_.find(prefix);
    if (entry != nullptr && !entry->wanted && entry->run.count == 0)
        entries_.erase(prefix);
}

// A prefix without tunnel has room for a second path from the start: routers seldom come alone.
Status Routes::want_run(const Prefix4& prefix, Entry& entry, const RouteWant& wanted,
                        Clock::Time now)
{
    entry.resting_since.reset();
    const bool tunnel = wanted.paths.empty() ? wanted.tunnelled : wanted.encap();
    const std::uint32_t least =
        run_for(tunnel ? wanted.paths.size() : std::max<std::size_t>(wanted.paths.size(), 2));
    if (entry.run.count >= least)
        return {};
    std::optional<SlotRun> run;
    for (std::uint32_t size = least; !run && size > entry.run.count; size /= 2)
        run = path_slots_.take(size);
    if (!run)
        return entry.run.count != 0 ? Status{}
                                    : Status{Error{Errc::Full, 0, "all path slots are in use"}};
    if (entry.run.count != 0) {
        outgrown_[prefix].push_back({now, entry.run});
        resting_.push_back({now, prefix, entry.run});
    }
    entry.run = *run;
    return {};
}

// No remote prefix any more: its slots are zeroed at once, so that its flows find no way, and rest.
void Routes::release_run(const Prefix4& prefix, Entry& entry, Clock::Time now)
{
    clear_run(entry.run);
    if (const auto outgrown = outgrown_.find(prefix); outgrown != outgrown_.end())
        for (const Outgrown& old : outgrown->second)
            clear_run(old.run);
    entry.resting_since = now;
    resting_.push_back({now, prefix, entry.run});
}

void Routes::clear_run(SlotRun run)
{
    for (std::uint32_t slot = run.first; slot < run.end(); slot++) {
        unlink(slot);
        tables_.paths.erase(slot);
    }
}

void Routes::write_run(SlotRun run, const PathWants& paths, std::uint32_t node_slot)
{
    if (paths.size() <= 1) {
        for (std::uint32_t slot = run.first; slot < run.end(); slot++)
            write_path(slot, paths.empty() ? nullptr : &paths.front(), node_slot);
        return;
    }
    std::array<std::uint8_t, PATH_SPREAD_MAX> indices;
    for (std::uint32_t i = 0; i < run.count; i++)
        indices[i] = path_of(run.first + i, paths);
    spread_over({indices.data(), run.count}, paths.size());
    for (std::uint32_t i = 0; i < run.count; i++)
        write_path(run.first + i, &paths[indices[i]], node_slot);
}

// The one of them that the slot has.
std::uint8_t Routes::path_of(std::uint32_t slot, const PathWants& paths) const
{
    if (slot >= slots_.size() || slots_[slot].hop == nullptr)
        return kOtherPath;
    const auto found = std::ranges::find_if(paths, [&](const PathWant& path) {
        return HopKey{path.ifindex, path.next_hop} == slots_[slot].hop->first;
    });
    return found == paths.end() ? kOtherPath : static_cast<std::uint8_t>(found - paths.begin());
}

// Nothing: unreachable.
void Routes::write_path(std::uint32_t slot, const PathWant* want, std::uint32_t node_slot)
{
    path entry{};
    entry.node = node_slot;
    if (want == nullptr) {
        unlink(slot);
        tables_.paths.set(slot, entry);
        return;
    }
    const Hop& hop = link(slot, {want->ifindex, want->next_hop});
    entry.kind = want->encap ? PATH_ENCAP : PATH_PLAIN;
    entry.ifindex = want->ifindex;
    entry.next_hop = want->next_hop.be();
    entry.mtu = want->mtu;
    std::ranges::copy(want->source_mac, entry.smac);
    if (want->encap) {
        entry.outer_src = want->outer_source.be();
        entry.outer_dst = want->outer_destination.be();
    }
    set_mac(entry, hop.mac);
    tables_.paths.set(slot, entry);
}

const Routes::Hop& Routes::link(std::uint32_t slot, HopKey key)
{
    if (slots_.size() <= slot)
        slots_.resize(slot + 1);
    Slot& entry = slots_[slot];
    if (entry.hop != nullptr && entry.hop->first == key)
        return entry.hop->second;
    unlink(slot);
    entry.hop = &*hops_.try_emplace(key).first;
    Hop& hop = entry.hop->second;
    entry.next = std::exchange(hop.first, slot);
    if (entry.next != 0)
        slots_[entry.next].before = slot;
    return hop;
}

void Routes::unlink(std::uint32_t slot)
{
    if (slots_.size() <= slot || slots_[slot].hop == nullptr)
        return;
    const Slot entry = std::exchange(slots_[slot], Slot{});
    (entry.before != 0 ? slots_[entry.before].next : entry.hop->second.first) = entry.next;
    if (entry.next != 0)
        slots_[entry.next].before = entry.before;
    drop_if_unused(entry.hop->first);
}

// Nobody goes by it, and nothing is known of it.
void Routes::drop_if_unused(HopKey key)
{
    const auto hop = hops_.find(key);
    if (hop->second.first == 0 && !hop->second.mac)
        hops_.erase(hop);
}

void Routes::set_neighbour(std::uint32_t ifindex, Ipv4 next_hop, std::optional<MacBytes> mac)
{
    const HopKey key{ifindex, next_hop};
    Hop& hop = hops_.try_emplace(key).first->second;
    hop.mac = mac;
    for (std::uint32_t slot = hop.first; slot != 0; slot = slots_[slot].next) {
        auto entry = tables_.paths.wanted(slot);
        if (!entry) // an earlier run's, and not wanted yet
            continue;
        set_mac(*entry, mac);
        tables_.paths.set(slot, *entry);
    }
    drop_if_unused(key);
}

const RouteWant* Routes::find(const Prefix4& prefix) const
{
    const Entry* entry = entries_.find(prefix);
    return entry == nullptr || !entry->wanted ? nullptr : &entry->want;
}

std::map<Prefix4, RouteWant> Routes::wanted() const
{
    std::map<Prefix4, RouteWant> all;
    entries_.each([&](const Prefix4& prefix, const Entry& entry) {
        if (entry.wanted)
            all.emplace(prefix, entry.want);
    });
    return all;
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

// Unless it is in use again.
bool Routes::free_run(const Resting& resting)
{
    Entry* entry = entries_.find(resting.prefix);
    const auto outgrown = outgrown_.find(resting.prefix);
    if (entry != nullptr && entry->run == resting.run && entry->resting_since == resting.since) {
        entry->run = {};
        entry->resting_since.reset();
        drop_if_empty(resting.prefix);
    } else if (outgrown == outgrown_.end() ||
               std::erase(outgrown->second, Outgrown{resting.since, resting.run}) == 0) {
        return false;
    }
    if (outgrown != outgrown_.end() && outgrown->second.empty())
        outgrown_.erase(outgrown);
    clear_run(resting.run);
    cooling_.push_back(resting.run);
    return true;
}

void Routes::expire(Clock::Time now)
{
    for (const SlotRun run : std::exchange(cooling_, {}))
        path_slots_.give_back(run);
    // Numbers that are free now may be given to others: idle flows must not follow them.
    for (; !resting_.empty() && now - resting_.front().since >= kSlotGrace; resting_.pop_front())
        changed_ = free_run(resting_.front()) || changed_;
    changed_ = !node_ids_.expire(now).empty() || changed_;
}

} // namespace margay::datapath
