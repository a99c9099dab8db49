// SPDX-License-Identifier: Apache-2.0
#include "bgp/rib/adj_rib_out.h"
#include "bgp/rib/export.h"
#include "bgp/rib/rib.h"
#include "bgp/wire/message.h"
#include "support/addresses.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <random>

namespace margay::bgp {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

AsPath path(std::vector<Asn> asns)
{
    return asns.empty() ? AsPath() : AsPath({{PathSegment::Type::Sequence, std::move(asns)}});
}

// ---- Decision ----

// Two candidates that differ in one thing; the first of each pair wins.
struct Duel {
    const char* name;
    Step expected;
    void (*better)(Attributes&, Candidate&);
    void (*worse)(Attributes&, Candidate&);
};

class Decision : public ::testing::TestWithParam<Duel> {};

TEST_P(Decision, step_removes_the_worse_whatever_the_order)
{
    Attributes good, bad;
    good.as_path = bad.as_path = path({Asn{1}, Asn{2}});
    good.local_pref = bad.local_pref = 100;
    good.med = bad.med = 10;
    good.origin = bad.origin = Origin::Egp;
    Candidate a{&good, false, true, Ipv4(5), Ip(Ipv4(5))};
    Candidate b{&bad, false, true, Ipv4(5), Ip(Ipv4(5))};
    GetParam().better(good, a);
    GetParam().worse(bad, b);
    EXPECT_THAT(decide(std::vector{a, b}), ElementsAre(Step::Best, GetParam().expected));
    EXPECT_THAT(decide(std::vector{b, a}), ElementsAre(GetParam().expected, Step::Best));
}

constexpr auto kNothing = [](Attributes&, Candidate&) {};

// Each better one is worse in everything that is looked at later.
INSTANTIATE_TEST_SUITE_P(
    Rfc4271, Decision,
    ::testing::Values(Duel{"local", Step::Local,
                           [](Attributes& a, Candidate& c) {
                               c.local = true;
                               a.local_pref = 1;
                           },
                           kNothing},
                      Duel{"local pref", Step::LocalPref,
                           [](Attributes& a, Candidate&) {
                               a.local_pref = 101;
                               a.as_path.prepend(Asn{9});
                           },
                           kNothing},
                      Duel{"default local pref", Step::LocalPref, kNothing,
                           [](Attributes& a, Candidate&) { a.local_pref = 99; }},
                      Duel{"path length", Step::PathLength,
                           [](Attributes& a, Candidate&) { a.origin = Origin::Incomplete; },
                           [](Attributes& a, Candidate&) { a.as_path.prepend(Asn{9}); }},
                      Duel{"origin", Step::Origin,
                           [](Attributes& a, Candidate&) {
                               a.origin = Origin::Igp;
                               a.med = 99;
                           },
                           kNothing},
                      Duel{"med", Step::Med, [](Attributes& a, Candidate&) { a.med.reset(); },
                           [](Attributes&, Candidate& c) { c.internal = false; }},
                      Duel{"external", Step::External,
                           [](Attributes& a, Candidate& c) {
                               c.internal = false;
                               c.identifier = Ipv4(9);
                               a.as_path = path({Asn{3}, Asn{2}});
                               a.med = 99;
                           },
                           kNothing},
                      Duel{"identifier", Step::Identifier,
                           [](Attributes& a, Candidate& c) {
                               c.identifier = Ipv4(4);
                               c.address = Ip(Ipv4(9));
                               a.cluster_list = {Ipv4(1)};
                           },
                           kNothing},
                      Duel{"originator", Step::Identifier,
                           [](Attributes& a, Candidate& c) {
                               c.identifier = Ipv4(9);
                               a.originator_id = Ipv4(1);
                           },
                           kNothing},
                      Duel{"cluster list", Step::ClusterList,
                           [](Attributes&, Candidate& c) { c.address = Ip(Ipv4(9)); },
                           [](Attributes& a, Candidate&) { a.cluster_list = {Ipv4(1)}; }},
                      Duel{"address", Step::Address,
                           [](Attributes&, Candidate& c) { c.address = Ip(Ipv4(4)); }, kNothing}));

// Pairwise comparison would go in circles here: a beats b by MED, b beats c and c beats a by
// identifier.
TEST(Decision, med_of_one_neighbour_does_not_make_the_result_depend_on_the_order)
{
    Attributes from1_low, from1_high, from2;
    from1_low.as_path = from1_high.as_path = path({Asn{1}});
    from2.as_path = path({Asn{2}});
    from1_low.med = 1;
    from1_high.med = 2;
    from2.med = 3; // says nothing beside those of another neighbour
    std::vector<Candidate> all{{&from1_low, false, false, Ipv4(3), Ip(Ipv4(3))},
                               {&from1_high, false, false, Ipv4(1), Ip(Ipv4(1))},
                               {&from2, false, false, Ipv4(2), Ip(Ipv4(2))}};
    std::ranges::sort(all, {}, &Candidate::identifier);
    do {
        const auto steps = decide(all);
        const auto best = std::ranges::find(steps, Step::Best) - steps.begin();
        EXPECT_EQ(all[static_cast<std::size_t>(best)].attributes, &from2);
    } while (std::ranges::next_permutation(all, {}, &Candidate::identifier).found);
}

TEST(Decision, any_set_has_exactly_one_best)
{
    std::mt19937 random(3);
    const auto number = [&](std::uint32_t below) {
        return static_cast<std::uint32_t>(random() % below);
    };
    for (int round = 0; round < 2000; ++round) {
        std::vector<Attributes> attributes(1 + number(6));
        std::vector<Candidate> candidates;
        for (std::size_t i = 0; i < attributes.size(); ++i) {
            attributes[i].local_pref = 100 + number(2);
            attributes[i].as_path = path({Asn{1 + number(2)}});
            attributes[i].med = number(3);
            candidates.push_back({&attributes[i], false, number(2) == 0, Ipv4(number(3)),
                                  Ip(Ipv4(static_cast<std::uint32_t>(i)))});
        }
        EXPECT_EQ(std::ranges::count(decide(candidates), Step::Best), 1);
    }
    EXPECT_THAT(decide({}), IsEmpty());
}

// ---- Rib ----

AttributesPtr attributes(std::uint32_t next_hop, std::uint32_t local_pref = 100)
{
    Attributes a;
    a.next_hop = Ipv4(next_hop);
    a.local_pref = local_pref;
    return std::make_shared<const Attributes>(a);
}

struct RibTest : ::testing::Test {
    static constexpr PeerId kA = 1, kB = 2;
    const Prefix4 net = prefix("10.1.0.0/26");
    const Prefix4 other = prefix("10.2.0.0/26");
    Rib rib{RibConfig{Asn{64512}, Ipv4(99)}};

