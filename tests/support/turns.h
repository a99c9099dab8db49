// SPDX-License-Identifier: Apache-2.0
// Runs an executor in a test until a claim holds.

#pragma once

#include "margay/executor.h"

#include <chrono>
#include <functional>

namespace margay::testing {

inline bool run_until(Executor& executor, const std::function<bool()>& claim,
                      std::chrono::milliseconds limit = std::chrono::seconds(20))
{
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!claim()) {
        if (std::chrono::steady_clock::now() >= end)
            return false;
        executor.restart(); // it stops when it runs out of work
        executor.run_for(std::chrono::milliseconds(10));
    }
    return true;
}

} // namespace margay::testing
