// SPDX-License-Identifier: Apache-2.0
#include "bfd/session.h"

#include <algorithm>
#include <utility>

namespace margay::bfd {
namespace {

constexpr Duration kLongestFarewell = std::chrono::seconds(30); // a peer may ask for days

std::string in_milliseconds(Duration time)
{
    return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(time).count()) +
           " ms";
}

} // namespace

State next_state(State ours, State theirs)
{
    if (ours == State::AdminDown)
        return ours;
    if (theirs == State::AdminDown)
        return State::Down;
    switch (ours) {
    case State::Down:
        if (theirs == State::Down)
            return State::Init;
        return theirs == State::Init ? State::Up : ours;
    case State::Init:
        return theirs == State::Down ? ours : State::Up;
    default: // Up
        return theirs == State::Down ? State::Down : ours;
    }
}

Duration jittered(Duration interval, std::uint8_t detect_mult, std::minstd_rand& random)
{
    const int most = detect_mult == 1 ? 90 : 100;
    std::uniform_int_distribution<Duration::rep> any(interval.count() * 3 / 4,
                                                     interval.count() * most / 100);
    return Duration(any(random));
}

// ---- In ----------------------------------------------------------------------------------------

Actions Session::start(Time now)
{
    Actions out;
    transmit(now, out);
    return out;
}

// RFC 5880 6.8.6, from the authentication on.
std::optional<Reject> Session::receive(const Packet& packet, Time now, Actions& out)
{
    if (packet.authenticated)
        return Reject::Authentication;
    learn(packet);
    if (packet.final && polling_ && poll_sent_)
        end_poll(now);
    else if (!packet.final)
        rest_until_.reset();
    if (state_ == State::AdminDown)
        return Reject::AdminDown;
    heard_at_ = now;
    const State before = state_;
    on_peer_state(out, now);
    announce(false, now);
    plan(now);
    // One packet at most for one received, so the answer to a Poll tells of a new state, too. It
    // does not wait for the time of the next periodic packet and does not move it.
    if (packet.poll)
        out.push_back(Send{make_packet(true)});
    else if (state_ != before)
        transmit(now, out);
    return std::nullopt;
}

void Session::learn(const Packet& packet)
{
    remote_.discriminator = packet.my_discriminator;
    remote_.state = packet.state;
    remote_.diag = packet.diag;
    remote_.demand = packet.demand;
    remote_.detect_mult = packet.detect_mult;
    remote_.min_tx = packet.desired_min_tx;
    remote_.min_rx = packet.required_min_rx;
}

void Session::on_peer_state(Actions& out, Time now)
{
    const State next = next_state(state_, remote_.state);
    const bool stopped = remote_.state == State::AdminDown;
    if (next == state_) {
        if (state_ == State::Down && stopped)
            why_ = "the peer has shut the session down";
        return;
    }
    if (next != State::Down)
        return enter(next, Diag::None, false,
                     next == State::Up ? "" : "the peer is heard, and does not hear us yet", now,
                     out);
    std::string why = "the peer has shut the session down";
    if (!stopped)
        why = std::string("the peer says that the session is down: ") + name_of(remote_.diag);
    enter(State::Down, Diag::NeighborSignaledDown, state_ == State::Up && !stopped, std::move(why),
          now, out);
}

void Session::enter(State state, Diag diag, bool failure, std::string why, Time now, Actions& out)
{
    const State from = std::exchange(state_, state);
    diag_ = diag;
    why_ = std::move(why);
    out.push_back(StateChanged{from, state, diag, failure, why_});
    announce(true, now);
    plan(now);
}

Actions Session::change(const Parameters& parameters, Time now)
{
    Actions out;
    parameters_ = parameters;
    announce(false, now);
    plan(now);
    return out;
}

Actions Session::shut_down(Time now)
{
    Actions out;
    enter(State::AdminDown, Diag::AdminDown, false, "removed by configuration", now, out);
    transmit(now, out);
    finished_at_ = now + std::min(kLongestFarewell,
                                  announced_.detect_mult * transmit_interval()); // 6.8.16
    return out;
}

// ---- Time --------------------------------------------------------------------------------------

Actions Session::tick(Time now)
{
    Actions out;
    if (finished_at_ && now >= *finished_at_) {
        finished_at_.reset();
        send_at_.reset();
        heard_at_.reset();
        out.push_back(Finished{});
        return out;
    }
    if (const auto lost = detection_deadline(); lost && now >= *lost)
        expire(now, out);
    announce(false, now);
    plan(now);
    if (send_at_ && now >= *send_at_)
        transmit(now, out);
    return out;
}

