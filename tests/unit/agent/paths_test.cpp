// SPDX-License-Identifier: Apache-2.0
#include "agent/paths.h"

#include <gmock/gmock.h>

#include <map>

#include "support/addresses.h"

namespace margay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Reach = routing::Decision::Reach;

struct PathsTest : ::testing::Test {
    const Prefix4 block = *Prefix4::parse("10.244.2.0/26");
    const Ipv4 near = ip("172.31.1.12");    // on the link
    const Ipv4 far = ip("172.31.2.13");     // behind the router
    const Ipv4 router = ip("172.31.1.1");
    const kernel::Mac uplink_mac{2, 0, 0, 0, 0, 5};
    kernel::LinkTable links;
    std::map<Ipv4, kernel::Target> targets;
    LocalFacts local;

    PathsTest()
    {
        kernel::Link uplink;
        uplink.ifindex = 5;
        uplink.name = "eth0";
        uplink.mtu = 1500;
        uplink.mac = uplink_mac;
        links.set(uplink);
        targets[near].path = kernel::Path{5, {}, ip("172.31.1.11")};
        targets[far].path = kernel::Path{5, router, ip("172.31.1.11")};
        local.node_address = ip("172.31.1.11");
        local.tunnel_address = ip("10.244.1.0");
    }

    PlannedPath plan(Reach reach, std::vector<Ipv4> hops)
    {
        routing::Decision decision;
        decision.reach = reach;
        decision.tunnelled = reach == Reach::Tunnel;
        decision.next_hops = std::move(hops);
        decision.why = "bgp";
        return plan_path(decision, local, links, [this](Ipv4 hop) {
            const auto found = targets.find(hop);
            return found == targets.end() ? nullptr : &found->second;
        });
    }
};

TEST_F(PathsTest, tunnel_to_a_node_behind_a_router_goes_to_the_router_with_the_node_outside)
{
    const auto planned = plan(Reach::Tunnel, {far});
    ASSERT_EQ(planned.route.paths.size(), 1u);
    const auto& path = planned.route.paths.front();
    EXPECT_TRUE(path.encap);
    EXPECT_TRUE(planned.route.tunnelled);
    EXPECT_EQ(planned.route.kind, ROUTE_REMOTE);
    EXPECT_EQ(path.ifindex, 5u);
    EXPECT_EQ(path.source_mac, uplink_mac);
    EXPECT_EQ(path.next_hop, router);
    EXPECT_EQ(path.outer_source, local.node_address);
    EXPECT_EQ(path.outer_destination, far);
    EXPECT_EQ(planned.device, "eth0");
    EXPECT_EQ(planned.via, router);
    EXPECT_EQ(planned.why, "bgp");
}

TEST_F(PathsTest, host_reaches_a_tunnelled_block_by_the_next_hop_with_tunnel_source_and_mtu)
{
    const auto planned = plan(Reach::Tunnel, {far});
    EXPECT_EQ(planned.kernel_route, kernel::block_route({}, {{5, router}}, ip("10.244.1.0"), 1480));
}

TEST_F(PathsTest, untunnelled_block_has_no_outer_header_no_tunnel_source_and_the_whole_mtu)
{
    const auto planned = plan(Reach::Routed, {near});
    ASSERT_EQ(planned.route.paths.size(), 1u);
    const auto& path = planned.route.paths.front();
    EXPECT_FALSE(path.encap);
    EXPECT_FALSE(planned.route.tunnelled);
    EXPECT_TRUE(path.outer_destination.is_zero());
    EXPECT_EQ(path.next_hop, near);
    EXPECT_EQ(path.mtu, 1500u);
    EXPECT_EQ(planned.kernel_route, kernel::block_route({}, {{5, near}}));
}

TEST_F(PathsTest, tunnel_mtu_is_the_setting_but_never_more_than_fits)
{
    local.tunnel_mtu = 1400;
    EXPECT_EQ(plan(Reach::Tunnel, {far}).route.paths.at(0).mtu, 1400u);
    local.tunnel_mtu = 9000;
    EXPECT_EQ(plan(Reach::Tunnel, {far}).route.paths.at(0).mtu, 1480u);
    EXPECT_EQ(plan(Reach::Routed, {near}).route.paths.at(0).mtu, 1500u); // not a tunnel's
}

TEST_F(PathsTest, path_mtu_that_the_kernel_knows_wins_over_the_devices)
{
    targets[far].path->mtu = 1300;
    EXPECT_EQ(plan(Reach::Tunnel, {far}).route.paths.at(0).mtu, 1280u);
}

