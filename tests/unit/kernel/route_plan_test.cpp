// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/route_plan.h"

#include <gmock/gmock.h>

#include "support/addresses.h"

namespace margay::kernel {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr IfIndex kUplink = 2;
constexpr IfIndex kPod = 100;

template <typename R>
R foreign(R route, std::uint8_t protocol = 4)
{
    route.protocol = protocol;
    return route;
}

// With the names that the tests of both families use.
template <typename P>
struct PlanOf : RoutePlanOf<P> {
    using Route = RouteOf<P>;
    using Kind = typename RouteOperationOf<P>::Kind;
    using Told = typename RouteReportOf<P>::Kind;

    PlanOf() : RoutePlanOf<P>([](IfIndex ifindex) { return ifindex >= kPod; }) {}

    // Answers every operation with success, as a kernel without opinions does.
    std::vector<Kind> run(std::size_t budget = 1000)
    {
        std::vector<Kind> kinds;
        for (const auto& operation : this->next(budget)) {
            kinds.push_back(operation.kind);
            this->done(operation);
        }
        return kinds;
    }
    void resync(const std::vector<Route>& present)
    {
        this->begin_resync();
        for (const Route& route : present)
            this->present(route);
        this->end_resync();
    }
    void fail(const Error& error) { this->failed(this->next(1).at(0), error); }
    std::vector<Told> reports()
    {
        std::vector<Told> kinds;
        for (const auto& report : this->take_reports())
            kinds.push_back(report.kind);
        return kinds;
    }
};

template <typename P>
struct RoutePlanTest : ::testing::Test {
    using Kind = typename PlanOf<P>::Kind;
    using Told = typename PlanOf<P>::Told;

    PlanOf<P> plan;

