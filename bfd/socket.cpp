// SPDX-License-Identifier: Apache-2.0
#include "bfd/socket.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace margay::bfd {
namespace {

constexpr std::size_t kDatagramsPerTurn = 64;
constexpr std::size_t kMaxRead = 256; // a packet's own length is one octet
constexpr int kInternetControl = 0xc0; // DSCP CS6, as routing protocols are marked
constexpr int kOn = 1;

// An address as the socket calls take it.
class SocketAddress {
public:
    SocketAddress() = default;
    SocketAddress(const Ip& ip, std::uint16_t port)
    {
        if (ip.is_v4()) {
            sockaddr_in v4{};
            v4.sin_family = AF_INET;
            v4.sin_port = htons(port);
            v4.sin_addr.s_addr = ip.v4().be();
            set(v4);
        } else {
            sockaddr_in6 v6{};
            v6.sin6_family = AF_INET6;
            v6.sin6_port = htons(port);
            std::memcpy(&v6.sin6_addr, ip.v6().bytes().data(), sizeof(v6.sin6_addr));
            set(v6);
        }
    }

    sockaddr* raw() { return reinterpret_cast<sockaddr*>(&storage_); }
    socklen_t size() const { return size_; }
    Ip ip() const
    {
        if (storage_.ss_family == AF_INET) {
            sockaddr_in v4{};
            std::memcpy(&v4, &storage_, sizeof(v4));
            return Ipv4::from_be(v4.sin_addr.s_addr);
        }
        sockaddr_in6 v6{};
        std::memcpy(&v6, &storage_, sizeof(v6));
        Ipv6::Bytes bytes{};
        std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
        return Ipv6(bytes);
    }

private:
    template <typename T>
    void set(const T& address)
    {
        std::memcpy(&storage_, &address, sizeof(address));
        size_ = sizeof(address);
    }

    sockaddr_storage storage_{};
    socklen_t size_ = sizeof(sockaddr_storage);
};

bool set_option(int socket, int level, int option, int value)
{
    return ::setsockopt(socket, level, option, &value, sizeof(value)) == 0;
}

Fd udp_socket(bool v4)
{
    return Fd(::socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

bool ask_for_ttl_and_destination(int socket, bool v4)
{
    if (v4)
        return set_option(socket, IPPROTO_IP, IP_RECVTTL, kOn) &&
               set_option(socket, IPPROTO_IP, IP_PKTINFO, kOn);
    return set_option(socket, IPPROTO_IPV6, IPV6_V6ONLY, kOn) &&
           set_option(socket, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, kOn) &&
           set_option(socket, IPPROTO_IPV6, IPV6_RECVPKTINFO, kOn);
}

template <typename T>
T data_of(const cmsghdr* header)
{
    T value{};
    std::memcpy(&value, CMSG_DATA(header), sizeof(value));
    return value;
}

void read_control(const cmsghdr* header, Datagram& datagram)
{
    const auto is = [&](int level, int type) {
        return header->cmsg_level == level && header->cmsg_type == type;
    };
    if (is(IPPROTO_IP, IP_TTL) || is(IPPROTO_IPV6, IPV6_HOPLIMIT)) {
        datagram.ttl = static_cast<std::uint8_t>(data_of<int>(header));
    } else if (is(IPPROTO_IP, IP_PKTINFO)) {
        datagram.to = Ipv4::from_be(data_of<in_pktinfo>(header).ipi_addr.s_addr);
    } else if (is(IPPROTO_IPV6, IPV6_PKTINFO)) {
        const auto info = data_of<in6_pktinfo>(header);
        Ipv6::Bytes bytes{};
        std::memcpy(bytes.data(), &info.ipi6_addr, bytes.size());
        datagram.to = Ipv6(bytes);
    }
}

} // namespace

// ---- Receiver ----------------------------------------------------------------------------------

Receiver::Receiver(Executor& executor, OnDatagram on_datagram)
    : on_datagram_(std::move(on_datagram)), socket_(executor)
{
}

Status Receiver::open(bool v4, std::uint16_t port)
{
    const auto failed = [&] {
        return system_error(errno, std::string("listen for BFD on ") + (v4 ? "IPv4" : "IPv6") +
                                       " port " + std::to_string(port));
    };
    Fd socket = udp_socket(v4);
    if (!socket.valid() || !ask_for_ttl_and_destination(socket.get(), v4))
        return failed();
    SocketAddress any(v4 ? Ip(Ipv4()) : Ip(Ipv6()), port);
    if (::bind(socket.get(), any.raw(), any.size()) != 0)
        return failed();
    socket_.assign(socket.release());
    wait();
    return {};
}

void Receiver::wait()
{
    socket_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                       [this, alive = std::weak_ptr(alive_)](const boost::system::error_code& e) {
                           if (alive.expired() || e)
                               return;
                           drain(kDatagramsPerTurn);
                           wait();
                       });
}

std::size_t Receiver::drain(std::size_t limit)
{
    std::size_t count = 0;
    while (count < limit && receive_one())
        ++count;
    return count;
}

bool Receiver::receive_one()
{
    std::array<std::uint8_t, kMaxRead> buffer{};
    alignas(cmsghdr) std::array<char, 256> control{};
    SocketAddress from;
    iovec vector{buffer.data(), buffer.size()};
    msghdr message{};
    message.msg_name = from.raw();
    message.msg_namelen = from.size();
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t size = ::recvmsg(socket_.native_handle(), &message, 0);
    if (size < 0)
        return false;
    Datagram datagram;
    datagram.from = from.ip();
    datagram.payload = std::span(buffer).first(static_cast<std::size_t>(size));
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header))
        read_control(header, datagram);
    on_datagram_(datagram);
    return true;
}

