// SPDX-License-Identifier: Apache-2.0
#include "bgp/speaker/speaker.h"

#include "bgp/rib/update_group.h"
#include "bgp/speaker/listener.h"
#include "bgp/speaker/peer.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <set>
#include <unordered_map>

namespace margay::bgp {
namespace {

constexpr std::size_t kDecisionsPerTurn = 16384;
constexpr std::size_t kPrefixesPerTurn = 4096; // told to a group of peers
constexpr auto kListenRetry = std::chrono::seconds(5);

} // namespace

class Speaker::Impl final : public std::enable_shared_from_this<Impl>, private PeerHost {
public:
    Impl(Executor& executor, std::shared_ptr<spdlog::logger> log, SpeakerConfig config,
         Callbacks callbacks)
        : executor_(executor), log_(std::move(log)), config_(config),
          callbacks_(std::move(callbacks)), decoder_(pool_),
          rib_(RibConfig{config.local_as, config.router_id,
                         config.cluster_id.value_or(config.router_id)}),
          listener_(executor,
                    [this](auto socket, const Ip& from) { on_accept(std::move(socket), from); }),
          listen_timer_(executor), sync_timer_(executor)
    {
    }

    Status listen();
    bool listening() const { return listener_.is_open(); }
    void set_peers(std::vector<PeerConfig> wanted);
    void announce(const Prefix4& prefix, const Announcement& announcement);
    void withdraw(const Prefix4& prefix);
    void announcements_complete();
    void set_import_filter(RouteFilter filter);
    void set_export_filter(RouteFilter filter);
    std::vector<PeerStatus> peer_statuses() const;
    std::vector<RouteView> route_views() const;
    void shutdown(Goodbye goodbye);

    bool sync_done() const { return sync_done_; }
    std::uint64_t refused() const { return refused_; }

private:
    using Peers = std::map<std::string, std::unique_ptr<Peer>>; // by name

    // PeerHost
    Executor& executor() override { return executor_; }
    spdlog::logger& log() override { return *log_; }
    const SpeakerConfig& config() const override { return config_; }
    Rib& rib() override { return rib_; }
    UpdateDecoder& decoder() override { return decoder_; }
    void join(const Peer& peer) override { enter_group(peer, false); }
    void leave(const Peer& peer) override;
    void refresh(const Peer& peer) override;
    bool has_told(const Peer& peer, std::uint64_t change) const override;
    std::size_t advertised(const Peer& peer) const override;
    RestartState restart_state() const override;
    bool may_end_rib() const override;
    void schedule_turn() override;
    void on_peer_changed(const Peer& peer) override;

    void on_accept(Connection::Tcp::socket socket, const Ip& from);
    void remove_peer(Peers::iterator at, std::uint8_t subcode);
    Peer* peer_by_id(PeerId id) const;

    AttributesPtr exported(PeerId peer, const Prefix4& prefix, const Path& best);
    UpdateGroup* group_of(const Peer& peer) const;
    void enter_group(const Peer& peer, bool heard);

    void turn();
    void collect_changes();
    bool flush_peers();
    bool check_sync();
    void report(bool synced_now);
    bool note_route_change(EntryId id);
    bool report_reachable(EntryId id, bool reachable);
    RouteView view(const Prefix4& prefix, const Path& path, const std::optional<Step>& step) const;

