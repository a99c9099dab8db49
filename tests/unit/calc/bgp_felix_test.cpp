// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "world.h"

namespace margay::calc {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Key;

struct Mesh : ::testing::Test {
    World world;

    void SetUp() override
    {
        world.node("n1", R"j("ipv4Address":"10.0.0.9/24")j");
        world.node("n2", R"j("ipv4Address":"10.0.0.10/24")j");
        world.sync();
    }
};

TEST_F(Mesh, joins_all_nodes_with_an_address_of_their_own)
{
    world.node("n3", R"j("asNumber":64600)j");
    world.node("n4", R"j("ipv4Address":"10.0.0.9/24")j");
    world.sync();
    EXPECT_THAT(world.sessions, ElementsAre(Key("Mesh_10_0_0_10")));
    EXPECT_EQ(world.sessions.at("Mesh_10_0_0_10").node, "n2");
    world.gone("nodes/n2");
    world.sync();
    EXPECT_THAT(world.sessions, IsEmpty());
}

// Sharp edge 19.
TEST_F(Mesh, the_smaller_text_is_the_passive_side)
{
    EXPECT_FALSE(world.sessions.at("Mesh_10_0_0_10").passive)
        << "10.0.0.9 is the greater text and dials";
    world.node("n1", R"j("ipv4Address":"10.0.0.10/24")j");
    world.node("n2", R"j("ipv4Address":"10.0.0.9/24")j");
    world.sync();
    EXPECT_TRUE(world.sessions.at("Mesh_10_0_0_9").passive);
}

TEST_F(Mesh, remote_as_is_the_peers_or_else_our_own_and_not_the_global_one)
{
    world.put("bgpconfigurations/default", R"j({"asNumber":64700})j");
    world.sync();
    EXPECT_EQ(world.bgp.as_number, 64700u);
    EXPECT_EQ(world.sessions.at("Mesh_10_0_0_10").as_number, 64700u);
    world.node("n1", R"j("ipv4Address":"10.0.0.9/24","asNumber":64600)j");
    world.sync();
    EXPECT_EQ(world.bgp.as_number, 64600u);
    EXPECT_EQ(world.sessions.at("Mesh_10_0_0_10").as_number, 64600u);
    world.node("n2", R"j("ipv4Address":"10.0.0.10/24","asNumber":"1.1")j");
    world.sync();
    EXPECT_EQ(world.sessions.at("Mesh_10_0_0_10").as_number, 65537u);
}

TEST_F(Mesh, ports_are_the_nodes_own_or_the_global_one)
{
    EXPECT_EQ(world.sessions.at("Mesh_10_0_0_10").port, 179);
    world.put("bgpconfigurations/default", R"j({"listenPort":1179,"bindMode":"NodeIP"})j");
    world.put("bgpconfigurations/node.n2", R"j({"listenPort":2179,"asNumber":1})j");
    world.sync();
    EXPECT_EQ(world.bgp.listen_port, 1179);
    EXPECT_TRUE(world.bgp.bind_node_address);
    EXPECT_EQ(world.sessions.at("Mesh_10_0_0_10").port, 2179);
    EXPECT_EQ(world.bgp.as_number, 64512u) << "only the default object's AS counts";
}

TEST_F(Mesh, is_off_by_configuration_and_without_reflectors)
{
    world.node("n2", R"j("ipv4Address":"10.0.0.10/24","routeReflectorClusterID":"1.0.0.1")j");
    world.sync();
    EXPECT_THAT(world.sessions, IsEmpty());
    SetUp();
    EXPECT_EQ(world.sessions.size(), 1u);
    world.node("n1", R"j("ipv4Address":"10.0.0.9/24","routeReflectorClusterID":"1.0.0.1")j");
    world.sync();
    EXPECT_THAT(world.sessions, IsEmpty());
    SetUp();
    world.put("bgpconfigurations/default", R"j({"nodeToNodeMeshEnabled":false})j");
    world.sync();
    EXPECT_THAT(world.sessions, IsEmpty());
    EXPECT_FALSE(world.bgp.mesh_enabled);
}

TEST(Felix, precedence_is_node_then_one_scoped_object_then_default)
{
    World world;
    const auto scoped = [&world](const std::string& name, const std::string& created,
                                 const std::string& spec) {
        world.put_raw("felixconfigurations/" + name,
                      R"j({"metadata":{"creationTimestamp":")j" + created +
                          R"j("},"spec":{"nodeSelector":"rack == 'a'",)j" + spec + "}}");
    };
    world.put("felixconfigurations/default",
              R"j({"ipipMTU":1,"vxlanPort":1,"healthPort":1,"logPrefix":"d"})j");
    scoped("young", "2026-02-01T00:00:00Z", R"j("vxlanPort":9,"healthPort":9,"logPrefix":"y")j");
    scoped("old", "2026-01-01T00:00:00Z", R"j("vxlanPort":2,"healthPort":2)j");
    world.put("felixconfigurations/node.n1", R"j({"healthPort":3,"logPrefix":""})j");
    world.put("felixconfigurations/node.n2", R"j({"ipipMTU":7})j");
    world.sync();
    EXPECT_EQ(world.felix.vxlan_port, 1) << "the own node has no labels yet";
    world.node("n1", "", R"j({"rack":"a"})j");
    world.sync();
    EXPECT_EQ(world.felix.ipip_mtu, 1);
    EXPECT_EQ(world.felix.vxlan_port, 2) << "of several scoped objects the oldest";
    EXPECT_EQ(world.felix.health_port, 3);
    EXPECT_EQ(world.felix.log_prefix, "d")
        << "an empty text falls through, and scoped objects do not merge";
}

