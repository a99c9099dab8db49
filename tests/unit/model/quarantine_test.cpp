// SPDX-License-Identifier: Apache-2.0
#include "agent/model/quarantine.h"

#include <gmock/gmock.h>

#include "support/keys.h"

namespace margay::model {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const std::string kPolicy = kResources + "globalnetworkpolicies/p";
const std::string kEndpoint = kResources + "workloadendpoints/ns1/e";
const std::string kTier = kResources + "tiers/t";

constexpr const char* kGoodPolicy = R"({"spec":{"order":1}})";
constexpr const char* kBadPolicy = R"({"spec":{"order":"x","selector":"a == 'b'"}})";

TEST(Quarantine, the_last_good_value_stays_in_force)
{
    Quarantine quarantine;
    ASSERT_TRUE(quarantine.admit(kPolicy, kGoodPolicy));
    EXPECT_FALSE(quarantine.admit(kPolicy, kBadPolicy));
    ASSERT_EQ(quarantine.issues().size(), 1u);
    EXPECT_EQ(
        quarantine.issues()[0],
        (Issue{Issue::Kind::Bad, kPolicy, "spec.order: expected a number", "the last good value"}));
}

TEST(Quarantine, without_a_good_value_a_policy_is_replaced_by_one_that_denies)
{
    Quarantine quarantine;
    const auto update = quarantine.admit(kPolicy, kBadPolicy);
    ASSERT_TRUE(update);
    const auto& policy = std::get<Policy>(update->value);
    EXPECT_TRUE(policy.stands_in);
    EXPECT_EQ(policy.selector.text(), R"(a == "b")");
    EXPECT_EQ(quarantine.issues()[0].in_force, "a policy that denies");
    EXPECT_TRUE(quarantine.admit(kPolicy, "{")) << "a stand-in is no good value";
}

TEST(Quarantine, a_deleted_good_value_is_forgotten)
{
    Quarantine quarantine;
    (void)quarantine.admit(kPolicy, kGoodPolicy);
    const auto gone = quarantine.admit(kPolicy, std::nullopt);
    ASSERT_TRUE(gone);
    EXPECT_TRUE(gone->is_deletion());
    EXPECT_TRUE(quarantine.admit(kPolicy, kBadPolicy));
}

TEST(Quarantine, a_bad_endpoint_and_other_kinds_count_as_absent)
{
    Quarantine quarantine;
    EXPECT_FALSE(quarantine.admit(kEndpoint, R"({"spec":{"node":"n1","ipNetworks":["x"]}})"));
    EXPECT_FALSE(quarantine.admit(kTier, "garbage"));
    EXPECT_EQ(quarantine.issues().size(), 2u);
}

TEST(Quarantine, a_bad_value_is_named_once_and_forgotten_when_it_is_mended)
{
    Quarantine quarantine;
    (void)quarantine.admit(kTier, "garbage");
    EXPECT_EQ(quarantine.take_news().size(), 1u);
    (void)quarantine.admit(kTier, "garbage");
    EXPECT_THAT(quarantine.take_news(), IsEmpty());
    (void)quarantine.admit(kTier, R"({"spec":{"order":"x"}})");
    EXPECT_EQ(quarantine.take_news().size(), 1u) << "another reason is news";
    ASSERT_TRUE(quarantine.admit(kTier, R"({"spec":{}})"));
    EXPECT_THAT(quarantine.issues(), IsEmpty());
    EXPECT_THAT(quarantine.take_news(), IsEmpty());
}

TEST(Quarantine, what_is_not_enforced_is_named_and_still_passed_on)
{
    Quarantine quarantine;
    EXPECT_TRUE(quarantine.admit(kResources + "hostendpoints/h", R"({"spec":{}})"));
    EXPECT_TRUE(quarantine.admit(kResources + "globalnetworksets/s", R"({"spec":{"nets":["x"]}})"));
    const auto news = quarantine.take_news();
    ASSERT_EQ(news.size(), 2u);
    EXPECT_EQ(news[0].kind, Issue::Kind::NotEnforced);
    EXPECT_EQ(news[0].in_force, "its labels and addresses, for selectors");
    EXPECT_EQ(news[1].kind, Issue::Kind::Skipped);
    EXPECT_EQ(issue_kind_name(news[0].kind), "not-enforced");
}

TEST(Quarantine, rule_with_a_field_that_is_not_enforced_is_named_with_what_it_does_instead)
{
    Quarantine quarantine;
    EXPECT_TRUE(quarantine.admit(
        kResources + "globalnetworkpolicies/p",
        R"({"spec":{"egress":[{"action":"Allow","destination":{"services":{"name":"s"}}}]}})"));
    const auto news = quarantine.take_news();
    ASSERT_EQ(news.size(), 1u);
    EXPECT_EQ(news[0].reason, "spec.egress[0].destination.services");
    EXPECT_EQ(news[0].in_force,
              "everything else of it; this rule is left out if it allows or logs, "
              "else it denies what its other fields match");
}

TEST(Quarantine, what_holds_of_bgp_values_is_said)
{
    const auto in_force = [](const std::string& key, const char* value) {
        Quarantine quarantine;
        (void)quarantine.admit(kResources + key, value);
        const auto issues = quarantine.issues();
        EXPECT_EQ(issues.size(), 1u) << key;
        return issues.empty() ? "" : issues[0].in_force;
    };
    EXPECT_EQ(in_force("bgpfilters/f", R"({"spec":{"importV4":[{"action":"x"}]}})"),
              "nothing: peers that name it are told no route, and theirs are not used");
    EXPECT_EQ(in_force("bgppeers/p", R"({"spec":{}})"), "nothing");
    EXPECT_EQ(in_force("bgppeers/p", R"j({"spec":{"localWorkloadSelector":"all()"}})j"), "nothing");
    EXPECT_EQ(in_force("ippools/p", R"({"spec":{"cidr":"fd00::/64"}})"),
              "what it says of BGP's export");
    EXPECT_EQ(in_force("bgpconfigurations/default",
                       R"({"spec":{"serviceClusterIPs":[{"cidr":"10.96.0.0/12"}]}})"),
              "what others announce of it is passed on, nothing is announced here");
}

TEST(Quarantine, foreign_keys_are_none_of_ours)
{
    Quarantine quarantine;
    EXPECT_FALSE(quarantine.admit("/registry/pods/x", "garbage"));
    EXPECT_THAT(quarantine.issues(), IsEmpty());
}

} // namespace
} // namespace margay::model