    Executor& executor_;
    std::shared_ptr<spdlog::logger> log_;
    const SpeakerConfig config_;
    AttributePool pool_; // outlives whatever of ours holds attributes
    Callbacks callbacks_;
    UpdateDecoder decoder_;
    Rib rib_;
    std::vector<std::unique_ptr<UpdateGroup>> groups_;
    std::unordered_map<PeerId, UpdateGroup*> group_of_; // of each peer with a session
    Listener listener_;
    Timer listen_timer_;
    Timer sync_timer_;
    RouteFilter export_filter_;
    Peers peers_;
    std::unordered_map<PeerId, Peer*> by_id_;
    std::set<PeerId> changed_peers_;          // news for on_peer_state
    // What one turn reports; the memory is used again.
    std::vector<RouteChange> changes_;
    std::vector<NextHop> hops_;
    std::vector<std::size_t> hop_ends_; // of each change
    std::vector<bool> reported_;              // by entry: the caller believes it reachable
    std::size_t reported_count_ = 0;
    bool turn_scheduled_ = false;
    bool stopped_ = false;
    bool peers_known_ = false;
    bool announcements_complete_ = false;
    bool sync_done_ = false;
    bool sync_time_over_ = false;
    std::uint64_t refused_ = 0;
    RateLimit refused_log_{3, std::chrono::seconds(30)};
};

// ---- Sessions ----------------------------------------------------------------------------------

Status Speaker::Impl::listen()
{
    if (config_.listen_port == 0 || stopped_)
        return {};
    Status status =
        listener_.open(config_.listen_address.value_or(Ip(Ipv4())), config_.listen_port);
    if (!status)
        listen_timer_.start(kListenRetry, [this] {
            if (listen())
                log_->info("listening port={}", config_.listen_port);
        });
    return status;
}

void Speaker::Impl::on_accept(Connection::Tcp::socket socket, const Ip& from)
{
    Peer* match = nullptr;
    for (const auto& [name, peer] : peers_)
        if (peer->config().address == from && (!match || match->up()))
            match = peer.get();
    if (match)
        return match->accept(std::move(socket));
    ++refused_;
    if (refused_log_.allow(std::chrono::steady_clock::now()))
        log_->warn("connection refused: not a peer address={} total={}", from.str(), refused_);
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
        if (found == by_name.end())
            remove_peer(here, cease::kPeerRemoved);
        else if (!(found->second == here->second->config()))
            remove_peer(here, cease::kConfigChange);
    }
    for (auto& [name, config] : by_name) {
        if (peers_.contains(name))
            continue;
        const auto id = rib_.add_peer();
        if (!id) {
            log_->error("peer left out: there are too many peer={}", name);
            continue;
        }
        PeerHost& host = *this;
        auto& peer = peers_[name] = std::make_unique<Peer>(host, *id, std::move(config));
        by_id_[*id] = peer.get();
        peer->start();
    }
    if (!peers_known_ && !sync_done_)
        sync_timer_.start(config_.restart_time, [this] {
            sync_time_over_ = true;
            schedule_turn();
        });
    peers_known_ = true;
    schedule_turn();
}

void Speaker::Impl::remove_peer(Peers::iterator at, std::uint8_t subcode)
{
    const PeerId id = at->second->id();
    leave(*at->second);
    at->second->stop(Notify{ErrorCode::Cease, subcode, {}});
    by_id_.erase(id);
    changed_peers_.erase(id);
    peers_.erase(at);
    rib_.remove(id);
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
    listener_.close();
    listen_timer_.stop();
    sync_timer_.stop();
    for (const auto& [name, peer] : peers_) {
        if (goodbye == Goodbye::Notify)
            peer->stop(shutdown_notice(cease::kAdminShutdown, "margayd stops"));
        else
            peer->abandon();
    }
}

// ---- Routes ------------------------------------------------------------------------------------

void Speaker::Impl::announce(const Prefix4& prefix, const Announcement& announcement)
{
    Attributes attributes;
    attributes.local_pref = announcement.local_pref;
    attributes.med = announcement.med;
    attributes.communities = announcement.communities;
    if (!rib_.announce(prefix.network(), pool_.intern(attributes)))
        log_->error("the table is full: own route left out prefix={}", prefix.str());
    schedule_turn();
}

void Speaker::Impl::withdraw(const Prefix4& prefix)
{
    rib_.retract(prefix.network());
    schedule_turn();
}

void Speaker::Impl::announcements_complete()
{
    announcements_complete_ = true;
    schedule_turn();
}

void Speaker::Impl::set_import_filter(RouteFilter filter)
{
    if (!filter) {
        rib_.set_import_policy({});
    } else {
        rib_.set_import_policy([this, filter = std::move(filter)](PeerId id, const Prefix4& prefix,
                                                                  const AttributesPtr& in) {
            const Peer* peer = peer_by_id(id);
            return peer ? filter(FilterContext{peer->config(), prefix, pool_}, in) : in;
        });
    }
    schedule_turn();
}

