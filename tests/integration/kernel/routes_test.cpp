// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/routes.h"

#include <gmock/gmock.h>

#include "node.h"
#include "support/addresses.h"

namespace margay::kernel {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// The node has an uplink eth0 (192.0.2.1/24, 2001:db8:1::1/64) and a pod at cali1.
template <typename P>
struct RoutesTestOf : margay::testing::NodeTest {
    using Report = RouteReportOf<P>;

    std::unique_ptr<RouteTableOf<P>> table;
    std::vector<Report> reports;
    std::size_t changes = 0; // told

    void SetUp() override
    {
        NodeTest::SetUp();
        if (IsSkipped())
            return;
        sh("ip link add eth0 type veth peer name lan0; ip link add cali1 type veth peer name pod0;"
           "echo 1 > /proc/sys/net/ipv6/conf/eth0/keep_addr_on_down;"
           "for i in eth0 lan0 cali1 pod0; do ip link set $i up; done;"
           "ip addr add 192.0.2.1/24 dev eth0; ip addr add 2001:db8:1::1/64 dev eth0 nodad;"
           "ip link add tunl0 type bridge; ip link set tunl0 up;"
           "ip addr add 10.0.0.1/32 dev tunl0");
    }
    void start()
    {
        table.reset();
        typename RouteTableOf<P>::Callbacks callbacks;
        callbacks.is_workload = [](const std::string& name) { return name.starts_with("cali"); };
        callbacks.on_report = [this](const Report& report) { reports.push_back(report); };
        callbacks.on_change = [this](const P&) { ++changes; };
        table = std::make_unique<RouteTableOf<P>>(executor, std::move(callbacks));
        ASSERT_TRUE(table->start());
    }
    void flush()
    {
        table->flush();
        EXPECT_TRUE(run([&] { return table->pending() == 0; }));
    }
    // Serves events, as the agent does, until the claim holds.
    bool settle(const std::function<bool()>& claim) { return run(claim); }
    std::string show(const std::string& destination)
    {
        return sh("ip -d " + std::string(std::is_same_v<P, Prefix4> ? "-4" : "-6") +
                  " route show exact " + destination);
    }
    bool has(const std::string& destination) { return !show(destination).empty(); }
};

struct RoutesTest : RoutesTestOf<Prefix4> {
    Route remote(const char* block, const char* gateway = "192.0.2.9")
    {
        return block_route(prefix(block), {{index("eth0"), ip(gateway), 1}}, ip("10.0.0.1"), 1480);
    }
};

struct RoutesTest6 : RoutesTestOf<Prefix6> {
    // As LearnedRoutes has them, by eth0.
    Route6 learned(const char* destination, std::initializer_list<const char*> gateways,
                   std::uint32_t metric = 2147483547)
    {
        NextHops6 hops;
        for (const char* gateway : gateways)
            hops.push_back({index("eth0"), ip6(gateway), 1});
        Route6 route = block_route(prefix6(destination), hops);
        route.metric = metric;
        return route;
    }
    std::string lines(const std::string& what)
    {
        return sh("ip -6 route show " + what + " | wc -l");
    }
};

TEST_F(RoutesTest, routes_have_the_shapes_that_calico_users_expect)
{
    start();
    table->want(workload_route(ip("10.0.0.5"), index("cali1")));
    table->want(remote("10.0.1.0/26"));
    table->want(block_route(prefix("10.0.2.0/26"), {{index("eth0"), ip("192.0.2.9"), 1},
                                                    {index("eth0"), ip("192.0.2.8"), 1}}));
    table->want(blackhole_route(prefix("10.0.0.0/26")));
    flush();

    EXPECT_EQ(show("10.0.0.5"), "unicast 10.0.0.5 dev cali1 proto boot scope link metric 1024 \n");
    EXPECT_EQ(show("10.0.1.0/26"), "unicast 10.0.1.0/26 via 192.0.2.9 dev eth0 proto 80 scope "
                                   "global src 10.0.0.1 mtu 1480 \n");
    EXPECT_THAT(show("10.0.2.0/26"), HasSubstr("nexthop via 192.0.2.8 dev eth0 weight 1"));
    EXPECT_THAT(show("10.0.2.0/26"), HasSubstr("nexthop via 192.0.2.9 dev eth0 weight 1"));
    EXPECT_EQ(show("10.0.0.0/26"), "blackhole 10.0.0.0/26 proto 80 scope global \n");
    EXPECT_THAT(sh("ip route get 10.0.1.7"), HasSubstr("src 10.0.0.1"));
}

TEST_F(RoutesTest, what_was_written_reads_back_equal_so_a_restart_writes_nothing)
{
    const auto want_all = [&] {
        table->want(workload_route(ip("10.0.0.5"), index("cali1")));
        table->want(remote("10.0.1.0/26"));
        table->want(block_route(prefix("10.0.2.0/26"), {{index("eth0"), ip("192.0.2.9"), 3},
                                                        {index("eth0"), ip("192.0.2.8"), 1}}));
        table->want(blackhole_route(prefix("10.0.0.0/26")));
        table->want(gateway_route(index("tunl0")));
    };
    start();
    want_all();
    flush();

    start();
    want_all();
    table->allow_removals();
    EXPECT_EQ(table->pending(), 0u);
}

TEST_F(RoutesTest, adoption_keeps_the_wanted_and_removes_the_stale_only_in_sync)
{
    start();
    table->want(remote("10.0.1.0/26"));
    table->want(remote("10.0.2.0/26"));
    table->want(workload_route(ip("10.0.0.5"), index("cali1")));
    flush();

    start();
    table->want(remote("10.0.1.0/26"));
    flush();
    EXPECT_TRUE(has("10.0.2.0/26")) << "not wanted may mean not known yet";
    table->allow_removals();
    flush();
    EXPECT_TRUE(has("10.0.1.0/26"));
    EXPECT_FALSE(has("10.0.2.0/26"));
    EXPECT_FALSE(has("10.0.0.5"));
}

TEST_F(RoutesTest, foreign_routes_are_untouched)
{
    sh("ip route add 10.0.7.0/26 via 192.0.2.77 proto 12; ip route add 10.0.0.99 dev cali1 proto 4;"
       "ip route add blackhole 10.0.8.0/26 proto 4");
    const std::string before = sh("ip route");
    start();
    table->want(remote("10.0.1.0/26"));
    table->allow_removals();
    flush();
    table->remove_all();
    flush();
    EXPECT_EQ(sh("ip route"), before);
}

TEST_F(RoutesTest, foreign_route_of_a_wanted_destination_is_reported_and_kept_until_it_leaves)
{
    sh("ip route add 10.0.1.0/26 via 192.0.2.77 proto 12");
    start();
    table->want(remote("10.0.1.0/26"));
    flush();
    EXPECT_THAT(show("10.0.1.0/26"), HasSubstr("via 192.0.2.77"));
    ASSERT_EQ(reports.size(), 1u);
    EXPECT_EQ(reports[0].kind, Report::Kind::Conflict);

    sh("ip route del 10.0.1.0/26");
    EXPECT_TRUE(settle([&] { return has("10.0.1.0/26"); }));
    EXPECT_THAT(show("10.0.1.0/26"), HasSubstr("via 192.0.2.9"));
}

TEST_F(RoutesTest, foreign_route_that_came_unseen_is_found_at_the_refusal)
{
    start();
    // The event is queued and unread when the route is wanted.
    sh("ip route add 10.0.1.0/26 via 192.0.2.77 proto 12");
    table->want(remote("10.0.1.0/26"));
    flush();
    EXPECT_THAT(show("10.0.1.0/26"), HasSubstr("via 192.0.2.77"));
    ASSERT_EQ(reports.size(), 1u);
    EXPECT_EQ(reports[0].kind, Report::Kind::Conflict);

    sh("ip route del 10.0.1.0/26"); // it was listed and is told as well, and is no two
    EXPECT_TRUE(settle([&] { return has("10.0.1.0/26"); }));
    EXPECT_THAT(show("10.0.1.0/26"), HasSubstr("via 192.0.2.9"));
}

TEST_F(RoutesTest, removed_route_comes_back_and_the_remover_is_reported_once)
{
    start();
    table->want(remote("10.0.1.0/26"));
    flush();
    for (int i = 0; i < 2; ++i) {
        sh("ip route del 10.0.1.0/26");
        EXPECT_TRUE(settle([&] { return has("10.0.1.0/26"); }));
    }
    ASSERT_EQ(reports.size(), 1u);
    EXPECT_EQ(reports[0].kind, Report::Kind::RemovedByOther);
    EXPECT_THAT(reports[0].text, HasSubstr("process "));
}

TEST_F(RoutesTest, routes_return_after_their_link_went_down_and_up)
{
    start();
    table->want(remote("10.0.1.0/26"));
    table->want(workload_route(ip("10.0.0.5"), index("cali1")));
    flush();
    sh("ip link set eth0 down; ip link set cali1 down");
    EXPECT_TRUE(settle([&] { return table->present_count() == 0; }));
    sh("ip link set eth0 up; ip link set cali1 up");
    EXPECT_TRUE(settle([&] { return has("10.0.1.0/26") && has("10.0.0.5"); }));
}

TEST_F(RoutesTest, route_returns_after_its_source_address_was_gone)
{
    start();
    table->want(remote("10.0.1.0/26"));
    flush();
    sh("ip addr del 10.0.0.1/32 dev tunl0");
    EXPECT_TRUE(settle([&] { return !has("10.0.1.0/26") && table->parked() == 1; }));
    sh("ip addr add 10.0.0.1/32 dev tunl0");
    EXPECT_TRUE(settle([&] { return has("10.0.1.0/26"); }));
}

TEST_F(RoutesTest, replacement_changes_the_next_hop_in_place)
{
    start();
    table->want(remote("10.0.1.0/26"));
    flush();
    table->want(remote("10.0.1.0/26", "192.0.2.10"));
    flush();
    EXPECT_EQ(sh("ip route show exact 10.0.1.0/26 | wc -l"), "1\n");
    EXPECT_THAT(show("10.0.1.0/26"), HasSubstr("via 192.0.2.10"));
}

TEST_F(RoutesTest, one_refused_route_of_a_batch_does_not_hinder_the_others)
{
    start();
    table->want(remote("10.0.1.0/26"));
    table->want(remote("10.0.2.0/26", "203.0.113.1")); // not reachable
    table->want(remote("10.0.3.0/26"));
    flush();
    EXPECT_TRUE(has("10.0.1.0/26"));
    EXPECT_FALSE(has("10.0.2.0/26"));
    EXPECT_TRUE(has("10.0.3.0/26"));
    ASSERT_EQ(reports.size(), 1u);
    EXPECT_THAT(reports[0].text, HasSubstr("add route 10.0.2.0/26"));
    EXPECT_THAT(reports[0].text, HasSubstr("gateway")) << "the kernel's own words";
}

TEST_F(RoutesTest, five_thousand_routes_go_in_while_the_event_loop_goes_on)
{
    start();
    for (std::uint32_t i = 0; i < 5000; ++i)
        table->want(
            block_route({Ipv4(0x0a400000 + (i << 6)), 26}, {{index("eth0"), ip("192.0.2.9"), 1}}));
    table->flush();
    EXPECT_EQ(table->pending(), 5000u) << "nothing is waited for";
    flush();
    EXPECT_EQ(changes, 5000u);
    EXPECT_EQ(sh("ip route show proto 80 | wc -l"), "5000\n");
    table->remove_all();
    flush();
    EXPECT_EQ(sh("ip route show proto 80 | wc -l"), "0\n");
}

TEST_F(RoutesTest, route_taken_away_while_others_are_in_flight_comes_back)
{
    start();
    for (std::uint32_t i = 0; i < 3000; ++i)
        table->want(
            block_route({Ipv4(0x0a400000 + (i << 6)), 26}, {{index("eth0"), ip("192.0.2.9"), 1}}));
    table->flush(); // and no answer is read
    EXPECT_TRUE(
        node->exec("for i in $(seq 100); do ip route del 10.64.0.0/26 2>/dev/null && exit 0; "
                   "sleep 0.05; done; exit 1"));
    EXPECT_TRUE(settle([&] { return table->pending() == 0 && has("10.64.0.0/26"); }));
    EXPECT_EQ(sh("ip route show proto 80 | wc -l"), "3000\n");
}

TEST_F(RoutesTest, route_of_a_cni_plugin_on_a_new_interface_gives_way_to_ours_without_a_conflict)
{
    start();
    table->allow_removals();
    sh("ip link add cali2 type veth peer name pod2; ip link set cali2 up;"
       "ip route add 10.0.0.6 dev cali2 scope link");
    table->want(workload_route(ip("10.0.0.6"), index("cali2")));
    flush();
    EXPECT_TRUE(settle([&] { return sh("ip route show exact 10.0.0.6 | wc -l") == "1\n"; }));
    EXPECT_THAT(show("10.0.0.6"), HasSubstr("metric 1024"));
    EXPECT_TRUE(reports.empty());
}

TEST_F(RoutesTest, cleanup_removes_ours_alone)
{
    sh("ip route add 10.0.7.0/26 via 192.0.2.77 proto 12");
    start();
    table->want(remote("10.0.1.0/26"));
    table->want(workload_route(ip("10.0.0.5"), index("cali1")));
    flush();
    table->remove_all();
    flush();
    EXPECT_THAT(sh("ip route"), Not(HasSubstr("10.0.1.0")));
    EXPECT_THAT(sh("ip route"), Not(HasSubstr("10.0.0.5")));
    EXPECT_THAT(sh("ip route"), HasSubstr("10.0.7.0"));
}

// --- IPv6 ---------------------------------------------------------------------------------------

TEST_F(RoutesTest6, learned_routes_have_the_shapes_that_the_kernel_knows)
{
    start();
    table->want(learned("2001:db8:a::/48", {"2001:db8:1::9"}));
    table->want(learned("2001:db8:b::/48", {"fe80::9"}, 1024));
    table->want(learned("2001:db8:c::/48", {"2001:db8:1::9", "fe80::9"}));
    table->want(learned("::/0", {"2001:db8:1::9"}));
    flush();

    EXPECT_THAT(show("2001:db8:a::/48"),
                HasSubstr("unicast 2001:db8:a::/48 via 2001:db8:1::9 dev eth0 "
                          "proto 80 scope global metric 2147483547"));
    EXPECT_THAT(show("2001:db8:b::/48"), HasSubstr("via fe80::9 dev eth0 proto 80 scope global "
                                                   "metric 1024"));
    EXPECT_THAT(show("2001:db8:c::/48"), HasSubstr("nexthop via 2001:db8:1::9 dev eth0 weight 1"));
    EXPECT_THAT(show("2001:db8:c::/48"), HasSubstr("nexthop via fe80::9 dev eth0 weight 1"));
    EXPECT_THAT(show("::/0"), HasSubstr("default via 2001:db8:1::9 dev eth0 proto 80"));
    EXPECT_THAT(sh("ip -6 route get 2001:db8:a::5"), HasSubstr("src 2001:db8:1::1"));
    EXPECT_TRUE(reports.empty());
}

TEST_F(RoutesTest6, what_was_written_reads_back_equal_so_a_restart_writes_nothing)
{
    const auto want_all = [&] {
        table->want(learned("2001:db8:a::/48", {"2001:db8:1::9"}));
        table->want(learned("2001:db8:b::/48", {"fe80::9"}, 1024));
        Route6 weighted = learned("2001:db8:c::/48", {"2001:db8:1::9", "2001:db8:1::8", "fe80::9"});
        weighted.hops[1].weight = 3;
        table->want(weighted);
        table->want(learned("::/0", {"2001:db8:1::9", "2001:db8:1::8"}));
        table->want(block_route(prefix6("2001:db8:d::/48"),
                                {{index("eth0"), ip6("fe80::9"), 1}})); // no metric
    };
    start();
    want_all();
    flush();
    EXPECT_EQ(table->present_count(), 5u);

    start();
    want_all();
    table->allow_removals();
    EXPECT_EQ(table->pending(), 0u);
}

TEST_F(RoutesTest6, routes_of_an_earlier_run_wait_for_bgp_and_then_go_where_nobody_wants_them)
{
    start();
    table->want(learned("2001:db8:a::/48", {"2001:db8:1::9"}));
    table->want(learned("2001:db8:b::/48", {"2001:db8:1::9", "2001:db8:1::8"}));
    flush();

    start();
    table->allow_removals(Keep::ByGateway);
    flush();
    EXPECT_TRUE(has("2001:db8:b::/48"));
    table->want(learned("2001:db8:a::/48", {"2001:db8:1::9"}));
    table->allow_removals();
    flush();
    EXPECT_TRUE(has("2001:db8:a::/48"));
    EXPECT_FALSE(has("2001:db8:b::/48"));
}

TEST_F(RoutesTest6, foreign_routes_are_untouched)
{
    sh("ip -6 route add 2001:db8:7::/48 via 2001:db8:1::77 proto 12;"
       "ip -6 route add 2001:db8:8::/48 proto 12 nexthop via 2001:db8:1::77 nexthop via "
       "2001:db8:1::78;"
       "ip -6 route add default via fe80::1 dev eth0 proto ra; ip -6 route add 2001:db8:9::9 dev "
       "cali1 proto boot;"
       "ip -6 route add unreachable 2001:db8:6::/48 proto 4; ip route add 10.0.1.0/26 via "
       "192.0.2.9 proto 80");
    const std::string before = sh("ip -6 route; ip route");
    start();
    table->allow_removals();
    table->want(learned("2001:db8:a::/48", {"2001:db8:1::9"}));
    table->want(learned("::/0", {"2001:db8:1::9"})); // beside theirs, and behind it
    flush();
    EXPECT_EQ(lines("default"), "2\n");
    table->remove_all();
    flush();
    EXPECT_EQ(sh("ip -6 route; ip route"), before) << "nor is anything of IPv4";
}

TEST_F(RoutesTest6, foreign_route_of_a_wanted_destination_is_reported_and_kept_until_it_leaves)
{
    sh("ip -6 route add 2001:db8:a::/48 via 2001:db8:1::77 proto 12"); // metric 1024
    start();
    table->want(learned("2001:db8:a::/48", {"2001:db8:1::9", "2001:db8:1::8"}, 1024));
    flush();
    EXPECT_EQ(lines("2001:db8:a::/48"), "1\n") << "theirs, and no next hops of ours with it";
    EXPECT_THAT(show("2001:db8:a::/48"), HasSubstr("via 2001:db8:1::77"));
    ASSERT_EQ(reports.size(), 1u);
    EXPECT_EQ(reports[0].kind, Report::Kind::Conflict);

    sh("ip -6 route del 2001:db8:a::/48");
    EXPECT_TRUE(settle([&] { return has("2001:db8:a::/48"); }));
    EXPECT_THAT(show("2001:db8:a::/48"), HasSubstr("via 2001:db8:1::9"));
}

TEST_F(RoutesTest6, foreign_route_that_came_unseen_is_found_at_the_refusal)
{
    start();
    sh("ip -6 route add 2001:db8:a::/48 via 2001:db8:1::77 proto 12"); // the event is unread
    table->want(learned("2001:db8:a::/48", {"2001:db8:1::9", "2001:db8:1::8"}, 1024));
    flush();
    EXPECT_EQ(show("2001:db8:a::/48").find("2001:db8:1::9"), std::string::npos);
    ASSERT_EQ(reports.size(), 1u);
    EXPECT_EQ(reports[0].kind, Report::Kind::Conflict);
    sh("ip -6 route del 2001:db8:a::/48");
    EXPECT_TRUE(settle([&] { return has("2001:db8:a::/48"); }));
}

TEST_F(RoutesTest6, next_hops_come_and_go_by_replacement_of_the_whole_route)
{
    start();
    const auto becomes = [&](std::initializer_list<const char*> gateways) {
        table->want(learned("2001:db8:a::/48", gateways));
        flush();
        EXPECT_EQ(sh("ip -6 route show 2001:db8:a::/48 | grep -c via"),
                  std::to_string(gateways.size()) + "\n");
        for (const char* gateway : gateways)
            EXPECT_THAT(show("2001:db8:a::/48"), HasSubstr(std::string("via ") + gateway + " "));
    };
    becomes({"2001:db8:1::9"});
    becomes({"2001:db8:1::9", "2001:db8:1::8"});
    becomes({"2001:db8:1::7", "fe80::9", "2001:db8:1::8"});
    becomes({"2001:db8:1::7", "2001:db8:1::8"});
    becomes({"2001:db8:1::9"});
    table->allow_removals();
    table->want(learned("2001:db8:a::/48", {"2001:db8:1::9", "2001:db8:1::8"}));
    flush();
    table->unwant(learned("2001:db8:a::/48", {}).key());
    flush();
    EXPECT_FALSE(has("2001:db8:a::/48")) << "all next hops are gone by one removal";
}

TEST_F(RoutesTest6, route_whose_metric_changes_is_there_all_the_time)
{
    start();
    table->allow_removals();
    table->want(learned("2001:db8:a::/48", {"2001:db8:1::9"}, 1024));
    flush();
    table->unwant(learned("2001:db8:a::/48", {}, 1024).key());
    table->want(learned("2001:db8:a::/48", {"2001:db8:1::9"}));
    flush();
    EXPECT_EQ(lines("2001:db8:a::/48"), "1\n");
    EXPECT_THAT(show("2001:db8:a::/48"), HasSubstr("metric 2147483547"));
}

TEST_F(RoutesTest6, next_hop_that_somebody_takes_away_comes_back_and_is_reported_once)
{
    start();
    table->want(learned("2001:db8:a::/48", {"2001:db8:1::9", "2001:db8:1::8"}));
    flush();
    const auto whole = [&] {
        return sh("ip -6 route show 2001:db8:a::/48 | grep -c via") == "2\n";
    };
    for (int i = 0; i < 2; ++i) {
        sh("ip -6 route del 2001:db8:a::/48 via 2001:db8:1::8 metric 2147483547");
        EXPECT_TRUE(settle(whole));
    }
    ASSERT_EQ(reports.size(), 1u);
    EXPECT_EQ(reports[0].kind, Report::Kind::RemovedByOther);
    EXPECT_THAT(reports[0].text, HasSubstr("process "));
    sh("ip -6 route del 2001:db8:a::/48 metric 2147483547 "
       "nexthop via 2001:db8:1::8 nexthop via 2001:db8:1::9");
    EXPECT_TRUE(settle([&] { return table->parked() == 0 && has("2001:db8:a::/48") && whole(); }));
}

TEST_F(RoutesTest6, next_hop_that_somebody_appends_to_ours_does_not_stay)
{
    start();
    table->want(learned("2001:db8:a::/48", {"2001:db8:1::9"}));
    flush();
    sh("ip -6 route append 2001:db8:a::/48 via 2001:db8:1::77 proto 12 metric 2147483547");
    EXPECT_TRUE(settle([&] {
        return show("2001:db8:a::/48").find("2001:db8:1::77") == std::string::npos &&
               table->pending() == 0;
    }));
    EXPECT_THAT(show("2001:db8:a::/48"), HasSubstr("via 2001:db8:1::9"));
}

TEST_F(RoutesTest6, routes_return_after_their_link_went_down_and_up)
{
    sh("ip link add eth1 type veth peer name lan1;"
       "echo 1 > /proc/sys/net/ipv6/conf/eth1/keep_addr_on_down; ip link set eth1 up; ip link set "
       "lan1 up;"
       "ip addr add 2001:db8:2::1/64 dev eth1 nodad");
    start();
    table->want(learned("2001:db8:a::/48", {"2001:db8:1::9"}));
    Route6 by_both = learned("2001:db8:b::/48", {"2001:db8:1::9"});
    by_both.hops.push_back({index("eth1"), ip6("2001:db8:2::9"), 1});
    table->want(block_route(by_both.destination, by_both.hops));
    flush();
    sh("ip link set eth0 down");
    EXPECT_TRUE(settle([&] { return !has("2001:db8:a::/48") && table->present_count() == 1; }));
    EXPECT_THAT(show("2001:db8:b::/48"), HasSubstr("via 2001:db8:2::9"));
    sh("ip link set eth0 up");
    EXPECT_TRUE(settle([&] { return has("2001:db8:a::/48") && table->present_count() == 2; }));
    EXPECT_TRUE(settle(
        [&] { return sh("ip -6 route show 2001:db8:b::/48").find("dead") == std::string::npos; }));
    EXPECT_TRUE(reports.empty() || reports[0].kind == Report::Kind::Refused)
        << "nobody took them away";
}

TEST_F(RoutesTest6, one_refused_route_of_a_batch_does_not_hinder_the_others)
{
    start();
    table->want(learned("2001:db8:a::/48", {"2001:db8:1::9"}));
    table->want(learned("2001:db8:b::/48", {"2001:db8:ffff::1"})); // not reachable
    table->want(learned("2001:db8:c::/48", {"2001:db8:1::9", "2001:db8:ffff::1"}));
    table->want(learned("2001:db8:d::/48", {"2001:db8:1::9"}));
    flush();
    EXPECT_TRUE(has("2001:db8:a::/48"));
    EXPECT_FALSE(has("2001:db8:b::/48"));
    EXPECT_FALSE(has("2001:db8:c::/48"));
    EXPECT_TRUE(has("2001:db8:d::/48"));
    ASSERT_EQ(reports.size(), 2u);
    EXPECT_THAT(reports[0].text, HasSubstr("add route 2001:db8:b::/48"));
}

TEST_F(RoutesTest6, thirty_two_next_hops_fit_and_five_thousand_routes_go_in)
{
    start();
    NextHops6 hops;
    Ipv6::Bytes gateway = ip6("2001:db8:1::").bytes();
    for (std::uint8_t i = 0; i < kMaxHops; ++i) {
        gateway[15] = static_cast<std::uint8_t>(16 + i);
        hops.push_back({index("eth0"), Ipv6(gateway), 1});
    }
    for (std::uint16_t i = 0; i < 5000; ++i) {
        Ipv6::Bytes bytes = ip6("2001:db8:a::").bytes();
        bytes[6] = static_cast<std::uint8_t>(i >> 8);
        bytes[7] = static_cast<std::uint8_t>(i);
        table->want(block_route(Prefix6{Ipv6(bytes), 64}, i == 0 ? hops : NextHops6{hops[0]}));
    }
    flush();
    EXPECT_EQ(table->present_count(), 5000u);
    EXPECT_EQ(lines("proto 80 | grep -v nexthop"), "5000\n");
    EXPECT_EQ(lines("2001:db8:a::/64 | grep nexthop"), "32\n");
    table->remove_all();
    flush();
    EXPECT_EQ(lines("proto 80"), "0\n");
}

} // namespace
} // namespace margay::kernel
