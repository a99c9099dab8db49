// SPDX-License-Identifier: Apache-2.0
// From resource to IR: order of evaluation and the situations of an endpoint, a test a row.

#include <gmock/gmock.h>

#include "world.h"

namespace margay::calc {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::string kOpen = "profile/open: [Allow]\n";

struct Order : ::testing::Test {
    World world;

    void SetUp() override
    {
        world.usual();
        world.pod("ns1", "a", "10.0.0.1/32", R"j({"role":"web"})j");
    }
};

using OrderRow = Order;

TEST_F(OrderRow, tiers_with_a_resource_first_then_by_order_then_by_name)
{
    world.put("tiers/late", R"j({"defaultAction":"Pass"})j");
    world.put("tiers/b", R"j({"order":10})j");
    world.put("tiers/a", R"j({"order":10})j");
    for (const char* tier : {"missing", "late", "b", "default", "a"})
        world.gnp(std::string("in-") + tier,
                  std::string(R"j({"types":["Ingress"],"tier":")j") + tier + R"j("})j");
    EXPECT_EQ(world.ingress("a"), "tier a deny\n  a/in-a:\n"
                                  "tier b deny\n  b/in-b:\n"
                                  "tier default deny\n  default/in-default:\n"
                                  "tier late pass\n  late/in-late:\n"
                                  "tier missing deny\n  missing/in-missing:\n" +
                                      kOpen);
}

TEST_F(OrderRow, policies_in_a_tier_by_order_then_by_name_namespace_kind)
{
    world.gnp("z", R"j({"order":-1,"types":["Ingress"]})j");
    world.gnp("last-b", R"j({"types":["Ingress"]})j");
    world.gnp("same", R"j({"order":5,"types":["Ingress"]})j");
    world.np("ns1", "same", R"j({"order":5,"types":["Ingress"]})j");
    world.np("ns1", "last-a", R"j({"types":["Ingress"]})j");
    EXPECT_EQ(world.ingress("a"),
              "tier default deny\n  default/z:\n  default/same:\n  ns1/default/same:\n"
              "  ns1/default/last-a:\n  default/last-b:\n" +
                  kOpen);
}

TEST_F(OrderRow, only_policies_that_select_the_endpoint_and_only_in_their_directions)
{
    world.gnp("in", R"j({"selector":"role == 'web'","types":["Ingress"]})j");
    world.gnp("out", R"j({"selector":"role == 'web'","types":["Egress"]})j");
    world.gnp("other", R"j({"selector":"role == 'db'","types":["Ingress","Egress"]})j");
    EXPECT_EQ(world.ingress("a"), "tier default deny\n  default/in:\n" + kOpen);
    EXPECT_EQ(world.egress("a"), "tier default deny\n  default/out:\n" + kOpen);
}

TEST_F(OrderRow, types_absent_are_both_directions)
{
    world.gnp("p", R"j({"ingress":[{"action":"Allow"}]})j");
    EXPECT_EQ(world.ingress("a"), "tier default deny\n  default/p: [Allow]\n" + kOpen);
    EXPECT_EQ(world.egress("a"), "tier default deny\n  default/p:\n" + kOpen)
        << "the end of the tier cuts it";
}

TEST_F(OrderRow, end_of_tier_is_the_tiers_default_action)
{
    world.gnp("p", R"j({"types":["Ingress"]})j");
    world.put("tiers/default", R"j({"order":1000000,"defaultAction":"Pass"})j");
    EXPECT_EQ(world.ingress("a"), "tier default pass\n  default/p:\n" + kOpen);
    world.put("tiers/default", R"j({"order":1000000})j");
    EXPECT_EQ(world.ingress("a"), "tier default deny\n  default/p:\n" + kOpen);
}

TEST_F(OrderRow, after_all_tiers_the_profiles_in_the_endpoints_order)
{
    world.put("profiles/shut", R"j({"ingress":[{"action":"Deny","protocol":"TCP"}]})j");
    world.pod("ns1", "a", "10.0.0.1/32", "{}", "n1", R"j("profiles":["shut","open"])j");
    EXPECT_EQ(world.ingress("a"), "profile/shut: [Deny proto 6]\n" + kOpen);
    EXPECT_EQ(world.egress("a"), "profile/shut:\n" + kOpen);
}

using SituationRow = Order;

TEST_F(SituationRow, no_policy_applies_and_the_profile_allows)
{
    EXPECT_EQ(world.ingress("a"), kOpen);
    EXPECT_EQ(world.egress("a"), kOpen);
}

TEST_F(SituationRow, no_policy_and_no_profile_is_an_empty_program_which_denies)
{
    world.pod("ns1", "a", "10.0.0.1/32", "{}", "n1", R"j("profiles":[])j");
    EXPECT_EQ(world.ingress("a"), "");
    EXPECT_TRUE(world.endpoints.contains("cali-a"));
}

TEST_F(SituationRow, a_policy_for_ingress_alone_leaves_egress_to_the_profiles)
{
    world.gnp("p", R"j({"types":["Ingress"]})j");
    EXPECT_EQ(world.egress("a"), kOpen);
}

TEST_F(SituationRow, a_profile_that_is_not_stored_matches_nothing_until_it_is)
{
    world.pod("ns1", "a", "10.0.0.1/32", "{}", "n1", R"j("profiles":["ghost"])j");
    EXPECT_EQ(world.ingress("a"), "");
    world.put("profiles/ghost", R"j({"ingress":[{"action":"Allow"}]})j");
    EXPECT_EQ(world.ingress("a"), "profile/ghost: [Allow]\n");
    world.gone("profiles/ghost");
    EXPECT_EQ(world.ingress("a"), "");
}

// Admin state is not in the stored resource: an endpoint without addresses is what is left of it.
TEST_F(SituationRow, an_endpoint_without_addresses_is_no_endpoint)
{
    world.sync();
    world.put("workloadendpoints/ns1/a",
              R"j({"node":"n1","interfaceName":"cali-a","ipNetworks":[]})j");
    EXPECT_TRUE(world.sync().endpoints.contains("cali-a"));
    EXPECT_TRUE(world.endpoints.empty());
}

TEST_F(SituationRow, an_interface_without_endpoint_is_not_wanted)
{
    world.pod("ns1", "far", "10.0.0.9/32", "{}", "n2");
    world.sync();
    EXPECT_TRUE(world.endpoints.contains("cali-a"));
    EXPECT_FALSE(world.endpoints.contains("cali-far")) << "it is another node's";
}

TEST_F(SituationRow, of_two_endpoints_with_one_interface_the_lowest_id_wins)
{
    const auto clash = [this](const std::string& name, const std::string& address) {
        world.put("workloadendpoints/ns1/" + name,
                  R"j({"node":"n1","interfaceName":"cali-x","ipNetworks":[")j" + address +
                      R"j("]})j");
    };
    clash("m", "10.0.0.7/32");
    world.sync();
    clash("k", "10.0.0.6/32");
    world.sync();
    EXPECT_EQ(world.endpoints.at("cali-x").id.name, "k");
    EXPECT_FALSE(world.routes.contains(*Prefix4::parse("10.0.0.7/32"))) << "the other is ignored";
    world.gone("workloadendpoints/ns1/k");
    world.sync();
    EXPECT_EQ(world.endpoints.at("cali-x").id.name, "m");
    EXPECT_TRUE(world.routes.contains(*Prefix4::parse("10.0.0.7/32")));
}

