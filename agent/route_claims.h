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

#include <boost/container/small_vector.hpp>
#include <boost/unordered/unordered_flat_map.hpp>

#include <algorithm>
#include <functional>
#include <memory>
#include <set>
#include <utility>

namespace margay {

using RouteWantPtr = std::shared_ptr<const datapath::RouteWant>; // prefixes may share one

class RouteClaims {
public:
    enum class Layer { Pool, NodeAddress, Remote, Local, HostAddress }; // the last is strongest

    // `apply` gets the route now in force, or nullptr when nobody claims the prefix any more.
    using Apply = std::function<Status(const Prefix4&, const datapath::RouteWant*)>;
    explicit RouteClaims(Apply apply) : apply_(std::move(apply)) {}

    void want(Layer layer, const Prefix4& prefix, const datapath::RouteWant& route)
    {
        want(layer, prefix, std::make_shared<const datapath::RouteWant>(route));
    }
    void want(Layer layer, const Prefix4& prefix, RouteWantPtr route)
    {
        Prefix& claimed = prefixes_[prefix];
        const auto place = std::ranges::lower_bound(claimed.claims, layer, {}, &Claim::first);
        if (place != claimed.claims.end() && place->first == layer)
            place->second = std::move(route);
        else
            claimed.claims.insert(place, Claim(layer, std::move(route)));
        settle(prefix, claimed);
    }
    void forget(Layer layer, const Prefix4& prefix)
    {
        const auto known = prefixes_.find(prefix);
        if (known == prefixes_.end())
            return;
        auto& claims = known->second.claims;
        const auto place = std::ranges::find(claims, layer, &Claim::first);
        if (place == claims.end())
            return;
        claims.erase(place);
        settle(prefix, known->second);
        if (claims.empty())
            prefixes_.erase(known);
    }

    void retry()
    {
        for (const auto& prefix : std::set(due_))
            settle(prefix, prefixes_.find(prefix)->second);
    }
    bool pending() const { return !due_.empty(); }

private:
    using Claim = std::pair<Layer, RouteWantPtr>;
    struct Prefix {
        boost::container::small_vector<Claim, 1> claims; // weakest first
        RouteWantPtr in_force;                           // what the data path took
    };

    void settle(const Prefix4& prefix, Prefix& claimed)
    {
        if (!due_.empty())
            due_.erase(prefix);
        if (claimed.claims.empty()) {
            if (std::exchange(claimed.in_force, nullptr))
                (void)apply_(prefix, nullptr); // to forget cannot fail
            return;
        }
        const RouteWantPtr& strongest = claimed.claims.back().second;
        if (claimed.in_force == strongest || (claimed.in_force && *claimed.in_force == *strongest))
            return;
        if (apply_(prefix, strongest.get()))
            claimed.in_force = strongest;
        else
            due_.insert(prefix);
    }

    Apply apply_;
    boost::unordered_flat_map<Prefix4, Prefix, std::hash<Prefix4>> prefixes_;
    std::set<Prefix4> due_;
};

} // namespace margay
