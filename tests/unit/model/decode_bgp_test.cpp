// SPDX-License-Identifier: Apache-2.0
#include "agent/model/decode.h"

#include <gmock/gmock.h>

#include "support/addresses.h"

namespace margay::model {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace std::chrono_literals;

const ResourceKey kConfiguration{Kind::BgpConfiguration, "", "default"};
const ResourceKey kPeer{Kind::BgpPeer, "", "p"};
const ResourceKey kFilter{Kind::BgpFilter, "", "f"};

std::string spec(const std::string& fields)
{
    return R"({"spec":{)" + fields + "}}";
}

template <typename T>
T read(const ResourceKey& key, const std::string& fields)
{
    const auto decoded = decode(key, spec(fields));
    if (!decoded) {
        ADD_FAILURE() << decoded.error().what;
        return T{};
    }
    return std::get<T>(decoded->update.value);
}

std::string why(const ResourceKey& key, const std::string& fields)
{
    const auto decoded = decode(key, spec(fields));
    EXPECT_FALSE(decoded) << fields;
    return decoded ? "" : decoded.error().what;
}

std::vector<std::string> without_effect(const ResourceKey& key, const std::string& fields)
{
    const auto decoded = decode(key, spec(fields));
    EXPECT_TRUE(decoded) << fields;
    return decoded ? decoded->not_enforced : std::vector<std::string>{};
}

// ---- BGPConfiguration

TEST(DecodeBgpConfiguration, reads_all_fields)
{
    const auto config = read<BgpConfiguration>(kConfiguration, R"("nodeToNodeMeshEnabled":false,
        "asNumber":"1.10","listenPort":1179,"nodeMeshMaxRestartTime":"2m","bindMode":"NodeIP",
        "nodeMeshPassword":{"secretKeyRef":{"name":"bgp-secrets","key":"mesh.password"}},
        "ipv4NormalRoutePriority":512,"ipv6NormalRoutePriority":2147483646,
        "serviceClusterIPs":[{"cidr":"10.96.0.0/12"},{"cidr":"fd96::/108"}],
        "serviceExternalIPs":[{"cidr":"192.0.2.0/24"}],
        "serviceLoadBalancerIPs":[{"cidr":"203.0.113.0/24"}],
        "serviceLoadBalancerAggregation":"Disabled")");
    EXPECT_EQ(config.mesh_enabled, false);
    EXPECT_EQ(config.as_number, 65546u);
    EXPECT_EQ(config.listen_port, 1179);
    EXPECT_EQ(config.mesh_restart_time, 2min);
    EXPECT_EQ(config.bind_mode, "NodeIP");
    EXPECT_EQ(config.mesh_password, (SecretKeyRef{"bgp-secrets", "mesh.password"}));
    EXPECT_EQ(config.route_priority4, 512u);
    EXPECT_EQ(config.route_priority6, 2147483646u);
    EXPECT_THAT(config.service_cluster_ips.v4, ElementsAre(prefix("10.96.0.0/12")));
    EXPECT_EQ(config.service_cluster_ips.v6.size(), 1u);
    EXPECT_THAT(config.service_external_ips.v4, ElementsAre(prefix("192.0.2.0/24")));
    EXPECT_THAT(config.service_load_balancer_ips.v4, ElementsAre(prefix("203.0.113.0/24")));
    EXPECT_FALSE(config.aggregates_load_balancer_ips);
    EXPECT_EQ(config.workload_peering4, std::nullopt);
    EXPECT_EQ(
        read<BgpConfiguration>(kConfiguration, R"("localWorkloadPeeringIPV4":"169.254.0.179")")
            .workload_peering4,
        ip("169.254.0.179"));
}

TEST(DecodeBgpConfiguration, communities_are_values_or_names_of_the_same_object)
{
    const auto config = read<BgpConfiguration>(kConfiguration, R"(
        "communities":[{"name":"std","value":"65001:7"},{"name":"big","value":"4200000000:1:2"}],
        "prefixAdvertisements":[{"cidr":"10.0.0.1/8","communities":["big","std","1:2"]},
                                {"cidr":"fd00::/64","communities":[]}])");
    ASSERT_EQ(config.prefix_advertisements->size(), 2u);
    const auto& first = config.prefix_advertisements->front();
    EXPECT_EQ(first.cidr, AnyPrefix(prefix("10.0.0.0/8")));
    EXPECT_THAT(first.communities,
                ElementsAre(Community(LargeCommunity{4200000000, 1, 2}),
                            Community(65001u << 16 | 7), Community(1u << 16 | 2)));
    EXPECT_FALSE(read<BgpConfiguration>(kConfiguration, "").prefix_advertisements);
}

TEST(DecodeBgpConfiguration, wrong_values_are_named)
{
    for (const auto& [fields, name] :
         {std::pair(R"("listenPort":0)", "spec.listenPort"),
          {R"("asNumber":0)", "spec.asNumber"},
          {R"("asNumber":"1.65536")", "spec.asNumber"},
          {R"("ipv4NormalRoutePriority":0)", "spec.ipv4NormalRoutePriority"},
          {R"("ipv4NormalRoutePriority":2147483647)", "spec.ipv4NormalRoutePriority"},
          {R"("nodeMeshPassword":{})", "spec.nodeMeshPassword.secretKeyRef"},
          {R"("nodeMeshPassword":{"secretKeyRef":{"name":"..","key":"k"}})", "secretKeyRef.name"},
          {R"("communities":[{"name":"c","value":"70000:1"}],"prefixAdvertisements":[])",
           "spec.communities[0].value"},
          {R"("prefixAdvertisements":[{"cidr":"10.0.0.0/8","communities":["nobody"]}])",
           "spec.prefixAdvertisements[0].communities"},
          {R"("prefixAdvertisements":[{"cidr":"10.0.0.0","communities":[]}])",
           "spec.prefixAdvertisements[0].cidr"},
          {R"("localWorkloadPeeringIPV4":"169.254.0")", "spec.localWorkloadPeeringIPV4"},
          {R"("localWorkloadPeeringIPV4":"fd00::1")", "spec.localWorkloadPeeringIPV4"},
          {R"("serviceClusterIPs":[{"cidr":"x"}])", "spec.serviceClusterIPs[0].cidr"}})
        EXPECT_THAT(why(kConfiguration, fields), HasSubstr(name));
}

TEST(DecodeBgpConfiguration, what_has_no_effect_is_named)
{
    EXPECT_THAT(without_effect(kConfiguration, R"("nodeMeshMaxRestartTime":"1s","communities":[],
        "ignoredInterfaces":["x"],"localWorkloadPeeringIPV6":"fd00::1")"),
                ElementsAre("spec.localWorkloadPeeringIPV6", "spec.ignoredInterfaces"));
}

// ---- BGPPeer

TEST(DecodeBgpPeer, reads_all_fields)
{
    const auto peer = read<BgpPeer>(kPeer, R"("node":"n1","peerIP":"192.0.2.1","asNumber":"65001",
        "localASNumber":65002,"nextHopMode":"Self","keepOriginalNextHop":true,
        "password":{"secretKeyRef":{"name":"s","key":"k"}},"sourceAddress":"None",
        "maxRestartTime":"4095s","keepaliveTime":"1m","numAllowedLocalASNumbers":3,
        "ttlSecurity":255,"reachableBy":"10.0.0.1","filters":["b","a"],"reversePeering":"Manual")");
    EXPECT_EQ(peer.name, "p");
    EXPECT_EQ(peer.node, "n1");
    EXPECT_FALSE(peer.is_global());
    EXPECT_EQ(peer.address, Ip(ip("192.0.2.1")));
    EXPECT_EQ(peer.port, std::nullopt);
    EXPECT_EQ(peer.as_number, 65001u);
    EXPECT_EQ(peer.local_as_number, 65002u);
    EXPECT_EQ(peer.next_hop, NextHopMode::Self) << "nextHopMode wins over keepOriginalNextHop";
    EXPECT_EQ(peer.password, (SecretKeyRef{"s", "k"}));
    EXPECT_FALSE(peer.from_node_address);
    EXPECT_EQ(peer.max_restart_time, 4095s);
    EXPECT_EQ(peer.keepalive_time, 60s);
    EXPECT_EQ(peer.allowed_own_as, 3);
    EXPECT_EQ(peer.ttl_security, 255);
    EXPECT_EQ(peer.reachable_by, Ip(ip("10.0.0.1")));
    EXPECT_THAT(peer.filters, ElementsAre("b", "a"));
    EXPECT_FALSE(peer.reverse);
}

TEST(DecodeBgpPeer, defaults)
{
    const auto peer = read<BgpPeer>(kPeer, R"j("peerSelector":"has(rr)","nodeSelector":"all()")j");
    EXPECT_EQ(peer.peer_selector->text(), "has(rr)");
    EXPECT_FALSE(peer.is_global());
    EXPECT_TRUE(peer.from_node_address && peer.reverse);
    EXPECT_EQ(peer.next_hop, NextHopMode::Auto);
    EXPECT_TRUE(read<BgpPeer>(kPeer, R"j("peerSelector":"has(rr)")j").is_global());
    const auto workloads =
        read<BgpPeer>(kPeer, R"j("localWorkloadSelector":"has(role)","asNumber":65401)j");
    EXPECT_EQ(workloads.workload_selector->text(), "has(role)");
    EXPECT_EQ(workloads.as_number, 65401u);
    EXPECT_EQ(
        read<BgpPeer>(kPeer, R"j("peerSelector":"all()","keepOriginalNextHop":true)j").next_hop,
        NextHopMode::Keep);
}

TEST(DecodeBgpPeer, an_address_with_and_without_port)
{
    const auto peer = [](const std::string& text) {
        return read<BgpPeer>(kPeer, R"("asNumber":1,"peerIP":")" + text + '"');
    };
    EXPECT_EQ(peer("192.0.2.1:1790").port, 1790);
    EXPECT_EQ(peer("192.0.2.1:1790").address, Ip(ip("192.0.2.1")));
    EXPECT_EQ(peer("2001:db8::1").address, Ip(*Ipv6::parse("2001:db8::1")));
    EXPECT_EQ(peer("2001:db8::1").port, std::nullopt);
    EXPECT_EQ(peer("[2001:db8::1]:1790").address, Ip(*Ipv6::parse("2001:db8::1")));
    EXPECT_EQ(peer("[2001:db8::1]:1790").port, 1790);
    for (const char* wrong :
         {"x", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1:1x", "[2001:db8::1]",
          "[2001:db8::1]:", "[2001:db8::1", "[192.0.2.1]", ":179", "[]:1", "2001:db8::1:"})
        EXPECT_THAT(why(kPeer, std::string(R"("asNumber":1,"peerIP":")") + wrong + '"'),
                    HasSubstr("spec.peerIP"))
            << wrong;
}

TEST(DecodeBgpPeer, wrong_values_are_named)
{
    const std::string ok = R"("peerIP":"192.0.2.1","asNumber":1,)";
    for (const auto& [fields, name] :
         {std::pair(std::string(R"("node":"n1")"), "spec.peerIP"),
          {R"("peerIP":"192.0.2.1")", "spec.asNumber"},
          {R"("peerIP":"192.0.2.1","asNumber":0)", "spec.asNumber"},
          {R"j("peerSelector":"all()","asNumber":1)j", "spec.asNumber"},
          {R"j("localWorkloadSelector":"all()")j", "spec.asNumber"},
          {R"j("localWorkloadSelector":"role ==","asNumber":1)j", "spec.localWorkloadSelector"},
          {ok + R"j("localWorkloadSelector":"all()")j", "spec.peerSelector"},
          {ok + R"j("peerSelector":"all()")j", "spec.peerSelector"},
          {ok + R"j("node":"n1","nodeSelector":"all()")j", "spec.nodeSelector"},
          {ok + R"("nodeSelector":"a ==")", "spec.nodeSelector"},
          {ok + R"("ttlSecurity":256)", "spec.ttlSecurity"},
          {ok + R"("numAllowedLocalASNumbers":-1)", "spec.numAllowedLocalASNumbers"},
          {ok + R"("maxRestartTime":"4096s")", "spec.maxRestartTime"},
          {ok + R"("keepaliveTime":"0s")", "spec.keepaliveTime"},
          {ok + R"("nextHopMode":"None")", "spec.nextHopMode"},
          {ok + R"("sourceAddress":"x")", "spec.sourceAddress"},
          {ok + R"("reversePeering":"x")", "spec.reversePeering"},
          {ok + R"("reachableBy":"x")", "spec.reachableBy"},
          {ok + R"("reachableBy":"2001:db8::1")", "spec.reachableBy"},
          {ok + R"("filters":["a,b"])", "spec.filters"},
          {ok + R"("filters":[""])", "spec.filters"},
          {ok + R"("password":{})", "spec.password.secretKeyRef"},
          {ok + R"("password":{"secretKeyRef":{"name":"s"}})", "spec.password.secretKeyRef.key"},
          {ok + R"("password":{"secretKeyRef":{"name":"a/b","key":"k"}})", "secretKeyRef.name"},
          {ok + R"("password":{"secretKeyRef":{"name":"s","key":"..data"}})", "secretKeyRef.key"}})
        EXPECT_THAT(why(kPeer, fields), HasSubstr(name)) << fields;
}

TEST(DecodeBgpPeer, what_has_no_effect_is_named)
{
    EXPECT_THAT(without_effect(kPeer, R"j("localWorkloadSelector":"all()","asNumber":1,
        "reachableBy":"10.0.0.1")j"),
                ElementsAre("spec.reachableBy"));
    EXPECT_THAT(without_effect(kPeer, R"("peerIP":"192.0.2.1","asNumber":1)"), IsEmpty());
}

// ---- BGPFilter

TEST(DecodeBgpFilter, reads_all_fields_of_a_rule)
{
    const auto filter = read<BgpFilter>(kFilter, R"("exportV4":[{"cidr":"10.0.0.1/8",
        "matchOperator":"NotIn","prefixLength":{"min":9,"max":26},"source":"RemotePeers",
        "interface":"eth*","peerType":"eBGP","communities":{"values":["65001:7"]},
        "asPathPrefix":[65001,"1.10"],"priority":100,"operations":[
        {"addCommunity":{"value":"1:2:3"}},{"prependASPath":{"prefix":["65001",65002]}},
        {"setPriority":{"value":50}}],"action":"Accept"}],
        "importV6":[{"cidr":"fd00::/64","matchOperator":"Equal","peerType":"iBGP",
        "action":"Reject"},{}])");
    ASSERT_EQ(filter.export4.size(), 1u);
    BgpFilterRule wanted;
    wanted.cidr = prefix("10.0.0.0/8");
    wanted.cidr_match = BgpFilterRule::CidrMatch::NotIn;
    wanted.min_length = 9;
    wanted.max_length = 26;
    wanted.learned = true;
    wanted.interface_name = "eth*";
    wanted.peer_type = BgpFilterRule::PeerType::External;
    wanted.community = 65001u << 16 | 7;
    wanted.as_path_prefix = {65001, 65546};
    wanted.priority = 100;
    wanted.operations = {AddCommunity{LargeCommunity{1, 2, 3}}, PrependAsPath{{65001, 65002}},
                         SetPriority{50}};
    wanted.action = BgpFilterRule::Action::Accept;
    EXPECT_EQ(filter.export4[0], wanted);
    ASSERT_EQ(filter.import6.size(), 2u);
    EXPECT_EQ(filter.import6[0].cidr, AnyPrefix(*Prefix6::parse("fd00::/64")));
    EXPECT_EQ(filter.import6[0].action, BgpFilterRule::Action::Reject);
    EXPECT_EQ(filter.import6[1], BgpFilterRule{});
    EXPECT_TRUE(filter.import4.empty() && filter.export6.empty());
}

