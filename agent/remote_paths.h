// SPDX-License-Identifier: Apache-2.0
// RemotePaths: what was decided and planned for each remote prefix, and which plans are due again.
//
// Many prefixes share few decisions and plans, so next hops are watched by decision and not by
// prefix. News of a hop look through all prefixes for those that use it: neighbours change rarely,
// and 100,000 pointers are compared in less than a millisecond.

#pragma once

#include "agent/paths.h"
#include "agent/routing/join.h"
#include "margay/ip.h"

#include <boost/unordered/unordered_flat_map.hpp>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>

namespace margay {

using PlannedPathPtr = std::shared_ptr<const PlannedPath>;

class RemotePaths {
public:
    // Of next hops, for the first and after the last decision with it.
    using OnHop = std::function<void(Ipv4)>;
    RemotePaths(OnHop watch, OnHop unwatch) : watch_(std::move(watch)), unwatch_(std::move(unwatch))
    {
    }

    struct Path {
        routing::DecisionPtr decision; // null: nobody knows the prefix any more
        PlannedPathPtr plan;           // in force; null: none yet
        bool due = false;
    };

    // A new decision, null: none any more. Its plan is due.
    void decide(const Prefix4& prefix, routing::DecisionPtr decision);
    // Plans that something else has made doubtful.
    void set_due(const Prefix4& prefix);
    void set_due(std::span<const Ipv4> hops);
    void set_all_due();
    bool any_due() const { return !due_.empty(); }
    Prefix4 take_due(); // there is one

    void plan(const Prefix4& prefix, PlannedPathPtr plan);
    void erase(const Prefix4& prefix);

    const Path* find(const Prefix4& prefix) const;
    const PlannedPath* plan_of(const Prefix4& prefix) const;
    bool contains(const Prefix4& prefix) const { return plan_of(prefix) != nullptr; }
    std::size_t size() const { return paths_.size(); }
    std::map<Prefix4, PlannedPathPtr> plans() const; // for people

    bool leave_by(kernel::IfIndex device) const { return devices_.contains(device); }
    // Whether the first path by a device came or the last one went since the last call.
    bool take_devices_changed() { return std::exchange(devices_changed_, false); }

private:
    void set_due(const Prefix4& prefix, Path& path);
    void use(const routing::DecisionPtr& decision);
    void release(const routing::DecisionPtr& decision);
    void count(const PlannedPathPtr& plan, int change);

    OnHop watch_;
    OnHop unwatch_;
    boost::unordered_flat_map<Prefix4, Path, std::hash<Prefix4>> paths_;
    std::deque<Prefix4> due_;
    std::unordered_map<routing::DecisionPtr, std::size_t> uses_; // by how many prefixes
    std::map<Ipv4, std::size_t> hops_;                           // by how many decisions
    std::map<kernel::IfIndex, std::size_t> devices_;             // by how many plans of prefixes
    bool devices_changed_ = false;
};

} // namespace margay
