// SPDX-License-Identifier: Apache-2.0
// What margayd answers about BGP: agent/explain, with what Peering knows beside the speaker. nullptr is a
// Peering that has not started.

#pragma once

#include "agent/config/config.h"
#include "agent/explain/bgp_view.h"
#include "agent/explain/presence.h"
#include "agent/peering.h"
#include "agent/status/control.h"

#include <optional>
#include <string>
#include <vector>

namespace margay {

boost::json::array bgp_peer_rows(const Peering* peering);
boost::json::object bgp_peers_report(const Peering* peering);
std::vector<std::string> bgp_warnings(const Peering* peering);

// bgp-peer, bgp-routes and bgp-dump; nothing if the request is another one.
std::optional<Result<std::string>> bgp_answer(const Peering* peering,
                                              const status::Request& request);

// What calicoctl looks for, BIRD's sockets and processes; that of IPv6 as long as there are IPv6 peers.
// `facts`: what is the same for the whole run; the rest comes from `peering`, asked for at each command.
std::vector<explain::BirdFace> bird_faces(const config::Config& config, explain::BirdFacts facts,
                                          std::function<const Peering*()> peering);

} // namespace margay
