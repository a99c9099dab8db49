// SPDX-License-Identifier: Apache-2.0
#include "agent/model/decode.h"

#include <gmock/gmock.h>

#include "support/addresses.h"

namespace margay::model {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <typename T>
T good(const ResourceKey& key, std::string_view value)
{
    const auto decoded = decode(key, value);
    if (!decoded) {
        ADD_FAILURE() << decoded.error().what;
        return T{};
    }
    const auto* resource = std::get_if<T>(&decoded->update.value);
    EXPECT_NE(resource, nullptr);
    return resource ? *resource : T{};
}

std::string decode_error(const ResourceKey& key, std::string_view value)
{
    const auto decoded = decode(key, value);
    EXPECT_FALSE(decoded) << value;
    return decoded ? "" : decoded.error().what;
}

const ResourceKey kGnp{Kind::GlobalNetworkPolicy, "", "allow-web"};
const ResourceKey kWep{Kind::WorkloadEndpoint, "ns1", "n1-cni-c1-eth0"};

std::string gnp(const std::string& spec, const std::string& metadata = R"("name":"allow-web")")
{
    return R"({"kind":"GlobalNetworkPolicy","apiVersion":"projectcalico.org/v3","metadata":{)" +
           metadata + R"(},"spec":{)" + spec + "}}";
}

TEST(DecodePolicy, reads_the_documented_sample)
{
    const auto policy = good<Policy>(
        kGnp, gnp(
                  R"("tier":"default","order":50,"selector":"role == 'web'","types":["Ingress"],
           "ingress":[{"action":"Allow","protocol":"TCP","source":{"selector":"role == 'lb'",
           "nets":["10.0.0.7/8"]},"destination":{"ports":[80,"8000:8010","metrics"]}}],"new":{"x":1})"));
    EXPECT_EQ(policy.tier, "default");
    EXPECT_EQ(policy.order, 50.0);
    EXPECT_EQ(policy.selector.text(), R"(role == "web")");
    EXPECT_TRUE(policy.ingress);
    EXPECT_FALSE(policy.egress);
    ASSERT_EQ(policy.ingress_rules.size(), 1u);
    const auto& rule = policy.ingress_rules[0];
    EXPECT_EQ(rule.action, RuleAction::Allow);
    EXPECT_EQ(rule.protocol, 6);
    EXPECT_EQ(rule.source.selector->text(), R"(role == "lb")");
    EXPECT_THAT(rule.source.nets.v4, ElementsAre(prefix("10.0.0.0/8")));
    EXPECT_THAT(
        rule.destination.ports,
        ElementsAre(PortMatch{80, 80, ""}, PortMatch{8000, 8010, ""}, PortMatch{0, 0, "metrics"}));
}

TEST(DecodePolicy, types_absent_are_both_directions)
{
    const auto policy = good<Policy>(kGnp, gnp(R"("ingress":[{"action":"Allow"}])"));
    EXPECT_TRUE(policy.ingress);
    EXPECT_TRUE(policy.egress);
    EXPECT_FALSE(good<Policy>(kGnp, gnp(R"("types":["Egress"])")).ingress);
}

TEST(DecodePolicy, name_is_the_annotations_or_the_stored_one_without_the_legacy_prefix)
{
    const auto name = [](const std::string& metadata, const std::string& spec) {
        return good<Policy>(kGnp, gnp(spec, metadata)).name;
    };
    EXPECT_EQ(
        name(
            R"("name":"x","annotations":{"projectcalico.org/metadata":"{\"name\":\"default.y\"}"})",
            ""),
        "default.y");
    EXPECT_EQ(name(R"("name":"default.web")", ""), "web");
    EXPECT_EQ(name(R"("name":"default.web")", R"("tier":"default")"), "web");
    EXPECT_EQ(name(R"("name":"default.web")", R"("tier":"other")"), "default.web");
    EXPECT_EQ(name("", ""), "allow-web");
}

TEST(DecodePolicy, scalar_encodings)
{
    const auto policy = good<Policy>(
        kGnp,
        gnp(
            R"("egress":[{"action":"Deny","protocol":"icmp","icmp":{"type":8,"code":0},"ipVersion":4},
                     {"action":"Pass","protocol":132,"destination":{"notPorts":["9"]}},
                     {"action":"Log","notProtocol":"17"}])"));
    EXPECT_EQ(policy.egress_rules[0].protocol, 1);
    EXPECT_EQ(policy.egress_rules[0].icmp, (IcmpMatch{8, 0}));
    EXPECT_EQ(policy.egress_rules[0].ip_version, 4);
    EXPECT_EQ(policy.egress_rules[1].protocol, 132);
    EXPECT_THAT(policy.egress_rules[1].destination.not_ports, ElementsAre(PortMatch{9, 9, ""}));
    EXPECT_EQ(policy.egress_rules[2].not_protocol, 17);
}

TEST(DecodePolicy, errors_name_field_and_reason)
{
    const std::pair<std::string, std::string> cases[] = {
        {R"("order":"1")", "spec.order: expected a number"},
        {R"("selector":"a ==")", "spec.selector: position 4: expected a string in quotes"},
        {R"("types":["ingress"])", "spec.types: 'ingress' is neither Ingress nor Egress"},
        {R"("ingress":{})", "spec.ingress: expected a list"},
        {R"("ingress":[1])", "spec.ingress[0]: expected an object"},
        {R"("ingress":[{}])", "spec.ingress[0].action: is missing"},
        {R"("ingress":[{"action":"allow"}])",
         "spec.ingress[0].action: 'allow' is not a known value"},
        {R"("ingress":[{"action":"Allow","protocol":"QUIC"}])",
         "spec.ingress[0].protocol: 'QUIC' is not a protocol"},
        {R"("ingress":[{"action":"Allow","source":{"nets":["10.0.0.0/8","bad"]}}])",
         "spec.ingress[0].source.nets[1]: 'bad' is not an address or prefix"},
        {R"("ingress":[{"action":"Allow","destination":{"ports":[80]}}])",
         "spec.ingress[0].protocol: ports need protocol TCP, UDP or SCTP"},
        {R"("ingress":[{"action":"Allow","protocol":"TCP","destination":{"ports":[70000]}}])",
         "spec.ingress[0].destination.ports[0]: expected a port"},
        {R"("egress":[{"action":"Allow","icmp":{"type":8}}])",
         "spec.egress[0].protocol: ICMP fields need protocol ICMP or ICMPv6"},
        {R"("egress":[{"action":"Allow","protocol":"ICMP","icmp":{"code":0}}])", "needs a type"},
        {R"("egress":[{"action":"Allow","protocol":"ICMP","icmp":{"type":255}}])",
         "spec.egress[0].icmp.type: expected a whole number from 0 to 254"},
        {R"("doNotTrack":"yes")", "spec.doNotTrack: expected true or false"},
    };
    for (const auto& [spec, reason] : cases)
        EXPECT_THAT(decode_error(kGnp, gnp(spec)), HasSubstr(reason)) << spec;
    EXPECT_THAT(decode_error(kGnp, "{"), HasSubstr("not JSON"));
    EXPECT_THAT(decode_error(kGnp, "[]"), HasSubstr("not a JSON object"));
    EXPECT_THAT(decode_error(kGnp, ""), HasSubstr("not JSON"));
    EXPECT_THAT(decode_error(kGnp, "{}"), HasSubstr("spec: is missing"));
    EXPECT_THAT(decode_error(kGnp, R"({"kind":"Node","spec":{}})"),
                HasSubstr("kind: 'Node' does not fit"));
    EXPECT_THAT(decode_error(kGnp, std::string(100'000, '[')), HasSubstr("not JSON"));
}

TEST(DecodePolicy, fields_without_effect_are_named)
{
    const auto decoded = decode(
        kGnp,
        gnp(
            R"("doNotTrack":true,"preDNAT":true,"applyOnForward":true,"egress":[{"action":"Allow",
           "destination":{"services":{"name":"s","namespace":"n"}},"http":{"methods":["GET"]}}])"));
    ASSERT_TRUE(decoded);
    EXPECT_THAT(decoded->not_enforced,
                ElementsAre("spec.doNotTrack", "spec.preDNAT", "spec.applyOnForward",
                            "spec.egress[0].destination.services", "spec.egress[0].http"));
    const auto& rule = std::get<Policy>(decoded->update.value).egress_rules[0];
    EXPECT_TRUE(rule.narrowed_beyond_us());
}

TEST(StandIn, keeps_what_can_be_read_and_denies_the_rest)
{
    const auto policy =
        stand_in_policy(kGnp, gnp(
                                  R"("tier":"t","order":5,"selector":"a == 'b'","types":["Ingress"],
           "ingress":[{"action":"Allow"},{"action":"?"}])"));
    EXPECT_TRUE(policy.stands_in);
    EXPECT_EQ(policy.tier, "t");
    EXPECT_EQ(policy.order, 5.0);
    EXPECT_EQ(policy.selector.text(), R"(a == "b")");
    EXPECT_TRUE(policy.ingress);
    EXPECT_FALSE(policy.egress);
    EXPECT_THAT(policy.ingress_rules, ElementsAre(Rule{}));
}

TEST(StandIn, one_bad_direction_leaves_the_other_alone)
{
    const auto policy =
        stand_in_policy(kGnp, gnp(R"("ingress":[{"action":"Allow"}],"egress":[{"action":"?"}])"));
    ASSERT_EQ(policy.ingress_rules.size(), 1u);
    EXPECT_EQ(policy.ingress_rules[0].action, RuleAction::Allow);
    EXPECT_THAT(policy.egress_rules, ElementsAre(Rule{}));
}

TEST(StandIn, an_error_elsewhere_denies_both_directions_first_in_the_tier)
{
    const auto policy = stand_in_policy(
        kGnp,
        gnp(R"("order":"x","selector":"a == 'b'","ingress":[{"action":"Allow"}],"egress":[1])"));
    EXPECT_LT(*policy.order, -1e300);
    EXPECT_EQ(policy.selector.text(), R"(a == "b")");
    EXPECT_THAT(policy.ingress_rules, ElementsAre(Rule{}));
    EXPECT_THAT(policy.egress_rules, ElementsAre(Rule{}));
}

TEST(StandIn, unreadable_selector_or_value_denies_everything_that_the_key_can_select)
{
    for (const auto& [value, tier] : std::vector<std::pair<std::string, std::string>>{
             {gnp(R"("selector":"a ==","types":["Ingress","Egress"])"), "default"},
             {gnp(R"("tier":"t","selector":"a ==","types":["Ingress","Egress"])"), "t"},
             {gnp(R"("tier":1,"types":["Ingress","Egress"])"), std::string(kUnreadableTier)},
             {"{", std::string(kUnreadableTier)},
             {"{}", std::string(kUnreadableTier)},
             {R"({"spec":1})", std::string(kUnreadableTier)}}) {
        const auto policy = stand_in_policy(kGnp, value);
        EXPECT_TRUE(policy.selector.is_all()) << value;
        EXPECT_TRUE(policy.ingress && policy.egress);
        EXPECT_EQ(policy.tier, tier) << value;
        EXPECT_THAT(policy.ingress_rules, ElementsAre(Rule{}));
        EXPECT_THAT(policy.egress_rules, ElementsAre(Rule{}));
    }
    EXPECT_EQ(stand_in_policy({Kind::NetworkPolicy, "ns1", "p"}, "{").ns, "ns1");
}

TEST(DecodeEndpoint, reads_and_converts)
{
    const auto wep =
        good<WorkloadEndpoint>(kWep, R"({"kind":"WorkloadEndpoint","metadata":{"name":"x",
        "labels":{"a":"b","pcns.forged":"1","pcsa.forged":"1"}},"spec":{"node":"n1","orchestrator":"cni",
        "containerID":"c1","endpoint":"eth0","ipNetworks":["10.20.4.66/32","fd00::1/128"],
        "profiles":["p1","p2"],"interfaceName":"cali1","mac":"ee:ee:ee:ee:ee:ee",
        "serviceAccountName":"sa","ports":[{"name":"http","protocol":"TCP","port":80,"hostPort":0},
        {"name":"","protocol":"TCP","port":81}]}})");
    EXPECT_EQ(wep.labels, (Labels{{"a", "b"},
                                  {"projectcalico.org/namespace", "ns1"},
                                  {"projectcalico.org/orchestrator", "cni"},
                                  {"projectcalico.org/serviceaccount", "sa"}}));
    EXPECT_THAT(wep.addresses.v4, ElementsAre(prefix("10.20.4.66/32")));
    EXPECT_EQ(wep.addresses.v6.size(), 1u);
    EXPECT_THAT(wep.profiles, ElementsAre("p1", "p2"));
    EXPECT_THAT(wep.ports, ElementsAre(EndpointPort{"http", 6, 80}));
    EXPECT_EQ(wep.mac, (Mac{0xee, 0xee, 0xee, 0xee, 0xee, 0xee}));
    EXPECT_EQ(wep.ns, "ns1");
}

TEST(DecodeEndpoint, without_addresses_it_is_a_deletion)
{
    const auto decoded = decode(kWep, R"({"spec":{"node":"n1"}})");
    ASSERT_TRUE(decoded);
    EXPECT_TRUE(decoded->update.is_deletion());
}

TEST(DecodeEndpoint, bad_values_are_refused)
{
    EXPECT_THAT(decode_error(kWep, R"({"spec":{"node":"n1","ipNetworks":["10.0.0.0/24"]}})"),
                HasSubstr("spec.ipNetworks: 10.0.0.0/24 is not a single address"));
    EXPECT_THAT(decode_error(kWep, R"({"spec":{"ipNetworks":["10.0.0.1/32"]}})"),
                HasSubstr("spec.node: is missing"));
    EXPECT_THAT(decode_error(kWep, R"({"spec":{"node":"n1","mac":"x","ipNetworks":["10.0.0.1"]}})"),
                HasSubstr("spec.mac: 'x' is not a MAC address"));
    EXPECT_THAT(decode_error(kWep, R"({"metadata":{"labels":{"a":1}},"spec":{"node":"n1"}})"),
                HasSubstr("metadata.labels.'a': expected a text"));
}

TEST(DecodeEndpoint, network_sets_skip_bad_entries_and_say_so)
{
    const auto decoded =
        decode({Kind::NetworkSet, "ns1", "s"},
               R"({"metadata":{"labels":{"a":"b"}},"spec":{"nets":["10.0.0.1","x","fd00::/8"]}})");
    ASSERT_TRUE(decoded);
    const auto& set = std::get<NetworkSet>(decoded->update.value);
    EXPECT_THAT(set.nets.v4, ElementsAre(prefix("10.0.0.1/32")));
    EXPECT_EQ(set.nets.v6.size(), 1u);
    EXPECT_EQ(set.labels, (Labels{{"a", "b"}, {"projectcalico.org/namespace", "ns1"}}));
    EXPECT_THAT(decoded->skipped, ElementsAre("spec.nets[1]: 'x' is not an address or prefix"));
    EXPECT_EQ(good<NetworkSet>({Kind::GlobalNetworkSet, "", "s"}, R"({"spec":{}})").labels,
              Labels());
}

TEST(DecodeNode, reads_addresses_and_falls_back)
{
    const ResourceKey key{Kind::Node, "", "n1"};
    const auto node =
        good<Node>(key, R"({"metadata":{"labels":{"rack":"a"}},"spec":{"bgp":{"asNumber":"1.10",
        "ipv4Address":"192.0.2.11/24","ipv4IPIPTunnelAddr":"10.20.4.64"},
        "addresses":[{"address":"192.0.2.11/24","type":"CalicoNodeIP"}]},"status":{}})");
    EXPECT_EQ(node.as_number, 65546u);
    EXPECT_EQ(node.ipv4_address, prefix("192.0.2.11/24"));
    EXPECT_EQ(node.ipip_tunnel_address, Ipv4::parse("10.20.4.64"));
    EXPECT_EQ(node.host_address(), Ipv4::parse("192.0.2.11"));
    EXPECT_EQ(
        good<Node>(key, R"({"spec":{"bgp":{"ipv4Address":"192.0.2.1"}}})").ipv4_address->length,
        32);
    EXPECT_EQ(good<Node>(key, R"({"spec":{"addresses":[{"address":"1.1.1.1","type":"ExternalIP"},
        {"address":"fd00::1","type":"InternalIP"},{"address":"2.2.2.2","type":"InternalIP"}]}})")
                  .host_address(),
              Ipv4::parse("2.2.2.2"));
    EXPECT_EQ(good<Node>(key, R"({"spec":{}})").host_address(), std::nullopt);
    EXPECT_THAT(decode_error(key, R"({"spec":{"bgp":{"ipv4Address":"x"}}})"),
                HasSubstr("spec.bgp.ipv4Address"));
}

