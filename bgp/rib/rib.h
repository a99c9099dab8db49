// SPDX-License-Identifier: Apache-2.0
// Rib: what every peer told us (Adj-RIB-In), what we announce, and what is used (Loc-RIB)
// (RFC 4271 3.2, 9.1).
//
// Changes are noted at once and judged later: work() runs the decision process for what is dirty,
// within a budget, and names the prefixes whose result has changed. So a burst of UPDATEs for one
// prefix costs one decision.
//
// Each path carries the generation of its peer's session. A path of an earlier generation is
// stale (RFC 4724): still used, replaced by the same prefix of the new session, and removed by
// sweep(), in bounded turns too. A session that ends for good is a new generation and a sweep.
//
// A path is kept as it was received and as the import policy left it, so that a new policy needs
// nothing from the peer.

#pragma once

#include "bgp/rib/decide.h"

#include <deque>
#include <functional>
#include <unordered_map>
#include <unordered_set>

namespace margay::bgp {

using PeerId = std::uint32_t;
inline constexpr PeerId kOurselves = 0;

struct PeerTraits {
    Ip address;
    Ipv4 identifier;
    bool internal = true;
    Ipv4 local_address; // ours, on this session: as a next hop it would be a loop
};

struct Path {
    PeerId peer = kOurselves;
    std::uint32_t generation = 0;
    AttributesPtr received;
    AttributesPtr accepted; // null: rejected by policy or by loop detection
    const char* rejected = nullptr;
};

// A path in use. The attributes stay alive for comparison after the path itself has gone.
struct Chosen {
    PeerId peer = kOurselves;
    AttributesPtr attributes;

    bool operator==(const Chosen& other) const
    {
        return peer == other.peer &&
               (attributes == other.attributes || *attributes == *other.attributes);
    }
};

struct Entry {
    std::vector<Path> paths;
    std::vector<Chosen> chosen; // the best first, then those that may be used beside it
};

struct RibConfig {
    Asn local_as;
    Ipv4 router_id;
};

class Rib {
public:
    using ImportPolicy = std::function<AttributesPtr(PeerId, const Prefix4&, const AttributesPtr&)>;

    explicit Rib(const RibConfig& config) : config_(config) {}

    // The peer's session is up; what it learns from now on is fresh.
    void peer_up(PeerId peer, const PeerTraits& traits);
    // Its routes become stale. Those that were stale already go (RFC 4724 4.2).
    void mark_stale(PeerId peer);
    // Removes what is stale now, in later work().
    void sweep(PeerId peer);
    // The session is over for good.
    void drop(PeerId peer);
    // The peer is gone from the configuration: drop, and forget it when the sweep is done.
    void remove(PeerId peer);

    void learn(PeerId peer, const Prefix4& prefix, AttributesPtr attributes);
    void withdraw(PeerId peer, const Prefix4& prefix);
    void announce(const Prefix4& prefix, AttributesPtr attributes);
    void retract(const Prefix4& prefix) { withdraw(kOurselves, prefix); }
    void set_import_policy(ImportPolicy policy);

    // At most `budget` prefixes; appends those whose chosen paths changed.
    void work(std::size_t budget, std::vector<Prefix4>& changed);
    bool has_work() const;

    const Entry* find(const Prefix4& prefix) const;
    const std::unordered_map<Prefix4, Entry>& entries() const { return entries_; }
    std::size_t count(PeerId peer) const;
    bool is_stale(const Path& path) const;
    const PeerTraits* traits(PeerId peer) const;
    // Each path's fate in the decision, in the order of Entry::paths; rejected ones are no
    // candidates and have none.
    std::vector<std::optional<Step>> explain(const Entry& entry) const;

private:
    struct Peer {
        PeerTraits traits;
        std::uint32_t generation = 1;
        bool removed = false;
        std::unordered_set<Prefix4> prefixes; // an index into entries_
    };
    // Prefixes to look at, for paths of `peer` older than `before`.
    struct Sweep {
        PeerId peer;
        std::uint32_t before;
        std::vector<Prefix4> prefixes;
    };

    void touch(const Prefix4& prefix);
    void accept(Path& path, const Prefix4& prefix) const;
    const char* loop(const Path& path) const;
    std::size_t work_on_sweeps(std::size_t budget);
    void sweep_one(const Sweep& sweep, const Prefix4& prefix);
    void finish(const Sweep& sweep);
    bool choose(Entry& entry) const;

    RibConfig config_;
    ImportPolicy import_;
    std::unordered_map<Prefix4, Entry> entries_;
    std::unordered_map<PeerId, Peer> peers_;
    std::deque<Prefix4> dirty_;
    std::unordered_set<Prefix4> is_dirty_;
    std::deque<Sweep> sweeps_;
};

} // namespace margay::bgp
