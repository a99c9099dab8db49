// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/tunnel_device.h"

#include "agent/kernel/addresses.h"
#include "agent/kernel/route.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>

namespace margay::kernel {
namespace {

constexpr const char* kAlias = "margay tunnel address";
constexpr std::uint8_t kAddrGenNone = 1; // IN6_ADDR_GEN_MODE_NONE

Result<std::optional<Link>> find_link(NetlinkSocket& socket, const std::string& name)
{
    Message message(RTM_GETLINK, 0);
    message.extra<ifinfomsg>().ifi_family = AF_UNSPEC;
    message.put(IFLA_IFNAME, name);
    std::optional<Link> found;
    const Status status = socket.query(message, "read interface " + name,
                                       [&](const nlmsghdr* m) { found = parse_link(m); });
    if (!status && status.error().code != Errc::NotFound)
        return status.error();
    return found;
}

Status create(NetlinkSocket& socket, const std::string& name, const char* kind)
{
    Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    message.extra<ifinfomsg>().ifi_family = AF_UNSPEC;
    message.put(IFLA_IFNAME, name);
    nlattr* info = message.begin(IFLA_LINKINFO);
    message.put(IFLA_INFO_KIND, std::string_view(kind));
    message.end(info);
    return socket.request(message, "create interface " + name + " kind " + kind);
}

Status set_alias(NetlinkSocket& socket, const Link& link, const std::string& alias)
{
    Message message(RTM_NEWLINK, 0);
    message.extra<ifinfomsg>().ifi_index = static_cast<int>(link.ifindex);
    message.put_bytes(IFLA_IFALIAS, alias.data(), alias.size());
    return socket.request(message, "set the alias of " + link.name);
}

// The stand-in needs no IPv6 of its own. Best effort: the kernel may have no IPv6.
void switch_off_ipv6_addresses(NetlinkSocket& socket, const Link& link)
{
    Message message(RTM_NEWLINK, 0);
    message.extra<ifinfomsg>().ifi_index = static_cast<int>(link.ifindex);
    nlattr* families = message.begin(IFLA_AF_SPEC);
    nlattr* inet6 = message.begin(AF_INET6);
    message.put_u8(IFLA_INET6_ADDR_GEN_MODE, kAddrGenNone);
    message.end(inet6);
    message.end(families);
    (void)socket.request(message, "switch off IPv6 addresses of " + link.name);
}

// Asking for an ipip device loads the module where there is one, which may bring the device about
// by itself; so what counts is not the answer but what is there afterwards.
Result<Link> make_link(NetlinkSocket& socket, const std::string& name)
{
    (void)create(socket, name, "ipip");
    auto found = find_link(socket, name);
    if (!found)
        return found.error();
    if (!*found) {
        if (Status status = create(socket, name, "bridge"); !status)
            return status.error();
        found = find_link(socket, name);
        if (!found)
            return found.error();
        if (!*found)
            return Error{Errc::Internal, 0, "interface " + name + " vanished after its creation"};
        switch_off_ipv6_addresses(socket, **found);
    }
    if (Status status = set_alias(socket, **found, kAlias); !status)
        return status.error();
    (*found)->alias = kAlias;
    return **found;
}

Status set_mtu_and_flags(NetlinkSocket& socket, const Link& link, std::uint32_t mtu, bool up)
{
    Message message(RTM_NEWLINK, 0);
    auto& header = message.extra<ifinfomsg>();
    header.ifi_index = static_cast<int>(link.ifindex);
    header.ifi_flags = up ? IFF_UP : 0;
    header.ifi_change = IFF_UP;
    if (mtu)
        message.put(IFLA_MTU, mtu);
    return socket.request(message, "set up interface " + link.name + " mtu " + std::to_string(mtu));
}

// Adds before it removes: the host is never without a tunnel address while both are known.
Status set_addresses(NetlinkSocket& socket, TunnelDevice& device,
                     const std::vector<Address>& present, std::optional<Ipv4> wanted)
{
    const auto is_wanted = [&](const Address& a) {
        return wanted && a.prefix == Prefix4::host(*wanted);
    };
    if (wanted && std::none_of(present.begin(), present.end(), is_wanted)) {
        if (Status status = add_address(socket, device.link, Prefix4::host(*wanted)); !status)
            return status;
        device.changed = true;
    }
    for (const Address& address : present) {
        if (is_wanted(address))
            continue;
        if (!device.ours && address.protocol != kProtocolMargay) {
            device.foreign_addresses.push_back(address.prefix);
            continue;
        }
        if (Status status = remove_address(socket, device.link, address.prefix); !status)
            return status;
        device.changed = true;
    }
    return {};
}

Result<std::vector<Address>> addresses_of(NetlinkSocket& socket, const Link& link)
{
    const auto table = read_links(socket);
    if (!table)
        return table.error();
    return table->addresses(link.ifindex);
}

bool may_become_ours(const Link& link, const std::vector<Address>& present,
                     std::optional<Ipv4> wanted)
{
    return link.kind == "ipip" &&
           std::all_of(present.begin(), present.end(), [&](const Address& address) {
               return wanted && address.prefix == Prefix4::host(*wanted);
           });
}

} // namespace

Result<TunnelDevice> ensure_tunnel_device(NetlinkSocket& socket, const TunnelSpec& spec)
{
    TunnelDevice device;
    auto found = find_link(socket, spec.name);
    if (!found)
        return found.error();
    if (*found) {
        device.link = **found;
    } else {
        auto made = make_link(socket, spec.name);
        if (!made)
            return made.error();
        device.link = *made;
        device.changed = true;
    }
    const auto present = addresses_of(socket, device.link);
    if (!present)
        return present.error();

    device.ours = device.link.alias == kAlias;
    if (!device.ours && may_become_ours(device.link, *present, spec.address)) {
        if (Status status = set_alias(socket, device.link, kAlias); !status)
            return status.error();
        device.ours = device.changed = true;
    }
    const bool other_mtu = device.ours && device.link.mtu != spec.mtu;
    if (other_mtu || !device.link.up()) {
        const std::uint32_t mtu = other_mtu ? spec.mtu : 0;
        if (Status status = set_mtu_and_flags(socket, device.link, mtu, true); !status)
            return status.error();
        device.changed = true;
    }
    if (Status status = set_addresses(socket, device, *present, spec.address); !status)
        return status.error();

    found = find_link(socket, spec.name);
    if (found && *found)
        device.link = **found;
    return device;
}

Status remove_tunnel_device(NetlinkSocket& socket, const std::string& name)
{
    const auto found = find_link(socket, name);
    if (!found)
        return found.error();
    if (!*found)
        return {};
    const Link& link = **found;
    const bool ours = link.alias == kAlias;
    if (ours && link.kind != "ipip") {
        Message message(RTM_DELLINK, 0);
        message.extra<ifinfomsg>().ifi_index = static_cast<int>(link.ifindex);
        return socket.request(message, "remove interface " + name);
    }
    const auto present = addresses_of(socket, link);
    if (!present)
        return present.error();
    for (const Address& known : *present) {
        if (!ours && known.protocol != kProtocolMargay)
            continue;
        if (Status status = remove_address(socket, link, known.prefix); !status)
            return status;
    }
    if (!ours)
        return {};
    if (Status status = set_mtu_and_flags(socket, link, 0, false); !status)
        return status;
    return set_alias(socket, link, "");
}

} // namespace margay::kernel
