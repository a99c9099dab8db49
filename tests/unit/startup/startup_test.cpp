// SPDX-License-Identifier: Apache-2.0
#include "world.h"

namespace margay::startup {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Fate = margay::testing::FakeKv::Fate;
namespace json = boost::json;

TEST_F(StartupTest, fresh_cluster_gets_everything_that_calico_node_writes)
{
    const auto state = start();
    ASSERT_TRUE(state) << state.error().what;

    const auto info = spec("clusterinformations", "default");
    EXPECT_EQ(text(info, "clusterGUID").size(), 32u);
    EXPECT_EQ(text(info, "clusterType"), "demo");
    EXPECT_EQ(info.at("datastoreReady"), true);
    EXPECT_FALSE(info.contains("calicoVersion")) << "any version of ours stops calicoctl";
    EXPECT_EQ(spec("tiers", "kube-admin").at("order"), 1000);
    EXPECT_EQ(spec("tiers", "default").at("defaultAction"), "Deny");
    EXPECT_EQ(spec("tiers", "kube-baseline").at("defaultAction"), "Pass");
    EXPECT_EQ(spec("felixconfigurations", "default").at("reportingInterval"), "0s");
    EXPECT_EQ(spec("felixconfigurations", "node.n1").at("defaultEndpointToHostAction"), "Return");
    EXPECT_FALSE(stored("bgpconfigurations", "default").empty());
    EXPECT_FALSE(stored("ipamconfigurations", "default").empty());

    const auto pool = spec("ippools", "default-ipv4-ippool");
    EXPECT_EQ(pool.at("cidr"), "10.244.0.0/16");
    EXPECT_EQ(pool.at("ipipMode"), "Always");
    EXPECT_EQ(pool.at("blockSize"), 26);
    EXPECT_EQ(pool.at("natOutgoing"), true);

    EXPECT_EQ(bgp("ipv4Address"), "192.0.2.11/24");
    EXPECT_EQ(bgp("ipv4IPIPTunnelAddr"), state->tunnel_address->str());
    EXPECT_TRUE(Prefix4::parse("10.244.0.0/16")->contains(*state->tunnel_address));
    EXPECT_EQ(json::serialize(spec("nodes", "n1").at("addresses")),
              R"([{"address":"192.0.2.11/24","type":"CalicoNodeIP"}])");
    const auto metadata = stored("nodes", "n1").at("metadata").get_object();
    EXPECT_EQ(text(metadata, "uid").size(), 36u);
    EXPECT_EQ(text(metadata, "creationTimestamp"), "2026-01-02T03:04:05Z");
    world.check();
}

TEST_F(StartupTest, second_start_writes_nothing)
{
    ASSERT_TRUE(start());
    kv.writes.clear();
    const auto again = start();
    ASSERT_TRUE(again);
    EXPECT_THAT(kv.writes, IsEmpty());
    EXPECT_THAT(again->notes, IsEmpty());
}

TEST_F(StartupTest, start_that_was_cut_off_anywhere_is_finished_by_the_next)
{
    for (const Fate fate : {Fate::CrashBefore, Fate::CrashAfter, Fate::Conflict}) {
        for (int number = 1;; number++) {
            world.table->entries.clear();
            margay::testing::FakeKv first(world.table);
            first.fail_write(number, fate);
            (void)prepare(first, config(), "n1", host, world.clock);
            if (first.writes.size() < static_cast<std::size_t>(number))
                break;
            const auto state = start();
            ASSERT_TRUE(state) << number << " " << state.error().what;
            EXPECT_EQ(bgp("ipv4IPIPTunnelAddr"), state->tunnel_address->str());
            EXPECT_EQ(world.in_use(), 1u) << "one tunnel address, write " << number;
            EXPECT_EQ(world.count(resource_key("tiers", "")), 3u);
            world.check();
        }
    }
}

TEST_F(StartupTest, what_others_wrote_into_the_node_stays)
{
    put_node("n1", R"({"bgp":{"routeReflectorClusterID":"1.1.1.1","ipv4Address":"192.0.2.99/24"},)"
                   R"("addresses":[{"address":"192.0.2.99/24","type":"CalicoNodeIP"},)"
                   R"({"address":"10.0.0.1","type":"InternalIP"}],"future":7})");
    environment["IP"] = "autodetect";
    environment["AS"] = "64999";
    environment["CALICO_K8S_NODE_REF"] = "k1";
    ASSERT_TRUE(start());

    const auto node = spec("nodes", "n1");
    EXPECT_EQ(bgp("ipv4Address"), "192.0.2.11/24");
    EXPECT_EQ(bgp("routeReflectorClusterID"), "1.1.1.1");
    EXPECT_EQ(node.at("bgp").at("asNumber"), 64999);
    EXPECT_EQ(node.at("future"), 7);
    EXPECT_EQ(json::serialize(node.at("addresses")),
              R"([{"address":"192.0.2.11/24","type":"CalicoNodeIP"},)"
              R"({"address":"10.0.0.1","type":"InternalIP"}])");
    EXPECT_EQ(json::serialize(node.at("orchRefs")), R"([{"nodeName":"k1","orchestrator":"k8s"}])");
    EXPECT_EQ(stored("nodes", "n1").at("metadata").at("labels").at("rack"), "a");
}

TEST_F(StartupTest, stored_address_is_kept_unless_detection_is_asked_for)
{
    put_node("n1", R"({"bgp":{"ipv4Address":"192.0.2.99/24"}})");
    ASSERT_TRUE(start());
    EXPECT_EQ(bgp("ipv4Address"), "192.0.2.99/24");
}

TEST_F(StartupTest, fixed_address_takes_its_length_from_the_interface)
{
    environment["IP"] = "192.0.2.11";
    ASSERT_TRUE(start());
    EXPECT_EQ(bgp("ipv4Address"), "192.0.2.11/24");
    environment["IP"] = "192.0.2.50";
    const auto state = mend();
    EXPECT_EQ(bgp("ipv4Address"), "192.0.2.50/32");
    EXPECT_THAT(state->notes, Contains(HasSubstr("on no interface")));
}

TEST_F(StartupTest, no_address_means_no_bgp_field_at_all)
{
    ASSERT_TRUE(start());
    environment["IP"] = "none";
    ASSERT_TRUE(mend());
    EXPECT_FALSE(spec("nodes", "n1").contains("bgp"));
    EXPECT_FALSE(spec("nodes", "n1").contains("addresses"));
}

TEST_F(StartupTest, failed_detection_names_its_reason_and_keeps_an_address_that_is_still_there)
{
    host.detected.reset();
    host.detection = "every interface is excluded";
    const auto none = start();
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().code, Errc::Unavailable);
    EXPECT_THAT(none.error().what, HasSubstr("every interface is excluded"));

