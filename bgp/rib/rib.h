// SPDX-License-Identifier: Apache-2.0
// Rib: what every peer told us (Adj-RIB-In), what we announce, and what is used (Loc-RIB)
// (RFC 4271 3.2, 9.1).
//
// Changes are noted at once and judged later: work() runs the decision process for what is dirty,
// within a budget, moves what has another result to the end of the table's change list, and names
// it. So a burst of UPDATEs for one prefix costs one decision.
//
// Each path carries the generation of its peer's session. A path of an earlier generation is
// stale (RFC 4724): still used, replaced by the same prefix of the new session, and removed by
// sweep(). A sweep is one walk over the table in bounded turns, whatever number of peers it is for:
// no peer has a list of its prefixes. A session that ends for good is a new generation and a sweep.

#pragma once

#include "bgp/rib/decide.h"
#include "bgp/rib/next_hops.h"
#include "bgp/rib/path_ids.h"
#include "bgp/rib/route_table.h"
#include "bgp/wire/update.h"

#include <deque>
#include <functional>
#include <vector>

namespace margay::bgp {

struct PeerTraits {
    Ip address;
    Ipv4 identifier;
    bool internal = true;
    bool client = false; // of us as its route reflector
    bool add_path = false; // its paths come with numbers (RFC 7911)
    Asn local_as; // ours, on this session
    std::uint8_t allowed_own_as = 0; // how often ours may be in the path
    std::optional<Asn> first_as; // that the path has to begin with (RFC 4271 6.3)
    Ip local_address; // ours, on this session: as a next hop it would be a loop
    Ip own_next_hop; // what we would be called as one
    std::uint32_t interface =
        0; // the index of the link that we share with it; 0: none, or not known

    bool operator==(const PeerTraits&) const = default;
};

struct RibConfig {
    Asn local_as;
    Ipv4 router_id;
    Ipv4 cluster_id; // RFC 4456
};

// To one prefix (RFC 7911).
inline constexpr std::size_t kMostPathsOfAPeer = 4096;

// Of one family; the numbers of peers are the same in all of them.
template <typename P>
class Rib {
public:
    using Table = RouteTable<P>;
    using ImportPolicy = std::function<AttributesPtr(PeerId, const P&, const AttributesPtr&)>;

    // Next hops that outlive it; null: all are reachable.
    explicit Rib(const RibConfig& config, NextHops* next_hops = nullptr);

    // A peer of the configuration, with a number that is not known() here.
    void add_peer(PeerId peer);
    // The peer's session is up; what it learns from now on is fresh.
    void peer_up(PeerId peer, const PeerTraits& traits);
    // Its routes become stale. Those that were stale already go (RFC 4724 4.2).
    void mark_stale(PeerId peer);
    // The same, but what was stale already waits on, too (RFC 7313 section 4). False: that was so often
    // that the numbers of generations would go round before the table was swept.
    bool mark_stale_too(PeerId peer);
    // Removes what is stale now, in later work().
    void sweep(PeerId peer);
    // The session is over for good.
    void drop(PeerId peer);
    // The peer is gone from the configuration: drop, and forget it when the sweep is done.
    void remove(PeerId peer);

    // False: the table is full, or holds kMostPathsOfAPeer of the peer for the prefix.
    bool learn(PeerId peer, const Nlri<P>& nlri, const AttributesPtr& attributes);
    void withdraw(PeerId peer, const Nlri<P>& nlri);
    bool announce(const P& prefix, const AttributesPtr& attributes);
    void retract(const P& prefix) { withdraw(kOurselves, {prefix}); }
    // Another policy, or another word of it about a peer, holds at once for what comes, and in later work()
    // for what is there.
    void set_import_policy(ImportPolicy policy);
    void import_again(PeerId peer);
    // Some of the next hops are reachable, or not, as they were not before.
    void next_hops_changed();

