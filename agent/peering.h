// SPDX-License-Identifier: Apache-2.0
// Peering: the BGP speaker as the datastore wants it.
//
// The speaker begins when the own address and AS are known; it begins anew, with graceful restart,
// when one of them changes. Peers and announcements are handed on as they change.

#pragma once

#include "agent/config/config.h"
#include "agent/model/wanted.h"
#include "bgp/speaker/speaker.h"
#include "margay/log.h"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

namespace margay {

class Peering {
public:
    struct Callbacks {
        std::function<void(std::span<const bgp::RouteChange>)> on_routes;
        std::function<void()> on_settled; // bgp::Callbacks::on_initial_sync_done
        // A speaker begins or ends: what the one before told is old from now on.
        std::function<void()> on_new_speaker;
        std::function<void(const bgp::PeerStatus&)> on_peer; // each change of a session
    };

    // `restarting`: a previous run left routes in force.
    Peering(Executor& executor, Log log, const config::Config& config, std::string node,
            bool restarting, Callbacks callbacks);

    // After every turn that changed something of BGP; `complete` once the snapshot is applied.
    void apply(const model::Changes& changes);

    // Addresses with which we are configured to have a session.
    const std::set<Ipv4>& peer_addresses() const { return peer_addresses_; }
    const bgp::Speaker* speaker() const { return speaker_.get(); }
    const std::optional<bgp::SpeakerConfig>& running() const { return running_; }
    std::string trouble() const; // the listener's, or why there is no BGP; empty when all is well
    std::string peer_node(const std::string& peer_name) const;

    void shutdown(bgp::Speaker::Goodbye goodbye);

private:
    std::optional<bgp::SpeakerConfig> wanted_config() const;
    void restart(const bgp::SpeakerConfig& config);
    void hand_over_peers();
    void on_peer_state(const bgp::PeerStatus& peer);

    Executor& executor_;
    Log log_;
    const config::Config& config_;
    std::string node_;
    bool restarting_;
    Callbacks callbacks_;
    model::LocalBgp local_{};
    bool local_known_ = false;
    std::map<std::string, model::MeshPeer> mesh_;
    std::set<Prefix4> announcements_;
    std::set<Ipv4> peer_addresses_;
    std::optional<bgp::SpeakerConfig> running_;
    std::string trouble_;
    std::map<std::string, std::string> told_; // by peer, why it is down; empty: up
    std::unique_ptr<bgp::Speaker> speaker_;
};

// CALICO_ROUTER_ID: empty is the node's address, "hash" comes from the node's name (facts 6.2).
Ipv4 router_id(const std::string& setting, const std::string& node, Ipv4 address);

} // namespace margay
