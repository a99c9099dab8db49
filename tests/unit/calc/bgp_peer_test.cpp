// SPDX-License-Identifier: Apache-2.0
// Sessions of BGPPeers (calico-facts 6.4), and what BGPConfiguration, pools and blocks say of export.
#include <gmock/gmock.h>

#include "support/addresses.h"
#include "world.h"

namespace margay::calc {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Key;

// n1 is ourselves. Without a mesh, so that only BGPPeers make sessions.
struct Peers : ::testing::Test {
    World world;

    void SetUp() override
    {
        mesh(false);
        world.node("n1", R"j("ipv4Address":"10.0.0.9/24")j", R"j({"rack":"a"})j");
        world.node("n2", R"j("ipv4Address":"10.0.0.10/24")j", R"j({"rack":"b","rr":"yes"})j");
        world.sync();
    }
    void mesh(bool on)
    {
        world.put("bgpconfigurations/default",
                  std::string(R"j({"nodeToNodeMeshEnabled":)j") + (on ? "true}" : "false}"));
    }
    void peer(const std::string& name, const std::string& spec)
    {
        world.put("bgppeers/" + name, "{" + spec + "}");
        world.sync();
    }
    void own(const std::string& bgp, const std::string& labels = R"j({"rack":"a"})j")
    {
        world.node("n1", R"j("ipv4Address":"10.0.0.9/24")j" + bgp, labels);
        world.sync();
    }
    const model::BgpSession& at(const std::string& name)
    {
        static const model::BgpSession kNone;
        EXPECT_TRUE(world.sessions.contains(name)) << name;
        return world.sessions.contains(name) ? world.sessions.at(name) : kNone;
    }
};

TEST_F(Peers, a_global_one_is_on_every_node)
{
    peer("tor", R"j("peerIP":"192.0.2.1","asNumber":"1.10","localASNumber":65010,
        "keepOriginalNextHop":true,"password":{"secretKeyRef":{"name":"bgp","key":"tor"}},
        "maxRestartTime":"30s","keepaliveTime":"5s","numAllowedLocalASNumbers":2,
        "ttlSecurity":1,"reachableBy":"10.0.0.1","filters":["b","a"])j");
    ASSERT_THAT(world.sessions, ElementsAre(Key("Global_192_0_2_1")));
    const auto& session = at("Global_192_0_2_1");
    EXPECT_EQ(session.origin, "tor");
    EXPECT_EQ(session.node, "");
    EXPECT_EQ(session.address, Ip(ip("192.0.2.1")));
    EXPECT_EQ(session.port, 179);
    EXPECT_EQ(session.as_number, 65546u);
    EXPECT_EQ(session.local_as_number, 65010u);
    EXPECT_EQ(session.source, Ip(ip("10.0.0.9")));
    EXPECT_FALSE(session.passive) << "it is none of our nodes";
    EXPECT_EQ(session.next_hop, model::NextHopMode::Keep);
    EXPECT_EQ(session.password, (model::SecretKeyRef{"bgp", "tor"}));
    EXPECT_EQ(session.restart_time, std::chrono::seconds(30));
    EXPECT_EQ(session.keepalive_time, std::chrono::seconds(5));
    EXPECT_EQ(session.allowed_own_as, 2);
    EXPECT_EQ(session.ttl_security, 1);
    EXPECT_EQ(session.reachable_by, ip("10.0.0.1"));
    EXPECT_THAT(session.filters, ElementsAre("b", "a")) << "in order";
}

TEST_F(Peers, node_and_node_selector_say_where)
{
    peer("here", R"j("node":"n1","peerIP":"192.0.2.1","asNumber":1)j");
    peer("there", R"j("node":"n2","peerIP":"192.0.2.2","asNumber":1)j");
    peer("rack-a", R"j("nodeSelector":"rack == 'a'","peerIP":"192.0.2.3","asNumber":1)j");
    peer("rack-b", R"j("nodeSelector":"rack == 'b'","peerIP":"192.0.2.4","asNumber":1)j");
    EXPECT_THAT(world.sessions, ElementsAre(Key("Node_192_0_2_1"), Key("Node_192_0_2_3")));
    own("", R"j({"rack":"b"})j");
    EXPECT_THAT(world.sessions, ElementsAre(Key("Node_192_0_2_1"), Key("Node_192_0_2_4")));
}

TEST_F(Peers, another_port_is_part_of_the_name)
{
    peer("tor", R"j("peerIP":"192.0.2.1:1790","asNumber":1)j");
    peer("tor-179", R"j("peerIP":"192.0.2.1:179","asNumber":1)j");
    EXPECT_THAT(world.sessions,
                ElementsAre(Key("Global_192_0_2_1"), Key("Global_192_0_2_1_port_1790")));
}

TEST_F(Peers, an_ipv6_peer_needs_an_ipv6_address_here)
{
    peer("tor", R"j("peerIP":"[2001:db8::1]:1790","asNumber":1)j");
    EXPECT_THAT(world.sessions, IsEmpty());
    own(R"j(,"ipv6Address":"2001:db8::9/64")j");
    ASSERT_THAT(world.sessions, ElementsAre(Key("Global_2001_db8__1_port_1790")));
    EXPECT_EQ(at("Global_2001_db8__1_port_1790").source, Ip(*Ipv6::parse("2001:db8::9")));
}

TEST_F(Peers, a_node_without_port_is_spoken_to_where_it_listens)
{
    world.put("bgpconfigurations/node.n2", R"j({"listenPort":2179})j");
    peer("n2", R"j("peerIP":"10.0.0.10","asNumber":64512)j");
    EXPECT_EQ(at("Global_10_0_0_10_port_2179").node, "n2");
    peer("n2", R"j("peerIP":"10.0.0.10:5179","asNumber":64512)j");
    EXPECT_THAT(world.sessions, ElementsAre(Key("Global_10_0_0_10_port_5179")));
}

TEST_F(Peers, a_selector_means_all_addresses_of_all_nodes_but_ourselves)
{
    own("", R"j({"rr":"yes"})j");
    world.node("n2", R"j("ipv4Address":"10.0.0.10/24","asNumber":64600)j", R"j({"rr":"yes"})j");
    world.node("n3", R"j("ipv4Address":"10.0.0.11/24","ipv6Address":"2001:db8::b/64")j",
               R"j({"rr":"yes"})j");
    peer("rr", R"j("node":"n1","peerSelector":"rr == 'yes'","sourceAddress":"None")j");
    EXPECT_THAT(world.sessions, ElementsAre(Key("Node_10_0_0_10"), Key("Node_10_0_0_11")))
        << "we have no IPv6 address";
    EXPECT_EQ(at("Node_10_0_0_10").as_number, 64600u);
    EXPECT_EQ(at("Node_10_0_0_11").as_number, 64512u);
    EXPECT_EQ(at("Node_10_0_0_11").source, std::nullopt);
    own(R"j(,"asNumber":64700,"ipv6Address":"2001:db8::9/64")j", R"j({"rr":"yes"})j");
    EXPECT_THAT(world.sessions,
                ElementsAre(Key("Node_10_0_0_10"), Key("Node_10_0_0_11"), Key("Node_2001_db8__b")));
    EXPECT_EQ(at("Node_10_0_0_11").as_number, 64512u)
        << "of a node without one the global AS, unlike in the mesh";
}

// Sharp edge 19: by text, and global sessions to nodes alone.
TEST_F(Peers, a_global_session_to_a_node_with_the_greater_text_waits)
{
    own("", "{}");
    world.node("n1", R"j("ipv4Address":"10.0.0.10/24")j");
    world.node("n2", R"j("ipv4Address":"10.0.0.9/24")j");
    peer("x", R"j("peerIP":"10.0.0.9","asNumber":64512)j");
    EXPECT_TRUE(at("Global_10_0_0_9").passive) << "10.0.0.9 is the greater text";
    peer("x", R"j("node":"n1","peerIP":"10.0.0.9","asNumber":64512)j");
    EXPECT_FALSE(at("Node_10_0_0_9").passive);
    world.node("n1", R"j("ipv4Address":"10.0.0.9/24")j");
    world.node("n2", R"j("ipv4Address":"10.0.0.10/24")j");
    peer("x", R"j("peerIP":"10.0.0.10","asNumber":64512)j");
    EXPECT_FALSE(at("Global_10_0_0_10").passive);
}

TEST_F(Peers, of_two_to_one_peer_the_first_counts_and_global_ones_come_first)
{
    peer("a-node", R"j("node":"n1","peerIP":"192.0.2.1","asNumber":1)j");
    EXPECT_EQ(at("Node_192_0_2_1").origin, "a-node");
    peer("z-global", R"j("peerIP":"192.0.2.1","asNumber":2)j");
    ASSERT_THAT(world.sessions, ElementsAre(Key("Global_192_0_2_1")));
    EXPECT_EQ(at("Global_192_0_2_1").origin, "z-global");
    peer("y-global", R"j("peerIP":"192.0.2.1","asNumber":3)j");
    EXPECT_EQ(at("Global_192_0_2_1").origin, "y-global");
    world.gone("bgppeers/y-global");
    world.gone("bgppeers/z-global");
    world.sync();
    EXPECT_THAT(world.sessions, ElementsAre(Key("Node_192_0_2_1")));
}

TEST_F(Peers, a_reflector_has_clients_inside_its_as_and_outside_its_cluster)
{
    const std::string session = "Node_10_0_0_10";
    peer("x", R"j("node":"n1","peerIP":"10.0.0.10","asNumber":64512)j");
    EXPECT_FALSE(at(session).reflector_client) << "we are none";
    own(R"j(,"routeReflectorClusterID":"1.0.0.1")j");
    EXPECT_EQ(world.bgp.route_reflector_cluster_id, "1.0.0.1");
    EXPECT_TRUE(at(session).reflector_client);
    const auto cluster = [this](const char* id) {
        world.node("n2",
                   std::string(R"j("ipv4Address":"10.0.0.10/24","routeReflectorClusterID":")j") +
                       id + '"');
        world.sync();
    };
    cluster("1.0.0.1");
    EXPECT_FALSE(at(session).reflector_client) << "the same cluster";
    cluster("1.0.0.2");
    EXPECT_TRUE(at(session).reflector_client);
    peer("x", R"j("node":"n1","peerIP":"10.0.0.10","asNumber":64513)j");
    EXPECT_FALSE(at(session).reflector_client) << "external";
    peer("x", R"j("node":"n1","peerIP":"10.0.0.10","asNumber":64513,"localASNumber":64513)j");
    EXPECT_TRUE(at(session).reflector_client) << "internal by our AS on this session";
}

// mesh off, nodeSelector all(), peerSelector the reflectors: both ends find their session.
TEST_F(Peers, the_usual_reflector_pattern_gives_each_side_its_session)
{
    const std::string spec = R"j("nodeSelector":"all()","peerSelector":"has(rr)","filters":["f"])j";
    world.node("n3", R"j("ipv4Address":"10.0.0.11/24")j");
    peer("rr", spec);
    EXPECT_THAT(world.sessions, ElementsAre(Key("Node_10_0_0_10")))
        << "a client has its reflectors";
    own(R"j(,"routeReflectorClusterID":"1.0.0.1")j", R"j({"rr":"yes"})j");
    EXPECT_THAT(world.sessions, ElementsAre(Key("Node_10_0_0_10"), Key("Node_10_0_0_11")))
        << "a reflector has all nodes";
    EXPECT_TRUE(at("Node_10_0_0_11").reflector_client);
    EXPECT_THAT(at("Node_10_0_0_11").filters, ElementsAre("f"));
    peer("rr", spec + R"j(,"reversePeering":"Manual")j");
    EXPECT_THAT(world.sessions, ElementsAre(Key("Node_10_0_0_10")));
}

TEST_F(Peers, whoever_is_a_peer_by_address_has_the_opposite_session)
{
    world.put("bgpconfigurations/node.n1", R"j({"listenPort":2179})j");
    peer("to-us", R"j("node":"n2","peerIP":"10.0.0.9","asNumber":64512,"localASNumber":64999)j");
    ASSERT_THAT(world.sessions, ElementsAre(Key("Node_10_0_0_10")));
    EXPECT_EQ(at("Node_10_0_0_10").as_number, 64999u) << "what n2 shows there";
    EXPECT_EQ(at("Node_10_0_0_10").local_as_number, std::nullopt);
    peer("to-us", R"j("node":"n2","peerIP":"10.0.0.9:2179","asNumber":64512)j");
    EXPECT_EQ(world.sessions.size(), 1u);
    peer("to-us", R"j("node":"n2","peerIP":"10.0.0.9:179","asNumber":64512)j");
    EXPECT_THAT(world.sessions, IsEmpty()) << "somebody else at our address";
    peer("to-us", R"j("node":"n2","peerIP":"10.0.0.9","asNumber":64513)j");
    EXPECT_THAT(world.sessions, IsEmpty()) << "another AS than ours";
}

TEST_F(Peers, a_bgppeer_takes_the_place_of_the_mesh_session_to_the_same_address)
{
    mesh(true);
    world.node("n3", R"j("ipv4Address":"10.0.0.11/24")j");
    peer("x", R"j("node":"n1","peerIP":"10.0.0.10","asNumber":64512,"filters":["f"])j");
    EXPECT_THAT(world.sessions, ElementsAre(Key("Mesh_10_0_0_11"), Key("Node_10_0_0_10")));
    EXPECT_EQ(at("Mesh_10_0_0_11").origin, "mesh");
}

TEST_F(Peers, the_mesh_has_both_families_and_the_mesh_password)
{
    world.put("bgpconfigurations/default",
              R"j({"nodeMeshPassword":{"secretKeyRef":{"name":"bgp","key":"mesh"}},
                   "nodeMeshMaxRestartTime":"1m"})j");
    world.node("n2", R"j("ipv4Address":"10.0.0.10/24","ipv6Address":"2001:db8::a/64")j");
    own(R"j(,"ipv6Address":"2001:db8::9/64")j");
    EXPECT_THAT(world.sessions, ElementsAre(Key("Mesh_10_0_0_10"), Key("Mesh_2001_db8__a")));
    EXPECT_EQ(at("Mesh_2001_db8__a").source, Ip(*Ipv6::parse("2001:db8::9")));
    EXPECT_EQ(at("Mesh_10_0_0_10").password, (model::SecretKeyRef{"bgp", "mesh"}));
    EXPECT_EQ(at("Mesh_10_0_0_10").restart_time, std::chrono::seconds(60));
}