TEST(Felix, an_endpoint_that_may_spoof_counts_as_missing_unless_configured)
{
    World world;
    world.usual();
    world.gnp(
        "p",
        R"j({"types":["Ingress"],"ingress":[{"action":"Allow","source":{"selector":"role == 'x'"}}]})j");
    world.pod("ns1", "a", "10.0.0.1/32");
    world.pod("ns1", "s", "10.0.0.2/32", R"j({"role":"x"})j", "n1",
              R"j("allowSpoofedSourcePrefixes":["192.0.2.0/24"])j");
    world.sync();
    EXPECT_THAT(world.endpoints, ElementsAre(Key("cali-a")));
    EXPECT_EQ(world.members(R"j(selector role == "x")j"), "");
    ASSERT_EQ(world.quarantine.issues().size(), 1u);
    EXPECT_EQ(world.quarantine.issues()[0].reason, "spec.allowSpoofedSourcePrefixes");
    EXPECT_EQ(world.quarantine.issues()[0].in_force,
              "nothing, unless workloadSourceSpoofing is Any: then everything else of it");
    world.put("felixconfigurations/default", R"j({"workloadSourceSpoofing":"Any"})j");
    world.sync();
    EXPECT_THAT(world.endpoints, ElementsAre(Key("cali-a"), Key("cali-s")));
    EXPECT_EQ(world.members(R"j(selector role == "x")j"), "10.0.0.2/32");
    world.gone("felixconfigurations/default");
    world.sync();
    EXPECT_THAT(world.endpoints, ElementsAre(Key("cali-a")));
    EXPECT_EQ(world.members(R"j(selector role == "x")j"), "");
    world.pod("ns1", "s", "10.0.0.2/32", R"j({"role":"x"})j", "n1",
              R"j("allowSpoofedSourcePrefixes":[])j");
    world.sync();
    EXPECT_THAT(world.endpoints, ElementsAre(Key("cali-a"), Key("cali-s")));
    EXPECT_TRUE(world.quarantine.issues().empty()) << "an empty list asks for nothing";
}

} // namespace
} // namespace margay::calc
