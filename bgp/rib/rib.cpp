// SPDX-License-Identifier: Apache-2.0
#include "bgp/rib/rib.h"

#include <algorithm>
#include <limits>

namespace margay::bgp {
namespace {

constexpr std::size_t kVisitsADecision =
    16; // paths that a sweep looks at cost less than a decision
constexpr std::size_t kPathsADecision = 16; // more than that cost as much as further decisions
constexpr std::size_t kBuriedATurn = 16384;
constexpr int kMostMarks = 64; // of a peer's routes as stale, between two sweeps
constexpr std::size_t kDecidedKept = 65536; // numbers at the queue's front that are done with

// RFC 4271 6.3: a prefix that makes no sense is ignored. Multicast and loopback addresses are nobody's
// destination, nor are those that mean something on one link only. Of IPv4's some route 169.254.0.0/16 and
// 240.0.0.0/4.
bool is_unicast(const Prefix4& prefix)
{
    const std::uint32_t address = prefix.addr.value();
    const bool multicast = prefix.length >= 4 && address >> 28 == 0xe;
    const bool loopback = prefix.length >= 8 && address >> 24 == 127;
    const bool broadcast = prefix.length == 32 && address == 0xffffffff;
    return !multicast && !loopback && !broadcast;
}

bool is_unicast(const Prefix6& prefix)
{
    const Ipv6::Bytes& bytes = prefix.addr.bytes();
    if (prefix.length == 128 && !is_host_address(prefix.addr))
        return false;
    if (prefix.length >= 8 && bytes[0] == 0xff)
        return false;
    return !(prefix.length >= 10 && bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80);
}

} // namespace

const char* describe(Rejection rejection)
{
    switch (rejection) {
    case Rejection::None:
        return "accepted";
    case Rejection::AsLoop:
        return "our own AS is in the path";
    case Rejection::Originator:
        return "we are its originator";
    case Rejection::ClusterLoop:
        return "our own cluster is in its cluster list";
    case Rejection::OwnNextHop:
        return "its next hop is our own address";
    case Rejection::FirstAs:
        return "its path does not begin with the peer's AS";
    case Rejection::NoUnicast:
        return "the prefix is not one that packets are sent to";
    case Rejection::NoInterface:
        return "its next hop is link-local, and the peer is on no link of ours";
    case Rejection::NoWay:
        return "nothing leads to its next hop";
    case Rejection::ImportFilter:
        return "rejected by the import filter";
    }
    return "";
}

template <typename P>
Rib<P>::Rib(const RibConfig& config, NextHops* next_hops)
    : config_(config), next_hops_(next_hops), peers_(1)
{
    peers_[kOurselves].used = true;
}

// ---- Sessions ----------------------------------------------------------------------------------

template <typename P>
void Rib<P>::add_peer(PeerId peer)
{
    if (peer >= peers_.size())
        peers_.resize(peer + std::size_t{1});
    peers_[peer] = Peer{};
    peers_[peer].used = true;
    peers_[peer].traits_version = ++traits_versions_;
}

template <typename P>
void Rib<P>::peer_up(PeerId peer, const PeerTraits& traits)
{
    Peer& state = peers_[peer];
    if (state.traits == traits)
        return;
    state.traits = traits;
    state.traits_version = ++traits_versions_;
    if (state.count > 0)
        drop(peer); // they were judged by what is no longer so
    state.traits_since = state.generation;
}

// What happened too long ago for the numbers, which go round, moves on with them.
template <typename P>
void Rib<P>::next_generation(Peer& peer)
{
    constexpr int kFarBack = 100;
    ++peer.generation;
    const auto bound = static_cast<Generation>(peer.generation - kFarBack);
    for (Generation* since : {&peer.traits_since, &peer.oldest_kept, &peer.oldest_left})
        if (is_before(*since, bound))
            *since = bound;
}

template <typename P>
void Rib<P>::mark_stale(PeerId peer)
{
    sweep(peer); // of what an earlier session left behind
    next_generation(peers_[peer]);
}

template <typename P>
bool Rib<P>::mark_stale_too(PeerId peer)
{
    Peer& state = peers_[peer];
    if (static_cast<Generation>(state.generation - state.oldest_left) >= kMostMarks)
        return false;
    next_generation(state);
    return true;
}

template <typename P>
void Rib<P>::sweep(PeerId peer)
{
    peers_[peer].oldest_kept = peers_[peer].generation;
    start_walk();
}

template <typename P>
void Rib<P>::start_walk()
{
    sweep_end_ = sweep_left_ = table_.end();
    if (sweep_left_ == 0)
        finish_sweep();
}

template <typename P>
void Rib<P>::drop(PeerId peer)
{
    next_generation(peers_[peer]);
    sweep(peer);
}

template <typename P>
void Rib<P>::remove(PeerId peer)
{
    drop(peer);
    peers_[peer].removed = true;
    if (sweep_left_ == 0)
        finish_sweep();
}

// ---- Routes ------------------------------------------------------------------------------------

template <typename P>
bool Rib<P>::learn(PeerId peer, const Nlri<P>& nlri, const AttributesPtr& attributes)
{
    const EntryId id = table_.find_or_add(nlri.prefix);
    if (id == kNoEntry)
        return false;
    Paths& paths = table_.at(id).paths;
    const bool numbered = peers_[peer].traits.add_path;
    const auto known = numbered ? path_ids_.find({peer, nlri.path}) : std::optional<PathId>(peer);
    Path* path = known ? paths.find(*known) : nullptr;
    if (path && path->received == attributes && is_as_known(*path)) {
        path->generation = peers_[peer].generation;
        return true;
    }
    if (!path) {
        if (!has_room_for_another(paths, peer))
            return false;
        path = &paths.add(numbered ? path_ids_.acquire({peer, nlri.path}) : peer, peer);
        ++peers_[peer].count;
    }
    path->replaced = path->replaced || !is_as_known(*path);
    path->generation = peers_[peer].generation;
    receive(*path, attributes);
    accept(*path, nlri.prefix);
    touch(id);
    return true;
}

// The new next hop first: it may be the same. What the old one was to the path is forgotten with it.
template <typename P>
void Rib<P>::receive(Path& path, const AttributesPtr& attributes)
{
    const bool counted = next_hops_ && path.peer != kOurselves;
    if (counted && attributes)
        next_hops_->acquire(attributes->next_hop);
    if (counted && path.received) {
        if (path.rejected == Rejection::NoWay)
            next_hops_->count_unused(path.received->next_hop, -1);
        next_hops_->release(path.received->next_hop);
    }
    path.rejected = Rejection::None;
    path.received = attributes;
}

// Each costs something whenever one of them changes.
template <typename P>
bool Rib<P>::has_room_for_another(const Paths& paths, PeerId peer)
{
    return paths.all().size() < kMostPathsOfAPeer || paths.count_of(peer) < kMostPathsOfAPeer;
}

// Judged by what its peer still is.
template <typename P>
bool Rib<P>::is_as_known(const Path& path) const
{
    return !is_before(path.generation, peers_[path.peer].traits_since);
}

template <typename P>
void Rib<P>::withdraw(PeerId peer, const Nlri<P>& nlri)
{
    const EntryId id = table_.find(nlri.prefix);
    if (id == kNoEntry)
        return;
    const bool numbered = peers_[peer].traits.add_path;
    const auto known = numbered ? path_ids_.find({peer, nlri.path}) : std::optional<PathId>(peer);
    if (Path* path = known ? table_.at(id).paths.find(*known) : nullptr)
        erase(id, *path);
}

template <typename P>
void Rib<P>::erase(EntryId id, Path& path)
{
    auto& entry = table_.at(id);
    const Loss loss = path.best ? Loss::Best : path.usable ? Loss::UsablePath : Loss::Path;
    entry.lost = std::max(entry.lost, loss);
    --peers_[path.peer].count;
    path_ids_.release(path.id);
    receive(path, nullptr);
    entry.paths.remove(path);
    touch(id);
}

template <typename P>
bool Rib<P>::announce(const P& prefix, const AttributesPtr& attributes)
{
    return learn(kOurselves, {prefix}, attributes);
}

template <typename P>
void Rib<P>::set_import_policy(ImportPolicy policy)
{
    import_ = std::move(policy);
    for (std::size_t peer = 0; peer < peers_.size(); ++peer)
        import_again(static_cast<PeerId>(peer));
}

template <typename P>
void Rib<P>::import_again(PeerId peer)
{
    if (peers_[peer].count == 0)
        return;
    peers_[peer].policy_changed = true;
    start_walk();
}

template <typename P>
void Rib<P>::next_hops_changed()
{
    next_hops_changed_ = true;
    start_walk();
}

template <typename P>
void Rib<P>::accept(Path& path, const P& prefix)
{
    const AttributesPtr before = path.accepted;
    const bool was_unused = path.rejected == Rejection::NoWay;
    judge(path, prefix);
    path.replaced = path.replaced || path.accepted != before;
    if (const bool unused = path.rejected == Rejection::NoWay; unused != was_unused)
        next_hops_->count_unused(path.received->next_hop, unused ? 1 : -1);
}

template <typename P>
void Rib<P>::judge(Path& path, const P& prefix)
{
    path.rejected = path.peer == kOurselves ? Rejection::None : rejection_of(path, prefix);
    path.accepted = path.rejected == Rejection::None ? path.received : nullptr;
    if (!path.accepted || path.peer == kOurselves || !import_)
        return;
    path.accepted = import_(path.peer, prefix, path.received);
    if (!path.accepted)
        path.rejected = Rejection::ImportFilter;
}

template <typename P>
Rejection Rib<P>::rejection_of(const Path& path, const P& prefix)
{
    if (!is_unicast(prefix))
        return Rejection::NoUnicast;
    if (const Rejection found = loop(path); found != Rejection::None)
        return found;
    return has_way(path) ? Rejection::None : Rejection::NoWay;
}

template <typename P>
Rejection Rib<P>::loop(const Path& path)
{
    const Peer& from = peers_[path.peer];
    if (judged_.attributes != path.received || judged_.traits_version != from.traits_version)
        judged_ = {path.received, from.traits_version, loop_of(*path.received, from.traits)};
    return judged_.rejection;
}

template <typename P>
Rejection Rib<P>::loop_of(const AttributeSet& attributes, const PeerTraits& from) const
{
    for (const Asn own : {from.local_as, config_.local_as})
        if (count_in_path(attributes.as_path(), own) > from.allowed_own_as)
            return Rejection::AsLoop;
    if (attributes.originator_id == config_.router_id)
        return Rejection::Originator;
    if (attributes.cluster_count > 0 &&
        cluster_list_contains(attributes.octets(), config_.cluster_id))
        return Rejection::ClusterLoop;
    if (attributes.next_hop == from.local_address || attributes.next_hop == from.own_next_hop)
        return Rejection::OwnNextHop;
    if (from.first_as && attributes.neighbor != from.first_as)
        return Rejection::FirstAs;
    if (attributes.next_hop.is_link_local6() && from.interface == 0)
        return Rejection::NoInterface;
    return Rejection::None;
}

// ---- Work --------------------------------------------------------------------------------------

template <typename P>
void Rib<P>::touch(EntryId id)
{
    if (std::exchange(table_.at(id).dirty, true))
        return;
    dirty_.push_back(id);
}

// A walk leaves half of the budget to what waits to be decided.
template <typename P>
void Rib<P>::work(std::size_t budget)
{
    const bool waiting = dirty_at_ < dirty_.size();
    budget -= std::min(budget, work_on_sweep(waiting ? (budget + 1) / 2 : budget));
    for (; budget > 0 && dirty_at_ < dirty_.size(); ++done_) {
        const EntryId id = dirty_[dirty_at_++];
        const std::size_t paths = table_.at(id).paths.all().size();
        budget -= std::min(budget, 1 + paths / kPathsADecision);
        decide(id);
    }
    if (dirty_at_ == dirty_.size() || dirty_at_ >= kDecidedKept) {
        dirty_.erase(dirty_.begin(), dirty_.begin() + static_cast<std::ptrdiff_t>(dirty_at_));
        dirty_at_ = 0;
    }
}

template <typename P>
void Rib<P>::decide(EntryId id)
{
    auto& entry = table_.at(id);
    if (!std::exchange(entry.dirty, false))
        return; // decided out of turn
    const Outcome outcome = choose(entry);
    if (outcome.best_changed || (outcome.path_changed && all_paths_wanted_ > 0))
        table_.note_change(id, outcome.best_changed);
    if (outcome.best_changed || outcome.usable_changed)
        changed_.push_back(id);
    if (entry.paths.empty())
        table_.let_go(id);
}

template <typename P>
void Rib<P>::forget_changed()
{
    changed_.clear();
    table_.bury(kBuriedATurn);
}

template <typename P>
std::size_t Rib<P>::work_on_sweep(std::size_t budget)
{
    if (sweep_left_ == 0)
        return 0;
    std::size_t used = 0;
    std::size_t visits = budget * kVisitsADecision;
    for (; used < budget && visits > 0 && sweep_left_ > 0; --sweep_left_) {
        if (sweep_at_ >= sweep_end_) // not the table's: what was added since is fresh
            sweep_at_ = 0;
        const std::size_t paths = table_.at(sweep_at_).paths.all().size();
        visits -= std::min(visits, std::max<std::size_t>(1, paths));
        used += sweep_one(sweep_at_++);
    }
    if (sweep_left_ == 0)
        finish_sweep();
    return used;
}

template <typename P>
bool Rib<P>::is_swept(const Path& path) const
{
    return is_before(path.generation, peers_[path.peer].oldest_kept);
}

template <typename P>
std::size_t Rib<P>::sweep_one(EntryId id)
{
    Paths& paths = table_.at(id).paths;
    std::size_t removed = 0;
    for (std::size_t at = paths.all().size(); at-- > 0;) { // what moves up was seen already
        Path& path = paths.all()[at];
        if (!is_swept(path))
            continue;
        erase(id, path);
        ++removed;
    }
    return removed + judge_again(id);
}

template <typename P>
std::size_t Rib<P>::judge_again(EntryId id)
{
    std::size_t judged = 0;
    for (Path& path : table_.at(id).paths.all()) {
        if (!is_doubtful(path))
            continue;
        accept(path, table_.at(id).prefix);
        touch(id);
        ++judged;
    }
    return judged;
}

// A peer on a link of ours may have told a link-local IPv6 next hop beside the global one (RFC 2545), to
// which that link leads.
template <typename P>
bool Rib<P>::has_way(const Path& path) const
{
    const Ip& hop = path.received->next_hop;
    return !next_hops_ || next_hops_->is_reachable(hop) ||
           (!hop.is_v4() && peers_[path.peer].traits.interface != 0);
}

// By what it was judged has changed since.
template <typename P>
bool Rib<P>::is_doubtful(const Path& path) const
{
    if (path.peer == kOurselves)
        return false;
    if (peers_[path.peer].policy_changed)
        return true;
    if (!next_hops_changed_)
        return false;
    return has_way(path) ? path.rejected == Rejection::NoWay : path.accepted != nullptr;
}

template <typename P>
void Rib<P>::finish_sweep()
{
    next_hops_changed_ = false;
    for (Peer& peer : peers_) {
        peer.policy_changed = false;
        peer.oldest_left = peer.oldest_kept;
        if (peer.removed && peer.count == 0)
            peer = Peer{};
    }
}

template <typename P>
std::vector<Candidate> Rib<P>::candidates(std::span<const Path> paths) const
{
    std::vector<Candidate> candidates;
    for (const Path& path : paths) {
        const PeerTraits& from = peers_[path.peer].traits;
        if (path.accepted)
            candidates.push_back({path.accepted.get(), path.peer == kOurselves, from.internal,
                                  from.identifier, from.address,
                                  path_ids_.name_of(path.id).received});
    }
    return candidates;
}

template <typename P>
typename Rib<P>::Outcome Rib<P>::choose(typename Table::Entry& entry) const
{
    Outcome outcome;
    const Loss lost = std::exchange(entry.lost, Loss::Nothing);
    outcome.path_changed = lost >= Loss::Path;
    outcome.usable_changed = lost >= Loss::UsablePath;
    outcome.best_changed = lost >= Loss::Best;
    const auto set = [&outcome](Path& path, bool best, bool usable) {
        const bool replaced = path.replaced;
        path.replaced = false;
        outcome.path_changed |= replaced;
        outcome.best_changed |= path.best != best || (best && replaced);
        outcome.usable_changed |= path.usable != usable || (usable && replaced);
        path.best = best;
        path.usable = usable;
    };
    const std::span<Path> paths = entry.paths.all();
    if (paths.size() == 1) { // by far the most frequent
        const bool accepted = static_cast<bool>(paths[0].accepted);
        set(paths[0], accepted, accepted);
        return outcome;
    }
    const std::vector<Step> steps = bgp::decide(candidates(paths));
    auto step = steps.begin();
    for (Path& path : paths) {
        if (!path.accepted) {
            set(path, false, false);
            continue;
        }
        set(path, *step == Step::Best, usable_beside_best(*step));
        ++step;
    }
    return outcome;
}

template <typename P>
std::vector<std::optional<Step>> Rib<P>::explain(const Paths& paths) const
{
    const std::vector<Step> steps = bgp::decide(candidates(paths.all()));
    std::vector<std::optional<Step>> result;
    auto step = steps.begin();
    for (const Path& path : paths.all())
        result.push_back(path.accepted ? std::optional(*step++) : std::nullopt);
    return result;
}

template class Rib<Prefix4>;
template class Rib<Prefix6>;

} // namespace margay::bgp
