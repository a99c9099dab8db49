// SPDX-License-Identifier: Apache-2.0
#include "margay/executor.h"
#include "margay/loop.h"

#include <gtest/gtest.h>

#include <optional>

namespace margay {
namespace {

using namespace std::chrono_literals;

TEST(TimerTest, restarted_timer_runs_only_its_last_callback)
{
    Executor executor;
    Timer timer(executor);
    int first = 0;
    int second = 0;
    timer.start(0ns, [&] { first++; });
    timer.start(0ns, [&] { second++; });
    executor.run();
    EXPECT_EQ(first, 0);
    EXPECT_EQ(second, 1);
    EXPECT_FALSE(timer.running());
}

TEST(TimerTest, expiry_that_is_queued_already_does_not_outlive_stop_or_destruction)
{
    Executor executor;
    Timer stopped(executor);
    std::optional<Timer> destroyed(std::in_place, executor);
    int runs = 0;
    // Both expire in the same turn as the first callback, so they are queued when it acts.
    Timer killer(executor);
    killer.start(0ns, [&] {
        stopped.stop();
        destroyed.reset();
    });
    stopped.start(0ns, [&] { runs++; });
    destroyed->start(0ns, [&] { runs++; });
    executor.run();
    EXPECT_EQ(runs, 0);
}

TEST(Loop, counts_turns_and_those_that_were_long)
{
    Executor executor;
    LoopStats stats;
    boost::asio::post(executor, [] {});
    boost::asio::post(executor, [] {
        const auto begin = thread_cpu_time();
        while (thread_cpu_time() - begin <= kLongTurn) {
        }
    });
    run(executor, stats);
    EXPECT_EQ(stats.turns, 2u);
    EXPECT_GE(stats.long_turns, 1u); // a machine may make any turn long
    EXPECT_GT(stats.worst, kLongTurn);
    EXPECT_GE(stats.spent, stats.worst);
}

} // namespace
} // namespace margay
