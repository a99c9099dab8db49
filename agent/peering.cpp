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
                 bool restarting, kernel::Resolver& resolver, kernel::Resolver6& resolver6,
                 Callbacks callbacks)
    : executor_(executor), log_(std::move(log)), config_(config), node_(std::move(node)),
      restarting_(restarting), resolver_(resolver), resolver6_(resolver6),
      callbacks_(std::move(callbacks)), passwords_timer_(executor),
      hops_(executor, [this] { set_filters(); }),
      interface_of_hop_([this](const Ip& hop) { return hops_.of(hop); }),
      bfd_(executor, log_, config_,
           [this](const Ip& peer, const std::string& why) { on_bfd_lost(peer, why); })
{
}

std::string origin_text(const model::BgpSession& session)
{
    return session.origin == "mesh" ? session.origin : "BGPPeer " + session.origin;
}

bgp::PeerConfig peer_config(const std::string& name, const model::BgpSession& session,
                            const std::string& password, const config::Config& settings)
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
    if (settings.bgp_max_prefixes > 0)
        config.max_prefixes = settings.bgp_max_prefixes;
    config.hold_time = settings.bgp_hold_time;
    config.keepalive_time = session.keepalive_time ? whole_seconds(*session.keepalive_time)
                                                   : settings.bgp_hold_time / 3;
    return config;
}

