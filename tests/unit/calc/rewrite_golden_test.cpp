// SPDX-License-Identifier: Apache-2.0
// From resource to IR: the rewrites before evaluation and the matching of rules, a test a row.

#include <gmock/gmock.h>

#include "world.h"

namespace margay::calc {
namespace {

struct Golden : ::testing::Test {
    World world;

    void SetUp() override
    {
        world.usual();
        world.pod("ns1", "a", "10.0.0.1/32", R"j({"role":"web"})j");
        world.pod("ns2", "b", "10.0.0.2/32", R"j({"role":"db"})j");
    }
    // The rule as it stands in a policy that selects every pod, ingress.
    std::string gnp_rule(const std::string& rule)
    {
        world.gnp("p", R"j({"types":["Ingress"],"ingress":[)j" + rule + "]}");
        return world.only_rule("a");
    }
    std::string np_rule(const std::string& rule)
    {
        world.np("ns1", "p", R"j({"types":["Ingress"],"ingress":[)j" + rule + "]}");
        return world.only_rule("a");
    }
    bool judged(const std::string& pod)
    {
        world.sync();
        return !world.endpoints.at("cali-" + pod).ingress->program.tiers.empty();
    }
};

using RewriteRow = Golden;

TEST_F(RewriteRow, selector_of_a_np_is_bound_to_its_namespace)
{
    world.pod("ns1", "c", "10.0.0.3/32", R"j({"role":"db"})j");
    world.np("ns1", "p", R"j({"selector":"role == 'db'","types":["Ingress"]})j");
    EXPECT_TRUE(judged("c"));
    EXPECT_FALSE(judged("a"));
    EXPECT_FALSE(judged("b")) << "the label fits, the namespace does not";
    world.np("ns1", "p", R"j({"types":["Ingress"]})j");
    EXPECT_TRUE(judged("a")) << "an empty selector is the namespace alone";
    EXPECT_FALSE(judged("b"));
}

TEST_F(RewriteRow, service_account_selector_of_a_policy)
{
    world.put("profiles/ksa.ns1.robot", R"j({"labelsToApply":{"pcsa.kind":"robot"}})j");
    world.pod("ns1", "c", "10.0.0.3/32", "{}", "n1",
              R"j("serviceAccountName":"robot","profiles":["open","ksa.ns1.robot"])j");
    world.gnp("p", R"j({"serviceAccountSelector":"kind == 'robot'","types":["Ingress"]})j");
    EXPECT_TRUE(judged("c"));
    EXPECT_FALSE(judged("a"));
    world.gnp("p", R"j({"serviceAccountSelector":"all()","types":["Ingress"]})j");
    EXPECT_TRUE(judged("c"));
    EXPECT_FALSE(judged("a")) << "all() means: has a service account";
}

TEST_F(RewriteRow, service_account_selector_of_a_np_is_bound_to_its_namespace)
{
    for (const std::string ns : {"ns1", "ns2"}) {
        world.put("profiles/ksa." + ns + ".robot", R"j({"labelsToApply":{"pcsa.kind":"robot"}})j");
        world.pod(ns, "robot-" + ns, ns == "ns1" ? "10.0.0.3/32" : "10.0.0.4/32",
                  R"j({"role":"web"})j", "n1",
                  R"j("serviceAccountName":"robot","profiles":["open","ksa.)j" + ns +
                      R"j(.robot"])j");
    }
    world.np("ns1", "p", R"j({"serviceAccountSelector":"kind == 'robot'","types":["Ingress"]})j");
    EXPECT_TRUE(judged("robot-ns1"));
    EXPECT_FALSE(judged("a")) << "the namespace fits, the service account does not";
    EXPECT_FALSE(judged("robot-ns2")) << "the service account fits, the namespace does not";
    world.np(
        "ns1", "p",
        R"j({"selector":"role == 'web'","serviceAccountSelector":"all()","types":["Ingress"]})j");
    EXPECT_TRUE(judged("robot-ns1"));
    EXPECT_FALSE(judged("a")) << "all() means: has a service account";
    EXPECT_FALSE(judged("robot-ns2"));
}

