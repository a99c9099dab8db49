// SPDX-License-Identifier: Apache-2.0
// traffic: numbered UDP, one TCP stream and many short TCP connections, with what was lost as JSON.
// The system tests run it in pods while they break things.
//
//   traffic udp-send ADDRESS PORT PACKETS_PER_SECOND SECONDS
//   traffic udp-gso ADDRESS PORT BURSTS       ten numbered packets in one send (UDP_SEGMENT)
//   traffic udp-receive PORT SECONDS          until SECONDS pass without a packet after the first
//   traffic tcp-send ADDRESS PORT SECONDS [BYTES_PER_SECOND]   a stream of a known pattern
//   traffic tcp-receive PORT                  one stream, until it ends; the pattern is checked
//   traffic tcp-connect ADDRESS PORT MILLISECONDS SECONDS   a new connection every so often
//   traffic tcp-serve PORT                    answers those; until killed
//
// A sender that gets SIGTERM ends early, in order, and says what it had sent.
// Exit status: 0 when it ran, whatever was lost; 2 on a wrong command line; 1 when it could not
// run.

#include "margay/fd.h"
#include "margay/ip.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using margay::Fd;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

volatile std::sig_atomic_t stop_asked = 0;

[[noreturn]] void die(const std::string& what)
{
    std::fprintf(stderr, "traffic: %s: %s\n", what.c_str(), std::strerror(errno));
    std::exit(1);
}

int number(const char* text)
{
    char* end = nullptr;
    const long value = std::strtol(text, &end, 10);
    if (end == text || *end != '\0' || value < 0 || value > 100000000) {
        std::fprintf(stderr, "traffic: '%s' is not a number\n", text);
        std::exit(2);
    }
    return static_cast<int>(value);
}

sockaddr_in endpoint(const char* address, int port)
{
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(port));
    if (address != nullptr) {
        const auto ip = margay::Ipv4::parse(address);
        if (!ip) {
            std::fprintf(stderr, "traffic: '%s' is not an IPv4 address\n", address);
            std::exit(2);
        }
        to.sin_addr.s_addr = ip->be();
    }
    return to;
}

const sockaddr* as_sockaddr(const sockaddr_in& address)
{
    return reinterpret_cast<const sockaddr*>(&address);
}

