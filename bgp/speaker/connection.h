// SPDX-License-Identifier: Apache-2.0
// Connection: one TCP connection as a stream of BGP messages.
//
// It knows framing and nothing else of BGP. News goes to the handler, always from the event loop,
// never from inside a call; after close() there is no more news. Each turn handles a bounded
// number of messages, then lets the others have theirs.

#pragma once

#include "bgp/session/fsm.h"
#include "bgp/wire/message.h"
#include "margay/executor.h"

#include <boost/asio/ip/tcp.hpp>

#include <array>
#include <memory>
#include <optional>

namespace margay::bgp {

class ConnectionHandler {
public:
    virtual void on_connected(ConnId id) = 0;
    virtual void on_frame(ConnId id, const Frame& frame) = 0;
    virtual void on_bad_frame(ConnId id, const Notify& notify) = 0;
    virtual void on_lost(ConnId id, std::string why) = 0;
    virtual void on_drained(ConnId id) = 0; // all that was sent is with the kernel

protected:
    ~ConnectionHandler() = default;
};

// Shared by its own pending operations, which may outlive the peer: a farewell is still written
// when nobody else knows the connection any more.
class Connection : public std::enable_shared_from_this<Connection> {
public:
    using Tcp = boost::asio::ip::tcp;

    // `handler` must live until close().
    Connection(Executor& executor, ConnId id, ConnectionHandler& handler);

    void dial(const Ip& address, std::uint16_t port, const std::optional<Ip>& source);
    void adopt(Tcp::socket socket);
    void send(ByteView message) { send(std::span(&message, 1)); }
    void send(std::span<const ByteView> pieces);
    // Writes what is queued, then closes.
    void close();

    std::size_t queued() const { return outbox_.size() + writing_.size(); }
    std::optional<Ip> local_address() const;

private:
    void begin();
    void read();
    void on_read(std::size_t count);
    void handle_frames();
    int unsent();
    void write();
    void lose(std::string why);
    void linger();
    void shut();

    Executor& executor_;
    const ConnId id_;
    ConnectionHandler* handler_; // null once closed
    Tcp::socket socket_;
    Timer linger_;
    std::array<std::uint8_t, 16 * kMaxMessage> buffer_; // pages that no read fills cost nothing
    std::size_t filled_ = 0;
    Bytes outbox_;
    Bytes writing_;
    bool up_ = false;
    std::string peer_text_;
};

Ip to_ip(const boost::asio::ip::address& address);
boost::asio::ip::address to_asio(const Ip& ip);

} // namespace margay::bgp
