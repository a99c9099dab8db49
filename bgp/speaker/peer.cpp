// SPDX-License-Identifier: Apache-2.0
#include "bgp/speaker/peer.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

namespace margay::bgp {
namespace {

constexpr std::size_t kHighWater = 65536;      // octets queued for a peer: it is slow, wait
constexpr Seconds kStaleLimit{360};            // for End-of-RIB, once the peer is back
constexpr std::size_t kRefreshBody = 4;
// Connections that linger, each with a descriptor and a buffer; a peer may open new ones without end.
constexpr std::size_t kMostLeaving = 16;
constexpr std::size_t kPrefetched = 8; // prefixes ahead of the one that is looked up

// RFC 7313 section 3: the octet between AFI and SAFI, where it is there and that was agreed on.
std::optional<RouteRefresh::Kind> kind_of_refresh(const Frame& frame, const Negotiated& session)
{
    ByteReader in(frame.body);
    in.u16();
    const auto kind = static_cast<RouteRefresh::Kind>(in.u8());
    return session.enhanced_refresh && in.ok() ? std::optional(kind) : std::nullopt;
}

// RFC 7313 section 5; of one that has no kind, RFC 4271 6.1.
Notify bad_refresh_length(const Frame& frame, bool has_kind)
{
    Bytes message;
    const std::size_t begin = begin_message(MessageType::RouteRefresh, message);
    ByteWriter(message).bytes(frame.body);
    end_message(begin, message);
    if (has_kind)
        return Notify{ErrorCode::RouteRefresh, refresh_error::kBadLength, std::move(message)};
    constexpr std::size_t kLengthAt = 16;
    return Notify{
        ErrorCode::Header, header_error::kBadLength, {message[kLengthAt], message[kLengthAt + 1]}};
}

Time steady_now()
{
    return std::chrono::steady_clock::now();
}

} // namespace

Peer::Peer(PeerHost& host, PeerId id, PeerConfig config)
    : host_(host), id_(id), config_(std::move(config)), fsm_(fsm_config(host.config(), config_)),
      timer_(host.executor()), stale_timer_(host.executor()), output_timer_(host.executor()),
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
    waiting_.reset();
    run(fsm_.stop(notify));
}

void Peer::abandon()
{
    waiting_.reset();
    run(fsm_.abandon());
}

void Peer::cut()
{
    waiting_.reset();
    for (const auto& [id, open] : connections_)
        open->cut();
    for (const auto& closed : leaving_)
        if (const auto open = closed.lock())
            open->cut();
}

// ---- Events of the connections -----------------------------------------------------------------

void Peer::accept(Connection::Tcp::socket socket)
{
    Actions actions;
    fsm_.set_restart_state(host_.restart_state());
    const auto id = fsm_.accept(steady_now(), actions);
    if (!id && fsm_.is_refusing())
        waiting_.emplace(std::move(socket));
    if (!id)
        return; // the socket closes itself
    waiting_.reset(); // the peer has given it up
    add_connection(*id).adopt(std::move(socket), tcp_options());
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
    if (session_ && session_->connection == id)
        return input(id, Open{}); // RFC 4271 8.2.2, Established: whatever it says
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
    const Update& update = decoder.update();
    note_link_local(update);
    apply(update.ipv4);
    apply(update.ipv6);
    note_faults(update);
    if (update.end_of_rib == kIpv4Unicast)
        on_end_of_rib<Prefix4>();
    else if (update.end_of_rib == kIpv6Unicast)
        on_end_of_rib<Prefix6>();
    host_.schedule_turn();
    if (is_within_limit<Prefix4>())
        is_within_limit<Prefix6>();
}

void Peer::note_link_local(const Update& update)
{
    if (!update.link_local || session_->interface == 0)
        return;
    for_each_family([&]<typename P>() { tables<P>().note_link_local(id_, *update.link_local); });
}

template <typename P>
void Peer::apply(const FamilyUpdate<P>& update)
{
    for (const Nlri<P>& nlri : update.withdrawn)
        tables<P>().rib().withdraw(id_, nlri);
    for (const Reach<P>& reach : update.announced)
        learn(reach);
}

template <typename P>
void Peer::learn(const Reach<P>& reach)
{
    Rib<P>& rib = tables<P>().rib();
    const auto& prefixes = reach.prefixes;
    for (std::size_t i = 0; i < prefixes.size(); ++i) {
        if (i + kPrefetched < prefixes.size())
            rib.table().prefetch(prefixes[i + kPrefetched].prefix);
        if (!rib.learn(id_, prefixes[i], reach.attributes) && log_limit_.allow(steady_now()))
            host_.log().error("no room for more: route left out peer={} prefix={}", config_.name,
                              prefixes[i].prefix.str());
    }
}

