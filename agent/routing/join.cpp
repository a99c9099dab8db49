// SPDX-License-Identifier: Apache-2.0
#include "agent/routing/join.h"

#include <algorithm>
#include <utility>

namespace margay::routing {

void Join::set_owned(const Prefix4& prefix, std::optional<Owned> owned)
{
    Facts& facts = facts_[prefix];
    if (facts.owned != owned) {
        facts.owned = std::move(owned);
        touched_.insert(prefix);
    }
    drop_if_empty(prefix);
}

void Join::begin_relearning()
{
    settled_ = false;
    for (const auto& [prefix, facts] : facts_)
        if (!facts.learned.empty())
            stale_.insert(prefix);
    touch_all();
}

void Join::set_learned(const Prefix4& prefix, std::vector<Ipv4> next_hops, std::uint32_t local_pref)
{
    stale_.erase(prefix);
    std::ranges::sort(next_hops);
    Facts& facts = facts_[prefix];
    if (facts.learned != next_hops || facts.local_pref != local_pref) {
        facts.learned = std::move(next_hops);
        facts.local_pref = local_pref;
        touched_.insert(prefix);
    }
    drop_if_empty(prefix);
}

void Join::set_peers(std::set<Ipv4> addresses)
{
    if (peers_ == addresses)
        return;
    peers_ = std::move(addresses);
    touch_all();
}

void Join::set_node(Ipv4 address, std::optional<std::string> name)
{
    if (name)
        nodes_[address] = *name;
    else
        nodes_.erase(address);
    for (const auto& [prefix, facts] : facts_)
        if (!facts.owned && std::ranges::find(facts.learned, address) != facts.learned.end())
            touched_.insert(prefix);
}

void Join::set_tunnelled_pools(std::vector<Prefix4> pools)
{
    if (tunnelled_pools_ == pools)
        return;
    tunnelled_pools_ = std::move(pools);
    touch_all();
}

void Join::set_bgp_settled()
{
    if (settled_)
        return;
    settled_ = true;
    for (const Prefix4& prefix : std::exchange(stale_, {}))
        set_learned(prefix, {});
    touch_all();
}

void Join::drop_if_empty(const Prefix4& prefix)
{
    const auto it = facts_.find(prefix);
    if (it != facts_.end() && !it->second.owned && it->second.learned.empty())
        facts_.erase(it);
}

void Join::touch_all()
{
    for (const auto& [prefix, facts] : facts_)
        touched_.insert(prefix);
}

Decision Join::decide_owned(const Facts& facts) const
{
    Decision decision;
    decision.owned = true;
    decision.node = facts.owned->node;
    decision.node_address = facts.owned->node_address;
    decision.by_bgp = !facts.learned.empty();
    decision.tunnelled = facts.owned->tunnelled;
    const bool peer = peers_.contains(facts.owned->node_address);
    if (!decision.by_bgp && peer && settled_ && facts.owned->announced) {
        decision.why = "node " + decision.node + " (" + facts.owned->node_address.str() +
                       ") does not announce it; see margayctl bgp peers";
        return decision;
    }
    if (facts.owned->tunnelled) {
        decision.reach = Decision::Reach::Tunnel;
        decision.next_hops = {facts.owned->node_address};
    } else {
        decision.reach = Decision::Reach::Routed;
        decision.next_hops =
            decision.by_bgp ? facts.learned : std::vector<Ipv4>{facts.owned->node_address};
    }
    decision.why = decision.by_bgp ? "bgp" : peer ? "datastore, bgp not settled" : "datastore";
    return decision;
}

Decision Join::decide_learned(const Prefix4& prefix, const Facts& facts) const
{
    Decision decision;
    decision.by_bgp = true;
    decision.why = "bgp, not in the datastore";
    // As the routes of a kernel that BIRD fills under Calico: never better than the host's own.
    constexpr std::uint32_t kHighest = 2147483647;
    decision.metric = facts.local_pref < kHighest ? kHighest - facts.local_pref : 1;
    decision.reach = Decision::Reach::Routed;
    decision.next_hops = facts.learned;
    const auto node = std::ranges::find_if(
        facts.learned, [this](const Ipv4& hop) { return nodes_.contains(hop); });
    if (node == facts.learned.end())
        return decision;
    decision.node = nodes_.at(*node);
    decision.node_address = *node;
    const bool tunnelled = std::ranges::any_of(
        tunnelled_pools_, [&](const Prefix4& pool) { return pool.contains(prefix); });
    if (tunnelled) {
        decision.reach = Decision::Reach::Tunnel;
        decision.tunnelled = true;
        decision.next_hops = {*node};
    }
    return decision;
}

Decision Join::decide(const Prefix4& prefix, const Facts& facts) const
{
    return facts.owned ? decide_owned(facts) : decide_learned(prefix, facts);
}

std::vector<Change> Join::take_changes(std::size_t budget)
{
    std::vector<Change> changes;
    for (; budget > 0 && !touched_.empty(); --budget) {
        const Prefix4 prefix = touched_.extract(touched_.begin()).value();
        const auto facts = facts_.find(prefix);
        if (facts == facts_.end()) {
            if (decisions_.erase(prefix) > 0)
                changes.push_back({prefix, std::nullopt});
            continue;
        }
        Decision decision = decide(prefix, facts->second);
        const auto [known, added] = decisions_.try_emplace(prefix, decision);
        if (!added && known->second == decision)
            continue;
        known->second = decision;
        changes.push_back({prefix, std::move(decision)});
    }
    return changes;
}

} // namespace margay::routing