    void SetUp() override
    {
        rib.peer_up(kA, {Ip(Ipv4(1)), Ipv4(1), true, Ipv4(99)});
        rib.peer_up(kB, {Ip(Ipv4(2)), Ipv4(2), true, Ipv4(99)});
    }
    std::vector<Prefix4> settle()
    {
        std::vector<Prefix4> changed;
        while (rib.has_work())
            rib.work(1000, changed);
        return changed;
    }
    std::vector<std::uint32_t> next_hops(const Prefix4& p)
    {
        std::vector<std::uint32_t> hops;
        if (const Entry* entry = rib.find(p))
            for (const Chosen& chosen : entry->chosen)
                hops.push_back(chosen.attributes->next_hop.value());
        return hops;
    }
};

TEST_F(RibTest, equal_paths_are_used_side_by_side_and_a_better_one_alone)
{
    rib.learn(kB, net, attributes(22));
    rib.learn(kA, net, attributes(11));
    EXPECT_THAT(settle(), ElementsAre(net));
    EXPECT_THAT(next_hops(net), ElementsAre(11, 22));
    rib.learn(kB, net, attributes(22, 200));
    EXPECT_THAT(settle(), ElementsAre(net));
    EXPECT_THAT(next_hops(net), ElementsAre(22));
}

TEST_F(RibTest, same_route_again_is_no_change)
{
    rib.learn(kA, net, attributes(11));
    settle();
    rib.learn(kA, net, attributes(11));
    EXPECT_THAT(settle(), IsEmpty());
}

TEST_F(RibTest, withdrawn_route_leaves_nothing_behind)
{
    rib.learn(kA, net, attributes(11));
    settle();
    rib.withdraw(kA, net);
    EXPECT_THAT(settle(), ElementsAre(net));
    EXPECT_EQ(rib.find(net), nullptr);
    EXPECT_EQ(rib.count(kA), 0u);
    rib.withdraw(kA, net);
    EXPECT_FALSE(rib.has_work());
}

TEST_F(RibTest, our_own_route_beats_what_peers_say)
{
    rib.learn(kA, net, attributes(11, 4000000000));
    rib.announce(net, attributes(0, 1));
    settle();
    EXPECT_EQ(rib.find(net)->chosen.front().peer, kOurselves);
    EXPECT_EQ(rib.find(net)->chosen.size(), 1u);
}

TEST_F(RibTest, loops_are_never_used)
{
    Attributes as_loop, originator, hop;
    as_loop.as_path = path({Asn{1}, Asn{64512}});
    originator.originator_id = Ipv4(99);
    hop.next_hop = Ipv4(99);
    for (const Attributes& loop : {as_loop, originator, hop}) {
        rib.learn(kA, net, std::make_shared<const Attributes>(loop));
        settle();
        EXPECT_THAT(next_hops(net), IsEmpty());
        EXPECT_NE(rib.find(net)->paths.front().rejected, nullptr);
    }
}

TEST_F(RibTest, dropped_peer_loses_its_routes_within_the_budget_of_each_turn)
{
    for (std::uint32_t i = 0; i < 100; ++i)
        rib.learn(kA, Prefix4{Ipv4(i << 8), 24}, attributes(11));
    settle();
    rib.drop(kA);
    std::vector<Prefix4> changed;
    rib.work(10, changed);
    EXPECT_LE(changed.size(), 10u);
    EXPECT_EQ(rib.count(kA), 90u);
    settle();
    EXPECT_THAT(rib.entries(), IsEmpty());
}

TEST_F(RibTest, stale_routes_stay_in_use_until_swept_and_fresh_ones_survive)
{
    rib.learn(kA, net, attributes(11));
    rib.learn(kA, other, attributes(11));
    settle();
    rib.mark_stale(kA);
    EXPECT_THAT(settle(), IsEmpty()) << "stale is not gone";
    EXPECT_TRUE(rib.is_stale(rib.find(net)->paths.front()));
    rib.learn(kA, net, attributes(11));
    EXPECT_FALSE(rib.is_stale(rib.find(net)->paths.front()));
    rib.sweep(kA);
    EXPECT_THAT(settle(), ElementsAre(other));
    EXPECT_THAT(next_hops(net), ElementsAre(11));
}

TEST_F(RibTest, second_restart_in_a_row_deletes_what_was_stale_before)
{
    rib.learn(kA, net, attributes(11));
    rib.mark_stale(kA);
    rib.learn(kA, other, attributes(11));
    rib.mark_stale(kA);
    settle();
    EXPECT_EQ(rib.find(net), nullptr);
    EXPECT_THAT(next_hops(other), ElementsAre(11));
}

TEST_F(RibTest, new_import_policy_is_applied_to_what_was_received_before)
{
    rib.learn(kA, net, attributes(11));
    rib.learn(kB, net, attributes(22));
    settle();
    rib.set_import_policy([](PeerId peer, const Prefix4&, const AttributesPtr& in) {
        return peer == kA ? nullptr : in;
    });
    EXPECT_THAT(settle(), ElementsAre(net));
    EXPECT_THAT(next_hops(net), ElementsAre(22));
    rib.set_import_policy({});
    settle();
    EXPECT_THAT(next_hops(net), ElementsAre(11, 22));
}

TEST_F(RibTest, removed_peer_is_forgotten)
{
    rib.learn(kA, net, attributes(11));
    rib.remove(kA);
    settle();
    EXPECT_EQ(rib.traits(kA), nullptr);
    EXPECT_EQ(rib.find(net), nullptr);
}

// ---- Export ----

const ExportPeer kIbgp{7, true, Asn{64512}, Ipv4(0x0a000001)};
const ExportPeer kEbgp{7, false, Asn{64512}, Ipv4(0x0a000001)};

AttributesPtr learned(void (*change)(Attributes&) = nullptr)
{
    Attributes a;
    a.next_hop = Ipv4(0x0a000009);
    a.as_path = path({Asn{65001}});
    a.local_pref = 300;
    a.med = 5;
    a.originator_id = Ipv4(1);
    if (change)
        change(a);
    return std::make_shared<const Attributes>(a);
}

TEST(Export, own_route_goes_to_internal_peers_with_own_next_hop_and_preference)
{
    const auto out = export_route({kOurselves, attributes(0, 2147482623)}, false, kIbgp);
    ASSERT_TRUE(out);
    EXPECT_EQ(out->next_hop, kIbgp.local_address);
    EXPECT_EQ(out->local_pref, 2147482623u);
    EXPECT_EQ(out->as_path.length(), 0u);
}

TEST(Export, internal_route_is_not_for_internal_peers_nor_for_its_source)
{
    EXPECT_FALSE(export_route({3, learned()}, true, kIbgp));
    EXPECT_FALSE(export_route({7, learned()}, false, kEbgp));
}

TEST(Export, external_route_goes_to_internal_peers_as_it_is)
{
    const auto attributes_in = learned();
    EXPECT_EQ(export_route({3, attributes_in}, false, kIbgp), attributes_in);
}

TEST(Export, external_peer_gets_our_as_our_next_hop_and_nothing_internal)
{
    const auto out = export_route({3, learned()}, true, kEbgp);
    ASSERT_TRUE(out);
    EXPECT_EQ(out->as_path.str(), "64512 65001");
    EXPECT_EQ(out->next_hop, kEbgp.local_address);
    EXPECT_FALSE(out->local_pref);
    EXPECT_FALSE(out->med);
    EXPECT_FALSE(out->originator_id);
}

TEST(Export, nothing_is_announced_with_a_next_hop_of_nowhere)
{
    ExportPeer over_ipv6 = kIbgp;
    over_ipv6.local_address = Ipv4();
    EXPECT_FALSE(export_route({kOurselves, attributes(0)}, false, over_ipv6));
    EXPECT_TRUE(export_route({3, learned()}, false, over_ipv6)) << "its next hop is unchanged";
    over_ipv6.internal = false;
    EXPECT_FALSE(export_route({3, learned()}, false, over_ipv6));
}

TEST(Export, well_known_communities_hold_routes_back)
{
    const auto no_export = learned([](Attributes& a) { a.communities = {kNoExport}; });
    const auto no_advertise = learned([](Attributes& a) { a.communities = {kNoAdvertise}; });
    EXPECT_FALSE(export_route({3, no_export}, false, kEbgp));
    EXPECT_TRUE(export_route({3, no_export}, false, kIbgp));
    EXPECT_FALSE(export_route({3, no_advertise}, false, kIbgp));
}

// ---- AdjRibOut ----

struct AdjRibOutTest : ::testing::Test {
    std::map<Prefix4, AttributesPtr> table;
    AdjRibOut out;