// RFC 4486 section 4. False: the session has ended.
template <typename P>
bool Peer::is_within_limit()
{
    if (!config_.max_prefixes || tables<P>().rib().count(id_) <= *config_.max_prefixes)
        return true;
    Notify notify{ErrorCode::Cease, cease::kMaxPrefixes, {}};
    ByteWriter data(notify.data);
    data.u16(family_of<P>().afi);
    data.u8(family_of<P>().safi);
    data.u32(static_cast<std::uint32_t>(*config_.max_prefixes));
    input(session_->connection,
          Malformed{notify, "the peer told more than " + std::to_string(*config_.max_prefixes) +
                                " prefixes of " + name_of(family_of<P>())});
    return false;
}

void Peer::note_faults(const Update& update)
{
    update_faults_ += update.faults.size();
    for (const AttributeFault& fault : update.faults) {
        if (!log_limit_.allow(steady_now()))
            return;
        const bool withdrawn = fault.action == FaultAction::TreatAsWithdraw;
        host_.log().warn("malformed attribute peer={} attribute={} action={}", config_.name,
                         fault.too_long ? "all, longer than we take" : attribute_name(fault.type),
                         withdrawn ? "treat-as-withdraw" : "discard-attribute");
    }
}

void Peer::on_route_refresh(ConnId id, const Frame& frame)
{
    ++received_.route_refresh;
    input(id, RefreshSeen{});
    if (!session_ || session_->connection != id)
        return;
    const auto kind = kind_of_refresh(frame, session_->negotiated);
    if (kind > RouteRefresh::Kind::End)
        return; // ignored (RFC 7313 section 5), however long it is
    if (frame.body.size() != kRefreshBody)
        return input(id, Malformed{bad_refresh_length(frame, kind.has_value()), ""});
    const RouteRefresh message = decode_route_refresh(frame.body);
    for_each_family([&]<typename P>() { // RFC 2918 section 4: other families are ignored
        if (message.family == family_of<P>() && carries<P>())
            on_refresh<P>(message.kind);
    });
    host_.schedule_turn();
}

template <typename P>
void Peer::on_refresh(RouteRefresh::Kind kind)
{
    const bool enhanced = session_->negotiated.enhanced_refresh;
    if (!enhanced || kind == RouteRefresh::Kind::Request)
        return refresh<P>(); // RFC 2918 section 3: the octet says nothing there
    // RFC 7313 section 4: neither counts before the End-of-RIB that is to come. A second begin asks for what
    // came since the first one, too.
    if (session_->negotiated.peer_restart && !session_->family<P>().end_of_rib_received)
        return;
    if (kind == RouteRefresh::Kind::End)
        return drop_stale_routes<P>();
    if (kind != RouteRefresh::Kind::Begin || !tables<P>().rib().mark_stale_too(id_))
        return;
    stale<P>() = true;
    stale_timer_.start(kStaleLimit, [this] { drop_all_stale_routes(); });
}

// The peer asks for all again. Where RFC 7313 was agreed on it is told where that begins and ends.
template <typename P>
void Peer::refresh()
{
    FamilySession& mine = session_->family<P>();
    const bool told_once = !mine.end_of_rib || !session_->negotiated.peer_restart;
    // One that begins while another is under way continues it: a peer that asks without end and
    // reads nothing would be owed messages without end.
    if (mine.end_of_refresh) {
        mine.end_of_refresh = Due{};
    } else if (session_->negotiated.enhanced_refresh && told_once) {
        Bytes message;
        encode_route_refresh({RouteRefresh::Kind::Begin, family_of<P>()}, message);
        ++sent_.route_refresh;
        send(message);
        mine.end_of_refresh = Due{};
    }
    tables<P>().refresh(id_);
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
    add_connection(id).dial(config_.address, config_.port, config_.source, tcp_options());
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
    std::erase_if(leaving_, [](const auto& connection) { return connection.expired(); });
    leaving_.push_back(found->second);
    connections_.erase(found);
    if (leaving_.size() <= kMostLeaving)
        return;
    if (const auto oldest = leaving_.front().lock())
        oldest->cut();
    leaving_.pop_front();
}

