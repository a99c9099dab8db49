// SPDX-License-Identifier: Apache-2.0
// Where a long program is cut. Blocks stay whole where they fit, so that a Pass is a plain jump;
// a Pass that leaves its segment goes to the start of another one, never into its middle.

#pragma once

#include <cstddef>
#include <vector>

#include "agent/policy/compiler.h"
#include "agent/policy/lower.h"

namespace margay::policy {

// Rules [first, last) of a block.
struct Part {
    std::size_t block = 0;
    std::size_t first = 0;
    std::size_t last = 0;
    bool opens = false; // the block begins here
    bool ends = false;  // and ends here
};

struct Plan {
    std::vector<std::vector<Part>> segments;   // at least one
    std::vector<std::size_t> segment_of_block; // where it opens
};

Result<Plan> plan_segments(const Lowered& lowered, const SegmentLimits& limits);

} // namespace margay::policy