    static P prefix(const char* text) { return prefix_of<P>(text); }
    static RouteOf<P> by(const char* text, std::initializer_list<std::uint8_t> last_octets)
    {
        NextHopsOf<typename P::Address> hops;
        for (const std::uint8_t octet : last_octets)
            hops.push_back({kUplink, prefix(("192.0.2." + std::to_string(octet)).c_str()).addr, 1});
        return block_route(prefix(text), hops);
    }
    static RouteOf<P> block(const char* text, std::uint8_t last_octet = 2)
    {
        return by(text, {last_octet});
    }
};
using Families = ::testing::Types<Prefix4, Prefix6>;
TYPED_TEST_SUITE(RoutePlanTest, Families);
using RoutePlanTest4 = RoutePlanTest<Prefix4>;

TYPED_TEST(RoutePlanTest, wanted_route_is_added_once)
{
    this->plan.want(this->block("10.0.0.0/26"));
    EXPECT_THAT(this->plan.run(), ElementsAre(TestFixture::Kind::Add));
    this->plan.want(this->block("10.0.0.0/26"));
    EXPECT_THAT(this->plan.run(), IsEmpty());
}

TYPED_TEST(RoutePlanTest,
           adoption_keeps_what_is_right_replaces_what_differs_removes_the_rest_when_in_sync)
{
    this->plan.want(this->block("10.0.0.0/26"));
    this->plan.want(this->block("10.0.1.0/26", 3));
    this->plan.resync(
        {this->block("10.0.0.0/26"), this->block("10.0.1.0/26", 9), this->block("10.0.2.0/26")});

    EXPECT_THAT(this->plan.run(), ElementsAre(TestFixture::Kind::Replace));
    this->plan.allow_removals();
    EXPECT_THAT(this->plan.run(), ElementsAre(TestFixture::Kind::Remove));
    EXPECT_EQ(this->plan.present_count(), 2u);
    EXPECT_EQ(this->plan.pending(), 0u);
}

TEST_F(RoutePlanTest4, routes_by_other_nodes_wait_for_bgp_after_a_restart)
{
    plan.resync(
        {block("10.0.0.0/26"), block("10.0.1.0/26"), blackhole_route(prefix("10.0.2.0/26"))});
    plan.allow_removals(Keep::ByGateway);
    EXPECT_THAT(plan.run(), ElementsAre(Kind::Remove)) << "the blackhole alone";
    EXPECT_EQ(plan.pending(), 0u);
    plan.resync({block("10.0.0.0/26"), block("10.0.1.0/26")});
    EXPECT_THAT(plan.run(), IsEmpty()) << "nor does a dump in between end it";

    plan.want(block("10.0.0.0/26"));
    EXPECT_THAT(plan.run(), IsEmpty());
    plan.unwant(block("10.0.0.0/26").key());
    EXPECT_THAT(plan.run(), ElementsAre(Kind::Remove)) << "named and withdrawn";
    plan.allow_removals();
    EXPECT_THAT(plan.run(), ElementsAre(Kind::Remove)) << "BGP never named it";
    EXPECT_EQ(plan.present_count(), 0u);
}

TEST_F(RoutePlanTest4, workload_routes_are_ours_only_on_workload_interfaces)
{
    const Ipv4 address(0x0a000005);
    Route other_scope = workload_route(Ipv4(0x0a000007), kPod);
    other_scope.scope = 0;
    plan.allow_removals();
    plan.resync(
        {workload_route(address, kPod), workload_route(Ipv4(0x0a000006), kUplink), other_scope});
    EXPECT_EQ(plan.present_count(), 1u);
    EXPECT_THAT(plan.run(), ElementsAre(Kind::Remove));
}

TEST_F(RoutePlanTest4, route_made_by_the_cni_plugin_with_metric_0_gives_way_to_ours)
{
    Route made = workload_route(Ipv4(0x0a000005), kPod);
    made.metric = 0;
    plan.resync({made});
    plan.want(workload_route(Ipv4(0x0a000005), kPod));
    plan.allow_removals();
    EXPECT_THAT(plan.run(), ElementsAre(Kind::Add, Kind::Remove));
}

TYPED_TEST(RoutePlanTest, adds_precede_removals_and_the_budget_bounds_both)
{
    this->plan.resync({this->block("10.0.0.0/26"), this->block("10.0.1.0/26")});
    this->plan.allow_removals();
    this->plan.want(this->block("10.0.8.0/26"));
    this->plan.want(this->block("10.0.9.0/26"));
    EXPECT_THAT(this->plan.run(3), ElementsAre(TestFixture::Kind::Add, TestFixture::Kind::Add,
                                               TestFixture::Kind::Remove));
    EXPECT_EQ(this->plan.pending(), 1u);
}

TYPED_TEST(RoutePlanTest, foreign_route_with_the_same_key_is_reported_once_and_waited_for)
{
    const auto theirs = foreign(this->block("10.0.0.0/26", 77));
    this->plan.resync({theirs});
    this->plan.want(this->block("10.0.0.0/26"));
    EXPECT_THAT(this->plan.run(), IsEmpty());
    EXPECT_THAT(this->plan.reports(), ElementsAre(TestFixture::Told::Conflict));
    this->plan.resync({theirs});
    EXPECT_THAT(this->plan.reports(), IsEmpty());

    this->plan.forget(theirs, "someone");
    EXPECT_THAT(this->plan.run(), ElementsAre(TestFixture::Kind::Add));
}

TEST_F(RoutePlanTest4, foreign_route_of_a_smaller_metric_is_reported_and_ours_goes_in_beside_it)
{
    Route theirs = foreign(workload_route(Ipv4(0x0a000005), kUplink));
    theirs.metric = 10;
    plan.resync({theirs});
    plan.want(workload_route(Ipv4(0x0a000005), kPod));
    EXPECT_THAT(plan.run(), ElementsAre(Kind::Add));
    EXPECT_THAT(plan.reports(), ElementsAre(Told::Conflict));
}

TYPED_TEST(RoutePlanTest, foreign_route_of_a_larger_metric_disturbs_nobody)
{
    auto theirs = foreign(this->block("10.0.0.0/26", 77));
    theirs.metric += 100;
    this->plan.resync({theirs});
    this->plan.want(this->block("10.0.0.0/26"));
    EXPECT_THAT(this->plan.run(), ElementsAre(TestFixture::Kind::Add));
    EXPECT_THAT(this->plan.reports(), IsEmpty());
}

TYPED_TEST(RoutePlanTest, foreign_routes_are_never_removed)
{
    this->plan.allow_removals();
    this->plan.resync(
        {foreign(this->block("10.0.0.0/26")), foreign(this->block("10.0.1.0/26"), 12)});
    EXPECT_THAT(this->plan.run(), IsEmpty());
}

TYPED_TEST(RoutePlanTest, route_that_somebody_removes_is_put_back_and_named_once)
{
    this->plan.want(this->block("10.0.0.0/26"));
    this->plan.run();
    this->plan.forget(this->block("10.0.0.0/26"), "process 7 (nm)");
    EXPECT_THAT(this->plan.run(), ElementsAre(TestFixture::Kind::Add));
    this->plan.forget(this->block("10.0.0.0/26"), "process 7 (nm)");
    EXPECT_THAT(this->plan.run(), ElementsAre(TestFixture::Kind::Add));

    const auto told = this->plan.take_reports();
    ASSERT_THAT(told, SizeIs(1));
    EXPECT_EQ(told[0].kind, TestFixture::Told::RemovedByOther);
    EXPECT_THAT(told[0].text, ::testing::HasSubstr("process 7 (nm)"));
}

TYPED_TEST(RoutePlanTest, fight_over_a_route_waits_for_the_retry_after_three_rounds)
{
    this->plan.want(this->block("10.0.0.0/26"));
    this->plan.run();
    for (int i = 0; i < this->plan.kStrikes; ++i) {
        this->plan.forget(this->block("10.0.0.0/26"), "nm");
        this->plan.run();
    }
    EXPECT_EQ(this->plan.present_count(), 0u);
    EXPECT_EQ(this->plan.pending(), 0u);
    EXPECT_EQ(this->plan.parked(), 1u);
    this->plan.retry();
    EXPECT_THAT(this->plan.run(), ElementsAre(TestFixture::Kind::Add));
}

TYPED_TEST(RoutePlanTest, foreign_replacement_of_ours_is_a_conflict_and_not_overwritten)
{
    this->plan.want(this->block("10.0.0.0/26"));
    this->plan.run();
    this->plan.learn(foreign(this->block("10.0.0.0/26", 9)), true, "nm");
    EXPECT_THAT(this->plan.run(), IsEmpty());
    EXPECT_THAT(this->plan.reports(),
                ElementsAre(TestFixture::Told::RemovedByOther, TestFixture::Told::Conflict));
}

TYPED_TEST(RoutePlanTest, loss_with_an_interface_names_nobody)
{
    this->plan.want(this->block("10.0.0.0/26"));
    this->plan.run();
    this->plan.resync({});
    EXPECT_THAT(this->plan.run(), ElementsAre(TestFixture::Kind::Add));
    EXPECT_THAT(this->plan.reports(), IsEmpty());
}

TYPED_TEST(RoutePlanTest, refused_route_is_parked_reported_once_and_retried)
{
    this->plan.want(this->block("10.0.0.0/26"));
    const Error error{Errc::Unavailable, 101, "add route 10.0.0.0/26: Network is unreachable"};
    this->plan.fail(error);
    EXPECT_EQ(this->plan.pending(), 0u);
    this->plan.retry();
    ASSERT_EQ(this->plan.due(), 1u);
    this->plan.fail(error);
    EXPECT_THAT(this->plan.reports(), ElementsAre(TestFixture::Told::Refused));
    this->plan.retry();
    EXPECT_THAT(this->plan.run(), ElementsAre(TestFixture::Kind::Add));
}

TYPED_TEST(RoutePlanTest, route_that_exists_unseen_is_not_asked_for_without_end)
{
    this->plan.want(this->block("10.0.0.0/26"));
    const Error exists{Errc::Exists, 17, "add route: File exists"};
    for (int i = 0; i < this->plan.kStrikes; ++i) {
        ASSERT_EQ(this->plan.due(), 1u);
        this->plan.fail(exists);
        this->plan.resync({});
    }
    EXPECT_THAT(this->plan.next(1), IsEmpty());
    EXPECT_EQ(this->plan.parked(), 1u);
}

TYPED_TEST(RoutePlanTest, stale_route_that_left_by_itself_counts_as_removed)
{
    this->plan.resync({this->block("10.0.0.0/26")});
    this->plan.allow_removals();
    this->plan.fail(Error{Errc::NotFound, 3, "remove route: No such process"});
    EXPECT_EQ(this->plan.pending(), 0u);
    EXPECT_THAT(this->plan.reports(), IsEmpty());
}

TYPED_TEST(RoutePlanTest, what_is_in_flight_is_not_asked_for_again_and_judged_when_it_is_answered)
{
    this->plan.want(this->block("10.0.0.0/26"));
    const auto add = this->plan.next(10);
    ASSERT_THAT(add, SizeIs(1));
    EXPECT_TRUE(this->plan.in_flight(add[0].route.key()));
    this->plan.want(this->block("10.0.0.0/26", 3));
    EXPECT_THAT(this->plan.run(), IsEmpty());
    EXPECT_EQ(this->plan.pending(), 1u);
    this->plan.done(add[0]);
    EXPECT_THAT(this->plan.run(), ElementsAre(TestFixture::Kind::Replace))
        << "it was wanted otherwise meanwhile";
    EXPECT_EQ(this->plan.pending(), 0u);
}

TYPED_TEST(RoutePlanTest, route_unwanted_while_it_is_added_is_removed_after)
{
    this->plan.allow_removals();
    this->plan.want(this->block("10.0.0.0/26"));
    const auto add = this->plan.next(10);
    this->plan.unwant(this->block("10.0.0.0/26").key());
    EXPECT_THAT(this->plan.run(), IsEmpty());
    this->plan.done(add.at(0));
    EXPECT_THAT(this->plan.run(), ElementsAre(TestFixture::Kind::Remove));
}

TYPED_TEST(RoutePlanTest, refusal_of_what_is_no_longer_asked_for_is_no_news)
{
    this->plan.want(this->block("10.0.0.0/26"));
    const auto add = this->plan.next(10);
    this->plan.want(this->block("10.0.0.0/26", 3));
    this->plan.failed(add.at(0),
                      Error{Errc::Unavailable, 101, "add route: Network is unreachable"});
    EXPECT_THAT(this->plan.reports(), IsEmpty());
    EXPECT_THAT(this->plan.run(), ElementsAre(TestFixture::Kind::Add))
        << "the other value may be taken";
}

TYPED_TEST(RoutePlanTest, operation_of_which_nobody_knows_the_end_is_due_again)
{
    this->plan.want(this->block("10.0.0.0/26"));
    this->plan.unknown(this->plan.next(1).at(0));
    this->plan.resync({this->block("10.0.0.0/26")});
    EXPECT_THAT(this->plan.run(), IsEmpty()) << "it was made";
    this->plan.want(this->block("10.0.1.0/26"));
    this->plan.unknown(this->plan.next(1).at(0));
    this->plan.resync({this->block("10.0.0.0/26")});
    EXPECT_THAT(this->plan.run(), ElementsAre(TestFixture::Kind::Add)) << "it was not";
}

TYPED_TEST(RoutePlanTest, dump_that_begins_again_counts_from_there)
{
    this->plan.allow_removals();
    this->plan.want(this->block("10.0.0.0/26"));
    this->plan.run();
    this->plan.begin_resync();
    this->plan.present(this->block("10.0.0.0/26"));
    this->plan.present(foreign(this->block("10.0.1.0/26")));
    this->plan.begin_resync(); // a change interrupted it
    this->plan.end_resync();
    EXPECT_EQ(this->plan.present_count(), 0u);
    this->plan.want(this->block("10.0.1.0/26"));
    EXPECT_THAT(this->plan.run(), ElementsAre(TestFixture::Kind::Add, TestFixture::Kind::Add))
        << "nor is there a conflict";
}

TYPED_TEST(RoutePlanTest, conflict_that_a_dump_finds_concerns_what_is_due)
{
    this->plan.want(this->block("10.0.0.0/26"));
    this->plan.resync({foreign(this->block("10.0.0.0/26", 77))});
    EXPECT_THAT(this->plan.run(), IsEmpty());
    EXPECT_THAT(this->plan.reports(), ElementsAre(TestFixture::Told::Conflict));
    this->plan.resync({});
    EXPECT_THAT(this->plan.run(), ElementsAre(TestFixture::Kind::Add)) << "it has left";
}

TYPED_TEST(RoutePlanTest, loss_of_an_interface_is_doubtful_where_something_leads_by_it)
{
    this->plan.want(this->block("10.0.0.0/26"));
    this->plan.lose({kUplink});
    EXPECT_FALSE(this->plan.doubtful()) << "wanted only";
    const auto add = this->plan.next(1);
    this->plan.lose({kPod});
    EXPECT_FALSE(this->plan.doubtful()) << "nothing leads there";
    this->plan.lose({kUplink});
    EXPECT_TRUE(this->plan.doubtful()) << "it may have been made before the loss";
    this->plan.done(add.at(0));
    this->plan.resync({add.at(0).route});
    EXPECT_FALSE(this->plan.doubtful());
    this->plan.lose({kUplink});
    EXPECT_TRUE(this->plan.doubtful());
}

TYPED_TEST(RoutePlanTest, foreign_route_that_may_have_left_with_its_link_is_looked_for)
{
    this->plan.resync(
        {foreign(this->block("10.0.0.0/26", 77)), foreign(this->block("10.0.1.0/26", 77))});
    this->plan.lose({kUplink});
    EXPECT_FALSE(this->plan.doubtful()) << "it is in nobody's way";
    this->plan.want(this->block("10.0.0.0/26"));
    EXPECT_TRUE(this->plan.doubtful());
    this->plan.resync({foreign(this->block("10.0.0.0/26", 77))});
    EXPECT_FALSE(this->plan.doubtful());
    this->plan.lose({kUplink});
    EXPECT_TRUE(this->plan.doubtful()) << "it is in the way already";
    this->plan.resync({});
    EXPECT_THAT(this->plan.run(), ElementsAre(TestFixture::Kind::Add));
}

TYPED_TEST(RoutePlanTest, foreign_route_that_was_listed_and_then_told_is_not_there_twice)
{
    const auto theirs = foreign(this->block("10.0.0.0/26", 77));
    this->plan.resync({theirs});
    this->plan.learn(theirs, false, "");
    this->plan.want(this->block("10.0.0.0/26"));
    this->plan.forget(theirs, "");
    EXPECT_TRUE(this->plan.doubtful());
    this->plan.resync({});
    EXPECT_THAT(this->plan.run(), ElementsAre(TestFixture::Kind::Add));
}

TYPED_TEST(RoutePlanTest, event_about_what_is_in_flight_is_doubtful)
{
    this->plan.want(this->block("10.0.0.0/26"));
    const auto add = this->plan.next(1);
    this->plan.forget(this->block("10.0.0.0/26"), "nm");
    EXPECT_TRUE(this->plan.doubtful());
    this->plan.done(add.at(0));
    this->plan.resync({});
    EXPECT_THAT(this->plan.run(), ElementsAre(TestFixture::Kind::Add));
}

TYPED_TEST(RoutePlanTest, refusal_that_a_retry_overtook_is_asked_once_more)
{
    this->plan.want(this->block("10.0.0.0/26"));
    const auto add = this->plan.next(1);
    this->plan.retry(); // its link came up
    this->plan.failed(add.at(0), Error{Errc::Unavailable, 100, "add route: Network is down"});
    EXPECT_EQ(this->plan.parked(), 0u);
    this->plan.fail(Error{Errc::Unavailable, 100, "add route: Network is down"});
    EXPECT_EQ(this->plan.parked(), 1u);
    EXPECT_THAT(this->plan.reports(), ElementsAre(TestFixture::Told::Refused));
}

// IPv6 tells of each next hop by itself, and takes it away by itself.
TYPED_TEST(RoutePlanTest, next_hop_that_somebody_takes_from_ours_is_looked_for_and_put_back)
{
    const auto both = this->by("10.0.0.0/26", {2, 3});
    this->plan.want(both);
    this->plan.run();
    this->plan.forget(this->block("10.0.0.0/26", 3), "process 7 (nm)");
    EXPECT_TRUE(this->plan.doubtful());
    EXPECT_THAT(this->plan.reports(), ElementsAre(TestFixture::Told::RemovedByOther));
    this->plan.resync({this->block("10.0.0.0/26")});
    EXPECT_THAT(this->plan.run(), ElementsAre(TestFixture::Kind::Replace));
}

TYPED_TEST(RoutePlanTest, next_hop_that_leaves_with_its_link_names_nobody)
{
    this->plan.want(this->by("10.0.0.0/26", {2, 3}));
    this->plan.run();
    this->plan.forget(this->block("10.0.0.0/26", 3), "");
    EXPECT_TRUE(this->plan.doubtful());
    EXPECT_THAT(this->plan.reports(), IsEmpty());
}

TYPED_TEST(RoutePlanTest, fight_over_a_next_hop_waits_for_the_retry_after_three_rounds)
{
    this->plan.want(this->by("10.0.0.0/26", {2, 3}));
    this->plan.run();
    for (int i = 0; i < this->plan.kStrikes; ++i) {
        this->plan.forget(this->block("10.0.0.0/26", 3), "nm");
        this->plan.resync({this->block("10.0.0.0/26")});
        this->plan.run();
    }
    EXPECT_EQ(this->plan.parked(), 1u);
    this->plan.retry();
    EXPECT_THAT(this->plan.run(), ElementsAre(TestFixture::Kind::Replace));
}

TYPED_TEST(RoutePlanTest, foreign_next_hop_among_ours_is_looked_for)
{
    this->plan.want(this->block("10.0.0.0/26"));
    this->plan.run();
    this->plan.learn(foreign(this->by("10.0.0.0/26", {2, 3})), false, "nm"); // appended
    EXPECT_TRUE(this->plan.doubtful());
    this->plan.resync({this->by("10.0.0.0/26", {2, 3})}); // one route now, and ours
    EXPECT_THAT(this->plan.run(), ElementsAre(TestFixture::Kind::Replace));
    this->plan.forget(foreign(this->block("10.0.0.0/26", 3)), "nm"); // or it was this, in between
    EXPECT_TRUE(this->plan.doubtful());
}

TEST_F(RoutePlanTest4, own_block_turns_from_blackhole_to_remote_by_replacement)
{
    plan.want(blackhole_route(prefix("10.0.0.0/26")));
    plan.run();
    plan.want(block("10.0.0.0/26"));
    EXPECT_THAT(plan.run(), ElementsAre(Kind::Replace));
}

TEST_F(RoutePlanTest4, cleanup_removes_everything_of_ours)
{
    plan.want(block("10.0.0.0/26"));
    plan.want(workload_route(Ipv4(0x0a000005), kPod));
    plan.run();
    plan.unwant_all();
    plan.allow_removals();
    EXPECT_THAT(plan.run(), ElementsAre(Kind::Remove, Kind::Remove));
    EXPECT_EQ(plan.present_count(), 0u);
}

} // namespace
} // namespace margay::kernel