TEST(DecodePool, defaults_and_values)
{
    const ResourceKey key{Kind::IpPool, "", "p"};
    const auto pool = good<IpPool>(key, R"({"spec":{"cidr":"10.20.0.0/16","vxlanMode":"Never"}})");
    EXPECT_EQ(*pool.v4(), prefix("10.20.0.0/16"));
    EXPECT_EQ(pool.ipip_mode, Encapsulation::Never);
    EXPECT_EQ(pool.block_size, 26);
    EXPECT_TRUE(pool.for_workloads && pool.for_tunnels && !pool.for_load_balancers);
    EXPECT_TRUE(pool.node_selector.is_all());
    const auto full = good<IpPool>(key, R"({"spec":{"cidr":"10.20.0.0/16","ipipMode":"CrossSubnet",
        "natOutgoing":true,"disabled":true,"disableBGPExport":true,"blockSize":28,
        "nodeSelector":"x == 'y'","allowedUses":["LoadBalancer"],"assignmentMode":"Manual"}})");
    EXPECT_EQ(full.ipip_mode, Encapsulation::CrossSubnet);
    EXPECT_TRUE(full.nat_outgoing && full.disabled && full.disable_bgp_export && full.manual);
    EXPECT_TRUE(full.only_load_balancers());
    EXPECT_EQ(full.block_size, 28);
    EXPECT_THAT(decode_error(key, R"({"spec":{"cidr":"10.0.0.1"}})"), HasSubstr("spec.cidr"));
    EXPECT_THAT(decode_error(key, R"({"spec":{"cidr":"10.0.0.0/8","blockSize":33}})"),
                HasSubstr("spec.blockSize"));
    EXPECT_THAT(decode_error(key, R"({"spec":{"cidr":"10.0.0.0/8","ipipMode":"always"}})"),
                HasSubstr("spec.ipipMode"));
}

