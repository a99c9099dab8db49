// SPDX-License-Identifier: Apache-2.0
// Scenarios: one run of one daemon each, from its start to its end.
//
// The clock starts with the first octet of an UPDATE (or of a reset), when all sessions are
// Established and have been quiet for a while, and stops with the last prefix at the last receiver.

#pragma once

#include "bench/bgp/device.h"
#include "bench/bgp/figures.h"

#include <span>
#include <string_view>

namespace margay::bgp_bench {

struct Scenario {
    std::string_view name;
    std::string_view about;
    Sizes sizes; // defaults; 0: the scenario has none of these
    Outcome (*run)(const Device& device, const Sizes& sizes, bool show_log);
};

std::span<const Scenario> scenarios();
const Scenario* find_scenario(std::string_view name);

} // namespace margay::bgp_bench
