// SPDX-License-Identifier: Apache-2.0
// A fixture: one network namespace that stands for a node. The test body runs inside of it.

#pragma once

#include "margay/executor.h"
#include "support/netns.h"
#include "support/turns.h"

#include <gtest/gtest.h>
#include <net/if.h>

#include <memory>
#include <optional>

namespace margay::testing {

struct NodeTest : ::testing::Test {
    void SetUp() override
    {
        if (!is_root())
            GTEST_SKIP() << "needs root";
        node = std::make_unique<Netns>("node");
        scope = std::make_unique<NetnsScope>(*node);
    }
    void TearDown() override
    {
        scope.reset();
        node.reset();
    }

    std::string sh(const std::string& command) { return node->must(command); }
    bool run(const std::function<bool()>& claim) { return run_until(executor, claim); }
    static std::uint32_t index(const char* name) { return ::if_nametoindex(name); }

    std::unique_ptr<Netns> node;
    std::unique_ptr<NetnsScope> scope;
    Executor executor;
};

} // namespace margay::testing