TEST_F(Peers, a_change_names_the_sessions_that_it_concerns_and_no_other)
{
    peer("a", R"j("peerIP":"192.0.2.1","asNumber":1)j");
    peer("b", R"j("peerIP":"192.0.2.2","asNumber":1)j");
    world.put("bgppeers/b", R"j({"peerIP":"192.0.2.2","asNumber":2})j");
    const auto changes = world.sync();
    EXPECT_THAT(changes.bgp_sessions, ElementsAre(Key("Global_192_0_2_2")));
    EXPECT_FALSE(changes.bgp);
    EXPECT_FALSE(changes.bgp_export);
    world.put("bgppeers/b", R"j({"peerIP":"192.0.2.2","asNumber":2})j");
    EXPECT_FALSE(world.inventory.dirty()) << "the same again";
}

TEST_F(Peers, without_an_own_address_there_is_nobody)
{
    peer("a", R"j("peerIP":"192.0.2.1","asNumber":1)j");
    world.node("n1", R"j("asNumber":1)j");
    world.sync();
    EXPECT_THAT(world.sessions, IsEmpty());
}

TEST_F(Peers, a_bad_value_leaves_the_last_good_session_and_is_named)
{
    peer("a", R"j("peerIP":"192.0.2.1","asNumber":1)j");
    peer("a", R"j("peerIP":"192.0.2.1","asNumber":"x")j");
    EXPECT_THAT(world.sessions, ElementsAre(Key("Global_192_0_2_1")));
    ASSERT_EQ(world.quarantine.issues().size(), 1u);
    EXPECT_EQ(world.quarantine.issues()[0].in_force, "the last good value");
}

