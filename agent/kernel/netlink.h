// SPDX-License-Identifier: Apache-2.0
// Netlink: requests, dumps and batches to the kernel, and a monitor for what it tells us.
//
// A socket belongs to the network namespace in which it was opened. Requests block for the
// kernel's answer, which it gives within the system call; only the monitor waits on the executor.
// Every error names its object ("add route 10.0.0.0/26") and ends with the kernel's own words
// where it gives some (extended ack).
//
// Numbers in messages are in host order, addresses in wire order; Message hides both.

#pragma once

#include "margay/executor.h"
#include "margay/fd.h"
#include "margay/ip.h"
#include "margay/result.h"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace margay::kernel {

// AF_INET or AF_INET6, of an address type.
template <typename A>
inline constexpr std::uint8_t kFamily = std::is_same_v<A, Ipv4> ? AF_INET : AF_INET6;

// One request under construction. Attributes that do not fit are a bug of ours, not of the input:
// callers bound what they put (kMaxHops next hops of a route is the largest).
class Message {
public:
    Message(std::uint16_t type, std::uint16_t flags);

    // The fixed header after nlmsghdr: struct rtmsg, ifinfomsg, ...; zeroed.
    template <typename T>
    T& extra()
    {
        return *static_cast<T*>(extra_header(sizeof(T)));
    }

    void put(std::uint16_t type, std::uint32_t value);
    void put_u8(std::uint16_t type, std::uint8_t value);
    void put(std::uint16_t type, Ipv4 address);
    void put(std::uint16_t type, const Ipv6& address);
    void put(std::uint16_t type, std::string_view text); // NUL-terminated on the wire
    void put_bytes(std::uint16_t type, const void* data, std::size_t size);
    nlattr* begin(std::uint16_t type); // nested attribute
    void end(nlattr* nested);
    // Raw bytes in the attribute area, for the few old structures that are not attributes.
    void* append(std::size_t size);

    nlmsghdr* header();
    const nlmsghdr* header() const;

    static constexpr std::size_t kCapacity = 2048;

private:
    void* extra_header(std::size_t size);
    void require(std::size_t more) const;

    // Not zeroed: each piece is written in full when it is put, and 2 KiB a route would show.
    alignas(NLMSG_ALIGNTO) std::array<char, kCapacity> bytes_;
};

// Requests for one system call, one behind the other.
class Batch {
public:
    void add(const Message& message);
    void clear();
    std::size_t size() const { return starts_.size(); }

private:
    friend class NetlinkSocket;
    std::vector<char> bytes_;
    std::vector<std::size_t> starts_; // of the messages in bytes_
};

// What the kernel said to one message of a batch.
struct Refusal {
    std::size_t index; // of the message
    Error error;
};

class NetlinkSocket {
public:
    // `bus` is NETLINK_ROUTE or another NETLINK_*.
    static Result<NetlinkSocket> open(int bus = NETLINK_ROUTE);

    using OnMessage = std::function<void(const nlmsghdr*)>;

    // Sends one request and waits for the acknowledgement.
    Status request(Message& message, const std::string& what);
    // A request whose answer is one message (RTM_GETROUTE, RTM_GETNEIGH, ...).
    Status query(Message& message, const std::string& what, const OnMessage& on_answer);
    // A dump. One that the kernel marks as interrupted by a change is asked again, so on_answer
    // may be called for an attempt that is then thrown away: on_restart() says so.
    Status dump(Message& message, const std::string& what, const OnMessage& on_answer,
                const std::function<void()>& on_restart);

    // Sends all messages in one system call with one acknowledgement at the end; the kernel
    // works through them in order and answers otherwise only for those it refuses. `name` says
    // what each message is, for the errors. An Error means that the outcome is unknown.
    Result<std::vector<Refusal>> send_batch(Batch& batch,
                                            const std::function<std::string(std::size_t)>& name);
    // More messages than this in one batch could overrun the socket with refusals.
    static constexpr std::size_t kMaxBatch = 64;

    // Notifications caused by this socket carry this id (nlmsg_pid), which tells our own echo.
    std::uint32_t port_id() const { return port_id_; }

private:
    NetlinkSocket(Fd fd, std::uint32_t port_id) : fd_(std::move(fd)), port_id_(port_id) {}
    Status send(const void* data, std::size_t size, const std::string& what);
    enum class Round { Done, Interrupted };
    Result<Round> receive(std::uint32_t sequence, const std::string& what,
                          const OnMessage& on_answer, bool until_done);

    Fd fd_;
    std::uint32_t port_id_ = 0;
    std::uint32_t sequence_ = 0;
    std::vector<char> buffer_; // for one datagram, once there was an answer
};

// Multicast notifications on the executor, batched: all messages that are readable in one turn
// (up to a budget) are handed over one by one, then on_turn() runs once.
class NetlinkMonitor {
public:
    struct Callbacks {
        NetlinkSocket::OnMessage on_message;
        std::function<void()> on_turn;
        // The kernel dropped messages (ENOBUFS): what is known may be stale, dump again.
        std::function<void()> on_overrun;
    };

    // Subscribes at once, so that a dump started afterwards misses nothing. `groups` are
    // RTNLGRP_* (or the group numbers of another bus). `receive_buffer` in bytes, 0: a generous
    // default. `own_port`: nothing is heard of what the socket with this port id causes.
    static Result<std::unique_ptr<NetlinkMonitor>> open(Executor& executor, int bus,
                                                        const std::vector<unsigned>& groups,
                                                        Callbacks callbacks, int receive_buffer = 0,
                                                        std::uint32_t own_port = 0);
    ~NetlinkMonitor();
    // What comes meanwhile waits in the socket.
    void pause();
    void resume();
    NetlinkMonitor(const NetlinkMonitor&) = delete;
    NetlinkMonitor& operator=(const NetlinkMonitor&) = delete;

private:
    NetlinkMonitor(Executor& executor, Fd fd, Callbacks callbacks);
    void wait();
    void on_readable();
    bool read_datagram();
    void on_overrun();

    Callbacks callbacks_;
    boost::asio::posix::stream_descriptor stream_;
    std::vector<char> buffer_;
    bool paused_ = false;
    bool waiting_ = false;
    std::shared_ptr<bool> alive_; // a queued handler looks here before it touches `this`
};

} // namespace margay::kernel
