// SPDX-License-Identifier: Apache-2.0
// What a run is given and what comes out of it: plain values.

#pragma once

#include "bench/bgp/table.h"

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace margay::bgp_bench {

// Sizes; which of them a scenario looks at stands in its row of scenarios() (scenario.h).
struct Sizes {
    std::size_t prefixes = 0;
    Mix mix = Mix::Few;
    std::size_t receivers = 0;
    std::size_t clients = 0;
    std::size_t peers = 0;
    std::size_t feeders = 0;
    std::size_t each = 0; // routes of a client, a peer or a feeder, where there are many
    std::uint16_t hold_time = 90;
    std::chrono::seconds limit{120}; // for one wait, not for the run
};

// Of the daemon's event loop, from its start on, in processor time of its thread: a busy machine does
// not count.
struct Turns {
    double worst_ms = 0;
    std::size_t long_turns = 0; // above margay/loop.h's kLongTurn
};

struct Figures {
    std::vector<double> ms; // one, or one a joiner or a lost feeder
    double cpu_ms = 0; // of the daemon, while the clock ran
    double peak_rss_mib = 0;
    double bench_cpu_ms = 0; // of this program meanwhile: near `ms`, it is what was measured
    std::optional<std::size_t> sessions_lost;
    std::optional<Turns> turns; // of daemons that tell
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

} // namespace margay::bgp_bench
