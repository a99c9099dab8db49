// SPDX-License-Identifier: Apache-2.0
// Route: an IPv4 route of the main table as a value, and the shapes that Margay programs.

#pragma once

#include "agent/kernel/links.h"
#include "margay/ip.h"

#include <boost/container/small_vector.hpp>

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace margay::kernel {

inline constexpr std::uint8_t kProtocolMargay = 80;   // as Calico's agent
inline constexpr std::uint8_t kProtocolWorkload = 3;  // RTPROT_BOOT, as Calico's workload routes
inline constexpr std::uint32_t kMetricWorkload = 1024;
inline constexpr std::size_t kMaxHops = 32;

struct NextHop {
    IfIndex ifindex = 0;
    Ipv4 gateway;          // zero: on link
    std::uint8_t weight = 1;
    auto operator<=>(const NextHop&) const = default;
};

using NextHops = boost::container::small_vector<NextHop, 1>; // nearly always one

// Identity of a route in the kernel: two routes with one key cannot both be in force.
struct RouteKey {
    Prefix4 destination;
    std::uint32_t metric = 0;
    auto operator<=>(const RouteKey&) const = default;
};

struct Route {
    enum class Kind : std::uint8_t { Unicast, Blackhole, Other };

    Prefix4 destination;
    std::uint32_t metric = 0;
    Kind kind = Kind::Unicast;
    std::uint8_t protocol = kProtocolMargay;
    std::uint8_t scope = 0;    // RT_SCOPE_*
    NextHops hops;             // sorted; more than one: multipath
    Ipv4 source;               // preferred source, zero: none
    std::uint32_t mtu = 0;     // bytes, 0: the device's

    RouteKey key() const { return {destination, metric}; }
    std::string str() const; // as `ip route` writes it, with ifindexes for names
    bool operator==(const Route&) const = default;
};

// <ip>/32 dev <workload> scope link proto 3 metric <metric>
Route workload_route(Ipv4 address, IfIndex workload, std::uint32_t metric = kMetricWorkload);
// <block> via <hops> [src <tunnel address>] [mtu <tunnel mtu>] proto 80. Hops beyond kMaxHops are
// left out.
Route block_route(Prefix4 block, NextHops hops, Ipv4 source = {}, std::uint32_t mtu = 0);
// blackhole <block> proto 80
Route blackhole_route(Prefix4 block);
// 169.254.1.1/32 dev <anchor> scope link proto 80: makes proxy ARP answer for the pods' gateway
// where no default route does (README, "The gateway of a pod").
Route gateway_route(IfIndex anchor);
inline constexpr Ipv4 kPodGateway{0xa9fe0101};

// Where the route leads that an RTM_NEWROUTE or RTM_DELROUTE is about, whatever its table; nullopt for
// any other message or family.
std::optional<Prefix4> route_destination(const nlmsghdr* message);
// A route of the main table; nullopt for any other message or table.
std::optional<Route> parse_route(const nlmsghdr* message);

// Adds or removes. `exclusive` fails with EEXIST where any route has this key already; otherwise
// a present one is replaced.
Message add_message(const Route& route, bool exclusive);
Message remove_message(const Route& route);

// The routes of the main table; on_begin() before the first, and again when a change interrupted it.
Status list_routes(NetlinkSocket& socket, const std::function<void()>& on_begin,
                   const std::function<void(const Route&)>& on_route);

} // namespace margay::kernel

template <>
struct std::hash<margay::kernel::RouteKey> {
    std::size_t operator()(const margay::kernel::RouteKey& key) const noexcept
    {
        return std::hash<margay::Prefix4>()(key.destination) ^ (key.metric * 0x9e3779b97f4a7c15u);
    }
};
