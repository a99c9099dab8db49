// SPDX-License-Identifier: Apache-2.0
// The one executor that owns all state of the agent. Everything runs on its thread, so nothing
// below it needs a lock; other threads may only call boost::asio::post on it.

#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <utility>

namespace margay {

using Executor = boost::asio::io_context;

// A one-shot timer: start() replaces a pending run, stop() and destruction cancel it, also when
// the expiry is queued already. The callback never runs from inside start() or stop().
class Timer {
public:
    explicit Timer(Executor& executor) : timer_(executor) {}
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;

    void start(std::chrono::nanoseconds delay, std::function<void()> on_expiry)
    {
        timer_.expires_after(
            std::chrono::duration_cast<std::chrono::steady_clock::duration>(delay));
        pending_ = std::make_shared<std::function<void()>>(std::move(on_expiry));
        timer_.async_wait([this, mine = std::weak_ptr(pending_)](const boost::system::error_code&) {
            const auto run = mine.lock();
            if (!run)
                return; // replaced, stopped or destroyed: `this` may be gone
            pending_.reset();
            (*run)();
        });
    }
    void stop()
    {
        pending_.reset();
        timer_.cancel();
    }
    bool running() const { return pending_ != nullptr; }

private:
    boost::asio::steady_timer timer_;
    std::shared_ptr<std::function<void()>> pending_; // alive while a run is due
};

} // namespace margay
