// SPDX-License-Identifier: Apache-2.0
#include "agent/bgp/filter.h"

#include <gmock/gmock.h>

#include "bgp/speaker/types.h"
#include "routes.h"

namespace margay::bgp_rules {
namespace {

using Rule = model::BgpFilterRule;
using CidrMatch = Rule::CidrMatch;
using PeerType = Rule::PeerType;
using ::testing::ElementsAre;

Rule reject()
{
    Rule rule;
    rule.action = Rule::Action::Reject;
    return rule;
}

Rule accept()
{
    Rule rule;
    rule.action = Rule::Action::Accept;
    return rule;
}

// Is a route rejected by this rule alone?
bool hits(const Rule& rule, Route route)
{
    return run({rule}, route) == Verdict::Reject;
}

Rule cidr(CidrMatch match, std::string_view text, std::optional<std::uint8_t> min = {},
          std::optional<std::uint8_t> max = {})
{
    Rule rule = reject();
    rule.cidr = any(text);
    rule.cidr_match = match;
    rule.min_length = min;
    rule.max_length = max;
    return rule;
}

TEST(Filter, the_first_rule_with_an_action_ends_and_none_goes_on)
{
    Route one = route("10.0.0.0/8");
    EXPECT_EQ(run({}, one), Verdict::Continue);
    EXPECT_EQ(run({Rule{}}, one), Verdict::Continue);
    EXPECT_EQ(run({Rule{}, accept(), reject()}, one), Verdict::Accept);
    EXPECT_EQ(run({reject(), accept()}, one), Verdict::Reject);
}

TEST(Filter, cidr_by_each_operator)
{
    struct Case {
        Rule rule;
        std::string_view hit;
        std::string_view miss;
    };
    const Case cases[] = {
        {cidr(CidrMatch::Equal, "10.1.0.0/16"), "10.1.0.0/16", "10.1.0.0/17"},
        {cidr(CidrMatch::NotEqual, "10.1.0.0/16"), "10.1.0.0/17", "10.1.0.0/16"},
        {cidr(CidrMatch::In, "10.1.0.0/16"), "10.1.0.0/16", "10.0.0.0/8"},
        {cidr(CidrMatch::In, "10.1.0.0/16"), "10.1.255.0/24", "10.2.0.0/24"},
        {cidr(CidrMatch::NotIn, "10.1.0.0/16"), "10.2.0.0/24", "10.1.2.0/24"},
        {cidr(CidrMatch::In, "10.1.0.0/16", 24), "10.1.1.0/24", "10.1.0.0/16"},
        {cidr(CidrMatch::In, "10.1.0.0/16", 24, 26), "10.1.1.0/26", "10.1.1.0/27"},
        {cidr(CidrMatch::In, "10.1.0.0/16", {}, 24), "10.1.1.0/24", "10.1.1.0/25"},
        {cidr(CidrMatch::NotIn, "10.1.0.0/16", 24, 26), "10.1.1.0/27", "10.1.1.0/25"},
        {cidr(CidrMatch::In, "fd00::/64"), "fd00::/122", "fd00:1::/122"},
        {cidr(CidrMatch::In, "::/0"), "fd00::/64", "0.0.0.0/0"},
        {cidr(CidrMatch::Equal, "fd00::/64"), "fd00::/64", "fd00::/65"},
    };
    for (const auto& [rule, hit, miss] : cases) {
        EXPECT_TRUE(hits(rule, route(hit))) << hit;
        EXPECT_FALSE(hits(rule, route(miss))) << miss;
    }
}

TEST(Filter, source_remote_peers_is_a_learned_route)
{
    Rule rule = reject();
    rule.learned = true;
    EXPECT_TRUE(hits(rule, route("10.0.0.0/8", {}, {true, false, {}})));
    EXPECT_FALSE(hits(rule, route("10.0.0.0/8")));
}

TEST(Filter, peer_type_is_the_sessions)
{
    for (const auto type : {PeerType::External, PeerType::Internal}) {
        Rule rule = reject();
        rule.peer_type = type;
        for (const bool external : {false, true})
            EXPECT_EQ(hits(rule, route("10.0.0.0/8", {}, {true, external, {}})),
                      external == (type == PeerType::External));
    }
}

TEST(Filter, interface_of_an_own_address_by_wildcard)
{
    Rule rule = reject();
    rule.interface_name = "cali*";
    EXPECT_TRUE(hits(rule, route("10.0.0.1/32", {}, {false, false, "cali123"})));
    EXPECT_FALSE(hits(rule, route("10.0.0.1/32", {}, {false, false, "eth0"})));
    EXPECT_FALSE(hits(rule, route("10.0.0.0/26"))) << "a block has none";
}

TEST(Filter, an_interface_that_is_not_known_rejects_and_never_accepts)
{
    const Circumstances learned{true, false, {}};
    Rule rule = reject();
    rule.interface_name = "eth0";
    EXPECT_TRUE(hits(rule, route("10.0.0.0/26", {}, learned)));
    rule.action = Rule::Action::Accept;
    Route one = route("10.0.0.0/26", {}, learned);
    EXPECT_EQ(run({rule}, one), Verdict::Continue);
    rule.action = Rule::Action::Continue;
    rule.operations = {model::SetPriority{5}};
    EXPECT_EQ(run({rule}, one), Verdict::Continue);
    EXPECT_NE(one.priority(), 5u);
}

TEST(Filter, interface_of_a_learned_route_is_that_of_its_next_hop)
{
    int asked = 0;
    const InterfaceOf interface_of = [&asked](const Ip& hop) -> std::optional<std::string> {
        ++asked;
        return hop == Ip(*Ipv4::parse("192.0.2.1"))   ? "eth1"
               : hop == Ip(*Ipv4::parse("192.0.2.2")) ? ""
                                                      : "eth0";
    };
    const auto by = [&](const char* hop) {
        bgp::Attributes attributes;
        attributes.next_hop = *Ipv4::parse(hop);
        return route("10.0.0.0/26", attributes, {true, false, "", &interface_of});
    };
    Rule rule = reject();
    rule.interface_name = "eth?";
    EXPECT_TRUE(hits(rule, by("192.0.2.1")));
    EXPECT_FALSE(hits(rule, by("192.0.2.2"))) << "nothing leads there";
    rule.interface_name = "eth1";
    EXPECT_FALSE(hits(rule, by("192.0.2.9")));
    rule.action = Rule::Action::Accept;
    Route accepted = by("192.0.2.1");
    EXPECT_EQ(run({rule}, accepted), Verdict::Accept);
    asked = 0;
    rule.cidr = any("172.16.0.0/12");
    EXPECT_FALSE(hits(rule, by("192.0.2.1")));
    rule.interface_name.clear();
    EXPECT_FALSE(hits(rule, by("192.0.2.1")));
    EXPECT_EQ(asked, 0) << "only for routes that all other fields match";
}

TEST(Filter, wildcards)
{
    for (const auto& [pattern, text, match] : {std::tuple("*", "", true),
                                               {"eth0", "eth0", true},
                                               {"eth0", "eth01", false},
                                               {"eth?", "eth0", true},
                                               {"eth?", "eth", false},
                                               {"*0", "eth00", true},
                                               {"a*b*c", "axxbyyc", true},
                                               {"a*b*c", "axxbyy", false},
                                               {"*a*b", "aab", true},
                                               {"", "a", false},
                                               {"**", "a", true},
                                               {"e*h", "e*h", true}})
        EXPECT_EQ(matches_wildcard(pattern, text), match) << pattern << " " << text;
}

TEST(Filter, communities_of_both_kinds)
{
    bgp::Attributes attributes;
    attributes.communities = {65001u << 16 | 7};
    attributes.others = {{0xc0, 32, {0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3}}};
    Rule rule = reject();
    for (const auto& [community, match] :
         {std::pair<model::Community, bool>{65001u << 16 | 7, true},
          {65001u << 16 | 8, false},
          {model::LargeCommunity{1, 2, 3}, true},
          {model::LargeCommunity{1, 2, 4}, false}}) {
        rule.community = community;
        EXPECT_EQ(hits(rule, route("10.0.0.0/8", attributes)), match);
        EXPECT_FALSE(hits(rule, route("10.0.0.0/8")));
    }
}

TEST(Filter, the_path_begins_with)
{
    Rule rule = reject();
    rule.as_path_prefix = {65001, 65002};
    EXPECT_TRUE(hits(rule, route("10.0.0.0/8", with_path({65001, 65002, 65003}))));
    EXPECT_TRUE(hits(rule, route("10.0.0.0/8", with_path({65001, 65002}))));
    EXPECT_FALSE(hits(rule, route("10.0.0.0/8", with_path({65002, 65001}))));
    EXPECT_FALSE(hits(rule, route("10.0.0.0/8", with_path({65001}))));
    EXPECT_FALSE(hits(rule, route("10.0.0.0/8"))) << "our own";
    bgp::Attributes set;
    set.as_path = bgp::AsPath({{bgp::PathSegment::Type::Set, {bgp::Asn{65001}, bgp::Asn{65002}}}});
    EXPECT_FALSE(hits(rule, route("10.0.0.0/8", set))) << "a set has no order";
}

TEST(Filter, priority_is_what_the_local_preference_says)
{
    Rule rule = reject();
    rule.priority = 1024;
    bgp::Attributes attributes;
    attributes.local_pref = bgp::kNormalLocalPref;
    EXPECT_TRUE(hits(rule, route("10.0.0.0/8", attributes)));
    EXPECT_FALSE(hits(rule, route("10.0.0.0/8"))) << "without one it counts as 100";
    rule.priority = 2147483547;
    EXPECT_TRUE(hits(rule, route("10.0.0.0/8")));
    attributes.local_pref = 4000000000; // more than any priority can say
    EXPECT_EQ(route("10.0.0.0/8", attributes).priority(), 0u);
}

TEST(Filter, all_fields_must_match)
{
    Rule rule = cidr(CidrMatch::In, "10.0.0.0/8");
    rule.peer_type = PeerType::External;
    EXPECT_FALSE(hits(rule, route("10.1.0.0/16")));
    EXPECT_FALSE(hits(rule, route("11.1.0.0/16", {}, {true, true, {}})));
    EXPECT_TRUE(hits(rule, route("10.1.0.0/16", {}, {true, true, {}})));
}

TEST(Filter, operations_change_the_route_in_their_order)
{
    Rule rule;
    rule.operations = {model::AddCommunity{65001u << 16 | 7}, model::AddCommunity{65001u << 16 | 7},
                       model::AddCommunity{model::LargeCommunity{1, 2, 3}},
                       model::PrependAsPath{{65001, 65002}}, model::SetPriority{100}};
    Route one = route("10.0.0.0/8", with_path({65009}));
    ASSERT_EQ(run({rule, accept()}, one), Verdict::Accept);
    const auto result = one.attributes(pool())->decode();
    EXPECT_THAT(result.communities, ElementsAre(65001u << 16 | 7)) << "once is enough";
    ASSERT_EQ(result.others.size(), 1u);
    EXPECT_EQ(result.others[0].type, 32);
    EXPECT_EQ(result.others[0].flags, 0xc0);
    EXPECT_THAT(result.others[0].value, ElementsAre(0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3));
    EXPECT_EQ(result.as_path.str(), "65001 65002 65009");
    EXPECT_EQ(result.local_pref, 2147483647u - 100);
}

TEST(Filter, later_rules_see_what_earlier_ones_did)
{
    Rule mark;
    mark.operations = {model::AddCommunity{1u}, model::SetPriority{7}};
    Rule marked = reject();
    marked.community = 1u;
    marked.priority = 7;
    Route one = route("10.0.0.0/8");
    EXPECT_EQ(run({mark, marked}, one), Verdict::Reject);
}

TEST(Filter, a_route_that_nobody_changed_has_the_attributes_that_it_had)
{
    const auto given = pool().intern(with_path({1}));
    Route one(any("10.0.0.0/8"), given, {});
    EXPECT_EQ(run({accept()}, one), Verdict::Accept);
    EXPECT_EQ(one.attributes(pool()), given);
}

// What should mark a route and does not fit must not be left out.
TEST(Filter, more_than_fits_rejects)
{
    Rule rule = accept();
    rule.operations = {model::PrependAsPath{std::vector<std::uint32_t>(64, 65001)}};
    Route one = route("10.0.0.0/8");
    EXPECT_EQ(run({rule}, one), Verdict::Accept);
    EXPECT_EQ(run({rule}, one), Verdict::Accept);
    EXPECT_EQ(run({rule}, one), Verdict::Accept);
    EXPECT_EQ(run({rule}, one), Verdict::Reject);
}

} // namespace
} // namespace margay::bgp_rules
