// SPDX-License-Identifier: Apache-2.0
// What margayd tells of itself and of the datastore, whatever its role is. Reads, never writes; nullptr is
// what has not started.

#pragma once

#include "agent/config/config.h"
#include "agent/model/quarantine.h"
#include "agent/status/http.h"
#include "agent/status/metrics.h"
#include "agent/store/store.h"

#include "margay/loop.h"

#include <boost/json/fwd.hpp>

#include <functional>
#include <string>
#include <vector>

namespace margay {

std::string timestamp(std::chrono::system_clock::time_point time);

boost::json::object store_report(const config::Config& config, const store::Store* store);
boost::json::array problems_report(const model::Quarantine& quarantine, const store::Store* store);
void add_loop_metrics(status::MetricsText& text, const LoopStats& loop);
void add_store_metrics(status::MetricsText& text, const store::Store* store);
void add_problem_metrics(status::MetricsText& text, const boost::json::array& problems);

// /healthz, /readyz and /metrics; `not_ready` says why, and is empty when all is well.
status::HttpResponse http_report(const std::string& target,
                                 const std::function<std::vector<std::string>()>& not_ready,
                                 const std::function<std::string()>& metrics);

} // namespace margay