TEST(DecodeFelix, annotation_wins_over_the_field_and_lists_convert)
{
    const ResourceKey key{Kind::FelixConfiguration, "", "default"};
    const auto config =
        good<FelixConfiguration>(key, R"({"metadata":{"creationTimestamp":"2026-01-02T03:04:05Z",
        "annotations":{"config.projectcalico.org/IpInIpMtu":"1400",
        "config.projectcalico.org/ReportingIntervalSecs":"30"}},
        "spec":{"ipipMTU":1300,"interfacePrefix":"cali,mg","reportingInterval":"0s",
        "defaultEndpointToHostAction":"Return","failsafeInboundHostPorts":[],
        "failsafeOutboundHostPorts":[{"protocol":"udp","port":53,"net":"10.0.0.0/8"}],
        "externalNodesList":["192.0.2.1","198.51.100.0/24"],"bpfLogLevel":"","ipipEnabled":false}})");
    EXPECT_EQ(config.ipip_mtu, 1400);
    EXPECT_EQ(config.reporting_interval, std::chrono::seconds(30));
    EXPECT_EQ(config.interface_prefix, "cali,mg");
    EXPECT_EQ(config.failsafe_inbound, std::vector<FailsafePort>()) << "an empty list means none";
    EXPECT_EQ(config.failsafe_outbound,
              (std::vector<FailsafePort>{{17, 53, prefix("10.0.0.0/8")}}));
    EXPECT_EQ(config.external_nodes,
              (std::vector{prefix("192.0.2.1/32"), prefix("198.51.100.0/24")}));
    EXPECT_EQ(config.ipip_enabled, false);
    EXPECT_EQ(config.vxlan_port, std::nullopt);
    EXPECT_EQ(config.created, "2026-01-02T03:04:05Z");
    EXPECT_THAT(decode_error(key, R"({"spec":{"workloadSourceSpoofing":"Sometimes"}})"),
                HasSubstr("spec.workloadSourceSpoofing: 'Sometimes' is not a known value"));
}

