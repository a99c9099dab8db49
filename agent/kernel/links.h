// SPDX-License-Identifier: Apache-2.0
// Links: the interfaces and IPv4 addresses of a network namespace, kept current by events.
//
// LinkTable is the value, a pure function of the events applied to it; LinkMonitor feeds it from
// netlink. An interface is identified by its ifindex: one that was deleted and made again under
// the same name, or even the same ifindex, vanishes and then appears, because programs and
// settings of the old one are gone with it.

#pragma once

#include "agent/kernel/netlink.h"
#include "margay/ip.h"
#include "margay/result.h"

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace margay::kernel {

using IfIndex = std::uint32_t; // 0: none
using Mac = std::array<std::uint8_t, 6>;

struct Link {
    IfIndex ifindex = 0;
    std::string name;
    std::uint32_t flags = 0; // IFF_*
    std::uint32_t mtu = 0;   // bytes
    Mac mac{};               // zero where the device has none of six bytes
    IfIndex master = 0;      // bond, bridge or VRF above
    std::string kind;        // "veth", "bridge", ...; empty for hardware
    IfIndex peer = 0;        // IFLA_LINK: veth peer or parent device, 0: none
    std::optional<std::int32_t> peer_netnsid; // set when `peer` is in another namespace
    std::string alias;

    bool up() const;      // administratively
    bool running() const; // carrier too
    bool loopback() const;
    bool needs_arp() const;

    bool operator==(const Link&) const = default;
};

struct Address {
    IfIndex ifindex = 0;
    Prefix4 prefix;         // the local address with its length
    std::uint8_t scope = 0; // RT_SCOPE_*
    bool secondary = false;
    std::uint8_t protocol = 0; // IFA_PROTO: who added it; 0: nobody says

    bool operator==(const Address&) const = default;
};

struct LinkChange {
    enum class What { Vanished, Appeared, Changed, AddressesChanged };
    What what;
    Link link;                  // as it is now; for Vanished as it was
    std::optional<Link> before; // Changed only
};

class LinkTable {
public:
    // Events, in the kernel's order.
    void set(const Link& link);
    void remove(IfIndex ifindex);
    void set(const Address& address);
    void remove(const Address& address);
    // A complete dump: what it lacks has vanished.
    void replace(const std::vector<Link>& links, const std::vector<Address>& addresses);

    // The changes since the last call, one for each interface (two when it was replaced), every
    // Vanished before any Appeared. An interface that came and went in between is not mentioned.
    std::vector<LinkChange> take_changes();

    const Link* find(IfIndex ifindex) const;
    const Link* find(std::string_view name) const;
    const std::map<IfIndex, Link>& links() const { return links_; }
    // In the kernel's order, primary addresses first.
    const std::vector<Address>& addresses(IfIndex ifindex) const;
    // The interface that carries `address`.
    const Link* owner(Ipv4 address) const;

private:
    struct Before {
        std::optional<Link> link;
        std::vector<Address> addresses;
        bool replaced = false; // was deleted since
    };
    Before& remember(IfIndex ifindex);

    std::map<IfIndex, Link> links_;
    std::map<IfIndex, std::vector<Address>> addresses_;
    std::map<IfIndex, Before> before_; // the touched ones, as they were at the last take_changes()
};

class LinkMonitor {
public:
    using OnChange = std::function<void(const std::vector<LinkChange>&)>;

    LinkMonitor(Executor& executor, OnChange on_change);
    ~LinkMonitor();
    LinkMonitor(const LinkMonitor&) = delete;
    LinkMonitor& operator=(const LinkMonitor&) = delete;

    // Bytes the kernel may queue for us, before start(); 0: a generous default.
    void set_receive_buffer(int bytes) { receive_buffer_ = bytes; }

    // Subscribes and reads the present state; table() is complete when it returns. The interfaces
    // found are reported by one call of on_change in the next turn.
    Status start();
    const LinkTable& table() const { return table_; }

    // Full dump and diff; what ENOBUFS causes by itself.
    Status resync();

private:
    void on_message(const nlmsghdr* message);
    void on_retry();
    void deliver();

    Executor& executor_;
    OnChange on_change_;
    int receive_buffer_ = 0;
    LinkTable table_;
    std::optional<NetlinkSocket> socket_;
    std::unique_ptr<NetlinkMonitor> monitor_;
    Timer retry_; // a resync that failed
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// The present state at once, for tools and start-up.
Result<LinkTable> read_links(NetlinkSocket& socket);

// nullopt: the message is about something else.
std::optional<Link> parse_link(const nlmsghdr* message);
std::optional<Address> parse_address(const nlmsghdr* message);
// The interface whose addresses an RTM_NEWADDR or RTM_DELADDR is about, of either family.
std::optional<IfIndex> address_interface(const nlmsghdr* message);

} // namespace margay::kernel
