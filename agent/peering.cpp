// SPDX-License-Identifier: Apache-2.0
#include "agent/peering.h"

#include <openssl/sha.h>

#include <array>
#include <utility>

namespace margay {
namespace {

bool same(const bgp::SpeakerConfig& a, const bgp::SpeakerConfig& b)
{
    return a.local_as == b.local_as && a.router_id == b.router_id &&
           a.listen_port == b.listen_port && a.listen_address == b.listen_address;
}

bgp::PeerConfig peer_config(const std::string& name, const model::MeshPeer& peer, Ipv4 source,
                            const model::LocalBgp& local, bgp::Seconds hold)
{
    bgp::PeerConfig config;
    config.name = name;
    config.address = Ip(peer.address);
    config.port = peer.port;
    config.remote_as = bgp::Asn(peer.as_number);
    config.source = Ip(source);
    config.passive = peer.passive;
    config.restart_time = std::chrono::duration_cast<bgp::Seconds>(local.restart_time);
    config.hold_time = hold;
    config.keepalive_time = hold / 3;
    return config;
}

} // namespace

Ipv4 router_id(const std::string& setting, const std::string& node, Ipv4 address)
{
    if (setting.empty())
        return address;
    if (const auto literal = Ipv4::parse(setting))
        return *literal;
    std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
    SHA256(reinterpret_cast<const unsigned char*>(node.data()), node.size(), digest.data());
    const std::uint32_t first = digest[0] > 223 ? digest[0] - 32u : digest[0];
    return Ipv4(first << 24 | std::uint32_t{digest[1]} << 16 | std::uint32_t{digest[2]} << 8 |
                digest[3]);
}

Peering::Peering(Executor& executor, Log log, const config::Config& config, std::string node,
                 bool restarting, Callbacks callbacks)
    : executor_(executor), log_(std::move(log)), config_(config), node_(std::move(node)),
      restarting_(restarting), callbacks_(std::move(callbacks))
{
}

std::optional<bgp::SpeakerConfig> Peering::wanted_config() const
{
    if (!local_known_ || !local_.address)
        return std::nullopt;
    bgp::SpeakerConfig config;
    config.local_as = bgp::Asn(local_.as_number);
    config.router_id = router_id(config_.router_id, node_, *local_.address);
    config.listen_port = config_.bgp_port != 0 ? config_.bgp_port : local_.listen_port;
    if (local_.bind_node_address)
        config.listen_address = Ip(*local_.address);
    config.restarting = restarting_;
    config.restart_time = std::chrono::duration_cast<bgp::Seconds>(local_.restart_time);
    return config;
}

void Peering::apply(const model::Changes& changes)
{
    if (changes.bgp) {
        local_ = *changes.bgp;
        local_known_ = true;
    }
    for (const auto& [name, peer] : changes.mesh_peers) {
        if (peer)
            mesh_[name] = *peer;
        else
            mesh_.erase(name);
    }
    for (const auto& [prefix, announcement] : changes.announcements) {
        if (announcement)
            announcements_.insert(prefix);
        else
            announcements_.erase(prefix);
        if (!speaker_)
            continue;
        if (announcement)
            speaker_->announce(prefix);
        else
            speaker_->withdraw(prefix);
    }
    const auto wanted = wanted_config();
    if (!wanted) {
        trouble_ = local_known_ ? "the node has no IPv4 address" : "waiting for the datastore";
        if (speaker_) {
            shutdown(bgp::Speaker::Goodbye::Notify);
            callbacks_.on_new_speaker();
        }
        return;
    }
    const bool fresh = !running_ || !same(*running_, *wanted);
    if (fresh)
        restart(*wanted);
    if (fresh || changes.bgp || !changes.mesh_peers.empty())
        hand_over_peers();
}

void Peering::restart(const bgp::SpeakerConfig& config)
{
    if (speaker_)
        log_->info("BGP begins anew: own address, AS or port changed");
    speaker_ = std::make_unique<bgp::Speaker>(executor_, log_, config,
                                              bgp::Callbacks{callbacks_.on_routes,
                                                             [this](const bgp::PeerStatus& peer) {
                                                                 on_peer_state(peer);
                                                                 if (callbacks_.on_peer)
                                                                     callbacks_.on_peer(peer);
                                                             },
                                                             callbacks_.on_settled,
                                                             {}});
    callbacks_.on_new_speaker();
    running_ = config;
    trouble_.clear();
    if (const auto listening = speaker_->listen(); !listening) {
        trouble_ = listening.error().what;
        log_->error("BGP listener: {}; sessions that this node dials go on", trouble_);
    }
    for (const Prefix4& prefix : announcements_)
        speaker_->announce(prefix);
    speaker_->announcements_complete();
    restarting_ = true; // a further restart of the speaker alone is one, too
}

// Each state once, and nothing of a peer that was not tried yet.
void Peering::on_peer_state(const bgp::PeerStatus& peer)
{
    const auto [told, fresh] = told_.try_emplace(peer.name, peer.why_down);
    if (fresh && !peer.why_down.empty()) {
        log_->info("BGP peer={} address={}: {}", peer.name, peer.address.str(), peer.why_down);
        return;
    }
    if (!fresh && std::exchange(told->second, peer.why_down) == peer.why_down)
        return;
    if (peer.why_down.empty())
        log_->info("BGP session up peer={} address={}", peer.name, peer.address.str());
    else
        log_->warn("BGP session down peer={} address={} why=\"{}\"", peer.name, peer.address.str(),
                   peer.why_down);
}

std::string Peering::trouble() const
{
    return speaker_ && speaker_->listening() ? std::string() : trouble_;
}

void Peering::hand_over_peers()
{
    std::vector<bgp::PeerConfig> peers;
    peer_addresses_.clear();
    std::erase_if(told_, [this](const auto& peer) { return !mesh_.contains(peer.first); });
    for (const auto& [name, peer] : mesh_) {
        peers.push_back(peer_config(name, peer, *local_.address, local_, config_.bgp_hold_time));
        peer_addresses_.insert(peer.address);
    }
    speaker_->set_peers(std::move(peers));
}

std::string Peering::peer_node(const std::string& peer_name) const
{
    const auto peer = mesh_.find(peer_name);
    return peer == mesh_.end() ? "" : peer->second.node;
}

void Peering::shutdown(bgp::Speaker::Goodbye goodbye)
{
    if (speaker_)
        speaker_->shutdown(goodbye);
    speaker_.reset();
    running_.reset();
    peer_addresses_.clear();
}

} // namespace margay
