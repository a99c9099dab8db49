// SPDX-License-Identifier: Apache-2.0
// The sockets of BFD: a Receiver for each family and kind of session, a Sender for each session.
//
// The Receiver is bound to all addresses and says with each datagram to which it was sent and how
// far it came (RFC 5881 sections 4 and 5). The Sender has a source port of the range that RFC 5881
// asks for, the same for the life of its session, and is connected, so that it hears of a peer on
// whose machine nobody listens.

#pragma once

#include "margay/executor.h"
#include "margay/fd.h"
#include "margay/ip.h"
#include "margay/result.h"

#include <boost/asio/posix/stream_descriptor.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <span>

namespace margay::bfd {

inline constexpr std::uint16_t kSingleHopPort = 3784;
inline constexpr std::uint16_t kMultihopPort = 4784; // RFC 5883
inline constexpr std::uint16_t kFirstSourcePort = 49152;
inline constexpr std::uint8_t kMaxTtl = 255;

struct Datagram {
    Ip from;
    Ip to;
    std::uint8_t ttl = 0; // or hop limit; 0 when the kernel did not say
    std::span<const std::uint8_t> payload;
};

class Receiver {
public:
    using OnDatagram = std::function<void(const Datagram&)>; // must not destroy the receiver

    Receiver(Executor& executor, OnDatagram on_datagram);

    Status open(bool v4, std::uint16_t port);
    // Hands on what is there, at most `limit` datagrams.
    std::size_t drain(std::size_t limit);

private:
    void wait();
    bool receive_one();

    OnDatagram on_datagram_;
    boost::asio::posix::stream_descriptor socket_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true); // asked by late completions
};

class Sender {
public:
    Sender(const Ip& local, std::uint16_t source_port, const Ip& peer, std::uint16_t port)
        : local_(local), peer_(peer), source_port_(source_port), port_(port)
    {
    }

    // Opens the socket first where that has not worked yet. An error says what is wrong in words
    // for people. Errc::Exists: the source port is taken. Errc::Unavailable: it is sent, but an
    // earlier packet met that error on the way.
    Status send(std::span<const std::uint8_t> payload);
    std::uint16_t source_port() const { return source_port_; }
    void set_source_port(std::uint16_t port) { source_port_ = port; }

private:
    Status open();
    Status bind_and_connect(int socket) const;
    Error explain(int error) const;

    Ip local_;
    Ip peer_;
    std::uint16_t source_port_;
    std::uint16_t port_;
    Fd socket_;
};

} // namespace margay::bfd
