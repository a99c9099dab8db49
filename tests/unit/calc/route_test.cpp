// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "agent/bgp/rules.h"
#include "support/addresses.h"
#include "world.h"

namespace margay::calc {
namespace {

using model::RouteKind;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Key;

struct Routes : ::testing::Test {
    World world;

    void SetUp() override
    {
        world.usual();
        pool("Always");
        world.node("n1", R"j("ipv4Address":"192.0.2.1/24","ipv4IPIPTunnelAddr":"10.20.1.0")j");
        world.node("n2", R"j("ipv4Address":"192.0.2.2/24","ipv4IPIPTunnelAddr":"10.20.2.0")j");
        world.node("n3", R"j("ipv4Address":"198.51.100.3/24")j");
        world.block("10.20.1.0/30", "n1");
        world.block("10.20.2.0/30", "n2");
        world.block("10.20.3.0/30", "n3");
        world.sync();
    }
    void pool(const std::string& mode, const std::string& more = "", const std::string& name = "p",
              const std::string& cidr = "10.20.0.0/16")
    {
        world.put("ippools/" + name,
                  R"j({"cidr":")j" + cidr + R"j(","ipipMode":")j" + mode + "\"" + more + "}");
    }
    // What of all that is announced the export rules let pass, to an internal peer without filters.
    std::string told()
    {
        world.sync();
        bgp::AttributePool attributes;
        bgp_rules::Rules rules;
        rules.set_export(world.bgp_export);
        std::string text;
        for (const auto& [prefix, announcement] : world.announcements)
            if (rules.export_route("", {prefix, attributes.intern(bgp::Attributes{}), {}},
                                   attributes))
                text += (text.empty() ? "" : " ") + prefix.str();
        return text;
    }
    std::string route(const std::string& text)
    {
        world.sync();
        const auto at = world.routes.find(prefix(text));
        if (at == world.routes.end())
            return "none";
        const auto& r = at->second;
        switch (r.kind) {
        case RouteKind::LocalWorkload:
            return "local " + r.interface_name;
        case RouteKind::Host:
            return "host";
        case RouteKind::Blackhole:
            return "blackhole";
        case RouteKind::Remote:
            break;
        }
        return r.node + " " + r.node_address.str() + (r.encap ? " encap" : " plain");
    }
};

TEST_F(Routes, mode_always_encapsulates_to_every_node)
{
    EXPECT_EQ(route("10.20.2.0/30"), "n2 192.0.2.2 encap");
    EXPECT_EQ(route("10.20.3.0/30"), "n3 198.51.100.3 encap");
    EXPECT_TRUE(world.routes.at(prefix("10.20.2.0/30")).same_subnet);
}

TEST_F(Routes, mode_cross_subnet_encapsulates_outside_the_own_network)
{
    pool("CrossSubnet");
    EXPECT_EQ(route("10.20.2.0/30"), "n2 192.0.2.2 plain");
    EXPECT_EQ(route("10.20.3.0/30"), "n3 198.51.100.3 encap");
}

TEST_F(Routes, mode_never_goes_plain)
{
    pool("Never");
    EXPECT_EQ(route("10.20.2.0/30"), "n2 192.0.2.2 plain");
    EXPECT_EQ(route("10.20.3.0/30"), "n3 198.51.100.3 plain");
}

// Sharp edge 17.
TEST_F(Routes, cross_subnet_uses_the_local_nodes_length_alone)
{
    pool("CrossSubnet");
    world.node("n2", R"j("ipv4Address":"192.0.2.2/32")j");
    EXPECT_EQ(route("10.20.2.0/30"), "n2 192.0.2.2 plain");
    world.node("n1", R"j("ipv4Address":"192.0.2.1")j");
    EXPECT_EQ(route("10.20.2.0/30"), "n2 192.0.2.2 encap") << "without a length it is a /32";
}

TEST_F(Routes, own_blocks_are_black_holes_and_own_addresses_go_home)
{
    world.pod("ns1", "a", "10.20.1.2/32");
    EXPECT_EQ(route("10.20.1.0/30"), "blackhole");
    EXPECT_EQ(route("10.20.1.0/32"), "host") << "the tunnel address";
    EXPECT_EQ(route("10.20.1.2/32"), "local cali-a");
}

TEST_F(Routes, a_route_waits_for_the_nodes_address)
{
    world.block("10.20.4.0/30", "n4");
    EXPECT_EQ(route("10.20.4.0/30"), "none");
    world.put("nodes/n4", R"j({"addresses":[{"address":"192.0.2.4","type":"InternalIP"}]})j");
    EXPECT_EQ(route("10.20.4.0/30"), "n4 192.0.2.4 encap");
    world.node("n4", R"j("ipv4Address":"192.0.2.44/24")j");
    EXPECT_EQ(route("10.20.4.0/30"), "n4 192.0.2.44 encap");
    world.gone("nodes/n4");
    EXPECT_EQ(route("10.20.4.0/30"), "none");
}

TEST_F(Routes, outside_all_pools_and_in_pools_for_load_balancers_there_is_no_route)
{
    world.block("10.99.0.0/30", "n2");
    EXPECT_EQ(route("10.99.0.0/30"), "none");
    pool("Never", R"j(,"allowedUses":["LoadBalancer"])j", "lb", "10.99.0.0/16");
    EXPECT_EQ(route("10.99.0.0/30"), "none");
    EXPECT_THAT(world.pools, ElementsAre(Key(prefix("10.20.0.0/16"))));
}

TEST_F(Routes, the_longest_pool_decides)
{
    pool("Never", R"j(,"natOutgoing":true)j", "inner", "10.20.2.0/24");
    EXPECT_EQ(route("10.20.2.0/30"), "n2 192.0.2.2 plain");
    EXPECT_TRUE(world.routes.at(prefix("10.20.2.0/30")).nat_outgoing);
    EXPECT_FALSE(world.routes.at(prefix("10.20.2.0/30")).in_tunnelled_pool);
    EXPECT_TRUE(world.routes.at(prefix("10.20.3.0/30")).in_tunnelled_pool);
    pool("Always", "", "twin", "10.20.2.0/24");
    EXPECT_EQ(route("10.20.2.0/30"), "n2 192.0.2.2 encap")
        << "of two equal pools the tunnelled one";
    world.gone("ippools/inner");
    world.gone("ippools/twin");
    EXPECT_FALSE((route("10.20.2.0/30"), world.routes.at(prefix("10.20.2.0/30")).nat_outgoing));
}

TEST_F(Routes, ipip_switched_off_by_configuration_wins_over_pools)
{
    world.put("felixconfigurations/default", R"j({"ipipEnabled":false})j");
    EXPECT_EQ(route("10.20.3.0/30"), "n3 198.51.100.3 plain");
}

// Sharp edge 18: the block stays with its host, a borrowed address is a /32 to the borrower.
TEST_F(Routes, borrowed_addresses_go_to_the_borrower)
{
    const std::string attributes =
        R"j({"secondary":{"node":"n2"}},{"secondary":{"node":"n3"}},{"handle_id":"x"},
            {"releasedAt":"2026-01-02T03:04:05Z","secondary":{"node":"n3"}})j";
    world.block("10.20.2.0/30", "n2", "0,1,2,3", attributes);
    EXPECT_EQ(route("10.20.2.0/30"), "n2 192.0.2.2 encap");
    EXPECT_EQ(route("10.20.2.0/32"), "none") << "the host's own";
    EXPECT_EQ(route("10.20.2.1/32"), "n3 198.51.100.3 encap");
    EXPECT_EQ(route("10.20.2.2/32"), "none") << "no node is named";
    EXPECT_EQ(route("10.20.2.3/32"), "none") << "in cooldown";
    EXPECT_THAT(world.nodes.at(*Ipv4::parse("198.51.100.3")).prefixes,
                ElementsAre(prefix("10.20.2.1/32"), prefix("10.20.3.0/30")));
    world.block("10.20.2.0/30", "", "0,1,null,null", attributes);
    EXPECT_EQ(route("10.20.2.0/30"), "none") << "a block without owner";
    EXPECT_EQ(route("10.20.2.0/32"), "n2 192.0.2.2 encap");
}

