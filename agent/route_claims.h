// SPDX-License-Identifier: Apache-2.0
// RouteClaims: one data path route a prefix, out of several that may be wanted for it.
//
// A prefix can have more than one meaning at a time: a pool that is as large as one block, a node
// address inside a pool, a workload's address that moves between nodes. The strongest claim is in
// force; when it goes, the next one takes its place at once instead of a hole.
//
// What the data path refuses is due: the route before it stays in force, and retry() tries again.

#pragma once

#include "agent/datapath/routes.h"
#include "margay/ip.h"
#include "margay/result.h"

#include <functional>
#include <map>
#include <set>

namespace margay {

class RouteClaims {
public:
    enum class Layer { Pool, NodeAddress, Remote, Local, HostAddress }; // the last is strongest

    // `apply` gets the route now in force, or nullptr when nobody claims the prefix any more.
    using Apply = std::function<Status(const Prefix4&, const datapath::RouteWant*)>;
    explicit RouteClaims(Apply apply) : apply_(std::move(apply)) {}

    void want(Layer layer, const Prefix4& prefix, const datapath::RouteWant& route)
    {
        auto& claims = claims_[prefix];
        claims[layer] = route;
        settle(prefix, claims);
    }
    void forget(Layer layer, const Prefix4& prefix)
    {
        const auto claims = claims_.find(prefix);
        if (claims == claims_.end() || claims->second.erase(layer) == 0)
            return;
        settle(prefix, claims->second);
        if (claims->second.empty())
            claims_.erase(claims);
    }

    void retry()
    {
        for (const auto& prefix : std::set(due_))
            settle(prefix, claims_.at(prefix));
    }
    bool pending() const { return !due_.empty(); }

private:
    using Claims = std::map<Layer, datapath::RouteWant>;

    void settle(const Prefix4& prefix, const Claims& claims)
    {
        due_.erase(prefix);
        const auto known = in_force_.find(prefix);
        if (claims.empty()) {
            if (known == in_force_.end())
                return;
            in_force_.erase(known);
            (void)apply_(prefix, nullptr); // to forget cannot fail
            return;
        }
        const datapath::RouteWant& strongest = claims.rbegin()->second;
        if (known != in_force_.end() && known->second == strongest)
            return;
        if (apply_(prefix, &strongest))
            in_force_[prefix] = strongest;
        else
            due_.insert(prefix);
    }

    Apply apply_;
    std::map<Prefix4, Claims> claims_;
    std::map<Prefix4, datapath::RouteWant> in_force_; // what the data path took
    std::set<Prefix4> due_;
};

} // namespace margay
