// SPDX-License-Identifier: Apache-2.0
// Registration: this node's own objects in the datastore, at start and for as long as it runs.
//
// Jobs run one at a time on the store's worker and are repeated with back-off while the datastore
// does not answer; the data path goes on meanwhile. check() is called whenever the own Node, as
// the datastore tells it, may no longer be what it should be.

#pragma once

#include "agent/config/config.h"
#include "agent/kernel/links.h"
#include "agent/startup/startup.h"
#include "agent/store/worker.h"
#include "margay/clock.h"
#include "margay/log.h"

#include <functional>
#include <string>

namespace margay {

class Registration {
public:
    using OnState = std::function<void(const startup::NodeState&)>;

    Registration(Executor& executor, Log log, const config::Config& config, std::string node,
                 std::unique_ptr<store::Kv> kv, OnState on_state);

    // `links` is read in the caller's turn, before the job is handed to the worker.
    void begin(const kernel::LinkTable& links);
    // The datastore now says this of the own Node. Starts a repair when it differs from what was
    // written.
    void check(bool present, std::optional<Prefix4> address, std::optional<Ipv4> tunnel_address,
               const kernel::LinkTable& links);

    bool done() const { return done_; }
    const startup::NodeState& state() const { return state_; }
    const std::string& detection() const { return detection_; }
    const std::string& trouble() const { return trouble_; } // why it is not done; empty when done

private:
    bool differs() const;
    void run(const kernel::LinkTable& links);
    void finish(Result<startup::NodeState> result);

    Executor& executor_;
    Log log_;
    const config::Config& config_;
    std::string node_;
    OnState on_state_;
    SystemClock clock_;
    startup::NodeState state_;
    std::string detection_;
    std::string trouble_ = "not registered in the datastore yet";
    bool prepared_ = false;
    bool done_ = false;
    bool running_ = false;
    // What the datastore said last. Told late, it may be older than what was written, so it
    // counts only when it stays.
    bool seen_present_ = false;
    std::optional<Prefix4> seen_address_;
    std::optional<Ipv4> seen_tunnel_;
    Timer recheck_;
    Timer retry_;
    std::chrono::milliseconds back_off_{500};
    store::Worker worker_; // last: its jobs end before what they report to
};

} // namespace margay
