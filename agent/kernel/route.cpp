// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/route.h"

#include "agent/kernel/attributes.h"

#include <linux/rtnetlink.h>

#include <algorithm>
#include <cerrno>

namespace margay::kernel {
namespace {

// struct rtnexthop entries are a list of their own, each with a length and attributes.
template <typename A>
void parse_multipath(const nlattr* attribute, NextHopsOf<A>& hops)
{
    const char* bytes = Attributes::data(attribute);
    std::size_t left = Attributes::size(attribute);
    while (left >= sizeof(rtnexthop)) {
        const auto* hop = reinterpret_cast<const rtnexthop*>(bytes);
        if (hop->rtnh_len < sizeof(rtnexthop) || hop->rtnh_len > left)
            return;
        const Attributes inner(bytes + sizeof(rtnexthop), hop->rtnh_len - sizeof(rtnexthop));
        hops.push_back({static_cast<IfIndex>(hop->rtnh_ifindex),
                        inner.address<A>(RTA_GATEWAY).value_or(A{}),
                        static_cast<std::uint8_t>(hop->rtnh_hops + 1)});
        const std::size_t step = RTNH_ALIGN(hop->rtnh_len);
        if (step >= left)
            return;
        bytes += step;
        left -= step;
    }
}

template <typename Kind>
Kind kind_of(unsigned char type)
{
    switch (type) {
    case RTN_UNICAST:
        return Kind::Unicast;
    case RTN_BLACKHOLE:
        return Kind::Blackhole;
    default:
        return Kind::Other;
    }
}

template <typename Kind>
unsigned char type_of(Kind kind)
{
    switch (kind) {
    case Kind::Unicast:
        return RTN_UNICAST;
    case Kind::Blackhole:
        return RTN_BLACKHOLE;
    case Kind::Other:
        break; // only removed, never added: matches any type
    }
    return RTN_UNSPEC;
}

template <typename A>
std::string hop_text(const NextHopOf<A>& hop)
{
    std::string text;
    if (!hop.gateway.is_zero())
        text += " via " + hop.gateway.str();
    return text + " dev #" + std::to_string(hop.ifindex);
}

template <typename P>
rtmsg& fill_header(Message& message, const RouteOf<P>& route)
{
    rtmsg& header = message.extra<rtmsg>();
    header.rtm_family = kFamily<typename P::Address>;
    header.rtm_dst_len = route.destination.length;
    header.rtm_table = RT_TABLE_MAIN;
    header.rtm_protocol = route.protocol;
    header.rtm_scope = route.scope;
    header.rtm_type = type_of(route.kind);
    return header;
}

template <typename A>
void put_hops(Message& message, const NextHopsOf<A>& hops)
{
    if (hops.size() == 1) {
        message.put(RTA_OIF, hops[0].ifindex);
        if (!hops[0].gateway.is_zero())
            message.put(RTA_GATEWAY, hops[0].gateway);
        return;
    }
    if (hops.empty())
        return;
    nlattr* list = message.begin(RTA_MULTIPATH);
    for (const NextHopOf<A>& hop : hops) {
        auto* entry = static_cast<rtnexthop*>(message.append(sizeof(rtnexthop)));
        const std::uint32_t start = message.header()->nlmsg_len;
        entry->rtnh_ifindex = static_cast<int>(hop.ifindex);
        entry->rtnh_hops = static_cast<unsigned char>(hop.weight - 1);
        if (!hop.gateway.is_zero())
            message.put(RTA_GATEWAY, hop.gateway);
        entry->rtnh_len =
            static_cast<unsigned short>(sizeof(rtnexthop) + (message.header()->nlmsg_len - start));
    }
    message.end(list);
}

} // namespace

template <typename P>
std::string RouteOf<P>::str() const
{
    std::string text = kind == Kind::Blackhole ? "blackhole " : "";
    text += destination.str();
    for (const auto& hop : hops)
        text += (hops.size() > 1 ? " nexthop" : "") + hop_text(hop);
    text += " proto " + std::to_string(protocol);
    if (metric)
        text += " metric " + std::to_string(metric);
    if (!source.is_zero())
        text += " src " + source.str();
    if (mtu)
        text += " mtu " + std::to_string(mtu);
    return text;
}

Route workload_route(Ipv4 address, IfIndex workload, std::uint32_t metric)
{
    Route route;
    route.destination = Prefix4::host(address);
    route.metric = metric;
    route.protocol = kProtocolWorkload;
    route.scope = RT_SCOPE_LINK;
    route.hops = {{workload, Ipv4{}, 1}};
    return route;
}

template <typename A>
RouteOf<Prefix<A>> block_route(Prefix<A> block, NextHopsOf<A> hops, A source, std::uint32_t mtu)
{
    RouteOf<Prefix<A>> route;
    route.destination = block.network();
    route.hops = std::move(hops);
    std::sort(route.hops.begin(), route.hops.end());
    if (route.hops.size() > kMaxHops)
        route.hops.resize(kMaxHops);
    const bool on_link = std::all_of(route.hops.begin(), route.hops.end(),
                                     [](const auto& hop) { return hop.gateway.is_zero(); });
    route.scope = on_link && kFamily<A> == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    route.source = source;
    route.mtu = mtu;
    return route;
}

Route blackhole_route(Prefix4 block)
{
    Route route;
    route.destination = block.network();
    route.kind = Route::Kind::Blackhole;
    return route;
}

Route gateway_route(IfIndex anchor)
{
    return block_route(Prefix4::host(kPodGateway), {{anchor, Ipv4{}, 1}});
}

template <typename P>
std::optional<P> route_destination(const nlmsghdr* message)
{
    using A = typename P::Address;
    if (message->nlmsg_type != RTM_NEWROUTE && message->nlmsg_type != RTM_DELROUTE)
        return std::nullopt;
    const auto* header = fixed_header<rtmsg>(message);
    if (!header || header->rtm_family != kFamily<A> || header->rtm_dst_len > A::kBits)
        return std::nullopt;
    const Attributes attributes(message, sizeof(*header));
    return P{attributes.address<A>(RTA_DST).value_or(A{}), header->rtm_dst_len};
}

template <typename P>
std::optional<RouteOf<P>> parse_route(const nlmsghdr* message)
{
    using A = typename P::Address;
    if (message->nlmsg_type != RTM_NEWROUTE && message->nlmsg_type != RTM_DELROUTE)
        return std::nullopt;
    if (message->nlmsg_len < NLMSG_LENGTH(sizeof(rtmsg)))
        return std::nullopt;
    const auto* header = static_cast<const rtmsg*>(NLMSG_DATA(message));
    const Attributes attributes(message, sizeof(*header));
    if (header->rtm_family != kFamily<A> || header->rtm_dst_len > A::kBits ||
        attributes.u32(RTA_TABLE).value_or(header->rtm_table) != RT_TABLE_MAIN ||
        (header->rtm_flags & RTM_F_CLONED) || header->rtm_tos != 0 || header->rtm_src_len != 0)
        return std::nullopt; // with a TOS or a source it has a key of its own, which we never use

    RouteOf<P> route;
    route.destination = {attributes.address<A>(RTA_DST).value_or(A{}), header->rtm_dst_len};
    route.metric = attributes.u32(RTA_PRIORITY).value_or(0);
    route.kind = kind_of<typename RouteOf<P>::Kind>(header->rtm_type);
    route.protocol = header->rtm_protocol;
    route.scope = header->rtm_scope;
    route.source = attributes.address<A>(RTA_PREFSRC).value_or(A{});
    if (const nlattr* metrics = attributes.find(RTA_METRICS))
        route.mtu = Attributes(metrics).u32(RTAX_MTU).value_or(0);
    if (const nlattr* multipath = attributes.find(RTA_MULTIPATH))
        parse_multipath(multipath, route.hops);
    else if (const auto ifindex = attributes.u32(RTA_OIF))
        route.hops = {{*ifindex, attributes.address<A>(RTA_GATEWAY).value_or(A{}), 1}};
    std::sort(route.hops.begin(), route.hops.end());
    return route;
}

template <typename P>
Message add_message(const RouteOf<P>& route, bool exclusive)
{
    Message message(RTM_NEWROUTE, static_cast<std::uint16_t>(
                                      NLM_F_CREATE | (exclusive ? NLM_F_EXCL : NLM_F_REPLACE)));
    fill_header(message, route);
    message.put(RTA_DST, route.destination.addr);
    if (route.metric)
        message.put(RTA_PRIORITY, route.metric);
    if (!route.source.is_zero())
        message.put(RTA_PREFSRC, route.source);
    if (route.mtu) {
        nlattr* metrics = message.begin(RTA_METRICS);
        message.put(RTAX_MTU, route.mtu);
        message.end(metrics);
    }
    put_hops(message, route.hops);
    return message;
}

// Names everything that tells ours from a foreign route of the same destination and metric: the
// kernel removes the first route that matches what is given.
template <typename P>
Message remove_message(const RouteOf<P>& route)
{
    Message message(RTM_DELROUTE, 0);
    fill_header(message, route);
    message.put(RTA_DST, route.destination.addr);
    if (route.metric)
        message.put(RTA_PRIORITY, route.metric);
    put_hops(message, route.hops);
    return message;
}

template <typename P>
Status list_routes(NetlinkSocket& socket, const std::function<void()>& on_begin,
                   const std::function<void(const RouteOf<P>&)>& on_route)
{
    Message message(RTM_GETROUTE, 0);
    auto& header = message.extra<rtmsg>();
    header.rtm_family = kFamily<typename P::Address>;
    header.rtm_table = RT_TABLE_MAIN;
    on_begin();
    const Status status = socket.dump(
        message, "list routes",
        [&](const nlmsghdr* listed) {
            if (const auto route = parse_route<P>(listed))
                on_route(*route);
        },
        on_begin);
    // A main table that was never written to does not exist.
    return !status && status.error().sys == ENOENT ? Status{} : status;
}

template struct RouteOf<Prefix4>;
template struct RouteOf<Prefix6>;
template Route block_route(Prefix4, NextHops, Ipv4, std::uint32_t);
template Route6 block_route(Prefix6, NextHops6, Ipv6, std::uint32_t);
template std::optional<Prefix4> route_destination(const nlmsghdr*);
template std::optional<Prefix6> route_destination(const nlmsghdr*);
template std::optional<Route> parse_route<Prefix4>(const nlmsghdr*);
template std::optional<Route6> parse_route<Prefix6>(const nlmsghdr*);
template Message add_message(const Route&, bool);
template Message add_message(const Route6&, bool);
template Message remove_message(const Route&);
template Message remove_message(const Route6&);
template Status list_routes<Prefix4>(NetlinkSocket&, const std::function<void()>&,
                                     const std::function<void(const Route&)>&);
template Status list_routes<Prefix6>(NetlinkSocket&, const std::function<void()>&,
                                     const std::function<void(const Route6&)>&);

} // namespace margay::kernel
