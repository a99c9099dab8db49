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
#include "agent/intake.h"
#include "agent/kernel/links.h"
#include "agent/peering.h"
#include "agent/registration.h"
#include "agent/servers.h"
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

    // Ends sessions without a word to who keeps what we told him while we restart (RFC 4724).
    void stop();
    LoopStats& loop() { return loop_; } // of whoever runs the executor

private:
    Reflector(Executor& executor, Log log, const config::Config& config, std::string node);

    Status start();
    Status start_servers();
    Status start_store();

    void apply(const model::Update& update);
    void apply_node(const std::string& name, const model::Node* node);
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
    kernel::LinkMonitor links_; // for the own address
    kernel::Resolver resolver_; // for next hops
    kernel::Resolver6 resolver6_;
    Intake intake_;
    std::unique_ptr<Registration> registration_;
    calc::BgpCalc calc_;
    std::unique_ptr<Peering> peering_;
    LoopStats loop_;
    bool was_registered_ = false; // the own Node was there
    bool in_a_cluster_ = false; // and says of which one
    Servers servers_;
};

} // namespace margay
