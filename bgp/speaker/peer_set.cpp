// SPDX-License-Identifier: Apache-2.0
#include "bgp/speaker/peer_set.h"

#include <spdlog/spdlog.h>

#include <utility>

namespace margay::bgp {

Peer* PeerSet::find(const std::string& name) const
{
    const auto found = peers_.find(name);
    return found == peers_.end() ? nullptr : found->second.get();
}

Peer* PeerSet::find(PeerId id) const
{
    const auto found = by_id_.find(id);
    return found == by_id_.end() ? nullptr : found->second;
}

Peer* PeerSet::find(const Source& from) const
{
    Peer* match = nullptr;
    for (const auto& [name, peer] : peers_)
        if (peer->config().address == from.address && peer->config().interface == from.interface &&
            (!match || match->up()))
            match = peer.get();
    return match;
}

// Numbers are used again when both families have forgotten them.
std::optional<PeerId> PeerSet::free_id(PeerId after) const
{
    constexpr PeerId kEnd = 0x7ffe; // the numbers above mean something to the groups
    for (PeerId id = after; ++id < kEnd;)
        if (!host_.ipv4().rib().knows(id) && !host_.ipv6().rib().knows(id))
            return id;
    return std::nullopt;
}

Peer* PeerSet::add(PeerConfig config, PeerId after)
{
    const auto id = free_id(after);
    if (!id) {
        host_.log().error("peer left out: there are too many peer={}", config.name);
        return nullptr;
    }
    host_.ipv4().rib().add_peer(*id);
    host_.ipv6().rib().add_peer(*id);
    const std::string name = config.name;
    auto& peer = peers_[name] = std::make_unique<Peer>(host_, *id, std::move(config));
    return by_id_[*id] = peer.get();
}

void PeerSet::remove(const Peer& peer, std::uint8_t subcode)
{
    const auto at = peers_.find(peer.config().name);
    const PeerId id = peer.id();
    at->second->stop(Notify{ErrorCode::Cease, subcode, {}});
    by_id_.erase(id);
    peers_.erase(at);
    host_.ipv4().rib().remove(id);
    host_.ipv6().rib().remove(id);
    host_.ipv4().forget(id);
    host_.ipv6().forget(id);
}

} // namespace margay::bgp
