// SPDX-License-Identifier: Apache-2.0
#include "bench/bgp/session.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace margay::bgp_bench {
namespace {

using std::chrono::milliseconds;

constexpr std::uint16_t kPort = 179;
constexpr auto kTick = milliseconds(20);
constexpr auto kRetry = milliseconds(50);
constexpr auto kOpenTime = std::chrono::seconds(5); // to become Established in
constexpr std::size_t kScratch = 1 << 18;

sockaddr_in socket_address(Ipv4 address, std::uint16_t port)
{
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = address.be();
    return to;
}

Fd connecting_socket(const SessionConfig& config)
{
    Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd.valid())
        return fd;
    const int on = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    const sockaddr_in from = socket_address(config.address, 0);
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&from), sizeof(from)) != 0)
        return Fd();
    const sockaddr_in to = socket_address(config.device, kPort);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0 &&
        errno != EINPROGRESS)
        return Fd();
    return fd;
}

int socket_error(int fd)
{
    int error = 0;
    socklen_t size = sizeof(error);
    ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    return error;
}

std::string notification_text(View body)
{
    if (body.size() < 2)
        return "a NOTIFICATION without its code";
    return "the device sent NOTIFICATION " + std::to_string(body[0]) + "/" +
           std::to_string(body[1]);
}

} // namespace

Session::Session(Loop& loop, SessionConfig config) : loop_(loop), config_(config) {}

void Session::connect()
{
    fd_ = connecting_socket(config_);
    half_.clear();
    unsent_ = {};
    if (!fd_.valid())
        return close(std::string("cannot connect: ") + std::strerror(errno));
    state_ = State::Connecting;
    epoll_event event{};
    event.events = EPOLLOUT;
    event.data.ptr = this;
    ::epoll_ctl(loop_.epoll_.get(), EPOLL_CTL_ADD, fd_.get(), &event);
}

void Session::send(View stream)
{
    unsent_ = stream;
    send_some();
}

