// SPDX-License-Identifier: Apache-2.0
#include "agent/remote_paths.h"

#include <gmock/gmock.h>

#include "support/addresses.h"

namespace margay {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

struct RemotePathsTest : ::testing::Test {
    const Prefix4 one = prefix("10.244.1.0/26");
    const Prefix4 two = prefix("10.244.2.0/26");
    const Ipv4 near = ip("172.31.1.12");
    const Ipv4 far = ip("172.31.1.13");
    std::vector<std::string> log;
    RemotePaths paths{[this](Ipv4 hop) { log.push_back("watch " + hop.str()); },
                      [this](Ipv4 hop) { log.push_back("unwatch " + hop.str()); }};

    static routing::DecisionPtr by(std::vector<Ipv4> hops)
    {
        routing::Decision decision;
        decision.next_hops = std::move(hops);
        return std::make_shared<const routing::Decision>(std::move(decision));
    }
    static PlannedPathPtr by_device(kernel::IfIndex device)
    {
        PlannedPath plan;
        if (device != 0)
            plan.route.paths.emplace_back().ifindex = device;
        return std::make_shared<const PlannedPath>(plan);
    }
    std::vector<Prefix4> take_all()
    {
        std::vector<Prefix4> taken;
        while (paths.any_due())
            taken.push_back(paths.take_due());
        return taken;
    }
};

TEST_F(RemotePathsTest, hop_is_watched_once_for_all_prefixes_and_as_long_as_one_needs_it)
{
    const auto decision = by({near});
    paths.decide(one, decision);
    paths.decide(two, decision);
    EXPECT_THAT(log, ElementsAre("watch 172.31.1.12"));
    paths.decide(one, nullptr);
    EXPECT_THAT(log, ElementsAre("watch 172.31.1.12"));
    paths.decide(two, by({near, far}));
    EXPECT_THAT(log, ElementsAre("watch 172.31.1.12", "watch 172.31.1.13"))
        << "a hop of both decisions stays watched";
    (void)take_all();
    paths.erase(two);
    EXPECT_THAT(log, ElementsAre("watch 172.31.1.12", "watch 172.31.1.13", "unwatch 172.31.1.12",
                                 "unwatch 172.31.1.13"));
}

TEST_F(RemotePathsTest, decision_makes_its_prefix_due_once)
{
    paths.decide(one, by({near}));
    paths.decide(one, by({far}));
    EXPECT_THAT(take_all(), ElementsAre(one));
    EXPECT_THAT(take_all(), IsEmpty());
    paths.set_due(two);
    EXPECT_THAT(take_all(), IsEmpty()) << "nobody knows it";
}

TEST_F(RemotePathsTest, news_of_a_hop_concern_the_prefixes_by_it)
{
    const auto shared = by({near});
    paths.decide(one, shared);
    paths.decide(two, by({far}));
    paths.decide(prefix("10.244.3.0/26"), by({near, far}));
    paths.decide(prefix("10.244.4.0/26"), shared);
    (void)take_all();
    paths.set_due(std::vector{near});
    EXPECT_THAT(take_all(),
                UnorderedElementsAre(one, prefix("10.244.3.0/26"), prefix("10.244.4.0/26")));
    paths.set_due(std::vector{ip("172.31.1.99")});
    EXPECT_THAT(take_all(), IsEmpty());
}

TEST_F(RemotePathsTest, devices_are_known_from_the_first_plan_by_them_to_the_last)
{
    const auto decision = by({near});
    paths.decide(one, decision);
    paths.decide(two, decision);
    (void)take_all();
    paths.plan(one, by_device(5));
    paths.plan(two, by_device(5));
    EXPECT_TRUE(paths.take_devices_changed());
    EXPECT_TRUE(paths.leave_by(5));
    paths.plan(one, by_device(5));
    paths.plan(two, by_device(0));
    EXPECT_FALSE(paths.take_devices_changed());
    paths.plan(one, by_device(6));
    EXPECT_TRUE(paths.take_devices_changed());
    EXPECT_FALSE(paths.leave_by(5));
    paths.erase(one);
    EXPECT_FALSE(paths.leave_by(6));
}

TEST_F(RemotePathsTest, what_is_shown_is_sorted_and_has_a_plan)
{
    paths.decide(two, by({near}));
    paths.decide(one, by({near}));
    paths.plan(two, by_device(5));
    EXPECT_FALSE(paths.contains(one));
    EXPECT_EQ(paths.plans().size(), 1u);
    paths.plan(one, by_device(5));
    EXPECT_EQ(paths.plans().begin()->first, one);
}

} // namespace
} // namespace margay
