// SPDX-License-Identifier: Apache-2.0
#include "agent/route_claims.h"

#include <gmock/gmock.h>

namespace margay {
namespace {

using Layer = RouteClaims::Layer;
using ::testing::ElementsAre;

struct RouteClaimsTest : ::testing::Test {
    const Prefix4 prefix = *Prefix4::parse("10.244.0.0/26");
    std::vector<std::string> log;
    bool full = false;
    RouteClaims claims{[this](const Prefix4&, const datapath::RouteWant* route) -> Status {
        if (full)
            return Error{Errc::Full, 0, "all slots are in use"};
        log.push_back(route == nullptr ? "gone" : std::to_string(route->kind));
        return {};
    }};

    static datapath::RouteWant of_kind(route_kind kind)
    {
        datapath::RouteWant want;
        want.kind = kind;
        return want;
    }
};

TEST_F(RouteClaimsTest, strongest_claim_is_in_force_whatever_the_order)
{
    claims.want(Layer::Remote, prefix, of_kind(ROUTE_REMOTE));
    claims.want(Layer::Pool, prefix, of_kind(ROUTE_NONE));
    claims.want(Layer::Local, prefix, of_kind(ROUTE_BLACKHOLE));
    EXPECT_THAT(log, ElementsAre(std::to_string(ROUTE_REMOTE), std::to_string(ROUTE_BLACKHOLE)));
}

TEST_F(RouteClaimsTest, next_claim_takes_over_without_a_hole)
{
    claims.want(Layer::Pool, prefix, of_kind(ROUTE_NONE));
    claims.want(Layer::Remote, prefix, of_kind(ROUTE_REMOTE));
    log.clear();
    claims.forget(Layer::Remote, prefix);
    EXPECT_THAT(log, ElementsAre(std::to_string(ROUTE_NONE)));
    claims.forget(Layer::Pool, prefix);
    EXPECT_EQ(log.back(), "gone");
}

TEST_F(RouteClaimsTest, forgetting_what_was_never_claimed_changes_nothing)
{
    claims.want(Layer::Local, prefix, of_kind(ROUTE_BLACKHOLE));
    log.clear();
    claims.forget(Layer::Remote, prefix);
    claims.want(Layer::Local, prefix, of_kind(ROUTE_BLACKHOLE));
    EXPECT_THAT(log, ElementsAre());
}

TEST_F(RouteClaimsTest, refused_route_is_wanted_again_until_it_is_taken)
{
    claims.want(Layer::Pool, prefix, of_kind(ROUTE_NONE));
    log.clear();
    full = true;
    claims.want(Layer::Remote, prefix, of_kind(ROUTE_REMOTE));
    claims.retry();
    EXPECT_TRUE(claims.pending());
    full = false;
    claims.retry();
    EXPECT_THAT(log, ElementsAre(std::to_string(ROUTE_REMOTE)));
    EXPECT_FALSE(claims.pending());
    claims.retry();
    EXPECT_EQ(log.size(), 1u);
}

TEST_F(RouteClaimsTest, equal_claim_is_no_reason_to_take_a_refused_route_for_granted)
{
    full = true;
    claims.want(Layer::Remote, prefix, of_kind(ROUTE_REMOTE));
    full = false;
    claims.want(Layer::Remote, prefix, of_kind(ROUTE_REMOTE));
    EXPECT_THAT(log, ElementsAre(std::to_string(ROUTE_REMOTE)));
}

TEST_F(RouteClaimsTest, what_nobody_claims_any_more_is_not_tried_again)
{
    full = true;
    claims.want(Layer::Remote, prefix, of_kind(ROUTE_REMOTE));
    claims.forget(Layer::Remote, prefix);
    full = false;
    claims.retry();
    EXPECT_THAT(log, ElementsAre());
}

} // namespace
} // namespace margay