// ---- Sender ------------------------------------------------------------------------------------

Status Sender::send(std::span<const std::uint8_t> payload)
{
    if (!socket_.valid())
        if (Status opened = open(); !opened)
            return opened;
    // The first call may only bring the ICMP error that an earlier packet met.
    int met = 0;
    for (int attempt = 0; attempt < 2; ++attempt) {
        if (::send(socket_.get(), payload.data(), payload.size(), MSG_NOSIGNAL) >= 0)
            return met == 0 ? Status() : Status(Error{Errc::Unavailable, met, explain(met).what});
        met = errno;
        if (met == EAGAIN || met == ENOBUFS) // the queue is full: as good as lost on the way
            return explain(met);
    }
    socket_.reset(); // its addresses may be gone: begin again
    return explain(met);
}

Status Sender::open()
{
    Fd socket = udp_socket(local_.is_v4());
    if (!socket.valid())
        return explain(errno);
    const bool v4 = local_.is_v4();
    const int level = v4 ? IPPROTO_IP : IPPROTO_IPV6;
    if (!set_option(socket.get(), level, v4 ? IP_TTL : IPV6_UNICAST_HOPS, kMaxTtl))
        return explain(errno);
    // Neither decides whether BFD works. Nobody reads from this socket, so it shall hold nothing.
    (void)set_option(socket.get(), level, v4 ? IP_TOS : IPV6_TCLASS, kInternetControl);
    (void)set_option(socket.get(), SOL_SOCKET, SO_RCVBUF, 0);
    // Without it the kernel keeps to itself that a neighbour does not answer ARP.
    (void)set_option(socket.get(), level, v4 ? IP_RECVERR : IPV6_RECVERR, kOn);
    if (Status status = bind_and_connect(socket.get()); !status)
        return status;
    socket_ = std::move(socket);
    return {};
}

Status Sender::bind_and_connect(int socket) const
{
    SocketAddress source(local_, source_port_);
    if (::bind(socket, source.raw(), source.size()) != 0)
        return errno == EADDRINUSE ? Error{Errc::Exists, errno, "source port is taken"}
                                   : explain(errno);
    SocketAddress peer(peer_, port_);
    if (::connect(socket, peer.raw(), peer.size()) != 0)
        return explain(errno);
    return {};
}

Error Sender::explain(int error) const
{
    if (error == EADDRNOTAVAIL)
        return Error{Errc::System, error, "cannot use local address " + local_.str()};
    if (error == ECONNREFUSED)
        return Error{Errc::System, error,
                     "nobody listens at " + peer_.str() + " port " + std::to_string(port_)};
    if (error == ENETUNREACH || error == EHOSTUNREACH)
        return Error{Errc::System, error, "no route to " + peer_.str()};
    return system_error(error, "cannot send to " + peer_.str());
}

} // namespace margay::bfd
