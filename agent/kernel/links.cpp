// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/links.h"

#include "agent/kernel/attributes.h"

#include <boost/asio/post.hpp>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>

#include <algorithm>
#include <cstring>

namespace margay::kernel {
namespace {

constexpr std::chrono::seconds kResyncRetry{1};

} // namespace

bool Link::up() const
{
    return flags & IFF_UP;
}

bool Link::running() const
{
    return (flags & IFF_UP) && (flags & IFF_RUNNING);
}

bool Link::loopback() const
{
    return flags & IFF_LOOPBACK;
}

bool Link::needs_arp() const
{
    return !(flags & (IFF_NOARP | IFF_LOOPBACK | IFF_POINTOPOINT));
}

// --- Messages -----------------------------------------------------------------------------------

std::optional<Link> parse_link(const nlmsghdr* message)
{
    if (message->nlmsg_type != RTM_NEWLINK && message->nlmsg_type != RTM_DELLINK)
        return std::nullopt;
    const auto* info = fixed_header<ifinfomsg>(message);
    // A bridge port's own messages (AF_BRIDGE) tell of the port's end, not of the interface's.
    if (!info || info->ifi_family != AF_UNSPEC || info->ifi_index <= 0)
        return std::nullopt;
    const Attributes attributes(message, sizeof(*info));
    Link link;
    link.ifindex = static_cast<IfIndex>(info->ifi_index);
    link.flags = info->ifi_flags;
    link.name = attributes.text(IFLA_IFNAME);
    link.alias = attributes.text(IFLA_IFALIAS);
    link.mtu = attributes.u32(IFLA_MTU).value_or(0);
    link.mac = attributes.get<Mac>(IFLA_ADDRESS).value_or(Mac{});
    link.master = attributes.u32(IFLA_MASTER).value_or(0);
    link.peer = attributes.u32(IFLA_LINK).value_or(0);
    link.peer_netnsid = attributes.get<std::int32_t>(IFLA_LINK_NETNSID);
    if (const nlattr* info_attribute = attributes.find(IFLA_LINKINFO))
        link.kind = Attributes(info_attribute).text(IFLA_INFO_KIND);
    return link;
}

std::optional<Address> parse_address(const nlmsghdr* message)
{
    if (message->nlmsg_type != RTM_NEWADDR && message->nlmsg_type != RTM_DELADDR)
        return std::nullopt;
    const auto* info = fixed_header<ifaddrmsg>(message);
    if (!info || info->ifa_family != AF_INET || info->ifa_prefixlen > 32)
        return std::nullopt;
    const Attributes attributes(message, sizeof(*info));
    // With a peer address (point to point), IFA_ADDRESS is the peer's and IFA_LOCAL ours.
    auto local = attributes.ipv4(IFA_LOCAL);
    if (!local)
        local = attributes.ipv4(IFA_ADDRESS);
    if (!local)
        return std::nullopt;
    Address address;
    address.ifindex = info->ifa_index;
    address.prefix = Prefix4{*local, info->ifa_prefixlen};
    address.scope = info->ifa_scope;
    address.secondary = info->ifa_flags & IFA_F_SECONDARY;
    address.protocol = attributes.get<std::uint8_t>(IFA_PROTO).value_or(0);
    return address;
}

std::optional<IfIndex> address_interface(const nlmsghdr* message)
{
    if (message->nlmsg_type != RTM_NEWADDR && message->nlmsg_type != RTM_DELADDR)
        return std::nullopt;
    const auto* info = fixed_header<ifaddrmsg>(message);
    return info ? std::optional(info->ifa_index) : std::nullopt;
}

// --- LinkTable ----------------------------------------------------------------------------------

LinkTable::Before& LinkTable::remember(IfIndex ifindex)
{
    const auto [entry, fresh] = before_.try_emplace(ifindex);
    if (fresh) {
        if (const Link* link = find(ifindex))
            entry->second.link = *link;
        entry->second.addresses = addresses(ifindex);
    }
    return entry->second;
}

void LinkTable::set(const Link& link)
{
    remember(link.ifindex);
    links_[link.ifindex] = link;
}

void LinkTable::remove(IfIndex ifindex)
{
    remember(ifindex).replaced = true;
    links_.erase(ifindex);
    addresses_.erase(ifindex);
}

void LinkTable::set(const Address& address)
{
    remember(address.ifindex);
    std::vector<Address>& all = addresses_[address.ifindex];
    const auto same = std::find_if(all.begin(), all.end(), [&](const Address& known) {
        return known.prefix == address.prefix;
    });
    if (same != all.end())
        *same = address;
    else
        all.push_back(address);
}

void LinkTable::remove(const Address& address)
{
    remember(address.ifindex);
    const auto all = addresses_.find(address.ifindex);
    if (all == addresses_.end())
        return;
    std::erase_if(all->second,
                  [&](const Address& known) { return known.prefix == address.prefix; });
    if (all->second.empty())
        addresses_.erase(all);
}

void LinkTable::replace(const std::vector<Link>& links, const std::vector<Address>& addresses)
{
    for (const auto& [ifindex, link] : links_)
        remember(ifindex);
    for (const Link& link : links)
        remember(link.ifindex);
    links_.clear();
    addresses_.clear();
    for (const Link& link : links)
        links_.emplace(link.ifindex, link);
    for (const Address& address : addresses)
        if (links_.contains(address.ifindex))
            addresses_[address.ifindex].push_back(address);
}

std::vector<LinkChange> LinkTable::take_changes()
{
    using What = LinkChange::What;
    std::vector<LinkChange> vanished;
    std::vector<LinkChange> rest;
    for (auto& [ifindex, before] : before_) {
        const Link* now = find(ifindex);
        const bool replaced = before.replaced && now && before.link;
        if (before.link && (!now || replaced))
            vanished.push_back({What::Vanished, *before.link, std::nullopt});
        if (now && (!before.link || replaced))
            rest.push_back({What::Appeared, *now, std::nullopt});
        else if (now && *now != *before.link)
            rest.push_back({What::Changed, *now, before.link});
        else if (now && addresses(ifindex) != before.addresses)
            rest.push_back({What::AddressesChanged, *now, std::nullopt});
    }
    before_.clear();
    std::move(rest.begin(), rest.end(), std::back_inserter(vanished));
    return vanished;
}

const Link* LinkTable::find(IfIndex ifindex) const
{
    const auto link = links_.find(ifindex);
    return link == links_.end() ? nullptr : &link->second;
}

const Link* LinkTable::find(std::string_view name) const
{
    for (const auto& [ifindex, link] : links_)
        if (link.name == name)
            return &link;
    return nullptr;
}

const std::vector<Address>& LinkTable::addresses(IfIndex ifindex) const
{
    static const std::vector<Address> none;
    const auto all = addresses_.find(ifindex);
    return all == addresses_.end() ? none : all->second;
}

const Link* LinkTable::owner(Ipv4 address) const
{
    for (const auto& [ifindex, all] : addresses_)
        for (const Address& candidate : all)
            if (candidate.prefix.addr == address)
                return find(ifindex);
    return nullptr;
}

// --- Reading ------------------------------------------------------------------------------------

namespace {

Result<std::vector<Link>> dump_links(NetlinkSocket& socket)
{
    std::vector<Link> links;
    Message message(RTM_GETLINK, 0);
    message.extra<ifinfomsg>().ifi_family = AF_UNSPEC;
    const Status status = socket.dump(
        message, "list interfaces",
        [&](const nlmsghdr* answer) {
            if (auto link = parse_link(answer))
                links.push_back(std::move(*link));
        },
        [&] { links.clear(); });
    if (!status)
        return status.error();
    return links;
}

Result<std::vector<Address>> dump_addresses(NetlinkSocket& socket)
{
    std::vector<Address> addresses;
    Message message(RTM_GETADDR, 0);
    message.extra<ifaddrmsg>().ifa_family = AF_INET;
    const Status status = socket.dump(
        message, "list addresses",
        [&](const nlmsghdr* answer) {
            if (const auto address = parse_address(answer))
                addresses.push_back(*address);
        },
        [&] { addresses.clear(); });
    if (!status)
        return status.error();
    return addresses;
}

Status read_into(NetlinkSocket& socket, LinkTable& table)
{
    const auto links = dump_links(socket);
    if (!links)
        return links.error();
    const auto addresses = dump_addresses(socket);
    if (!addresses)
        return addresses.error();
    table.replace(*links, *addresses);
    return {};
}

} // namespace

Result<LinkTable> read_links(NetlinkSocket& socket)
{
    LinkTable table;
    if (Status status = read_into(socket, table); !status)
        return status.error();
    (void)table.take_changes(); // nobody saw an earlier state
    return table;
}

// --- LinkMonitor --------------------------------------------------------------------------------

LinkMonitor::LinkMonitor(Executor& executor, OnChange on_change)
    : executor_(executor), on_change_(std::move(on_change)), retry_(executor)
{
}

LinkMonitor::~LinkMonitor()
{
    *alive_ = false;
}

Status LinkMonitor::start()
{
    auto socket = NetlinkSocket::open();
    if (!socket)
        return socket.error();
    socket_ = std::move(*socket);
    NetlinkMonitor::Callbacks callbacks{
        [this](const nlmsghdr* message) { on_message(message); },
        [this] { deliver(); },
        [this] {
            if (!resync())
                retry_.start(kResyncRetry, [this] { on_retry(); });
        },
    };
    auto monitor =
        NetlinkMonitor::open(executor_, NETLINK_ROUTE, {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR},
                             std::move(callbacks), receive_buffer_);
    if (!monitor)
        return monitor.error();
    monitor_ = std::move(*monitor);
    if (Status status = resync(); !status)
        return status;
    boost::asio::post(executor_, [this, alive = alive_] {
        if (*alive)
            deliver();
    });
    return {};
}

Status LinkMonitor::resync()
{
    return read_into(*socket_, table_);
}

void LinkMonitor::on_retry()
{
    if (!resync()) {
        retry_.start(kResyncRetry, [this] { on_retry(); });
        return;
    }
    deliver();
}

void LinkMonitor::on_message(const nlmsghdr* message)
{
    if (const auto link = parse_link(message)) {
        if (message->nlmsg_type == RTM_NEWLINK)
            table_.set(*link);
        else
            table_.remove(link->ifindex);
    } else if (const auto address = parse_address(message)) {
        if (message->nlmsg_type == RTM_NEWADDR)
            table_.set(*address);
        else
            table_.remove(*address);
    }
}

void LinkMonitor::deliver()
{
    const std::vector<LinkChange> changes = table_.take_changes();
    if (!changes.empty() && on_change_)
        on_change_(changes);
}

} // namespace margay::kernel
