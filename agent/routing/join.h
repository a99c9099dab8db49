// SPDX-License-Identifier: Apache-2.0
// Join: what the datastore says of a prefix and what BGP says of it, as one decision.
//
// The datastore says which node owns a prefix and whether its pool is tunnelled; BGP says whether
// the node can be reached (DESIGN.md, decision of 2026-11-23). Rules, first match wins:
//   1. owned, and a BGP path is known: reachable. Tunnelled to the owner's address; untunnelled
//      by the BGP next hops, which differ from the owner where routers take part.
//   2. owned by a node that is no BGP peer of ours: reachable, by the datastore alone.
//   3. owned, and BGP has not settled since this process started: as 2, so that a restart changes
//      nothing until it knows better.
//   4. owned by a peer that announces nothing though its pool is announced: unreachable.
//   5. not owned, BGP path whose next hop is a node, in a tunnelled pool: tunnelled to that node.
//   6. not owned, any other BGP path: routed by its next hops.
//
// Pure: set_*() state facts and mark prefixes, take_changes() gives their new decisions once.

#pragma once

#include "margay/ip.h"

#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace margay::routing {

// A remote prefix as the datastore has it.
struct Owned {
    std::string node{};
    Ipv4 node_address{};
    bool tunnelled = false;
    bool announced = true; // false: its pool is kept from BGP, so silence says nothing

    bool operator==(const Owned&) const = default;
};

struct Decision {
    enum class Reach { Tunnel, Routed, Unreachable };
    Reach reach = Reach::Unreachable;
    std::string node{};                 // owner, or the node that announced it; may be empty
    std::optional<Ipv4> node_address{}; // its address: who may send from the prefix
    std::vector<Ipv4> next_hops{};      // Tunnel: the node's address, one. Sorted.
    bool by_bgp = false;                // a BGP path backs it
    bool tunnelled = false;   // its packets come in the tunnel, whether it is reachable or not
    bool owned = false;       // the datastore knows the prefix
    std::uint32_t metric = 0; // in the kernel's table
    std::string why{};        // for people

    bool operator==(const Decision&) const = default;
};

struct Change {
    Prefix4 prefix;
    std::optional<Decision> decision; // nullopt: nobody knows the prefix any more
};

class Join {
public:
    void set_owned(const Prefix4& prefix, std::optional<Owned> owned);
    // No next hops: withdrawn.
    void set_learned(const Prefix4& prefix, std::vector<Ipv4> next_hops,
                     std::uint32_t local_pref = 100);
    // A new speaker begins: what was learned stays until it has settled, then goes unless told
    // again.
    void begin_relearning();
    // Addresses of the nodes with which we are configured to have a session, up or down.
    void set_peers(std::set<Ipv4> addresses);
    void set_node(Ipv4 address, std::optional<std::string> name);
    // Pools with ipipMode Always or CrossSubnet, for prefixes that only BGP knows.
    void set_tunnelled_pools(std::vector<Prefix4> pools);
    void set_bgp_settled();
    bool bgp_settled() const { return settled_; }

    // At most so many; the others are for the next call.
    std::vector<Change> take_changes(std::size_t budget = std::numeric_limits<std::size_t>::max());
    bool pending() const { return !touched_.empty(); }
    const std::map<Prefix4, Decision>& decisions() const { return decisions_; }

private:
    struct Facts {
        std::optional<Owned> owned;
        std::vector<Ipv4> learned;
        std::uint32_t local_pref = 0;
    };
    Decision decide(const Prefix4& prefix, const Facts& facts) const;
    Decision decide_owned(const Facts& facts) const;
    Decision decide_learned(const Prefix4& prefix, const Facts& facts) const;
    void drop_if_empty(const Prefix4& prefix);
    void touch_all();

    std::map<Prefix4, Facts> facts_;
    std::map<Prefix4, Decision> decisions_; // as told by take_changes()
    std::set<Prefix4> touched_;
    std::set<Prefix4> stale_; // learned from a speaker before this one
    std::set<Ipv4> peers_;
    std::map<Ipv4, std::string> nodes_;
    std::vector<Prefix4> tunnelled_pools_;
    bool settled_ = false;
};

} // namespace margay::routing