void Speaker::Impl::set_export_filter(RouteFilter filter)
{
    export_filter_ = std::move(filter);
    for (const auto& [name, peer] : peers_) {
        if (!peer->up())
            continue;
        leave(*peer); // the filter decides who is told the same
        enter_group(*peer, true);
    }
    schedule_turn();
}

// RFC 4724 4.1: a restarting speaker passes nothing on before it has heard everybody.
AttributesPtr Speaker::Impl::exported(PeerId peer, const Prefix4& prefix, const Path& best)
{
    const bool own = best.peer == kOurselves;
    if (!own && config_.restarting && !sync_done_)
        return nullptr;
    const Peer* to = export_filter_ ? peer_by_id(peer) : nullptr;
    if (!to)
        return best.accepted;
    return export_filter_(FilterContext{to->config(), prefix, pool_, own}, best.accepted);
}

// ---- Groups ------------------------------------------------------------------------------------

// A filter may tell each peer something else, so each then is a group of its own.
void Speaker::Impl::enter_group(const Peer& peer, bool heard)
{
    ExportView view = peer.export_view();
    if (export_filter_)
        view.policy = peer.config().name;
    auto group = std::ranges::find_if(groups_, [&](const auto& g) { return g->view() == view; });
    if (group == groups_.end()) {
        groups_.push_back(std::make_unique<UpdateGroup>(
            rib_, view, [this, id = peer.id()](const Prefix4& prefix, const Path& best) {
                return exported(id, prefix, best);
            }));
        group = groups_.end() - 1;
    }
    (*group)->join(peer.id(), heard);
    group_of_[peer.id()] = group->get();
}

void Speaker::Impl::leave(const Peer& peer)
{
    UpdateGroup* group = group_of(peer);
    if (!group)
        return;
    group_of_.erase(peer.id());
    group->leave(peer.id());
    if (group->empty())
        std::erase_if(groups_, [&](const auto& g) { return g.get() == group; });
}

UpdateGroup* Speaker::Impl::group_of(const Peer& peer) const
{
    const auto found = group_of_.find(peer.id());
    return found == group_of_.end() ? nullptr : found->second;
}

void Speaker::Impl::refresh(const Peer& peer)
{
    if (UpdateGroup* group = group_of(peer))
        group->refresh(peer.id());
}

bool Speaker::Impl::has_told(const Peer& peer, std::uint64_t change) const
{
    const UpdateGroup* group = group_of(peer);
    return group && group->has_told(peer.id(), change);
}

std::size_t Speaker::Impl::advertised(const Peer& peer) const
{
    const UpdateGroup* group = group_of(peer);
    return group ? group->advertised(peer.id()) : 0;
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
    rib_.work(kDecisionsPerTurn);
    const bool synced_now = check_sync();
    const bool more = flush_peers();
    if (more || rib_.has_work())
        schedule_turn();
    collect_changes();
    report(synced_now);
    rib_.forget_changed();
}

void Speaker::Impl::collect_changes()
{
    changes_.clear();
    hops_.clear();
    if (!callbacks_.on_routes)
        return;
    hop_ends_.clear();
    for (const EntryId id : rib_.changed())
        if (note_route_change(id))
            hop_ends_.push_back(hops_.size());
    std::size_t first = 0;
    for (std::size_t i = 0; i < changes_.size(); ++i) {
        changes_[i].best = std::span(hops_).subspan(first, hop_ends_[i] - first);
        first = hop_ends_[i];
    }
}

// False when it is nothing that the caller has to know.
bool Speaker::Impl::note_route_change(EntryId id)
{
    const auto& entry = rib_.table().at(id);
    const Path* best = entry.paths.best();
    if (!best || best->peer == kOurselves) {
        if (!report_reachable(id, false))
            return false;
        changes_.push_back({entry.prefix, 0, {}});
        return true;
    }
    changes_.push_back({entry.prefix, best->accepted->local_pref.value_or(kDefaultLocalPref), {}});
    const auto first = static_cast<std::ptrdiff_t>(hops_.size());
    const auto add = [&](const Path& path) {
        const Ip gateway = path.accepted->next_hop;
        if (gateway.is_v4() &&
            std::find_if(hops_.begin() + first, hops_.end(), [&](const NextHop& hop) {
                return hop.gateway == gateway.v4();
            }) == hops_.end())
            hops_.push_back(NextHop{gateway.v4(), rib_.traits(path.peer).address});
    };
    add(*best);
    for (const Path& path : entry.paths.all()) // behind the best the order means nothing
        if (path.usable && !path.best)
            add(path);
    report_reachable(id, true);
    return true;
}