Fd open_socket(int type)
{
    Fd fd(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
    if (!fd.valid())
        die("socket");
    const int on = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    return fd;
}

Fd listen_on(int port)
{
    Fd fd = open_socket(SOCK_STREAM);
    const auto any = endpoint(nullptr, port);
    if (::bind(fd.get(), as_sockaddr(any), sizeof(any)) != 0 || ::listen(fd.get(), 128) != 0)
        die("listen on port " + std::to_string(port));
    return fd;
}

bool wait_for(int fd, short events, milliseconds limit)
{
    pollfd p{fd, events, 0};
    int ready = 0;
    do // the signal that ends a sender is no failure of what it waits for
        ready = ::poll(&p, 1, static_cast<int>(limit.count()));
    while (ready < 0 && errno == EINTR);
    return ready > 0;
}

// --- UDP -----------------------------------------------------------------------------------------

int udp_send(const char* address, int port, int rate, int duration)
{
    const Fd fd = open_socket(SOCK_DGRAM);
    const auto to = endpoint(address, port);
    if (::connect(fd.get(), as_sockaddr(to), sizeof(to)) != 0)
        die("connect");
    const auto start = Clock::now();
    const auto interval = std::chrono::nanoseconds(1000000000LL / std::max(rate, 1));
    const std::uint64_t total =
        static_cast<std::uint64_t>(rate) * static_cast<std::uint64_t>(duration);
    std::uint64_t refused = 0; // the local stack did not take it: no loss of the path
    std::array<char, 200> packet{};
    std::uint64_t n = 0;
    for (; n < total && !stop_asked; n++) {
        std::this_thread::sleep_until(start + interval * static_cast<std::int64_t>(n));
        std::memcpy(packet.data(), &n, sizeof(n));
        if (::send(fd.get(), packet.data(), packet.size(), 0) < 0)
            refused++;
    }
    std::printf("{\"sent\":%llu,\"refused\":%llu}\n", static_cast<unsigned long long>(n),
                static_cast<unsigned long long>(refused));
    return 0;
}

int udp_gso(const char* address, int port, int bursts)
{
    constexpr std::size_t kSegment = 1200;
    constexpr std::size_t kSegments = 10;
    const Fd fd = open_socket(SOCK_DGRAM);
    const auto to = endpoint(address, port);
    const int segment = kSegment;
    if (::connect(fd.get(), as_sockaddr(to), sizeof(to)) != 0 ||
        ::setsockopt(fd.get(), SOL_UDP, UDP_SEGMENT, &segment, sizeof(segment)) != 0)
        die("connect with UDP_SEGMENT");
    std::array<char, kSegment * kSegments> burst{};
    std::uint64_t n = 0;
    for (int i = 0; i < bursts && !stop_asked; i++) {
        for (std::size_t s = 0; s < kSegments; s++, n++)
            std::memcpy(burst.data() + s * kSegment, &n, sizeof(n));
        if (::send(fd.get(), burst.data(), burst.size(), 0) < 0)
            die("send a burst");
        std::this_thread::sleep_for(milliseconds(5));
    }
    std::printf("{\"sent\":%llu,\"refused\":0}\n", static_cast<unsigned long long>(n));
    return 0;
}

int udp_receive(int port, int quiet)
{
    const Fd fd = open_socket(SOCK_DGRAM);
    const int room = 8 << 20; // the receiver must not lose what the path delivered
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
    const auto any = endpoint(nullptr, port);
    if (::bind(fd.get(), as_sockaddr(any), sizeof(any)) != 0)
        die("bind port " + std::to_string(port));

    std::vector<bool> seen;
    std::uint64_t received = 0;
    std::uint64_t duplicates = 0;
    auto last = Clock::now();
    milliseconds longest{0};
    while (wait_for(fd.get(), POLLIN, received == 0 ? seconds(60) : seconds(quiet))) {
        std::uint64_t n = 0;
        if (::recv(fd.get(), &n, sizeof(n), 0) < static_cast<ssize_t>(sizeof(n)) || n > 100000000)
            continue;
        const auto now = Clock::now();
        if (received > 0)
            longest = std::max(longest, std::chrono::duration_cast<milliseconds>(now - last));
        last = now;
        if (seen.size() <= n)
            seen.resize(n + 1);
        if (seen[n])
            duplicates++;
        seen[n] = true;
        received++;
    }
    const auto missing = std::count(seen.begin(), seen.end(), false);
    std::printf("{\"received\":%llu,\"highest\":%lld,\"missing\":%lld,\"duplicates\":%llu,"
                "\"longest_gap_ms\":%lld,\"missing_numbers\":[",
                static_cast<unsigned long long>(received), static_cast<long long>(seen.size()) - 1,
                static_cast<long long>(missing), static_cast<unsigned long long>(duplicates),
                static_cast<long long>(longest.count()));
    int printed = 0;
    for (std::size_t n = 0; n < seen.size() && printed < 20; n++)
        if (!seen[n])
            std::printf("%s%zu", printed++ > 0 ? "," : "", n);
    std::printf("]}\n");
    return 0;
}

// --- TCP -----------------------------------------------------------------------------------------

char pattern(std::uint64_t offset)
{
    return static_cast<char>((offset * 2654435761u) >> 13);
}

int tcp_send(const char* address, int port, int duration, int pace)
{
    const Fd fd = open_socket(SOCK_STREAM);
    if (pace > 0 &&
        ::setsockopt(fd.get(), SOL_SOCKET, SO_MAX_PACING_RATE, &pace, sizeof(pace)) != 0)
        die("pace");
    const auto to = endpoint(address, port);
    if (::connect(fd.get(), as_sockaddr(to), sizeof(to)) != 0)
        die("connect");
    const auto end = Clock::now() + seconds(duration);
    std::uint64_t offset = 0;
    std::vector<char> chunk(16384);
    while (Clock::now() < end && !stop_asked) {
        for (std::size_t i = 0; i < chunk.size(); i++)
            chunk[i] = pattern(offset + i);
        std::size_t done = 0;
        while (done < chunk.size()) {
            const auto n = ::send(fd.get(), chunk.data() + done, chunk.size() - done, MSG_NOSIGNAL);
            if (n <= 0)
                die("send after " + std::to_string(offset + done) + " bytes");
            done += static_cast<std::size_t>(n);
        }
        offset += chunk.size();
    }
    std::printf("{\"sent\":%llu}\n", static_cast<unsigned long long>(offset));
    return 0;
}

int tcp_receive(int port)
{
    const Fd listener = listen_on(port);
    const Fd fd(::accept(listener.get(), nullptr, nullptr));
    std::uint64_t offset = 0;
    std::uint64_t wrong = 0;
    std::vector<char> chunk(65536);
    auto last = Clock::now();
    milliseconds longest{0};
    ssize_t n = 0;
    while ((n = ::recv(fd.get(), chunk.data(), chunk.size(), 0)) > 0) {
        const auto now = Clock::now();
        longest = std::max(longest, std::chrono::duration_cast<milliseconds>(now - last));
        last = now;
        for (ssize_t i = 0; i < n; i++)
            wrong += chunk[static_cast<std::size_t>(i)] !=
                     pattern(offset + static_cast<std::uint64_t>(i));
        offset += static_cast<std::uint64_t>(n);
    }
    std::printf("{\"received\":%llu,\"wrong\":%llu,\"reset\":%s,\"longest_gap_ms\":%lld}\n",
                static_cast<unsigned long long>(offset), static_cast<unsigned long long>(wrong),
                n < 0 ? "true" : "false", static_cast<long long>(longest.count()));
    return 0;
}

// One connection and one byte each way, within a second.
bool connect_once(const sockaddr_in& to)
{
    const Fd fd = open_socket(SOCK_STREAM | SOCK_NONBLOCK);
    if (::connect(fd.get(), as_sockaddr(to), sizeof(to)) != 0 && errno != EINPROGRESS)
        return false;
    if (!wait_for(fd.get(), POLLOUT, seconds(1)))
        return false;
    char byte = 'x';
    if (::send(fd.get(), &byte, 1, MSG_NOSIGNAL) != 1 || !wait_for(fd.get(), POLLIN, seconds(1)))
        return false;
    return ::recv(fd.get(), &byte, 1, 0) == 1;
}

int tcp_connect(const char* address, int port, int interval, int duration)
{
    const auto to = endpoint(address, port);
    const auto start = Clock::now();
    const auto end = start + seconds(duration);
    int tried = 0;
    int failed = 0;
    milliseconds slowest{0};
    for (auto next = start; next < end && !stop_asked;
         next = std::max(next + milliseconds(interval), Clock::now())) {
        std::this_thread::sleep_until(next);
        const auto begin = Clock::now();
        tried++;
        failed += !connect_once(to);
        slowest = std::max(slowest, std::chrono::duration_cast<milliseconds>(Clock::now() - begin));
    }
    std::printf("{\"tried\":%d,\"failed\":%d,\"slowest_ms\":%lld}\n", tried, failed,
                static_cast<long long>(slowest.count()));
    return 0;
}

int tcp_serve(int port)
{
    const Fd listener = listen_on(port);
    for (;;) {
        const Fd fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
        char byte = 0;
        if (fd.valid() && wait_for(fd.get(), POLLIN, seconds(1)) &&
            ::recv(fd.get(), &byte, 1, 0) == 1)
            (void)!::send(fd.get(), &byte, 1, MSG_NOSIGNAL);
    }
}

} // namespace