TEST_F(Peers, filters_are_passed_on_by_name)
{
    world.put("bgpfilters/f", R"j({"importV4":[{"action":"Reject"}]})j");
    world.sync();
    ASSERT_THAT(world.filters, ElementsAre(Key("f")));
    EXPECT_EQ(world.filters.at("f").import4.size(), 1u);
    world.gone("bgpfilters/f");
    world.sync();
    EXPECT_THAT(world.filters, IsEmpty());
}

// Sharp edge 4, the half of BGP; of both families.
TEST_F(Peers, own_blocks_are_exported_by_the_state_of_their_affinity)
{
    world.affinity("n1", "10.20.1.0/30", R"j({"state":"pending"})j");
    world.affinity("n2", "10.20.2.0/30", "");
    world.put_raw("/calico/ipam/v2/host/n1/ipv6/block/fd00::-122", "");
    world.sync();
    EXPECT_THAT(world.bgp_export.own_blocks,
                ElementsAre(model::AnyPrefix(*Prefix6::parse("fd00::/122"))));
    world.affinity("n1", "10.20.1.0/30", "");
    world.sync();
    EXPECT_THAT(world.bgp_export.own_blocks,
                ElementsAre(model::AnyPrefix(prefix("10.20.1.0/30")),
                            model::AnyPrefix(*Prefix6::parse("fd00::/122"))));
}

