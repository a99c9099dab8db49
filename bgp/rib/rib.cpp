// SPDX-License-Identifier: Apache-2.0
#include "bgp/rib/rib.h"

#include <algorithm>
#include <limits>

namespace margay::bgp {
namespace {

constexpr std::size_t kVisitsADecision =
    16; // entries that a sweep looks at cost less than a decision
constexpr std::size_t kBuriedATurn = 16384;
constexpr std::size_t kDecidedKept = 65536; // numbers at the queue's front that are done with

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
    case Rejection::ImportFilter:
        return "rejected by the import filter";
    }
    return "";
}

Rib::Rib(const RibConfig& config) : config_(config), peers_(1)
{
    peers_[kOurselves].used = true;
}

// ---- Sessions ----------------------------------------------------------------------------------

std::optional<PeerId> Rib::add_peer()
{
    std::size_t id = 1;
    while (id < peers_.size() && peers_[id].used)
        ++id;
    if (id == std::numeric_limits<PeerId>::max())
        return std::nullopt;
    if (id == peers_.size())
        peers_.emplace_back();
    peers_[id] = Peer{};
    peers_[id].used = true;
    return static_cast<PeerId>(id);
}

void Rib::peer_up(PeerId peer, const PeerTraits& traits)
{
    Peer& state = peers_[peer];
    if (state.traits == traits)
        return;
    state.traits = traits;
    if (state.count > 0)
        drop(peer); // they were judged by what is no longer so
    state.traits_since = state.generation;
}

void Rib::mark_stale(PeerId peer)
{
    sweep(peer); // of what an earlier session left behind
    ++peers_[peer].generation;
}

void Rib::sweep(PeerId peer)
{
    peers_[peer].oldest_kept = peers_[peer].generation;
    sweep_left_ = table_.end();
}

void Rib::drop(PeerId peer)
{
    ++peers_[peer].generation;
    sweep(peer);
}

void Rib::remove(PeerId peer)
{
    drop(peer);
    peers_[peer].removed = true;
    if (sweep_left_ == 0)
        finish_sweep();
}

// ---- Routes ------------------------------------------------------------------------------------

bool Rib::learn(PeerId peer, const Prefix4& prefix, const AttributesPtr& attributes)
{
    const EntryId id = table_.find_or_add(prefix);
    if (id == kNoEntry)
        return false;
    Paths& paths = table_.at(id).paths;
    Path* path = paths.find(peer);
    if (path && path->received == attributes && is_as_known(*path)) {
        path->generation = peers_[peer].generation;
        return true;
    }
    if (!path) {
        path = &paths.add();
        path->peer = peer;
        ++peers_[peer].count;
    }
    path->replaced |= !is_as_known(*path);
    path->generation = peers_[peer].generation;
    path->received = attributes;
    accept(*path, prefix);
    touch(id);
    return true;
}

// Judged by what its peer still is.
bool Rib::is_as_known(const Path& path) const
{
    return static_cast<std::int16_t>(path.generation - peers_[path.peer].traits_since) >= 0;
}

void Rib::withdraw(PeerId peer, const Prefix4& prefix)
{
    const EntryId id = table_.find(prefix);
    if (id == kNoEntry)
        return;
    if (Path* path = table_.at(id).paths.find(peer))
        erase(id, *path);
}

void Rib::erase(EntryId id, Path& path)
{
    auto& entry = table_.at(id);
    entry.lost |= path.usable;
    entry.lost_best |= path.best;
    --peers_[path.peer].count;
    entry.paths.remove(path);
    touch(id);
}

bool Rib::announce(const Prefix4& prefix, const AttributesPtr& attributes)
{
    return learn(kOurselves, prefix, attributes);
}

void Rib::set_import_policy(ImportPolicy policy)
{
    import_ = std::move(policy);
    for (EntryId id = 0; id < table_.end(); ++id) {
        for (Path& path : table_.at(id).paths.all()) {
            accept(path, table_.at(id).prefix);
            touch(id);
        }
    }
}

void Rib::accept(Path& path, const Prefix4& prefix) const
{
    const AttributesPtr before = path.accepted;
    judge(path, prefix);
    path.replaced |= path.accepted != before;
}

void Rib::judge(Path& path, const Prefix4& prefix) const
{
    path.rejected = path.peer == kOurselves ? Rejection::None : loop(path);
    path.accepted = path.rejected == Rejection::None ? path.received : nullptr;
    if (!path.accepted || path.peer == kOurselves || !import_)
        return;
    path.accepted = import_(path.peer, prefix, path.received);
    if (!path.accepted)
        path.rejected = Rejection::ImportFilter;
}

