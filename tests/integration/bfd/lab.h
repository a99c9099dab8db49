// SPDX-License-Identifier: Apache-2.0
// A laboratory for BFD: we, a neighbour on our link, and a node behind a router.
//
//   we (10.77.0.1, fd77::1) --- eth0 --- neighbour (10.77.0.2, fd77::2), which is a router, too
//                                            |
//                                        far (10.78.0.2, fd78::2)
//
// A test is inside "we" for all of its life, so that sockets that are opened anew are there.

#pragma once

#include "bfd/monitor.h"
#include "margay/fd.h"
#include "support/netns.h"
#include "support/turns.h"

#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <vector>

namespace margay::bfd::lab {

using testing::inside;
using testing::Netns;

Ip ip(const std::string& text);

// A session of 100 ms and three packets.
SessionConfig session_with(const std::string& peer, const std::string& local);

// A monitor of ours and everything that it said.
class Watch {
public:
    explicit Watch(Executor& executor);

    Monitor& monitor() { return *monitor_; }
    SessionStatus session(const std::string& peer) const;
    State state(const std::string& peer) const { return session(peer).state; }
    bool up(const std::string& peer) const { return state(peer) == State::Up; }
    // "Init, Up, Down!": with "!" for a failure.
    std::string said(const std::string& peer) const;
    std::uint64_t drops(Reject reject) const
    {
        return monitor_->drops()[static_cast<std::size_t>(reject)];
    }
    void end() { monitor_.reset(); }

    std::function<void(const SessionEvent&)> on_event; // beside what is kept

private:
    std::vector<SessionEvent> events_;
    std::unique_ptr<Monitor> monitor_;
};

// A socket that says exactly what it is told to.
class Raw {
public:
    Raw(const Ip& own, std::uint16_t port, int ttl = 255);

    void say(const Ip& to, std::span<const std::uint8_t> bytes, std::uint16_t port = 3784);
    struct Heard {
        Packet packet;
        std::uint16_t port = 0;
        int ttl = 0;
    };
    std::vector<Heard> hear(); // what is there

private:
    bool v4_;
    Fd socket_;
};

struct LabTest : ::testing::Test {
    std::unique_ptr<Netns> we, neighbour, far;
    std::unique_ptr<testing::NetnsScope> scope;
    Executor executor;

    void SetUp() override;
    void TearDown() override;
    bool until(const std::function<bool()>& claim)
    {
        return testing::run_until(executor, claim, std::chrono::seconds(30));
    }
    void run_for(std::chrono::milliseconds time)
    {
        const auto end = std::chrono::steady_clock::now() + time;
        (void)testing::run_until(
            executor, [&] { return std::chrono::steady_clock::now() >= end; }, 2 * time);
    }
};

} // namespace margay::bfd::lab