    // At most `budget` decisions.
    void work(std::size_t budget);
    // This entry's decision now: somebody stands before it.
    void decide(EntryId id);
    // Somebody is told all paths, or no longer: then any change of one is news to the change list.
    void want_all_paths(bool want) { all_paths_wanted_ += want ? 1 : -1; }
    // The entries whose paths in use changed, some of them twice; valid until forgotten.
    const std::vector<EntryId>& changed() const { return changed_; }
    void forget_changed();
    // Entries that were ever to be decided, and those that were: what is queued now is decided when
    // the second number has come to where the first one is.
    std::uint64_t queued() const { return done_ + dirty_.size() - dirty_at_; }
    std::uint64_t done() const { return done_; }
    bool has_work() const { return dirty_at_ < dirty_.size() || sweep_left_ > 0; }

    Table& table() { return table_; }
    const Table& table() const { return table_; }
    const RibConfig& config() const { return config_; }
    std::size_t count(PeerId peer) const { return peers_[peer].count; }
    bool is_stale(const Path& path) const
    {
        return path.generation != peers_[path.peer].generation;
    }
    const PeerTraits& traits(PeerId peer) const { return peers_[peer].traits; }
    // Another number whenever the traits are others, also of another peer with this number.
    std::uint32_t traits_version(PeerId peer) const { return peers_[peer].traits_version; }
    bool knows(PeerId peer) const { return peer < peers_.size() && peers_[peer].used; }
    const PathIds& path_ids() const { return path_ids_; }
    // Each path's fate in the decision, in their order; rejected ones are no candidates.
    std::vector<std::optional<Step>> explain(const Paths& paths) const;

private:
    struct Peer {
        PeerTraits traits;
        Generation generation = 0;
        Generation oldest_kept = 0; // what a sweep removes is older
        Generation oldest_left = 0; // what the last sweep that was finished has removed is older
        Generation traits_since = 0; // or a later one, if that is long ago
        std::uint32_t traits_version = 0;
        bool used = false;
        bool removed = false;
        bool policy_changed = false; // since the walk began that is under way
        std::size_t count = 0; // of its paths
    };

    void next_generation(Peer& peer);
    void receive(Path& path, const AttributesPtr& attributes); // null: it goes
    void touch(EntryId id);
    void accept(Path& path, const P& prefix);
    void judge(Path& path, const P& prefix);
    Rejection rejection_of(const Path& path, const P& prefix);
    Rejection loop(const Path& path);
    Rejection loop_of(const AttributeSet& attributes, const PeerTraits& from) const;
    void erase(EntryId id, Path& path);
    std::size_t work_on_sweep(std::size_t budget);
    void start_walk();
    std::size_t sweep_one(EntryId id);
    std::size_t judge_again(EntryId id);
    bool is_doubtful(const Path& path) const;
    bool has_way(const Path& path) const;
    void finish_sweep();
    bool is_swept(const Path& path) const;
    bool is_as_known(const Path& path) const;
    static bool has_room_for_another(const Paths& paths, PeerId peer);
    struct Outcome {
        bool path_changed = false; // for those who are told all
        bool best_changed = false; // for those who are told the best
        bool usable_changed = false; // for who uses the others beside it
    };
    Outcome choose(typename Table::Entry& entry) const;
    std::vector<Candidate> candidates(std::span<const Path> paths) const;

    // One message may have thousands of prefixes behind a path of thousands of ASes, which is searched
    // once.
    struct Judged {
        AttributesPtr attributes;
        std::uint32_t traits_version = 0;
        Rejection rejection = Rejection::None;
    };

    RibConfig config_;
    NextHops* next_hops_;
    bool next_hops_changed_ = false; // since the walk began that is under way
    ImportPolicy import_;
    Judged judged_; // the last one
    Table table_;
    PathIds path_ids_;
    int all_paths_wanted_ = 0;
    std::vector<Peer> peers_; // by PeerId; the first is ourselves
    std::uint32_t traits_versions_ = 0; // given out so far
    std::vector<EntryId> dirty_;
    std::size_t dirty_at_ = 0;
    std::uint64_t done_ = 0;
    std::vector<EntryId> changed_;
    EntryId sweep_at_ = 0;
    EntryId sweep_end_ = 0; // goes round below that
    EntryId sweep_left_ = 0; // entries to visit
};

extern template class Rib<Prefix4>;
extern template class Rib<Prefix6>;

} // namespace margay::bgp