    environment["IP"] = "autodetect";
    put_node("n1", R"({"bgp":{"ipv4Address":"192.0.2.11/24"}})");
    const auto kept = start();
    ASSERT_TRUE(kept);
    EXPECT_THAT(kept->notes, Contains(HasSubstr("address kept")));
}

TEST_F(StartupTest, address_of_another_node_is_a_conflict_with_a_reason_and_changes_nothing)
{
    put_node("n2", R"({"bgp":{"ipv4Address":"192.0.2.11/16"}})");
    const auto state = start();
    ASSERT_TRUE(state);
    EXPECT_THAT(state->conflict, HasSubstr("node n2 has address 192.0.2.11 too; if it is gone"));
    EXPECT_TRUE(stored("nodes", "n1").empty());
    EXPECT_EQ(world.in_use(), 0u);

    world.table->write("/calico/felix/v2/no-region/host/n2/status", "{}");
    EXPECT_THAT(mend()->conflict, HasSubstr("reports its status"));

    environment["DISABLE_NODE_IP_CHECK"] = "true";
    EXPECT_EQ(mend()->conflict, "");
    EXPECT_EQ(bgp("ipv4Address"), "192.0.2.11/24");
}

TEST_F(StartupTest, locked_datastore_is_waited_for_and_not_written)
{
    put("clusterinformations", "default", R"({"spec":{"datastoreReady":false}})");
    for (const auto& state : {start(), mend()}) {
        ASSERT_FALSE(state);
        EXPECT_EQ(state.error().code, Errc::Unavailable);
        EXPECT_THAT(state.error().what, HasSubstr("datastoreReady=false"));
    }
    EXPECT_THAT(kv.writes, IsEmpty());
}

