// SPDX-License-Identifier: Apache-2.0
#include "bgp/rib/rib.h"

#include <algorithm>

namespace margay::bgp {

// ---- Sessions ----------------------------------------------------------------------------------

void Rib::peer_up(PeerId peer, const PeerTraits& traits)
{
    Peer& state = peers_[peer];
    state.traits = traits;
    state.removed = false;
}

void Rib::mark_stale(PeerId peer)
{
    sweep(peer); // of what an earlier session left behind
    ++peers_[peer].generation;
}

void Rib::sweep(PeerId peer)
{
    const auto found = peers_.find(peer);
    if (found == peers_.end())
        return;
    const auto& prefixes = found->second.prefixes;
    sweeps_.push_back({peer, found->second.generation, {prefixes.begin(), prefixes.end()}});
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
}

// ---- Routes ------------------------------------------------------------------------------------

void Rib::learn(PeerId peer, const Prefix4& prefix, AttributesPtr attributes)
{
    Peer& from = peers_[peer];
    auto& paths = entries_[prefix].paths;
    auto path = std::ranges::find(paths, peer, &Path::peer);
    if (path == paths.end()) {
        path = paths.insert(paths.end(), Path{});
        from.prefixes.insert(prefix);
    }
    path->peer = peer;
    path->generation = from.generation;
    path->received = std::move(attributes);
    accept(*path, prefix);
    touch(prefix);
}

void Rib::withdraw(PeerId peer, const Prefix4& prefix)
{
    const auto entry = entries_.find(prefix);
    if (entry == entries_.end())
        return;
    if (std::erase_if(entry->second.paths, [&](const Path& p) { return p.peer == peer; }) == 0)
        return;
    peers_[peer].prefixes.erase(prefix);
    touch(prefix);
}

void Rib::announce(const Prefix4& prefix, AttributesPtr attributes)
{
    learn(kOurselves, prefix, std::move(attributes));
}

void Rib::set_import_policy(ImportPolicy policy)
{
    import_ = std::move(policy);
    for (auto& [prefix, entry] : entries_) {
        for (Path& path : entry.paths)
            accept(path, prefix);
        touch(prefix);
    }
}

// Loop detection comes before policy: no filter can let a loop in.
void Rib::accept(Path& path, const Prefix4& prefix) const
{
    path.rejected = path.peer == kOurselves ? nullptr : loop(path);
    path.accepted = path.rejected ? nullptr : path.received;
    if (!path.accepted || path.peer == kOurselves || !import_)
        return;
    path.accepted = import_(path.peer, prefix, path.received);
    if (!path.accepted)
        path.rejected = "rejected by the import filter";
}

const char* Rib::loop(const Path& path) const
{
    const Attributes& attributes = *path.received;
    if (attributes.as_path.contains(config_.local_as))
        return "our own AS is in the path"; // RFC 4271 9.1.2
    if (attributes.originator_id == config_.router_id)
        return "we are its originator"; // RFC 4456 section 8
    const PeerTraits* from = traits(path.peer);
    if (from && attributes.next_hop == from->local_address)
        return "its next hop is our own address"; // RFC 4271 5.1.3
    return nullptr;
}

// ---- Work --------------------------------------------------------------------------------------

void Rib::touch(const Prefix4& prefix)
{
    if (is_dirty_.insert(prefix).second)
        dirty_.push_back(prefix);
}

bool Rib::has_work() const
{
    return !dirty_.empty() || !sweeps_.empty();
}

void Rib::work(std::size_t budget, std::vector<Prefix4>& changed)
{
    budget -= work_on_sweeps(budget);
    for (; budget > 0 && !dirty_.empty(); --budget) {
        const Prefix4 prefix = dirty_.front();
        dirty_.pop_front();
        is_dirty_.erase(prefix);
        const auto entry = entries_.find(prefix);
        if (entry == entries_.end())
            continue;
        if (choose(entry->second))
            changed.push_back(prefix);
        if (entry->second.paths.empty())
            entries_.erase(entry);
    }
}

std::size_t Rib::work_on_sweeps(std::size_t budget)
{
    std::size_t used = 0;
    while (used < budget && !sweeps_.empty()) {
        Sweep& sweep = sweeps_.front();
        for (; used < budget && !sweep.prefixes.empty(); ++used) {
            sweep_one(sweep, sweep.prefixes.back());
            sweep.prefixes.pop_back();
        }
        if (!sweep.prefixes.empty())
            break;
        finish(sweep);
        sweeps_.pop_front();
    }
    return used;
}

void Rib::sweep_one(const Sweep& sweep, const Prefix4& prefix)
{
    const auto entry = entries_.find(prefix);
    if (entry == entries_.end())
        return;
    const auto path = std::ranges::find(entry->second.paths, sweep.peer, &Path::peer);
    if (path != entry->second.paths.end() && path->generation < sweep.before)
        withdraw(sweep.peer, prefix);
}

void Rib::finish(const Sweep& sweep)
{
    const auto peer = peers_.find(sweep.peer);
    if (peer != peers_.end() && peer->second.removed && peer->second.prefixes.empty())
        peers_.erase(peer);
}

// True when the result is another than before.
bool Rib::choose(Entry& entry) const
{
    const std::vector<std::optional<Step>> steps = explain(entry);
    std::vector<Chosen> chosen;
    for (std::size_t i = 0; i < steps.size(); ++i) {
        if (!steps[i] || !usable_beside_best(*steps[i]))
            continue;
        const auto at = *steps[i] == Step::Best ? chosen.begin() : chosen.end();
        chosen.insert(at, Chosen{entry.paths[i].peer, entry.paths[i].accepted});
    }
    // Behind the best the order means nothing; make it the same whatever came first.
    if (chosen.size() > 2)
        std::sort(chosen.begin() + 1, chosen.end(),
                  [](const Chosen& a, const Chosen& b) { return a.peer < b.peer; });
    if (chosen == entry.chosen)
        return false;
    entry.chosen = std::move(chosen);
    return true;
}

std::vector<std::optional<Step>> Rib::explain(const Entry& entry) const
{
    std::vector<Candidate> candidates;
    std::vector<std::size_t> index;
    for (std::size_t i = 0; i < entry.paths.size(); ++i) {
        const Path& path = entry.paths[i];
        if (!path.accepted)
            continue;
        const PeerTraits& from = peers_.at(path.peer).traits;
        candidates.push_back({path.accepted.get(), path.peer == kOurselves, from.internal,
                              from.identifier, from.address});
        index.push_back(i);
    }
    const std::vector<Step> steps = decide(candidates);
    std::vector<std::optional<Step>> result(entry.paths.size());
    for (std::size_t i = 0; i < steps.size(); ++i)
        result[index[i]] = steps[i];
    return result;
}

// ---- Questions ---------------------------------------------------------------------------------

const Entry* Rib::find(const Prefix4& prefix) const
{
    const auto found = entries_.find(prefix);
    return found == entries_.end() ? nullptr : &found->second;
}

std::size_t Rib::count(PeerId peer) const
{
    const auto found = peers_.find(peer);
    return found == peers_.end() ? 0 : found->second.prefixes.size();
}

bool Rib::is_stale(const Path& path) const
{
    const auto found = peers_.find(path.peer);
    return found != peers_.end() && path.generation < found->second.generation;
}

const PeerTraits* Rib::traits(PeerId peer) const
{
    const auto found = peers_.find(peer);
    return found == peers_.end() ? nullptr : &found->second.traits;
}

} // namespace margay::bgp
