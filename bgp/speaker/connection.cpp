// SPDX-License-Identifier: Apache-2.0
#include "bgp/speaker/connection.h"

#include <ifaddrs.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstring>

namespace margay::bgp {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr int kMessagesPerTurn = 64;
constexpr std::size_t kOctetsPerTurn = 32768; // of messages, but for the one that goes beyond
constexpr int kInternetControl = 0xc0; // DSCP CS6, as routing protocols are marked
constexpr int kUnsentLimit = 128 * 1024;  // octets; beyond that our own queue coalesces better
constexpr std::size_t kPiecesAtOnce = 256;
constexpr auto kLinger = std::chrono::seconds(2);

// TCP's error in words that say where to look.
std::string explain(const error_code& error, const std::string& peer)
{
    namespace e = asio::error;
    if (error == e::connection_refused)
        return "connection refused: nobody listens at " + peer;
    if (error == e::host_unreachable || error == e::network_unreachable)
        return "no route to " + peer;
    if (error == e::timed_out)
        return "no answer from " + peer + " (timeout)";
    if (error == e::eof)
        return "the peer closed the connection without a NOTIFICATION";
    if (error == e::connection_reset || error == e::broken_pipe)
        return "the connection was reset";
    return error.message();
}

// RFC 5082: what comes over more hops than it may has a lower TTL than this, and is dropped by the
// kernel. Ours starts with the highest, too.
error_code set_ttl_security(int socket, bool v4, int hops)
{
    const int least = kHighestTtl + 1 - hops;
    const int level = v4 ? IPPROTO_IP : IPPROTO_IPV6;
    int failure = set_ttl(socket, v4, kHighestTtl);
    if (failure == 0 &&
        ::setsockopt(socket, level, v4 ? IP_MINTTL : IPV6_MINHOPCOUNT, &least, sizeof(least)) != 0)
        failure = errno;
    return {failure, boost::system::system_category()};
}

bool is_in_network(const Ip& local, const Ip& mask, const Ip& peer)
{
    if (local.is_v4())
        return ((local.v4().value() ^ peer.v4().value()) & mask.v4().value()) == 0;
    for (std::size_t i = 0; i < local.v6().bytes().size(); ++i)
        if ((local.v6().bytes()[i] ^ peer.v6().bytes()[i]) & mask.v6().bytes()[i])
            return false;
    return true;
}

Ip ip_of(const sockaddr& address)
{
    if (address.sa_family == AF_INET)
        return Ipv4::from_be(reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr);
    Ipv6::Bytes bytes{};
    std::memcpy(bytes.data(), &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr,
                bytes.size());
    return Ipv6(bytes);
}

using Interfaces = std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)>;
Interfaces interfaces()
{
    ifaddrs* list = nullptr;
    return {::getifaddrs(&list) == 0 ? list : nullptr, ::freeifaddrs};
}

// Of a link, not of the loopback interface.
std::optional<Ip> link_address(const ifaddrs& each)
{
    const bool known = each.ifa_addr && (each.ifa_addr->sa_family == AF_INET ||
                                         each.ifa_addr->sa_family == AF_INET6);
    return known && !(each.ifa_flags & IFF_LOOPBACK) ? std::optional(ip_of(*each.ifa_addr))
                                                     : std::nullopt;
}

// The interface that has `local` in one network with `peer`.
std::uint32_t link_of(const Ip& local, const Ip& peer)
{
    const Interfaces list = interfaces();
    for (const ifaddrs* each = list.get(); each; each = each->ifa_next)
        if (each->ifa_netmask && link_address(*each) == local &&
            is_in_network(local, ip_of(*each->ifa_netmask), peer))
            return ::if_nametoindex(each->ifa_name);
    return 0;
}

asio::ip::address scoped(const asio::ip::address& address, unsigned interface)
{
    if (!address.is_v6() || !address.to_v6().is_link_local())
        return address;
    auto v6 = address.to_v6();
    v6.scope_id(interface);
    return v6;
}

} // namespace

