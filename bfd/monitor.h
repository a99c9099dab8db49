// SPDX-License-Identifier: Apache-2.0
// Monitor: BFD for one node (RFC 5880, 5881; 5883 for multihop). Sockets and timers, everything on
// the caller's executor.
//
// The caller says which peers to watch; the monitor says when one is up and when it is lost. All
// calls are cheap, and callbacks come from turns of their own, never from inside a call: they may
// call anything, even set_sessions(), or destroy the monitor.
//
// Asynchronous mode, no Echo, no authentication.

#pragma once

#include "bfd/session.h"
#include "margay/executor.h"
#include "margay/ip.h"
#include "margay/result.h"

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace spdlog {
class logger;
}

namespace margay::bfd {

// Peer, local address and kind name a session. Timers and min_ttl of a running one can be changed.
struct SessionConfig {
    Ip peer;
    Ip local;
    bool multihop = false;
    std::uint8_t min_ttl = 1; // multihop only: of packets received; 255 is a neighbour
    Parameters parameters;

    bool operator==(const SessionConfig&) const = default;
};

// Why a session cannot be had. set_sessions() leaves such ones out and logs it.
Status check(const SessionConfig& config);

struct SessionEvent {
    Ip peer;
    Ip local;
    bool multihop = false;
    State state = State::Down;
    Diag diag = Diag::None;
    bool failure = false; // the peer was Up and is lost: what depends on it is to go at once
    std::string why;      // in plain words; empty while Up
};

struct SessionStatus {
    SessionConfig config;
    State state = State::Down;
    Diag diag = Diag::None;
    Remote remote;
    std::chrono::system_clock::time_point since; // of the last change of state
    std::string why_down;                        // in plain words; empty while Up
    microseconds transmit_interval{0};           // agreed on, before jitter
    microseconds detection_time{0};              // 0: the peer is silent
    std::uint32_t discriminator = 0;
    std::uint16_t source_port = 0;
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    std::uint64_t dropped = 0; // of what was meant for this session
    std::uint64_t up_count = 0;
    std::uint64_t failures = 0;
};

using DropCounts = std::array<std::uint64_t, kRejects>; // by Reject

struct Callbacks {
    std::function<void(const SessionEvent&)> on_state;
};

class Monitor {
public:
    Monitor(Executor& executor, std::shared_ptr<spdlog::logger> log, Callbacks callbacks);
    // Tells the peers AdminDown, once, so that they do not see a failure.
    ~Monitor();
    Monitor(const Monitor&) = delete;
    Monitor& operator=(const Monitor&) = delete;

    // The sessions as they shall be. What is unchanged is not touched, changed timers are agreed
    // on anew without an interruption, and what is removed says AdminDown for a detection time.
    void set_sessions(const std::vector<SessionConfig>& sessions);

    std::vector<SessionStatus> sessions() const;
    const DropCounts& drops() const;

private:
    class Impl;
    std::shared_ptr<Impl> impl_; // shared only with posted turns, which find it gone
};

} // namespace margay::bfd
