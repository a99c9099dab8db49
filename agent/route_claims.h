// SPDX-License-Identifier: Apache-2.0
// RouteClaims: one data path route a prefix, out of several that may be wanted for it.
//
// A prefix can have more than one meaning at a time: a pool that is as large as one block, a node
// address inside a pool, a workload's address that moves between nodes. The strongest claim is in
// force; when it goes, the next one takes its place at once instead of a hole.

#pragma once

#include "agent/datapath/routes.h"
#include "margay/ip.h"

#include <functional>
#include <map>
#include <optional>

namespace margay {

class RouteClaims {
public:
    enum class Layer { Pool, NodeAddress, Remote, Local, HostAddress }; // the last is strongest

    // `apply` gets the route now in force, or nullptr when nobody claims the prefix any more.
    using Apply = std::function<void(const Prefix4&, const datapath::RouteWant*)>;
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

private:
    using Claims = std::map<Layer, datapath::RouteWant>;

    void settle(const Prefix4& prefix, const Claims& claims)
    {
        const auto known = in_force_.find(prefix);
        if (claims.empty()) {
            if (known == in_force_.end())
                return;
            in_force_.erase(known);
            apply_(prefix, nullptr);
            return;
        }
        const datapath::RouteWant& strongest = claims.rbegin()->second;
        if (known != in_force_.end() && known->second == strongest)
            return;
        in_force_[prefix] = strongest;
        apply_(prefix, &strongest);
    }

    Apply apply_;
    std::map<Prefix4, Claims> claims_;
    std::map<Prefix4, datapath::RouteWant> in_force_;
};

} // namespace margay
