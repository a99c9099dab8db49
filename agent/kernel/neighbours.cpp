// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/neighbours.h"

#include "agent/kernel/attributes.h"
#include "agent/kernel/route.h"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include <utility>
#include <vector>

namespace margay::kernel {
namespace {

template <typename A>
std::string neighbour_name(IfIndex ifindex, A address)
{
    return "neighbour " + address.str() + " dev #" + std::to_string(ifindex);
}

} // namespace

template <typename A>
ndmsg& put_neighbour(Message& message, IfIndex ifindex, A address)
{
    auto& header = message.extra<ndmsg>();
    header.ndm_family = kFamily<A>;
    header.ndm_ifindex = static_cast<int>(ifindex);
    message.put(NDA_DST, address);
    return header;
}

template <typename A>
Status manage_neighbour(NetlinkSocket& socket, IfIndex ifindex, A address)
{
    Message message(RTM_NEWNEIGH, NLM_F_CREATE);
    put_neighbour(message, ifindex, address);
    message.put_u8(NDA_PROTOCOL, kProtocolMargay);
    message.put(NDA_FLAGS_EXT, std::uint32_t{NTF_EXT_MANAGED});
    return socket.request(message, "resolve " + neighbour_name(ifindex, address));
}

Status set_static_neighbour(NetlinkSocket& socket, IfIndex ifindex, Ipv4 address, const Mac& mac)
{
    Message message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
    put_neighbour(message, ifindex, address).ndm_state = NUD_PERMANENT;
    message.put_bytes(NDA_LLADDR, mac.data(), mac.size());
    message.put_u8(NDA_PROTOCOL, kProtocolMargay);
    return socket.request(message, "set " + neighbour_name(ifindex, address));
}

Status remove_neighbour(NetlinkSocket& socket, IfIndex ifindex, Ipv4 address)
{
    Message message(RTM_DELNEIGH, 0);
    put_neighbour(message, ifindex, address);
    Status status = socket.request(message, "remove " + neighbour_name(ifindex, address));
    return !status && status.error().code == Errc::NotFound ? Status{} : status;
}

Status remove_own_neighbours(NetlinkSocket& socket,
                             const std::function<bool(const std::string&)>& is_workload)
{
    const auto links = read_links(socket);
    if (!links)
        return links.error();
    std::vector<std::pair<IfIndex, Ipv4>> ours;
    Message message(RTM_GETNEIGH, 0);
    message.extra<ndmsg>().ndm_family = AF_INET;
    Status status = socket.dump(
        message, "list neighbours",
        [&](const nlmsghdr* answer) {
            const auto* header = fixed_header<ndmsg>(answer);
            if (!header || header->ndm_family != AF_INET)
                return;
            const Attributes attributes(answer, sizeof(*header));
            const auto address = attributes.ipv4(NDA_DST);
            const Link* link = links->find(static_cast<IfIndex>(header->ndm_ifindex));
            if (address && link && attributes.get<std::uint8_t>(NDA_PROTOCOL) == kProtocolMargay &&
                (!(header->ndm_state & NUD_PERMANENT) || is_workload(link->name)))
                ours.emplace_back(link->ifindex, *address);
        },
        [&] { ours.clear(); });
    for (const auto& [ifindex, address] : ours)
        if (status)
            status = remove_neighbour(socket, ifindex, address);
    return status;
}

template ndmsg& put_neighbour(Message&, IfIndex, Ipv4);
template ndmsg& put_neighbour(Message&, IfIndex, Ipv6);
template Status manage_neighbour(NetlinkSocket&, IfIndex, Ipv4);
template Status manage_neighbour(NetlinkSocket&, IfIndex, Ipv6);

} // namespace margay::kernel
