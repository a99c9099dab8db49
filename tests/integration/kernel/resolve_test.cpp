// SPDX-License-Identifier: Apache-2.0
// The way to other nodes, on the real kernel: node eth0 -- router (192.0.2.254) and neighbours.
#include "agent/kernel/resolve.h"

#include <gmock/gmock.h>

#include "agent/kernel/routes.h"
#include "node.h"
#include "support/addresses.h"

namespace margay::kernel {
namespace {

using margay::testing::Netns;
using ::testing::HasSubstr;
using ::testing::Not;
using State = Neighbour::State;

struct ResolveTest : margay::testing::NodeTest {
    std::unique_ptr<Netns> lan;
    std::unique_ptr<RouteTable> routes; // which hears of routes
    std::unique_ptr<Resolver> resolver;
    bool tell = true; // and tells the resolver
    std::vector<Ipv4> told;

    void SetUp() override
    {
        NodeTest::SetUp();
        if (IsSkipped())
            return;
        lan = std::make_unique<Netns>("lan");
        margay::testing::add_veth(*node, "eth0", *lan, "eth0");
        sh("ip addr add 192.0.2.1/24 dev eth0; ip route add 198.51.100.0/24 via 192.0.2.254 mtu "
           "1400");
        lan->must("ip link set eth0 address 02:00:00:00:00:99;"
                  "ip addr add 192.0.2.254/24 dev eth0; ip addr add 192.0.2.9/24 dev eth0");
        // Failures are seen in a second, not in three.
        sh("echo 1 > /proc/sys/net/ipv4/neigh/eth0/mcast_solicit;"
           "echo 1 > /proc/sys/net/ipv4/neigh/eth0/ucast_solicit");
        resolver = std::make_unique<Resolver>(executor, [this](const std::vector<Ipv4>& targets) {
            told.insert(told.end(), targets.begin(), targets.end());
        });
        RouteTable::Callbacks callbacks;
        callbacks.is_workload = [](const std::string&) { return false; };
        callbacks.on_change = [this](const Prefix4& changed) {
            if (tell)
                resolver->on_route(changed);
        };
        routes = std::make_unique<RouteTable>(executor, std::move(callbacks));
        ASSERT_TRUE(routes->start());
        ASSERT_TRUE(resolver->start());
    }
    void TearDown() override
    {
        routes.reset();
        resolver.reset();
        lan.reset();
        NodeTest::TearDown();
    }
    bool becomes(const char* target, State state)
    {
        return run([&] { return resolver->find(ip(target))->neighbour.state == state; });
    }
};

TEST_F(ResolveTest, target_on_the_link_has_its_own_mac_without_any_traffic)
{
    const Target& target = resolver->watch(ip("192.0.2.9"));
    ASSERT_TRUE(target.path);
    EXPECT_EQ(target.path->ifindex, index("eth0"));
    EXPECT_TRUE(target.path->gateway.is_zero());
    EXPECT_EQ(target.path->source, ip("192.0.2.1"));
    EXPECT_TRUE(becomes("192.0.2.9", State::Resolved));
    EXPECT_EQ(target.neighbour.mac, (Mac{2, 0, 0, 0, 0, 0x99}));
    EXPECT_THAT(sh("ip neigh show 192.0.2.9"), HasSubstr("managed"));
}

TEST_F(ResolveTest, target_behind_a_router_has_the_router_s_mac_and_the_route_s_mtu)
{
    const Target& target = resolver->watch(ip("198.51.100.7"));
    ASSERT_TRUE(target.path);
    EXPECT_EQ(target.path->gateway, ip("192.0.2.254"));
    EXPECT_EQ(target.path->mtu, 1400u);
    EXPECT_TRUE(becomes("198.51.100.7", State::Resolved));
}

TEST_F(ResolveTest, silent_neighbour_fails_and_recovers_by_itself)
{
    resolver->watch(ip("192.0.2.77"));
    EXPECT_TRUE(becomes("192.0.2.77", State::Failed));
    lan->must("ip addr add 192.0.2.77/24 dev eth0");
    EXPECT_TRUE(becomes("192.0.2.77", State::Resolved));
}

TEST_F(ResolveTest, changed_mac_is_told)
{
    resolver->watch(ip("192.0.2.9"));
    ASSERT_TRUE(becomes("192.0.2.9", State::Resolved));
    told.clear();
    // The neighbour asks who we are, with its new MAC.
    lan->must("ip link set eth0 address 02:00:00:00:00:55; ip neigh flush all;"
              "ping -c 1 -W 5 -I 192.0.2.9 192.0.2.1");
    EXPECT_TRUE(run([&] {
        return resolver->find(ip("192.0.2.9"))->neighbour.mac == Mac{2, 0, 0, 0, 0, 0x55};
    }));
    EXPECT_TRUE(run([&] { return !told.empty(); }));
}

TEST_F(ResolveTest, changed_route_moves_the_target_to_the_new_next_hop)
{
    resolver->watch(ip("198.51.100.7"));
    resolver->watch(ip("192.0.2.9"));
    executor.run_for(std::chrono::milliseconds(1));
    sh("ip route replace 198.51.100.7/32 via 192.0.2.9");
    EXPECT_TRUE(
        run([&] { return resolver->find(ip("198.51.100.7"))->path->gateway == ip("192.0.2.9"); }));
    EXPECT_TRUE(becomes("198.51.100.7", State::Resolved));
    EXPECT_TRUE(run([&] {
        return sh("ip neigh show 192.0.2.254").find("managed") == std::string::npos;
    })) << "nobody needs the old one";
    sh("ip route del 198.51.100.7/32");
    EXPECT_TRUE(run(
        [&] { return resolver->find(ip("198.51.100.7"))->path->gateway == ip("192.0.2.254"); }));
}

TEST_F(ResolveTest, target_without_route_says_so_and_gets_one_later)
{
    const Target& target = resolver->watch(ip("203.0.113.5"));
    EXPECT_FALSE(target.path);
    EXPECT_THAT(target.why, HasSubstr("203.0.113.5"));
    EXPECT_THAT(target.why, HasSubstr("unreachable"));
    sh("ip route add default via 192.0.2.254");
    EXPECT_TRUE(run([&] { return target.path.has_value(); }));
    EXPECT_EQ(target.why, "");
}

TEST_F(ResolveTest, link_that_goes_down_and_up_loses_and_regains_the_path)
{
    const Target& target = resolver->watch(ip("192.0.2.9"));
    ASSERT_TRUE(becomes("192.0.2.9", State::Resolved));
    sh("ip link set eth0 down");
    EXPECT_TRUE(run([&] { return !target.path; }));
    sh("ip link set eth0 up");
    EXPECT_TRUE(becomes("192.0.2.9", State::Resolved));
}

TEST_F(ResolveTest, flushed_neighbour_is_asked_for_again)
{
    resolver->watch(ip("192.0.2.9"));
    ASSERT_TRUE(becomes("192.0.2.9", State::Resolved));
    sh("ip neigh del 192.0.2.9 dev eth0");
    EXPECT_TRUE(
        run([&] { return sh("ip neigh show 192.0.2.9").find("managed") != std::string::npos; }));
    EXPECT_TRUE(becomes("192.0.2.9", State::Resolved));
}

TEST_F(ResolveTest, permanent_neighbour_of_the_user_stays_permanent)
{
    sh("ip neigh add 192.0.2.44 lladdr 02:00:00:00:00:44 dev eth0 nud permanent");
    const Target& target = resolver->watch(ip("192.0.2.44"));
    EXPECT_EQ(target.neighbour.state, State::Resolved);
    EXPECT_EQ(target.neighbour.mac, (Mac{2, 0, 0, 0, 0, 0x44}));
    EXPECT_THAT(sh("ip neigh show 192.0.2.44"), HasSubstr("PERMANENT"));
    resolver->unwatch(ip("192.0.2.44"));
    EXPECT_THAT(sh("ip neigh show 192.0.2.44"), HasSubstr("PERMANENT"));
}

TEST_F(ResolveTest, own_address_is_local)
{
    EXPECT_TRUE(resolver->watch(ip("192.0.2.1")).path->local);
}

TEST_F(ResolveTest, policy_rules_count)
{
    lan->must("ip addr add 192.0.2.253/24 dev eth0");
    resolver->watch(ip("198.51.100.7"));
    sh("ip route add 198.51.100.0/24 via 192.0.2.253 table 77; ip rule add to 198.51.100.7 table "
       "77");
    EXPECT_TRUE(run(
        [&] { return resolver->find(ip("198.51.100.7"))->path->gateway == ip("192.0.2.253"); }));
}

TEST_F(ResolveTest, route_table_tells_of_our_routes_and_of_others)
{
    resolver->watch(ip("198.51.100.7"));
    const auto gateway = [&] { return resolver->find(ip("198.51.100.7"))->path->gateway; };
    ASSERT_EQ(gateway(), ip("192.0.2.254"));

    routes->want(block_route(prefix("198.51.100.0/26"), {{index("eth0"), ip("192.0.2.9"), 1}}));
    routes->flush();
    EXPECT_TRUE(run([&] { return gateway() == ip("192.0.2.9"); })) << "ours";
    sh("ip route add 198.51.100.7 via 192.0.2.253");
    EXPECT_TRUE(run([&] { return gateway() == ip("192.0.2.253"); })) << "somebody's";
    sh("ip rule add to 198.51.100.7 lookup 77; ip route add 198.51.100.0/24 via 192.0.2.252 table "
       "77");
    EXPECT_TRUE(run([&] { return gateway() == ip("192.0.2.252"); })) << "in another table";

    tell = false;
    sh("ip route replace 198.51.100.0/24 via 192.0.2.251 table 77");
    resolver->watch(ip("192.0.2.9"));
    EXPECT_TRUE(becomes("192.0.2.9", State::Resolved));
    EXPECT_EQ(gateway(), ip("192.0.2.252")) << "nothing is heard that is not told";
    resolver->on_overrun();
    EXPECT_TRUE(run([&] { return gateway() == ip("192.0.2.251"); }));
}

TEST_F(ResolveTest, target_is_watched_until_the_last_watcher_has_gone)
{
    resolver->watch_way(ip("192.0.2.9"));
    EXPECT_EQ(sh("ip neigh show 192.0.2.9"), "") << "nobody asked for its MAC";
    resolver->watch(ip("192.0.2.9"));
    EXPECT_TRUE(becomes("192.0.2.9", State::Resolved));
    resolver->unwatch(ip("192.0.2.9"));
    EXPECT_NE(resolver->find(ip("192.0.2.9")), nullptr);
    EXPECT_THAT(sh("ip neigh show 192.0.2.9"), Not(HasSubstr("managed")));
    resolver->unwatch_way(ip("192.0.2.9"));
    EXPECT_EQ(resolver->find(ip("192.0.2.9")), nullptr);
}

TEST_F(ResolveTest, targets_of_a_large_change_are_all_looked_up)
{
    std::vector<Ipv4> targets;
    for (std::uint32_t i = 0; i < 1500; ++i)
        targets.push_back(Ipv4(ip("198.51.100.0").value() - i));
    sh("ip route add 198.51.0.0/16 via 192.0.2.254");
    for (const Ipv4 target : targets)
        ASSERT_TRUE(resolver->watch(target).path) << target.str();
    sh("ip route del 198.51.0.0/16; ip route del 198.51.100.0/24");
    EXPECT_TRUE(run([&] {
        return std::ranges::none_of(
            targets, [&](Ipv4 target) { return resolver->find(target)->path.has_value(); });
    }));
}

// As a route reflector has it: nobody else tells of routes.
TEST_F(ResolveTest, resolver_on_its_own_hears_of_routes)
{
    Resolver alone(executor, {}, Resolver::HearsRoutes::ByItself);
    ASSERT_TRUE(alone.start());
    ASSERT_TRUE(alone.watch_way(ip("198.51.100.7")).path);
    sh("ip route del 198.51.100.0/24");
    EXPECT_TRUE(run([&] { return !alone.find(ip("198.51.100.7"))->path; }));
    sh("ip route add 198.51.100.0/24 via 192.0.2.254");
    EXPECT_TRUE(run([&] { return alone.find(ip("198.51.100.7"))->path.has_value(); }));
}

// --- IPv6 ---------------------------------------------------------------------------------------

struct ResolveTest6 : margay::testing::NodeTest {
    std::unique_ptr<RouteTable6> routes;
    std::unique_ptr<Resolver6> resolver;
    std::vector<Ipv6> told;

