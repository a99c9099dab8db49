// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/route_plan.h"

#include <gmock/gmock.h>

#include "support/addresses.h"

namespace margay::kernel {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Kind = RouteOperation::Kind;

constexpr IfIndex kUplink = 2;
constexpr IfIndex kPod = 100;

Route block(const char* text, std::uint32_t last_octet = 2)
{
    return block_route(prefix(text), {{kUplink, Ipv4(0xc0000200 + last_octet), 1}});
}

Route foreign(Route route, std::uint8_t protocol = 4)
{
    route.protocol = protocol;
    return route;
}

// Answers every operation with success, as a kernel without opinions does.
std::vector<Kind> run(RoutePlan& plan, std::size_t budget = 1000)
{
    std::vector<Kind> kinds;
    for (const RouteOperation& operation : plan.next(budget)) {
        kinds.push_back(operation.kind);
        plan.done(operation);
    }
    return kinds;
}

struct RoutePlanTest : ::testing::Test {
    RoutePlan plan{[](IfIndex ifindex) { return ifindex >= kPod; }};

    void resync(const std::vector<Route>& present)
    {
        plan.begin_resync();
        for (const Route& route : present)
            plan.present(route);
        plan.end_resync();
    }
    void fail(const Error& error) { plan.failed(plan.next(1).at(0), error); }
    std::vector<RouteReport::Kind> reports()
    {
        std::vector<RouteReport::Kind> kinds;
        for (const RouteReport& report : plan.take_reports())
            kinds.push_back(report.kind);
        return kinds;
    }
};

TEST_F(RoutePlanTest, wanted_route_is_added_once)
{
    plan.want(block("10.0.0.0/26"));
    EXPECT_THAT(run(plan), ElementsAre(Kind::Add));
    plan.want(block("10.0.0.0/26"));
    EXPECT_THAT(run(plan), IsEmpty());
}

TEST_F(RoutePlanTest,
       adoption_keeps_what_is_right_replaces_what_differs_removes_the_rest_when_in_sync)
{
    plan.want(block("10.0.0.0/26"));
    plan.want(block("10.0.1.0/26", 3));
    resync({block("10.0.0.0/26"), block("10.0.1.0/26", 9), block("10.0.2.0/26")});

    EXPECT_THAT(run(plan), ElementsAre(Kind::Replace));
    plan.allow_removals();
    EXPECT_THAT(run(plan), ElementsAre(Kind::Remove));
    EXPECT_EQ(plan.present_count(), 2u);
    EXPECT_EQ(plan.pending(), 0u);
}

TEST_F(RoutePlanTest, routes_by_other_nodes_wait_for_bgp_after_a_restart)
{
    resync({block("10.0.0.0/26"), block("10.0.1.0/26"), blackhole_route(prefix("10.0.2.0/26"))});
    plan.allow_removals(RoutePlan::Keep::ByGateway);
    EXPECT_THAT(run(plan), ElementsAre(Kind::Remove)) << "the blackhole alone";
    EXPECT_EQ(plan.pending(), 0u);
    resync({block("10.0.0.0/26"), block("10.0.1.0/26")});
    EXPECT_THAT(run(plan), IsEmpty()) << "nor does a dump in between end it";

    plan.want(block("10.0.0.0/26"));
    EXPECT_THAT(run(plan), IsEmpty());
    plan.unwant(block("10.0.0.0/26").key());
    EXPECT_THAT(run(plan), ElementsAre(Kind::Remove)) << "named and withdrawn";
    plan.allow_removals();
    EXPECT_THAT(run(plan), ElementsAre(Kind::Remove)) << "BGP never named it";
    EXPECT_EQ(plan.present_count(), 0u);
}

TEST_F(RoutePlanTest, workload_routes_are_ours_only_on_workload_interfaces)
{
    const Ipv4 address(0x0a000005);
    Route other_scope = workload_route(Ipv4(0x0a000007), kPod);
    other_scope.scope = 0;
    plan.allow_removals();
    resync({workload_route(address, kPod), workload_route(Ipv4(0x0a000006), kUplink), other_scope});
    EXPECT_EQ(plan.present_count(), 1u);
    EXPECT_THAT(run(plan), ElementsAre(Kind::Remove));
}

TEST_F(RoutePlanTest, route_made_by_the_cni_plugin_with_metric_0_gives_way_to_ours)
{
    Route made = workload_route(Ipv4(0x0a000005), kPod);
    made.metric = 0;
    resync({made});
    plan.want(workload_route(Ipv4(0x0a000005), kPod));
    plan.allow_removals();
    EXPECT_THAT(run(plan), ElementsAre(Kind::Add, Kind::Remove));
}

TEST_F(RoutePlanTest, adds_precede_removals_and_the_budget_bounds_both)
{
    resync({block("10.0.0.0/26"), block("10.0.1.0/26")});
    plan.allow_removals();
    plan.want(block("10.0.8.0/26"));
    plan.want(block("10.0.9.0/26"));
    EXPECT_THAT(run(plan, 3), ElementsAre(Kind::Add, Kind::Add, Kind::Remove));
    EXPECT_EQ(plan.pending(), 1u);
}

TEST_F(RoutePlanTest, foreign_route_with_the_same_key_is_reported_once_and_waited_for)
{
    const Route theirs = foreign(block("10.0.0.0/26", 77));
    resync({theirs});
    plan.want(block("10.0.0.0/26"));
    EXPECT_THAT(run(plan), IsEmpty());
    EXPECT_THAT(reports(), ElementsAre(RouteReport::Kind::Conflict));
    resync({theirs});
    EXPECT_THAT(reports(), IsEmpty());

    plan.forget(theirs, "someone");
    EXPECT_THAT(run(plan), ElementsAre(Kind::Add));
}

TEST_F(RoutePlanTest, foreign_route_of_a_smaller_metric_is_reported_and_ours_goes_in_beside_it)
{
    Route theirs = foreign(workload_route(Ipv4(0x0a000005), kUplink));
    theirs.metric = 10;
    resync({theirs});
    plan.want(workload_route(Ipv4(0x0a000005), kPod));
    EXPECT_THAT(run(plan), ElementsAre(Kind::Add));
    EXPECT_THAT(reports(), ElementsAre(RouteReport::Kind::Conflict));
}

TEST_F(RoutePlanTest, foreign_route_of_a_larger_metric_disturbs_nobody)
{
    Route theirs = foreign(block("10.0.0.0/26", 77));
    theirs.metric = 100;
    resync({theirs});
    plan.want(block("10.0.0.0/26"));
    EXPECT_THAT(run(plan), ElementsAre(Kind::Add));
    EXPECT_THAT(reports(), IsEmpty());
}

TEST_F(RoutePlanTest, foreign_routes_are_never_removed)
{
    plan.allow_removals();
    resync({foreign(block("10.0.0.0/26")), foreign(block("10.0.1.0/26"), 12)});
    EXPECT_THAT(run(plan), IsEmpty());
}

TEST_F(RoutePlanTest, route_that_somebody_removes_is_put_back_and_named_once)
{
    plan.want(block("10.0.0.0/26"));
    run(plan);
    plan.forget(block("10.0.0.0/26"), "process 7 (nm)");
    EXPECT_THAT(run(plan), ElementsAre(Kind::Add));
    plan.forget(block("10.0.0.0/26"), "process 7 (nm)");
    EXPECT_THAT(run(plan), ElementsAre(Kind::Add));

    const auto told = plan.take_reports();
    ASSERT_THAT(told, SizeIs(1));
    EXPECT_EQ(told[0].kind, RouteReport::Kind::RemovedByOther);
    EXPECT_THAT(told[0].text, ::testing::HasSubstr("process 7 (nm)"));
}

TEST_F(RoutePlanTest, fight_over_a_route_waits_for_the_retry_after_three_rounds)
{
    plan.want(block("10.0.0.0/26"));
    run(plan);
    for (int i = 0; i < RoutePlan::kStrikes; ++i) {
        plan.forget(block("10.0.0.0/26"), "nm");
        run(plan);
    }
    EXPECT_EQ(plan.present_count(), 0u);
    EXPECT_EQ(plan.pending(), 0u);
    EXPECT_EQ(plan.parked(), 1u);
    plan.retry();
    EXPECT_THAT(run(plan), ElementsAre(Kind::Add));
}

TEST_F(RoutePlanTest, foreign_replacement_of_ours_is_a_conflict_and_not_overwritten)
{
    plan.want(block("10.0.0.0/26"));
    run(plan);
    plan.learn(foreign(block("10.0.0.0/26", 9)), true, "nm");
    EXPECT_THAT(run(plan), IsEmpty());
    EXPECT_THAT(reports(),
                ElementsAre(RouteReport::Kind::RemovedByOther, RouteReport::Kind::Conflict));
}

TEST_F(RoutePlanTest, loss_with_an_interface_names_nobody)
{
    plan.want(block("10.0.0.0/26"));
    run(plan);
    resync({});
    EXPECT_THAT(run(plan), ElementsAre(Kind::Add));
    EXPECT_THAT(reports(), IsEmpty());
}

TEST_F(RoutePlanTest, refused_route_is_parked_reported_once_and_retried)
{
    plan.want(block("10.0.0.0/26"));
    const Error error{Errc::Unavailable, 101, "add route 10.0.0.0/26: Network is unreachable"};
    fail(error);
    EXPECT_EQ(plan.pending(), 0u);
    plan.retry();
    ASSERT_EQ(plan.due(), 1u);
    fail(error);
    EXPECT_THAT(reports(), ElementsAre(RouteReport::Kind::Refused));
    plan.retry();
    EXPECT_THAT(run(plan), ElementsAre(Kind::Add));
}

TEST_F(RoutePlanTest, route_that_exists_unseen_is_not_asked_for_without_end)
{
    plan.want(block("10.0.0.0/26"));
    const Error exists{Errc::Exists, 17, "add route: File exists"};
    for (int i = 0; i < RoutePlan::kStrikes; ++i) {
        ASSERT_EQ(plan.due(), 1u);
        fail(exists);
        resync({});
    }
    EXPECT_THAT(plan.next(1), IsEmpty());
    EXPECT_EQ(plan.parked(), 1u);
}

TEST_F(RoutePlanTest, stale_route_that_left_by_itself_counts_as_removed)
{
    resync({block("10.0.0.0/26")});
    plan.allow_removals();
    fail(Error{Errc::NotFound, 3, "remove route: No such process"});
    EXPECT_EQ(plan.pending(), 0u);
    EXPECT_THAT(reports(), IsEmpty());
}

TEST_F(RoutePlanTest, what_is_in_flight_is_not_asked_for_again_and_judged_when_it_is_answered)
{
    plan.want(block("10.0.0.0/26"));
    const auto add = plan.next(10);
    ASSERT_THAT(add, SizeIs(1));
    EXPECT_TRUE(plan.in_flight(add[0].route.key()));
    plan.want(block("10.0.0.0/26", 3));
    EXPECT_THAT(run(plan), IsEmpty());
    EXPECT_EQ(plan.pending(), 1u);
    plan.done(add[0]);
    EXPECT_THAT(run(plan), ElementsAre(Kind::Replace)) << "it was wanted otherwise meanwhile";
    EXPECT_EQ(plan.pending(), 0u);
}

TEST_F(RoutePlanTest, route_unwanted_while_it_is_added_is_removed_after)
{
    plan.allow_removals();
    plan.want(block("10.0.0.0/26"));
    const auto add = plan.next(10);
    plan.unwant(block("10.0.0.0/26").key());
    EXPECT_THAT(run(plan), IsEmpty());
    plan.done(add.at(0));
    EXPECT_THAT(run(plan), ElementsAre(Kind::Remove));
}

TEST_F(RoutePlanTest, refusal_of_what_is_no_longer_asked_for_is_no_news)
{
    plan.want(block("10.0.0.0/26"));
    const auto add = plan.next(10);
    plan.want(block("10.0.0.0/26", 3));
    plan.failed(add.at(0), Error{Errc::Unavailable, 101, "add route: Network is unreachable"});
    EXPECT_THAT(reports(), IsEmpty());
    EXPECT_THAT(run(plan), ElementsAre(Kind::Add)) << "the other value may be taken";
}

TEST_F(RoutePlanTest, operation_of_which_nobody_knows_the_end_is_due_again)
{
    plan.want(block("10.0.0.0/26"));
    plan.unknown(plan.next(1).at(0));
    resync({block("10.0.0.0/26")});
    EXPECT_THAT(run(plan), IsEmpty()) << "it was made";
    plan.want(block("10.0.1.0/26"));
    plan.unknown(plan.next(1).at(0));
    resync({block("10.0.0.0/26")});
    EXPECT_THAT(run(plan), ElementsAre(Kind::Add)) << "it was not";
}

TEST_F(RoutePlanTest, dump_that_begins_again_counts_from_there)
{
    plan.allow_removals();
    plan.want(block("10.0.0.0/26"));
    run(plan);
    plan.begin_resync();
    plan.present(block("10.0.0.0/26"));
    plan.present(foreign(block("10.0.1.0/26")));
    plan.begin_resync(); // a change interrupted it
    plan.end_resync();
    EXPECT_EQ(plan.present_count(), 0u);
    plan.want(block("10.0.1.0/26"));
    EXPECT_THAT(run(plan), ElementsAre(Kind::Add, Kind::Add)) << "nor is there a conflict";
}

TEST_F(RoutePlanTest, conflict_that_a_dump_finds_concerns_what_is_due)
{
    plan.want(block("10.0.0.0/26"));
    resync({foreign(block("10.0.0.0/26", 77))});
    EXPECT_THAT(run(plan), IsEmpty());
    EXPECT_THAT(reports(), ElementsAre(RouteReport::Kind::Conflict));
    resync({});
    EXPECT_THAT(run(plan), ElementsAre(Kind::Add)) << "it has left";
}

TEST_F(RoutePlanTest, loss_of_an_interface_is_doubtful_where_something_leads_by_it)
{
    plan.want(block("10.0.0.0/26"));
    plan.lose({kUplink});
    EXPECT_FALSE(plan.doubtful()) << "wanted only";
    const auto add = plan.next(1);
    plan.lose({kPod});
    EXPECT_FALSE(plan.doubtful()) << "nothing leads there";
    plan.lose({kUplink});
    EXPECT_TRUE(plan.doubtful()) << "it may have been made before the loss";
    plan.done(add.at(0));
    resync({add.at(0).route});
    EXPECT_FALSE(plan.doubtful());
    plan.lose({kUplink});
    EXPECT_TRUE(plan.doubtful());
}

TEST_F(RoutePlanTest, foreign_route_that_may_have_left_with_its_link_is_looked_for)
{
    resync({foreign(block("10.0.0.0/26", 77)), foreign(block("10.0.1.0/26", 77))});
    plan.lose({kUplink});
    EXPECT_FALSE(plan.doubtful()) << "it is in nobody's way";
    plan.want(block("10.0.0.0/26"));
    EXPECT_TRUE(plan.doubtful());
    resync({foreign(block("10.0.0.0/26", 77))});
    EXPECT_FALSE(plan.doubtful());
    plan.lose({kUplink});
    EXPECT_TRUE(plan.doubtful()) << "it is in the way already";
    resync({});
    EXPECT_THAT(run(plan), ElementsAre(Kind::Add));
}

TEST_F(RoutePlanTest, foreign_route_that_was_listed_and_then_told_is_not_there_twice)
{
    const Route theirs = foreign(block("10.0.0.0/26", 77));
    resync({theirs});
    plan.learn(theirs, false, "");
    plan.want(block("10.0.0.0/26"));
    plan.forget(theirs, "");
    EXPECT_TRUE(plan.doubtful());
    resync({});
    EXPECT_THAT(run(plan), ElementsAre(Kind::Add));
}

TEST_F(RoutePlanTest, event_about_what_is_in_flight_is_doubtful)
{
    plan.want(block("10.0.0.0/26"));
    const auto add = plan.next(1);
    plan.forget(block("10.0.0.0/26"), "nm");
    EXPECT_TRUE(plan.doubtful());
    plan.done(add.at(0));
    resync({});
    EXPECT_THAT(run(plan), ElementsAre(Kind::Add));
}

TEST_F(RoutePlanTest, refusal_that_a_retry_overtook_is_asked_once_more)
{
    plan.want(block("10.0.0.0/26"));
    const auto add = plan.next(1);
    plan.retry(); // its link came up
    plan.failed(add.at(0), Error{Errc::Unavailable, 100, "add route: Network is down"});
    EXPECT_EQ(plan.parked(), 0u);
    fail(Error{Errc::Unavailable, 100, "add route: Network is down"});
    EXPECT_EQ(plan.parked(), 1u);
    EXPECT_THAT(reports(), ElementsAre(RouteReport::Kind::Refused));
}

TEST_F(RoutePlanTest, own_block_turns_from_blackhole_to_remote_by_replacement)
{
    plan.want(blackhole_route(prefix("10.0.0.0/26")));
    run(plan);
    plan.want(block("10.0.0.0/26"));
    EXPECT_THAT(run(plan), ElementsAre(Kind::Replace));
}

TEST_F(RoutePlanTest, cleanup_removes_everything_of_ours)
{
    plan.want(block("10.0.0.0/26"));
    plan.want(workload_route(Ipv4(0x0a000005), kPod));
    run(plan);
    plan.unwant_all();
    plan.allow_removals();
    EXPECT_THAT(run(plan), ElementsAre(Kind::Remove, Kind::Remove));
    EXPECT_EQ(plan.present_count(), 0u);
}

} // namespace
} // namespace margay::kernel