TEST_F(Routes, an_address_we_borrowed_is_announced_and_never_sent_to_the_blocks_host)
{
    world.block("10.20.2.0/30", "n2", "0,null,null,null", R"j({"secondary":{"node":"n1"}})j");
    EXPECT_EQ(route("10.20.2.0/32"), "blackhole") << "no endpoint yet";
    world.pod("ns1", "a", "10.20.2.0/32");
    EXPECT_EQ(route("10.20.2.0/32"), "local cali-a");
    EXPECT_EQ(told(), "10.20.1.0/32 10.20.2.0/32") << "and the tunnel address, as no block is ours";
}

TEST_F(Routes, a_borrowed_tunnel_address_is_announced)
{
    world.affinity("n1", "10.20.1.0/30", "");
    EXPECT_EQ(told(), "10.20.1.0/30");
    world.node("n1", R"j("ipv4Address":"192.0.2.1/24","ipv4IPIPTunnelAddr":"10.20.2.3")j");
    EXPECT_EQ(told(), "10.20.1.0/30 10.20.2.3/32");
}

TEST_F(Routes, tunnel_addresses_outside_the_nodes_own_block_are_routes)
{
    EXPECT_EQ(route("10.20.2.0/32"), "none") << "inside n2's block";
    world.node("n2", R"j("ipv4Address":"192.0.2.2/24","ipv4IPIPTunnelAddr":"10.20.3.3")j");
    EXPECT_EQ(route("10.20.3.3/32"), "n2 192.0.2.2 encap");
    world.block("10.20.3.0/30", "n2");
    EXPECT_EQ(route("10.20.3.3/32"), "none");
}

