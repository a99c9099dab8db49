// SPDX-License-Identifier: Apache-2.0
// Neighbours: the dynamic ones. Who comes from a listen range and is no peer becomes one by the template of
// the range, where there is room, and is forgotten when nothing is left of him.

#pragma once

#include "bgp/speaker/peer_set.h"
#include "bgp/speaker/ranges.h"

namespace margay::bgp {

class Neighbours {
public:
    // At most `limit` at a time, of all ranges.
    Neighbours(PeerSet& peers, Refusals& refusals, std::size_t limit)
        : peers_(peers), refusals_(refusals), limit_(limit)
    {
    }

    const Ranges& ranges() const { return ranges_; }
    void set_ranges(std::vector<PeerRange> wanted);
    // Null: it was refused.
    Peer* admit(const PeerRange& range, const Source& from);
    // Who is configured is no dynamic neighbour any more.
    void give_way(const std::map<std::string, PeerConfig>& configured);
    // Those of whom nothing is left. Their last word goes into the news.
    void forget_spent(std::vector<PeerStatus>& news);

private:
    std::string make_room(const PeerRange& range); // what is full; empty: there is room
    bool replace_stranger(const std::optional<IpPrefix>& range);
    void remove(Peer& peer, std::uint8_t subcode);

    PeerSet& peers_;
    Refusals& refusals_;
    const std::size_t limit_;
    Ranges ranges_;
    std::vector<Peer*> neighbours_; // the oldest first
};

} // namespace margay::bgp
