// SPDX-License-Identifier: Apache-2.0
// Clock: time as an injected value, so that pure code and tests never ask the system.

#pragma once

#include <chrono>

namespace margay {

class Clock {
public:
    using Time = std::chrono::steady_clock::time_point;

    virtual ~Clock() = default;
    virtual Time now() const = 0;                                   // monotonic
    virtual std::chrono::system_clock::time_point wall() const = 0; // for people and etcd
};

class SystemClock final : public Clock {
public:
    Time now() const override { return std::chrono::steady_clock::now(); }
    std::chrono::system_clock::time_point wall() const override
    {
        return std::chrono::system_clock::now();
    }
};

} // namespace margay