Rejection Rib::loop(const Path& path) const
{
    const AttributeSet& attributes = *path.received;
    if (path_contains(attributes.as_path(), config_.local_as))
        return Rejection::AsLoop;
    if (attributes.originator_id == config_.router_id)
        return Rejection::Originator;
    if (attributes.cluster_count > 0 &&
        cluster_list_contains(attributes.octets(), config_.cluster_id))
        return Rejection::ClusterLoop;
    if (attributes.next_hop == Ip(peers_[path.peer].traits.local_address))
        return Rejection::OwnNextHop;
    return Rejection::None;
}

// ---- Work --------------------------------------------------------------------------------------

void Rib::touch(EntryId id)
{
    if (std::exchange(table_.at(id).dirty, true))
        return;
    dirty_.push_back(id);
}

void Rib::work(std::size_t budget)
{
    budget -= std::min(budget, work_on_sweep(budget));
    for (; budget > 0 && dirty_at_ < dirty_.size(); --budget, ++done_)
        decide(dirty_[dirty_at_++]);
    if (dirty_at_ == dirty_.size() || dirty_at_ >= kDecidedKept) {
        dirty_.erase(dirty_.begin(), dirty_.begin() + static_cast<std::ptrdiff_t>(dirty_at_));
        dirty_at_ = 0;
    }
}

void Rib::decide(EntryId id)
{
    auto& entry = table_.at(id);
    if (!std::exchange(entry.dirty, false))
        return; // decided out of turn
    const Outcome outcome = choose(entry);
    if (outcome.best_changed)
        table_.note_change(id);
    if (outcome.best_changed || outcome.usable_changed)
        changed_.push_back(id);
    if (entry.paths.empty())
        table_.let_go(id);
}

void Rib::forget_changed()
{
    changed_.clear();
    table_.bury(kBuriedATurn);
}

std::size_t Rib::work_on_sweep(std::size_t budget)
{
    if (sweep_left_ == 0)
        return 0;
    std::size_t used = 0;
    std::size_t visits = budget * kVisitsADecision;
    for (; used < budget && visits > 0 && sweep_left_ > 0; --visits, --sweep_left_) {
        if (sweep_at_ >= table_.end())
            sweep_at_ = 0;
        used += sweep_one(sweep_at_++);
    }
    if (sweep_left_ == 0)
        finish_sweep();
    return used;
}

bool Rib::is_swept(const Path& path) const
{
    const auto age = static_cast<std::int16_t>(peers_[path.peer].oldest_kept - path.generation);
    return age > 0;
}

std::size_t Rib::sweep_one(EntryId id)
{
    Paths& paths = table_.at(id).paths;
    std::size_t removed = 0;
    for (;;) {
        const auto all = paths.all();
        const auto found = std::ranges::find_if(all, [this](const Path& p) { return is_swept(p); });
        if (found == all.end())
            return removed;
        erase(id, *found);
        ++removed;
    }
}

void Rib::finish_sweep()
{
    for (Peer& peer : peers_)
        if (peer.removed && peer.count == 0)
            peer = Peer{};
}

std::vector<Candidate> Rib::candidates(std::span<const Path> paths) const
{
    std::vector<Candidate> candidates;
    for (const Path& path : paths) {
        const PeerTraits& from = peers_[path.peer].traits;
        if (path.accepted)
            candidates.push_back({path.accepted.get(), path.peer == kOurselves, from.internal,
                                  from.identifier, from.address});
    }
    return candidates;
}

Rib::Outcome Rib::choose(Table::Entry& entry) const
{
    Outcome outcome;
    outcome.usable_changed = std::exchange(entry.lost, false);
    outcome.best_changed = std::exchange(entry.lost_best, false);
    const auto set = [&outcome](Path& path, bool best, bool usable) {
        const bool replaced = std::exchange(path.replaced, false);
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

std::vector<std::optional<Step>> Rib::explain(const Paths& paths) const
{
    const std::vector<Step> steps = bgp::decide(candidates(paths.all()));
    std::vector<std::optional<Step>> result;
    auto step = steps.begin();
    for (const Path& path : paths.all())
        result.push_back(path.accepted ? std::optional(*step++) : std::nullopt);
    return result;
}

} // namespace margay::bgp
