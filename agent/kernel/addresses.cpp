// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/addresses.h"

#include "agent/kernel/route.h"

#include <linux/rtnetlink.h>

namespace margay::kernel {
namespace {

ifaddrmsg& put_address(Message& message, const Link& link, const Prefix4& prefix)
{
    auto& header = message.extra<ifaddrmsg>();
    header.ifa_family = AF_INET;
    header.ifa_prefixlen = prefix.length;
    header.ifa_index = link.ifindex;
    message.put(IFA_LOCAL, prefix.addr);
    return header;
}

std::string address_name(const Link& link, const Prefix4& prefix)
{
    return " address " + prefix.str() + " dev " + link.name;
}

} // namespace

Status add_address(NetlinkSocket& socket, const Link& link, const Prefix4& prefix, Scope scope)
{
    Message message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
    put_address(message, link, prefix).ifa_scope =
        scope == Scope::Link ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    message.put(IFA_ADDRESS, prefix.addr);
    message.put_u8(IFA_PROTO, kProtocolMargay);
    return socket.request(message, "add" + address_name(link, prefix));
}

Status remove_address(NetlinkSocket& socket, const Link& link, const Prefix4& prefix)
{
    Message message(RTM_DELADDR, 0);
    put_address(message, link, prefix);
    return socket.request(message, "remove" + address_name(link, prefix));
}

Status remove_own_addresses(NetlinkSocket& socket, const std::function<bool(const Link&)>& of)
{
    const auto links = read_links(socket);
    if (!links)
        return links.error();
    Status status;
    for (const auto& [index, link] : links->links())
        for (const Address& address : links->addresses(index))
            if (status && address.protocol == kProtocolMargay && of(link))
                status = remove_address(socket, link, address.prefix);
    return status;
}

} // namespace margay::kernel
