// SPDX-License-Identifier: Apache-2.0
// Tables: all that a speaker has of one family of addresses. What was learned, the groups of peers
// that are told, and the news for the caller.

#pragma once

#include "bgp/rib/update_group.h"
#include "bgp/speaker/types.h"

#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

namespace margay::bgp {

// A portion of a walk over the entries. Bounded in what is looked at and in what is found, so that a turn
// of the event loop stays short whatever is asked for.
struct WalkBudget {
    std::size_t entries;
    std::size_t paths; // the last entry may have some more
};
inline constexpr WalkBudget kWholeWalk{~std::size_t{0}, ~std::size_t{0}};

template <typename P>
struct WalkQuery {
    std::optional<P> prefix; // empty: all
    RouteQuery::Match match = RouteQuery::Match::Exact;
    std::optional<PeerId> from; // who told it
};

template <typename P>
class Tables {
public:
    using Group = UpdateGroup<P>;
    // How a peer with this view and config is told a path, or null.
    using Policy =
        std::function<AttributesPtr(const PeerConfig&, const ExportView&, const P&, const Path&)>;

    Tables(const RibConfig& config, NextHops* next_hops, Policy policy)
        : rib_(config, next_hops), policy_(std::move(policy))
    {
    }

    Rib<P>& rib() { return rib_; }
    const Rib<P>& rib() const { return rib_; }

    // The peer is told routes from now on, or no longer.
    void join(PeerId peer, const ExportView& view, const PeerConfig& config);
    // It has other filters from now on.
    void move(PeerId peer, const ExportView& view, const PeerConfig& config);
    void leave(PeerId peer);
    void refresh(PeerId peer);
    // How a global next hop is called on the link to the peer that told it. Of a peer some are remembered.
    void note_link_local(PeerId peer, const LinkLocalHop& hop);
    void forget(PeerId peer);
    void policy_changed(); // for everybody
    bool has_told(PeerId peer, std::uint64_t change) const;
    std::size_t advertised(PeerId peer) const;
    bool fill(const Group::HasRoom& has_room, const Group::Deliver& deliver, std::size_t budget);

    // What changed since forget_changed(), as the caller is to hear of it.
    void collect_changes();
    const std::vector<RouteChangeOf<P>>& changes() const { return changes_; }
    void forget_changed();
    std::size_t reachable() const { return reported_count_; }

    // From this entry on; the entry to go on with, or kNoEntry at the end.
    EntryId append_views(const WalkQuery<P>& query, EntryId from, const WalkBudget& budget,
                         std::vector<RouteView>& views) const;
    // The same of all that could be told a peer with this view.
    EntryId append_exported(PeerId peer, const ExportView& view, const PeerConfig& config,
                            const WalkQuery<P>& query, EntryId from, const WalkBudget& budget,
                            std::vector<ExportedView>& views) const;

private:
    using Entry = typename Rib<P>::Table::Entry;

    Group* group_of(PeerId peer) const;
    Group& group_for(const ExportView& view, const PeerConfig& config);
    void leave(PeerId peer, Group& group);
    bool note_change(EntryId id);
    bool report_reachable(EntryId id, bool reachable);
    template <typename Append>
    EntryId walk(const WalkQuery<P>& query, EntryId from, const WalkBudget& budget,
                 const Append& append) const;
    void append_exported(EntryId id, PeerId peer, const ExportView& to, const PeerConfig& config,
                         const WalkQuery<P>& query, std::vector<ExportedView>& views) const;
    NextHop next_hop(const Path& path) const;
    RouteView view(const P& prefix, const Path& path, const std::optional<Step>& step) const;
    std::string why_not_told(PeerId peer, const ExportView& view, const Path& path,
                             const AttributesPtr& policed) const;

    Rib<P> rib_;
    Policy policy_;
    std::vector<std::unique_ptr<Group>> groups_;
    std::size_t last_filled_ = 0; // of the groups
    std::unordered_map<PeerId, Group*> group_of_; // of each peer with a session
    // What one turn reports; the memory is used again.
    std::vector<RouteChangeOf<P>> changes_;
    std::vector<NextHop> hops_;
    std::vector<std::size_t> hop_ends_; // of each change
    std::map<std::pair<PeerId, Ipv6>, Ipv6> link_locals_;
    std::vector<bool> reported_; // by entry: the caller believes it reachable
    std::size_t reported_count_ = 0;
};

extern template class Tables<Prefix4>;
extern template class Tables<Prefix6>;

} // namespace margay::bgp