void Peer::session_up(const SessionUp& up)
{
    Session session;
    session.connection = up.connection;
    session.negotiated = up.negotiated;
    session.local_address = connection(up.connection)->local_address().value_or(Ip());
    const WireSession& agreed = up.negotiated.wire;
    if (session.local_address.is_v4() ? agreed.ipv6.carried : agreed.ipv4.carried)
        session.address_beside = connection(up.connection)->address_beside().value_or(Ip());
    if (agreed.ipv6.carried || agreed.ipv4.ipv6_next_hop)
        session.interface = connection(up.connection)->interface();
    session_ = session;
    ++established_count_;
    connection().set_max_message(up.negotiated.wire.max_message);

    for_each_family([&]<typename P>() {
        tables<P>().rib().peer_up(id_, traits_of<P>(*session_, config_, host_.config()));
    });
    sort_out_stale_routes(up.negotiated);
    for_each_family([&]<typename P>() {
        if (carries<P>())
            tables<P>().join(id_, export_view<P>(), config_);
    });
    watch_output();
    host_.schedule_turn();
    host_.log().info("session up peer={} address={} as={} hold={}s", config_.name,
                     config_.address_text(), up.negotiated.remote_as.value,
                     up.negotiated.hold_time.count());
}

void Peer::session_down(const SessionDown& down)
{
    const Session ended = *session_;
    const auto& restart = ended.negotiated.peer_restart;
    peer_restart_time_ = restart ? restart->restart_time : Seconds(0);
    for_each_family([&]<typename P>() { tables<P>().leave(id_); });
    session_.reset();
    output_timer_.stop();
    if (down.keep_routes && peer_restart_time_ > Seconds(0)) {
        keep_stale_routes(ended);
    } else {
        stale_[0] = stale_[1] = false;
        stale_timer_.stop();
        for_each_family([&]<typename P>() { tables<P>().rib().drop(id_); });
    }
    host_.schedule_turn();
    host_.log().info("session down peer={} address={} routes={} reason=\"{}\"", config_.name,
                     config_.address_text(), has_stale() ? "kept" : "withdrawn", down.reason.text);
}

void Peer::set_policy(const std::string& policy)
{
    if (config_.policy == policy)
        return;
    config_.policy = policy;
    for_each_family([&]<typename P>() {
        if (carries<P>())
            tables<P>().move(id_, export_view<P>(), config_);
        else
            tables<P>().rib().import_again(id_); // what it told before, maybe
    });
    host_.schedule_turn();
}

void Peer::lose(const std::string& why)
{
    if (session_)
        input(session_->connection, Malformed{Notify{ErrorCode::Cease, cease::kBfdDown, {}}, why});
}

// RFC 9687: a peer that takes nothing is as lost as one that says nothing.
void Peer::watch_output()
{
    if (config_.send_hold_time == Seconds(0))
        return;
    constexpr int kLooks = 8; // in the time
    const auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(config_.send_hold_time);
    output_timer_.start(wait / kLooks, [this] {
        const auto since = connection().stuck_since();
        if (since && steady_now() - *since >= config_.send_hold_time)
            return input(
                session_->connection,
                Malformed{Notify{ErrorCode::SendHoldExpired, 0, {}},
                          "send hold time expired: the peer does not read what it is told"});
        watch_output();
    });
}

// ---- Graceful restart of the peer (RFC 4724 4.2) -----------------------------------------------

void Peer::keep_stale_routes(const Session& ended)
{
    for_each_family([&]<typename P>() {
        stale<P>() =
            ended.wire<P>().carried && ended.negotiated.peer_restart->covers(family_of<P>());
        if (stale<P>())
            tables<P>().rib().mark_stale(id_);
        else
            tables<P>().rib().drop(id_);
    });
    stale_timer_.start(peer_restart_time_, [this] {
        host_.log().info("restart time over peer={}: its routes go", config_.name);
        drop_all_stale_routes();
    });
}

// The peer is back. Unless it says that it kept forwarding, what it told before counts no more.
void Peer::sort_out_stale_routes(const Negotiated& negotiated)
{
    if (!has_stale())
        return;
    const auto& restart = negotiated.peer_restart;
    for_each_family([&]<typename P>() {
        if (!session_->wire<P>().carried || !restart || !restart->forwarding_kept(family_of<P>()))
            drop_stale_routes<P>();
    });
    if (has_stale())
        stale_timer_.start(kStaleLimit, [this] { drop_all_stale_routes(); });
}