int main(int argc, char** argv)
{
    const std::string_view what = argc > 1 ? argv[1] : "";
    if (what.ends_with("-send") || what == "tcp-connect")
        std::signal(SIGTERM, [](int) { stop_asked = 1; });
    if (what == "udp-send" && argc == 6)
        return udp_send(argv[2], number(argv[3]), number(argv[4]), number(argv[5]));
    if (what == "udp-gso" && argc == 5)
        return udp_gso(argv[2], number(argv[3]), number(argv[4]));
    if (what == "udp-receive" && argc == 4)
        return udp_receive(number(argv[2]), number(argv[3]));
    if (what == "tcp-send" && (argc == 5 || argc == 6))
        return tcp_send(argv[2], number(argv[3]), number(argv[4]), argc == 6 ? number(argv[5]) : 0);
    if (what == "tcp-receive" && argc == 3)
        return tcp_receive(number(argv[2]));
    if (what == "tcp-connect" && argc == 6)
        return tcp_connect(argv[2], number(argv[3]), number(argv[4]), number(argv[5]));
    if (what == "tcp-serve" && argc == 3)
        return tcp_serve(number(argv[2]));
    std::fprintf(stderr, "usage: traffic udp-send|udp-gso|udp-receive|tcp-send|tcp-receive|"
                         "tcp-connect|tcp-serve ...\n");
    return 2;
}
