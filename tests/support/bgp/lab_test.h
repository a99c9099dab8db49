// SPDX-License-Identifier: Apache-2.0
// LabTest: a test in the laboratory (lab.h), skipped without the rights for one.

#pragma once

#include "support/bgp/lab.h"

#include <gtest/gtest.h>

namespace margay::bgp::lab {

struct LabTest : ::testing::Test {
    Executor executor;

    void SetUp() override
    {
        if (!enter_private_network())
            GTEST_SKIP() << "needs root";
    }
    bool until(const std::function<bool()>& done,
               std::chrono::milliseconds limit = std::chrono::seconds(30))
    {
        return run_until(executor, done, limit);
    }
};

} // namespace margay::bgp::lab
