// SPDX-License-Identifier: Apache-2.0
// request_response: one byte there and one back over TCP, as often as it goes.
//
//   request_response serve PORT
//   request_response run ADDRESS PORT SECONDS     prints JSON: µs a round trip, p50 and p99
//
// Pin both to one CPU to measure the path's cost instead of the wake-ups between CPUs.

#include "margay/fd.h"
#include "margay/ip.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

namespace {

using margay::Fd;
using Clock = std::chrono::steady_clock;

sockaddr_in endpoint(const char* address, const char* port)
{
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(std::atoi(port)));
    if (address != nullptr)
        to.sin_addr.s_addr = margay::Ipv4::parse(address).value_or(margay::Ipv4()).be();
    return to;
}

void no_delay(int fd)
{
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

int serve(const char* port)
{
    const Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    const auto any = endpoint(nullptr, port);
    if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&any), sizeof(any)) != 0 ||
        ::listen(listener.get(), 8) != 0) {
        std::perror("request_response: listen");
        return 1;
    }
    for (;;) {
        const Fd fd(::accept(listener.get(), nullptr, nullptr));
        no_delay(fd.get());
        char byte = 0;
        while (::recv(fd.get(), &byte, 1, 0) == 1 &&
               ::send(fd.get(), &byte, 1, MSG_NOSIGNAL) == 1) {
        }
    }
}

int run(const char* address, const char* port, int seconds)
{
    const Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto to = endpoint(address, port);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) {
        std::perror("request_response: connect");
        return 1;
    }
    no_delay(fd.get());
    std::vector<double> micros;
    const auto start = Clock::now();
    const auto end = start + std::chrono::seconds(seconds);
    auto last = start;
    char byte = 'x';
    while (last < end) {
        if (::send(fd.get(), &byte, 1, MSG_NOSIGNAL) != 1 || ::recv(fd.get(), &byte, 1, 0) != 1) {
            std::perror("request_response: connection");
            return 1;
        }
        const auto now = Clock::now();
        micros.push_back(std::chrono::duration<double, std::micro>(now - last).count());
        last = now;
    }
    const double mean = std::chrono::duration<double, std::micro>(last - start).count() /
                        static_cast<double>(micros.size());
    std::ranges::sort(micros);
    std::printf("{\"count\":%zu,\"mean_us\":%.2f,\"p50_us\":%.2f,\"p99_us\":%.2f}\n", micros.size(),
                mean, micros[micros.size() / 2], micros[micros.size() * 99 / 100]);
    return 0;
}

} // namespace

int main(int argc, char** argv)
{
    const std::string_view what = argc > 1 ? argv[1] : "";
    if (what == "serve" && argc == 3)
        return serve(argv[2]);
    if (what == "run" && argc == 5)
        return run(argv[2], argv[3], std::atoi(argv[4]));
    std::fprintf(stderr, "usage: request_response serve PORT | run ADDRESS PORT SECONDS\n");
    return 2;
}