    // What the peer learns from one fill().
    Update fill(std::size_t budget = 100)
    {
        Bytes bytes;
        out.fill([&](const Prefix4& p) { return table.contains(p) ? table[p] : nullptr; },
                 WireSession{}, budget, bytes);
        Update all;
        for (ByteView rest(bytes); !rest.empty();) {
            const auto frame = std::get<Frame>(next_frame(rest));
            auto update = std::get<Update>(decode_update(frame.body, WireSession{}));
            std::ranges::copy(update.withdrawn, std::back_inserter(all.withdrawn));
            std::ranges::move(update.announced, std::back_inserter(all.announced));
            rest = rest.subspan(frame.size);
        }
        return all;
    }
};

TEST_F(AdjRibOutTest, prefixes_with_equal_attributes_share_one_update)
{
    for (std::uint32_t i = 0; i < 10; ++i) {
        const Prefix4 p{Ipv4(0x0a000000 + (i << 8)), 24};
        table[p] = attributes(0x0a000001);
        out.touch(p);
    }
    const Update update = fill();
    ASSERT_EQ(update.announced.size(), 1u);
    EXPECT_EQ(update.announced[0].prefixes.size(), 10u);
    EXPECT_EQ(out.advertised(), 10u);
}

TEST_F(AdjRibOutTest, changes_before_there_is_room_coalesce_and_sameness_is_silence)
{
    const Prefix4 p = prefix("10.0.0.0/24");
    for (std::uint32_t i = 1; i < 10; ++i) {
        table[p] = attributes(0x0a000000 + i);
        out.touch(p);
    }
    EXPECT_EQ(fill().announced.size(), 1u);
    out.touch(p);
    EXPECT_THAT(fill().announced, IsEmpty());
}

TEST_F(AdjRibOutTest, only_what_was_told_is_withdrawn)
{
    const Prefix4 told = prefix("10.0.0.0/24"), never = prefix("10.0.1.0/24");
    table[told] = attributes(0x0a000001);
    out.touch(told);
    fill();
    table.clear();
    out.touch(told);
    out.touch(never);
    EXPECT_THAT(fill().withdrawn, ElementsAre(told));
    EXPECT_EQ(out.advertised(), 0u);
}

TEST_F(AdjRibOutTest, budget_bounds_a_turn_and_nothing_is_forgotten)
{
    for (std::uint32_t i = 0; i < 10; ++i) {
        const Prefix4 p{Ipv4(0x0a000000 + (i << 8)), 24};
        table[p] = attributes(0x0a000001);
        out.touch(p);
    }
    EXPECT_EQ(fill(4).announced.at(0).prefixes.size(), 4u);
    EXPECT_TRUE(out.pending());
    fill(6);
    EXPECT_EQ(out.advertised(), 10u);
    EXPECT_FALSE(out.pending());
}

TEST_F(AdjRibOutTest, refresh_tells_everything_again_and_still_owes_withdrawals)
{
    const Prefix4 stays = prefix("10.0.0.0/24"), goes = prefix("10.0.1.0/24");
    table[stays] = table[goes] = attributes(0x0a000001);
    out.touch(stays);
    out.touch(goes);
    fill();
    out.forget_contents();
    table.erase(goes);
    out.touch(stays);
    out.touch(goes);
    const Update update = fill();
    ASSERT_EQ(update.announced.size(), 1u);
    EXPECT_THAT(update.announced[0].prefixes, ElementsAre(stays));
    EXPECT_THAT(update.withdrawn, ElementsAre(goes));
}

TEST_F(AdjRibOutTest, route_too_large_for_a_message_replaces_the_older_one_by_nothing)
{
    const Prefix4 p = prefix("10.0.0.0/24");
    table[p] = attributes(0x0a000001);
    out.touch(p);
    fill();
    Attributes huge = *table[p];
    huge.others.push_back({0xc0, 100, Bytes(4090, 1)});
    table[p] = std::make_shared<const Attributes>(huge);
    out.touch(p);
    EXPECT_THAT(fill().withdrawn, ElementsAre(p));
    EXPECT_EQ(out.advertised(), 0u);
}

} // namespace
} // namespace margay::bgp