// Sharp edge 3.
TEST_F(Order, a_policy_has_its_plain_name_from_either_form_of_key)
{
    world.put_raw("globalnetworkpolicies/default.legacy",
                  R"j({"metadata":{"name":"default.legacy"},"spec":{"types":["Ingress"]}})j");
    world.put_raw(
        "globalnetworkpolicies/modern",
        R"j({"metadata":{"name":"modern","annotations":{"projectcalico.org/metadata":"{\"name\":\"modern\"}"}},
                      "spec":{"types":["Ingress"]}})j");
    EXPECT_EQ(world.ingress("a"),
              "tier default deny\n  default/legacy:\n  default/modern:\n" + kOpen);
}

// Sharp edge 8.
TEST_F(Order, negative_comparisons_select_endpoints_without_the_label)
{
    world.pod("ns1", "bare", "10.0.0.2/32");
    world.gnp("p", R"j({"selector":"!has(role) || role != 'web'","types":["Ingress"]})j");
    EXPECT_EQ(world.ingress("a"), kOpen);
    EXPECT_THAT(world.ingress("bare"), HasSubstr("default/p"));
    world.gnp("q", R"j({"selector":"role == 'web'\n","types":["Ingress"]})j");
    EXPECT_THAT(world.ingress("a"), HasSubstr("default/q: [Deny]"))
        << "a newline is an error; the stand-in denies";
}

