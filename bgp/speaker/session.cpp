// SPDX-License-Identifier: Apache-2.0
#include "bgp/speaker/session.h"

#include <algorithm>
#include <functional>
#include <type_traits>

namespace margay::bgp {
namespace {

constexpr int kIdleHoldGrowth = 6;
constexpr Seconds kStrangerGreets{20};

Asn own_as(const SpeakerConfig& speaker, const PeerConfig& peer)
{
    return peer.local_as.value_or(speaker.local_as);
}

bool carries_ipv4(const PeerConfig& peer)
{
    return std::ranges::find(peer.families, kIpv4Unicast) != peer.families.end();
}

// Without a global address the link-local one stands alone, as most understand it.
Ip own_ipv6(const Session& session, const SpeakerConfig& speaker)
{
    const Ip& local = session.local_address;
    const auto& global = speaker.address6;
    return local.is_link_local6() && global ? Ip(*global) : local;
}

// Ours as a next hop for this peer: of the session; of the other family as the caller said, or what the
// session's link has.
template <typename P>
Ip own_next_hop(const Session& session, const SpeakerConfig& speaker)
{
    const Ip& local = session.local_address;
    if constexpr (std::is_same_v<P, Prefix6>) {
        if (!local.is_v4())
            return own_ipv6(session, speaker);
        return speaker.address6 ? Ip(*speaker.address6) : session.address_beside;
    } else {
        if (local.is_v4())
            return local;
        if (session.wire<P>().ipv6_next_hop)
            return own_ipv6(session, speaker);
        return speaker.address4 ? Ip(*speaker.address4) : session.address_beside;
    }
}

} // namespace

FsmConfig fsm_config(const SpeakerConfig& speaker, const PeerConfig& peer)
{
    FsmConfig config;
    config.session.local_as = own_as(speaker, peer);
    config.session.remote_as = peer.remote_as;
    config.session.also_as = peer.also_as;
    config.session.any_external_as = peer.any_external_as;
    config.session.router_id = speaker.router_id;
    config.session.families = peer.families;
    config.session.ipv6_next_hop = !peer.address.is_v4() && carries_ipv4(peer);
    config.session.add_path = peer.add_path;
    config.session.hold_time = peer.hold_time;
    config.session.keepalive_time = peer.keepalive_time;
    config.session.graceful_restart = peer.graceful_restart;
    config.session.restart_on_notification = peer.restart_on_notification;
    config.session.restart_time = peer.restart_time;
    config.passive = peer.passive;
    config.authenticated = !peer.password.empty();
    config.delay_open = peer.delay_open;
    config.connect_retry = peer.connect_retry;
    if (peer.range) // a stranger holds a place of the range meanwhile
        config.open_timeout = kStrangerGreets;
    config.idle_hold_min = peer.idle_hold;
    config.idle_hold_max = peer.idle_hold * kIdleHoldGrowth;
    const std::string identity = speaker.router_id.str() + peer.name;
    config.jitter_seed = static_cast<std::uint32_t>(std::hash<std::string>{}(identity));
    return config;
}

template <typename P>
PeerTraits traits_of(const Session& session, const PeerConfig& peer, const SpeakerConfig& speaker)
{
    const Negotiated& agreed = session.negotiated;
    PeerTraits traits;
    traits.address = peer.address;
    traits.identifier = agreed.peer_identifier;
    traits.internal = agreed.wire.internal;
    traits.client = peer.reflector_client;
    traits.add_path = session.wire<P>().add_path_in;
    traits.local_as = own_as(speaker, peer);
    traits.allowed_own_as = peer.allowed_own_as;
    if (peer.enforce_first_as && !traits.internal)
        traits.first_as = agreed.remote_as;
    traits.local_address = session.local_address;
    traits.own_next_hop = own_next_hop<P>(session, speaker);
    traits.interface = session.interface;
    return traits;
}

template <typename P>
ExportView export_view_of(const Session& session, const PeerConfig& peer,
                          const SpeakerConfig& speaker)
{
    const WireSession& wire = session.negotiated.wire;
    ExportView view;
    view.internal = wire.internal;
    view.client = peer.reflector_client;
    view.encoding = {wire.four_octet_as, session.wire<P>().add_path_out, wire.max_message};
    view.local_as = own_as(speaker, peer);
    view.own_next_hop = own_next_hop<P>(session, speaker);
    if (session.local_address.is_link_local6() && view.own_next_hop != session.local_address)
        view.own_link_local = session.local_address.v6();
    view.ipv6_next_hop = session.wire<P>().ipv6_next_hop;
    view.next_hop = peer.next_hop;
    view.cluster_id = speaker.cluster();
    view.policy = peer.policy;
    return view;
}

template PeerTraits traits_of<Prefix4>(const Session&, const PeerConfig&, const SpeakerConfig&);
template PeerTraits traits_of<Prefix6>(const Session&, const PeerConfig&, const SpeakerConfig&);
template ExportView export_view_of<Prefix4>(const Session&, const PeerConfig&,
                                            const SpeakerConfig&);
template ExportView export_view_of<Prefix6>(const Session&, const PeerConfig&,
                                            const SpeakerConfig&);

} // namespace margay::bgp