TEST_F(Routes, blocks_of_one_address_have_no_black_hole)
{
    world.block("10.20.9.9/32", "n1");
    EXPECT_EQ(route("10.20.9.9/32"), "none");
}

TEST_F(Routes, route_source_workload_ips_ignores_blocks)
{
    world.pod("ns1", "far", "10.20.2.1/32", "{}", "n2");
    EXPECT_EQ(route("10.20.2.1/32"), "none");
    world.put("felixconfigurations/default", R"j({"routeSource":"WorkloadIPs"})j");
    EXPECT_EQ(route("10.20.2.1/32"), "n2 192.0.2.2 encap");
    EXPECT_EQ(route("10.20.2.0/30"), "none");
    world.gone("felixconfigurations/default");
    EXPECT_EQ(route("10.20.2.1/32"), "none");
    EXPECT_EQ(route("10.20.2.0/30"), "n2 192.0.2.2 encap");
}

// Sharp edge 16: who may send IPIP to us.
TEST_F(Routes, known_ipip_sources_are_the_other_nodes_and_the_external_list)
{
    EXPECT_THAT(world.nodes,
                ElementsAre(Key(*Ipv4::parse("192.0.2.2")), Key(*Ipv4::parse("198.51.100.3"))));
    const auto& n2 = world.nodes.at(*Ipv4::parse("192.0.2.2"));
    EXPECT_EQ(n2.name, "n2");
    EXPECT_EQ(n2.tunnel_address, Ipv4::parse("10.20.2.0"));
    EXPECT_THAT(n2.prefixes, ElementsAre(prefix("10.20.2.0/30")));
    world.node("n4", R"j("ipv4Address":"192.0.2.4/24")j");
    world.sync();
    EXPECT_TRUE(world.nodes.contains(*Ipv4::parse("192.0.2.4")));
    world.gone("nodes/n4");
    world.sync();
    EXPECT_FALSE(world.nodes.contains(*Ipv4::parse("192.0.2.4")));
    world.put("felixconfigurations/default", R"j({"externalNodesList":["203.0.113.0/28"]})j");
    world.sync();
    EXPECT_THAT(*world.felix.external_nodes, ElementsAre(prefix("203.0.113.0/28")));
}

