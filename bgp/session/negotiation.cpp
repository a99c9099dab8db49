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

// RFC 5492 section 3: the data of "Unsupported Capability" is what is missing.
Bytes multiprotocol_capabilities(const std::vector<Family>& families)
{
    Bytes bytes;
    ByteWriter out(bytes);
    for (const Family& family : families) {
        out.u8(1);
        out.u8(4);
        out.u16(family.afi);
        out.u16(family.safi);
    }
    return bytes;
}

std::string names_of(const std::vector<Family>& families)
{
    std::string names;
    for (const Family& family : families)
        names += std::string(names.empty() ? "" : " or ") + name_of(family);
    return names;
}

WireFamily negotiated_family(Family family, const SessionConfig& config, const Capabilities& peer)
{
    WireFamily result;
    result.carried =
        std::ranges::find(config.families, family) != config.families.end() && peer.carries(family);
    if (!result.carried)
        return result;
    const AddPath theirs = peer.add_path_of(family);
    result.add_path_in = config.add_path && theirs.send;
    result.add_path_out = config.add_path && theirs.receive;
    result.ipv6_next_hop =
        family == kIpv4Unicast && config.ipv6_next_hop && peer.takes_ipv6_next_hops(kIpv4Unicast);
    return result;
}

bool accepts(const SessionConfig& config, Asn as)
{
    if (config.any_external_as)
        return as != config.local_as;
    return as == config.remote_as || std::ranges::count(config.also_as, as) > 0;
}

std::string accepted_text(const SessionConfig& config)
{
    if (config.any_external_as)
        return "any but " + std::to_string(config.local_as.value);
    std::string text = std::to_string(config.remote_as.value);
    for (const Asn as : config.also_as)
        text += " or " + std::to_string(as.value);
    return text;
}

} // namespace

Open make_open(const SessionConfig& config, const RestartState& restart)
{
    Open open;
    open.as = config.local_as;
    open.hold_time = config.hold_time;
    open.identifier = config.router_id;
    if (!config.capabilities)
        return open;
    Capabilities& caps = open.capabilities;
    caps.families = config.families;
    caps.four_octet_as = config.local_as;
    caps.route_refresh = true;
    caps.enhanced_refresh = true;
    caps.extended_message = true;
    if (config.ipv6_next_hop)
        caps.ipv6_next_hop = {kIpv4Unicast};
    if (config.graceful_restart)
        caps.graceful_restart = GracefulRestart{
            restart.restarting, config.restart_time, {}, config.restart_on_notification};
    for (const Family& family : config.families) {
        if (config.add_path)
            caps.add_path.push_back({family, true, true});
        if (config.graceful_restart)
            caps.graceful_restart->entries.push_back({family, restart.forwarding_kept});
    }
    return open;
}

std::variant<Negotiated, Refusal> negotiate(const SessionConfig& config, const Open& peer)
{
    if (!accepts(config, peer.as))
        return refuse(open_error::kBadPeerAs, {},
                      "wrong AS: the peer says " + std::to_string(peer.as.value) +
                          ", configured is " + accepted_text(config));
    if (peer.as == config.local_as && peer.identifier == config.router_id)
        return refuse(open_error::kBadIdentifier, {},
                      "wrong identifier: the peer uses ours, " + peer.identifier.str());

    const Capabilities theirs = config.capabilities ? peer.capabilities : Capabilities{};
    Negotiated result;
    result.remote_as = peer.as;
    result.wire.internal = config.local_as == peer.as;
    result.wire.four_octet_as = theirs.four_octet_as.has_value();
    result.wire.max_message = theirs.extended_message ? kMaxExtendedMessage : kMaxMessage;
    result.wire.ipv4 = negotiated_family(kIpv4Unicast, config, theirs);
    result.wire.ipv6 = negotiated_family(kIpv6Unicast, config, theirs);
    if (!result.wire.ipv4.carried && !result.wire.ipv6.carried)
        return refuse(open_error::kCapability, multiprotocol_capabilities(config.families),
                      "the peer does not carry " + names_of(config.families));
    result.peer_identifier = peer.identifier;
    result.hold_time = std::min(config.hold_time, peer.hold_time);
    result.keepalive_time = std::min(config.keepalive_time, result.hold_time / 3);
    result.route_refresh = theirs.route_refresh;
    result.enhanced_refresh = theirs.route_refresh && theirs.enhanced_refresh;
    if (config.graceful_restart)
        result.peer_restart = theirs.graceful_restart;
    if (result.peer_restart && !config.restart_on_notification)
        result.peer_restart->notification = false;
    return result;
}

bool Negotiated::keeps_routes() const
{
    return peer_restart && ((wire.ipv4.carried && peer_restart->covers(kIpv4Unicast)) ||
                            (wire.ipv6.carried && peer_restart->covers(kIpv6Unicast)));
}

bool our_connection_survives(const SessionConfig& config, const Open& peer)
{
    return std::tuple(config.router_id, config.local_as) > std::tuple(peer.identifier, peer.as);
}

} // namespace margay::bgp