TEST_F(RewriteRow, namespace_selector_of_a_gnp)
{
    world.put("profiles/kns.ns2", R"j({"labelsToApply":{"pcns.team":"blue"}})j");
    world.pod("ns2", "b", "10.0.0.2/32", "{}", "n1", R"j("profiles":["open","kns.ns2"])j");
    world.gnp("p", R"j({"namespaceSelector":"team == 'blue'","types":["Ingress"]})j");
    EXPECT_TRUE(judged("b"));
    EXPECT_FALSE(judged("a"));
    world.gnp("p",
              R"j({"namespaceSelector":"all()","selector":"role == 'web'","types":["Ingress"]})j");
    EXPECT_TRUE(judged("a"));
    EXPECT_FALSE(judged("b"));
}

TEST_F(RewriteRow, namespace_selector_of_a_rule)
{
    EXPECT_EQ(gnp_rule(R"j({"action":"Allow","source":{"namespaceSelector":"team == 'blue'"}})j"),
              R"j(Allow from {selector pcns.team == "blue"})j");
    EXPECT_EQ(
        gnp_rule(
            R"j({"action":"Allow","source":{"namespaceSelector":"all()","selector":"x == 'y'"}})j"),
        R"j(Allow from {selector (x == "y" && has(projectcalico.org/namespace))})j");
    world.gone("globalnetworkpolicies/p");
    EXPECT_EQ(
        np_rule(
            R"j({"action":"Allow","source":{"namespaceSelector":"global()","selector":"x == 'y'"}})j"),
        R"j(Allow from {selector (x == "y" && !has(projectcalico.org/namespace))})j")
        << "and the policy's own namespace does not come on top";
}

TEST_F(RewriteRow, rule_in_a_np_without_namespace_selector_is_bound_to_its_namespace)
{
    EXPECT_EQ(np_rule(R"j({"action":"Allow","source":{"selector":"role == 'db'"}})j"),
              R"j(Allow from {selector (role == "db" && projectcalico.org/namespace == "ns1")})j");
    EXPECT_EQ(np_rule(R"j({"action":"Allow","source":{"notSelector":"role == 'db'"}})j"),
              R"j(Allow from {selector (projectcalico.org/namespace == "ns1" && !role == "db")})j");
    EXPECT_EQ(np_rule(R"j({"action":"Allow","source":{"serviceAccounts":{"names":["z","s"]}}})j"),
              "Allow from {selector (projectcalico.org/serviceaccount in {\"s\", \"z\"} && "
              "projectcalico.org/namespace == \"ns1\")}");
    EXPECT_EQ(np_rule(R"j({"action":"Allow","source":{"nets":["192.0.2.0/24"]}})j"),
              "Allow from 192.0.2.0/24");
}

TEST_F(RewriteRow, rule_in_a_gnp_without_namespace_selector_is_unrestricted)
{
    world.put("globalnetworksets/s", R"j({"nets":["198.51.100.0/24"]})j", R"j({"role":"db"})j");
    world.put("hostendpoints/h", R"j({"node":"n1","expectedIPs":["192.0.2.1"]})j",
              R"j({"role":"db"})j");
    EXPECT_EQ(gnp_rule(R"j({"action":"Allow","source":{"selector":"role == 'db'"}})j"),
              R"j(Allow from {selector role == "db"})j");
    EXPECT_EQ(world.members(R"j(selector role == "db")j"),
              "10.0.0.2/32 192.0.2.1/32 198.51.100.0/24");
}

TEST_F(RewriteRow, service_accounts_of_a_rule)
{
    EXPECT_EQ(gnp_rule(R"j({"action":"Allow","source":{"serviceAccounts":{"names":["b","a"],
                          "selector":"kind == 'robot'"}}})j"),
              "Allow from {selector (projectcalico.org/serviceaccount in {\"a\", \"b\"} && "
              "pcsa.kind == \"robot\")}");
}

