// SPDX-License-Identifier: Apache-2.0
// Neighbour entries. The static one of a pod: host and stack reach it without asking, also a pod that
// does not answer ARP (calico-facts 5.3).

#pragma once

#include "agent/kernel/links.h"

#include <functional>
#include <string>

struct ndmsg;

namespace margay::kernel {

// Begins a message about one neighbour; the caller completes the header.
template <typename A>
ndmsg& put_neighbour(Message& message, IfIndex ifindex, A address);

// Has the kernel resolve the entry and keep it so (NTF_MANAGED, Linux 5.16).
template <typename A>
Status manage_neighbour(NetlinkSocket& socket, IfIndex ifindex, A address);
// Replaces whatever entry is there.
Status set_static_neighbour(NetlinkSocket& socket, IfIndex ifindex, Ipv4 address, const Mac& mac);
// An absent one is not an error: it leaves with its interface.
Status remove_neighbour(NetlinkSocket& socket, IfIndex ifindex, Ipv4 address);
// --cleanup: what carries our NDA_PROTOCOL, but for permanent entries of other than workloads'
// interfaces, which somebody else has taken over.
Status remove_own_neighbours(NetlinkSocket& socket,
                             const std::function<bool(const std::string&)>& is_workload);

} // namespace margay::kernel
