// SPDX-License-Identifier: Apache-2.0
#include "agent/peering.h"

#include "agent/bgp/password.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <utility>

namespace margay {
namespace {

bool same(const bgp::SpeakerConfig& a, const bgp::SpeakerConfig& b)
{
    return a.local_as == b.local_as && a.router_id == b.router_id &&
           a.listen_port == b.listen_port && a.listen_address == b.listen_address &&
           a.cluster_id == b.cluster_id;
}

constexpr std::chrono::seconds kPasswordsAgain{10};

bgp::NextHopMode next_hop(model::NextHopMode mode)
{
    switch (mode) {
    case model::NextHopMode::Self:
        return bgp::NextHopMode::Self;
    case model::NextHopMode::Keep:
        return bgp::NextHopMode::Keep;
    case model::NextHopMode::Auto:
        break;
    }
    return bgp::NextHopMode::Auto;
}

bgp::Seconds whole_seconds(std::chrono::milliseconds time)
{
    return std::chrono::duration_cast<bgp::Seconds>(time);
}

model::AnyPrefix any_prefix(const IpPrefix& prefix)
{
    return prefix.is_v4() ? model::AnyPrefix(prefix.v4()) : model::AnyPrefix(prefix.v6());
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
      restarting_(restarting), callbacks_(std::move(callbacks)), passwords_timer_(executor),
      bfd_(executor, log_, config_,
           [this](const Ip& peer, const std::string& why) { on_bfd_lost(peer, why); })
{
}

std::string origin_text(const model::BgpSession& session)
{
    return session.origin == "mesh" ? session.origin : "BGPPeer " + session.origin;
}

bgp::PeerConfig peer_config(const std::string& name, const model::BgpSession& session,
                            const std::string& password, bgp::Seconds hold)
{
    bgp::PeerConfig config;
    config.name = name;
    config.address = session.address;
    config.port = session.port;
    config.remote_as = bgp::Asn(session.as_number);
    if (session.local_as_number)
        config.local_as = bgp::Asn(*session.local_as_number);
    config.families = {session.address.is_v4() ? bgp::kIpv4Unicast : bgp::kIpv6Unicast};
    config.source = session.source;
    config.passive = session.passive;
    config.password = password;
    config.ttl_security = session.ttl_security;
    config.next_hop = next_hop(session.next_hop);
    config.allowed_own_as = session.allowed_own_as;
    config.reflector_client = session.reflector_client;
    config.policy = bgp_rules::chain_of(session.filters);
    if (session.restart_time)
        config.restart_time = whole_seconds(*session.restart_time);
    config.hold_time = hold;
    config.keepalive_time =
        session.keepalive_time ? whole_seconds(*session.keepalive_time) : hold / 3;
    return config;
}

std::optional<bgp::SpeakerConfig> Peering::wanted_config()
{
    if (!local_known_ || !local_.address)
        return std::nullopt;
    bgp::SpeakerConfig config;
    config.local_as = bgp::Asn(local_.as_number);
    config.router_id = router_id(config_.router_id, node_, *local_.address);
    config.listen_port = config_.bgp_port != 0 ? config_.bgp_port : local_.listen_port;
    if (local_.bind_node_address)
        config.listen_address = Ip(*local_.address);
    config.address4 = *local_.address;
    config.restarting = restarting_;
    config.restart_time = whole_seconds(local_.restart_time);
    config.cluster_id = Ipv4::parse(local_.route_reflector_cluster_id);
    cluster_trouble_.clear();
    if (!config.cluster_id && !local_.route_reflector_cluster_id.empty())
        cluster_trouble_ =
            "routeReflectorClusterID of this node is not an IPv4 address: the router "
            "id stands for it";
    return config;
}

void Peering::apply(const model::Changes& changes)
{
    if (changes.bgp)
        waiting_.bgp = changes.bgp;
    if (changes.bgp_export)
        waiting_.bgp_export = changes.bgp_export;
    for (const auto& [name, session] : changes.bgp_sessions)
        waiting_.bgp_sessions.insert_or_assign(name, session);
    for (const auto& [name, filter] : changes.bgp_filters)
        waiting_.bgp_filters.insert_or_assign(name, filter);
    for (const auto& [prefix, announcement] : changes.announcements)
        waiting_.announcements.insert_or_assign(prefix, announcement);
    if (!held_)
        take(std::exchange(waiting_, {}));
}

void Peering::take(const model::Changes& changes)
{
    if (changes.bgp) {
        local_ = *changes.bgp;
        local_known_ = true;
    }
    for (const auto& [name, session] : changes.bgp_sessions) {
        if (session)
            sessions_[name] = *session;
        else
            sessions_.erase(name);
    }
    const bool new_rules = apply_rules(changes);
    apply_announcements(changes);
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
    else if (new_rules)
        set_filters();
    const bool new_peers = fresh || changes.bgp || !changes.bgp_sessions.empty();
    if (new_peers)
        hand_over_peers();
    if (new_peers || new_rules)
        note_missing_filters();
}

void Peering::apply_announcements(const model::Changes& changes)
{
    for (const auto& [prefix, announcement] : changes.announcements) {
        if (announcement)
            announcements_.insert_or_assign(prefix, *announcement);
        else
            announcements_.erase(prefix);
        if (speaker_ && announcement)
            announce(prefix);
        else if (speaker_)
            speaker_->withdraw(prefix);
    }
}

// With the local preference of rule 0 (agent/bgp/export.h).
void Peering::announce(const Prefix4& prefix)
{
    bgp::Announcement announcement;
    announcement.local_pref = bgp_rules::kHighestPreference - rules_.exported().priority4;
    speaker_->announce(prefix, announcement);
}

// Whether what is told to anybody, or taken from anybody, may be another than before.
bool Peering::apply_rules(const model::Changes& changes)
{
    bool changed = false;
    for (const auto& [name, filter] : changes.bgp_filters) {
        rules_.set_filter(name, filter ? &*filter : nullptr);
        changed |= std::ranges::any_of(sessions_, [&](const auto& session) {
            return std::ranges::count(session.second.filters, name) > 0;
        });
    }
    if (!changes.bgp_export)
        return changed;
    const bool moved = changes.bgp_export->priority4 != rules_.exported().priority4;
    rules_.set_export(*changes.bgp_export);
    if (speaker_ && moved)
        for (const auto& [prefix, announcement] : announcements_)
            announce(prefix);
    return true;
}

// They are asked for as long as the speaker lives, which we own; each call makes it ask anew.
void Peering::set_filters()
{
    speaker_->set_import_filter([this](const bgp::FilterContext& context,
                                       const bgp::AttributesPtr& attributes) {
        return rules_.import_route(
            context.peer.policy,
            {any_prefix(context.prefix), attributes, {true, !context.internal, {}}}, context.pool);
    });
    speaker_->set_export_filter(
        [this](const bgp::FilterContext& context, const bgp::AttributesPtr& attributes) {
            const auto prefix = any_prefix(context.prefix);
            return rules_.export_route(
                context.peer.policy,
                {prefix,
                 attributes,
                 {!context.own, !context.internal, context.own ? interface_of(prefix) : ""}},
                context.pool);
        });
}

std::string Peering::interface_of(const model::AnyPrefix& own) const
{
    const auto* prefix = std::get_if<Prefix4>(&own);
    const auto at = prefix ? announcements_.find(*prefix) : announcements_.end();
    return at == announcements_.end() ? "" : at->second.interface_name;
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
    set_filters(); // before anything can be told
    for (const auto& [prefix, announcement] : announcements_)
        announce(prefix);
    speaker_->announcements_complete();
    restarting_ = true; // a further restart of the speaker alone is one, too
}

// RFC 5882 section 4.3: the sessions with it end at once.
void Peering::on_bfd_lost(const Ip& address, const std::string& why)
{
    for (const auto& [name, session] : sessions_)
        if (speaker_ && session.address == address)
            speaker_->lose_peer(name, "BFD: " + why);
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
    refused_.clear();
    std::erase_if(told_, [this](const auto& peer) { return !sessions_.contains(peer.first); });
    Passwords passwords;
    for (const auto& [name, session] : sessions_) {
        if (session.address.is_v4()) // a peer whose session cannot start is one that is down
            peer_addresses_.insert(session.address.v4());
        if (const auto password = password_of(name, session, passwords))
            peers.push_back(peer_config(name, session, *password, config_.bgp_hold_time));
    }
    bfd_.set_peers(peers, local_.network);
    speaker_->set_peers(std::move(peers));
    if (!passwords.empty())
        passwords_timer_.start(kPasswordsAgain, [this] {
            hand_over_peers();
            note_missing_filters();
        });
    else
        passwords_timer_.stop();
}

// "" where none is asked for, nothing where it cannot be had: then there is no session. Each file is
// read once for all sessions that name it.
std::optional<std::string> Peering::password_of(const std::string& name,
                                                const model::BgpSession& session, Passwords& read)
{
    if (!session.password)
        return "";
    auto known = read.find(*session.password);
    if (known == read.end())
        known =
            read.emplace(*session.password,
                         bgp_rules::read_password(config_.bgp_password_folder, *session.password))
                .first;
    if (known->second)
        return *known->second;
    refused_[name] = "no password: " + known->second.error().what;
    return std::nullopt;
}

void Peering::note_missing_filters()
{
    filter_warnings_.clear();
    for (const auto& [name, session] : sessions_)
        if (const auto missing = rules_.missing(session.filters); !missing.empty())
            filter_warnings_[name] =
                "BGPFilter " + bgp_rules::chain_of(missing) +
                " is not there: no route is told to this peer or taken from it";
    std::set<std::string> now;
    for (const std::string& warning : warnings()) {
        if (!warned_.contains(warning))
            log_->warn("{}", warning);
        now.insert(warning);
    }
    warned_ = std::move(now);
}

std::vector<std::string> Peering::warnings() const
{
    std::vector<std::string> list;
    for (const auto* table : {&refused_, &filter_warnings_})
        for (const auto& [name, text] : *table)
            if (const auto session = sessions_.find(name); session != sessions_.end())
                list.push_back("BGP session " + name + " (" + origin_text(session->second) +
                               "): " + text);
    if (!cluster_trouble_.empty())
        list.push_back(cluster_trouble_);
    return list;
}

void Peering::shutdown(bgp::Speaker::Goodbye goodbye)
{
    if (speaker_)
        speaker_->shutdown(goodbye);
    speaker_.reset();
    bfd_.stop();
    running_.reset();
    passwords_timer_.stop();
    peer_addresses_.clear();
    refused_.clear();
}

} // namespace margay