    void SetUp() override
    {
        NodeTest::SetUp();
        if (IsSkipped())
            return;
        sh("ip link add eth0 type veth peer name lan0; ip link set eth0 up; ip link set lan0 up;"
           "ip addr add 2001:db8:1::1/64 dev eth0 nodad;"
           "ip -6 route add 2001:db8:9::/48 via 2001:db8:1::fe;"
           "ip -6 route add unreachable 2001:db8:66::/48");
        resolver = std::make_unique<Resolver6>(executor, [this](const std::vector<Ipv6>& targets) {
            told.insert(told.end(), targets.begin(), targets.end());
        });
        RouteTable6::Callbacks callbacks;
        callbacks.is_workload = [](const std::string&) { return false; };
        callbacks.on_change = [this](const Prefix6& changed) { resolver->on_route(changed); };
        routes = std::make_unique<RouteTable6>(executor, std::move(callbacks));
        ASSERT_TRUE(routes->start());
        ASSERT_TRUE(resolver->start());
    }
    void TearDown() override
    {
        routes.reset();
        resolver.reset();
        NodeTest::TearDown();
    }
    const Target6& watch(const char* target) { return resolver->watch_way(ip6(target)); }
};

TEST_F(ResolveTest6, way_is_the_link_or_the_next_hop_of_a_route_or_none)
{
    const Target6& near = watch("2001:db8:1::9");
    ASSERT_TRUE(near.path);
    EXPECT_EQ(near.path->ifindex, index("eth0"));
    EXPECT_TRUE(near.path->gateway.is_zero());
    const Target6& far = watch("2001:db8:9::7");
    ASSERT_TRUE(far.path);
    EXPECT_EQ(far.path->gateway, ip6("2001:db8:1::fe"));
    EXPECT_FALSE(watch("2001:db8:5::5").path);
    EXPECT_THAT(watch("2001:db8:5::5").why, HasSubstr("unreachable"));
    EXPECT_FALSE(watch("2001:db8:66::5").path) << "a route forbids it";
    EXPECT_TRUE(watch("2001:db8:1::1").path->local);
}

TEST_F(ResolveTest6, changed_routes_links_and_addresses_are_told)
{
    watch("2001:db8:9::7");
    watch("2001:db8:5::5");
    sh("ip -6 route replace 2001:db8:9::/48 via 2001:db8:1::fd");
    EXPECT_TRUE(run([&] {
        return resolver->find(ip6("2001:db8:9::7"))->path->gateway == ip6("2001:db8:1::fd");
    }));
    EXPECT_TRUE(run([&] { return !told.empty(); }));
    EXPECT_EQ(told, std::vector{ip6("2001:db8:9::7")});
    sh("ip -6 route add 2001:db8:5::/64 via fe80::7 dev eth0");
    EXPECT_TRUE(run([&] { return resolver->find(ip6("2001:db8:5::5"))->path.has_value(); }));
    EXPECT_EQ(resolver->find(ip6("2001:db8:5::5"))->path->gateway, ip6("fe80::7"));
    sh("ip link set eth0 down");
    EXPECT_TRUE(run([&] { return !resolver->find(ip6("2001:db8:9::7"))->path; }));
}

TEST_F(ResolveTest6, changed_rules_are_told)
{
    watch("2001:db8:9::7");
    sh("ip -6 rule add to 2001:db8:9::/48 unreachable");
    EXPECT_TRUE(run([&] { return !resolver->find(ip6("2001:db8:9::7"))->path; }));
}

TEST_F(ResolveTest6, way_leaves_with_its_link_though_the_kernel_does_not_say_so_of_routes)
{
    sh("echo 1 > /proc/sys/net/ipv6/route/skip_notify_on_dev_down");
    watch("2001:db8:9::7");
    sh("ip link set eth0 down");
    EXPECT_TRUE(run([&] { return !resolver->find(ip6("2001:db8:9::7"))->path; }));
}

} // namespace
} // namespace margay::kernel