TEST(DecodeFelix, settings_without_effect_are_named)
{
    const auto decoded = decode({Kind::FelixConfiguration, "", "default"},
                                R"({"spec":{"interfaceExclude":"kube-ipvs0","ipipMTU":1400,
        "failsafeInboundHostPorts":[],"reportingInterval":"0s","logSeverityScreen":"Info"}})");
    ASSERT_TRUE(decoded);
    EXPECT_THAT(decoded->not_enforced,
                ElementsAre("spec.interfaceExclude", "spec.failsafeInboundHostPorts"));
}

// What goes into nftables' rules is a range, a name or nothing: never a text of somebody's.
TEST(DecodeFelix, nat_options_are_ranges_and_names)
{
    const ResourceKey key{Kind::FelixConfiguration, "", "default"};
    const auto with = [](const std::string& spec) { return R"({"spec":{)" + spec + "}}"; };
    const auto config = good<FelixConfiguration>(
        key,
        with(R"("natPortRange":"32768:65535","iptablesNATOutgoingInterfaceFilter":"bond0.7+")"));
    ASSERT_TRUE(config.nat_port_range);
    EXPECT_EQ(*config.nat_port_range, std::pair(std::uint16_t{32768}, std::uint16_t{65535}));
    EXPECT_EQ(config.nat_outgoing_interface_filter, "bond0.7+");
    EXPECT_FALSE(good<FelixConfiguration>(key, with(R"("natPortRange":0)")).nat_port_range)
        << "0 is Calico's word for the kernel's own choice";
    for (const char* wrong : {R"("9:1")", R"("1:70000")", R"("many")", "70000"})
        EXPECT_THAT(decode_error(key, with(std::string(R"("natPortRange":)") + wrong)),
                    HasSubstr("spec.natPortRange"));
    for (const char* wrong : {"eth0 accept", "eth0;", "a-name-that-is-too-long+", "et+h0"})
        EXPECT_THAT(
            decode_error(
                key, with(std::string(R"("iptablesNATOutgoingInterfaceFilter":")") + wrong + "\"")),
            HasSubstr("iptablesNATOutgoingInterfaceFilter"));
}