TEST_F(RewriteRow, services_in_a_destination_never_widen)
{
    const std::string services = R"j("destination":{"services":{"name":"s","namespace":"n"}})j";
    EXPECT_EQ(gnp_rule(R"j({"action":"Allow",)j" + services + "}"), "");
    EXPECT_EQ(gnp_rule(R"j({"action":"Deny","protocol":"TCP",)j" + services + "}"), "Deny proto 6");
    EXPECT_EQ(gnp_rule(R"j({"action":"Pass",)j" + services + "}"), "Deny");
}

TEST_F(RewriteRow, services_in_a_source_never_widen)
{
    const std::string services = R"j("source":{"services":{"name":"s","namespace":"n"}})j";
    EXPECT_EQ(gnp_rule(R"j({"action":"Allow",)j" + services + "}"), "");
    EXPECT_EQ(gnp_rule(R"j({"action":"Log",)j" + services + "}"), "");
    EXPECT_EQ(gnp_rule(R"j({"action":"Deny",)j" + services + "}"), "Deny");
}

TEST_F(RewriteRow, nets_are_masked_and_a_bad_one_never_becomes_match_all)
{
    EXPECT_EQ(gnp_rule(R"j({"action":"Allow","source":{"nets":["10.1.2.3/8","192.0.2.1"]}})j"),
              "Allow from 10.0.0.0/8 192.0.2.1/32");
    world.gone("globalnetworkpolicies/p");
    world.gnp(
        "q", R"j({"types":["Ingress"],"ingress":[{"action":"Allow","source":{"nets":["bad"]}}]})j");
    EXPECT_EQ(world.only_rule("a"), "Deny") << "the stand-in of a policy that does not decode";
}

using MatchRow = Golden;

TEST_F(MatchRow, ip_version)
{
    EXPECT_EQ(gnp_rule(R"j({"action":"Allow","ipVersion":4})j"), "Allow");
    EXPECT_EQ(gnp_rule(R"j({"action":"Allow","ipVersion":6})j"), "");
}

TEST_F(MatchRow, protocol_and_not_protocol)
{
    EXPECT_EQ(gnp_rule(R"j({"action":"Allow","protocol":"sctp"})j"), "Allow proto 132");
    EXPECT_EQ(gnp_rule(R"j({"action":"Allow","notProtocol":"UDP"})j"), "Allow proto !17");
}

TEST_F(MatchRow, icmp_and_not_icmp)
{
    EXPECT_EQ(gnp_rule(R"j({"action":"Allow","protocol":"ICMP","icmp":{"type":8,"code":0}})j"),
              "Allow proto 1 icmp 8/0");
    EXPECT_EQ(gnp_rule(R"j({"action":"Allow","protocol":"ICMP","notICMP":{"type":8}})j"),
              "Allow proto 1 icmp !8");
    EXPECT_EQ(gnp_rule(R"j({"action":"Allow","protocol":"ICMPv6","icmp":{"type":128}})j"), "");
}

TEST_F(MatchRow, nets)
{
    EXPECT_EQ(
        gnp_rule(R"j({"action":"Allow","source":{"nets":["192.0.2.0/24","2001:db8::/64"]}})j"),
        "Allow from 192.0.2.0/24");
    EXPECT_EQ(gnp_rule(R"j({"action":"Allow","destination":{"nets":["0.0.0.0/0"]}})j"),
              "Allow to 0.0.0.0/0");
}

TEST_F(MatchRow, not_nets)
{
    EXPECT_EQ(gnp_rule(R"j({"action":"Allow","source":{"notNets":["192.0.2.0/24"]}})j"),
              "Allow from !192.0.2.0/24");
    EXPECT_EQ(gnp_rule(R"j({"action":"Allow","source":{"notNets":["192.0.2.0/24","0.0.0.0/0"]}})j"),
              "")
        << "excludes everything";
}

TEST_F(MatchRow, selector)
{
    EXPECT_EQ(gnp_rule(R"j({"action":"Allow","destination":{"selector":"role == 'web'"}})j"),
              R"j(Allow to {selector role == "web"})j");
    EXPECT_EQ(world.members(R"j(selector role == "web")j"), "10.0.0.1/32");
}

