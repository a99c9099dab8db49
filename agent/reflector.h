// SPDX-License-Identifier: Apache-2.0
// Reflector: margayd as a route reflector and nothing else, for a machine without pods (role
// route-reflector).
//
// Of the datastore it takes what concerns BGP, registers its Node, and speaks. It has no data path, no
// pods, no tunnel and no part in IPAM, and leaves the kernel's routes and rules alone: what it learns
// goes to its clients.

#pragma once

#include "agent/calc/bgp_calc.h"
#include "agent/config/config.h"
#include "agent/explain/bgp_monitor.h"
#include "agent/explain/presence.h"
#include "agent/kernel/links.h"
#include "agent/model/quarantine.h"
#include "agent/peering.h"
#include "agent/registration.h"
#include "agent/status/control.h"
#include "agent/status/http.h"
#include "agent/store/store.h"
#include "margay/loop.h"

#include <boost/json/fwd.hpp>

#include <memory>
#include <string>
#include <vector>

namespace margay {

class Reflector {
public:
    static Result<std::unique_ptr<Reflector>> create(Executor& executor, Log log,
                                                     const config::Config& config);
    Reflector(const Reflector&) = delete;
    Reflector& operator=(const Reflector&) = delete;

    // Ends sessions without a word, so that peers keep their routes while we restart.
    void stop();
    LoopStats& loop() { return loop_; } // of whoever runs the executor

private:
    Reflector(Executor& executor, Log log, const config::Config& config, std::string node);

    Status start();
    Status start_servers();
    Status start_store();
    void start_presence();

    void on_snapshot(std::vector<store::Entry> entries, std::int64_t revision);
    void on_changes(std::vector<store::Change> changes);
    void admit(std::string_view key, std::optional<std::string_view> value);
    void apply(const model::Update& update);
    void apply_node(const std::string& name, const model::Node* node);
    void report_issues();
    void turn();

    Result<std::string> answer(const status::Request& request) const;
    boost::json::object status() const;
    std::string metrics() const;
    std::vector<std::string> not_ready() const;
    std::vector<std::string> warnings() const;

    Log log_;
    Executor& executor_;
    const config::Config config_;
    const std::string node_;
    const std::chrono::system_clock::time_point started_ = std::chrono::system_clock::now();
    kernel::LinkMonitor links_; // for the own address
    kernel::Resolver resolver_; // for next hops
    std::unique_ptr<store::Store> store_;
    std::unique_ptr<Registration> registration_;
    model::Quarantine quarantine_;
    calc::BgpCalc calc_;
    status::Feed bgp_feed_;
    explain::BgpMonitor bgp_monitor_{bgp_feed_};
    std::unique_ptr<Peering> peering_;
    std::unique_ptr<explain::Presence> presence_;
    LoopStats loop_;
    bool synced_ = false;
    bool was_registered_ = false; // the own Node was there
    bool in_a_cluster_ = false; // and says of which one
    std::unique_ptr<status::ControlServer> control_;
    std::unique_ptr<status::HttpServer> http_;
};

} // namespace margay
