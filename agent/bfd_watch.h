// SPDX-License-Identifier: Apache-2.0
// BfdWatch: a BFD session beside each BGP session (RFC 5882), where the settings want it.
//
// Calico's objects say nothing of BFD: it is a setting of the node, for all of its peers. A peer without
// BFD is none the worse: what was never Up says nothing. A neighbour in the node's own network has a
// single-hop session (RFC 5881), any other a multihop one (RFC 5883).

#pragma once

#include "agent/config/config.h"
#include "bfd/monitor.h"
#include "bgp/speaker/types.h"
#include "margay/log.h"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace margay {

class BfdWatch {
public:
    // The peer was Up and is lost; why, in plain words.
    using OnLost = std::function<void(const Ip& peer, const std::string& why)>;

    BfdWatch(Executor& executor, Log log, const config::Config& config, OnLost on_lost);

    // The peers as they shall be; `network` is this node's own. What is unchanged is not touched.
    void set_peers(const std::vector<bgp::PeerConfig>& peers,
                   const std::optional<Prefix4>& network);
    // By the peer's address: "Up", or "Down: why".
    std::map<Ip, std::string> states() const;
    void stop() { monitor_.reset(); }

private:
    Executor& executor_;
    Log log_;
    const config::Config& config_;
    OnLost on_lost_;
    std::unique_ptr<bfd::Monitor> monitor_; // none while nobody is watched
};

} // namespace margay
