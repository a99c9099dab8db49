// SPDX-License-Identifier: Apache-2.0
// Session: the state machine of one BFD session (RFC 5880 section 6), asynchronous mode, without
// sockets and without a clock.
//
// Packets and time go in; actions come out and are carried out by the caller, in order. The caller
// owns one timer: it calls tick() no later than deadline().
//
// What is announced and what is in use may differ for a moment (6.8.3): while the session is Up, a
// slower transmission and a shorter detection time wait for the peer's Final, so that neither end
// counts on packets that the other does not send yet. When it is not Up nothing waits.

#pragma once

#include "bfd/packet.h"

#include <chrono>
#include <optional>
#include <random>
#include <string>
#include <variant>
#include <vector>

namespace margay::bfd {

using Time = std::chrono::steady_clock::time_point; // given by the caller, never asked for here
using Duration = std::chrono::steady_clock::duration;
using std::chrono::microseconds;

// RFC 5880 6.8.3: never faster while the session is not Up.
inline constexpr microseconds kSlow = std::chrono::seconds(1);

struct Parameters {
    microseconds min_tx{300'000}; // how often we want to send
    microseconds min_rx{300'000}; // how often we can receive
    std::uint8_t detect_mult = 3; // so many of our packets may be lost

    bool operator==(const Parameters&) const = default;
};

// What the peer said last (bfd.Remote... of 6.8.1), or, while it is silent, what is assumed.
struct Remote {
    std::uint32_t discriminator = 0;
    State state = State::Down;
    Diag diag = Diag::None;
    bool demand = false;
    std::uint8_t detect_mult = 0;
    microseconds min_tx{0};
    microseconds min_rx{1};
};

// ---- What the caller has to do ----
struct Send {
    Packet packet;
};
struct StateChanged {
    State from = State::Down;
    State to = State::Down;
    Diag diag = Diag::None;
    // It was Up, and the way to the peer is lost. Not set when the peer was shut down by its
    // operator, which says nothing about the way (RFC 5882 3.2).
    bool failure = false;
    std::string why; // in plain words
};
struct Finished {}; // shut_down() is done: the peer knows
using Action = std::variant<Send, StateChanged, Finished>;
using Actions = std::vector<Action>;

// What a packet of state `theirs` makes of our state `ours` (6.8.6).
State next_state(State ours, State theirs);

// 6.8.7: 75 to 100 percent of the interval, to 90 where one lost packet is the end.
Duration jittered(Duration interval, std::uint8_t detect_mult, std::minstd_rand& random);

class Session {
public:
    // `discriminator` is unique among ours and not 0.
    Session(const Parameters& parameters, std::uint32_t discriminator, std::uint32_t jitter_seed)
        : parameters_(parameters), discriminator_(discriminator), random_(jitter_seed)
    {
        announced_ = in_use_ = wanted();
    }

    Actions start(Time now);
    // Why the packet was dropped, or nothing when it counts.
    std::optional<Reject> receive(const Packet& packet, Time now, Actions& actions);
    // A Poll Sequence tells the peer (6.5).
    Actions change(const Parameters& parameters, Time now);
    // AdminDown, told for as long as the peer's detection time; then Finished.
    Actions shut_down(Time now);

    Actions tick(Time now);
    std::optional<Time> deadline() const;

    State state() const { return state_; }
    Diag diag() const { return diag_; }
    const std::string& why_down() const { return why_; } // empty while Up
    const Remote& remote() const { return remote_; }
    std::uint32_t discriminator() const { return discriminator_; }
    // Of our packets, before jitter.
    Duration transmit_interval() const;
    // So long without a packet, and the peer counts as lost; 0 while it was never heard.
    Duration detection_time() const;

private:
    Parameters wanted() const;
    bool polling_allowed(Time now) const;
    void announce(bool at_once, Time now);
    void end_poll(Time now);

    void learn(const Packet& packet);
    void on_peer_state(Actions& out, Time now);
    void expire(Time now, Actions& out);
    void enter(State state, Diag diag, bool failure, std::string why, Time now, Actions& out);

    bool periodic() const;
    void plan(Time now);
    void transmit(Time now, Actions& out);
    Packet make_packet(bool final) const;
    std::optional<Time> detection_deadline() const;

    Parameters parameters_; // as configured
    std::uint32_t discriminator_;
    State state_ = State::Down;
    Diag diag_ = Diag::None;
    std::string why_ = "not heard from the peer yet";
    Remote remote_;
    std::optional<Time> heard_at_;

    Parameters announced_; // what our packets say
    Parameters in_use_;    // what timing goes by
    bool polling_ = false;
    bool poll_sent_ = false;
    // After a Final another Poll waits for a packet without, or for this time: a late Final must
    // not be taken for the answer to it.
    std::optional<Time> rest_until_;

    std::optional<Time> sent_at_;
    std::optional<Time> send_at_; // the next periodic packet
    Duration planned_{0}; // the interval that send_at_ was made of
    std::optional<Time> finished_at_;
    std::minstd_rand random_;
};

} // namespace margay::bfd
