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

// What a TCP connection to a peer is made with.
struct TcpOptions {
    std::string password;          // TCP MD5 (RFC 2385); empty: none
    std::uint8_t ttl_security = 0; // GTSM (RFC 5082): hops to the peer at most; 0: any
    std::string interface;         // to dial by, of a link-local address
};

// Shared by its own pending operations, which may outlive the peer: a farewell is still written
// when nobody else knows the connection any more.
class Connection : public std::enable_shared_from_this<Connection> {
public:
    using Tcp = boost::asio::ip::tcp;

    // `handler` must live until close().
    Connection(Executor& executor, ConnId id, ConnectionHandler& handler);

    void dial(const Ip& address, std::uint16_t port, const std::optional<Ip>& source,
              const TcpOptions& options);
    // The listener has asked for the password already.
    void adopt(Tcp::socket socket, const TcpOptions& options);
    void send(ByteView message) { send(std::span(&message, 1)); }
    void send(std::span<const ByteView> pieces);
    // Writes what is queued, then closes.
    void close();
    // Closes with what is written by now.
    void cut() { shut(); }

    std::size_t queued() const { return outbox_.size() + writing_.size() - written_; }
    // Since when the kernel takes nothing of what is queued.
    std::optional<Time> stuck_since() const;
    std::optional<Ip> local_address() const;
    // Of the other family, on the link that has that one.
    std::optional<Ip> address_beside() const;
    // The index of the interface by which the peer is on a link with us; 0: it is not.
    std::uint32_t interface() const;
    void set_max_message(std::size_t octets) { max_message_ = octets; } // RFC 8654

private:
    std::string prepare(Tcp::endpoint& peer, const std::optional<Ip>& source,
                        const TcpOptions& options, boost::system::error_code& error);
    void begin();
    void read();
    void on_read(std::size_t count);
    void handle_frames();
    int unsent();
    void enqueue(ByteView octets);
    void write();
    void write_rest();
    void lose(std::string why);
    void linger();
    void shut();

    Executor& executor_;
    const ConnId id_;
    ConnectionHandler* handler_; // null once closed
    Tcp::socket socket_;
    Timer linger_;
    std::size_t max_message_ = kMaxMessage;
    // Pages that no read fills cost nothing.
    std::array<std::uint8_t, 2 * (kMaxExtendedMessage + 1)> buffer_;
    std::size_t filled_ = 0;
    Bytes outbox_;
    Bytes writing_;
    std::size_t written_ = 0; // of it
    Time progress_at_{}; // when the kernel took something, or the queue began
    bool up_ = false;
    std::string peer_text_;
};

// RFC 2385: segments from and to `peer`, one or a range, are signed; empty takes the key away. An errno.
int set_tcp_md5(int socket, const IpPrefix& peer, const std::string& password);

// What our packets begin with, or the system's default; an errno.
int set_ttl(int socket, bool v4, int ttl);
inline constexpr int kHighestTtl = 255, kDefaultTtl = -1;

Ip to_ip(const boost::asio::ip::address& address);
// That a link-local address goes with; empty for all others.
std::string interface_of(const Connection::Tcp::endpoint& endpoint);
boost::asio::ip::address to_asio(const Ip& ip);

} // namespace margay::bgp
