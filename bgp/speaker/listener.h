// SPDX-License-Identifier: Apache-2.0
// Listener: accepts TCP connections and hands them on.

#pragma once

#include "margay/executor.h"
#include "margay/ip.h"
#include "margay/result.h"

#include <boost/asio/ip/tcp.hpp>

#include <functional>

namespace margay::bgp {

class Listener {
public:
    using Tcp = boost::asio::ip::tcp;
    using OnAccept = std::function<void(Tcp::socket, const Ip& from)>;

    Listener(Executor& executor, OnAccept on_accept);

    Status open(const Ip& address, std::uint16_t port);
    void close();
    bool is_open() const { return acceptor_.is_open(); }

private:
    void accept();

    Executor& executor_;
    OnAccept on_accept_;
    Tcp::acceptor acceptor_;
    Timer pause_; // after a failure such as running out of descriptors
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true); // asked by late completions
};

} // namespace margay::bgp
