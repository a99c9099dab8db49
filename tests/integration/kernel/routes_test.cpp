// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/routes.h"

#include <gmock/gmock.h>

#include "node.h"
#include "support/addresses.h"

namespace margay::kernel {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// The node has an uplink eth0 (192.0.2.1/24) and a pod at cali1.
struct RoutesTest : margay::testing::NodeTest {
    std::unique_ptr<RouteTable> table;
    std::vector<RouteReport> reports;
    std::size_t changes = 0; // told

    void SetUp() override
    {
        NodeTest::SetUp();
        if (IsSkipped())
            return;
        sh("ip link add eth0 type veth peer name lan0; ip link add cali1 type veth peer name pod0;"
           "for i in eth0 lan0 cali1 pod0; do ip link set $i up; done;"
           "ip addr add 192.0.2.1/24 dev eth0; ip link add tunl0 type bridge; ip link set tunl0 up;"
           "ip addr add 10.0.0.1/32 dev tunl0");
    }
    void start()
    {
        table.reset();
        RouteTable::Callbacks callbacks;
        callbacks.is_workload = [](const std::string& name) { return name.starts_with("cali"); };
        callbacks.on_report = [this](const RouteReport& report) { reports.push_back(report); };
        callbacks.on_change = [this](const Prefix4&) { ++changes; };
        table = std::make_unique<RouteTable>(executor, std::move(callbacks));
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
        return sh("ip -d route show exact " + destination);
    }
    bool has(const std::string& destination) { return !show(destination).empty(); }
    Route remote(const char* block, const char* gateway = "192.0.2.9")
    {
        return block_route(prefix(block), {{index("eth0"), ip(gateway), 1}}, ip("10.0.0.1"), 1480);
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
    EXPECT_EQ(reports[0].kind, RouteReport::Kind::Conflict);

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
    EXPECT_EQ(reports[0].kind, RouteReport::Kind::Conflict);

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
    EXPECT_EQ(reports[0].kind, RouteReport::Kind::RemovedByOther);
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

} // namespace
} // namespace margay::kernel