int set_ttl(int socket, bool v4, int ttl)
{
    const int failed =
        v4 ? ::setsockopt(socket, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl))
           : ::setsockopt(socket, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &ttl, sizeof(ttl));
    return failed ? errno : 0;
}

int set_tcp_md5(int socket, const IpPrefix& peer, const std::string& password)
{
    tcp_md5sig md5{};
    if (password.size() > sizeof(md5.tcpm_key))
        return EINVAL;
    const Connection::Tcp::endpoint endpoint(to_asio(peer.address()), 0);
    std::memcpy(&md5.tcpm_addr, endpoint.data(), endpoint.size());
    const bool is_range = peer != IpPrefix::host(peer.address());
    if (is_range) {
        md5.tcpm_flags = TCP_MD5SIG_FLAG_PREFIX;
        md5.tcpm_prefixlen = peer.length();
    }
    md5.tcpm_keylen = static_cast<std::uint16_t>(password.size());
    std::memcpy(md5.tcpm_key, password.data(), password.size());
    const int option = is_range ? TCP_MD5SIG_EXT : TCP_MD5SIG;
    return ::setsockopt(socket, IPPROTO_TCP, option, &md5, sizeof(md5)) == 0 ? 0 : errno;
}

Ip to_ip(const asio::ip::address& address)
{
    if (address.is_v4())
        return Ipv4(address.to_v4().to_uint());
    const auto v6 = address.to_v6();
    if (v6.is_v4_mapped()) // accepted on a socket of both families
        return Ipv4(asio::ip::make_address_v4(asio::ip::v4_mapped, v6).to_uint());
    return Ipv6(v6.to_bytes());
}

std::string interface_of(const Connection::Tcp::endpoint& endpoint)
{
    if (!endpoint.address().is_v6() || !endpoint.address().to_v6().is_link_local())
        return "";
    char name[IF_NAMESIZE];
    const auto index = static_cast<unsigned>(endpoint.address().to_v6().scope_id());
    return ::if_indextoname(index, name) ? name : "";
}

asio::ip::address to_asio(const Ip& ip)
{
    if (ip.is_v4())
        return asio::ip::address_v4(ip.v4().value());
    return asio::ip::address_v6(ip.v6().bytes());
}

Connection::Connection(Executor& executor, ConnId id, ConnectionHandler& handler)
    : executor_(executor), id_(id), handler_(&handler), socket_(executor), linger_(executor)
{
}

// What could not be had, if `error` says so.
std::string Connection::prepare(Tcp::endpoint& peer, const std::optional<Ip>& source,
                                const TcpOptions& options, error_code& error)
{
    unsigned scope = 0;
    if (options.interface.empty() && peer.address().is_v6() &&
        peer.address().to_v6().is_link_local()) {
        error = asio::error::invalid_argument;
        return "a link-local address needs its interface";
    }
    if (!options.interface.empty()) { // looked for each time: it may come and go
        scope = ::if_nametoindex(options.interface.c_str());
        if (scope == 0)
            error.assign(errno, boost::system::system_category());
        if (error)
            return "there is no interface " + options.interface;
        peer.address(scoped(peer.address(), scope));
    }
    socket_.open(peer.protocol(), error);
    if (error)
        return "no socket";
    if (source) {
        socket_.bind(Tcp::endpoint(scoped(to_asio(*source), scope), 0), error);
        if (error)
            return "cannot use source address " + source->str();
    }
    const int socket = socket_.native_handle();
    if (!options.password.empty()) {
        error.assign(set_tcp_md5(socket, IpPrefix::host(to_ip(peer.address())), options.password),
                     boost::system::system_category());
        if (error)
            return "cannot use the password (TCP MD5)";
    }
    if (options.ttl_security > 0)
        error = set_ttl_security(socket, peer.address().is_v4(), options.ttl_security);
    return "cannot use TTL security";
}