TEST_F(Peers, pools_of_both_families_are_exported_but_those_that_say_no)
{
    world.put("ippools/a", R"j({"cidr":"10.20.0.0/16","disabled":true})j");
    world.put("ippools/b", R"j({"cidr":"fd00::/64","disableBGPExport":true})j");
    world.sync();
    EXPECT_THAT(world.bgp_export.pools,
                ElementsAre(model::BgpExport::Pool{prefix("10.20.0.0/16"), true},
                            model::BgpExport::Pool{*Prefix6::parse("fd00::/64"), false}));
}

TEST_F(Peers, advertisements_of_the_own_object_stand_for_the_default_ones)
{
    world.put("bgpconfigurations/default", R"j({"ipv4NormalRoutePriority":500,
        "communities":[{"name":"c","value":"65001:1:2"}],
        "prefixAdvertisements":[{"cidr":"10.20.0.0/16","communities":["c","65001:7"]}]})j");
    world.sync();
    EXPECT_EQ(world.bgp_export.priority4, 500u);
    EXPECT_EQ(world.bgp_export.priority6, 1024u);
    ASSERT_EQ(world.bgp_export.advertisements.size(), 1u);
    EXPECT_THAT(world.bgp_export.advertisements[0].communities,
                ElementsAre(model::Community(model::LargeCommunity{65001, 1, 2}),
                            model::Community(65001u << 16 | 7)));
    world.put("bgpconfigurations/node.n1", R"j({"prefixAdvertisements":[]})j");
    world.put("bgpconfigurations/node.n2", R"j({"prefixAdvertisements":[
        {"cidr":"10.20.0.0/16","communities":["1:1"]}]})j");
    world.sync();
    EXPECT_THAT(world.bgp_export.advertisements, IsEmpty());
}