std::optional<Time> Session::deadline() const
{
    std::optional<Time> first;
    const auto consider = [&](const std::optional<Time>& time) {
        if (time && (!first || *time < *first))
            first = time;
    };
    consider(send_at_);
    consider(detection_deadline());
    consider(finished_at_);
    if (wanted() != announced_)
        consider(rest_until_);
    return first;
}

// What a silent peer said holds no longer, whatever the state (6.8.1 of the discriminator, 6.8.4).
void Session::expire(Time now, Actions& out)
{
    const State before = state_;
    const std::string why = "nothing heard from the peer for " + in_milliseconds(detection_time()) +
                            " (detection time)";
    remote_ = Remote{};
    heard_at_.reset();
    if (before == State::Down)
        why_ = why;
    if (before != State::Init && before != State::Up)
        return;
    enter(State::Down, Diag::DetectionTimeExpired, before == State::Up, why, now, out);
    transmit(now, out);
}

Duration Session::transmit_interval() const
{
    return std::max(in_use_.min_tx, remote_.min_rx);
}

Duration Session::detection_time() const
{
    return remote_.detect_mult * std::max(in_use_.min_rx, remote_.min_tx);
}

std::optional<Time> Session::detection_deadline() const
{
    if (!heard_at_)
        return std::nullopt;
    return *heard_at_ + detection_time();
}

// ---- Parameters --------------------------------------------------------------------------------

Parameters Session::wanted() const
{
    Parameters wanted = parameters_;
    if (state_ != State::Up)
        wanted.min_tx = std::max(wanted.min_tx, kSlow);
    return wanted;
}

// 6.8.3: one change a Poll Sequence, or nobody knows which one a Final has answered.
bool Session::polling_allowed(Time now) const
{
    return !(polling_ && poll_sent_) && (!rest_until_ || now >= *rest_until_);
}

// A change of state does not wait, nor anything while the session is not Up: what is changed then
// takes effect whether or not a Final comes.
void Session::announce(bool at_once, Time now)
{
    const Parameters next = wanted();
    const bool free = at_once || state_ != State::Up || polling_allowed(now);
    if (next != announced_ && free) {
        announced_ = next;
        in_use_.min_tx = std::min(in_use_.min_tx, next.min_tx);
        in_use_.min_rx = std::max(in_use_.min_rx, next.min_rx);
        polling_ = true;
        poll_sent_ = false;
        rest_until_.reset();
    }
    if (state_ != State::Up)
        in_use_ = announced_;
}

void Session::end_poll(Time now)
{
    polling_ = poll_sent_ = false;
    in_use_ = announced_;
    rest_until_ = now + announced_.detect_mult * transmit_interval();
}

// ---- Out ---------------------------------------------------------------------------------------

// 6.8.7: whether the peer wants to be sent packets at all times.
bool Session::periodic() const
{
    if (remote_.min_rx == microseconds(0))
        return false;
    const bool demanded =
        remote_.demand && state_ == State::Up && remote_.state == State::Up; // 6.6
    return !demanded || polling_;
}

// A shorter interval counts from the last packet, not from now (6.8.3). A time once drawn stays
// while the interval does: drawing anew at each packet of the peer's would spoil the jitter.
void Session::plan(Time now)
{
    if (!periodic()) {
        send_at_.reset();
        return;
    }
    const Duration interval = transmit_interval();
    if (send_at_ && planned_ == interval)
        return;
    planned_ = interval;
    const Duration wait = jittered(interval, announced_.detect_mult, random_);
    send_at_ = sent_at_ ? std::max(now, *sent_at_ + wait) : now;
}

void Session::transmit(Time now, Actions& out)
{
    out.push_back(Send{make_packet(false)});
    poll_sent_ = polling_;
    sent_at_ = now;
    send_at_.reset();
    plan(now);
}

Packet Session::make_packet(bool final) const
{
    Packet packet;
    packet.state = state_;
    packet.diag = diag_;
    packet.poll = polling_ && !final;
    packet.final = final;
    packet.detect_mult = announced_.detect_mult;
    packet.my_discriminator = discriminator_;
    packet.your_discriminator = remote_.discriminator;
    packet.desired_min_tx = announced_.min_tx;
    packet.required_min_rx = announced_.min_rx;
    return packet;
}

} // namespace margay::bfd