bgp::PeerRange peer_range(const config::ListenRange& range, std::uint32_t own_as,
                          const std::string& password, bgp::Seconds hold)
{
    bgp::PeerRange out;
    out.prefix = range.prefix;
    out.limit = range.limit;
    bgp::PeerConfig& peer = out.peer;
    peer.name = "Dynamic";
    peer.any_external_as = range.external;
    peer.remote_as = bgp::Asn(range.as_numbers.empty() ? own_as : range.as_numbers.front());
    for (std::size_t i = 1; i < range.as_numbers.size(); ++i)
        peer.also_as.emplace_back(range.as_numbers[i]);
    peer.families = {range.prefix.is_v4() ? bgp::kIpv4Unicast : bgp::kIpv6Unicast};
    if (range.max_prefixes)
        peer.max_prefixes = *range.max_prefixes;
    peer.password = password;
    peer.ttl_security = range.ttl_security;
    peer.reflector_client = range.client;
    peer.policy = bgp_rules::chain_of(range.filters);
    peer.hold_time = hold;
    peer.keepalive_time = hold / 3;
    return out;
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
    config.dynamic_limit = config_.bgp_listen_limit;
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
        changed |= uses_filter(name);
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

bool Peering::uses_filter(const std::string& name) const
{
    const auto names_it = [&](const std::vector<std::string>& filters) {
        return std::ranges::count(filters, name) > 0;
    };
    return std::ranges::any_of(
               sessions_, [&](const auto& session) { return names_it(session.second.filters); }) ||
           std::ranges::any_of(config_.bgp_listen_ranges,
                               [&](const auto& range) { return names_it(range.filters); });
}

// They are asked for as long as the speaker lives, which we own; each call makes it ask anew.
void Peering::set_filters()
{
    hops_.forget();
    speaker_->set_import_filter(
        [this](const bgp::FilterContext& context, const bgp::AttributesPtr& attributes) {
            return rules_.import_route(context.peer.policy,
                                       {any_prefix(context.prefix),
                                        attributes,
                                        {true, !context.internal, {}, &interface_of_hop_}},
                                       context.pool);
        });
    speaker_->set_export_filter([this](const bgp::FilterContext& context,
                                       const bgp::AttributesPtr& attributes) {
        const auto prefix = any_prefix(context.prefix);
        return rules_.export_route(context.peer.policy,
                                   {prefix,
                                    attributes,
                                    {!context.own, !context.internal,
                                     context.own ? interface_of(prefix) : "", &interface_of_hop_}},
                                   context.pool);
    });
}

std::string Peering::interface_of(const model::AnyPrefix& own) const
{
    const auto* prefix = std::get_if<Prefix4>(&own);
    const auto at = prefix ? announcements_.find(*prefix) : announcements_.end();
    return at == announcements_.end() ? "" : at->second.interface_name;
}

bgp::Callbacks Peering::speaker_callbacks()
{
    bgp::Callbacks callbacks;
    callbacks.on_routes = callbacks_.on_routes;
    callbacks.on_routes6 = callbacks_.on_routes6;
    callbacks.on_peer_state = [this](const bgp::PeerStatus& peer) {
        on_peer_state(peer);
        if (callbacks_.on_peer)
            callbacks_.on_peer(peer);
    };
    callbacks.on_initial_sync_done = callbacks_.on_settled;
    callbacks.watch_next_hop = [this](const Ip& hop) {
        return hop.is_v4() ? resolver_.watch_way(hop.v4()).path.has_value()
                           : resolver6_.watch_way(hop.v6()).path.has_value();
    };
    callbacks.unwatch_next_hop = [this](const Ip& hop) {
        hop.is_v4() ? resolver_.unwatch_way(hop.v4()) : resolver6_.unwatch_way(hop.v6());
    };
    return callbacks;
}

template <typename A>
void Peering::note_targets(const kernel::ResolverOf<A>& resolver, const std::vector<A>& targets)
{
    for (const A target : targets)
        if (const kernel::TargetOf<A>* found = resolver.find(target); found && speaker_)
            speaker_->set_next_hop(target, found->path.has_value());
}

template void Peering::note_targets(const kernel::Resolver&, const std::vector<Ipv4>&);
template void Peering::note_targets(const kernel::Resolver6&, const std::vector<Ipv6>&);

void Peering::restart(const bgp::SpeakerConfig& config)
{
    if (speaker_)
        log_->info("BGP begins anew: own address, AS or port changed");
    speaker_ = std::make_unique<bgp::Speaker>(executor_, log_, config, speaker_callbacks());
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
    if (peer.range) {
        if (neighbours_log_.allow(std::chrono::steady_clock::now()))
            log_->info("BGP peer={} of range {}: {}", peer.name, peer.range->str(),
                       peer.why_down.empty() ? "session up" : peer.why_down);
        return;
    }
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
        add_peer(name, session, passwords, peers);
    }
    hand_over_ranges(passwords);
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

// Where a password is asked for that cannot be had there is no session.
void Peering::add_peer(const std::string& name, const model::BgpSession& session, Passwords& read,
                       std::vector<bgp::PeerConfig>& into)
{
    if (!session.workload_interface.empty() && !session.source) {
        refused_[name] = "BGPConfiguration default has no localWorkloadPeeringIPV4";
        return;
    }
    std::string password;
    if (session.password) {
        const auto& found = password_of(*session.password, read);
        if (!found) {
            refused_[name] = "no password: " + found.error().what;
            return;
        }
        password = *found;
    }
    into.push_back(peer_config(name, session, password, config_));
}

void Peering::hand_over_ranges(Passwords& read)
{
    std::vector<bgp::PeerRange> ranges;
    refused_ranges_.clear();
    for (const config::ListenRange& range : config_.bgp_listen_ranges) {
        std::string password;
        if (!range.secret.empty()) {
            const auto& found = password_of({range.secret, range.secret_key}, read);
            if (!found) {
                refused_ranges_[range.prefix] =
                    "no password: " + found.error().what + "; nobody is let in from there";
                continue;
            }
            password = *found;
        }
        ranges.push_back(peer_range(range, local_.as_number, password, config_.bgp_hold_time));
    }
    speaker_->set_ranges(std::move(ranges));
}

// Each file is read once for all that name it.
const Result<std::string>& Peering::password_of(const model::SecretKeyRef& secret, Passwords& read)
{
    auto known = read.find(secret);
    if (known == read.end())
        known = read.emplace(secret, bgp_rules::read_password(config_.bgp_password_folder, secret))
                    .first;
    return known->second;
}

void Peering::note_missing_filters()
{
    filter_warnings_.clear();
    range_warnings_.clear();
    for (const auto& [name, session] : sessions_)
        if (const auto missing = rules_.missing(session.filters); !missing.empty())
            filter_warnings_[name] =
                "BGPFilter " + bgp_rules::chain_of(missing) +
                " is not there: no route is told to this peer or taken from it";
    for (const config::ListenRange& range : config_.bgp_listen_ranges)
        if (const auto missing = rules_.missing(range.filters); !missing.empty())
            range_warnings_[range.prefix] =
                "BGPFilter " + bgp_rules::chain_of(missing) +
                " is not there: no route is told to its peers or taken from them";
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
    for (const auto* table : {&refused_ranges_, &range_warnings_})
        for (const auto& [prefix, text] : *table)
            list.push_back("bgp-listen-range " + prefix.str() + ": " + text);
    if (!cluster_trouble_.empty())
        list.push_back(cluster_trouble_);
    return list;
}

void Peering::shutdown(bgp::Speaker::Goodbye goodbye)
{
    if (speaker_)
        speaker_->shutdown(goodbye);
    speaker_.reset();
    hops_.forget();
    bfd_.stop();
    running_.reset();
    passwords_timer_.stop();
    peer_addresses_.clear();
    refused_.clear();
    refused_ranges_.clear();
}

} // namespace margay