void Session::reset()
{
    const linger at_once{1, 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    fd_.reset();
    state_ = State::Ended;
}

void Session::on_ready(std::uint32_t events)
{
    if (state_ == State::Connecting)
        return on_connected();
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        on_readable();
    if ((events & EPOLLOUT) && fd_.valid())
        send_some();
}

void Session::on_connected()
{
    if (const int error = socket_error(fd_.get()); error != 0)
        return close(std::string("cannot connect: ") + std::strerror(error));
    Bytes open;
    put_open({config_.as, config_.hold_time, config_.address}, open);
    state_ = State::OpenSent;
    heard_at_ = Clock::now();
    watch(EPOLLIN);
    if (!send_now(open))
        close("the connection ended before OPEN");
}

void Session::on_readable()
{
    Bytes& scratch = loop_.scratch_;
    std::ranges::copy(half_, scratch.begin());
    const std::size_t before = half_.size();
    const ssize_t count =
        ::recv(fd_.get(), scratch.data() + before, scratch.size() - before, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count <= 0)
        return close(count == 0 ? "the device closed the connection" : std::strerror(errno));
    const View octets(scratch.data(), before + static_cast<std::size_t>(count));
    const std::size_t taken = take_messages(octets);
    if (fd_.valid())
        half_.assign(octets.begin() + static_cast<std::ptrdiff_t>(taken), octets.end());
}

// Gives back how many octets whole messages took.
std::size_t Session::take_messages(View octets)
{
    heard_at_ = Clock::now();
    std::size_t at = 0;
    while (octets.size() - at >= kHeaderSize) {
        const std::uint8_t* header = octets.data() + at;
        const std::size_t size = read_u16(header + 16);
        if (size < kHeaderSize || size > kMaxMessage) {
            close("the device sent a message of " + std::to_string(size) + " octets");
            return at;
        }
        if (octets.size() - at < size)
            break;
        at += size;
        const View body(header + kHeaderSize, size - kHeaderSize);
        if (!on_message(MessageType{header[18]}, body))
            return at;
    }
    return at;
}

// False when the session is over.
bool Session::on_message(MessageType type, View body)
{
    switch (type) {
    case MessageType::Update:
        if (inbox_ && !inbox_->on_update(body)) {
            close("the device sent a malformed UPDATE");
            return false;
        }
        return true;
    case MessageType::Keepalive:
        return on_keepalive();
    case MessageType::Open:
        if (state_ == State::OpenSent) {
            state_ = State::OpenConfirm;
            confirmed_at_ = Clock::now();
            Bytes keepalive;
            put_keepalive(keepalive);
            return send_now(keepalive);
        }
        return true;
    case MessageType::Notification:
        close(notification_text(body));
        return false;
    }
    return true; // ROUTE-REFRESH: we did not offer it
}

bool Session::on_keepalive()
{
    if (state_ != State::OpenConfirm)
        return true;
    state_ = State::Established;
    why_.clear();
    if (!greeting_.empty())
        send(greeting_);
    return fd_.valid();
}

void Session::on_tick(Clock::time_point now)
{
    if (state_ == State::Idle && retry_at_ != Clock::time_point() && now >= retry_at_)
        return connect();
    if (state_ < State::OpenSent || state_ == State::Ended || config_.hold_time == 0)
        return;
    const std::chrono::seconds hold(config_.hold_time);
    if (now - heard_at_ > (established() ? hold : std::min(hold, kOpenTime)))
        return close(established() ? "hold time is over: the device was silent"
                                   : "the device answered no OPEN");
    if (!established() || now - spoke_at_ < hold / 3 || !unsent_.empty())
        return;
    Bytes keepalive;
    put_keepalive(keepalive);
    if (!send_now(keepalive))
        close("the connection does not take a KEEPALIVE");
}

void Session::send_some()
{
    while (!unsent_.empty()) {
        const ssize_t count =
            ::send(fd_.get(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count < 0 && errno == EAGAIN)
            return watch(EPOLLIN | EPOLLOUT);
        if (count < 0)
            return close(std::strerror(errno));
        unsent_ = unsent_.subspan(static_cast<std::size_t>(count));
        spoke_at_ = Clock::now();
    }
    watch(EPOLLIN);
}

// For messages far smaller than any socket buffer, while no stream is under way.
bool Session::send_now(const Bytes& message)
{
    spoke_at_ = Clock::now();
    const ssize_t count =
        ::send(fd_.get(), message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return count == static_cast<ssize_t>(message.size());
}

// What was not up is tried again; what was, stays down and counts as lost.
void Session::close(const std::string& why)
{
    const bool is_lost = established() && loop_.losses_count_;
    fd_.reset();
    unsent_ = {};
    half_.clear();
    why_ = why;
    state_ = is_lost ? State::Ended : State::Idle;
    retry_at_ = Clock::now() + kRetry;
    if (is_lost)
        loop_.on_lost(*this, why);
}

void Session::watch(std::uint32_t events)
{
    epoll_event event{};
    event.events = events;
    event.data.ptr = this;
    ::epoll_ctl(loop_.epoll_.get(), EPOLL_CTL_MOD, fd_.get(), &event);
}

// ---- Loop --------------------------------------------------------------------------------------

Loop::Loop() : epoll_(::epoll_create1(EPOLL_CLOEXEC)), scratch_(kScratch) {}

Session& Loop::add(const SessionConfig& config)
{
    return *sessions_.emplace_back(std::make_unique<Session>(*this, config));
}

bool Loop::run_until(const std::function<bool()>& done, milliseconds limit)
{
    const auto end = Clock::now() + limit;
    while (!done()) {
        if (Clock::now() > end)
            return false;
        turn();
    }
    return true;
}

void Loop::run_for(milliseconds time)
{
    run_until([] { return false; }, time);
}

void Loop::turn()
{
    std::array<epoll_event, 128> events{};
    const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                                   static_cast<int>(kTick.count()));
    for (int i = 0; i < count; ++i) {
        const epoll_event& event = events[static_cast<std::size_t>(i)];
        auto* session = static_cast<Session*>(event.data.ptr);
        if (session->fd_.valid())
            session->on_ready(event.events);
    }
    const auto now = Clock::now();
    if (now - ticked_at_ < kTick)
        return;
    ticked_at_ = now;
    for (const auto& session : sessions_)
        session->on_tick(now);
}

void Loop::on_lost(const Session& session, const std::string& why)
{
    if (lost_++ == 0)
        why_lost_ = session.config().address.str() + ": " + why;
}

} // namespace margay::bgp_bench
