// SPDX-License-Identifier: Apache-2.0
// routes_bench: what 100,000 routes cost the kernel at the least, and when a daemon's are all there.
//
//   routes_bench bare COUNT DEVICE GATEWAY   adds COUNT /26 routes, nothing else, and removes them
//   routes_bench watch COUNT                 waits for COUNT of these routes to come
//
// Prints JSON. `bare` is a netlink socket, batches of messages and one acknowledgement a batch: what
// nobody can be faster than on one thread. `watch` says when the first and the last came; who is
// listened to pays for it, so both are measured by it.

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

constexpr std::uint32_t kFirst = 0x40000000; // 64.0.0.0, in steps of a /26
constexpr std::uint8_t kLength = 26;
constexpr std::uint8_t kProtocol = 80; // margayd's
constexpr std::size_t kBatch = 256; // messages a system call

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point begin)
{
    return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

[[noreturn]] void die(const char* what)
{
    std::perror(what);
    std::exit(1);
}

struct Request {
    nlmsghdr header;
    rtmsg route;
    char attributes[24];
};

void put(Request& request, std::uint16_t type, std::uint32_t value)
{
    auto* attribute = reinterpret_cast<rtattr*>(reinterpret_cast<char*>(&request) +
                                                NLMSG_ALIGN(request.header.nlmsg_len));
    attribute->rta_type = type;
    attribute->rta_len = RTA_LENGTH(sizeof(value));
    std::memcpy(RTA_DATA(attribute), &value, sizeof(value));
    request.header.nlmsg_len += RTA_SPACE(sizeof(value));
}

Request request_for(std::uint16_t type, std::uint32_t number, std::uint32_t device,
                    std::uint32_t gateway)
{
    Request request{};
    request.header.nlmsg_len = NLMSG_LENGTH(sizeof(rtmsg));
    request.header.nlmsg_type = type;
    request.header.nlmsg_flags =
        NLM_F_REQUEST | (type == RTM_NEWROUTE ? NLM_F_CREATE | NLM_F_EXCL : 0);
    request.route.rtm_family = AF_INET;
    request.route.rtm_dst_len = kLength;
    request.route.rtm_table = RT_TABLE_MAIN;
    request.route.rtm_protocol = kProtocol;
    request.route.rtm_type = RTN_UNICAST;
    put(request, RTA_DST, htonl(kFirst + (number << 6)));
    put(request, RTA_GATEWAY, gateway);
    put(request, RTA_OIF, device);
    return request;
}

void run_batch(int socket, std::vector<char>& bytes, nlmsghdr* last)
{
    last->nlmsg_flags |= NLM_F_ACK;
    if (::send(socket, bytes.data(), bytes.size(), 0) < 0)
        die("send");
    char answer[4096];
    if (::recv(socket, answer, sizeof(answer), 0) < 0)
        die("recv");
    const auto* header = reinterpret_cast<const nlmsghdr*>(answer);
    const auto* error = static_cast<const nlmsgerr*>(NLMSG_DATA(header));
    if (header->nlmsg_type != NLMSG_ERROR || error->error != 0) {
        std::fprintf(stderr, "routes_bench: %s\n", std::strerror(-error->error));
        std::exit(1);
    }
    bytes.clear();
}

double change_all(int socket, std::uint16_t type, std::uint32_t count, std::uint32_t device,
                  std::uint32_t gateway)
{
    const auto begin = Clock::now();
    std::vector<char> bytes;
    for (std::uint32_t i = 0; i < count; ++i) {
        const Request request = request_for(type, i, device, gateway);
        const std::size_t at = bytes.size();
        bytes.resize(at + request.header.nlmsg_len);
        std::memcpy(bytes.data() + at, &request, request.header.nlmsg_len);
        if ((i + 1) % kBatch == 0 || i + 1 == count)
            run_batch(socket, bytes, reinterpret_cast<nlmsghdr*>(bytes.data() + at));
    }
    return ms_since(begin);
}

int open_socket(std::uint32_t groups)
{
    const int socket = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (socket < 0)
        die("socket");
    const int room = 256 * 1024 * 1024;
    (void)::setsockopt(socket, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
    (void)::setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    address.nl_groups = groups;
    if (::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
        die("bind");
    return socket;
}

int bare(std::uint32_t count, const char* device, const char* gateway)
{
    const std::uint32_t ifindex = ::if_nametoindex(device);
    const std::uint32_t hop = ::inet_addr(gateway);
    if (ifindex == 0)
        die(device);
    const int socket = open_socket(0);
    const double added = change_all(socket, RTM_NEWROUTE, count, ifindex, hop);
    const double removed = change_all(socket, RTM_DELROUTE, count, ifindex, hop);
    std::printf("{\"routes\":%u,\"add_ms\":%.1f,\"remove_ms\":%.1f}\n", count, added, removed);
    return 0;
}

int watch(std::uint32_t count)
{
    const int socket = open_socket(RTMGRP_IPV4_ROUTE);
    std::puts("watching");
    std::fflush(stdout);
    std::vector<char> buffer(1 << 20);
    Clock::time_point first;
    std::uint32_t seen = 0;
    while (seen < count) {
        const ssize_t size = ::recv(socket, buffer.data(), buffer.size(), 0);
        if (size < 0)
            die("recv");
        auto left = static_cast<int>(size);
        for (auto* header = reinterpret_cast<nlmsghdr*>(buffer.data()); NLMSG_OK(header, left);
             header = NLMSG_NEXT(header, left)) {
            const auto* route = static_cast<const rtmsg*>(NLMSG_DATA(header));
            if (header->nlmsg_type != RTM_NEWROUTE || route->rtm_protocol != kProtocol ||
                route->rtm_dst_len != kLength)
                continue;
            if (seen++ == 0)
                first = Clock::now();
        }
    }
    std::printf("{\"routes\":%u,\"first_to_last_ms\":%.1f}\n", seen, ms_since(first));
    return 0;
}

} // namespace

int main(int argc, char** argv)
{
    const std::string mode = argc > 2 ? argv[1] : "";
    const auto count =
        static_cast<std::uint32_t>(argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 0);
    if (mode == "bare" && argc == 5)
        return bare(count, argv[3], argv[4]);
    if (mode == "watch" && argc == 3)
        return watch(count);
    std::fprintf(stderr, "usage: routes_bench bare COUNT DEVICE GATEWAY | watch COUNT\n");
    return 2;
}
