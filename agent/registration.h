// SPDX-License-Identifier: Apache-2.0
// Registration: this node's own objects in the datastore, at start and for as long as it runs.
//
// Jobs run one at a time on the store's worker and are repeated with back-off while the datastore
// does not answer; the data path goes on meanwhile. check() is told of the own Node whenever the
// datastore has news of it. What it tells lags behind our own writes, so a difference counts when
// it is still there a moment later; a Node that is gone counts at once, unless we have just written.

#pragma once

#include "agent/config/config.h"
#include "agent/kernel/links.h"
#include "agent/startup/startup.h"
#include "agent/store/kv.h"
#include "margay/clock.h"
#include "margay/log.h"
#include "margay/worker.h"

#include <functional>
#include <string>

namespace margay {

class Registration {
public:
    using OnState = std::function<void(const startup::NodeState&)>;

    Registration(Executor& executor, Log log, const config::Config& config, std::string node,
                 std::unique_ptr<store::Kv> kv, OnState on_state);

    // `links` outlives this; it is read on the executor, before a job is handed to the worker.
    void begin(const kernel::LinkTable& links);
    // Addresses of the host changed: the Node's may be another one now.
    void look_again();
    // The own Node, as the datastore tells it.
    struct Seen {
        bool present = false;
        std::optional<Prefix4> address{};
        std::optional<Ipv4> tunnel_address{};
    };
    // Leads to a repair when it differs from what was written.
    void check(const Seen& seen);

    bool done() const { return done_; }
    const startup::NodeState& state() const { return state_; }
    const std::string& detection() const { return detection_; }
    const std::string& trouble() const { return trouble_; } // why it is not done; empty when done

private:
    void compare_soon();
    bool differs() const;
    void repair();
    void run();
    void finish(Result<startup::NodeState> result);

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
    Clock::Time written_{};
    Seen seen_;
    bool news_ = false; // of the own Node, while a job was running
    bool moved_ = false; // the host's addresses changed
    const kernel::LinkTable* links_ = nullptr;
    Timer compare_;
    Timer retry_;
    std::chrono::milliseconds back_off_{500};
    Worker<store::Kv> worker_; // last: its jobs end before what they report to
};

} // namespace margay