template <typename P>
void Peer::drop_stale_routes()
{
    if (std::exchange(stale<P>(), false))
        tables<P>().rib().sweep(id_);
    if (!has_stale())
        stale_timer_.stop();
    host_.schedule_turn();
}

void Peer::drop_all_stale_routes()
{
    for_each_family([&]<typename P>() { drop_stale_routes<P>(); });
}

template <typename P>
void Peer::on_end_of_rib()
{
    if (session_)
        session_->family<P>().end_of_rib_received = true;
    drop_stale_routes<P>();
}

bool Peer::synced() const
{
    if (!session_)
        return false;
    const auto& restart = session_->negotiated.peer_restart;
    if (!restart || restart->restarting)
        return true;
    return session_->has_end_of_rib();
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
    connection().send(pieces);
}

void Peer::send(const Bytes& message)
{
    connection().send(message);
}

template <typename P>
bool Peer::is_told(Due& due)
{
    const Rib<P>& rib = tables<P>().rib();
    if (!due.decisions)
        due.decisions = rib.queued();
    if (rib.done() < *due.decisions)
        return false;
    if (!due.change)
        due.change = rib.table().last_change();
    return tables<P>().has_told(id_, *due.change);
}

void Peer::send_what_is_due()
{
    for_each_family([&]<typename P>() {
        if (carries<P>())
            send_what_is_due_of<P>();
    });
}

template <typename P>
void Peer::send_what_is_due_of()
{
    FamilySession& mine = session_->family<P>();
    if (mine.end_of_rib && host_.may_end_rib() && is_told<P>(*mine.end_of_rib)) {
        mine.end_of_rib.reset();
        if (session_->negotiated.peer_restart) { // else it would not know what to make of it
            Bytes message;
            encode_end_of_rib(family_of<P>(), message);
            ++sent_.update;
            send(message);
        }
    }
    if (mine.end_of_refresh && is_told<P>(*mine.end_of_refresh)) {
        mine.end_of_refresh.reset();
        Bytes message;
        encode_route_refresh({RouteRefresh::Kind::End, family_of<P>()}, message);
        ++sent_.route_refresh;
        send(message);
    }
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
        admit();
    });
}

// Who comes too early after an error of his is kept waiting, unheard: he need not come twice.
void Peer::admit()
{
    if (waiting_ && !fsm_.is_refusing())
        accept(*std::exchange(waiting_, std::nullopt));
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
    if (failed && why != shown_why_ && !was_up && !up() && !config_.range &&
        log_limit_.allow(steady_now()))
        host_.log().info("session not up peer={} address={} reason=\"{}\"", config_.name,
                         config_.address_text(), why);
    shown_state_ = fsm_.state();
    shown_why_ = why;
    host_.on_peer_changed(*this);
}

PeerStatus Peer::status() const
{
    PeerStatus status;
    status.name = config_.name;
    status.address = config_.address;
    status.interface = config_.interface;
    status.range = config_.range;
    if (session_)
        status.remote_as = session_->negotiated.remote_as;
    else if (!config_.any_external_as)
        status.remote_as = config_.remote_as;
    status.state = fsm_.state();
    status.since = since_;
    status.why_down = up() ? "" : fsm_.last_down().text;
    status.last_notification_sent = last_sent_;
    status.last_notification_received = last_received_;
    status.sent = sent_;
    status.received = received_;
    status.established_count = established_count_;
    status.prefixes_received = host_.ipv4().rib().count(id_) + host_.ipv6().rib().count(id_);
    status.prefixes_advertised = host_.ipv4().advertised(id_) + host_.ipv6().advertised(id_);
    status.update_faults = update_faults_;
    status.routes_are_stale = has_stale();
    if (!session_)
        return status;
    for_each_family([&]<typename P>() {
        if (!carries<P>())
            return;
        status.families.push_back(family_of<P>());
        status.add_path |= session_->wire<P>().add_path_in || session_->wire<P>().add_path_out;
    });
    status.route_refresh = session_->negotiated.route_refresh;
    status.identifier = session_->negotiated.peer_identifier;
    status.extended_messages = session_->negotiated.wire.max_message > kMaxMessage;
    status.graceful_restart = session_->negotiated.peer_restart.has_value();
    status.end_of_rib_received = session_->has_end_of_rib();
    status.hold_time = session_->negotiated.hold_time;
    return status;
}

Connection* Peer::connection(ConnId id) const
{
    const auto found = connections_.find(id);
    return found == connections_.end() ? nullptr : found->second.get();
}

} // namespace margay::bgp
