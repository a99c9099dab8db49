// SPDX-License-Identifier: Apache-2.0
// Listener: accepts TCP connections and hands them on.

#pragma once

#include "margay/executor.h"
#include "margay/ip.h"
#include "margay/result.h"

#include <boost/asio/ip/tcp.hpp>

#include <functional>
#include <map>
#include <string>

namespace margay::bgp {

// Who connects: a link-local address is one together with its interface.
struct Source {
    Ip address;
    std::string interface; // empty for all others
};

class Listener {
public:
    using Tcp = boost::asio::ip::tcp;
    using OnAccept = std::function<void(Tcp::socket, const Source& from)>;

    Listener(Executor& executor, OnAccept on_accept);

    Status open(const Ip& address, std::uint16_t port);
    void close();
    bool is_open() const { return acceptor_.is_open(); }
    // With whom segments are signed, and with what (RFC 2385). The kernel asks for no signature from
    // whom it refused a password for; and why.
    using Passwords = std::map<IpPrefix, std::string>; // of addresses, and of ranges
    void set_passwords(Passwords passwords);
    const std::map<IpPrefix, std::string>& refused_passwords() const { return refused_; }

private:
    void accept();
    void apply_password(const IpPrefix& peer, const std::string& password);

    Executor& executor_;
    OnAccept on_accept_;
    Tcp::acceptor acceptor_;
    bool v4_ = true;
    Passwords passwords_;
    std::map<IpPrefix, std::string> refused_;
    Timer pause_; // after a failure such as running out of descriptors
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true); // asked by late completions
};

} // namespace margay::bgp
