// SPDX-License-Identifier: Apache-2.0
// bench_scale_flip ETCD_URL NETNS_1 NETNS_2 SAMPLES: how long a change of policy takes, from before
// its PUT until the first packet that is judged by it.
//
// One UDP flow from local pod 1 to local pod 2 runs all the time; a packet that is not there within
// kPatience is a denied one (delivery takes microseconds). Policy p0 is put, denying and allowing in
// turn; the moment that counts is when the first packet was sent that met the new verdict, if the
// next kConfirm packets meet it, too. Prints milliseconds as JSON.

#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "agent/store/store.h"
#include "margay/fd.h"
#include "margay/ip.h"
#include "scale/cluster.h"

namespace {

using margay::Fd;
using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;
using namespace std::chrono_literals;

constexpr int kPatience = 3; // ms
constexpr int kConfirm = 5;
constexpr auto kGap = 200us;
constexpr auto kLimit = 10s;
constexpr auto kPause = 100ms; // between samples, so that each finds the agent idle

[[noreturn]] void die(const std::string& what)
{
    std::fprintf(stderr, "bench_scale_flip: %s: %s\n", what.c_str(), std::strerror(errno));
    std::exit(1);
}

void enter(const char* netns)
{
    const Fd fd(::open((std::string("/run/netns/") + netns).c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid() || ::setns(fd.get(), CLONE_NEWNET) != 0)
        die(std::string("enter network namespace ") + netns);
}

sockaddr_in pod_address(int pod)
{
    sockaddr_in out{};
    out.sin_family = AF_INET;
    out.sin_port = htons(margay::bench::kFlowPort);
    out.sin_addr.s_addr = margay::Ipv4::parse(margay::bench::local_address(pod))->be();
    return out;
}

// A socket lives in the namespace in which it was made.
Fd socket_in(const char* netns, int pod)
{
    enter(netns);
    Fd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const sockaddr_in own = pod_address(pod);
    if (!fd.valid() || ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&own), sizeof(own)) != 0)
        die(std::string("bind in ") + netns);
    return fd;
}

class Flow {
public:
    Flow(Fd from, Fd to) : from_(std::move(from)), to_(std::move(to)) {}

    // Sends one packet; whether it arrives.
    bool passes()
    {
        const sockaddr_in target = pod_address(2);
        number_++;
        (void)::sendto(from_.get(), &number_, sizeof(number_), 0,
                       reinterpret_cast<const sockaddr*>(&target), sizeof(target));
        pollfd wait{to_.get(), POLLIN, 0};
        std::uint64_t got = 0;
        while (::poll(&wait, 1, kPatience) > 0)
            while (::recv(to_.get(), &got, sizeof(got), 0) == sizeof(got))
                if (got == number_)
                    return true;
        return false;
    }

    // When the first of kConfirm packets was sent that have this fate; nothing after kLimit.
    std::optional<Clock::time_point> becomes(bool allowed)
    {
        const auto until = Clock::now() + kLimit;
        Clock::time_point first{};
        for (int in_row = 0; in_row < kConfirm;) {
            const auto sent = Clock::now();
            if (sent > until)
                return {};
            if (passes() != allowed) {
                in_row = 0;
            } else if (in_row++ == 0) {
                first = sent;
            }
            std::this_thread::sleep_for(kGap);
        }
        return first;
    }

private:
    Fd from_, to_;
    std::uint64_t number_ = 0;
};

void print(std::vector<double> samples)
{
    std::sort(samples.begin(), samples.end());
    const auto at = [&samples](std::size_t percent) {
        return samples[(samples.size() * percent + 99) / 100 - 1];
    };
    std::printf("{\"samples\":%zu,\"min\":%.1f,\"median\":%.1f,\"p99\":%.1f,\"max\":%.1f}\n",
                samples.size(), samples.front(), at(50), at(99), samples.back());
}

int run(const char* url, const char* first, const char* second, int count)
{
    const Fd home(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
    Flow flow(socket_in(first, 1), socket_in(second, 2));
    if (::setns(home.get(), CLONE_NEWNET) != 0)
        die("return");
    margay::store::StoreConfig config;
    config.endpoints = {url};
    const auto kv = margay::store::make_kv(config);
    if (!kv)
        die(kv.error().what);
    if (!flow.becomes(true)) {
        std::fprintf(stderr, "bench_scale_flip: pod 1 does not reach pod 2 to begin with\n");
        return 1;
    }
    std::vector<double> samples;
    bool allow = true;
    while (static_cast<int>(samples.size()) < count) {
        allow = !allow;
        const auto [key, value] = margay::bench::measured_policy({}, allow);
        std::this_thread::sleep_for(kPause);
        const auto start = Clock::now();
        if (const auto put = (*kv)->put(key, value); !put)
            die(put.error().what);
        const auto changed = flow.becomes(allow);
        if (!changed) {
            std::fprintf(stderr, "bench_scale_flip: sample %zu: the verdict did not change\n",
                         samples.size());
            return 1;
        }
        samples.push_back(Milliseconds(*changed - start).count());
    }
    print(samples);
    return 0;
}

} // namespace

int main(int argc, char** argv)
{
    if (argc != 5) {
        std::fprintf(stderr, "usage: bench_scale_flip ETCD_URL NETNS_1 NETNS_2 SAMPLES\n");
        return 2;
    }
    return run(argv[1], argv[2], argv[3], std::max(1, std::atoi(argv[4])));
}