TEST(DecodeIpam, block)
{
    const ResourceKey key{Kind::IpamBlock, "", "10.20.4.64/30"};
    const auto block = good<IpamBlock>(key, R"({"cidr":"10.20.4.64/30","affinity":"host:n1",
        "allocations":[0,null,1,null],"unallocated":[1,3],"attributes":[
        {"handle_id":"ipip-tunnel-addr-n1","secondary":{"node":"n1","type":"ipipTunnelAddress"}},
        {"releasedAt":"2026-01-02T03:04:05Z"}],"sequenceNumber":1767323045000000002,
        "sequenceNumberForAllocation":{"0":1767323045000000000},"deleted":false})");
    EXPECT_EQ(block.host(), "n1");
    EXPECT_THAT(block.allocations, ElementsAre(0u, std::nullopt, 1u, std::nullopt));
    EXPECT_THAT(block.unallocated, ElementsAre(1u, 3u));
    EXPECT_EQ(block.attributes[0].secondary.at("node"), "n1");
    EXPECT_EQ(block.attributes[1].released_at, "2026-01-02T03:04:05Z");
    EXPECT_EQ(block.sequence_number, 1767323045000000002u);
    EXPECT_EQ(block.allocation_sequence.at(0), 1767323045000000000u);
}

TEST(DecodeIpam, hostile_blocks_are_refused)
{
    const ResourceKey key{Kind::IpamBlock, "", "10.20.4.64/31"};
    const std::string head = R"({"cidr":"10.20.4.64/31",)";
    EXPECT_THAT(decode_error(key, head + R"("allocations":[0,null],"attributes":[]})"),
                HasSubstr("allocations[0]"));
    EXPECT_THAT(decode_error(key, head + R"("allocations":[null]})"),
                HasSubstr("allocations: expected one entry"));
    EXPECT_THAT(decode_error(key, head + R"("allocations":[null,null],"unallocated":[2]})"),
                HasSubstr("unallocated[0]"));
    EXPECT_THAT(decode_error(key, head + R"("allocations":[null,-1]})"),
                HasSubstr("allocations[1]"));
    EXPECT_THAT(decode_error(key, R"({"cidr":"10.20.4.0/31","allocations":[null,null]})"),
                HasSubstr("cidr"));
}

