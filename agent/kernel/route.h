// SPDX-License-Identifier: Apache-2.0
// Route: a route of the main table as a value, and the shapes that Margay programs. RouteOf<Prefix4> and
// RouteOf<Prefix6>; Route and Route6 for short, and so with all that is made of them.

#pragma once

#include "agent/kernel/links.h"
#include "margay/ip.h"

#include <boost/container/small_vector.hpp>

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>

namespace margay::kernel {

inline constexpr std::uint8_t kProtocolMargay = 80; // as Calico's agent
inline constexpr std::uint8_t kProtocolWorkload = 3; // RTPROT_BOOT, as Calico's workload routes
inline constexpr std::uint32_t kMetricWorkload = 1024;
inline constexpr std::size_t kMaxHops = 32;

template <typename A>
struct NextHopOf {
    IfIndex ifindex = 0;
    A gateway; // zero: on link
    std::uint8_t weight = 1;
    auto operator<=>(const NextHopOf&) const = default;
};
using NextHop = NextHopOf<Ipv4>;
using NextHop6 = NextHopOf<Ipv6>;

template <typename A>
using NextHopsOf = boost::container::small_vector<NextHopOf<A>, 1>; // nearly always one
using NextHops = NextHopsOf<Ipv4>;
using NextHops6 = NextHopsOf<Ipv6>;

// What the kernel takes for no metric at all; in IPv6 it is 1024.
template <typename P>
inline constexpr std::uint32_t kNoMetric = std::is_same_v<P, Prefix4> ? 0 : 1024;

// Identity of a route in the kernel: two routes with one key cannot both be in force.
template <typename P>
struct RouteKeyOf {
    P destination;
    std::uint32_t metric = kNoMetric<P>;
    auto operator<=>(const RouteKeyOf&) const = default;
};
using RouteKey = RouteKeyOf<Prefix4>;
using RouteKey6 = RouteKeyOf<Prefix6>;

template <typename P>
struct RouteOf {
    using Address = typename P::Address;
    enum class Kind : std::uint8_t { Unicast, Blackhole, Other };

    P destination;
    std::uint32_t metric = kNoMetric<P>;
    Kind kind = Kind::Unicast;
    std::uint8_t protocol = kProtocolMargay;
    std::uint8_t scope = 0; // RT_SCOPE_*; IPv6 has none
    NextHopsOf<Address> hops; // sorted; more than one: multipath
    Address source; // preferred source, zero: none
    std::uint32_t mtu = 0; // bytes, 0: the device's

    RouteKeyOf<P> key() const { return {destination, metric}; }
    std::string str() const; // as `ip route` writes it, with ifindexes for names
    bool operator==(const RouteOf&) const = default;
};
using Route = RouteOf<Prefix4>;
using Route6 = RouteOf<Prefix6>;

// <ip>/32 dev <workload> scope link proto 3 metric <metric>
Route workload_route(Ipv4 address, IfIndex workload, std::uint32_t metric = kMetricWorkload);
// <block> via <hops> [src <tunnel address>] [mtu <tunnel mtu>] proto 80. Hops beyond kMaxHops are
// left out.
template <typename A = Ipv4>
RouteOf<Prefix<A>> block_route(Prefix<A> block, NextHopsOf<A> hops, A source = {},
                               std::uint32_t mtu = 0);
// blackhole <block> proto 80
Route blackhole_route(Prefix4 block);
// 169.254.1.1/32 dev <anchor> scope link proto 80: makes proxy ARP answer for the pods' gateway
// where no default route does (README, "The gateway of a pod").
Route gateway_route(IfIndex anchor);
inline constexpr Ipv4 kPodGateway{0xa9fe0101};

// Where the route leads that an RTM_NEWROUTE or RTM_DELROUTE is about, whatever its table; nullopt for
// any other message or family.
template <typename P>
std::optional<P> route_destination(const nlmsghdr* message);
// A route of the main table; nullopt for any other message, family or table.
template <typename P>
std::optional<RouteOf<P>> parse_route(const nlmsghdr* message);

// Adds or removes. `exclusive` fails with EEXIST where any route has this key already; otherwise
// a present one is replaced.
template <typename P>
Message add_message(const RouteOf<P>& route, bool exclusive);
template <typename P>
Message remove_message(const RouteOf<P>& route);

// The routes of the main table; on_begin() before the first, and again when a change interrupted it.
template <typename P>
Status list_routes(NetlinkSocket& socket, const std::function<void()>& on_begin,
                   const std::function<void(const RouteOf<P>&)>& on_route);

} // namespace margay::kernel

template <typename P>
struct std::hash<margay::kernel::RouteKeyOf<P>> {
    std::size_t operator()(const margay::kernel::RouteKeyOf<P>& key) const noexcept
    {
        return std::hash<P>()(key.destination) ^ (key.metric * 0x9e3779b97f4a7c15u);
    }
};