TEST_F(MatchRow, not_selector)
{
    EXPECT_EQ(
        gnp_rule(
            R"j({"action":"Allow","source":{"selector":"has(role)","notSelector":"role == 'db'"}})j"),
        R"j(Allow from {selector (has(role) && !role == "db")})j");
    EXPECT_EQ(world.members(R"j(selector (has(role) && !role == "db"))j"), "10.0.0.1/32");
    EXPECT_EQ(gnp_rule(R"j({"action":"Allow","source":{"notSelector":"role == 'db'"}})j"),
              R"j(Allow from !{selector role == "db"})j");
}

TEST_F(MatchRow, ports)
{
    EXPECT_EQ(
        gnp_rule(
            R"j({"action":"Allow","protocol":"TCP","destination":{"ports":[80,"8000:8010"]}})j"),
        "Allow proto 6 to port 80-80 port 8000-8010");
}

TEST_F(MatchRow, named_port)
{
    const std::string ports =
        R"j("profiles":["open"],"ports":[{"name":"http","protocol":"TCP","port":8080}])j";
    world.pod("ns1", "c", "10.0.0.3/32", R"j({"role":"web"})j", "n2", ports);
    world.pod("ns1", "d", "10.0.0.4/32", R"j({"role":"db"})j", "n2", ports);
    const std::string scoped =
        R"j({"action":"Allow","protocol":"TCP","destination":{"selector":"role == 'web'","ports":["http",22]}})j";
    EXPECT_EQ(
        gnp_rule(scoped),
        R"j(Allow proto 6 to {selector role == "web"} port 22-22 port 8080@{port http/6=8080 role == "web"})j");
    EXPECT_EQ(world.members(R"j(port http/6=8080 role == "web")j"), "10.0.0.3/32");
    EXPECT_EQ(gnp_rule(R"j({"action":"Allow","protocol":"TCP","destination":{"ports":["http"]}})j"),
              "Allow proto 6 to port 8080@{port http/6=8080 all()}");
    EXPECT_EQ(world.members("port http/6=8080 all()"), "10.0.0.3/32 10.0.0.4/32");
    EXPECT_EQ(gnp_rule(R"j({"action":"Allow","protocol":"UDP","destination":{"ports":["http"]}})j"),
              "Allow proto 17 to port none")
        << "the protocol must be the port's";
}

TEST_F(MatchRow, named_port_follows_the_endpoints)
{
    EXPECT_EQ(gnp_rule(R"j({"action":"Allow","protocol":"TCP","destination":{"ports":["http"]}})j"),
              "Allow proto 6 to port none");
    world.pod("ns1", "c", "10.0.0.3/32", "{}", "n2",
              R"j("ports":[{"name":"http","protocol":"TCP","port":8080}])j");
    EXPECT_EQ(world.only_rule("a"), "Allow proto 6 to port 8080@{port http/6=8080 all()}");
    world.pod("ns1", "c", "10.0.0.3/32", "{}", "n2",
              R"j("ports":[{"name":"http","protocol":"TCP","port":9090}])j");
    EXPECT_EQ(world.only_rule("a"), "Allow proto 6 to port 9090@{port http/6=9090 all()}");
    world.gone("workloadendpoints/ns1/c");
    EXPECT_EQ(world.only_rule("a"), "Allow proto 6 to port none");
    EXPECT_TRUE(world.sets.empty());
}

TEST_F(MatchRow, not_ports)
{
    world.pod("ns1", "c", "10.0.0.3/32", "{}", "n2",
              R"j("ports":[{"name":"http","protocol":"TCP","port":8080}])j");
    EXPECT_EQ(
        gnp_rule(R"j({"action":"Allow","protocol":"TCP","destination":{"notPorts":[22,"http"]}})j"),
        "Allow proto 6 to port !22-22 port !8080@{port http/6=8080 all()}");
}

TEST_F(MatchRow, http_is_not_seen_by_the_data_path_and_never_widens)
{
    EXPECT_EQ(gnp_rule(R"j({"action":"Allow","protocol":"TCP","http":{"methods":["GET"]}})j"), "");
    ASSERT_EQ(world.quarantine.issues().size(), 1u);
    EXPECT_EQ(world.quarantine.issues()[0].reason, "spec.ingress[0].http");
}

