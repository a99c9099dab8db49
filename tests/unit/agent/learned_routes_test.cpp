// SPDX-License-Identifier: Apache-2.0
#include "agent/learned_routes.h"

#include <gmock/gmock.h>

#include "support/addresses.h"

namespace margay {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr kernel::IfIndex kUplink = 2;

// A kernel with one uplink: 2001:db8:1::/64 is on it, the rest is where `ways` says.
struct LearnedRoutesTest : ::testing::Test {
    const Prefix6 one = prefix6("2001:db8:a::/48");
    const Prefix6 two = prefix6("2001:db8:b::/48");
    std::map<Ipv6, kernel::Target6> ways;
    std::vector<std::string> log; // what was asked of the kernel
    std::map<kernel::RouteKey6, kernel::Route6> routes; // wanted
    LearnedRoutes learned{LearnedRoutes::Kernel{
        [this](Ipv6 hop) { log.push_back("watch " + hop.str()); },
        [this](Ipv6 hop) { log.push_back("unwatch " + hop.str()); },
        [this](Ipv6 hop) {
            const auto known = ways.find(hop);
            return known == ways.end() ? nullptr : &known->second;
        },
        [this](const kernel::Route6& route) {
            log.push_back("want " + route.destination.str());
            routes.insert_or_assign(route.key(), route);
        },
        [this](const kernel::RouteKey6& key) {
            EXPECT_EQ(routes.erase(key), 1u) << key.destination.str() << " was not wanted";
        }}};

