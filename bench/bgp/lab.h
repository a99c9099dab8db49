// SPDX-License-Identifier: Apache-2.0
// Lab: a daemon under test, its neighbours, and the clock.

#pragma once

#include "bench/bgp/daemon.h"
#include "bench/bgp/figures.h"
#include "bench/bgp/session.h"

#include <deque>
#include <span>

namespace margay::bgp_bench {

// A daemon and all its neighbours. The first failure stays; after it nothing is measured.
class Lab {
public:
    Lab(const Device& device, const Sizes& sizes, bool show_log)
        : device_(device), sizes_(sizes), show_log_(show_log)
    {
    }
    ~Lab();

    std::vector<Session*> add(const std::vector<Neighbor>& neighbors);
    // Where the UPDATEs of these sessions are counted from now on.
    std::vector<Inbox*> inboxes(const std::vector<Session*>& sessions, const Table& table,
                                std::size_t added_hops);
    // Starts the daemon; `first` become Established, and then all is quiet.
    bool start(const std::vector<Session*>& first);
    // Bring up sessions of a lab that has started, a few at a time.
    bool connect(std::span<Session* const> sessions);
    bool connect(Session& session);
    std::vector<Session*> everybody() const;
    // From now on a lost session only ends the waiting.
    void tolerate_losses() { losses_fail_ = false; }

    // From start_clock() to the end of wait() all that the daemon uses is its figure. Without
    // start_clock(), as while a table is only being filled, nothing is.
    Clock::time_point start_clock();
    // What the next wait() is for: that these all have `count` prefixes.
    void expect(const std::vector<Inbox*>& inboxes, std::size_t count);
    void expect_also(const std::vector<Inbox*>& inboxes, std::size_t count);
    bool wait(const char* for_what);
    Clock::time_point finished() const { return race_.finished; }
    void rest(std::chrono::milliseconds time) { loop_.run_for(time); }
    void originate(std::vector<Prefix4> own) { setup_.own = std::move(own); } // before start()

    Loop& loop() { return loop_; }
    Figures& figures() { return outcome_.figures; }
    Outcome finish();

private:
    bool enter();
    bool until_established(std::span<Session* const> sessions);
    void stop_clock();
    void fail(const std::string& what, bool refused = false);
    std::string progress() const;

    const Device& device_;
    const Sizes& sizes_;
    const bool show_log_;
    Daemon daemon_;
    Loop loop_;
    Setup setup_;
    std::deque<Inbox> inboxes_; // addresses stay
    Race race_;
    Outcome outcome_;
    bool losses_fail_ = true;
    bool clock_runs_ = false;
    Usage usage_at_start_;
    double own_cpu_at_start_ = 0;
};

} // namespace margay::bgp_bench
