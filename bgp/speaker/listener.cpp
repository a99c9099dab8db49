// SPDX-License-Identifier: Apache-2.0
#include "bgp/speaker/listener.h"

#include "bgp/speaker/connection.h"

#include <boost/asio/ip/v6_only.hpp>

#include <cstring>
#include <utility>

namespace margay::bgp {

namespace {
constexpr auto kPause = std::chrono::milliseconds(200);
} // namespace

using boost::system::error_code;

Listener::Listener(Executor& executor, OnAccept on_accept)
    : executor_(executor), on_accept_(std::move(on_accept)), acceptor_(executor), pause_(executor)
{
}

Status Listener::open(const Ip& address, std::uint16_t port)
{
    const Tcp::endpoint endpoint(to_asio(address), port);
    error_code error;
    acceptor_.open(endpoint.protocol(), error);
    if (!error)
        acceptor_.set_option(Tcp::acceptor::reuse_address(true), error);
    v4_ = address.is_v4();
    if (!error && !v4_) // IPv4 has a listener of its own
        acceptor_.set_option(boost::asio::ip::v6_only(true), error);
    // The SYN-ACK goes out before we see for whom, and a peer with GTSM drops all but the highest.
    if (!error)
        error.assign(set_ttl(acceptor_.native_handle(), v4_, kHighestTtl),
                     boost::system::system_category());
    if (!error)
        acceptor_.bind(endpoint, error);
    if (!error)
        acceptor_.listen(boost::asio::socket_base::max_listen_connections, error);
    if (error) {
        close();
        return system_error(error.value(),
                            "listen for BGP on " + address.str() + " port " + std::to_string(port));
    }
    for (const auto& [peer, password] : passwords_)
        apply_password(peer, password);
    accept();
    return {};
}

void Listener::set_passwords(Passwords passwords)
{
    const Passwords before = std::exchange(passwords_, std::move(passwords));
    if (!is_open())
        return;
    for (const auto& [peer, password] : before)
        if (!passwords_.contains(peer))
            apply_password(peer, "");
    for (const auto& [peer, password] : passwords_) {
        const auto known = before.find(peer);
        if (known == before.end() || known->second != password)
            apply_password(peer, password);
    }
}

void Listener::apply_password(const IpPrefix& peer, const std::string& password)
{
    refused_.erase(peer);
    if (peer.is_v4() != v4_)
        return;
    const int failure = set_tcp_md5(acceptor_.native_handle(), peer, password);
    if (failure != 0 && !password.empty())
        refused_[peer] = std::strerror(failure);
}

void Listener::close()
{
    error_code ignored;
    acceptor_.close(ignored);
    pause_.stop();
}

void Listener::accept()
{
    acceptor_.async_accept(executor_, [this, alive = std::weak_ptr(alive_)](const error_code& error,
                                                                            Tcp::socket socket) {
        if (alive.expired() || !acceptor_.is_open())
            return;
        if (error)
            return pause_.start(kPause, [this] { accept(); });
        error_code gone;
        const auto from = socket.remote_endpoint(gone);
        if (!gone)
            on_accept_(std::move(socket), {to_ip(from.address()), interface_of(from)});
        accept();
    });
}

} // namespace margay::bgp
