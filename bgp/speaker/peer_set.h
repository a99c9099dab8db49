// SPDX-License-Identifier: Apache-2.0
// PeerSet: all peers of a speaker, configured ones and dynamic neighbours, by name and by number.

#pragma once

#include "bgp/speaker/listener.h"
#include "bgp/speaker/peer.h"

#include <map>
#include <memory>
#include <unordered_map>

namespace margay::bgp {

class PeerSet {
public:
    explicit PeerSet(PeerHost& host) : host_(host) {}

    const std::map<std::string, std::unique_ptr<Peer>>& all() const { return peers_; }
    bool contains(const std::string& name) const { return peers_.contains(name); }
    // Null, of the three: there is none.
    Peer* find(const std::string& name) const;
    Peer* find(PeerId id) const;
    Peer* find(const Source& from) const;

    // With a number above `after`, so that who adds many looks through the numbers once. Null: there are too
    // many.
    Peer* add(PeerConfig config, PeerId after = kOurselves);
    // Its session ends with a Cease.
    void remove(const Peer& peer, std::uint8_t subcode);

private:
    std::optional<PeerId> free_id(PeerId after) const;

    PeerHost& host_;
    std::map<std::string, std::unique_ptr<Peer>> peers_;
    std::unordered_map<PeerId, Peer*> by_id_;
};

} // namespace margay::bgp
