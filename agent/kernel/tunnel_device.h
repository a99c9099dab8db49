// SPDX-License-Identifier: Apache-2.0
// The device "tunl0": it carries this node's tunnel address, and no packet.
//
// Encapsulation is done by the BPF programs; the device exists because the address must be local
// to the host and users of Calico look for it there, and because the pods' gateway route needs an
// interface that is none of theirs (README, "The gateway of a pod"). It is the kernel's ipip
// fallback device where the kernel has ipip, else a bridge without ports.
//
// The device is ours when it carries our alias. An ipip device without alias becomes ours when it
// has no address or just the wanted one. On a device that is not ours nothing of others is removed
// or changed: their addresses, which lack our IFA_PROTO, are reported instead.

#pragma once

#include "agent/kernel/links.h"

#include <string>
#include <vector>

namespace margay::kernel {

struct TunnelSpec {
    std::string name = "tunl0";
    std::optional<Ipv4> address; // nullopt: IPIP is off; the device stays, without address
    std::uint32_t mtu = 1480;
};

struct TunnelDevice {
    Link link;
    bool ours = false;
    bool changed = false;                   // something was written
    std::vector<Prefix4> foreign_addresses; // left alone because the device is not ours
};

// Brings the device into the wanted state; writes nothing that is right already.
Result<TunnelDevice> ensure_tunnel_device(NetlinkSocket& socket, const TunnelSpec& spec);

// --cleanup: removes a stand-in of ours; of an ipip device of ours the addresses and the alias; of
// a device of others what carries our IFA_PROTO. No such device is not an error.
Status remove_tunnel_device(NetlinkSocket& socket, const std::string& name);

} // namespace margay::kernel
