// SPDX-License-Identifier: Apache-2.0
// RateLimit: a token bucket for log lines that a peer can provoke.

#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

namespace margay {

class RateLimit {
public:
    using Time = std::chrono::steady_clock::time_point;

    // `burst` lines at once, then one every `refill`.
    RateLimit(std::uint32_t burst, std::chrono::seconds refill)
        : burst_(burst), refill_(refill), tokens_(burst)
    {
    }

    bool allow(Time now)
    {
        if (now - last_ >= refill_) {
            const auto earned = static_cast<std::uint64_t>((now - last_) / refill_);
            tokens_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(burst_, tokens_ + earned));
            last_ = now;
        }
        if (tokens_ == 0) {
            ++suppressed_;
            return false;
        }
        --tokens_;
        return true;
    }
    // How many were not allowed since it was last asked.
    std::uint64_t take_suppressed() { return std::exchange(suppressed_, 0); }

private:
    std::uint32_t burst_;
    std::chrono::seconds refill_;
    std::uint32_t tokens_;
    Time last_{};
    std::uint64_t suppressed_ = 0;
};

} // namespace margay