    static bgp::NextHop hop(const char* gateway, kernel::IfIndex interface = 0,
                            const char* link_local = nullptr)
    {
        bgp::NextHop hop;
        hop.gateway = ip6(gateway);
        hop.interface = interface;
        if (link_local != nullptr)
            hop.link_local = ip6(link_local);
        return hop;
    }
    // `next_hop` zero: on the uplink itself.
    void lead(const char* target, const char* next_hop = "::", bool local = false)
    {
        ways[ip6(target)] = {kernel::Path6{kUplink, ip6(next_hop), {}, 0, local}, "", {}};
    }
    void learn(const Prefix6& prefix, const std::vector<bgp::NextHop>& best,
               std::uint32_t local_pref = 100)
    {
        learned.learn(std::vector{bgp::RouteChange6{prefix, local_pref, best}});
        learned.apply(1000);
    }
    std::vector<std::string> wanted() const
    {
        std::vector<std::string> texts;
        for (const auto& [key, route] : routes)
            texts.push_back(route.str());
        return texts;
    }
};

TEST_F(LearnedRoutesTest, next_hop_on_a_link_and_one_behind_a_router)
{
    lead("2001:db8:1::9");
    lead("2001:db8:9::7", "2001:db8:1::fe");
    learn(one, {hop("2001:db8:1::9")}, 2147482623);
    learn(two, {hop("2001:db8:9::7")});
    EXPECT_THAT(
        wanted(),
        ElementsAre("2001:db8:a::/48 via 2001:db8:1::9 dev #2 proto 80 metric 1024",
                    "2001:db8:b::/48 via 2001:db8:1::fe dev #2 proto 80 metric 2147483547"));
    learn(one, {});
    learn(two, {});
    EXPECT_THAT(wanted(), IsEmpty());
    EXPECT_EQ(learned.size(), 0u);
}

TEST_F(LearnedRoutesTest, link_local_next_hop_goes_by_the_link_of_its_peer)
{
    learn(one, {hop("fe80::9", 7)});
    learn(two, {hop("fe80::9")}); // no link is known
    EXPECT_THAT(wanted(),
                ElementsAre("2001:db8:a::/48 via fe80::9 dev #7 proto 80 metric 2147483547"));
    EXPECT_THAT(log, ElementsAre("want 2001:db8:a::/48")) << "nobody is asked for the way";
}

TEST_F(LearnedRoutesTest, link_local_address_stands_in_for_a_global_one_that_is_on_no_link)
{
    lead("2001:db8:1::9");
    lead("2001:db8:9::7", "2001:db8:1::fe");
    learn(one, {hop("2001:db8:1::9", 7, "fe80::9")});
    learn(two, {hop("2001:db8:9::7", 7, "fe80::7")});
    learn(prefix6("::/0"), {hop("2001:db8:5::5", 7, "fe80::5")}); // nothing leads there
    EXPECT_THAT(wanted(),
                ElementsAre("::/0 via fe80::5 dev #7 proto 80 metric 2147483547",
                            "2001:db8:a::/48 via 2001:db8:1::9 dev #2 proto 80 metric 2147483547",
                            "2001:db8:b::/48 via fe80::7 dev #7 proto 80 metric 2147483547"));
}

TEST_F(LearnedRoutesTest, several_next_hops_are_one_route_and_two_behind_one_router_one_next_hop)
{
    lead("2001:db8:1::9");
    lead("2001:db8:9::7", "2001:db8:1::fe");
    lead("2001:db8:9::8", "2001:db8:1::fe");
    learn(one, {hop("2001:db8:9::8"), hop("2001:db8:1::9"), hop("2001:db8:9::7")});
    EXPECT_THAT(wanted(),
                ElementsAre("2001:db8:a::/48 nexthop via 2001:db8:1::9 dev #2 nexthop via "
                            "2001:db8:1::fe dev #2 proto 80 metric 2147483547"));
}

TEST_F(LearnedRoutesTest, next_hop_that_nothing_leads_to_or_that_is_ours_makes_no_route)
{
    lead("2001:db8:1::1", "::", true);
    learn(one, {hop("2001:db8:1::1", 7, "fe80::1")});
    learn(two, {hop("2001:db8:5::5")});
    EXPECT_THAT(wanted(), IsEmpty());
    EXPECT_THAT(learned.list().at(two), IsEmpty());
}

TEST_F(LearnedRoutesTest, ways_that_appear_and_go_take_the_routes_along)
{
    learn(one, {hop("2001:db8:1::9"), hop("2001:db8:1::8")});
    lead("2001:db8:1::9");
    learned.set_due(std::vector{ip6("2001:db8:1::9")});
    learned.apply(1000);
    EXPECT_THAT(wanted(),
                ElementsAre("2001:db8:a::/48 via 2001:db8:1::9 dev #2 proto 80 metric 2147483547"));
    log.clear();
    learned.set_due(std::vector{ip6("2001:db8:1::9")});
    learned.apply(1000);
    EXPECT_THAT(log, IsEmpty()) << "news, but the same way";
    ways.clear();
    learned.set_due(std::vector{ip6("2001:db8:1::9")});
    learned.apply(1000);
    EXPECT_THAT(wanted(), IsEmpty());
}

TEST_F(LearnedRoutesTest, hop_is_watched_once_for_all_prefixes_and_as_long_as_one_needs_it)
{
    learn(one, {hop("2001:db8:1::9")});
    learn(two, {hop("2001:db8:1::9")});
    learn(one, {hop("2001:db8:1::9"), hop("2001:db8:1::8")});
    learn(two, {});
    EXPECT_THAT(log, ElementsAre("watch 2001:db8:1::9", "watch 2001:db8:1::8"));
    learn(one, {hop("2001:db8:1::8")});
    EXPECT_THAT(log,
                ElementsAre("watch 2001:db8:1::9", "watch 2001:db8:1::8", "unwatch 2001:db8:1::9"))
        << "a hop of both ways stays watched";
    learn(one, {});
    EXPECT_EQ(log.back(), "unwatch 2001:db8:1::8");
}

TEST_F(LearnedRoutesTest, another_preference_is_another_route)
{
    lead("2001:db8:1::9");
    learn(one, {hop("2001:db8:1::9")}, 100);
    learn(one, {hop("2001:db8:1::9")}, 200);
    EXPECT_THAT(wanted(),
                ElementsAre("2001:db8:a::/48 via 2001:db8:1::9 dev #2 proto 80 metric 2147483447"));
}

TEST_F(LearnedRoutesTest, what_a_new_speaker_does_not_tell_again_goes_when_it_has_settled)
{
    lead("2001:db8:1::9");
    learn(one, {hop("2001:db8:1::9")});
    learn(two, {hop("2001:db8:1::9")});
    learned.begin_relearning();
    learned.apply(1000);
    EXPECT_EQ(routes.size(), 2u) << "until it has settled";
    learn(two, {hop("2001:db8:1::9")});
    learned.set_settled();
    learned.apply(1000);
    EXPECT_THAT(wanted(),
                ElementsAre("2001:db8:b::/48 via 2001:db8:1::9 dev #2 proto 80 metric 2147483547"));
    learned.set_settled();
    learned.apply(1000);
    EXPECT_EQ(routes.size(), 1u);
}

TEST_F(LearnedRoutesTest, budget_bounds_what_is_handed_over_at_a_time)
{
    lead("2001:db8:1::9");
    const std::vector<bgp::NextHop> best{hop("2001:db8:1::9")};
    learned.learn(std::vector<bgp::RouteChange6>{{one, 100, best}, {two, 100, best}});
    learned.apply(1);
    EXPECT_EQ(routes.size(), 1u);
    EXPECT_TRUE(learned.pending());
    learned.apply(1);
    EXPECT_EQ(routes.size(), 2u);
    EXPECT_FALSE(learned.pending());
}

} // namespace
} // namespace margay
