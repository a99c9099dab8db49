// SPDX-License-Identifier: Apache-2.0
// Scenarios: one run of one daemon each, from its start to its end.
//
// The clock starts with the first octet of an UPDATE (or of a reset), when all sessions are
// Established and have been quiet for a while, and stops with the last prefix at the last receiver.

#pragma once

#include "bench/bgp/daemon.h"
#include "bench/bgp/table.h"

#include <chrono>
#include <optional>
#include <span>
#include <string_view>

namespace margay::bgp_bench {

// Sizes; which of them a scenario looks at stands in its row of scenarios().
struct Sizes {
    std::size_t prefixes = 0;
    Mix mix = Mix::Few;
    std::size_t receivers = 0;
    std::size_t clients = 0;
    std::size_t feeders = 0;
    std::size_t each = 0; // routes of a client or of a feeder, where there are many
    std::uint16_t hold_time = 90;
    std::chrono::seconds limit{120}; // for one wait, not for the run
};

struct Figures {
    std::vector<double> ms; // one, or one a joiner or a lost feeder
    double cpu_ms = 0; // of the daemon, while the clock ran
    double peak_rss_mib = 0;
    double bench_cpu_ms = 0; // of this program meanwhile: near `ms`, it is what was measured
    std::optional<std::size_t> sessions_lost;
};

// Refused: the daemon ended before a session was up; its words are the error's text.
struct Failure {
    bool refused = false;
    std::string what;
};

struct Outcome {
    std::optional<Failure> failure;
    Figures figures;
};

struct Scenario {
    std::string_view name;
    std::string_view about;
    Sizes sizes; // defaults; 0: the scenario has none of these
    Outcome (*run)(const Device& device, const Sizes& sizes, bool show_log);
};

std::span<const Scenario> scenarios();
const Scenario* find_scenario(std::string_view name);

} // namespace margay::bgp_bench
