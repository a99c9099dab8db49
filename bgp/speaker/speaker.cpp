// SPDX-License-Identifier: Apache-2.0
#include "bgp/speaker/speaker.h"

#include "bgp/speaker/neighbours.h"
#include "bgp/speaker/views.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <set>

namespace margay::bgp {
namespace {

constexpr std::size_t kDecisionsPerTurn = 2048; // each may be news for the caller
constexpr std::size_t kPrefixesPerTurn = 4096; // told to a group of peers
constexpr auto kListenRetry = std::chrono::seconds(5);

} // namespace

class Speaker::Impl final : public std::enable_shared_from_this<Impl>, private PeerHost {
public:
    Impl(Executor& executor, std::shared_ptr<spdlog::logger> log, SpeakerConfig config,
         Callbacks callbacks)
        : executor_(executor), log_(std::move(log)), config_(config),
          callbacks_(std::move(callbacks)), decoder_(pool_),
          next_hops_(callbacks_.watch_next_hop, callbacks_.unwatch_next_hop),
          ipv4_(rib_config(config), &next_hops_,
                [this](auto&&... args) { return exported(args...); }),
          ipv6_(rib_config(config), &next_hops_,
                [this](auto&&... args) { return exported(args...); }),
          listener4_(executor, acceptor()), listener6_(executor, acceptor()),
          listen_timer_(executor), sync_timer_(executor)
    {
    }

    Status listen();
    bool listening() const { return listener4_.is_open() || listener6_.is_open(); }
    void set_peers(std::vector<PeerConfig> wanted);
    void set_ranges(std::vector<PeerRange> wanted);
    template <typename P>
    void announce(const P& prefix, const Announcement& announcement);
    template <typename P>
    void withdraw(const P& prefix);
    void announcements_complete();
    void set_next_hop(const Ip& hop, bool reachable);
    void set_import_filter(RouteFilter filter);
    void set_export_filter(RouteFilter filter);
    void lose_peer(const std::string& name, const std::string& why);
    void shutdown(Goodbye goodbye);

    bool sync_done() const { return sync_done_; }
    const Refusals& refusals() const { return refusals_; }
    const NextHops& next_hops() const { return next_hops_; }
    Views views() const { return {peers_, ipv4_, ipv6_}; }
    TableCounts counts() const { return views().counts(pool_.size()); }

private:
    // PeerHost
    Executor& executor() override { return executor_; }
    spdlog::logger& log() override { return *log_; }
    const SpeakerConfig& config() const override { return config_; }
    Tables<Prefix4>& ipv4() override { return ipv4_; }
    Tables<Prefix6>& ipv6() override { return ipv6_; }
    UpdateDecoder& decoder() override { return decoder_; }
    RestartState restart_state() const override;
    bool may_end_rib() const override;
    void schedule_turn() override;
    void on_peer_changed(const Peer& peer) override;

    static RibConfig rib_config(const SpeakerConfig& config)
    {
        return {config.local_as, config.router_id, config.cluster()};
    }
    Listener::OnAccept acceptor()
    {
        return [this](auto socket, const Source& from) { on_accept(std::move(socket), from); };
    }
    void on_accept(Connection::Tcp::socket socket, const Source& from);
    void hand_over_passwords();

    template <typename P>
    AttributesPtr imported(const RouteFilter& filter, PeerId id, const P& prefix,
                           const AttributesPtr& attributes);
    template <typename P>
    AttributesPtr exported(const PeerConfig& to, const ExportView& view, const P& prefix,
                           const Path& path);

    void turn();
    bool flush_peers();
    bool has_work() const { return ipv4_.rib().has_work() || ipv6_.rib().has_work(); }
    bool check_sync();
    void report(bool synced_now);

    template <typename P>
    Tables<P>& tables()
    {
        return of_family<P>(ipv4_, ipv6_);
    }