TEST_F(Peers, services_are_passed_on_as_they_are_and_by_reflectors_in_parts)
{
    world.put("bgpconfigurations/default", R"j({"serviceClusterIPs":[{"cidr":"10.96.0.0/12"}],
        "serviceExternalIPs":[{"cidr":"192.0.2.0/24"},{"cidr":"198.51.100.7/32"}],
        "serviceLoadBalancerIPs":[{"cidr":"203.0.113.0/24"}],
        "serviceLoadBalancerAggregation":"Disabled"})j");
    world.sync();
    EXPECT_THAT(world.bgp_export.service_routes.v4,
                ElementsAre(prefix("10.96.0.0/12"), prefix("192.0.2.0/24")));
    EXPECT_TRUE(world.bgp_export.reflected_services.empty());
    own(R"j(,"routeReflectorClusterID":"1.0.0.1")j");
    EXPECT_THAT(
        world.bgp_export.reflected_services.v4,
        ElementsAre(prefix("192.0.2.0/24"), prefix("198.51.100.7/32"), prefix("203.0.113.0/24")));
}

// ---- localWorkloadSelector: workloads of this node ----

struct WorkloadPeers : Peers {
    void SetUp() override
    {
        Peers::SetUp();
        world.usual();
        world.put(
            "bgpconfigurations/default",
            R"j({"nodeToNodeMeshEnabled":false,"localWorkloadPeeringIPV4":"169.254.0.179"})j");
        world.pod("a", "router", "10.65.0.2/32", R"j({"role":"router"})j");
        world.pod("a", "client", "10.65.0.3/32", R"j({"role":"client"})j");
        world.pod("a", "elsewhere", "10.65.1.2/32", R"j({"role":"router"})j", "n2");
        world.sync();
    }
};