TEST(DecodeIpam, affinity_without_a_state_is_confirmed)
{
    const ResourceKey key{Kind::BlockAffinity, "host:n1", "10.20.4.64/26"};
    for (const char* value :
         {"", "{}", R"({"state":""})", R"({"state":"confirmed","deleted":false})"})
        EXPECT_EQ(good<BlockAffinity>(key, value).state, AffinityState::Confirmed) << value;
    EXPECT_EQ(good<BlockAffinity>(key, R"({"state":"pending"})").state, AffinityState::Pending);
    EXPECT_EQ(good<BlockAffinity>(key, R"({"state":"pendingDeletion"})").state,
              AffinityState::PendingDeletion);
    EXPECT_EQ(good<BlockAffinity>(key, "").host(), "n1");
    decode_error(key, R"({"state":"what"})");
}

// Sharp edge 1: absent fields of the stored object mean false, unlike no object at all.
TEST(DecodeIpam, absent_fields_of_the_config_mean_false)
{
    const auto config =
        good<IpamConfig>({Kind::IpamConfig, "", "config"}, R"({"strict_affinity":true})");
    EXPECT_TRUE(config.strict_affinity);
    EXPECT_FALSE(config.auto_allocate_blocks);
    EXPECT_TRUE(kDefaultIpamConfig.auto_allocate_blocks);
    EXPECT_FALSE(parse_key("/calico/resources/v3/projectcalico.org/ipamconfigurations/default"))
        << "the resource of that name is not what IPAM reads";
}

