// SPDX-License-Identifier: Apache-2.0
#include "bgp/speaker/peer.h"

#include <spdlog/spdlog.h>

namespace margay::bgp {
namespace {

constexpr std::size_t kHighWater = 65536;      // octets queued for a peer: it is slow, wait
constexpr Seconds kStaleLimit{360};            // for End-of-RIB, once the peer is back
constexpr int kIdleHoldGrowth = 6;
constexpr std::size_t kPrefetched = 8; // prefixes ahead of the one that is looked up

FsmConfig fsm_config(const SpeakerConfig& speaker, const PeerConfig& peer)
{
    FsmConfig config;
    config.session.local_as = speaker.local_as;
    config.session.remote_as = peer.remote_as;
    config.session.router_id = speaker.router_id;
    config.session.hold_time = peer.hold_time;
    config.session.keepalive_time = peer.keepalive_time;
    config.session.graceful_restart = peer.graceful_restart;
    config.session.restart_time = peer.restart_time;
    config.passive = peer.passive;
    config.connect_retry = peer.connect_retry;
    config.idle_hold_min = peer.idle_hold;
    config.idle_hold_max = peer.idle_hold * kIdleHoldGrowth;
    const std::string identity = speaker.router_id.str() + peer.name;
    config.jitter_seed = static_cast<std::uint32_t>(std::hash<std::string>{}(identity));
    return config;
}

Time steady_now()
{
    return std::chrono::steady_clock::now();
}

} // namespace

Peer::Peer(PeerHost& host, PeerId id, PeerConfig config)
    : host_(host), id_(id), config_(std::move(config)), fsm_(fsm_config(host.config(), config_)),
      timer_(host.executor()), stale_timer_(host.executor()),
      since_(std::chrono::system_clock::now())
{
}

Peer::~Peer()
{
    for (const auto& [id, open] : connections_)
        open->close();
}

void Peer::start()
{
    fsm_.set_restart_state(host_.restart_state());
    run(fsm_.start(steady_now()));
}

void Peer::stop(const Notify& notify)
{
    run(fsm_.stop(notify));
}

void Peer::abandon()
{
    run(fsm_.abandon());
}

// ---- Events of the connections -----------------------------------------------------------------

void Peer::accept(Connection::Tcp::socket socket)
{
    Actions actions;
    fsm_.set_restart_state(host_.restart_state());
    const auto id = fsm_.accept(steady_now(), actions);
    if (!id)
        return; // the socket closes itself
    add_connection(*id).adopt(std::move(socket));
    run(actions);
}

void Peer::on_connected(ConnId id)
{
    fsm_.set_restart_state(host_.restart_state());
    run(fsm_.dialed(id, steady_now()));
}

void Peer::on_lost(ConnId id, std::string why)
{
    connections_.erase(id);
    run(fsm_.lost(id, std::move(why), steady_now()));
}

void Peer::on_bad_frame(ConnId id, const Notify& notify)
{
    input(id, Malformed{notify, ""});
}

void Peer::on_drained(ConnId id)
{
    if (session_ && session_->connection == id)
        host_.schedule_turn();
}

void Peer::input(ConnId id, const Incoming& message)
{
    run(fsm_.received(id, message, steady_now()));
}

void Peer::on_frame(ConnId id, const Frame& frame)
{
    switch (frame.type) {
    case MessageType::Open:
        return on_open_frame(id, frame);
    case MessageType::Update:
        return on_update_frame(id, frame);
    case MessageType::Notification: {
        const Notify notify = decode_notification(frame.body);
        ++received_.notification;
        if (!notify.is_collision())
            last_received_ = describe(notify);
        return input(id, notify);
    }
    case MessageType::Keepalive:
        ++received_.keepalive;
        return input(id, KeepaliveSeen{});
    case MessageType::RouteRefresh:
        return on_route_refresh(id, frame);
    }
}

void Peer::on_open_frame(ConnId id, const Frame& frame)
{
    ++received_.open;
    auto open = decode_open(frame.body);
    if (const auto* notify = std::get_if<Notify>(&open))
        return input(id, Malformed{*notify, "the peer's OPEN is malformed: " + describe(*notify)});
    input(id, std::get<Open>(open));
}

void Peer::on_update_frame(ConnId id, const Frame& frame)
{
    ++received_.update;
    input(id, UpdateSeen{});
    if (!session_ || session_->connection != id)
        return; // it came too early, and the state machine has dealt with that
    UpdateDecoder& decoder = host_.decoder();
    if (const auto notify = decoder.decode(frame.body, session_->negotiated.wire))
        return input(id, Malformed{*notify, ""});
    apply(decoder.update());
}

void Peer::apply(const Update& update)
{
    for (const Prefix4& prefix : update.withdrawn)
        host_.rib().withdraw(id_, prefix);
    for (const Reach& reach : update.announced)
        learn(reach);
    note_faults(update);
    if (update.end_of_rib == kIpv4Unicast)
        on_end_of_rib();
    host_.schedule_turn();
}

void Peer::learn(const Reach& reach)
{
    Rib& rib = host_.rib();
    const auto& prefixes = reach.prefixes;
    for (std::size_t i = 0; i < prefixes.size(); ++i) {
        if (i + kPrefetched < prefixes.size())
            rib.table().prefetch(prefixes[i + kPrefetched]);
        if (!rib.learn(id_, prefixes[i], reach.attributes) && log_limit_.allow(steady_now()))
            host_.log().error("the table is full: route left out peer={} prefix={}", config_.name,
                              prefixes[i].str());
    }
}

void Peer::note_faults(const Update& update)
{
    update_faults_ += update.faults.size();
    for (const AttributeFault& fault : update.faults) {
        if (!log_limit_.allow(steady_now()))
            return;
        const bool withdrawn = fault.action == FaultAction::TreatAsWithdraw;
        host_.log().warn("malformed attribute peer={} attribute={} action={}", config_.name,
                         attribute_name(fault.type),
                         withdrawn ? "treat-as-withdraw" : "discard-attribute");
    }
}

void Peer::on_route_refresh(ConnId id, const Frame& frame)
{
    ++received_.route_refresh;
    input(id, RefreshSeen{});
    if (!session_ || session_->connection != id)
        return;
    if (decode_route_refresh(frame.body) != kIpv4Unicast)
        return; // RFC 2918 section 4: a family that we never announced
    host_.refresh(*this);
    host_.schedule_turn();
}

// ---- Actions of the state machine --------------------------------------------------------------

void Peer::run(const Actions& actions)
{
    for (const Action& action : actions) {
        if (const auto* dial = std::get_if<Dial>(&action))
            run_dial(dial->connection);
        else if (const auto* send = std::get_if<Send>(&action))
            run_send(*send);
        else if (const auto* close = std::get_if<Close>(&action))
            run_close(close->connection);
        else if (const auto* up = std::get_if<SessionUp>(&action))
            session_up(*up);
        else if (const auto* down = std::get_if<SessionDown>(&action))
            session_down(*down);
    }
    arm();
    changed();
}

void Peer::run_dial(ConnId id)
{
    add_connection(id).dial(config_.address, config_.port, config_.source);
}

Connection& Peer::add_connection(ConnId id)
{
    ConnectionHandler& handler = *this;
    return *(connections_[id] = std::make_shared<Connection>(host_.executor(), id, handler));
}

void Peer::run_send(const Send& send)
{
    Connection* to = connection(send.connection);
    if (!to)
        return;
    Bytes message;
    if (const auto* open = std::get_if<Open>(&send.message)) {
        encode_open_message(*open, message);
        ++sent_.open;
    } else if (const auto* notify = std::get_if<Notify>(&send.message)) {
        encode_notification(*notify, message);
        ++sent_.notification;
        if (!notify->is_collision())
            last_sent_ = describe(*notify);
    } else {
        encode_keepalive(message);
        ++sent_.keepalive;
    }
    to->send(message);
}

void Peer::run_close(ConnId id)
{
    const auto found = connections_.find(id);
    if (found == connections_.end())
        return;
    found->second->close();
    connections_.erase(found);
}

void Peer::session_up(const SessionUp& up)
{
    Session session;
    session.connection = up.connection;
    session.negotiated = up.negotiated;
    const auto local = connection(up.connection)->local_address();
    if (local && local->is_v4())
        session.local_address = local->v4();
    session_ = session;
    ++established_count_;

    PeerTraits traits;
    traits.address = config_.address;
    traits.identifier = up.negotiated.peer_identifier;
    traits.internal = up.negotiated.wire.internal;
    traits.client = config_.reflector_client;
    traits.local_address = session.local_address;
    host_.rib().peer_up(id_, traits);
    sort_out_stale_routes(up.negotiated);
    host_.join(*this);
    host_.schedule_turn();
    host_.log().info("session up peer={} address={} as={} hold={}s", config_.name,
                     config_.address.str(), config_.remote_as.value,
                     up.negotiated.hold_time.count());
}

void Peer::session_down(const SessionDown& down)
{
    const auto& restart = session_->negotiated.peer_restart;
    peer_restart_time_ = restart ? restart->restart_time : Seconds(0);
    host_.leave(*this);
    session_.reset();
    if (down.keep_routes && peer_restart_time_ > Seconds(0)) {
        keep_stale_routes();
    } else {
        stale_ = false;
        stale_timer_.stop();
        host_.rib().drop(id_);
    }
    host_.schedule_turn();
    host_.log().info("session down peer={} address={} routes={} reason=\"{}\"", config_.name,
                     config_.address.str(), stale_ ? "kept" : "withdrawn", down.reason.text);
}

// ---- Graceful restart of the peer (RFC 4724 4.2) -----------------------------------------------

void Peer::keep_stale_routes()
{
    host_.rib().mark_stale(id_);
    stale_ = true;
    stale_timer_.start(peer_restart_time_, [this] {
        host_.log().info("restart time over peer={}: its routes go", config_.name);
        drop_stale_routes();
    });
}

// The peer is back. Unless it says that it kept forwarding, what it told before counts no more.
void Peer::sort_out_stale_routes(const Negotiated& negotiated)
{
    if (!stale_)
        return;
    const bool kept =
        negotiated.peer_restart && negotiated.peer_restart->forwarding_kept(kIpv4Unicast);
    if (!kept)
        return drop_stale_routes();
    stale_timer_.start(kStaleLimit, [this] { drop_stale_routes(); });
}

void Peer::drop_stale_routes()
{
    if (stale_)
        host_.rib().sweep(id_);
    stale_ = false;
    stale_timer_.stop();
    host_.schedule_turn();
}

void Peer::on_end_of_rib()
{
    if (session_)
        session_->end_of_rib_received = true;
    drop_stale_routes();
}

bool Peer::synced() const
{
    if (!session_)
        return false;
    const auto& restart = session_->negotiated.peer_restart;
    return session_->end_of_rib_received || !restart || restart->restarting;
}

// ---- Out ---------------------------------------------------------------------------------------

bool Peer::has_room() const
{
    const Connection* to = session_ ? connection(session_->connection) : nullptr;
    return to && to->queued() <= kHighWater; // else on_drained() brings us back
}

void Peer::send_updates(std::span<const ByteView> pieces, std::size_t messages)
{
    sent_.update += messages;
    connection(session_->connection)->send(pieces);
}

void Peer::send_end_of_rib()
{
    if (!session_ || session_->end_of_rib_sent || !host_.may_end_rib())
        return;
    const Rib& rib = host_.rib();
    if (!session_->decisions_due)
        session_->decisions_due = rib.queued();
    if (rib.done() < *session_->decisions_due)
        return;
    if (!session_->change_due)
        session_->change_due = rib.table().last_change();
    if (!host_.has_told(*this, *session_->change_due))
        return;
    session_->end_of_rib_sent = true;
    if (!session_->negotiated.peer_restart)
        return; // it would not know what to make of it
    Bytes message;
    encode_end_of_rib(message);
    ++sent_.update;
    connection(session_->connection)->send(message);
}

ExportView Peer::export_view() const
{
    ExportView view;
    view.internal = session_->negotiated.wire.internal;
    view.client = config_.reflector_client;
    view.four_octet_as = session_->negotiated.wire.four_octet_as;
    view.local_as = host_.config().local_as;
    view.local_address = session_->local_address;
    view.cluster_id = host_.rib().config().cluster_id;
    return view;
}

// ---- Time and status ---------------------------------------------------------------------------

// Each message moves the hold timer's end further away. The timer is left as it is then, and looks
// again when it ends: a system call a message would cost more than the message.
void Peer::arm()
{
    const auto deadline = fsm_.deadline();
    if (!deadline) {
        armed_.reset();
        return timer_.stop();
    }
    if (armed_ && *armed_ <= *deadline)
        return;
    armed_ = deadline;
    const auto delay = std::max(*deadline - steady_now(), Duration(0));
    timer_.start(delay, [this] {
        armed_.reset();
        run(fsm_.tick(steady_now()));
    });
}

void Peer::changed()
{
    if (fsm_.state() == shown_state_ && up())
        return;
    const std::string why = up() ? "" : fsm_.last_down().text;
    if (fsm_.state() == shown_state_ && why == shown_why_)
        return;
    const bool was_up = shown_state_ == State::Established;
    if (was_up != up())
        since_ = std::chrono::system_clock::now();
    const bool failed = fsm_.last_down().kind != DownReason::Kind::NotTried;
    if (failed && why != shown_why_ && !was_up && !up() && log_limit_.allow(steady_now()))
        host_.log().info("session not up peer={} address={} reason=\"{}\"", config_.name,
                         config_.address.str(), why);
    shown_state_ = fsm_.state();
    shown_why_ = why;
    host_.on_peer_changed(*this);
}

PeerStatus Peer::status() const
{
    PeerStatus status;
    status.name = config_.name;
    status.address = config_.address;
    status.remote_as = config_.remote_as;
    status.state = fsm_.state();
    status.since = since_;
    status.why_down = up() ? "" : fsm_.last_down().text;
    status.last_notification_sent = last_sent_;
    status.last_notification_received = last_received_;
    status.sent = sent_;
    status.received = received_;
    status.established_count = established_count_;
    status.prefixes_received = host_.rib().count(id_);
    status.prefixes_advertised = host_.advertised(*this);
    status.update_faults = update_faults_;
    status.routes_are_stale = stale_;
    if (session_) {
        status.graceful_restart = session_->negotiated.peer_restart.has_value();
        status.end_of_rib_received = session_->end_of_rib_received;
        status.hold_time = session_->negotiated.hold_time;
    }
    return status;
}

Connection* Peer::connection(ConnId id) const
{
    const auto found = connections_.find(id);
    return found == connections_.end() ? nullptr : found->second.get();
}

} // namespace margay::bgp