TEST_F(PathsTest, next_hop_without_way_is_unreachable_with_the_kernels_reason)
{
    targets[far].path.reset();
    targets[far].why = "Network is unreachable";
    const auto planned = plan(Reach::Tunnel, {far});
    EXPECT_TRUE(planned.route.paths.empty());
    EXPECT_FALSE(planned.kernel_route);
    EXPECT_THAT(planned.why, HasSubstr("172.31.2.13: Network is unreachable"));
}

TEST_F(PathsTest, plain_packets_from_a_lost_node_of_a_tunnelled_pool_stay_spoofed)
{
    routing::Decision lost;
    lost.tunnelled = true;
    const auto planned = plan_path(lost, local, links, [](Ipv4) { return nullptr; });
    EXPECT_TRUE(planned.route.tunnelled);
    EXPECT_TRUE(planned.route.paths.empty());
}

TEST_F(PathsTest, unknown_and_own_next_hops_are_no_way)
{
    EXPECT_TRUE(plan(Reach::Tunnel, {ip("192.0.2.1")}).route.paths.empty());
    targets[near].path->local = true;
    EXPECT_TRUE(plan(Reach::Routed, {near}).route.paths.empty());
}

TEST_F(PathsTest, unreachable_decision_has_no_route_at_all)
{
    const auto planned = plan(Reach::Unreachable, {});
    EXPECT_TRUE(planned.route.paths.empty());
    EXPECT_FALSE(planned.kernel_route);
    EXPECT_EQ(planned.why, "bgp");
}

TEST_F(PathsTest, several_next_hops_are_one_kernel_route_and_a_dead_one_is_left_out)
{
    targets[ip("172.31.1.20")].path = kernel::Path{5, {}, {}};
    targets[ip("172.31.1.21")].why = "dead";
    const auto planned = plan(Reach::Routed, {ip("172.31.1.20"), ip("172.31.1.21"), near});
    ASSERT_TRUE(planned.kernel_route);
    EXPECT_THAT(planned.kernel_route->hops,
                ElementsAre(kernel::NextHop{5, near}, kernel::NextHop{5, ip("172.31.1.20")}));
}

std::vector<Ipv4> next_hops(const PlannedPath& planned)
{
    std::vector<Ipv4> hops;
    for (const auto& path : planned.route.paths)
        hops.push_back(path.next_hop);
    return hops;
}

TEST_F(PathsTest, data_path_has_all_living_next_hops_each_with_its_own_uplink)
{
    const Ipv4 other = ip("172.31.3.20");
    kernel::Link second;
    second.ifindex = 6;
    second.mtu = 9000;
    second.mac = {2, 0, 0, 0, 0, 6};
    links.set(second);
    targets[other].path = kernel::Path{6, {}, {}};
    targets[ip("172.31.1.21")].why = "dead";
    const auto planned = plan(Reach::Routed, {near, ip("172.31.1.21"), other});
    ASSERT_THAT(next_hops(planned), ElementsAre(near, other));
    EXPECT_EQ(planned.route.paths[1].ifindex, 6u);
    EXPECT_EQ(planned.route.paths[1].source_mac, second.mac);
    EXPECT_EQ(planned.route.paths[1].mtu, 9000u);
    EXPECT_EQ(planned.device, "eth0");
    EXPECT_EQ(planned.via, near);
}

TEST_F(PathsTest, next_hops_behind_one_router_are_one_way)
{
    targets[ip("172.31.2.14")].path = kernel::Path{5, router, {}};
    const auto planned = plan(Reach::Routed, {near, far, ip("172.31.2.14")});
    EXPECT_THAT(next_hops(planned), ElementsAre(near, router));
    EXPECT_THAT(planned.kernel_route->hops,
                ElementsAre(kernel::NextHop{5, router}, kernel::NextHop{5, near}));
}

TEST_F(PathsTest, more_next_hops_than_a_kernel_route_has_are_left_out_of_both)
{
    std::vector<Ipv4> hops;
    for (std::uint32_t i = 0; i <= kernel::kMaxHops; i++) {
        hops.push_back(Ipv4(ip("172.31.1.20").value() + i));
        targets[hops.back()].path = kernel::Path{5, {}, {}};
    }
    const auto planned = plan(Reach::Routed, hops);
    EXPECT_EQ(planned.route.paths.size(), kernel::kMaxHops);
    EXPECT_EQ(planned.kernel_route->hops.size(), kernel::kMaxHops);
}

TEST_F(PathsTest, same_facts_plan_the_same_path)
{
    EXPECT_EQ(plan(Reach::Tunnel, {far}), plan(Reach::Tunnel, {far}));
}

} // namespace
} // namespace margay