TEST(DecodeBgpFilter, wrong_values_are_named)
{
    for (const auto& [rule, name] :
         {std::pair(R"("cidr":"10.0.0.0/8")", "importV4[0].cidr"),
          {R"("matchOperator":"In")", "importV4[0].cidr"},
          {R"("cidr":"fd00::/64","matchOperator":"In")", "importV4[0].cidr"},
          {R"("cidr":"10.0.0.0","matchOperator":"In")", "importV4[0].cidr"},
          {R"("cidr":"10.0.0.0/8","matchOperator":"Near")", "importV4[0].matchOperator"},
          {R"("cidr":"10.0.0.0/8","matchOperator":"Equal","prefixLength":{"min":9})",
           "importV4[0].prefixLength"},
          {R"("cidr":"10.0.0.0/8","matchOperator":"In","prefixLength":{"max":33})",
           "importV4[0].prefixLength.max"},
          {R"("prefixLength":{"max":32})", "importV4[0].prefixLength"},
          {R"("source":"Nobody")", "importV4[0].source"},
          {R"("peerType":"x")", "importV4[0].peerType"},
          {R"("communities":{"values":[]})", "importV4[0].communities.values"},
          {R"("communities":{"values":["1"]})", "importV4[0].communities.values"},
          {R"("asPathPrefix":["x"])", "importV4[0].asPathPrefix[0]"},
          {R"("priority":0)", "importV4[0].priority"},
          {R"("action":"Drop")", "importV4[0].action"},
          {R"("operations":[{}])", "importV4[0].operations[0]"},
          {R"("operations":[{"setMed":{"value":1}}])", "importV4[0].operations[0]"},
          {R"("operations":[{"addCommunity":{"value":"1:2"},"setPriority":{"value":1}}])",
           "importV4[0].operations[0]"},
          {R"("operations":[{"prependASPath":{"prefix":[]}}])",
           "importV4[0].operations[0].prependASPath.prefix"},
          {R"("operations":[{"setPriority":{}}])", "importV4[0].operations[0].setPriority.value"}})
        EXPECT_THAT(why(kFilter, std::string(R"("importV4":[{)") + rule + "}]"), HasSubstr(name))
            << rule;
}

// It would narrow the rule, and we would not see it.
TEST(DecodeBgpFilter, a_field_that_is_not_known_is_not_passed_over)
{
    EXPECT_THAT(why(kFilter, R"("importV4":[{"med":5,"action":"Accept"}])"), HasSubstr("'med'"));
}

TEST(DecodeBgpFilter, an_interface_is_said_to_have_half_an_effect_for_ipv6)
{
    EXPECT_THAT(without_effect(kFilter, R"("importV4":[{"interface":"eth0","action":"Reject"}],
        "exportV6":[{"interface":"eth0","action":"Reject"}])"),
                ElementsAre("spec.exportV6[0].interface"));
}

} // namespace
} // namespace margay::model
