// SPDX-License-Identifier: Apache-2.0
// What Margay puts on a host beside routes: tunl0, sysctls, an answer to the pods' gateway, and the
// choice of the node's own address.
#include "agent/kernel/autodetect.h"
#include "agent/kernel/neighbours.h"
#include "agent/kernel/routes.h"
#include "agent/kernel/sysctl.h"
#include "agent/kernel/tunnel_device.h"

#include <gmock/gmock.h>

#include "node.h"
#include "support/addresses.h"

namespace margay::kernel {
namespace {

using margay::testing::Netns;
using ::testing::HasSubstr;
using ::testing::Not;

struct HostTest : margay::testing::NodeTest {
    std::optional<NetlinkSocket> socket;

    void SetUp() override
    {
        NodeTest::SetUp();
        if (IsSkipped())
            return;
        socket = std::move(*NetlinkSocket::open());
    }
    TunnelDevice ensure(std::optional<Ipv4> address, std::uint32_t mtu = 1480)
    {
        auto device = ensure_tunnel_device(*socket, {"tunl0", address, mtu});
        if (!device) {
            ADD_FAILURE() << device.error().what;
            return {};
        }
        return *device;
    }
    // Calico's way of wiring a pod: a /32 and a default route through 169.254.1.1.
    void wire(const Netns& pod, const std::string& workload, const std::string& address)
    {
        margay::testing::add_veth(*node, workload, pod, "eth0");
        pod.must("ip addr add " + address +
                 "/32 dev eth0; ip route add 169.254.1.1 dev eth0;"
                 "ip route add default via 169.254.1.1 dev eth0");
        const auto written = apply_sysctls(workload_sysctls(workload));
        ASSERT_TRUE(written) << written.error().what;
    }
};

TEST_F(HostTest, tunnel_device_carries_the_address_and_is_written_once)
{
    EXPECT_TRUE(ensure(ip("10.0.0.1")).changed);
    EXPECT_THAT(sh("ip -4 addr show dev tunl0"), HasSubstr("inet 10.0.0.1/32 scope global"));
    EXPECT_THAT(sh("ip link show tunl0"), HasSubstr("mtu 1480"));
    EXPECT_TRUE(node->exec("ping -c 1 -W 2 10.0.0.1")) << "the address is local";
    EXPECT_FALSE(ensure(ip("10.0.0.1")).changed);
}

TEST_F(HostTest, changed_tunnel_address_and_mtu_replace_the_old_ones)
{
    ensure(ip("10.0.0.1"));
    const TunnelDevice device = ensure(ip("10.0.0.65"), 1400);
    EXPECT_TRUE(device.ours);
    EXPECT_EQ(device.link.mtu, 1400u);
    EXPECT_THAT(sh("ip -4 addr show dev tunl0"), Not(HasSubstr("10.0.0.1/32")));
    EXPECT_THAT(sh("ip -4 addr show dev tunl0"), HasSubstr("10.0.0.65/32"));
    ensure(std::nullopt);
    EXPECT_EQ(sh("ip -4 addr show dev tunl0"), "") << "IPIP off";
    EXPECT_NE(index("tunl0"), 0u);
}

TEST_F(HostTest, device_of_others_keeps_its_addresses_and_survives_cleanup)
{
    sh("ip link add tunl0 mtu 1300 type bridge; ip addr add 172.31.0.1/24 dev tunl0");
    const TunnelDevice device = ensure(ip("10.0.0.1"));
    EXPECT_FALSE(device.ours);
    ASSERT_EQ(device.foreign_addresses.size(), 1u);
    EXPECT_EQ(device.foreign_addresses[0].str(), "172.31.0.1/24");
    EXPECT_EQ(device.link.mtu, 1300u);
    ensure(ip("10.0.0.65"));
    EXPECT_THAT(sh("ip -4 addr show dev tunl0"), Not(HasSubstr("10.0.0.1/"))) << "ours is replaced";
    ASSERT_TRUE(remove_tunnel_device(*socket, "tunl0"));
    EXPECT_THAT(sh("ip -4 addr show dev tunl0"), HasSubstr("172.31.0.1/24"));
    EXPECT_THAT(sh("ip -4 addr show dev tunl0"), Not(HasSubstr("10.0.0.")));
}

TEST_F(HostTest, cleanup_removes_the_tunnel_device)
{
    ensure(ip("10.0.0.1"));
    ASSERT_TRUE(remove_tunnel_device(*socket, "tunl0"));
    EXPECT_EQ(index("tunl0"), 0u);
    EXPECT_TRUE(remove_tunnel_device(*socket, "tunl0")) << "a second time";
}

TEST_F(HostTest, sysctls_are_written_once_and_only_where_they_differ)
{
    sh("ip link add cali1.2 type veth peer name x"); // a dot in the name
    EXPECT_GT(*apply_sysctls(workload_sysctls("cali1.2")), 0);
    EXPECT_EQ(*apply_sysctls(workload_sysctls("cali1.2")), 0);
    EXPECT_EQ(*read_sysctl("net/ipv4/conf/cali1.2/proxy_arp"), "1");
    EXPECT_EQ(*read_sysctl("net/ipv4/conf/cali1.2/route_localnet"), "1");
    EXPECT_EQ(*read_sysctl("net/ipv4/neigh/cali1.2/proxy_delay"), "0");
    EXPECT_EQ(*read_sysctl("net/ipv6/conf/cali1.2/accept_ra"), "0");
    ASSERT_TRUE(apply_sysctls(global_sysctls()));
    EXPECT_EQ(*read_sysctl("net/ipv4/ip_forward"), "1");
}

TEST_F(HostTest, sysctl_errors_name_the_setting_and_do_not_hinder_the_others)
{
    sh("ip link add cali1 type veth peer name x");
    const auto result = apply_sysctls(
        {{"net/ipv4/conf/nothere/proxy_arp", "1"}, {"net/ipv4/conf/cali1/proxy_arp", "1"}});
    ASSERT_FALSE(result);
    EXPECT_THAT(result.error().what, HasSubstr("net/ipv4/conf/nothere/proxy_arp"));
    EXPECT_EQ(*read_sysctl("net/ipv4/conf/cali1/proxy_arp"), "1");
    EXPECT_TRUE(apply_sysctls({{"net/ipv6/conf/nothere/accept_ra", "0", true}}));
    EXPECT_TRUE(workload_sysctls("../../kernel").empty());
}

TEST_F(HostTest, strict_reverse_path_filter_of_an_uplink_is_seen)
{
    sh("ip link add eth0 type veth peer name x; echo 0 > /proc/sys/net/ipv4/conf/eth0/rp_filter;"
       "echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter");
    EXPECT_TRUE(read_rp_filter("eth0")->usable());
    sh("echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter");
    EXPECT_FALSE(read_rp_filter("eth0")->usable()) << "the larger of both counts";
    sh("echo 2 > /proc/sys/net/ipv4/conf/eth0/rp_filter");
    EXPECT_TRUE(read_rp_filter("eth0")->usable());
    EXPECT_FALSE(read_rp_filter("nothere"));
}

TEST_F(HostTest, pods_reach_each_other_and_the_host_on_a_host_without_default_route)
{
    const Netns pod1("pod1");
    const Netns pod2("pod2");
    ASSERT_TRUE(apply_sysctls(global_sysctls()));
    wire(pod1, "cali1", "10.0.0.5");
    wire(pod2, "cali2", "10.0.0.6");
    RouteTable::Callbacks callbacks;
    callbacks.is_workload = [](const std::string& name) { return name.starts_with("cali"); };
    RouteTable routes(executor, std::move(callbacks));
    const auto flush = [&] {
        routes.flush();
        return run([&] { return routes.pending() == 0; });
    };
    ASSERT_TRUE(routes.start());
    routes.want(workload_route(ip("10.0.0.5"), index("cali1")));
    routes.want(workload_route(ip("10.0.0.6"), index("cali2")));
    ASSERT_TRUE(flush());
    ASSERT_EQ(sh("ip route show default"), "");
    ASSERT_FALSE(pod1.exec("ping -c 1 -W 1 10.0.0.6")) << "nobody answers for 169.254.1.1";

    const TunnelDevice tunnel = ensure(std::nullopt); // IPIP off: the worst case
    routes.want(gateway_route(tunnel.link.ifindex));
    ASSERT_TRUE(flush());
    EXPECT_TRUE(pod1.exec("ping -c 1 -W 5 10.0.0.6"));
    EXPECT_TRUE(pod2.exec("ping -c 1 -W 5 10.0.0.5"));
    EXPECT_THAT(pod1.must("ip neigh show 169.254.1.1"), HasSubstr("lladdr"));

    sh("ip addr add 192.0.2.1/32 dev lo");
    EXPECT_TRUE(pod1.exec("ping -c 1 -W 5 192.0.2.1"));
    EXPECT_FALSE(pod1.exec("ping -c 1 -W 1 169.254.1.1")) << "no address of the host by which a "
                                                             "policy on its addresses is evaded";
}

TEST_F(HostTest, static_neighbour_of_a_pod_is_set_replaced_and_removed)
{
    sh("ip link add cali1 type veth peer name x; ip link set cali1 up");
    ASSERT_TRUE(set_static_neighbour(*socket, index("cali1"), ip("10.0.0.5"), {2, 0, 0, 0, 0, 4}));
    ASSERT_TRUE(set_static_neighbour(*socket, index("cali1"), ip("10.0.0.5"), {2, 0, 0, 0, 0, 5}));
    EXPECT_THAT(sh("ip neigh show dev cali1"),
                HasSubstr("10.0.0.5 lladdr 02:00:00:00:00:05 PERMANENT"));
    ASSERT_TRUE(remove_neighbour(*socket, index("cali1"), ip("10.0.0.5")));
    EXPECT_TRUE(remove_neighbour(*socket, index("cali1"), ip("10.0.0.5"))) << "a second time";
    EXPECT_THAT(sh("ip neigh show dev cali1"), Not(HasSubstr("PERMANENT")));
}

TEST_F(HostTest, cleanup_removes_neighbours_of_ours_alone)
{
    sh("ip link add cali1 type veth peer name x; ip link set cali1 up; "
       "ip link add eth1 type veth peer name y; ip link set eth1 up; ip link set y up; "
       "ip addr add 192.0.2.1/24 dev eth1; "
       "ip neigh add 192.0.2.7 dev eth1 lladdr 02:00:00:00:00:07 nud permanent; "
       "ip neigh add 192.0.2.8 dev eth1 lladdr 02:00:00:00:00:08 nud reachable");
    ASSERT_TRUE(set_static_neighbour(*socket, index("cali1"), ip("10.0.0.5"), {2, 0, 0, 0, 0, 4}));
    ASSERT_TRUE(manage_neighbour(*socket, index("eth1"), ip("192.0.2.9")));
    ASSERT_TRUE(manage_neighbour(*socket, index("eth1"), ip("192.0.2.10")));
    sh("ip neigh replace 192.0.2.10 dev eth1 lladdr 02:00:00:00:00:10 nud permanent"); // a user's
    ASSERT_TRUE(
        remove_own_neighbours(*socket, [](const std::string& name) { return name == "cali1"; }));
    const std::string left = sh("ip -4 neigh show");
    EXPECT_THAT(left, Not(HasSubstr("10.0.0.5")));
    EXPECT_THAT(left, Not(HasSubstr("192.0.2.9 ")));
    EXPECT_THAT(left, HasSubstr("192.0.2.7"));
    EXPECT_THAT(left, HasSubstr("192.0.2.8"));
    EXPECT_THAT(left, HasSubstr("192.0.2.10"));
}

TEST_F(HostTest, address_is_detected_on_the_real_host)
{
    const Netns lan("lan");
    margay::testing::add_veth(*node, "eth0", lan, "eth0");
    margay::testing::add_veth(*node, "eth1", lan, "eth1");
    sh("ip addr add 192.0.2.1/24 dev eth0; ip addr add 198.51.100.1/25 dev eth1;"
       "ip link add docker0 type bridge; ip addr add 172.17.0.1/16 dev docker0;"
       "ip route add 203.0.113.0/24 via 192.0.2.254; ip link set eth0 mtu 1450");
    const auto detect = [](const char* method) {
        const auto found = autodetect(*parse_autodetect_method(method));
        return found ? found->winner->address.str() : found.error().what;
    };
    EXPECT_EQ(detect("first-found"), "198.51.100.1/25");
    EXPECT_EQ(detect("can-reach=203.0.113.9"), "192.0.2.1/24");
    EXPECT_THAT(detect("can-reach=8.8.8.8"),
                HasSubstr("can-reach=8.8.8.8: Network is unreachable"));
    EXPECT_EQ(detect_host_mtu(*read_links(*socket))->mtu, 1450u);
}

} // namespace
} // namespace margay::kernel
