// SPDX-License-Identifier: Apache-2.0
// Sessions: the neighbours of the device under test, all in one thread and one epoll loop.
//
// A Session connects from its own address, again and again until it is Established, and keeps its
// hold time on both sides. It is a far simpler peer than a daemon: it decides nothing, answers
// nothing but OPEN, and counts what it is told. An UPDATE stream is written as it is, as fast as
// TCP takes it.

#pragma once

#include "bench/bgp/inbox.h"
#include "margay/fd.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace margay::bgp_bench {

struct SessionConfig {
    Ipv4 address; // ours; also the BGP identifier
    std::uint32_t as = 0;
    Ipv4 device; // of the device under test, which listens on port 179
    std::uint16_t hold_time = 90;
};

class Loop;

class Session {
public:
    Session(Loop& loop, SessionConfig config);
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    void connect();
    // Sends whole messages; `stream` outlives the sending. KEEPALIVEs wait meanwhile: UPDATEs
    // restart the hold timer as well (RFC 4271 8).
    void send(View stream);
    bool sent() const { return unsent_.empty(); }
    // Sent whenever the session comes up; outlives it.
    void set_greeting(View stream) { greeting_ = stream; }
    // Ends TCP with a reset, as a node that dies and is asked again; not counted as lost.
    void reset();
    // Where UPDATEs are counted; none: they are ignored. Outlives the session.
    void set_inbox(Inbox* inbox) { inbox_ = inbox; }

    const SessionConfig& config() const { return config_; }
    bool established() const { return state_ == State::Established; }
    // When our KEEPALIVE went, before which the device cannot be Established. Its own KEEPALIVE
    // would be too late: it may be read together with the table that follows it.
    Clock::time_point confirmed_at() const { return confirmed_at_; }
    // Why it is not Established, in words; the last NOTIFICATION if there was one.
    const std::string& why() const { return why_; }

private:
    friend class Loop;
    enum class State { Idle, Connecting, OpenSent, OpenConfirm, Established, Ended };

    void on_ready(std::uint32_t events);
    void on_tick(Clock::time_point now);
    void on_connected();
    void on_readable();
    std::size_t take_messages(View octets);
    bool on_message(MessageType type, View body);
    bool on_keepalive();
    void send_some();
    bool send_now(const Bytes& message);
    void close(const std::string& why);
    void watch(std::uint32_t events);

    Loop& loop_;
    SessionConfig config_;
    State state_ = State::Idle;
    Fd fd_;
    Bytes half_; // the beginning of a message whose end has not come
    View unsent_;
    View greeting_;
    Inbox* inbox_ = nullptr;
    std::string why_ = "no connection yet";
    Clock::time_point confirmed_at_;
    Clock::time_point heard_at_;
    Clock::time_point spoke_at_;
    Clock::time_point retry_at_;
};

class Loop {
public:
    Loop();

    Session& add(const SessionConfig& config);
    const std::vector<std::unique_ptr<Session>>& sessions() const { return sessions_; }
    // False when `done` did not hold within `limit`.
    bool run_until(const std::function<bool()>& done, std::chrono::milliseconds limit);
    void run_for(std::chrono::milliseconds time);
    // Until then a session that ends is brought up again, whatever it was. FRR, for one, resets
    // sessions that come before its own start timer, which it lets run for passive ones as well.
    void count_losses() { losses_count_ = true; }
    // Sessions that ended although they were Established, and why the first of them did.
    std::size_t lost() const { return lost_; }
    const std::string& why_lost() const { return why_lost_; }

private:
    friend class Session;
    void turn();
    void on_lost(const Session& session, const std::string& why);

    Fd epoll_;
    std::vector<std::unique_ptr<Session>> sessions_;
    Bytes scratch_; // what one recv() brings; shared, so that it stays in the cache
    Clock::time_point ticked_at_;
    bool losses_count_ = false;
    std::size_t lost_ = 0;
    std::string why_lost_;
};

} // namespace margay::bgp_bench
