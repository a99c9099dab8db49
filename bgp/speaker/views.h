// SPDX-License-Identifier: Apache-2.0
// Views: what people are shown of a speaker's tables, whole or in portions, with the names of the peers.

#pragma once

#include "bgp/speaker/peer_set.h"

namespace margay::bgp {

class Views {
public:
    Views(const PeerSet& peers, const Tables<Prefix4>& ipv4, const Tables<Prefix6>& ipv6)
        : peers_(peers), ipv4_(ipv4), ipv6_(ipv6)
    {
    }

    std::vector<PeerStatus> peers() const;
    std::vector<RouteView> routes() const;
    std::vector<ExportedView> routes_to(const std::string& name) const;
    Portion<RouteView> routes(const RouteQuery& query, RouteCursor from) const;
    Portion<ExportedView> routes_to(const std::string& name, const RouteQuery& query,
                                    RouteCursor from) const;
    TableCounts counts(std::size_t attribute_sets) const;

private:
    template <typename View>
    void name_peers(std::vector<View>& views) const;
    template <typename P>
    std::optional<WalkQuery<P>> walk_query(const RouteQuery& query) const;
    template <typename View, typename Walk>
    Portion<View> portion(const RouteQuery& query, RouteCursor from, const Walk& walk) const;
    template <typename P>
    TableCounts::Family count(const Tables<P>& tables) const;
    template <typename P>
    const Tables<P>& tables() const
    {
        return of_family<P>(ipv4_, ipv6_);
    }

    const PeerSet& peers_;
    const Tables<Prefix4>& ipv4_;
    const Tables<Prefix6>& ipv6_;
};

} // namespace margay::bgp
