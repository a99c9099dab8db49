// SPDX-License-Identifier: Apache-2.0
#include "agent/routing/join.h"

#include <algorithm>
#include <utility>

namespace margay::routing {

std::uint32_t learned_metric(std::uint32_t local_pref)
{
    constexpr std::uint32_t kHighest = 2147483647;
    return local_pref < kHighest ? kHighest - local_pref : 1;
}

void Join::set_owned(const Prefix4& prefix, std::optional<Owned> owned)
{
    if (!owned) {
        const auto known = facts_.find(prefix);
        if (known == facts_.end() || !known->second.owned)
            return;
        known->second.owned.reset();
        return touch(prefix, known->second);
    }
    Facts& facts = facts_[prefix];
    if (facts.owned && *facts.owned == *owned)
        return;
    facts.owned = std::make_unique<const Owned>(std::move(*owned));
    touch(prefix, facts);
}

void Join::begin_relearning()
{
    settled_ = false;
    for (auto& [prefix, facts] : facts_)
        facts.stale = facts.learned != nullptr;
    touch_all();
}

void Join::set_learned(const Prefix4& prefix, std::vector<Ipv4> next_hops, std::uint32_t local_pref)
{
    if (next_hops.empty()) {
        const auto known = facts_.find(prefix);
        if (known == facts_.end() || !known->second.learned)
            return;
        known->second.learned.reset();
        return touch(prefix, known->second);
    }
    std::ranges::sort(next_hops);
    LearnedPtr learned = learned_.get({std::move(next_hops), local_pref});
    Facts& facts = facts_[prefix];
    facts.stale = false;
    if (facts.learned == learned)
        return;
    facts.learned = std::move(learned);
    touch(prefix, facts);
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
    last_learned_.reset();
    for (auto& [prefix, facts] : facts_)
        if (!facts.owned && facts.learned &&
            std::ranges::binary_search(facts.learned->next_hops, address))
            touch(prefix, facts);
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
    for (auto& [prefix, facts] : facts_)
        if (std::exchange(facts.stale, false))
            facts.learned.reset();
    touch_all();
}

void Join::touch(const Prefix4& prefix, Facts& facts)
{
    if (!std::exchange(facts.touched, true))
        touched_.push_back(prefix);
}

void Join::touch_all()
{
    for (auto& [prefix, facts] : facts_)
        touch(prefix, facts);
}

const Decision* Join::find(const Prefix4& prefix) const
{
    const auto known = facts_.find(prefix);
    return known == facts_.end() ? nullptr : known->second.told.get();
}

Decision Join::decide_owned(const Facts& facts) const
{
    Decision decision;
    decision.owned = true;
    decision.node = facts.owned->node;
    decision.node_address = facts.owned->node_address;
    decision.by_bgp = facts.learned != nullptr;
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
        decision.next_hops = decision.by_bgp ? facts.learned->next_hops
                                             : std::vector<Ipv4>{facts.owned->node_address};
    }
    decision.why = decision.by_bgp ? "bgp" : peer ? "datastore, bgp not settled" : "datastore";
    return decision;
}

Decision Join::decide_learned(const Prefix4& prefix, const Learned& learned) const
{
    Decision decision;
    decision.by_bgp = true;
    decision.why = "bgp, not in the datastore";
    decision.metric = learned_metric(learned.local_pref);
    decision.reach = Decision::Reach::Routed;
    decision.next_hops = learned.next_hops;
    const auto node = std::ranges::find_if(
        learned.next_hops, [this](const Ipv4& hop) { return nodes_.contains(hop); });
    if (node == learned.next_hops.end())
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

DecisionPtr Join::decide(const Prefix4& prefix, const Facts& facts)
{
    if (facts.owned)
        return decisions_.get(decide_owned(facts));
    if (facts.learned == last_learned_)
        return last_decision_;
    DecisionPtr decision = decisions_.get(decide_learned(prefix, *facts.learned));
    if (decision->node.empty()) { // by way of a node the pool of the prefix counts as well
        last_learned_ = facts.learned;
        last_decision_ = decision;
    }
    return decision;
}

std::vector<Change> Join::take_changes(std::size_t budget)
{
    std::vector<Change> changes;
    changes.reserve(std::min(budget, touched_.size()));
    for (; budget > 0 && !touched_.empty(); --budget) {
        const Prefix4 prefix = touched_.front();
        touched_.pop_front();
        const auto known = facts_.find(prefix);
        Facts& facts = known->second;
        facts.touched = false;
        DecisionPtr decision = facts.owned || facts.learned ? decide(prefix, facts) : nullptr;
        if (facts.told != decision) {
            facts.told = decision;
            changes.push_back({prefix, std::move(decision)});
        }
        if (!facts.told)
            facts_.erase(known);
    }
    return changes;
}

std::size_t Join::HashOf::operator()(const Learned& learned) const
{
    std::size_t hash = learned.local_pref;
    for (const Ipv4 hop : learned.next_hops)
        hash = hash * 31 + std::hash<Ipv4>()(hop);
    return hash;
}

std::size_t Join::HashOf::operator()(const Decision& decision) const
{
    std::size_t hash = decision.metric + (decision.owned ? 1 : 0) + (decision.tunnelled ? 2 : 0);
    for (const Ipv4 hop : decision.next_hops)
        hash = hash * 31 + std::hash<Ipv4>()(hop);
    return hash * 31 + std::hash<std::string>()(decision.node);
}

} // namespace margay::routing