// What the caller believed before.
bool Speaker::Impl::report_reachable(EntryId id, bool reachable)
{
    if (id >= reported_.size())
        reported_.resize(rib_.table().end());
    const bool before = reported_[id];
    reported_[id] = reachable;
    reported_count_ += std::size_t{reachable} - std::size_t{before};
    return before;
}

bool Speaker::Impl::flush_peers()
{
    bool more = false;
    const auto has_room = [this](PeerId id) { return peer_by_id(id)->has_room(); };
    const auto deliver = [this](PeerId id, std::span<const ByteView> pieces, std::size_t messages) {
        peer_by_id(id)->send_updates(pieces, messages);
    };
    for (const auto& group : groups_)
        more |= group->fill(has_room, deliver, kPrefixesPerTurn);
    for (const auto& [name, peer] : peers_)
        peer->send_end_of_rib();
    return more;
}

bool Speaker::Impl::check_sync()
{
    if (sync_done_ || !peers_known_ || stopped_ || (rib_.has_work() && !sync_time_over_))
        return false;
    const bool all = std::ranges::all_of(peers_, [](const auto& p) { return p.second->synced(); });
    if (!all && !sync_time_over_)
        return false;
    sync_done_ = true;
    sync_timer_.stop();
    log_->info("initial routes complete peers={} routes={} all_heard={}", peers_.size(),
               reported_count_, all);
    if (config_.restarting)
        for (const auto& group : groups_)
            group->policy_changed();
    return true;
}

void Speaker::Impl::report(bool synced_now)
{
    std::vector<PeerStatus> news;
    for (const PeerId id : std::exchange(changed_peers_, {}))
        if (const Peer* peer = peer_by_id(id))
            news.push_back(peer->status());
    const Callbacks tell = callbacks_; // a callback may end us
    if (tell.on_routes && !changes_.empty())
        tell.on_routes(changes_);
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

std::vector<RouteView> Speaker::Impl::route_views() const
{
    std::vector<RouteView> views;
    for (EntryId id = 0; id < rib_.table().end(); ++id) {
        const auto& entry = rib_.table().at(id);
        const auto steps = rib_.explain(entry.paths);
        for (std::size_t i = 0; i < steps.size(); ++i)
            views.push_back(view(entry.prefix, entry.paths.all()[i], steps[i]));
    }
    std::ranges::sort(views, [](const RouteView& a, const RouteView& b) {
        return std::tie(a.prefix, b.best, a.from) < std::tie(b.prefix, a.best, b.from);
    });
    return views;
}

RouteView Speaker::Impl::view(const Prefix4& prefix, const Path& path,
                              const std::optional<Step>& step) const
{
    RouteView view;
    view.prefix = prefix;
    if (path.peer != kOurselves)
        view.from = rib_.traits(path.peer).address;
    view.attributes = (path.accepted ? path.accepted : path.received)->decode();
    view.stale = rib_.is_stale(path);
    view.best = step == Step::Best;
    view.multipath = step && !view.best && usable_beside_best(*step);
    view.why = step ? describe(*step) : describe(path.rejected);
    return view;
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

void Speaker::announce(const Prefix4& prefix, const Announcement& announcement)
{
    impl_->announce(prefix, announcement);
}

void Speaker::withdraw(const Prefix4& prefix)
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

bool Speaker::initial_sync_done() const
{
    return impl_->sync_done();
}

std::uint64_t Speaker::refused_connections() const
{
    return impl_->refused();
}

void Speaker::shutdown(Goodbye goodbye)
{
    impl_->shutdown(goodbye);
}

} // namespace margay::bgp
