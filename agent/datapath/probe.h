// SPDX-License-Identifier: Apache-2.0
// What this kernel can do, asked of the kernel itself and never of its version number.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace margay::datapath {

bool have_tcx();

struct Feature {
    std::string name;     // "tcx"
    bool present = false;
    std::string fallback; // what is done without it
};

// For `margayctl status` and for the text of a refusal.
std::vector<Feature> probe_features();

// The driver of a device of this network namespace ("veth", "virtio_net"), or nothing.
std::string driver_of(std::uint32_t ifindex);

// The line of a verifier log that says what is wrong: the last one that is no statistic.
std::string last_useful_line(std::string_view log);

} // namespace margay::datapath