TEST_F(Routes, of_two_nodes_with_one_address_the_first_by_name_has_it)
{
    world.node("n0", R"j("ipv4Address":"192.0.2.2/24")j");
    world.sync();
    EXPECT_EQ(world.nodes.at(*Ipv4::parse("192.0.2.2")).name, "n0");
    world.gone("nodes/n0");
    world.sync();
    EXPECT_EQ(world.nodes.at(*Ipv4::parse("192.0.2.2")).name, "n2");
}

// Sharp edge 4: an affinity's state decides the announcement, the block's own field the route.
TEST_F(Routes, affinity_states_decide_about_announcing_alone)
{
    const std::pair<const char*, bool> states[] = {{"", true},
                                                   {R"j({"state":"confirmed"})j", true},
                                                   {R"j({"state":"pending"})j", false},
                                                   {R"j({"state":"pendingDeletion"})j", false}};
    for (const auto& [value, announced] : states) {
        world.affinity("n1", "10.20.1.0/30", value);
        EXPECT_EQ(route("10.20.1.0/30"), "blackhole") << value;
        EXPECT_EQ(world.announcements.contains(prefix("10.20.1.0/30")), announced) << value;
        EXPECT_EQ(world.own.blocks.size(), announced ? 1u : 0u);
    }
    world.affinity("n2", "10.20.2.0/30", "");
    world.sync();
    EXPECT_FALSE(world.announcements.contains(prefix("10.20.2.0/30"))) << "another node's";
}

TEST_F(Routes, announcements_are_aggregated_and_obey_the_pools)
{
    world.affinity("n1", "10.20.1.0/30", "");
    world.pod("ns1", "in-block", "10.20.1.1/32");
    world.pod("ns1", "no-pool", "172.31.0.1/32");
    EXPECT_EQ(told(), "10.20.1.0/30");
    EXPECT_EQ(world.announcements.at(prefix("10.20.1.1/32")).interface_name, "cali-in-block")
        << "a filter may ask for it";
    pool("Always", R"j(,"disableBGPExport":true)j");
    EXPECT_EQ(told(), "");
}

// Sharp edge 7.
TEST_F(Routes, disabled_pools_still_route_exclude_from_masquerading_and_export)
{
    world.affinity("n1", "10.20.1.0/30", "");
    world.pod("ns1", "borrower", "10.20.2.3/32");
    pool("Always", R"j(,"disabled":true,"natOutgoing":true)j");
    EXPECT_EQ(route("10.20.2.0/30"), "n2 192.0.2.2 encap");
    EXPECT_TRUE(world.pools.at(prefix("10.20.0.0/16")).nat_outgoing);
    EXPECT_TRUE(world.pools.at(prefix("10.20.0.0/16")).disabled);
    EXPECT_EQ(told(), "10.20.1.0/30 10.20.2.3/32");
}

TEST_F(Routes, own_node_vanishes_and_comes_back)
{
    EXPECT_TRUE(world.own.present);
    EXPECT_EQ(world.own.tunnel_address, Ipv4::parse("10.20.1.0"));
    world.gone("nodes/n1");
    world.sync();
    EXPECT_FALSE(world.own.present);
    EXPECT_EQ(route("10.20.1.0/32"), "none");
    EXPECT_EQ(route("10.20.2.0/30"), "n2 192.0.2.2 encap");
}

} // namespace
} // namespace margay::calc