TEST(DecodeOthers, tier_profile_cluster_and_what_is_not_enforced)
{
    EXPECT_TRUE(
        good<Tier>({Kind::Tier, "", "t"}, R"({"spec":{"order":1000,"defaultAction":"Pass"}})")
            .pass_at_end);
    EXPECT_EQ(good<Tier>({Kind::Tier, "", "t"}, R"({"spec":{}})"),
              (Tier{"t", std::nullopt, false}));
    const auto profile = good<Profile>(
        {Kind::Profile, "", "kns.a"},
        R"({"spec":{"ingress":[{"action":"Allow"}],"labelsToApply":{"pcns.x":"y"}}})");
    EXPECT_EQ(profile.labels_to_apply, (Labels{{"pcns.x", "y"}}));
    EXPECT_EQ(profile.ingress_rules.size(), 1u);
    EXPECT_EQ(good<ClusterInformation>({Kind::ClusterInformation, "", "default"},
                                       R"({"spec":{"datastoreReady":true}})")
                  .datastore_ready,
              true);
    const auto decoded = decode({Kind::HostEndpoint, "", "x"}, R"({"spec":{}})");
    ASSERT_TRUE(decoded);
    EXPECT_THAT(decoded->not_enforced, ElementsAre("HostEndpoint"));
}

} // namespace
} // namespace margay::model
