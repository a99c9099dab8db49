// SPDX-License-Identifier: Apache-2.0
// Remote prefixes in the kernel's maps: their runs of slots, what each slot has, and what rests.

#include "agent/datapath/routes.h"

#include <gmock/gmock.h>

#include <limits>
#include <set>

#include "integration/datapath/counting_program.h"
#include "support/addresses.h"

namespace margay::datapath {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAreArray;

const Prefix4 kBlock = *Prefix4::parse("10.65.4.0/26");
const Prefix4 kOther = *Prefix4::parse("10.65.4.64/26");

struct RoutesTest : ::testing::Test {
    PinFolder folder;
    std::optional<Programs> programs;
    std::optional<Tables> tables;
    std::optional<Routes> routes;
    Clock::Time now{};

    void SetUp() override
    {
        start();
        routes->seal(now);
        tables->seal();
        write();
    }
    void start()
    {
        routes.reset();
        tables.reset();
        programs.reset();
        ProgramOptions options;
        options.pin_root = folder.path();
        options.map_sizes = {{"flows4", 1024}, {"classes4", 1024}};
        auto opened = Programs::open(options, open_objects);
        ASSERT_TRUE(opened) << opened.error().what;
        programs = *std::move(opened);
        auto made = Tables::open(*programs);
        ASSERT_TRUE(made) << made.error().what;
        tables.emplace(*std::move(made));
        ASSERT_TRUE(tables->adopt());
        routes.emplace(*tables);
        routes->adopt();
    }
    void write()
    {
        maps::Budget budget{std::numeric_limits<std::size_t>::max()};
        ASSERT_TRUE(tables->write_world(budget));
        ASSERT_TRUE(tables->write_workloads(budget));
        ASSERT_TRUE(tables->remove(budget));
        if (tables->routes4.sealed()) {
            ASSERT_EQ(tables->pending(), 0u);
        }
    }
    // Once flows have been judged again and nothing is pending, as the owner does it.
    void expire()
    {
        routes->expire(now);
        write();
    }

