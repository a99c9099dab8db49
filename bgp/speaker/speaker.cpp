// SPDX-License-Identifier: Apache-2.0
#include "bgp/speaker/speaker.h"

#include "bgp/speaker/listener.h"
#include "bgp/speaker/peer.h"
#include "bgp/speaker/ranges.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <set>
#include <unordered_map>

namespace margay::bgp {
namespace {

constexpr std::size_t kDecisionsPerTurn = 2048; // each may be news for the caller
constexpr std::size_t kPrefixesPerTurn = 4096; // told to a group of peers
constexpr WalkBudget kPortion{16384, 512};
constexpr auto kListenRetry = std::chrono::seconds(5);
// Dynamic neighbours that are still to greet, of all ranges: the oldest gives way to a newcomer.
constexpr std::size_t kMostStrangers = 64;

RouteView& route_of(RouteView& view)
{
    return view;
}

RouteView& route_of(ExportedView& view)
{
    return view.route;
}

} // namespace

class Speaker::Impl final : public std::enable_shared_from_this<Impl>, private PeerHost {
public:
    Impl(Executor& executor, std::shared_ptr<spdlog::logger> log, SpeakerConfig config,
         Callbacks callbacks)
        : executor_(executor), log_(std::move(log)), config_(config),
          callbacks_(std::move(callbacks)), decoder_(pool_),
          ipv4_(rib_config(config), [this](auto&&... args) { return exported(args...); }),
          ipv6_(rib_config(config), [this](auto&&... args) { return exported(args...); }),
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
    void set_import_filter(RouteFilter filter);
    void set_export_filter(RouteFilter filter);
    std::vector<PeerStatus> peer_statuses() const;
    std::vector<RouteView> route_views() const;
    std::vector<ExportedView> exported_views(const std::string& name) const;
    Portion<RouteView> route_portion(const RouteQuery& query, RouteCursor from) const;
    Portion<ExportedView> exported_portion(const std::string& name, const RouteQuery& query,
                                           RouteCursor from) const;
    TableCounts counts() const;
    void lose_peer(const std::string& name, const std::string& why);
    void shutdown(Goodbye goodbye);

    bool sync_done() const { return sync_done_; }
    const Refusals& refusals() const { return refusals_; }

private:
    using Peers = std::map<std::string, std::unique_ptr<Peer>>; // by name

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
        return {config.local_as, config.router_id, config.cluster_id.value_or(config.router_id)};
    }
    Listener::OnAccept acceptor()
    {
        return [this](auto socket, const Source& from) { on_accept(std::move(socket), from); };
    }
    void on_accept(Connection::Tcp::socket socket, const Source& from);
    Peer* known_peer(const Source& from) const;
    void refuse(const Ip& from, const std::string& why);
    void hand_over_passwords();

    // Dynamic neighbours.
    Peer* new_neighbour(const PeerRange& range, const Source& from);
    std::string make_room(const PeerRange& range); // what is full; empty: there is room
    bool replace_stranger(const std::optional<IpPrefix>& range);
    void remove_neighbour(const Peer& peer, std::uint8_t subcode);
    void adjust_neighbours();
    void forget_neighbours(std::vector<PeerStatus>& news);
    std::optional<PeerId> free_peer_id() const;
    Peer* add_peer(PeerConfig config); // null: there are too many
    static void apply_policy(Peer& peer, const std::string& policy)
    {
        if (peer.config().policy != policy)
            peer.set_policy(policy);
    }
    void remove_peer(Peers::iterator at, std::uint8_t subcode);
    Peer* peer_by_id(PeerId id) const;
    template <typename View>
    void name_peers(std::vector<View>& views) const;
    template <typename P>
    std::optional<WalkQuery<P>> walk_query(const RouteQuery& query) const;
    template <typename View, typename Walk>
    Portion<View> portion(const RouteQuery& query, RouteCursor from, const Walk& walk) const;
    template <typename P>
    TableCounts::Family count(const Tables<P>& tables) const;

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
    template <typename P>
    const Tables<P>& tables() const
    {
        return of_family<P>(ipv4_, ipv6_);
    }

