// SPDX-License-Identifier: Apache-2.0
// Flows of a workload over two routers, each on an uplink of its own, with real packets.

#include "integration/datapath/two_pods.h"

#include <net/if.h>

namespace margay::datapath {
namespace {

constexpr int kFlows = 16;
constexpr const char* kTarget = "10.9.0.1"; // at both routers

struct Router {
    Router(const Netns& node, int number)
        : netns("router" + std::to_string(number)), uplink("up" + std::to_string(number)),
          network("172.31." + std::to_string(number) + ".")
    {
        add_veth(node, uplink, netns, "eth0");
        node.must("ip addr add " + network + "11/24 dev " + uplink);
        netns.must("ip link set lo up; ip addr add " + network + "1/24 dev eth0; ip addr add " +
                   kTarget + "/32 dev lo; ip route add 10.65.0.0/24 via " + network + "11");
        ifindex = inside(node, [&] { return if_nametoindex(uplink.c_str()); });
    }
    PathWant path() const
    {
        return {.ifindex = ifindex, .next_hop = *Ipv4::parse(network + "1"), .mtu = 1500};
    }
    int pings() const // that came
    {
        return std::stoi(netns.must("awk '/^Icmp: [0-9]/ {print $10}' /proc/net/snmp"));
    }

    Netns netns;
    std::string uplink;
    std::string network;
    std::uint32_t ifindex = 0;
};

struct SpreadTest : DatapathTest {
    Router first{node, 1};
    Router second{node, 2};

    void want_paths(PathWants paths)
    {
        RouteWant route;
        route.kind = ROUTE_REMOTE;
        route.paths = std::move(paths);
        ok(datapath->want_route(*Prefix4::parse("10.9.0.0/24"), route));
        ok(datapath->flush());
    }
    // By which router the flow of each id goes; every ping must be answered.
    std::string ways()
    {
        std::string list;
        for (int id = 1; id <= kFlows; id++) {
            const int before = first.pings();
            // The first packet to a router waits for its address.
            EXPECT_TRUE(a.netns.exec("ping -q -c 1 -W 2 -e " + std::to_string(id) + " " + kTarget))
                << id;
            list += first.pings() != before ? '1' : '2';
        }
        return list;
    }
};

TEST_F(SpreadTest, flows_go_by_both_routers_and_only_those_of_a_dead_one_move)
{
    datapath->want_uplink(first.ifindex, XdpMode::Off);
    datapath->want_uplink(second.ifindex, XdpMode::Off);
    bring_up();
    want_paths({first.path(), second.path()});
    const std::string both = ways();
    EXPECT_GE(std::ranges::count(both, '1'), kFlows / 4) << both;
    EXPECT_GE(std::ranges::count(both, '2'), kFlows / 4) << both;
    EXPECT_EQ(ways(), both);

    node.must("ip link set " + first.uplink + " down");
    want_paths({second.path()});

    EXPECT_EQ(ways(), std::string(kFlows, '2'));
    node.must("ip link set " + first.uplink + " up");
    want_paths({first.path(), second.path()});
    EXPECT_EQ(ways(), both);
    EXPECT_EQ(packets("flow_created"), std::uint64_t{kFlows}) << "they are the same flows";
}

} // namespace
} // namespace margay::datapath