void Connection::dial(const Ip& address, std::uint16_t port, const std::optional<Ip>& source,
                      const TcpOptions& options)
{
    Tcp::endpoint peer(to_asio(address), port);
    peer_text_ = address.str() + " port " + std::to_string(port);
    error_code error;
    const std::string refused = prepare(peer, source, options, error);
    if (error) {
        const std::string why = refused + ": " + error.message();
        return asio::post(executor_, [self = shared_from_this(), why] { self->lose(why); });
    }
    socket_.async_connect(peer, [self = shared_from_this()](const error_code& failure) {
        if (failure)
            return self->lose(explain(failure, self->peer_text_));
        if (!self->handler_)
            return;
        self->begin();
        self->handler_->on_connected(self->id_);
    });
}

void Connection::adopt(Tcp::socket socket, const TcpOptions& options)
{
    socket_ = std::move(socket);
    error_code unknown;
    const bool v4 = socket_.local_endpoint(unknown).address().is_v4();
    if (options.ttl_security == 0)
        set_ttl(socket_.native_handle(), v4, kDefaultTtl); // the listener's is the highest
    else if (set_ttl_security(socket_.native_handle(), v4, options.ttl_security))
        return asio::post(executor_,
                          [self = shared_from_this()] { self->lose("cannot use TTL security"); });
    begin();
}

void Connection::begin()
{
    error_code ignored; // none of these decides whether BGP works
    socket_.set_option(Tcp::no_delay(true), ignored);
    ::setsockopt(socket_.native_handle(), IPPROTO_IP, IP_TOS, &kInternetControl,
                 sizeof(kInternetControl));
    ::setsockopt(socket_.native_handle(), IPPROTO_IPV6, IPV6_TCLASS, &kInternetControl,
                 sizeof(kInternetControl));
    ::setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kUnsentLimit,
                 sizeof(kUnsentLimit));
    up_ = true;
    write();
    read();
}

std::optional<Ip> Connection::local_address() const
{
    error_code error;
    const auto endpoint = socket_.local_endpoint(error);
    if (error)
        return std::nullopt;
    return to_ip(endpoint.address());
}

std::optional<Ip> Connection::address_beside() const
{
    const auto local = local_address();
    const Interfaces list = interfaces();
    const ifaddrs* ours = list.get();
    while (ours && link_address(*ours) != local)
        ours = ours->ifa_next;
    if (!local || !ours)
        return std::nullopt;
    for (const ifaddrs* each = list.get(); each; each = each->ifa_next) {
        const auto address = link_address(*each);
        if (address && address->is_v4() != local->is_v4() && !address->is_link_local6() &&
            std::string_view(each->ifa_name) == ours->ifa_name)
            return address;
    }
    return std::nullopt;
}

std::uint32_t Connection::interface() const
{
    error_code error;
    const auto local = socket_.local_endpoint(error);
    const auto peer = socket_.remote_endpoint(error);
    if (error)
        return 0;
    if (peer.address().is_v6() && peer.address().to_v6().is_link_local())
        return static_cast<std::uint32_t>(peer.address().to_v6().scope_id());
    return link_of(to_ip(local.address()), to_ip(peer.address()));
}

// ---- In ----------------------------------------------------------------------------------------

void Connection::read()
{
    const auto room = asio::buffer(buffer_.data() + filled_, buffer_.size() - filled_);
    socket_.async_read_some(
        room, [self = shared_from_this()](const error_code& error, std::size_t count) {
            if (error)
                return self->lose(explain(error, self->peer_text_));
            self->on_read(count);
        });
}

void Connection::on_read(std::size_t count)
{
    if (!handler_) // lingering: whatever the peer still says is dropped
        return read();
    filled_ += count;
    handle_frames();
}

// The buffer is far larger than a message, so a full one always holds a whole frame.
void Connection::handle_frames()
{
    std::size_t used = 0;
    for (int i = 0; handler_; ++i) {
        const auto next = next_frame(ByteView(buffer_.data() + used, filled_ - used), max_message_);
        if (std::holds_alternative<NeedMore>(next))
            break;
        if (const auto* notify = std::get_if<Notify>(&next)) {
            handler_->on_bad_frame(id_, *notify);
            break;
        }
        if (i == kMessagesPerTurn || used >= kOctetsPerTurn) {
            std::memmove(buffer_.data(), buffer_.data() + used, filled_ - used);
            filled_ -= used;
            return asio::post(executor_, [self = shared_from_this()] { self->handle_frames(); });
        }
        const Frame& frame = std::get<Frame>(next);
        used += frame.size;
        handler_->on_frame(id_, frame);
    }
    std::memmove(buffer_.data(), buffer_.data() + used, filled_ - used);
    filled_ -= used;
    if (!handler_)
        filled_ = 0;
    read();
}