    Executor& executor_;
    std::shared_ptr<spdlog::logger> log_;
    const SpeakerConfig config_;
    AttributePool pool_; // outlives whatever of ours holds attributes
    Callbacks callbacks_;
    UpdateDecoder decoder_;
    NextHops next_hops_; // outlives the tables
    Tables<Prefix4> ipv4_;
    Tables<Prefix6> ipv6_;
    Listener listener4_;
    Listener listener6_;
    Timer listen_timer_;
    Timer sync_timer_;
    RouteFilter export_filter_;
    PeerSet peers_{*this};
    Refusals refusals_{*log_};
    Neighbours neighbours_{peers_, refusals_, config_.dynamic_limit};
    std::set<PeerId> changed_peers_; // news for on_peer_state
    bool turn_scheduled_ = false;
    bool stopped_ = false;
    bool peers_known_ = false;
    bool announcements_complete_ = false;
    bool sync_done_ = false;
    bool sync_time_over_ = false;
};

// ---- Sessions ----------------------------------------------------------------------------------

// Without an address of its own it listens for both families; a kernel without IPv6 is none the worse.
Status Speaker::Impl::listen()
{
    if (config_.listen_port == 0 || stopped_)
        return {};
    const Ip address = config_.listen_address.value_or(Ip(Ipv4()));
    Listener& main = address.is_v4() ? listener4_ : listener6_;
    Status status = main.open(address, config_.listen_port);
    if (status && !config_.listen_address)
        (void)listener6_.open(Ip(Ipv6()), config_.listen_port);
    if (!status)
        listen_timer_.start(kListenRetry, [this] {
            if (listen())
                log_->info("listening port={}", config_.listen_port);
        });
    return status;
}

// RFC 4486 section 4: whoever is one too many is told so.
void Speaker::Impl::on_accept(Connection::Tcp::socket socket, const Source& from)
{
    const Ranges& ranges = neighbours_.ranges();
    Peer* match = peers_.find(from);
    const PeerRange* range = match ? nullptr : ranges.find(from.address);
    if (!match && !range)
        return refusals_.add(from.address,
                             ranges.empty() ? "not a peer" : "not a peer, nor in a range");
    const std::string& password = match ? match->config().password : range->peer.password;
    const auto& unchecked = (from.address.is_v4() ? listener4_ : listener6_).refused_passwords();
    const auto& of_range = match ? match->config().range : range->prefix;
    if (!password.empty() && unchecked.contains(of_range.value_or(IpPrefix::host(from.address))))
        return refusals_.add(from.address, "the kernel does not check its password (TCP MD5)");
    if (!match)
        match = neighbours_.admit(*range, from);
    if (match)
        return match->accept(std::move(socket));
    Bytes message;
    encode_notification({ErrorCode::Cease, cease::kRejected, {}}, message);
    boost::system::error_code ignored;
    socket.non_blocking(true, ignored);
    socket.write_some(boost::asio::buffer(message), ignored);
}

void Speaker::Impl::hand_over_passwords()
{
    const Ranges& ranges = neighbours_.ranges();
    Listener::Passwords passwords;
    for (const auto& [name, peer] : peers_.all())
        if (!peer->config().password.empty())
            passwords.emplace(IpPrefix::host(peer->config().address), peer->config().password);
    for (const auto& [prefix, range] : ranges.all())
        if (!range.peer.password.empty())
            passwords.emplace(prefix, range.peer.password);
    for (Listener* listener : {&listener4_, &listener6_}) {
        listener->set_passwords(passwords);
        for (const auto& [peer, why] : listener->refused_passwords())
            log_->error("TCP MD5 is not to be had peer={}: {}", peer.str(), why);
    }
    // The kernel has no exception from a range's password.
    for (const auto& [name, peer] : peers_.all())
        if (const PeerRange* range = ranges.find(peer->config().address);
            range && !range->peer.password.empty() && peer->config().password.empty())
            log_->error("peer={} has no password but is in a range that has one, {}: it cannot "
                        "connect, and must be dialed",
                        name, range->prefix.str());
}

void Speaker::Impl::set_peers(std::vector<PeerConfig> wanted)
{
    if (stopped_)
        return;
    std::map<std::string, PeerConfig> by_name;
    for (PeerConfig& config : wanted)
        by_name.emplace(config.name, std::move(config));

    neighbours_.give_way(by_name);
    for (auto at = peers_.all().begin(); at != peers_.all().end();) {
        Peer& peer = *at++->second;
        if (peer.config().range)
            continue;
        const auto found = by_name.find(peer.config().name);
        if (found == by_name.end())
            peers_.remove(peer, cease::kPeerRemoved);
        else if (found->second.same_session(peer.config()))
            peer.set_policy(found->second.policy);
        else
            peers_.remove(peer, cease::kConfigChange);
    }
    std::vector<Peer*> fresh;
    for (auto& [name, config] : by_name)
        if (!peers_.contains(name))
            if (Peer* peer =
                    peers_.add(std::move(config), fresh.empty() ? kOurselves : fresh.back()->id()))
                fresh.push_back(peer);
    hand_over_passwords(); // before anybody may connect
    for (Peer* peer : fresh)
        peer->start();
    if (!peers_known_ && !sync_done_)
        sync_timer_.start(config_.restart_time, [this] {
            sync_time_over_ = true;
            schedule_turn();
        });
    peers_known_ = true;
    schedule_turn();
}

void Speaker::Impl::set_ranges(std::vector<PeerRange> wanted)
{
    if (stopped_)
        return;
    neighbours_.set_ranges(std::move(wanted));
    hand_over_passwords();
    schedule_turn();
}

void Speaker::Impl::on_peer_changed(const Peer& peer)
{
    changed_peers_.insert(peer.id());
    schedule_turn();
}

RestartState Speaker::Impl::restart_state() const
{
    const bool restarting = config_.restarting && !sync_done_;
    return RestartState{restarting, config_.restarting || sync_done_};
}

void Speaker::Impl::shutdown(Goodbye goodbye)
{
    if (std::exchange(stopped_, true))
        return;
    callbacks_ = {}; // what we no longer know is not gone
    next_hops_.close();
    listener4_.close();
    listener6_.close();
    listen_timer_.stop();
    sync_timer_.stop();
    for (const auto& [name, peer] : peers_.all()) {
        if (goodbye == Goodbye::Notify || (goodbye == Goodbye::Restart && peer->drops_our_routes()))
            peer->stop(shutdown_notice(cease::kAdminShutdown, "margayd stops"));
        else
            peer->abandon();
    }
}

// ---- Routes ------------------------------------------------------------------------------------

template <typename P>
void Speaker::Impl::announce(const P& prefix, const Announcement& announcement)
{
    Attributes attributes;
    attributes.local_pref = announcement.local_pref;
    attributes.med = announcement.med;
    attributes.communities = announcement.communities;
    if (!tables<P>().rib().announce(prefix.network(), pool_.intern(attributes)))
        log_->error("the table is full: own route left out prefix={}", prefix.str());
    schedule_turn();
}

template <typename P>
void Speaker::Impl::withdraw(const P& prefix)
{
    tables<P>().rib().retract(prefix.network());
    schedule_turn();
}

void Speaker::Impl::announcements_complete()
{
    announcements_complete_ = true;
    schedule_turn();
}

void Speaker::Impl::set_next_hop(const Ip& hop, bool reachable)
{
    if (!next_hops_.set(hop, reachable))
        return;
    ipv4_.rib().next_hops_changed();
    ipv6_.rib().next_hops_changed();
    schedule_turn();
}

void Speaker::Impl::set_import_filter(RouteFilter filter)
{
    const auto set = [&]<typename P>(Tables<P>& tables) {
        if (!filter)
            return tables.rib().set_import_policy({});
        tables.rib().set_import_policy(
            [this, filter](PeerId id, const P& prefix, const AttributesPtr& attributes) {
                return imported(filter, id, prefix, attributes);
            });
    };
    set(ipv4_);
    set(ipv6_);
    schedule_turn();
}

// A route may outlive its peer by some turns; who knows what the filter would say.
template <typename P>
AttributesPtr Speaker::Impl::imported(const RouteFilter& filter, PeerId id, const P& prefix,
                                      const AttributesPtr& attributes)
{
    const Peer* peer = peers_.find(id);
    if (!peer)
        return attributes;
    const bool internal = tables<P>().rib().traits(id).internal;
    return filter(FilterContext{peer->config(), internal, IpPrefix(prefix), pool_}, attributes);
}

void Speaker::Impl::set_export_filter(RouteFilter filter)
{
    export_filter_ = std::move(filter);
    ipv4_.policy_changed();
    ipv6_.policy_changed();
    schedule_turn();
}

// RFC 4724 4.1: a restarting speaker passes nothing on before it has heard everybody.
template <typename P>
AttributesPtr Speaker::Impl::exported(const PeerConfig& to, const ExportView& view, const P& prefix,
                                      const Path& path)
{
    const bool own = path.peer == kOurselves;
    if (!own && config_.restarting && !sync_done_)
        return nullptr;
    if (!export_filter_)
        return path.accepted;
    return export_filter_(FilterContext{to, view.internal, IpPrefix(prefix), pool_, own},
                          path.accepted);
}

bool Speaker::Impl::may_end_rib() const
{
    return announcements_complete_ && (!config_.restarting || sync_done_);
}

// ---- The turn ----------------------------------------------------------------------------------

void Speaker::Impl::schedule_turn()
{
    if (std::exchange(turn_scheduled_, true))
        return;
    boost::asio::post(executor_, [self = weak_from_this()] {
        if (const auto alive = self.lock())
            alive->turn();
    });
}

// 1. decide, 2. tell the peers, 3. tell the caller. The callbacks come last, because they may
// change anything, even end us.
void Speaker::Impl::turn()
{
    turn_scheduled_ = false;
    ipv4_.rib().work(kDecisionsPerTurn);
    ipv6_.rib().work(kDecisionsPerTurn);
    const bool synced_now = check_sync();
    const bool more = flush_peers();
    if (more || has_work())
        schedule_turn();
    if (callbacks_.on_routes)
        ipv4_.collect_changes();
    if (callbacks_.on_routes6)
        ipv6_.collect_changes();
    report(synced_now);
    ipv4_.forget_changed();
    ipv6_.forget_changed();
}

bool Speaker::Impl::flush_peers()
{
    const auto has_room = [this](PeerId id) { return peers_.find(id)->has_room(); };
    const auto deliver = [this](PeerId id, std::span<const ByteView> pieces, std::size_t messages) {
        peers_.find(id)->send_updates(pieces, messages);
    };
    const bool more4 = ipv4_.fill(has_room, deliver, kPrefixesPerTurn);
    const bool more6 = ipv6_.fill(has_room, deliver, kPrefixesPerTurn);
    for (const auto& [name, peer] : peers_.all())
        if (peer->up())
            peer->send_what_is_due();
    return more4 || more6;
}

bool Speaker::Impl::check_sync()
{
    if (sync_done_ || !peers_known_ || stopped_ || (has_work() && !sync_time_over_))
        return false;
    // Which neighbours of a range were there before nobody knows: they have the whole time to come back.
    const bool all = (neighbours_.ranges().empty() || !config_.restarting) &&
                     std::ranges::all_of(peers_.all(), [](const auto& p) {
                         return p.second->config().range || p.second->synced();
                     });
    if (!all && !sync_time_over_)
        return false;
    sync_done_ = true;
    sync_timer_.stop();
    log_->info("initial routes complete peers={} routes={} all_heard={}", peers_.all().size(),
               ipv4_.reachable() + ipv6_.reachable(), all);
    if (config_.restarting) {
        ipv4_.policy_changed();
        ipv6_.policy_changed();
    }
    return true;
}

void Speaker::Impl::report(bool synced_now)
{
    std::vector<PeerStatus> news;
    for (const PeerId id : std::exchange(changed_peers_, {}))
        if (const Peer* peer = peers_.find(id))
            news.push_back(peer->status());
    neighbours_.forget_spent(news);
    std::erase_if(news, std::mem_fn(&PeerStatus::is_stranger));
    const Callbacks tell = callbacks_; // a callback may end us
    if (tell.on_routes && !ipv4_.changes().empty())
        tell.on_routes(ipv4_.changes());
    if (tell.on_routes6 && !stopped_ && !ipv6_.changes().empty())
        tell.on_routes6(ipv6_.changes());
    for (const PeerStatus& status : news)
        if (tell.on_peer_state)
            tell.on_peer_state(status);
    if (synced_now && tell.on_initial_sync_done)
        tell.on_initial_sync_done();
}

void Speaker::Impl::lose_peer(const std::string& name, const std::string& why)
{
    if (Peer* peer = peers_.find(name))
        peer->lose(why);
}

// ---- The handle --------------------------------------------------------------------------------

Speaker::Speaker(Executor& executor, std::shared_ptr<spdlog::logger> log, SpeakerConfig config,
                 Callbacks callbacks)
    : impl_(
          std::make_shared<Impl>(executor, std::move(log), std::move(config), std::move(callbacks)))
{
}

Speaker::~Speaker()
{
    shutdown(Goodbye::None);
}

Status Speaker::listen()
{
    return impl_->listen();
}

bool Speaker::listening() const
{
    return impl_->listening();
}

void Speaker::set_peers(std::vector<PeerConfig> peers)
{
    impl_->set_peers(std::move(peers));
}

void Speaker::set_ranges(std::vector<PeerRange> ranges)
{
    impl_->set_ranges(std::move(ranges));
}

void Speaker::announce(const Prefix4& prefix, const Announcement& announcement)
{
    impl_->announce(prefix, announcement);
}

void Speaker::announce(const Prefix6& prefix, const Announcement& announcement)
{
    impl_->announce(prefix, announcement);
}

void Speaker::withdraw(const Prefix4& prefix)
{
    impl_->withdraw(prefix);
}

void Speaker::withdraw(const Prefix6& prefix)
{
    impl_->withdraw(prefix);
}

void Speaker::announcements_complete()
{
    impl_->announcements_complete();
}

void Speaker::set_next_hop(const Ip& hop, bool reachable)
{
    impl_->set_next_hop(hop, reachable);
}

void Speaker::set_import_filter(RouteFilter filter)
{
    impl_->set_import_filter(std::move(filter));
}

void Speaker::set_export_filter(RouteFilter filter)
{
    impl_->set_export_filter(std::move(filter));
}

std::vector<PeerStatus> Speaker::peers() const
{
    return impl_->views().peers();
}

std::vector<RouteView> Speaker::routes() const
{
    return impl_->views().routes();
}

std::vector<ExportedView> Speaker::routes_to(const std::string& peer) const
{
    return impl_->views().routes_to(peer);
}

Portion<RouteView> Speaker::routes(const RouteQuery& query, const RouteCursor& from) const
{
    return impl_->views().routes(query, from);
}

Portion<ExportedView> Speaker::routes_to(const std::string& peer, const RouteQuery& query,
                                         const RouteCursor& from) const
{
    return impl_->views().routes_to(peer, query, from);
}

TableCounts Speaker::table_counts() const
{
    return impl_->counts();
}

void Speaker::lose_peer(const std::string& peer, const std::string& why)
{
    impl_->lose_peer(peer, why);
}

std::vector<LostNextHop> Speaker::lost_next_hops() const
{
    return impl_->next_hops().lost();
}

bool Speaker::initial_sync_done() const
{
    return impl_->sync_done();
}

std::uint64_t Speaker::refused_connections() const
{
    return impl_->refusals().total();
}

std::vector<RefusedConnection> Speaker::refused() const
{
    return impl_->refusals().latest();
}

void Speaker::shutdown(Goodbye goodbye)
{
    impl_->shutdown(goodbye);
}

} // namespace margay::bgp