    Executor& executor_;
    std::shared_ptr<spdlog::logger> log_;
    const SpeakerConfig config_;
    AttributePool pool_; // outlives whatever of ours holds attributes
    Callbacks callbacks_;
    UpdateDecoder decoder_;
    Tables<Prefix4> ipv4_;
    Tables<Prefix6> ipv6_;
    Listener listener4_;
    Listener listener6_;
    Timer listen_timer_;
    Timer sync_timer_;
    RouteFilter export_filter_;
    Peers peers_;
    std::unordered_map<PeerId, Peer*> by_id_;
    std::set<PeerId> changed_peers_;          // news for on_peer_state
    bool turn_scheduled_ = false;
    bool stopped_ = false;
    bool peers_known_ = false;
    bool announcements_complete_ = false;
    bool sync_done_ = false;
    bool sync_time_over_ = false;
    Ranges ranges_;
    std::map<std::uint64_t, Peer*> neighbours_; // by dynamic ranges, the oldest first
    std::uint64_t neighbours_so_far_ = 0;
    Refusals refusals_;
    RateLimit refused_log_{3, std::chrono::seconds(30)};
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
    Peer* match = known_peer(from);
    const PeerRange* range = match ? nullptr : ranges_.find(from.address);
    if (!match && !range)
        return refuse(from.address, ranges_.empty() ? "not a peer" : "not a peer, nor in a range");
    const std::string& password = match ? match->config().password : range->peer.password;
    const auto& unchecked = (from.address.is_v4() ? listener4_ : listener6_).refused_passwords();
    const auto& of_range = match ? match->config().range : range->prefix;
    if (!password.empty() && unchecked.contains(of_range.value_or(IpPrefix::host(from.address))))
        return refuse(from.address, "the kernel does not check its password (TCP MD5)");
    if (!match)
        match = new_neighbour(*range, from);
    if (match)
        return match->accept(std::move(socket));
    Bytes message;
    encode_notification({ErrorCode::Cease, cease::kRejected, {}}, message);
    boost::system::error_code ignored;
    socket.non_blocking(true, ignored);
    socket.write_some(boost::asio::buffer(message), ignored);
}

Peer* Speaker::Impl::known_peer(const Source& from) const
{
    Peer* match = nullptr;
    for (const auto& [name, peer] : peers_)
        if (peer->config().address == from.address && peer->config().interface == from.interface &&
            (!match || match->up()))
            match = peer.get();
    return match;
}

void Speaker::Impl::refuse(const Ip& from, const std::string& why)
{
    refusals_.add(from, why);
    if (refused_log_.allow(std::chrono::steady_clock::now()))
        log_->warn("connection refused: {} address={} total={}", why, from.str(),
                   refusals_.total());
}

