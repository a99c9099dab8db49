// SPDX-License-Identifier: Apache-2.0
#include "agent/model/key.h"

#include <gmock/gmock.h>

#include "support/keys.h"

namespace margay::model {
namespace {

TEST(Key, generic_resources_go_both_ways)
{
    const std::pair<std::string, ResourceKey> cases[] = {
        {"nodes/n1", {Kind::Node, "", "n1"}},
        {"ippools/blue", {Kind::IpPool, "", "blue"}},
        {"workloadendpoints/ns1/node--1-k8s-pod--name-eth0",
         {Kind::WorkloadEndpoint, "ns1", "node--1-k8s-pod--name-eth0"}},
        {"globalnetworkpolicies/a.b", {Kind::GlobalNetworkPolicy, "", "a.b"}},
        {"networkpolicies/ns1/knp.default.web", {Kind::NetworkPolicy, "ns1", "knp.default.web"}},
        {"networksets/ns1/s", {Kind::NetworkSet, "ns1", "s"}},
        {"clusterinformations/default", {Kind::ClusterInformation, "", "default"}},
        {"bgpconfigurations/node.n1", {Kind::BgpConfiguration, "", "node.n1"}},
    };
    for (const auto& [path, key] : cases) {
        EXPECT_EQ(parse_key(kResources + path), key) << path;
        EXPECT_EQ(key_path(key), kResources + path);
    }
}

TEST(Key, ipam_keys_go_both_ways)
{
    const std::pair<std::string, ResourceKey> cases[] = {
        {"/calico/ipam/v2/assignment/ipv4/block/10.20.4.64-26",
         {Kind::IpamBlock, "", "10.20.4.64/26"}},
        {"/calico/ipam/v2/assignment/ipv6/block/fd00::40-122",
         {Kind::IpamBlock, "", "fd00::40/122"}},
        {"/calico/ipam/v2/host/n1/ipv4/block/10.20.4.64-26",
         {Kind::BlockAffinity, "host:n1", "10.20.4.64/26"}},
        {"/calico/ipam/v2/virtual/load-balancer/ipv4/block/10.20.4.64-26",
         {Kind::BlockAffinity, "virtual:load-balancer", "10.20.4.64/26"}},
        {"/calico/ipam/v2/config", {Kind::IpamConfig, "", "config"}},
    };
    for (const auto& [path, key] : cases) {
        EXPECT_EQ(parse_key(path), key) << path;
        EXPECT_EQ(key_path(key), path);
    }
}

TEST(Key, escapes_are_undone_on_reading)
{
    EXPECT_EQ(parse_key(kResources + "nodes/a%2fb%25c%41")->name, "a/b%c%41");
}

TEST(Key, unknown_keys_are_ignored)
{
    for (const std::string path :
         {"", "/", "/calico/v1/Ready", "/calico/ipam/v2/handle/x", "/calico/ipam/v2/host/n1",
          "/calico/ipam/v2/assignment/ipv4/block/10.20.4.65-26",
          "/calico/ipam/v2/assignment/ipv4/block/10.20.4.64",
          "/calico/ipam/v2/assignment/ipv5/block/10.20.4.64-26",
          "/calico/ipam/v2/host//ipv4/block/10.20.4.64-26",
          "/calico/resources/v3/projectcalico.org/blockaffinities/x",
          "/calico/resources/v3/projectcalico.org/stagednetworkpolicies/ns/x",
          "/calico/resources/v3/projectcalico.org/nodes",
          "/calico/resources/v3/projectcalico.org/nodes/",
          "/calico/resources/v3/projectcalico.org/nodes/a/b",
          "/calico/resources/v3/projectcalico.org/networkpolicies/a",
          "/calico/resources/v3/projectcalico.org/networkpolicies//a"})
        EXPECT_FALSE(parse_key(path)) << path;
}

TEST(Key, prints_for_people)
{
    EXPECT_EQ((ResourceKey{Kind::NetworkPolicy, "ns1", "web"}.str()), "NetworkPolicy ns1/web");
    EXPECT_EQ((ResourceKey{Kind::Node, "", "n1"}.str()), "Node n1");
}

} // namespace
} // namespace margay::model
