// SPDX-License-Identifier: Apache-2.0
// What margayd tells of itself, of the datastore and of BGP, whatever its role is. Reads, never writes; nullptr
// is what has not started.

#pragma once

#include "agent/config/config.h"
#include "agent/intake.h"
#include "agent/registration.h"
#include "agent/servers.h"
#include "agent/status/metrics.h"

#include "margay/loop.h"

#include <boost/json/fwd.hpp>

#include <string>
#include <vector>

namespace margay {

std::string timestamp(std::chrono::system_clock::time_point time);

boost::json::array texts(const std::vector<std::string>& list);

// Why the node is not registered, and why not all of the datastore is known; empty when all is well.
std::vector<std::string> datastore_not_ready(const Registration* registration,
                                             const Intake& intake);
// What margayctl status begins with.
boost::json::object status_head(const config::Config& config, const std::string& node,
                                const Servers& servers, const std::vector<std::string>& not_ready);
boost::json::object store_report(const config::Config& config, const Intake& intake);
boost::json::array problems_report(const Intake& intake);
// These, and those of the configuration.
boost::json::array warning_rows(const std::vector<std::string>& warnings,
                                const config::Config& config);
void add_common_metrics(status::MetricsText& text, bool ready, const LoopStats& loop,
                        const Intake& intake, const boost::json::array& problems,
                        const Peering* peering);

} // namespace margay