TEST_F(MatchRow, a_rule_with_nets_of_the_other_family_alone_is_skipped)
{
    for (const char* field :
         {R"j("source":{"nets":["fd00::/8"]})j", R"j("source":{"notNets":["fd00::/8"]})j",
          R"j("destination":{"nets":["fd00::/8"]})j",
          R"j("destination":{"notNets":["fd00::/8"]})j"})
        EXPECT_EQ(gnp_rule(std::string(R"j({"action":"Allow",)j") + field + "}"), "") << field;
}

using ActionRow = Golden;

TEST_F(ActionRow, allow_deny_log_pass)
{
    for (const char* action : {"Allow", "Deny", "Log", "Pass"})
        EXPECT_EQ(gnp_rule(std::string(R"j({"action":")j") + action + R"j("})j"), action);
}

// Which label a selector sees where several give it. The first profile is the last by name.
TEST_F(Golden, an_own_label_beats_a_profiles_and_the_earlier_profile_beats_the_later)
{
    world.put("profiles/z", R"j({"labelsToApply":{"team":"red"}})j");
    world.put("profiles/b", R"j({"labelsToApply":{"team":"blue"}})j");
    const std::string profiles = R"j("profiles":["open","z","b"])j";
    world.pod("ns1", "own", "10.0.0.3/32", R"j({"team":"green"})j", "n1", profiles);
    world.pod("ns1", "none", "10.0.0.4/32", "{}", "n1", profiles);
    const auto judged_by = [&](const std::string& team) {
        world.gnp("p", R"j({"selector":"team == ')j" + team + R"j('","types":["Ingress"]})j");
        return (judged("own") ? std::string("own ") : "") + (judged("none") ? "none " : "");
    };
    EXPECT_EQ(judged_by("green"), "own ");
    EXPECT_EQ(judged_by("red"), "none ");
    EXPECT_EQ(judged_by("blue"), "");
}

// Sharp edge 9.
TEST_F(Golden, not_selector_alone_is_the_world_in_a_gnp_and_the_namespace_in_a_np)
{
    const std::string rule = R"j({"action":"Allow","source":{"notSelector":"role == 'db'"}})j";
    EXPECT_THAT(gnp_rule(rule), ::testing::HasSubstr("from !{selector role"));
    world.gone("globalnetworkpolicies/p");
    EXPECT_THAT(np_rule(rule), ::testing::HasSubstr("from {selector (projectcalico.org/namespace"));
}

// Sharp edge 15.
TEST_F(Golden, nets_of_the_other_family_or_none_that_parse_match_nothing)
{
    EXPECT_EQ(np_rule(R"j({"action":"Allow","source":{"nets":["2001:db8::/64"]}})j"), "");
    world.gone("networkpolicies/ns1/p");
    EXPECT_EQ(np_rule(R"j({"action":"Allow","source":{"nets":["bad"]}})j"), "Deny");
    EXPECT_EQ(world.quarantine.issues().size(), 1u);
}

TEST_F(Golden, when_set_numbers_run_out_nothing_opens)
{
    AddressSets sets(counting_set_ids(1), [](const PortName&) {});
    Holdings holdings;
    RuleResolver resolver(sets, holdings);
    const auto rule = [](model::RuleAction action, const char* label) {
        model::Rule r;
        r.action = action;
        r.source.selector = model::Selector::has(label);
        return r;
    };
    using model::RuleAction;
    const auto rules =
        resolver.resolve({rule(RuleAction::Allow, "first"), rule(RuleAction::Allow, "second"),
                          rule(RuleAction::Deny, "second"), rule(RuleAction::Pass, "second")},
                         "");
    ASSERT_EQ(rules.size(), 3u);
    EXPECT_EQ(rules[0].action, policy::Action::Allow);
    EXPECT_EQ(rules[0].source.sets.size(), 1u);
    for (const auto i : {1u, 2u}) {
        EXPECT_EQ(rules[i].action, policy::Action::Deny);
        EXPECT_TRUE(rules[i].source.sets.empty());
    }
}

} // namespace
} // namespace margay::calc
