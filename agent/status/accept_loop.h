// SPDX-License-Identifier: Apache-2.0
// AcceptLoop: takes the connections of a server of ours, so many at a time.

#pragma once

#include "margay/executor.h"
#include "margay/log.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace margay::status {

template <typename Protocol>
class AcceptLoop {
public:
    using Socket = typename Protocol::socket;
    // A connection keeps a copy of it for as long as it lives; the copies are counted.
    using Place = std::shared_ptr<void>;
    using OnConnection = std::function<void(Socket, const Place&)>;

    AcceptLoop(Executor& executor, Log log, std::string name, std::size_t most,
               OnConnection on_connection)
        : log_(std::move(log)), name_(std::move(name)), most_(most),
          on_connection_(std::move(on_connection)), acceptor_(executor), pause_(executor)
    {
    }

    typename Protocol::acceptor& acceptor() { return acceptor_; }
    const typename Protocol::acceptor& acceptor() const { return acceptor_; }
    void start() { accept(); } // once the acceptor listens

private:
    static constexpr std::chrono::milliseconds kPause{100};

    void accept()
    {
        acceptor_.async_accept([this, alive = std::weak_ptr(alive_)](auto ec, Socket socket) {
            if (alive.expired())
                return; // `this` is gone
            if (ec) { // out of descriptors: it would fail again at once
                log_->warn("{} accept failed: {}", name_, ec.message());
                return pause_.start(kPause, [this] { accept(); });
            }
            if (static_cast<std::size_t>(place_.use_count()) <= most_)
                on_connection_(std::move(socket), place_);
            accept();
        });
    }

    Log log_;
    std::string name_;
    std::size_t most_;
    OnConnection on_connection_;
    typename Protocol::acceptor acceptor_;
    Timer pause_;
    Place place_ = std::make_shared<char>();
    std::shared_ptr<char> alive_ = std::make_shared<char>(); // asked by late completions
};

} // namespace margay::status
