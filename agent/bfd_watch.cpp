// SPDX-License-Identifier: Apache-2.0
#include "agent/bfd_watch.h"

#include <utility>

namespace margay {

BfdWatch::BfdWatch(Executor& executor, Log log, const config::Config& config, OnLost on_lost)
    : executor_(executor), log_(std::move(log)), config_(config), on_lost_(std::move(on_lost))
{
}

void BfdWatch::set_peers(const std::vector<bgp::PeerConfig>& peers,
                         const std::optional<Prefix4>& network)
{
    if (!config_.bfd)
        return;
    std::vector<bfd::SessionConfig> sessions;
    for (const bgp::PeerConfig& peer : peers) {
        if (!peer.source)
            continue; // nobody knows from where to where
        bfd::SessionConfig session;
        session.peer = peer.address;
        session.local = *peer.source;
        session.multihop =
            !network || !peer.address.is_v4() || !network->contains(peer.address.v4());
        session.parameters.min_tx = session.parameters.min_rx = config_.bfd_interval;
        session.parameters.detect_mult = config_.bfd_multiplier;
        sessions.push_back(session);
    }
    if (sessions.empty())
        return stop();
    if (!monitor_)
        monitor_ = std::make_unique<bfd::Monitor>(
            executor_, log_, bfd::Callbacks{[this](const bfd::SessionEvent& event) {
                if (event.failure)
                    on_lost_(event.peer, event.why);
            }});
    monitor_->set_sessions(sessions);
}

std::map<Ip, std::string> BfdWatch::states() const
{
    std::map<Ip, std::string> states;
    if (!monitor_)
        return states;
    for (const bfd::SessionStatus& session : monitor_->sessions())
        states[session.config.peer] = session.why_down.empty() ? "Up" : "Down: " + session.why_down;
    return states;
}

} // namespace margay
