// SPDX-License-Identifier: Apache-2.0
// Watcher: a Store with its executor, and the table that its callbacks describe.

#pragma once

#include <gtest/gtest.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "agent/store/store.h"

namespace margay::testing {

using namespace std::chrono_literals;

// Runs the executor until the claim holds. Generous: a test that needs the limit has failed.
template <typename Claim>
bool run_until(Executor& executor, Claim claim, std::chrono::seconds limit = 60s)
{
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!claim()) {
        if (std::chrono::steady_clock::now() > end)
            return false;
        executor.restart();
        executor.run_for(5ms);
    }
    return true;
}

struct Watcher {
    explicit Watcher(const store::StoreConfig& config, std::function<void()> in_snapshot = {})
        : during_snapshot(std::move(in_snapshot))
    {
        auto made =
            store::make_store(executor,
                              std::make_shared<spdlog::logger>(
                                  "store", std::make_shared<spdlog::sinks::stderr_sink_mt>()),
                              config);
        if (!made) {
            ADD_FAILURE() << made.error().what;
            return;
        }
        store = std::move(*made);
        start();
    }

    void start()
    {
        store->start({
            .on_snapshot =
                [this](std::vector<store::Entry> entries, std::int64_t at) {
                    snapshots++;
                    snapshot_revision = at;
                    for (auto& e : entries)
                        table[e.key] = e.value;
                    if (during_snapshot)
                        during_snapshot();
                },
            .on_changes =
                [this](std::vector<store::Change> batch) {
                    EXPECT_EQ(snapshots, 1) << "changes before the snapshot";
                    for (auto& c : batch) {
                        changes.push_back(c);
                        if (c.value)
                            table[c.key] = *c.value;
                        else
                            table.erase(c.key);
                    }
                },
            .on_state =
                [this](bool now, std::string why) {
                    EXPECT_NE(connected, std::optional(now)) << "told twice";
                    connected = now;
                    losses += !now;
                    reason = why;
                },
            .on_problems = [this](std::vector<store::Problem> all) { problems = all; },
        });
    }

    template <typename Claim>
    bool until(Claim claim, std::chrono::seconds limit = 60s)
    {
        return run_until(executor, claim, limit);
    }
    bool until_connected()
    {
        return until([this] { return connected == true; });
    }
    bool until_lost()
    {
        return until([this] { return connected == false; });
    }
    bool until_value(const std::string& key, const std::string& value)
    {
        return until([&] { return table.contains(key) && table[key] == value; });
    }
    bool until_gone(const std::string& key)
    {
        return until([&] { return !table.contains(key); });
    }

    std::function<void()> during_snapshot;
    Executor executor;
    std::unique_ptr<store::Store> store;
    std::map<std::string, std::string> table;
    std::vector<store::Change> changes;
    std::vector<store::Problem> problems;
    int snapshots = 0;
    int losses = 0; // of the connection
    std::int64_t snapshot_revision = 0;
    std::optional<bool> connected;
    std::string reason;
};

} // namespace margay::testing
