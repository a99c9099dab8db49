// SPDX-License-Identifier: Apache-2.0
#include "bgp/speaker/tables.h"

#include <algorithm>

namespace margay::bgp {

namespace {
constexpr std::size_t kMostNextHops = 64; // of one route; more than any kernel is given
// To send is the dear part of telling: peers beyond that are another group, for another turn.
constexpr std::size_t kMostMembers = 256;
constexpr std::size_t kToldATurn = 32; // peers, before which another group is still begun
} // namespace

// ---- Groups ------------------------------------------------------------------------------------

template <typename P>
typename Tables<P>::Group& Tables<P>::group_for(const ExportView& view, const PeerConfig& config)
{
    const auto known = std::ranges::find_if(
        groups_, [&](const auto& g) { return g->view() == view && g->size() < kMostMembers; });
    if (known != groups_.end())
        return **known;
    // The first member stands for all, also when it is gone: its policy is theirs.
    groups_.push_back(std::make_unique<Group>(
        rib_, view, [this, view, config](const P& prefix, const Path& path) {
            return policy_(config, view, prefix, path);
        }));
    return *groups_.back();
}

template <typename P>
void Tables<P>::join(PeerId peer, const ExportView& view, const PeerConfig& config)
{
    Group& group = group_for(view, config);
    group.join(peer);
    group_of_[peer] = &group;
}

template <typename P>
void Tables<P>::move(PeerId peer, const ExportView& view, const PeerConfig& config)
{
    rib_.import_again(peer);
    Group* before = group_of(peer);
    if (!before || before->view() == view)
        return;
    Group& group = group_for(view, config);
    group.join(peer, before);
    group_of_[peer] = &group;
    leave(peer, *before);
}

template <typename P>
void Tables<P>::note_link_local(PeerId peer, const LinkLocalHop& hop)
{
    constexpr std::ptrdiff_t kOfAPeer = 64; // a router has few addresses on a link
    const auto [at, fresh] = link_locals_.try_emplace({peer, hop.global}, hop.link_local);
    if (!fresh) {
        at->second = hop.link_local;
        return;
    }
    const auto first = link_locals_.lower_bound({peer, Ipv6()});
    const auto last = link_locals_.lower_bound({static_cast<PeerId>(peer + 1), Ipv6()});
    if (std::distance(first, last) > kOfAPeer)
        link_locals_.erase(at);
}

template <typename P>
void Tables<P>::forget(PeerId peer)
{
    std::erase_if(link_locals_, [&](const auto& entry) { return entry.first.first == peer; });
}

template <typename P>
void Tables<P>::leave(PeerId peer)
{
    if (Group* group = group_of(peer)) {
        group_of_.erase(peer);
        leave(peer, *group);
    }
}

template <typename P>
void Tables<P>::leave(PeerId peer, Group& group)
{
    group.leave(peer);
    if (group.empty())
        std::erase_if(groups_, [&](const auto& g) { return g.get() == &group; });
}

template <typename P>
typename Tables<P>::Group* Tables<P>::group_of(PeerId peer) const
{
    const auto found = group_of_.find(peer);
    return found == group_of_.end() ? nullptr : found->second;
}

template <typename P>
void Tables<P>::refresh(PeerId peer)
{
    if (Group* group = group_of(peer))
        group->refresh(peer);
}

template <typename P>
void Tables<P>::policy_changed()
{
    for (const auto& group : groups_)
        group->policy_changed();
}

template <typename P>
bool Tables<P>::has_told(PeerId peer, std::uint64_t change) const
{
    const Group* group = group_of(peer);
    return group && group->has_told(peer, change);
}

template <typename P>
std::size_t Tables<P>::advertised(PeerId peer) const
{
    const Group* group = group_of(peer);
    return group ? group->advertised(peer) : 0;
}

// From where the last turn stopped on.
template <typename P>
bool Tables<P>::fill(const Group::HasRoom& has_room, const Group::Deliver& deliver,
                     std::size_t budget)
{
    bool more = false;
    std::size_t told = 0;
    const auto counted = [&](PeerId peer, std::span<const ByteView> pieces, std::size_t messages) {
        ++told;
        deliver(peer, pieces, messages);
    };
    for (std::size_t left = groups_.size(); left > 0; --left) {
        if (told >= kToldATurn)
            return true; // or not: the next turn will see
        last_filled_ = (last_filled_ + 1) % groups_.size();
        more |= groups_[last_filled_]->fill(has_room, counted, budget);
    }
    return more;
}

// ---- News for the caller -----------------------------------------------------------------------

template <typename P>
void Tables<P>::collect_changes()
{
    changes_.clear();
    hops_.clear();
    hop_ends_.clear();
    for (const EntryId id : rib_.changed())
        if (note_change(id))
            hop_ends_.push_back(hops_.size());
    std::size_t first = 0;
    for (std::size_t i = 0; i < changes_.size(); ++i) {
        changes_[i].best = std::span(hops_).subspan(first, hop_ends_[i] - first);
        first = hop_ends_[i];
    }
}

template <typename P>
void Tables<P>::forget_changed()
{
    rib_.forget_changed();
}

template <typename P>
NextHop Tables<P>::next_hop(const Path& path) const
{
    const PeerTraits& from = rib_.traits(path.peer);
    NextHop hop{path.accepted->next_hop, from.address, from.interface, {}};
    if (link_locals_.empty() || hop.gateway.is_v4())
        return hop;
    if (const auto known = link_locals_.find({path.peer, hop.gateway.v6()});
        known != link_locals_.end())
        hop.link_local = known->second;
    return hop;
}

// False when it is nothing that the caller has to know.
template <typename P>
bool Tables<P>::note_change(EntryId id)
{
    const Entry& entry = rib_.table().at(id);
    const Path* best = entry.paths.best();
    if (!best || best->peer == kOurselves) {
        if (!report_reachable(id, false))
            return false;
        changes_.push_back({entry.prefix, 0, {}});
        return true;
    }
    changes_.push_back({entry.prefix, best->accepted->local_pref.value_or(kDefaultLocalPref), {}});
    const auto first = static_cast<std::ptrdiff_t>(hops_.size());
    const auto add = [&](const Path& path) {
        const Ip& gateway = path.accepted->next_hop;
        if (std::find_if(hops_.begin() + first, hops_.end(),
                         [&](const NextHop& hop) { return hop.gateway == gateway; }) == hops_.end())
            hops_.push_back(next_hop(path));
    };
    add(*best);
    for (const Path& path : entry.paths.all()) { // behind the best the order means nothing
        if (hops_.size() - static_cast<std::size_t>(first) >= kMostNextHops)
            break;
        if (path.usable && !path.best)
            add(path);
    }
    report_reachable(id, true);
    return true;
}

// What the caller believed before.
template <typename P>
bool Tables<P>::report_reachable(EntryId id, bool reachable)
{
    if (id >= reported_.size())
        reported_.resize(rib_.table().end());
    const bool before = reported_[id];
    reported_[id] = reachable;
    reported_count_ += std::size_t{reachable} - std::size_t{before};
    return before;
}

// ---- Views -------------------------------------------------------------------------------------

// Calls `append(id)` for each entry that matches by prefix; it gives the number of paths found there.
// What is looked up is few: one prefix, or those that cover it. The rest is a walk by number.
template <typename P>
template <typename Append>
EntryId Tables<P>::walk(const WalkQuery<P>& query, EntryId from, const WalkBudget& budget,
                        const Append& append) const
{
    const auto& table = rib_.table();
    if (query.prefix && query.match != RouteQuery::Match::Within) {
        const int shortest = query.match == RouteQuery::Match::Exact ? query.prefix->length : 0;
        for (int length = query.prefix->length; length >= shortest; --length) {
            const P prefix{query.prefix->addr, static_cast<std::uint8_t>(length)};
            if (const EntryId id = table.find(prefix.network()); id != kNoEntry)
                append(id);
        }
        return kNoEntry;
    }
    std::size_t found = 0;
    std::size_t seen = 0;
    EntryId id = from;
    for (; id < table.end() && seen < budget.entries && found < budget.paths; ++id, ++seen)
        if (!query.prefix || query.prefix->contains(table.at(id).prefix))
            found += append(id);
    return id < table.end() ? id : kNoEntry;
}

template <typename P>
EntryId Tables<P>::append_views(const WalkQuery<P>& query, EntryId from, const WalkBudget& budget,
                                std::vector<RouteView>& views) const
{
    return walk(query, from, budget, [&](EntryId id) {
        const std::size_t before = views.size();
        const Entry& entry = rib_.table().at(id);
        const auto steps = rib_.explain(entry.paths);
        for (std::size_t i = 0; i < steps.size(); ++i) {
            const Path& path = entry.paths.all()[i];
            if (!query.from || path.peer == *query.from)
                views.push_back(view(entry.prefix, path, steps[i]));
        }
        return views.size() - before;
    });
}

template <typename P>
RouteView Tables<P>::view(const P& prefix, const Path& path, const std::optional<Step>& step) const
{
    RouteView view;
    view.prefix = prefix;
    if (path.peer != kOurselves)
        view.from = rib_.traits(path.peer).address;
    view.peer_id = path.peer;
    view.path = rib_.path_ids().name_of(path.id).received;
    view.attributes = (path.accepted ? path.accepted : path.received)->decode();
    if (view.attributes->next_hop.is_link_local6())
        view.interface = rib_.traits(path.peer).interface;
    view.stale = rib_.is_stale(path);
    view.best = step == Step::Best;
    view.multipath = step && !view.best && usable_beside_best(*step);
    view.rejected = !step;
    view.why = step ? describe(*step) : describe(path.rejected);
    return view;
}

template <typename P>
EntryId Tables<P>::append_exported(PeerId peer, const ExportView& to, const PeerConfig& config,
                                   const WalkQuery<P>& query, EntryId from,
                                   const WalkBudget& budget, std::vector<ExportedView>& views) const
{
    return walk(query, from, budget, [&](EntryId id) {
        const std::size_t before = views.size();
        append_exported(id, peer, to, config, query, views);
        return views.size() - before;
    });
}

template <typename P>
void Tables<P>::append_exported(EntryId id, PeerId peer, const ExportView& to,
                                const PeerConfig& config, const WalkQuery<P>& query,
                                std::vector<ExportedView>& views) const
{
    const Entry& entry = rib_.table().at(id);
    const auto steps = rib_.explain(entry.paths);
    for (std::size_t i = 0; i < steps.size(); ++i) {
        const Path& path = entry.paths.all()[i];
        if (!path.accepted || (!path.best && !to.encoding.add_path))
            continue;
        if (query.from && path.peer != *query.from)
            continue;
        ExportedView& exported = views.emplace_back();
        exported.route = view(entry.prefix, path, steps[i]);
        const PeerTraits& from = rib_.traits(path.peer);
        const AttributesPtr policed =
            may_pass<P>(path, from, to) ? policy_(config, to, entry.prefix, path) : nullptr;
        exported.why = why_not_told(peer, to, path, policed);
        exported.told = exported.why.empty();
        if (exported.told)
            exported.route.attributes =
                rewritten(*policed, rewrite_for<P>(*policed, path.peer, from, to));
    }
}

template <typename P>
std::string Tables<P>::why_not_told(PeerId peer, const ExportView& to, const Path& path,
                                    const AttributesPtr& policed) const
{
    if (path.peer == peer)
        return "it told us";
    if (const char* rule = why_not_passed<P>(path, rib_.traits(path.peer), to))
        return rule;
    return policed ? "" : "rejected by the export filter";
}

template class Tables<Prefix4>;
template class Tables<Prefix6>;

} // namespace margay::bgp
