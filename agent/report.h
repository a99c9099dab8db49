// SPDX-License-Identifier: Apache-2.0
// Report: the agent's state as JSON for margayctl and as text for HTTP. Reads, never writes.

#pragma once

#include "agent/datapath/routes.h"
#include "agent/status/control.h"

#include <boost/json/fwd.hpp>

#include <string>

namespace margay {

class Agent;

class Report {
public:
    explicit Report(const Agent& agent) : agent_(agent) {}

    Result<std::string> answer(const status::Request& request) const;
    std::string metrics() const;

private:
    boost::json::object status() const;
    boost::json::object endpoints() const;
    boost::json::object policies() const;
    boost::json::object routes() const;
    void add_paths(boost::json::object& row, const datapath::PathWants& paths) const;
    void add_learned(boost::json::array& rows) const;
    boost::json::object bgp_peers() const;
    boost::json::object drops() const;
    boost::json::object events() const;
    boost::json::object programs() const;
    boost::json::object config() const;

    boost::json::array problems() const;
    boost::json::array hooks() const;
    boost::json::array maps() const;
    boost::json::array records() const;
    std::string link_name(std::uint32_t ifindex) const;

    const Agent& agent_;
};

} // namespace margay