// Sharp edge 10.
TEST_F(Order, end_of_tier_needs_an_enforced_policy_of_the_direction)
{
    for (const bool pass : {false, true}) {
        world.put("tiers/t", std::string(R"j({"order":1,"defaultAction":")j") +
                                 (pass ? "Pass" : "Deny") + R"j("})j");
        EXPECT_EQ(world.ingress("a"), kOpen) << "none";
        world.put_raw("stagedglobalnetworkpolicies/t.s",
                      R"j({"spec":{"tier":"t","types":["Ingress"]}})j");
        EXPECT_EQ(world.ingress("a"), kOpen) << "staged only";
        world.gnp("p", R"j({"tier":"t","types":["Egress"]})j");
        EXPECT_EQ(world.ingress("a"), kOpen) << "egress only";
        world.gnp("p", R"j({"tier":"t","types":["Ingress"]})j");
        EXPECT_EQ(world.ingress("a"),
                  std::string("tier t ") + (pass ? "pass" : "deny") + "\n  t/p:\n" + kOpen);
        world.gone("globalnetworkpolicies/p");
    }
    world.gnp("p", R"j({"tier":"gone","types":["Ingress"]})j");
    EXPECT_EQ(world.ingress("a"), "tier gone deny\n  gone/p:\n" + kOpen);
}

// Sharp edge 11.
TEST_F(Order, a_raw_put_without_types_cuts_the_pods_egress)
{
    world.put_raw("networkpolicies/ns1/p", R"j({"spec":{"ingress":[{"action":"Allow"}]}})j");
    EXPECT_EQ(world.egress("a"), "tier default deny\n  ns1/default/p:\n" + kOpen);
}

// Sharp edge 12.
TEST_F(Order, three_pods_without_policy_are_governed_by_their_profiles)
{
    world.pod("ns1", "none", "10.0.0.2/32", "{}", "n1", R"j("profiles":[])j");
    world.pod("ns1", "ghost", "10.0.0.3/32", "{}", "n1", R"j("profiles":["ghost"])j");
    world.pod("ns1", "built-in", "10.0.0.4/32", "{}", "n1",
              R"j("profiles":["projectcalico-default-allow"])j");
    EXPECT_EQ(world.ingress("none"), "");
    EXPECT_EQ(world.ingress("ghost"), "");
    EXPECT_EQ(world.ingress("built-in"), "profile/projectcalico-default-allow: [Allow]\n");
    EXPECT_EQ(world.egress("built-in"), "profile/projectcalico-default-allow: [Allow]\n");
    world.put("profiles/projectcalico-default-allow", R"j({"ingress":[{"action":"Deny"}]})j");
    EXPECT_EQ(world.ingress("built-in"), "profile/projectcalico-default-allow: [Allow]\n");
}

TEST_F(Order, policies_for_host_endpoints_alone_do_not_judge_workloads)
{
    world.gnp(
        "dnt",
        R"j({"doNotTrack":true,"applyOnForward":true,"types":["Ingress"],"ingress":[{"action":"Allow"}]})j");
    world.gnp(
        "dnat",
        R"j({"preDNAT":true,"applyOnForward":true,"types":["Ingress"],"ingress":[{"action":"Allow"}]})j");
    EXPECT_EQ(world.ingress("a"), kOpen);
}

// Which tier it was of is not to be read either: before all of them no Allow comes first.
TEST_F(Order, a_policy_that_cannot_be_read_denies_every_local_workload_before_all_tiers)
{
    world.put("tiers/first", R"j({"order":-1000})j");
    world.gnp("ok", R"j({"tier":"first","types":["Ingress"],"ingress":[{"action":"Allow"}]})j");
    world.put_raw("globalnetworkpolicies/broken", "{");
    EXPECT_EQ(world.ingress("a"), "tier (unreadable) deny\n  (unreadable)/broken: [Deny]\n"
                                  "tier first deny\n  first/ok: [Allow]\n" +
                                      kOpen);
    EXPECT_THAT(world.egress("a"), HasSubstr("(unreadable)/broken: [Deny]"));
    world.gone("globalnetworkpolicies/broken");
    EXPECT_THAT(world.ingress("a"), Not(HasSubstr("broken")));
}

TEST_F(Order, a_policy_of_a_readable_tier_that_is_broken_denies_first_in_that_tier)
{
    world.gnp("ok", R"j({"order":-1000,"types":["Ingress"],"ingress":[{"action":"Allow"}]})j");
    world.gnp("broken", R"j({"tier":"default","types":["Ingress"],"order":"x"})j");
    EXPECT_EQ(world.ingress("a"),
              "tier default deny\n  default/broken: [Deny]\n  default/ok: [Allow]\n" + kOpen);
}

} // namespace
} // namespace margay::calc
