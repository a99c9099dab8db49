// SPDX-License-Identifier: Apache-2.0
#include "bgp/session/fsm.h"

#include <algorithm>
#include <utility>

namespace margay::bgp {
namespace {

Notify collision_notice()
{
    return Notify{ErrorCode::Cease, cease::kCollision, {}};
}

std::uint8_t fsm_subcode(State state)
{
    switch (state) {
    case State::OpenSent:
        return fsm_error::kInOpenSent;
    case State::OpenConfirm:
        return fsm_error::kInOpenConfirm;
    case State::Established:
        return fsm_error::kInEstablished;
    default:
        return 0;
    }
}

// RFC 8538 section 4, RFC 4486: what is not to be repaired by a new session. Where both ends keep
// routes over a NOTIFICATION it needs a Hard Reset.
bool is_for_good(const Notify& notify)
{
    if (notify.code != ErrorCode::Cease)
        return false;
    switch (notify.subcode) {
    case cease::kMaxPrefixes:
    case cease::kAdminShutdown:
    case cease::kPeerRemoved:
    case cease::kHardReset:
    case cease::kBfdDown:
        return true;
    default:
        return false;
    }
}

Notify worded_for(const Negotiated& session, bool established, const Notify& notify)
{
    const bool kept = established && session.keeps_routes_on_notification();
    return kept && is_for_good(notify) && !notify.is_hard_reset() ? hard_reset(notify) : notify;
}

// The kernel drops what is signed with another key, and tells neither end.
std::string password_hint(const FsmConfig& config)
{
    return config.authenticated
               ? "; with another TCP MD5 password on its side it would look the same"
               : "";
}

template <typename... Fs>
struct Overloaded : Fs... {
    using Fs::operator()...;
};
template <typename... Fs>
Overloaded(Fs...) -> Overloaded<Fs...>;

} // namespace

const char* name_of(State state)
{
    constexpr const char* kNames[] = {"Idle",     "Connect",     "Active",
                                      "OpenSent", "OpenConfirm", "Established"};
    return kNames[static_cast<std::size_t>(state)];
}

// ---- Life cycle --------------------------------------------------------------------------------

Actions Fsm::start(Time now)
{
    started_ = true;
    idle_hold_ = config_.idle_hold_min;
    if (config_.passive)
        last_down_.text = "passive: waits for the peer to connect" + password_hint(config_);
    else
        dial_at_ = now;
    return tick(now);
}

Actions Fsm::stop(const Notify& notify)
{
    Actions out;
    for (const Connection& c : connections_)
        if (c.state > State::Active)
            out.push_back(
                Send{c.id, worded_for(c.negotiated, c.state == State::Established, notify)});
    Actions rest = abandon();
    out.insert(out.end(), rest.begin(), rest.end());
    return out;
}

Actions Fsm::abandon()
{
    Actions out;
    last_down_ = DownReason{DownReason::Kind::Stopped, std::nullopt, "stopped by configuration"};
    for (const Connection& c : connections_) {
        out.push_back(Close{c.id});
        if (c.state == State::Established)
            out.push_back(SessionDown{false, last_down_});
    }
    connections_.clear();
    started_ = false;
    dial_at_.reset();
    return out;
}

State Fsm::state() const
{
    State best = State::Idle;
    for (const Connection& c : connections_)
        best = std::max(best, c.state);
    if (best != State::Idle || !started_ || idle_until_)
        return best;
    return State::Active;
}

// ---- Connections -------------------------------------------------------------------------------

void Fsm::dial(Time now, Actions& out)
{
    dial_at_.reset();
    const bool busy = std::ranges::any_of(
        connections_, [](const Connection& c) { return c.outgoing || c.state > State::OpenSent; });
    if (busy)
        return;
    out.push_back(Dial{add(true, State::Connect, now + config_.connect_timeout).id});
}

std::optional<ConnId> Fsm::accept(Time now, Actions& out)
{
    if (!started_ || idle_until_)
        return std::nullopt;
    const auto earlier = std::ranges::find_if(connections_, [](const Connection& c) {
        return !c.outgoing && c.state != State::Established;
    });
    if (earlier != connections_.end()) {
        if (earlier->state == State::OpenConfirm)
            return std::nullopt;
        close_quietly(earlier->id, out); // the peer has given it up, or would not dial again
    }
    Connection& c = add(false, State::Active, now + config_.open_timeout);
    begin(c, now, out);
    return c.id;
}

Actions Fsm::dialed(ConnId id, Time now)
{
    Actions out;
    if (Connection* c = find(id); c && c->state == State::Connect)
        begin(*c, now, out);
    return out;
}

void Fsm::begin(Connection& c, Time now, Actions& out)
{
    c.delaying = config_.delay_open > Duration(0);
    if (!c.delaying)
        return send_open(c, now, out);
    c.expires = now + config_.delay_open;
}

void Fsm::send_open(Connection& c, Time now, Actions& out)
{
    c.delaying = false;
    c.state = State::OpenSent;
    c.expires = now + config_.open_timeout;
    out.push_back(Send{c.id, make_open(session(), restart_)});
}

Actions Fsm::lost(ConnId id, std::string why, Time now)
{
    Actions out;
    Connection* c = find(id);
    if (!c)
        return out;
    const bool was_up = c->state == State::Established;
    const bool dialing = c->state == State::Connect && !c->delaying;
    if (c->state == State::OpenSent) {
        why += ", before its OPEN: it may not know us as a peer";
        // After an error daemons hang up on us for a while. The error is what people must know.
        if (last_down_.notify)
            why = last_down_.text;
    }
    const std::optional<Notify> notify =
        c->state == State::OpenSent ? last_down_.notify : std::nullopt;
    // RFC 4724 4.2: only the end of TCP without a NOTIFICATION lets routes outlive the session.
    const bool keep = was_up && c->negotiated.keeps_routes();
    end(*c,
        DownReason{dialing ? DownReason::Kind::ConnectFailed : DownReason::Kind::ConnectionLost,
                   notify, std::move(why)},
        keep, now, out);
    plan_dial(now, was_up ? config_.connect_retry / 5 : config_.connect_retry);
    return out;
}

// ---- Messages ----------------------------------------------------------------------------------

Actions Fsm::received(ConnId id, const Incoming& message, Time now)
{
    Actions out;
    Connection* c = find(id);
    if (!c || (c->state == State::Connect && !c->delaying))
        return out;
    if (c->delaying && std::holds_alternative<Open>(message))
        send_open(*c, now, out); // 8.2.2, event 20
    const bool up = c->state == State::Established;
    std::visit(Overloaded{
                   [&](const Open& open) {
                       if (c->state == State::OpenSent && !c->held)
                           on_open(*c, open, now, out);
                       else
                           on_unexpected(*c, MessageType::Open, now, out);
                   },
                   [&](KeepaliveSeen) { on_keepalive(*c, now, out); },
                   [&](UpdateSeen) {
                       if (up)
                           restart_hold(*c, now);
                       else
                           on_unexpected(*c, MessageType::Update, now, out);
                   },
                   [&](RefreshSeen) {
                       if (!up)
                           on_unexpected(*c, MessageType::RouteRefresh, now, out);
                   },
                   [&](const Notify& notify) { on_notification(*c, notify, now, out); },
                   [&](const Malformed& bad) { refuse(id, bad.notify, bad.why, now, out); },
               },
               message);
    return out;
}

void Fsm::on_open(Connection& c, const Open& open, Time now, Actions& out)
{
    const ConnId id = c.id;
    auto judged = negotiate(session(), open);
    if (const auto* refusal = std::get_if<Refusal>(&judged))
        return refuse(id, refusal->notify, refusal->why, now, out);
    if (replaces_the_established(id, now, out) && survives_collisions(id, open, now, out))
        confirm(id, std::get<Negotiated>(std::move(judged)), now, out);
}

void Fsm::confirm(ConnId id, Negotiated negotiated, Time now, Actions& out)
{
    for (const State early : {State::Connect, State::Active})
        if (const Connection* other = find_other(id, early))
            close_quietly(other->id, out);
    dial_at_.reset();
    Connection& c = *find(id);
    c.negotiated = std::move(negotiated);
    c.state = State::OpenConfirm;
    out.push_back(Send{id, KeepaliveMessage{}});
    restart_hold(c, now);
    if (!c.expires) // without a hold time only the session is without a limit
        c.expires = now + config_.open_timeout;
    plan_keepalive(c, now);
}

// False: there is a session, which is not to end, and `id` is gone.
bool Fsm::replaces_the_established(ConnId id, Time now, Actions& out)
{
    Connection* old = find_other(id, State::Established);
    if (!old)
        return true;
    if (!old->negotiated.peer_restart) {
        lose_collision(id, out);
        return false;
    }
    out.push_back(Close{old->id});
    end(*old,
        DownReason{DownReason::Kind::Replaced, std::nullopt,
                   "the peer opened a new connection: it has restarted"},
        old->negotiated.keeps_routes(), now, out);
    return true;
}

// False: `id` is gone, or its OPEN is held back. Else no rival of it is left that has spoken.
bool Fsm::survives_collisions(ConnId id, const Open& open, Time now, Actions& out)
{
    const bool wins = find(id)->outgoing == our_connection_survives(config_.session, open);
    for (const State state : {State::OpenSent, State::OpenConfirm}) {
        const Connection* rival = find_other(id, state);
        if (!rival)
            continue;
        if (!wins && state == State::OpenSent && !rival->held) {
            if (find(id)->has_waited)
                continue;
            hold_back(*find(id), open, now);
            return false;
        }
        lose_collision(wins ? rival->id : id, out);
        if (!wins)
            return false;
    }
    return true;
}

// 6.8 knows of collisions with what is in OpenConfirm. The peer may never speak on the one that wins: it
// may have taken our connection and be deaf to it.
void Fsm::hold_back(Connection& c, const Open& open, Time now)
{
    c.held = open;
    c.has_waited = true;
    c.expires = now + config_.collision_wait;
}

void Fsm::answer_held(ConnId id, Time now, Actions& out)
{
    Connection& c = *find(id);
    const Open open = *std::exchange(c.held, std::nullopt);
    const bool confirmed = c.confirmed;
    on_open(c, open, now, out);
    if (Connection* answered = find(id); answered && confirmed)
        on_keepalive(*answered, now, out);
}

void Fsm::lose_collision(ConnId id, Actions& out)
{
    out.push_back(Send{id, collision_notice()});
    close_quietly(id, out);
}

void Fsm::on_keepalive(Connection& c, Time now, Actions& out)
{
    if (c.held && !c.confirmed) {
        c.confirmed = true;
        return;
    }
    if (c.state < State::OpenConfirm)
        return on_unexpected(c, MessageType::Keepalive, now, out);
    restart_hold(c, now);
    if (c.state != State::OpenConfirm)
        return;
    c.state = State::Established;
    c.established_at = now;
    out.push_back(SessionUp{c.id, c.negotiated});
    if (Connection* rival = find_other(c.id, State::OpenSent))
        rival->expires = now + config_.collision_wait;
}

// RFC 6608 section 4: the data are the type of the message.
void Fsm::on_unexpected(Connection& c, MessageType type, Time now, Actions& out)
{
    refuse(c.id, Notify{ErrorCode::Fsm, fsm_subcode(c.state), {static_cast<std::uint8_t>(type)}},
           std::string("unexpected message in ") + name_of(c.state), now, out);
}

void Fsm::on_notification(Connection& c, const Notify& notify, Time now, Actions& out)
{
    const bool collision = notify.is_collision() && c.state != State::Established;
    // RFC 8538 section 4.1.
    const bool keep = c.state == State::Established &&
                      c.negotiated.keeps_routes_on_notification() && !notify.is_hard_reset();
    out.push_back(Close{c.id});
    if (collision && connections_.size() > 1)
        return remove(c.id); // the other connection lives on: nothing went wrong
    end(c,
        DownReason{DownReason::Kind::NotificationReceived, notify,
                   "the peer sent " + describe(notify)},
        keep, now, out);
    if (without_capabilities_)
        last_down_.text += "; it is asked again without capabilities";
    plan_dial(now, collision || without_capabilities_ ? config_.connect_retry : back_off());
}

// Sends `notify` and ends the connection. Where the fault is one of protocol the peer is left alone for a
// while (RFC 4271 8.1.1, DampPeerOscillations): we dial later and later. Who comes by himself is soon let
// in again; FRR and OpenBGPD rely on his patience, too.
void Fsm::refuse(ConnId id, const Notify& notify, std::string why, Time now, Actions& out)
{
    Connection& c = *find(id);
    const bool expired =
        notify.code == ErrorCode::HoldExpired || notify.code == ErrorCode::SendHoldExpired;
    const bool was_up = c.state == State::Established;
    const bool keep = was_up && c.negotiated.keeps_routes_on_notification() && !is_for_good(notify);
    out.push_back(Send{id, worded_for(c.negotiated, was_up, notify)});
    out.push_back(Close{id});
    if (why.empty())
        why = "we sent " + describe(notify);
    end(c,
        DownReason{expired ? DownReason::Kind::HoldExpired : DownReason::Kind::NotificationSent,
                   notify, std::move(why)},
        keep, now, out);
    const Duration delay = expired ? config_.connect_retry : back_off();
    if (!expired && connections_.empty() && delay > Duration(0))
        idle_until_ = now + std::min(delay, config_.refusal);
    plan_dial(now, delay);
}

void Fsm::end(Connection& c, DownReason reason, bool keep_routes, Time now, Actions& out)
{
    const bool was_up = c.state == State::Established;
    if (was_up && now - c.established_at >= config_.idle_hold_max)
        idle_hold_ = config_.idle_hold_min; // it was stable: forget earlier trouble
    without_capabilities_ = is_without_capabilities_after(reason, was_up);
    last_down_ = std::move(reason);
    remove(c.id);
    if (was_up)
        out.push_back(SessionDown{keep_routes, last_down_});
}

// RFC 5492 section 3: who does not know the parameter is asked again without. One that is refused so, too,
// or a session that was up, is followed by an OPEN with everything.
bool Fsm::is_without_capabilities_after(const DownReason& reason, bool was_up) const
{
    using enum DownReason::Kind;
    if (!was_up && (reason.kind == ConnectFailed || reason.kind == ConnectionLost))
        return without_capabilities_; // TCP says nothing of them
    const auto& families = config_.session.families;
    return !was_up && !without_capabilities_ && reason.kind == NotificationReceived &&
           reason.notify->code == ErrorCode::Open &&
           reason.notify->subcode == open_error::kParameter &&
           std::ranges::find(families, kIpv4Unicast) != families.end();
}

SessionConfig Fsm::session() const
{
    SessionConfig session = config_.session;
    session.capabilities = !without_capabilities_;
    return session;
}

void Fsm::close_quietly(ConnId id, Actions& out)
{
    out.push_back(Close{id});
    remove(id);
}

// ---- Time --------------------------------------------------------------------------------------

Actions Fsm::tick(Time now)
{
    Actions out;
    if (idle_until_ && *idle_until_ <= now)
        idle_until_.reset();
    std::vector<ConnId> ids; // expiry removes connections
    for (const Connection& c : connections_)
        ids.push_back(c.id);
    for (const ConnId id : ids) {
        Connection* c = find(id);
        if (c && c->expires && *c->expires <= now)
            on_expiry(*c, now, out);
        c = find(id);
        if (c && c->keepalive_at && *c->keepalive_at <= now) {
            out.push_back(Send{id, KeepaliveMessage{}});
            plan_keepalive(*c, now);
        }
    }
    if (dial_at_ && *dial_at_ <= now)
        dial(now, out);
    return out;
}

void Fsm::on_expiry(Connection& c, Time now, Actions& out)
{
    if (c.delaying)
        return send_open(c, now, out);
    if (c.held)
        return answer_held(c.id, now, out);
    if (c.state == State::OpenSent && find_other(c.id, State::Established))
        return lose_collision(c.id, out);
    if (c.state == State::Connect) {
        const ConnId id = c.id;
        out.push_back(Close{id});
        const std::string why = "no answer: the connection attempt timed out";
        for (Action& action : lost(id, why + password_hint(config_), now))
            out.push_back(std::move(action));
        return;
    }
    const char* why = c.state == State::OpenSent
                          ? "hold time expired: the peer accepted but sent no OPEN"
                          : "hold time expired: the peer fell silent";
    refuse(c.id, Notify{ErrorCode::HoldExpired, 0, {}}, why, now, out);
}

std::optional<Time> Fsm::deadline() const
{
    std::optional<Time> first = dial_at_;
    const auto consider = [&](const std::optional<Time>& at) {
        if (at && (!first || *at < *first))
            first = at;
    };
    consider(idle_until_);
    for (const Connection& c : connections_) {
        consider(c.expires);
        consider(c.keepalive_at);
    }
    return first;
}

void Fsm::restart_hold(Connection& c, Time now)
{
    c.expires.reset();
    if (c.negotiated.hold_time > Seconds(0))
        c.expires = now + c.negotiated.hold_time;
}

// RFC 4271 4.4: not more than one a second.
void Fsm::plan_keepalive(Connection& c, Time now)
{
    constexpr Duration kShortest = std::chrono::seconds(1);
    if (c.negotiated.keepalive_time > Seconds(0))
        c.keepalive_at = now + std::max(jittered(c.negotiated.keepalive_time), kShortest);
}

void Fsm::plan_dial(Time now, Duration delay)
{
    const bool alive = std::ranges::any_of(
        connections_, [](const Connection& c) { return c.state >= State::OpenConfirm; });
    const Duration least =
        config_.connect_retry / 5; // who is not damped is not dialed without a pause either
    if (started_ && !config_.passive && !alive)
        dial_at_ = now + jittered(std::max(delay, least));
}

Duration Fsm::back_off()
{
    const Duration delay = idle_hold_;
    idle_hold_ = std::min(idle_hold_ * 2, config_.idle_hold_max);
    return delay;
}

// RFC 4271 section 10: 0.75 to 1.0 of the full time, so that peers do not march in step.
Duration Fsm::jittered(Duration full)
{
    std::uniform_real_distribution<double> share(0.75, 1.0);
    return std::chrono::duration_cast<Duration>(full * share(random_));
}

// ---- The list of connections -------------------------------------------------------------------

Fsm::Connection* Fsm::find(ConnId id)
{
    const auto found = std::ranges::find(connections_, id, &Connection::id);
    return found == connections_.end() ? nullptr : &*found;
}

Fsm::Connection* Fsm::find_other(ConnId id, State state)
{
    const auto found = std::ranges::find_if(
        connections_, [&](const Connection& c) { return c.id != id && c.state == state; });
    return found == connections_.end() ? nullptr : &*found;
}

Fsm::Connection& Fsm::add(bool outgoing, State state, Time expires)
{
    Connection c;
    c.id = next_id_++;
    c.outgoing = outgoing;
    c.state = state;
    c.expires = expires;
    return connections_.emplace_back(std::move(c));
}

void Fsm::remove(ConnId id)
{
    std::erase_if(connections_, [&](const Connection& c) { return c.id == id; });
}

} // namespace margay::bgp