TEST_F(StartupTest, existing_cluster_information_is_completed_not_replaced)
{
    put("clusterinformations", "default",
        R"({"spec":{"clusterGUID":"g","clusterType":"k8s,bgp","calicoVersion":"v3.30.0","variant":"x"}})");
    ASSERT_TRUE(start());
    const auto info = spec("clusterinformations", "default");
    EXPECT_EQ(text(info, "clusterGUID"), "g");
    EXPECT_EQ(text(info, "clusterType"), "k8s,bgp,demo");
    EXPECT_EQ(text(info, "calicoVersion"), "v3.30.0");
    EXPECT_EQ(text(info, "variant"), "x");
    EXPECT_EQ(info.at("datastoreReady"), true);
}

TEST_F(StartupTest, default_pool_is_made_only_when_there_is_none_and_it_is_wanted)
{
    world.pool("mine", "10.9.0.0/24", 28);
    ASSERT_TRUE(start());
    EXPECT_TRUE(stored("ippools", "default-ipv4-ippool").empty());
    world.remove_pool("mine");
    environment["NO_DEFAULT_POOLS"] = "true";
    ASSERT_TRUE(start());
    environment.erase("NO_DEFAULT_POOLS");
    environment["CALICO_IPV4POOL_CIDR"] = "none";
    ASSERT_TRUE(start());
    EXPECT_EQ(world.count(resource_key("ippools", "")), 0u);
    environment["CALICO_IPV4POOL_CIDR"] = "10.244.0.0/16";
    ASSERT_TRUE(mend());
    EXPECT_EQ(world.count(resource_key("ippools", "")), 0u) << "a repair makes no pools";
}

TEST_F(StartupTest, route_reflector_writes_its_node_and_leaves_pools_and_addresses_alone)
{
    environment["MARGAY_ROLE"] = "route-reflector";
    environment["MARGAY_ROUTE_REFLECTOR_CLUSTER_ID"] = "1.0.0.1";
    ASSERT_TRUE(start());
    EXPECT_EQ(bgp("ipv4Address"), "192.0.2.11/24");
    EXPECT_EQ(bgp("routeReflectorClusterID"), "1.0.0.1");
    EXPECT_EQ(bgp("ipv4IPIPTunnelAddr"), "");
    EXPECT_TRUE(spec("ippools", "default-ipv4-ippool").empty());
}

TEST_F(StartupTest, node_that_was_a_reflector_keeps_its_cluster_unless_the_setting_says_another)
{
    put_node("n1",
             R"({"bgp":{"ipv4Address":"192.0.2.11/24","routeReflectorClusterID":"1.0.0.9"}})");
    ASSERT_TRUE(start());
    EXPECT_EQ(bgp("routeReflectorClusterID"), "1.0.0.9");
    EXPECT_NE(bgp("ipv4IPIPTunnelAddr"), "") << "a node reflects beside its pods";
    environment["MARGAY_ROUTE_REFLECTOR_CLUSTER_ID"] = "1.0.0.1";
    ASSERT_TRUE(mend());
    EXPECT_EQ(bgp("routeReflectorClusterID"), "1.0.0.1");
}

TEST(PoolCidr, first_default_without_an_address_of_this_host_is_chosen)
{
    std::vector<Prefix4> host;
    const auto chosen = [&] {
        const auto cidr = choose_pool_cidr({}, host);
        return cidr ? cidr->str() : "none";
    };
    EXPECT_EQ(chosen(), "192.168.0.0/16");
    host.push_back(*Prefix4::parse("192.168.1.5/24"));
    EXPECT_EQ(chosen(), "172.16.0.0/16");
    host.push_back(*Prefix4::parse("172.16.200.1/24"));
    EXPECT_EQ(chosen(), "172.17.0.0/16");
    for (std::uint32_t i = 17; i <= 31; i++)
        host.push_back(Prefix4{Ipv4(172u << 24 | i << 16 | 1), 24});
    EXPECT_EQ(chosen(), "none");
}

TEST(NodeName, comes_from_nodename_then_the_file_then_the_lower_cased_host_names)
{
    config::Config config;
    EXPECT_EQ(*node_name(config, "", "", "Host.Example"), "host.example");
    EXPECT_EQ(*node_name(config, "", "FromVar", "Host"), "fromvar");
    EXPECT_EQ(*node_name(config, "FromFile\n", "FromVar", "Host"), "FromFile");
    config.nodename = "N1";
    EXPECT_EQ(*node_name(config, "FromFile", "FromVar", "Host"), "N1");
    config.nodename = "";
    EXPECT_EQ(node_name(config, "a/b", "", "h").error().code, Errc::Invalid);
    EXPECT_EQ(node_name(config, "", "", "").error().code, Errc::NotFound);
}

} // namespace
} // namespace margay::startup
