// SPDX-License-Identifier: Apache-2.0
#include "agent/explain/bgp_metrics.h"

#include <utility>

namespace margay::explain {
namespace {

using bgp::MessageCounts;
using bgp::PeerStatus;
using status::MetricLabels;
using status::MetricsText;

// As the number of bgpPeerState (RFC 4273): 1 is Idle, 6 Established.
double state_number(bgp::State state)
{
    switch (state) {
    case bgp::State::Idle:
        return 1;
    case bgp::State::Connect:
        return 2;
    case bgp::State::Active:
        return 3;
    case bgp::State::OpenSent:
        return 4;
    case bgp::State::OpenConfirm:
        return 5;
    case bgp::State::Established:
        return 6;
    }
    return 0;
}

void add_peer(const PeerStatus& peer, MetricsText& text)
{
    const MetricLabels labels{{"peer", peer.name}};
    const auto value = [](auto count) { return static_cast<double>(count); };
    text.gauge("margay_bgp_peer_up", "1 while the session is Established",
               peer.state == bgp::State::Established, labels);
    text.gauge("margay_bgp_peer_state",
               "State of the session: 1 Idle, 2 Connect, 3 Active, 4 OpenSent, 5 OpenConfirm, 6 "
               "Established",
               state_number(peer.state), labels);
    text.gauge("margay_bgp_peer_changed_seconds",
               "When the session last came up or went down, in seconds since 1970",
               value(std::chrono::system_clock::to_time_t(peer.since)), labels);
    text.gauge("margay_bgp_peer_prefixes", "Prefixes received", value(peer.prefixes_received),
               labels);
    text.gauge("margay_bgp_peer_prefixes_advertised", "Prefixes advertised",
               value(peer.prefixes_advertised), labels);
    text.counter("margay_bgp_peer_sessions_total", "Sessions that were Established",
                 value(peer.established_count), labels);
    text.counter("margay_bgp_peer_update_faults_total",
                 "Attributes at fault that were dealt with by RFC 7606", value(peer.update_faults),
                 labels);
}

void add(MessageCounts& sum, const MessageCounts& counts)
{
    sum.open += counts.open;
    sum.update += counts.update;
    sum.notification += counts.notification;
    sum.keepalive += counts.keepalive;
    sum.route_refresh += counts.route_refresh;
}

void add_messages(const char* direction, const MessageCounts& counts, MetricsText& text)
{
    const std::pair<const char*, std::uint64_t> types[] = {{"open", counts.open},
                                                           {"update", counts.update},
                                                           {"notification", counts.notification},
                                                           {"keepalive", counts.keepalive},
                                                           {"route_refresh", counts.route_refresh}};
    for (const auto& [type, count] : types)
        text.counter("margay_bgp_messages_total",
                     "Messages of the peers that are configured now, by direction and type",
                     static_cast<double>(count), {{"direction", direction}, {"type", type}});
}

void add_family(const char* family, const bgp::TableCounts::Family& counts, MetricsText& text)
{
    const MetricLabels labels{{"family", family}};
    text.gauge("margay_bgp_prefixes", "Prefixes in the table", static_cast<double>(counts.prefixes),
               labels);
    text.gauge("margay_bgp_routes", "Prefixes that a peer's route is used for",
               static_cast<double>(counts.reachable), labels);
    text.gauge("margay_bgp_paths", "Paths that peers told", static_cast<double>(counts.paths),
               labels);
}

} // namespace

void add_bgp_metrics(const bgp::Speaker& speaker, MetricsText& text)
{
    MessageCounts sent;
    MessageCounts received;
    double dynamic = 0;
    for (const PeerStatus& peer : speaker.peers()) {
        if (peer.is_stranger())
            continue;
        dynamic += peer.range ? 1 : 0;
        add_peer(peer, text);
        add(sent, peer.sent);
        add(received, peer.received);
    }
    add_messages("sent", sent, text);
    add_messages("received", received, text);
    const bgp::TableCounts counts = speaker.table_counts();
    add_family("ipv4", counts.ipv4, text);
    add_family("ipv6", counts.ipv6, text);
    text.gauge("margay_bgp_attribute_sets", "Sets of path attributes, each stored once",
               static_cast<double>(counts.attribute_sets));
    text.gauge("margay_bgp_lost_next_hops", "Next hops of paths that nothing leads to",
               static_cast<double>(speaker.lost_next_hops().size()));
    text.gauge("margay_bgp_dynamic_peers", "Peers of listen ranges", dynamic);
    text.counter("margay_bgp_refused_connections_total",
                 "Connections from who is no peer, or who did not become one of a listen range",
                 static_cast<double>(speaker.refused_connections()));
}

} // namespace margay::explain
