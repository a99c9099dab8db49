// SPDX-License-Identifier: Apache-2.0
// Servers: where margayd is asked, whatever its role is. The control socket, HTTP, and what calicoctl looks for.

#pragma once

#include "agent/config/config.h"
#include "agent/explain/bgp_monitor.h"
#include "agent/explain/presence.h"
#include "agent/peering.h"
#include "agent/status/control.h"
#include "agent/status/http.h"

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace margay {

class Servers {
public:
    struct Answers {
        status::ControlHandler control;
        std::function<std::vector<std::string>()> not_ready; // why; empty when all is well
        std::function<std::string()> metrics;
        std::function<const Peering*()> peering; // nullptr: not started
        std::function<std::string(const Prefix4&)> device; // the interface to a prefix, or ""
    };

    Status start(Executor& executor, const Log& log, const config::Config& config,
                 const Answers& answers);
    void stop();

    explain::BgpMonitor& bgp_monitor() { return bgp_monitor_; } // of margayctl bgp monitor
    std::chrono::system_clock::time_point since() const { return since_; }
    // Why calicoctl cannot see this node; empty: it can, or shall not.
    std::string presence_trouble() const { return presence_ ? presence_->trouble() : ""; }

private:
    const std::chrono::system_clock::time_point since_ = std::chrono::system_clock::now();
    status::Feed bgp_feed_;
    explain::BgpMonitor bgp_monitor_{bgp_feed_};
    std::unique_ptr<status::ControlServer> control_;
    std::unique_ptr<status::HttpServer> http_;
    std::unique_ptr<explain::Presence> presence_;
};

} // namespace margay
