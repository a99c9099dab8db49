// SPDX-License-Identifier: Apache-2.0
#include "agent/remote_paths.h"

#include <boost/unordered/unordered_flat_set.hpp>

#include <algorithm>
#include <set>
#include <utility>

namespace margay {

void RemotePaths::decide(const Prefix4& prefix, routing::DecisionPtr decision)
{
    Path& path = paths_[prefix];
    use(decision); // first, so that a hop of both stays watched
    release(path.decision);
    path.decision = std::move(decision);
    set_due(prefix, path);
}

void RemotePaths::use(const routing::DecisionPtr& decision)
{
    if (!decision || ++uses_[decision] > 1)
        return;
    for (const Ipv4 hop : decision->next_hops)
        if (++hops_[hop] == 1)
            watch_(hop);
}

void RemotePaths::release(const routing::DecisionPtr& decision)
{
    if (!decision)
        return;
    const auto used = uses_.find(decision);
    if (--used->second > 0)
        return;
    uses_.erase(used);
    for (const Ipv4 hop : decision->next_hops) {
        const auto known = hops_.find(hop);
        if (--known->second > 0)
            continue;
        hops_.erase(known);
        unwatch_(hop);
    }
}

void RemotePaths::set_due(const Prefix4& prefix, Path& path)
{
    if (!std::exchange(path.due, true))
        due_.push_back(prefix);
}

void RemotePaths::set_due(const Prefix4& prefix)
{
    if (const auto known = paths_.find(prefix); known != paths_.end())
        set_due(prefix, known->second);
}

void RemotePaths::set_due(std::span<const Ipv4> hops)
{
    const boost::unordered_flat_set<Ipv4, std::hash<Ipv4>> news(hops.begin(), hops.end());
    std::set<const routing::Decision*> concerned;
    for (const auto& [decision, count] : uses_)
        if (std::ranges::any_of(decision->next_hops,
                                [&news](const Ipv4 hop) { return news.contains(hop); }))
            concerned.insert(decision.get());
    if (concerned.empty())
        return;
    for (auto& [prefix, path] : paths_)
        if (concerned.contains(path.decision.get()))
            set_due(prefix, path);
}

void RemotePaths::set_all_due()
{
    for (auto& [prefix, path] : paths_)
        set_due(prefix, path);
}

Prefix4 RemotePaths::take_due()
{
    const Prefix4 prefix = due_.front();
    due_.pop_front();
    paths_.find(prefix)->second.due = false;
    return prefix;
}

void RemotePaths::plan(const Prefix4& prefix, PlannedPathPtr plan)
{
    Path& path = paths_.find(prefix)->second;
    count(plan, 1);
    count(path.plan, -1);
    path.plan = std::move(plan);
}

void RemotePaths::erase(const Prefix4& prefix)
{
    const auto known = paths_.find(prefix);
    release(known->second.decision);
    count(known->second.plan, -1);
    paths_.erase(known);
}

void RemotePaths::count(const PlannedPathPtr& plan, int change)
{
    if (!plan)
        return;
    for (const datapath::PathWant& path : plan->route.paths) {
        const auto [device, first] = devices_.try_emplace(path.ifindex, 0);
        device->second += static_cast<std::size_t>(change);
        const bool last = device->second == 0;
        devices_changed_ |= first || last;
        if (last)
            devices_.erase(device);
    }
}

const RemotePaths::Path* RemotePaths::find(const Prefix4& prefix) const
{
    const auto known = paths_.find(prefix);
    return known == paths_.end() ? nullptr : &known->second;
}

const PlannedPath* RemotePaths::plan_of(const Prefix4& prefix) const
{
    const Path* path = find(prefix);
    return path == nullptr ? nullptr : path->plan.get();
}

std::map<Prefix4, PlannedPathPtr> RemotePaths::plans() const
{
    std::map<Prefix4, PlannedPathPtr> sorted;
    for (const auto& [prefix, path] : paths_)
        if (path.plan)
            sorted.emplace(prefix, path.plan);
    return sorted;
}

} // namespace margay