void Speaker::Impl::hand_over_passwords()
{
    Listener::Passwords passwords;
    for (const auto& [name, peer] : peers_)
        if (!peer->config().password.empty())
            passwords.emplace(IpPrefix::host(peer->config().address), peer->config().password);
    for (const auto& [prefix, range] : ranges_.all())
        if (!range.peer.password.empty())
            passwords.emplace(prefix, range.peer.password);
    for (Listener* listener : {&listener4_, &listener6_}) {
        listener->set_passwords(passwords);
        for (const auto& [peer, why] : listener->refused_passwords())
            log_->error("TCP MD5 is not to be had peer={}: {}", peer.str(), why);
    }
    for (const auto& [name, peer] : peers_) // the kernel has no exception from a range's password
        if (const PeerRange* range = ranges_.find(peer->config().address);
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

    for (auto at = peers_.begin(); at != peers_.end();) {
        const auto here = at++;
        const auto found = by_name.find(here->first);
        if (here->second->config().range && found == by_name.end())
            continue;
        if (found == by_name.end())
            remove_peer(here, cease::kPeerRemoved);
        else if (found->second.same_session(here->second->config()))
            apply_policy(*here->second, found->second.policy);
        else
            remove_peer(here, cease::kConfigChange);
    }
    for (const auto& [name, config] : by_name) // who is configured is no dynamic neighbour any more
        if (const Peer* known = known_peer({config.address, config.interface});
            known && known->config().range)
            remove_neighbour(*known, cease::kConfigChange);
    std::vector<Peer*> fresh;
    for (auto& [name, config] : by_name)
        if (!peers_.contains(name))
            if (Peer* peer = add_peer(std::move(config)))
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

// ---- Dynamic neighbours ------------------------------------------------------------------------

void Speaker::Impl::set_ranges(std::vector<PeerRange> wanted)
{
    if (stopped_)
        return;
    ranges_.set(std::move(wanted));
    adjust_neighbours();
    hand_over_passwords();
    schedule_turn();
}

// Each as its range would make it now.
void Speaker::Impl::adjust_neighbours()
{
    const auto before = neighbours_;
    for (const auto& [age, peer] : before) {
        const PeerConfig& config = peer->config();
        const PeerRange* range = ranges_.find(config.address);
        if (!range) {
            remove_neighbour(*peer, cease::kPeerRemoved);
            continue;
        }
        const PeerConfig now = neighbour_of(*range, {config.address, config.interface});
        if (now.name == config.name && now.same_session(config))
            apply_policy(*peer, now.policy);
        else
            remove_neighbour(*peer, cease::kConfigChange);
    }
}

// Null: it was refused.
Peer* Speaker::Impl::new_neighbour(const PeerRange& range, const Source& from)
{
    PeerConfig config = neighbour_of(range, from);
    if (peers_.contains(config.name)) {
        refuse(from.address, "a configured peer has its name, " + config.name);
        return nullptr;
    }
    if (const std::string full = make_room(range); !full.empty()) {
        refuse(from.address, "one too many: " + full);
        return nullptr;
    }
    Peer* peer = add_peer(std::move(config));
    if (!peer) {
        refuse(from.address, "there are too many peers");
        return nullptr;
    }
    neighbours_[neighbours_so_far_++] = peer;
    peer->start();
    return peer;
}

// Those that greeted have their place. Those that did not hold it against newcomers for as long as there
// is another: nobody fills a range by connecting alone.
std::string Speaker::Impl::make_room(const PeerRange& range)
{
    const auto strangers = std::ranges::count_if(
        neighbours_, [](const auto& entry) { return !entry.second->proven(); });
    if (static_cast<std::size_t>(strangers) >= kMostStrangers)
        replace_stranger(std::nullopt);
    const auto here = std::ranges::count_if(neighbours_, [&](const auto& entry) {
        return entry.second->config().range == range.prefix;
    });
    if (static_cast<std::size_t>(here) >= range.limit && !replace_stranger(range.prefix))
        return "range " + range.prefix.str() + " has its " + std::to_string(range.limit) +
               " dynamic neighbours";
    if (neighbours_.size() >= config_.dynamic_limit && !replace_stranger(std::nullopt))
        return "all ranges have their " + std::to_string(config_.dynamic_limit) +
               " dynamic neighbours";
    return "";
}

bool Speaker::Impl::replace_stranger(const std::optional<IpPrefix>& range)
{
    for (const auto& [age, peer] : neighbours_) {
        if (peer->proven() || (range && peer->config().range != range))
            continue;
        refuse(peer->config().address, "gave way to a newcomer before its session was up");
        peer->cut(); // or a flood of them would linger, each with a descriptor
        remove_neighbour(*peer, cease::kOutOfResources);
        return true;
    }
    return false;
}

void Speaker::Impl::remove_neighbour(const Peer& peer, std::uint8_t subcode)
{
    remove_peer(peers_.find(peer.config().name), subcode);
}

// A neighbour whose session never came up was none: that is told as a refusal.
void Speaker::Impl::forget_neighbours(std::vector<PeerStatus>& news)
{
    const auto before = neighbours_;
    for (const auto& [age, peer] : before) {
        if (!peer->is_spent())
            continue;
        PeerStatus last = peer->status();
        last.forgotten = true;
        if (last.is_stranger())
            refuse(last.address, last.why_down);
        std::erase_if(news, [&](const PeerStatus& status) { return status.name == last.name; });
        news.push_back(std::move(last));
        remove_neighbour(*peer, cease::kPeerRemoved);
    }
}

// ---- Peers by number ---------------------------------------------------------------------------

// Numbers are used again when both families have forgotten them.
std::optional<PeerId> Speaker::Impl::free_peer_id() const
{
    constexpr PeerId kEnd = 0x7ffe; // the numbers above mean something to the groups
    for (PeerId id = 1; id < kEnd; ++id)
        if (!ipv4_.rib().knows(id) && !ipv6_.rib().knows(id))
            return id;
    return std::nullopt;
}

Peer* Speaker::Impl::add_peer(PeerConfig config)
{
    const auto id = free_peer_id();
    if (!id) {
        log_->error("peer left out: there are too many peer={}", config.name);
        return nullptr;
    }
    ipv4_.rib().add_peer(*id);
    ipv6_.rib().add_peer(*id);
    PeerHost& host = *this;
    const std::string name = config.name;
    auto& peer = peers_[name] = std::make_unique<Peer>(host, *id, std::move(config));
    return by_id_[*id] = peer.get();
}

void Speaker::Impl::remove_peer(Peers::iterator at, std::uint8_t subcode)
{
    const PeerId id = at->second->id();
    std::erase_if(neighbours_, [&](const auto& entry) { return entry.second == at->second.get(); });
    at->second->stop(Notify{ErrorCode::Cease, subcode, {}});
    by_id_.erase(id);
    changed_peers_.erase(id);
    peers_.erase(at);
    ipv4_.rib().remove(id);
    ipv6_.rib().remove(id);
    ipv4_.forget(id);
    ipv6_.forget(id);
}

Peer* Speaker::Impl::peer_by_id(PeerId id) const
{
    const auto found = by_id_.find(id);
    return found == by_id_.end() ? nullptr : found->second;
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
    listener4_.close();
    listener6_.close();
    listen_timer_.stop();
    sync_timer_.stop();
    for (const auto& [name, peer] : peers_) {
        if (goodbye == Goodbye::Notify ||
            (goodbye == Goodbye::Restart && !peer->keeps_our_routes()))
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
    const Peer* peer = peer_by_id(id);
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
    const auto has_room = [this](PeerId id) { return peer_by_id(id)->has_room(); };
    const auto deliver = [this](PeerId id, std::span<const ByteView> pieces, std::size_t messages) {
        peer_by_id(id)->send_updates(pieces, messages);
    };
    const bool more4 = ipv4_.fill(has_room, deliver, kPrefixesPerTurn);
    const bool more6 = ipv6_.fill(has_room, deliver, kPrefixesPerTurn);
    for (const auto& [name, peer] : peers_)
        if (peer->up())
            peer->send_what_is_due();
    return more4 || more6;
}

bool Speaker::Impl::check_sync()
{
    if (sync_done_ || !peers_known_ || stopped_ || (has_work() && !sync_time_over_))
        return false;
    // Which neighbours of a range were there before nobody knows: they have the whole time to come back.
    const bool all =
        (ranges_.empty() || !config_.restarting) && std::ranges::all_of(peers_, [](const auto& p) {
            return p.second->config().range || p.second->synced();
        });
    if (!all && !sync_time_over_)
        return false;
    sync_done_ = true;
    sync_timer_.stop();
    log_->info("initial routes complete peers={} routes={} all_heard={}", peers_.size(),
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
        if (const Peer* peer = peer_by_id(id))
            news.push_back(peer->status());
    forget_neighbours(news);
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

// ---- Views -------------------------------------------------------------------------------------

std::vector<PeerStatus> Speaker::Impl::peer_statuses() const
{
    std::vector<PeerStatus> statuses;
    for (const auto& [name, peer] : peers_)
        statuses.push_back(peer->status());
    return statuses;
}

// A route may outlive its peer by some turns: then it has no name.
template <typename View>
void Speaker::Impl::name_peers(std::vector<View>& views) const
{
    for (View& each : views)
        if (const Peer* peer = peer_by_id(route_of(each).peer_id))
            route_of(each).peer = peer->config().name;
}

std::vector<RouteView> Speaker::Impl::route_views() const
{
    std::vector<RouteView> views;
    ipv4_.append_views({}, 0, kWholeWalk, views);
    ipv6_.append_views({}, 0, kWholeWalk, views);
    name_peers(views);
    std::ranges::sort(views, [](const RouteView& a, const RouteView& b) {
        return std::tie(a.prefix, b.best, a.from, a.path) <
               std::tie(b.prefix, a.best, b.from, b.path);
    });
    return views;
}

std::vector<ExportedView> Speaker::Impl::exported_views(const std::string& name) const
{
    std::vector<ExportedView> views;
    const auto found = peers_.find(name);
    if (found == peers_.end() || !found->second->up())
        return views;
    const Peer& peer = *found->second;
    if (peer.carries<Prefix4>())
        ipv4_.append_exported(peer.id(), peer.export_view<Prefix4>(), peer.config(), {}, 0,
                              kWholeWalk, views);
    if (peer.carries<Prefix6>())
        ipv6_.append_exported(peer.id(), peer.export_view<Prefix6>(), peer.config(), {}, 0,
                              kWholeWalk, views);
    name_peers(views);
    std::ranges::sort(views, {}, [](const ExportedView& view) { return view.route.prefix; });
    return views;
}

// Empty: nothing of this family is wanted.
template <typename P>
std::optional<WalkQuery<P>> Speaker::Impl::walk_query(const RouteQuery& query) const
{
    WalkQuery<P> walk;
    walk.match = query.match;
    if (!query.received_from.empty()) {
        const auto peer = peers_.find(query.received_from);
        if (peer == peers_.end())
            return std::nullopt;
        walk.from = peer->second->id();
    }
    if (!query.prefix)
        return walk;
    if constexpr (std::is_same_v<P, Prefix4>) {
        if (!query.prefix->is_v4())
            return std::nullopt;
        walk.prefix = query.prefix->v4().network();
    } else {
        if (query.prefix->is_v4())
            return std::nullopt;
        walk.prefix = query.prefix->v6().network();
    }
    return walk;
}

// IPv4 first, then IPv6 from its beginning: a portion is of one family.
template <typename View, typename Walk>
Portion<View> Speaker::Impl::portion(const RouteQuery& query, RouteCursor from,
                                     const Walk& walk) const
{
    Portion<View> portion;
    if (!from.ipv6) {
        const auto wanted = walk_query<Prefix4>(query);
        const EntryId next = wanted ? walk(*wanted, from.entry, portion.views) : kNoEntry;
        if (next != kNoEntry)
            portion.next = RouteCursor{false, next};
        else if (walk_query<Prefix6>(query))
            portion.next = RouteCursor{true, 0};
    } else if (const auto wanted = walk_query<Prefix6>(query)) {
        if (const EntryId next = walk(*wanted, from.entry, portion.views); next != kNoEntry)
            portion.next = RouteCursor{true, next};
    }
    name_peers(portion.views);
    return portion;
}

Portion<RouteView> Speaker::Impl::route_portion(const RouteQuery& query, RouteCursor from) const
{
    return portion<RouteView>(
        query, from, [this]<typename P>(const WalkQuery<P>& wanted, EntryId entry, auto& views) {
            return tables<P>().append_views(wanted, entry, kPortion, views);
        });
}

Portion<ExportedView> Speaker::Impl::exported_portion(const std::string& name,
                                                      const RouteQuery& query,
                                                      RouteCursor from) const
{
    const auto found = peers_.find(name);
    if (found == peers_.end() || !found->second->up())
        return {};
    const Peer& peer = *found->second;
    return portion<ExportedView>(
        query, from,
        [this, &peer]<typename P>(const WalkQuery<P>& wanted, EntryId entry, auto& views) {
            if (!peer.carries<P>())
                return kNoEntry;
            return tables<P>().append_exported(peer.id(), peer.export_view<P>(), peer.config(),
                                               wanted, entry, kPortion, views);
        });
}

template <typename P>
TableCounts::Family Speaker::Impl::count(const Tables<P>& tables) const
{
    TableCounts::Family counts{tables.rib().table().size(), tables.reachable(), 0};
    for (const auto& [id, peer] : by_id_)
        counts.paths += tables.rib().count(id);
    return counts;
}

TableCounts Speaker::Impl::counts() const
{
    return {count(ipv4_), count(ipv6_), pool_.size()};
}

void Speaker::Impl::lose_peer(const std::string& name, const std::string& why)
{
    if (const auto found = peers_.find(name); found != peers_.end())
        found->second->lose(why);
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
    return impl_->peer_statuses();
}

std::vector<RouteView> Speaker::routes() const
{
    return impl_->route_views();
}

std::vector<ExportedView> Speaker::routes_to(const std::string& peer) const
{
    return impl_->exported_views(peer);
}

Portion<RouteView> Speaker::routes(const RouteQuery& query, const RouteCursor& from) const
{
    return impl_->route_portion(query, from);
}

Portion<ExportedView> Speaker::routes_to(const std::string& peer, const RouteQuery& query,
                                         const RouteCursor& from) const
{
    return impl_->exported_portion(peer, query, from);
}

TableCounts Speaker::table_counts() const
{
    return impl_->counts();
}

void Speaker::lose_peer(const std::string& peer, const std::string& why)
{
    impl_->lose_peer(peer, why);
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
