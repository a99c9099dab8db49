// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/neighbours.h"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

namespace margay::kernel {
namespace {

std::string neighbour_name(IfIndex ifindex, Ipv4 address)
{
    return "neighbour " + address.str() + " dev #" + std::to_string(ifindex);
}

} // namespace

ndmsg& put_neighbour(Message& message, IfIndex ifindex, Ipv4 address)
{
    auto& header = message.extra<ndmsg>();
    header.ndm_family = AF_INET;
    header.ndm_ifindex = static_cast<int>(ifindex);
    message.put(NDA_DST, address);
    return header;
}

Status set_static_neighbour(NetlinkSocket& socket, IfIndex ifindex, Ipv4 address, const Mac& mac)
{
    Message message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
    put_neighbour(message, ifindex, address).ndm_state = NUD_PERMANENT;
    message.put_bytes(NDA_LLADDR, mac.data(), mac.size());
    return socket.request(message, "set " + neighbour_name(ifindex, address));
}

Status remove_neighbour(NetlinkSocket& socket, IfIndex ifindex, Ipv4 address)
{
    Message message(RTM_DELNEIGH, 0);
    put_neighbour(message, ifindex, address);
    Status status = socket.request(message, "remove " + neighbour_name(ifindex, address));
    return !status && status.error().code == Errc::NotFound ? Status{} : status;
}

} // namespace margay::kernel
