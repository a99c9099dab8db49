// SPDX-License-Identifier: Apache-2.0
// run(): the event loop, with what its turns cost. A turn is one handler; its cost is processor time of
// this thread, so that a busy machine does not count. Who waits for a turn (a KEEPALIVE) waits that long.

#pragma once

#include "margay/executor.h"

#include <algorithm>
#include <chrono>
#include <cstdint>

#include <ctime>

namespace margay {

inline constexpr std::chrono::milliseconds kLongTurn{20}; // what a turn should never take

struct LoopStats {
    std::uint64_t turns = 0;
    std::uint64_t long_turns = 0; // longer than kLongTurn
    std::chrono::nanoseconds spent{0};
    std::chrono::nanoseconds worst{0}; // turn, that of the start included

    void note(std::chrono::nanoseconds turn)
    {
        ++turns;
        long_turns += turn > kLongTurn;
        spent += turn;
        worst = std::max(worst, turn);
    }
};

inline std::chrono::nanoseconds thread_cpu_time()
{
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

// Until the executor is stopped or has nothing to wait for.
inline void run(Executor& executor, LoopStats& stats)
{
    auto before = thread_cpu_time();
    while (executor.run_one() > 0) {
        const auto now = thread_cpu_time();
        stats.note(now - before);
        before = now;
    }
}

} // namespace margay