    static RouteWant by(const std::vector<const char*>& hops, bool encap = false)
    {
        RouteWant want;
        want.kind = ROUTE_REMOTE;
        for (const char* hop : hops)
            want.paths.push_back({.encap = encap, .ifindex = 7, .next_hop = ip(hop), .mtu = 1500});
        return want;
    }
    void want(const Prefix4& prefix, const RouteWant& route)
    {
        const Status status = routes->want(prefix, route, now);
        ASSERT_TRUE(status) << status.error().what;
        write();
    }
    SlotRun run(const Prefix4& prefix)
    {
        const auto entry = tables->routes4.actual({prefix.length, prefix.addr.be()});
        EXPECT_TRUE(entry);
        return entry ? SlotRun{entry->slot, entry->spread} : SlotRun{};
    }
    // What the kernel has, not what was meant to be there.
    std::optional<path> in_kernel(std::uint32_t slot)
    {
        path value{};
        const int map = tables->paths.kernel().raw().fd();
        EXPECT_EQ(bpf_map_lookup_elem(map, &slot, &value), 0);
        return value.kind == PATH_NONE ? std::nullopt : std::optional(value);
    }
    std::vector<std::string> hops(SlotRun run)
    {
        std::vector<std::string> list;
        for (std::uint32_t slot = run.first; slot < run.end(); slot++) {
            const auto value = in_kernel(slot);
            list.push_back(value ? Ipv4::from_be(value->next_hop).str() : "none");
        }
        return list;
    }
};

constexpr const char *kR1 = "172.31.1.1", *kR2 = "172.31.1.2", *kR3 = "172.31.1.3";

TEST_F(RoutesTest, paths_of_a_prefix_share_its_run_and_only_a_dead_ones_slots_change)
{
    want(kBlock, by({kR1, kR2, kR3}));
    const SlotRun before = run(kBlock);
    const auto all = hops(before);
    ASSERT_EQ(all.size(), 12u);
    EXPECT_EQ(std::ranges::count(all, kR2), 4);
    (void)routes->take_changed();

    want(kBlock, by({kR1, kR3}));

    EXPECT_EQ(run(kBlock), before);
    const auto two = hops(before);
    EXPECT_THAT(two, Not(Contains(kR2)));
    for (std::size_t i = 0; i < all.size(); i++)
        if (all[i] != kR2) {
            EXPECT_EQ(two[i], all[i]) << "a flow moved whose path lives";
        }
    EXPECT_EQ(std::ranges::count(two, kR1), 6);
    want(kBlock, by({kR1, kR2, kR3}));
    EXPECT_EQ(hops(before), all);
    EXPECT_FALSE(routes->take_changed()) << "flows need no new judgement";
}

TEST_F(RoutesTest, second_router_is_added_without_another_run)
{
    want(kBlock, by({kR1}));
    const SlotRun before = run(kBlock);
    EXPECT_THAT(hops(before), ElementsAre(kR1, kR1));

    want(kBlock, by({kR1, kR2}));

    EXPECT_EQ(run(kBlock), before);
    EXPECT_THAT(hops(before), ElementsAre(kR1, kR2));
}

TEST_F(RoutesTest, tunnel_to_a_node_takes_one_slot)
{
    want(kBlock, by({kR1}, true));
    EXPECT_EQ(run(kBlock).count, 1u);
    EXPECT_EQ(in_kernel(run(kBlock).first)->kind, std::uint32_t{PATH_ENCAP});
}

TEST_F(RoutesTest, flows_that_know_the_smaller_run_go_on_by_living_paths_until_they_are_judged)
{
    want(kBlock, by({kR1, kR2}));
    const SlotRun small = run(kBlock);
    (void)routes->take_changed();

    want(kBlock, by({kR1, kR2, kR3}));

    EXPECT_NE(run(kBlock).first, small.first);
    EXPECT_EQ(run(kBlock).count, 12u);
    EXPECT_THAT(hops(small), ElementsAre(kR1, kR2));
    EXPECT_FALSE(routes->take_changed());
    want(kBlock, by({kR1, kR3}));
    EXPECT_THAT(hops(small), ElementsAre(kR1, kR3));
    now += 59min;
    expire();
    EXPECT_THAT(hops(small), ElementsAre(kR1, kR3));
    now += 1min;
    expire();
    EXPECT_THAT(hops(small), Each("none"));
    EXPECT_TRUE(routes->take_changed());
    EXPECT_THAT(hops(run(kBlock)), Not(Contains("none")));
}

TEST_F(RoutesTest, prefix_that_goes_leaves_no_way_and_its_slots_rest)
{
    want(kBlock, by({kR1, kR2}));
    const SlotRun before = run(kBlock);
    routes->forget(kBlock, now);
    write();
    EXPECT_THAT(hops(before), Each("none"));
    want(kBlock, by({kR2}));
    EXPECT_EQ(run(kBlock), before) << "within the hour it takes them back";
    routes->forget(kBlock, now);
    now += 59min;
    expire();
    // All others are taken, one after the other; none is the resting one.
    for (std::uint32_t i = 0; i < PATH_SLOTS / 2; i++)
        (void)routes->want({Ipv4(0x40000000 + (i << 6)), 26}, by({kR1, kR2}), now);
    EXPECT_FALSE(routes->want(kOther, by({kR1}), now));
    now += 1min;
    routes->expire(now);
    EXPECT_FALSE(routes->want(kOther, by({kR1}), now)) << "flows are not judged again yet";
    routes->expire(now);
    want(kOther, by({kR1}));
    EXPECT_EQ(run(kOther), before);
}

TEST_F(RoutesTest, hundred_and_thirty_thousand_prefixes_by_two_routers_fit)
{
    constexpr std::uint32_t kPrefixes = 131'072;
    const RouteWant two = by({kR1, kR2});
    for (std::uint32_t i = 0; i < kPrefixes; i++)
        ASSERT_TRUE(routes->want({Ipv4(0x40000000 + (i << 6)), 26}, two, now)) << i;
    write();
    std::set<std::uint32_t> firsts;
    std::uint32_t slots = 0;
    tables->routes4.each_actual([&](const prefix4_key&, const route& entry) {
        firsts.insert(entry.slot);
        slots += entry.spread;
    });
    EXPECT_EQ(firsts.size(), kPrefixes);
    EXPECT_EQ(slots, PATH_SLOTS - 1) << "the last one has a single slot";
    const Status status = routes->want(kOther, two, now);
    ASSERT_FALSE(status);
    EXPECT_THAT(status.error().what, HasSubstr("10.65.4.64/26: all path slots are in use"));
    EXPECT_EQ(routes->find(kOther), nullptr);
}

TEST_F(RoutesTest, neighbour_of_one_router_resolves_its_slots_alone)
{
    const MacBytes mac{2, 0, 0, 0, 0, 9};
    want(kBlock, by({kR1, kR2}));
    want(kOther, by({kR2}));
    const auto resolved = [&](const Prefix4& prefix) {
        std::vector<std::uint32_t> flags;
        for (std::uint32_t slot = run(prefix).first; slot < run(prefix).end(); slot++)
            flags.push_back(in_kernel(slot)->flags);
        return flags;
    };
    routes->set_neighbour(7, ip(kR2), mac);
    write();
    EXPECT_THAT(resolved(kBlock), ElementsAre(0u, PATH_RESOLVED));
    EXPECT_THAT(resolved(kOther), Each(std::uint32_t{PATH_RESOLVED}));
    EXPECT_EQ(in_kernel(run(kOther).first)->dmac[5], 9);
    want(kBlock, by({kR1})); // it has left the list of kR2's slots
    routes->set_neighbour(7, ip(kR2), std::nullopt);
    routes->set_neighbour(7, ip(kR1), mac);
    write();
    EXPECT_THAT(resolved(kBlock), Each(std::uint32_t{PATH_RESOLVED}));
    EXPECT_THAT(resolved(kOther), Each(0u));
    want(kBlock, by({kR1, kR2}));
    EXPECT_THAT(resolved(kBlock), ElementsAre(PATH_RESOLVED, 0u));
}

TEST_F(RoutesTest, restart_finds_each_slot_with_its_path_and_gives_none_away_that_flows_may_know)
{
    want(kBlock, by({kR2, kR3}));
    const SlotRun small = run(kBlock);
    want(kBlock, by({kR1, kR2, kR3}));
    want(kBlock, by({kR1, kR3}));
    const SlotRun grown = run(kBlock);
    const auto before = hops(grown);
    start();
    now += 24h; // the clock of another process
    want(kOther, by({kR1, kR2}));
    EXPECT_GT(run(kOther).first, grown.first);
    EXPECT_THAT(hops(small), Not(Contains("none")));

    want(kBlock, by({kR1, kR3}));

    EXPECT_EQ(run(kBlock), grown);
    EXPECT_EQ(hops(grown), before);
    routes->seal(now);
    tables->seal();
    write();
    EXPECT_EQ(hops(grown), before);
    EXPECT_THAT(hops(small), Each("none"));
}

TEST_F(RoutesTest, whole_run_of_an_earlier_run_is_kept_until_the_routes_are_complete)
{
    want(kBlock, by({kR1, kR2}));
    const SlotRun before = run(kBlock);
    start();
    routes->seal(now);
    tables->seal();
    write();
    EXPECT_EQ(run(kBlock), before);
    EXPECT_THAT(hops(before), ElementsAre(kR1, kR2));
    routes->drop_kept(now);
    write();
    EXPECT_FALSE(tables->routes4.actual({kBlock.length, kBlock.addr.be()}));
    EXPECT_THAT(hops(before), Each("none"));
}

TEST_F(RoutesTest, prefix_whose_node_or_tunnel_changes_has_flows_judged_again)
{
    RouteWant route = by({kR1}, true);
    route.node = ip("172.31.1.12");
    want(kBlock, route);
    EXPECT_TRUE(routes->take_changed());
    route.node = ip("172.31.1.13");
    want(kBlock, route);
    EXPECT_TRUE(routes->take_changed());
    route.tunnelled = true;
    want(kBlock, route);
    EXPECT_TRUE(routes->take_changed());
    route.paths.front().next_hop = ip(kR2);
    want(kBlock, route);
    EXPECT_FALSE(routes->take_changed());
    EXPECT_THAT(hops(run(kBlock)), ElementsAre(kR2));
    route.paths.clear();
    want(kBlock, route);
    EXPECT_FALSE(routes->take_changed());
    EXPECT_THAT(hops(run(kBlock)), ElementsAre("none"));
}

} // namespace
} // namespace margay::datapath
