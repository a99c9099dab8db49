// SPDX-License-Identifier: Apache-2.0
#include "agent/hop_interfaces.h"

#include <net/if.h>

#include <array>
#include <cerrno>
#include <utility>

namespace margay {
namespace {

constexpr std::size_t kMostHops = 4096; // a peer may name as many as it likes
constexpr std::size_t kLooksATime = 128; // of some microseconds each
constexpr std::chrono::milliseconds kPause{100};

template <typename A>
std::optional<std::string> interface_towards(kernel::NetlinkSocket& socket, const A& hop)
{
    const auto path = kernel::lookup_path(socket, hop);
    if (!path)
        return kernel::says_no_route(path.error().sys) ? std::optional<std::string>("")
                                                       : std::nullopt;
    std::array<char, IF_NAMESIZE> name{};
    return ::if_indextoname(path->ifindex, name.data()) ? std::optional<std::string>(name.data())
                                                        : std::nullopt;
}

} // namespace

HopInterfaces::HopInterfaces(Executor& executor, std::function<void()> on_change)
    : on_change_(std::move(on_change)), timer_(executor)
{
}

std::optional<std::string> HopInterfaces::of(const Ip& hop)
{
    if (hop.is_link_local6())
        return std::nullopt;
    if (const auto known = known_.find(hop); known != known_.end())
        return known->second;
    if (known_.size() >= kMostHops)
        return std::nullopt;
    if (known_.empty())
        timer_.start(kPause, [this] { look_again(); });
    return known_[hop] = look_up(hop);
}

void HopInterfaces::forget()
{
    known_.clear();
    timer_.stop();
}

HopInterfaces::Interface HopInterfaces::look_up(const Ip& hop)
{
    if (!socket_) {
        auto opened = kernel::NetlinkSocket::open();
        if (!opened)
            return std::nullopt;
        socket_.emplace(std::move(*opened));
    }
    return hop.is_v4() ? interface_towards(*socket_, hop.v4())
                       : interface_towards(*socket_, hop.v6());
}

void HopInterfaces::look_again()
{
    bool changed = false;
    auto at = known_.lower_bound(next_);
    for (std::size_t n = 0; n < std::min(kLooksATime, known_.size()); ++n) {
        if (at == known_.end())
            at = known_.begin();
        const Interface now = look_up(at->first);
        changed |= std::exchange(at->second, now) != now;
        ++at;
    }
    next_ = at == known_.end() ? Ip() : at->first;
    timer_.start(kPause, [this] { look_again(); });
    if (changed)
        on_change_();
}

} // namespace margay