// ---- Out ---------------------------------------------------------------------------------------

// What TCP has and could not send yet.
int Connection::unsent()
{
    int octets = 0;
    return ::ioctl(socket_.native_handle(), SIOCOUTQNSD, &octets) == 0 ? octets : 0;
}

// What the kernel takes at once is never copied.
void Connection::send(std::span<const ByteView> pieces)
{
    std::size_t sent = 0;
    if (up_ && queued() == 0 && unsent() < kUnsentLimit) {
        iovec vectors[kPiecesAtOnce];
        msghdr message{};
        message.msg_iov = vectors;
        for (const ByteView piece : pieces.first(std::min(pieces.size(), kPiecesAtOnce)))
            vectors[message.msg_iovlen++] = {const_cast<std::uint8_t*>(piece.data()), piece.size()};
        const ssize_t count =
            ::sendmsg(socket_.native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent = count < 0 ? 0 : static_cast<std::size_t>(count); // write() meets the error again
    }
    for (const ByteView piece : pieces) {
        const std::size_t skip = std::min(sent, piece.size());
        sent -= skip;
        enqueue(piece.subspan(skip));
    }
    write();
}

void Connection::enqueue(ByteView octets)
{
    if (octets.empty())
        return;
    if (queued() == 0)
        progress_at_ = std::chrono::steady_clock::now();
    outbox_.insert(outbox_.end(), octets.begin(), octets.end());
}

std::optional<Time> Connection::stuck_since() const
{
    return queued() > 0 ? std::optional(progress_at_) : std::nullopt;
}

void Connection::write()
{
    if (!up_ || !writing_.empty())
        return;
    if (outbox_.empty()) {
        if (!handler_)
            linger();
        return;
    }
    writing_.swap(outbox_);
    // What fits into the kernel now goes out now: a farewell must not need another turn.
    error_code error;
    socket_.non_blocking(true, error);
    written_ = socket_.write_some(asio::buffer(writing_), error);
    write_rest();
}

// Portion by portion, to know whether the peer takes anything (RFC 9687).
void Connection::write_rest()
{
    const auto rest = asio::buffer(writing_.data() + written_, writing_.size() - written_);
    socket_.async_write_some(
        rest, [self = shared_from_this()](const error_code& failure, std::size_t count) {
            if (failure)
                return self->lose(explain(failure, self->peer_text_));
            self->progress_at_ = std::chrono::steady_clock::now();
            self->written_ += count;
            if (self->written_ < self->writing_.size())
                return self->write_rest();
            self->writing_.clear();
            self->written_ = 0;
            self->write();
            if (self->handler_ && self->queued() == 0)
                self->handler_->on_drained(self->id_);
        });
}

// ---- End ---------------------------------------------------------------------------------------

void Connection::lose(std::string why)
{
    shut();
    if (ConnectionHandler* handler = std::exchange(handler_, nullptr))
        handler->on_lost(id_, std::move(why));
}

void Connection::close()
{
    handler_ = nullptr;
    if (!up_ || !socket_.is_open())
        return shut();
    linger_.start(kLinger, [self = weak_from_this()] {
        if (const auto alive = self.lock())
            alive->shut();
    });
    write();
}

// Everything is written. Closing at once would answer late data of the peer's with a reset, which
// may overtake our last words; so say that we are done and wait for its end, not for long.
void Connection::linger()
{
    error_code ignored;
    socket_.shutdown(Tcp::socket::shutdown_send, ignored);
}

void Connection::shut()
{
    up_ = false;
    linger_.stop();
    error_code ignored;
    socket_.close(ignored);
}

} // namespace margay::bgp
