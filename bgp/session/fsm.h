// SPDX-License-Identifier: Apache-2.0
// Fsm: the state machine of one peer (RFC 4271 section 8), without sockets and without a clock.
//
// Events go in with the time at which they happened; actions come out and are carried out by the
// caller, in order. The caller owns one timer: it calls tick() no later than deadline().
//
// A peer may have several TCP connections for a moment: ours, the peer's, and, when the peer has
// restarted before we noticed, an established one that is dead already. Each is a Connection in
// a state of its own; what RFC 4271 calls the state of the peer is that of the one farthest on.
//
// Collisions (6.8) are settled at the first OPEN on either connection, not only in OpenConfirm:
// the identifier is known by then, both ends compare the same two, and neither can have reached
// Established on the connection that loses. Only, the winner must speak, too: the loser's OPEN is
// held back for a moment and answered if the winner is silent; from then on it is as the RFC has it.
// An OPEN also ends a dial of ours in progress.
//
// A new connection while one is established (RFC 4724 section 5) counts once its OPEN is there,
// not at its first SYN: a late dial that the peer gives up itself must not cost the session.

#pragma once

#include "bgp/session/negotiation.h"
#include "bgp/wire/message.h"

#include <chrono>
#include <random>
#include <vector>

namespace margay::bgp {

using Time = std::chrono::steady_clock::time_point; // given by the caller, never asked for here
using Duration = std::chrono::steady_clock::duration;
using ConnId = std::uint32_t;

enum class State { Idle, Connect, Active, OpenSent, OpenConfirm, Established };
const char* name_of(State state);

struct FsmConfig {
    SessionConfig session;
    bool passive = false; // never dials
    bool authenticated = false; // TCP MD5
    Duration delay_open{0}; // RFC 4271 8.1.1, DelayOpenTime
    Duration connect_retry = std::chrono::seconds(5);
    Duration connect_timeout = std::chrono::seconds(10);
    Duration open_timeout = std::chrono::minutes(4); // RFC 4271's "large value" until OPEN is there
    Duration collision_wait = std::chrono::seconds(1); // for an OPEN on a rival
    Duration idle_hold_min = std::chrono::seconds(5); // until we dial after an error; doubles
    Duration idle_hold_max = std::chrono::seconds(30);
    Duration refusal = std::chrono::seconds(1); // of the peer's connections after one, at most
    std::uint32_t jitter_seed = 1;

    bool operator==(const FsmConfig&) const = default;
};

// Why there is no session.
struct DownReason {
    enum class Kind {
        NotTried,
        Stopped,
        ConnectFailed,
        ConnectionLost,
        HoldExpired,
        NotificationSent,
        NotificationReceived,
        Replaced, // the peer opened a new connection: it has restarted
    };

    Kind kind = Kind::NotTried;
    std::optional<Notify> notify;
    std::string text = "not tried yet"; // in plain words
};

// ---- What a connection can bring ----
struct KeepaliveSeen {};
struct UpdateSeen {};
struct RefreshSeen {};
struct Malformed { // a decoder refused it, or whoever looks after the session wants its end
    Notify notify;
    std::string why;
};
using Incoming = std::variant<Open, KeepaliveSeen, UpdateSeen, RefreshSeen, Notify, Malformed>;

// ---- What the caller has to do ----
struct Dial {
    ConnId connection;
};
struct KeepaliveMessage {};
struct Send {
    ConnId connection;
    std::variant<Open, KeepaliveMessage, Notify> message;
};
struct Close { // once what was sent before is out
    ConnId connection;
};
struct SessionUp {
    ConnId connection;
    Negotiated negotiated;
};
struct SessionDown {
    bool keep_routes = false; // RFC 4724: as stale ones, for the restart time
    DownReason reason;
};
using Action = std::variant<Dial, Send, Close, SessionUp, SessionDown>;
using Actions = std::vector<Action>;

class Fsm {
public:
    explicit Fsm(const FsmConfig& config) : config_(config), random_(config.jitter_seed) {}

    Actions start(Time now);
    // Ends all connections with `notify`, or, to let the peer keep our routes, without a word.
    Actions stop(const Notify& notify);
    Actions abandon();

    // A connection from the peer: its id, or nothing when it is refused.
    std::optional<ConnId> accept(Time now, Actions& actions);
    Actions dialed(ConnId id, Time now);
    // TCP failed or ended, and what it said.
    Actions lost(ConnId id, std::string why, Time now);
    Actions received(ConnId id, const Incoming& message, Time now);

    Actions tick(Time now);
    std::optional<Time> deadline() const;

    // For a moment after an error nothing is accepted.
    bool is_refusing() const { return started_ && idle_until_; }

    void set_restart_state(const RestartState& restart) { restart_ = restart; }
    State state() const;
    const DownReason& last_down() const { return last_down_; }

private:
    struct Connection {
        ConnId id = 0;
        bool outgoing = false;
        State state = State::Connect;
        bool delaying = false; // TCP is up, our OPEN waits for the peer's (DelayOpen)
        std::optional<Time> expires; // connect, delay open, open, or hold timer
        std::optional<Time> keepalive_at;
        // An OPEN that waits for one on the connection that would win, until `expires`.
        std::optional<Open> held;
        bool confirmed = false; // and the KEEPALIVE behind it
        bool has_waited = false;
        Negotiated negotiated;
        Time established_at{};
    };

    Connection* find(ConnId id);
    Connection* find_other(ConnId id, State state);
    Connection& add(bool outgoing, State state, Time expires);
    void remove(ConnId id);

    void dial(Time now, Actions& out);
    void begin(Connection& c, Time now, Actions& out);
    void send_open(Connection& c, Time now, Actions& out);
    void on_open(Connection& c, const Open& open, Time now, Actions& out);
    void confirm(ConnId id, Negotiated negotiated, Time now, Actions& out);
    bool replaces_the_established(ConnId id, Time now, Actions& out);
    bool survives_collisions(ConnId id, const Open& open, Time now, Actions& out);
    void hold_back(Connection& c, const Open& open, Time now);
    void answer_held(ConnId id, Time now, Actions& out);
    void on_keepalive(Connection& c, Time now, Actions& out);
    void on_unexpected(Connection& c, MessageType type, Time now, Actions& out);
    void on_expiry(Connection& c, Time now, Actions& out);
    void lose_collision(ConnId id, Actions& out);

    // The ways in which a connection ends.
    void refuse(ConnId id, const Notify& notify, std::string why, Time now, Actions& out);
    void on_notification(Connection& c, const Notify& notify, Time now, Actions& out);
    void close_quietly(ConnId id, Actions& out);
    void end(Connection& c, DownReason reason, bool keep_routes, Time now, Actions& out);

    SessionConfig session() const;
    bool is_without_capabilities_after(const DownReason& reason, bool was_up) const;
    void restart_hold(Connection& c, Time now);
    void plan_keepalive(Connection& c, Time now);
    void plan_dial(Time now, Duration delay);
    Duration back_off();
    Duration jittered(Duration full);

    FsmConfig config_;
    RestartState restart_;
    bool started_ = false;
    std::vector<Connection> connections_;
    ConnId next_id_ = 1;
    std::optional<Time> dial_at_;
    std::optional<Time> idle_until_; // after an error: nothing is accepted
    Duration idle_hold_{0};
    bool without_capabilities_ = false; // the peer did not know what they are (RFC 5492 section 3)
    DownReason last_down_;
    std::minstd_rand random_;
};

} // namespace margay::bgp
