// SPDX-License-Identifier: Apache-2.0
#include "agent/bgp/export.h"

#include <gmock/gmock.h>

#include "bgp/speaker/types.h"
#include "routes.h"

namespace margay::bgp_rules {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// A pool of each family, a hidden one inside the first, and an own block of each family.
struct Export : ::testing::Test {
    model::BgpExport facts;
    bgp::Attributes normal;

    void SetUp() override
    {
        facts.pools = {{any("10.20.0.0/16"), true},
                       {any("10.20.128.0/24"), false},
                       {any("fd00::/64"), true},
                       {any("fd00::8000/120"), false}};
        facts.own_blocks = {any("10.20.1.0/26"), any("10.20.128.0/26"), any("fd00::40/122")};
        normal.local_pref = bgp::kNormalLocalPref;
    }
    ExportRule rule(std::string_view prefix)
    {
        Route one = route(prefix, normal);
        return run_export(facts, one);
    }
};

TEST_F(Export, rule_2_nothing_of_a_hidden_pool)
{
    EXPECT_EQ(rule("10.20.128.0/26"), ExportRule::HiddenPool) << "not even an own block";
    EXPECT_EQ(rule("fd00::8000/122"), ExportRule::HiddenPool);
    EXPECT_FALSE(accepts(ExportRule::HiddenPool));
}

TEST_F(Export, rule_5_communities_of_the_prefixes_around)
{
    facts.advertisements = {
        {any("10.20.0.0/16"), {65001u << 16 | 1, model::LargeCommunity{1, 2, 3}}},
        {any("10.20.1.0/26"), {65001u << 16 | 2}},
        {any("10.20.2.0/26"), {65001u << 16 | 3}},
        {any("fd00::/64"), {65001u << 16 | 4}}};
    Route own = route("10.20.1.0/26", normal);
    EXPECT_EQ(run_export(facts, own), ExportRule::OwnBlock) << "and on with the list";
    const auto told = own.attributes(pool())->decode();
    EXPECT_THAT(told.communities, ElementsAre(65001u << 16 | 1, 65001u << 16 | 2));
    EXPECT_EQ(told.others.size(), 1u);
    Route v6 = route("fd00::40/122", normal);
    (void)run_export(facts, v6);
    EXPECT_THAT(v6.attributes(pool())->decode().communities, ElementsAre(65001u << 16 | 4));
    Route outside = route("192.0.2.0/24", normal);
    (void)run_export(facts, outside);
    EXPECT_THAT(outside.attributes(pool())->decode().communities, IsEmpty());
}

TEST_F(Export, rule_5_a_mark_that_does_not_fit_keeps_the_route_here)
{
    for (std::uint32_t community = 0; community < 600; ++community)
        normal.communities.push_back(community);
    facts.advertisements = {{any("10.20.0.0/16"), {65001u << 16 | 1}}};
    EXPECT_EQ(rule("10.20.1.0/26"), ExportRule::TooManyCommunities);
    EXPECT_FALSE(accepts(ExportRule::TooManyCommunities));
}

TEST_F(Export, rule_6_an_own_block)
{
    EXPECT_EQ(rule("10.20.1.0/26"), ExportRule::OwnBlock);
    EXPECT_EQ(rule("fd00::40/122"), ExportRule::OwnBlock);
    EXPECT_TRUE(accepts(ExportRule::OwnBlock));
}

TEST_F(Export, rule_7_a_better_priority_inside_an_own_block)
{
    normal.local_pref = kHighestPreference - 512;
    EXPECT_EQ(rule("10.20.1.7/32"), ExportRule::Elevated);
    EXPECT_EQ(rule("fd00::41/128"), ExportRule::Elevated);
    EXPECT_TRUE(accepts(ExportRule::Elevated));
    facts.priority4 = 512;
    EXPECT_EQ(rule("10.20.1.7/32"), ExportRule::InsideOwnBlock) << "512 is the usual one";
    EXPECT_EQ(rule("fd00::41/128"), ExportRule::Elevated) << "each family has its own";
}

TEST_F(Export, rule_8_inside_an_own_block_the_block_is_enough)
{
    EXPECT_EQ(rule("10.20.1.7/32"), ExportRule::InsideOwnBlock);
    EXPECT_EQ(rule("10.20.1.0/27"), ExportRule::InsideOwnBlock);
    EXPECT_EQ(rule("fd00::41/128"), ExportRule::InsideOwnBlock);
    EXPECT_FALSE(accepts(ExportRule::InsideOwnBlock));
}

TEST_F(Export, rule_9_services_as_they_are_configured)
{
    facts.service_routes.v4 = {*Prefix4::parse("10.96.0.0/12")};
    facts.service_routes.v6 = {*Prefix6::parse("fd96::/108")};
    EXPECT_EQ(rule("10.96.0.0/12"), ExportRule::ServiceRoute);
    EXPECT_EQ(rule("fd96::/108"), ExportRule::ServiceRoute);
    EXPECT_EQ(rule("10.96.0.1/32"), ExportRule::Otherwise);
    EXPECT_TRUE(accepts(ExportRule::ServiceRoute));
}

TEST_F(Export, rule_10_a_reflector_passes_parts_of_services_on)
{
    facts.reflected_services.v4 = {*Prefix4::parse("192.0.2.0/24")};
    EXPECT_EQ(rule("192.0.2.7/32"), ExportRule::ReflectedService);
    EXPECT_TRUE(accepts(ExportRule::ReflectedService));
}

TEST_F(Export, rule_11_others_blocks_and_borrowed_addresses)
{
    EXPECT_EQ(rule("10.20.2.0/26"), ExportRule::Pool);
    EXPECT_EQ(rule("10.20.2.7/32"), ExportRule::Pool);
    EXPECT_EQ(rule("fd00::80/122"), ExportRule::Pool);
    EXPECT_TRUE(accepts(ExportRule::Pool));
}

TEST_F(Export, rule_12_nothing_else)
{
    EXPECT_EQ(rule("192.0.2.0/24"), ExportRule::Otherwise) << "a node's own network";
    EXPECT_EQ(rule("10.0.0.0/8"), ExportRule::Otherwise) << "around a pool, not inside";
    EXPECT_EQ(rule("::/0"), ExportRule::Otherwise);
    EXPECT_FALSE(accepts(ExportRule::Otherwise));
    facts.pools.clear();
    EXPECT_EQ(rule("10.20.2.0/26"), ExportRule::Otherwise);
}

} // namespace
} // namespace margay::bgp_rules
