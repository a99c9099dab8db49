// SPDX-License-Identifier: Apache-2.0
// Daemon: a device under test as a process, in the private place (support/bgp/place.h) that this
// process made for it.

#pragma once

#include "bench/bgp/device.h"
#include "bench/bgp/figures.h"
#include "margay/result.h"
#include "support/bgp/place.h"

#include <string>
#include <vector>

namespace margay::bgp_bench {

// Once a process. `addresses` become host addresses of lo; the daemon has a folder in /run.
Status enter_private_place(const std::vector<Ipv4>& addresses);

struct Usage {
    double cpu_ms = 0; // user and system, of all processes alive
    double peak_rss_mib = 0; // VmHWM, their sum
};

class Daemon {
public:
    Status start(const Device& device, const Setup& setup);
    bool running() { return process_.running(); }
    Usage usage() const;
    // Ends it. What it said of its turns then; none where it did not.
    std::optional<Turns> end_and_ask_turns();
    // The last lines it wrote, for messages.
    std::string last_words() const;
    std::string log_file() const;

private:
    bgp::lab::Contained process_;
};

} // namespace margay::bgp_bench