TEST_F(WorkloadPeers, those_of_this_node_that_match_have_a_session_by_the_peering_address)
{
    peer("routers", R"j("localWorkloadSelector":"role == 'router'","asNumber":65401,
        "localASNumber":65010,"ttlSecurity":1,"filters":["in"],"maxRestartTime":"30s")j");
    ASSERT_THAT(world.sessions, ElementsAre(Key("Local_Workload_10_65_0_2")));
    const auto& session = at("Local_Workload_10_65_0_2");
    EXPECT_EQ(session.origin, "routers");
    EXPECT_EQ(session.address, Ip(ip("10.65.0.2")));
    EXPECT_EQ(session.as_number, 65401u);
    EXPECT_EQ(session.local_as_number, 65010u);
    EXPECT_EQ(session.source, Ip(ip("169.254.0.179")));
    EXPECT_EQ(session.workload_interface, "cali-router");
    EXPECT_EQ(session.ttl_security, 1);
    EXPECT_THAT(session.filters, ElementsAre("in"));
    EXPECT_FALSE(session.passive) << "what the host begins needs no policy of the workload's";
}

TEST_F(WorkloadPeers, node_and_selector_of_the_bgppeer_count)
{
    peer("there", R"j("node":"n2","localWorkloadSelector":"all()","asNumber":65401)j");
    EXPECT_THAT(world.sessions, IsEmpty());
    peer("here", R"j("nodeSelector":"rack == 'a'","localWorkloadSelector":"all()",
        "asNumber":65401)j");
    EXPECT_THAT(world.sessions,
                ElementsAre(Key("Local_Workload_10_65_0_2"), Key("Local_Workload_10_65_0_3")));
}

TEST_F(WorkloadPeers, a_global_one_counts_before_one_of_the_node)
{
    peer("z", R"j("localWorkloadSelector":"role == 'router'","asNumber":65401)j");
    peer("a", R"j("node":"n1","localWorkloadSelector":"role == 'router'","asNumber":65402)j");
    EXPECT_EQ(at("Local_Workload_10_65_0_2").as_number, 65401u);
}

TEST_F(WorkloadPeers, they_come_and_go_with_workloads_and_their_labels)
{
    peer("routers", R"j("localWorkloadSelector":"role == 'router'","asNumber":65401)j");
    world.pod("a", "client", "10.65.0.3/32", R"j({"role":"router"})j");
    world.sync();
    EXPECT_TRUE(world.sessions.contains("Local_Workload_10_65_0_3"));
    world.gone("workloadendpoints/a/router");
    world.sync();
    EXPECT_THAT(world.sessions, ElementsAre(Key("Local_Workload_10_65_0_3")));
    world.pod("a", "client", "10.65.0.9/32", R"j({"role":"router"})j");
    world.sync();
    EXPECT_THAT(world.sessions, ElementsAre(Key("Local_Workload_10_65_0_9")));
}

TEST_F(WorkloadPeers, labels_of_profiles_count)
{
    peer("routers", R"j("localWorkloadSelector":"team == 'net'","asNumber":65401)j");
    EXPECT_THAT(world.sessions, IsEmpty());
    world.put("profiles/open", R"j({"ingress":[{"action":"Allow"}],"egress":[{"action":"Allow"}],
        "labelsToApply":{"team":"net"}})j");
    world.sync();
    EXPECT_EQ(world.sessions.size(), 2u);
}

TEST_F(WorkloadPeers, without_a_peering_address_there_is_no_source)
{
    mesh(false);
    peer("routers", R"j("localWorkloadSelector":"role == 'router'","asNumber":65401)j");
    EXPECT_EQ(at("Local_Workload_10_65_0_2").source, std::nullopt);
}

TEST_F(WorkloadPeers, internal_ones_are_clients_of_a_reflector)
{
    own(R"j(,"routeReflectorClusterID":"1.0.0.1")j");
    peer("routers", R"j("localWorkloadSelector":"role == 'router'","asNumber":64512)j");
    EXPECT_TRUE(at("Local_Workload_10_65_0_2").reflector_client);
    peer("routers", R"j("localWorkloadSelector":"role == 'router'","asNumber":65401)j");
    EXPECT_FALSE(at("Local_Workload_10_65_0_2").reflector_client);
}

TEST_F(WorkloadPeers, workloads_are_no_news_where_nobody_selects_any)
{
    world.pod("a", "third", "10.65.0.4/32", R"j({"role":"router"})j");
    EXPECT_TRUE(world.sync().bgp_sessions.empty());
}

} // namespace
} // namespace margay::calc
