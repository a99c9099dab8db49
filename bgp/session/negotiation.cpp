// SPDX-License-Identifier: Apache-2.0
#include "bgp/session/negotiation.h"

#include <algorithm>
#include <tuple>

namespace margay::bgp {
namespace {

Refusal refuse(std::uint8_t subcode, Bytes data, std::string why)
{
    return Refusal{Notify{ErrorCode::Open, subcode, std::move(data)}, std::move(why)};
}

// RFC 5492 section 3: the data of "Unsupported Capability" is the capability that is missing.
Bytes ipv4_unicast_capability()
{
    return {1, 4, 0, 1, 0, 1};
}

} // namespace

Open make_open(const SessionConfig& config, const RestartState& restart)
{
    Open open;
    open.as = config.local_as;
    open.hold_time = config.hold_time;
    open.identifier = config.router_id;
    open.capabilities.families = {kIpv4Unicast};
    open.capabilities.four_octet_as = config.local_as;
    open.capabilities.route_refresh = true;
    if (config.graceful_restart)
        open.capabilities.graceful_restart = GracefulRestart{
            restart.restarting, config.restart_time, {{kIpv4Unicast, restart.forwarding_kept}}};
    return open;
}

std::variant<Negotiated, Refusal> negotiate(const SessionConfig& config, const Open& peer)
{
    if (peer.as != config.remote_as)
        return refuse(open_error::kBadPeerAs, {},
                      "wrong AS: the peer says " + std::to_string(peer.as.value) +
                          ", configured is " + std::to_string(config.remote_as.value));
    if (peer.as == config.local_as && peer.identifier == config.router_id)
        return refuse(open_error::kBadIdentifier, {},
                      "wrong identifier: the peer uses ours, " + peer.identifier.str());
    if (!peer.capabilities.carries(kIpv4Unicast))
        return refuse(open_error::kCapability, ipv4_unicast_capability(),
                      "the peer does not carry IPv4 unicast");

    Negotiated result;
    result.wire.internal = config.local_as == config.remote_as;
    result.wire.four_octet_as = peer.capabilities.four_octet_as.has_value();
    result.peer_identifier = peer.identifier;
    result.hold_time = std::min(config.hold_time, peer.hold_time);
    result.keepalive_time = std::min(config.keepalive_time, result.hold_time / 3);
    result.route_refresh = peer.capabilities.route_refresh;
    if (config.graceful_restart)
        result.peer_restart = peer.capabilities.graceful_restart;
    return result;
}

bool our_connection_survives(const SessionConfig& config, const Open& peer)
{
    return std::tuple(config.router_id, config.local_as) > std::tuple(peer.identifier, peer.as);
}

} // namespace margay::bgp
