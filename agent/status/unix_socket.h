// SPDX-License-Identifier: Apache-2.0
// How a unix socket of ours comes to its place, and goes.

#pragma once

#include "agent/status/accept_loop.h"
#include "margay/result.h"

#include <boost/asio/local/stream_protocol.hpp>

#include <string>

namespace margay::status {

// Whether a process has the socket, also one that is too busy to answer.
bool somebody_listens(const std::string& path);

class UnixListener {
public:
    using Protocol = boost::asio::local::stream_protocol;
    using Loop = AcceptLoop<Protocol>;

    UnixListener(Executor& executor, Log log, std::string name, std::string path, std::size_t most,
                 Loop::OnConnection on_connection)
        : path_(std::move(path)),
          loop_(executor, std::move(log), std::move(name), most, std::move(on_connection))
    {
    }
    ~UnixListener(); // and the socket's name goes
    UnixListener(const UnixListener&) = delete;
    UnixListener& operator=(const UnixListener&) = delete;

    // For its owner only, in a folder that is made where it is missing. What a dead process left there is
    // replaced; Exists: somebody answers there. What is no socket is left alone.
    Status listen();

private:
    std::string path_;
    Loop loop_;
};

} // namespace margay::status
