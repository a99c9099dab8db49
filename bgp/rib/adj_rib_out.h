// SPDX-License-Identifier: Apache-2.0
// AdjRibOut: what one peer was told, and the prefixes about which it may have to hear again.
//
// This is the whole output queue of a peer: a prefix that changes ten times while the peer does
// not read is encoded once, as it is when there is room. The queue is bounded by the number of
// prefixes, and a slow peer costs no other peer anything.

#pragma once

#include "bgp/rib/rib.h"
#include "bgp/wire/update.h"

namespace margay::bgp {

class AdjRibOut {
public:
    // What the peer shall be told now: null for nothing.
    using Policy = std::function<AttributesPtr(const Prefix4&)>;

    void touch(const Prefix4& prefix);
    // The peer asks for everything again (RFC 2918): what it was told counts as forgotten, but a
    // withdrawal is owed for it all the same.
    void forget_contents();

    // Encodes at most `budget` pending prefixes into whole messages; how many messages.
    std::size_t fill(const Policy& policy, const WireSession& session, std::size_t budget,
                     Bytes& out);

    bool pending() const { return !pending_.empty(); }
    std::size_t advertised() const { return advertised_.size(); }
    void clear();

private:
    std::unordered_map<Prefix4, AttributesPtr> advertised_; // null: told, contents forgotten
    std::deque<Prefix4> pending_;
    std::unordered_set<Prefix4> is_pending_;
};

} // namespace margay::bgp
