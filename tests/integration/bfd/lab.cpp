// SPDX-License-Identifier: Apache-2.0
#include "lab.h"

#include "bfd/socket.h"
#include "margay/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdlib>
#include <cstring>

namespace margay::bfd::lab {
namespace {

Log lab_log()
{
    static const Log log = [] {
        auto made = std::make_shared<spdlog::logger>(
            "bfd", std::make_shared<spdlog::sinks::stderr_sink_st>());
        const bool loud = std::getenv("MARGAY_TEST_LOG") != nullptr;
        made->set_level(loud ? spdlog::level::trace : spdlog::level::off);
        return made;
    }();
    return log;
}

sockaddr_storage address_of(const Ip& ip, std::uint16_t port)
{
    sockaddr_storage storage{};
    if (ip.is_v4()) {
        sockaddr_in v4{};
        v4.sin_family = AF_INET;
        v4.sin_port = htons(port);
        v4.sin_addr.s_addr = ip.v4().be();
        std::memcpy(&storage, &v4, sizeof(v4));
    } else {
        sockaddr_in6 v6{};
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(port);
        std::memcpy(&v6.sin6_addr, ip.v6().bytes().data(), 16);
        std::memcpy(&storage, &v6, sizeof(v6));
    }
    return storage;
}

void set(int socket, int level, int option, int value)
{
    ASSERT_EQ(::setsockopt(socket, level, option, &value, sizeof(value)), 0);
}

} // namespace

Ip ip(const std::string& text)
{
    return Ip::parse(text).value();
}

SessionConfig session_with(const std::string& peer, const std::string& local)
{
    using namespace std::chrono_literals;
    SessionConfig config;
    config.peer = ip(peer);
    config.local = ip(local);
    config.parameters = Parameters{100ms, 100ms, 3};
    return config;
}

// ---- Watch -------------------------------------------------------------------------------------

Watch::Watch(Executor& executor)
{
    Callbacks callbacks;
    callbacks.on_state = [this](const SessionEvent& event) {
        events_.push_back(event);
        if (on_event)
            on_event(event);
    };
    monitor_ = std::make_unique<Monitor>(executor, lab_log(), std::move(callbacks));
}

SessionStatus Watch::session(const std::string& peer) const
{
    for (const SessionStatus& status : monitor_->sessions())
        if (status.config.peer == ip(peer))
            return status;
    return {};
}

std::string Watch::said(const std::string& peer) const
{
    std::string text;
    for (const SessionEvent& event : events_)
        if (event.peer == ip(peer))
            text += (text.empty() ? "" : ", ") + std::string(name_of(event.state)) +
                    (event.failure ? "!" : "");
    return text;
}

// ---- Raw ---------------------------------------------------------------------------------------

Raw::Raw(const Ip& own, std::uint16_t port, int ttl)
    : v4_(own.is_v4()),
      socket_(::socket(v4_ ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0))
{
    const int level = v4_ ? IPPROTO_IP : IPPROTO_IPV6;
    set(socket_.get(), level, v4_ ? IP_TTL : IPV6_UNICAST_HOPS, ttl);
    set(socket_.get(), level, v4_ ? IP_RECVTTL : IPV6_RECVHOPLIMIT, 1);
    const sockaddr_storage address = address_of(own, port);
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)),
              0);
}

void Raw::say(const Ip& to, std::span<const std::uint8_t> bytes, std::uint16_t port)
{
    const sockaddr_storage address = address_of(to, port);
    ::sendto(socket_.get(), bytes.data(), bytes.size(), 0,
             reinterpret_cast<const sockaddr*>(&address),
             v4_ ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
}

std::vector<Raw::Heard> Raw::hear()
{
    std::vector<Heard> all;
    for (;;) {
        std::uint8_t bytes[64];
        alignas(cmsghdr) char control[64];
        sockaddr_storage from{};
        iovec vector{bytes, sizeof(bytes)};
        msghdr message{};
        message.msg_name = &from;
        message.msg_namelen = sizeof(from);
        message.msg_iov = &vector;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof(control);
        const ssize_t size = ::recvmsg(socket_.get(), &message, 0);
        if (size < 0)
            return all;
        Heard heard;
        const auto decoded = decode(std::span(bytes, static_cast<std::size_t>(size)));
        EXPECT_TRUE(std::holds_alternative<Packet>(decoded));
        if (const auto* packet = std::get_if<Packet>(&decoded))
            heard.packet = *packet;
        sockaddr_in head; // the port is at one place in both families
        std::memcpy(&head, &from, sizeof(head));
        heard.port = ntohs(head.sin_port);
        if (const cmsghdr* header = CMSG_FIRSTHDR(&message))
            std::memcpy(&heard.ttl, CMSG_DATA(header), sizeof(heard.ttl));
        all.push_back(heard);
    }
}

// ---- LabTest -----------------------------------------------------------------------------------

void LabTest::SetUp()
{
    if (!testing::is_root())
        GTEST_SKIP() << "needs root";
    we = std::make_unique<Netns>("we");
    neighbour = std::make_unique<Netns>("neighbour");
    far = std::make_unique<Netns>("far");
    testing::add_veth(*we, "eth0", *neighbour, "eth0");
    testing::add_veth(*neighbour, "eth1", *far, "eth0");
    we->must("ip addr add 10.77.0.1/24 dev eth0 && ip addr add fd77::1/64 dev eth0 nodad"
             " && ip route add default via 10.77.0.2 && ip -6 route add default via fd77::2");
    neighbour->must("ip addr add 10.77.0.2/24 dev eth0 && ip addr add fd77::2/64 dev eth0 nodad"
                    " && ip addr add 10.78.0.1/24 dev eth1 && ip addr add fd78::1/64 dev eth1 nodad"
                    " && echo 1 > /proc/sys/net/ipv4/ip_forward"
                    " && echo 1 > /proc/sys/net/ipv6/conf/all/forwarding");
    far->must("ip addr add 10.78.0.2/24 dev eth0 && ip addr add fd78::2/64 dev eth0 nodad"
              " && ip route add default via 10.78.0.1 && ip -6 route add default via fd78::1");
    scope = std::make_unique<testing::NetnsScope>(*we);
}

void LabTest::TearDown()
{
    scope.reset();
}

} // namespace margay::bfd::lab
