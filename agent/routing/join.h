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

#include "margay/interner.h"
#include "margay/ip.h"

#include <boost/unordered/unordered_flat_map.hpp>

#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace margay::routing {

// In the kernel's table, of what only BGP knows: as BIRD's under Calico, never better than the host's own.
std::uint32_t learned_metric(std::uint32_t local_pref);

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
    std::string node{}; // owner, or the node that announced it; may be empty
    std::optional<Ipv4> node_address{}; // its address: who may send from the prefix
    std::vector<Ipv4> next_hops{}; // Tunnel: the node's address, one. Sorted.
    bool by_bgp = false; // a BGP path backs it
    bool tunnelled = false; // its packets come in the tunnel, whether it is reachable or not
    bool owned = false; // the datastore knows the prefix
    std::uint32_t metric = 0; // in the kernel's table
    std::string why{}; // for people

    bool operator==(const Decision&) const = default;
};

// Prefixes that are reached alike share one; while it is held, others are equal if and only if they
// are at the same address.
using DecisionPtr = std::shared_ptr<const Decision>;

struct Change {
    Prefix4 prefix;
    DecisionPtr decision; // null: nobody knows the prefix any more
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
    // As told by take_changes(); nullptr: not, or that nobody knows it.
    const Decision* find(const Prefix4& prefix) const;

private:
    struct Learned {
        std::vector<Ipv4> next_hops; // sorted, not empty
        std::uint32_t local_pref = 0;
        bool operator==(const Learned&) const = default;
    };
    using LearnedPtr = std::shared_ptr<const Learned>;
    struct Facts {
        std::unique_ptr<const Owned> owned;
        LearnedPtr learned;
        DecisionPtr told;
        bool touched = false; // in touched_
        bool stale = false; // learned from a speaker before this one
    };
    struct HashOf {
        std::size_t operator()(const Learned& learned) const;
        std::size_t operator()(const Decision& decision) const;
    };

    DecisionPtr decide(const Prefix4& prefix, const Facts& facts);
    Decision decide_owned(const Facts& facts) const;
    Decision decide_learned(const Prefix4& prefix, const Learned& learned) const;
    void touch(const Prefix4& prefix, Facts& facts);
    void touch_all();

    boost::unordered_flat_map<Prefix4, Facts, std::hash<Prefix4>> facts_;
    std::deque<Prefix4> touched_;
    Interner<Learned, HashOf> learned_;
    Interner<Decision, HashOf> decisions_;
    // The last decision that was made of what is learned alone: it holds for the next prefix, too.
    LearnedPtr last_learned_;
    DecisionPtr last_decision_;
    std::set<Ipv4> peers_;
    std::map<Ipv4, std::string> nodes_;
    std::vector<Prefix4> tunnelled_pools_;
    bool settled_ = false;
};

} // namespace margay::routing
