// SPDX-License-Identifier: Apache-2.0
#include "agent/bgp/rules.h"

#include <gmock/gmock.h>

#include "routes.h"

namespace margay::bgp_rules {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

model::BgpFilterRules one_rule(model::BgpFilterRule::Action action,
                               std::vector<model::BgpOperation> operations = {})
{
    model::BgpFilterRule rule;
    rule.action = action;
    rule.operations = std::move(operations);
    return {rule};
}

constexpr auto kAccept = model::BgpFilterRule::Action::Accept;
constexpr auto kReject = model::BgpFilterRule::Action::Reject;
constexpr auto kContinue = model::BgpFilterRule::Action::Continue;

struct RulesTest : ::testing::Test {
    Rules rules;

    void put(const std::string& name, model::BgpFilter filter) { rules.set_filter(name, &filter); }
    bool imports(const std::string& chain, std::string_view prefix = "10.20.1.0/26")
    {
        return bool(rules.import_route(chain, route(prefix), pool()));
    }
    bool exports(const std::string& chain, std::string_view prefix = "10.20.1.0/26")
    {
        return bool(rules.export_route(chain, route(prefix), pool()));
    }
    void SetUp() override
    {
        model::BgpExport facts;
        facts.pools = {{any("10.20.0.0/16"), true}, {any("10.30.0.0/16"), false}};
        rules.set_export(facts);
    }
};

TEST_F(RulesTest, without_filters_everything_is_taken_and_the_list_decides_what_is_told)
{
    EXPECT_TRUE(imports("", "192.0.2.0/24"));
    EXPECT_TRUE(exports(""));
    EXPECT_FALSE(exports("", "192.0.2.0/24"));
}

TEST_F(RulesTest, filters_come_before_the_list)
{
    model::BgpFilter filter;
    filter.export4 = one_rule(kAccept);
    put("open", filter);
    EXPECT_TRUE(exports("open", "192.0.2.0/24"));
    EXPECT_TRUE(exports("open", "10.30.0.0/26")) << "also of a pool that is not exported";
    filter.export4 = one_rule(kReject);
    put("shut", filter);
    EXPECT_FALSE(exports("shut"));
    EXPECT_TRUE(imports("shut")) << "this is another list";
}

TEST_F(RulesTest, each_direction_and_family_has_its_list)
{
    model::BgpFilter filter;
    filter.import4 = one_rule(kReject);
    filter.export6 = one_rule(kAccept);
    put("f", filter);
    EXPECT_FALSE(imports("f"));
    EXPECT_TRUE(imports("f", "fd00::/64"));
    EXPECT_TRUE(exports("f"));
    EXPECT_TRUE(exports("f", "fd00::/64"));
    EXPECT_FALSE(exports("", "fd00::/64"));
    filter.import6 = one_rule(kReject);
    put("f", filter);
    EXPECT_FALSE(imports("f", "fd00::/64"));
}

TEST_F(RulesTest, the_filters_of_a_chain_in_their_order)
{
    model::BgpFilter marks;
    marks.import4 = one_rule(kContinue, {model::AddCommunity{1u}});
    put("marks", marks);
    model::BgpFilter filter;
    filter.import4 = one_rule(kReject);
    filter.import4[0].community = 1u;
    put("rejects-marked", filter);
    EXPECT_FALSE(imports(chain_of({"marks", "rejects-marked"})));
    EXPECT_TRUE(imports(chain_of({"rejects-marked", "marks"})));
    const auto taken = rules.import_route("marks", route("10.20.1.0/26"), pool());
    EXPECT_THAT(taken->decode().communities, ElementsAre(1u));
}

TEST_F(RulesTest, a_filter_that_is_not_there_closes_both_directions)
{
    model::BgpFilter filter;
    filter.import4 = filter.export4 = one_rule(kAccept);
    put("open", filter);
    EXPECT_TRUE(imports("open"));
    EXPECT_FALSE(imports("open,gone")) << "even behind one that accepts";
    EXPECT_FALSE(exports("gone"));
    EXPECT_THAT(rules.missing({"open", "gone"}), ElementsAre("gone"));
    put("gone", filter);
    EXPECT_TRUE(imports("open,gone")) << "until it comes";
    EXPECT_THAT(rules.missing({"open", "gone"}), IsEmpty());
    rules.set_filter("open", nullptr);
    EXPECT_FALSE(imports("open"));
}

TEST_F(RulesTest, a_changed_filter_counts_at_once)
{
    model::BgpFilter filter;
    filter.import4 = one_rule(kReject);
    put("f", filter);
    EXPECT_FALSE(imports("f"));
    filter.import4 = one_rule(kAccept);
    put("f", filter);
    EXPECT_TRUE(imports("f"));
}

} // namespace
} // namespace margay::bgp_rules
