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
    RouteClaims claims{[this](const Prefix4&, const datapath::RouteWant* route) {
        log.push_back(route == nullptr ? "gone" : std::to_string(route->kind));
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

} // namespace
} // namespace margay
