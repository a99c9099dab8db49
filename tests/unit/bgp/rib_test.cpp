// SPDX-License-Identifier: Apache-2.0
#include "bgp/rib/rib.h"
#include "support/addresses.h"
#include "support/bgp/codec.h"
#include "support/bgp/peers.h"

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
    Candidate a{nullptr, false, true, Ipv4(5), Ip(Ipv4(5)), 0};
    Candidate b{nullptr, false, true, Ipv4(5), Ip(Ipv4(5)), 0};
    GetParam().better(good, a);
    GetParam().worse(bad, b);
    const AttributesPtr of_a = test_pool().intern(good), of_b = test_pool().intern(bad);
    a.attributes = of_a.get();
    b.attributes = of_b.get();
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
                           [](Attributes&, Candidate& c) {
                               c.address = Ip(Ipv4(4));
                               c.path = 9;
                           },
                           kNothing},
                      Duel{"path number", Step::PathNumber, kNothing,
                           [](Attributes&, Candidate& c) { c.path = 1; }}));

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
    const AttributesPtr low = test_pool().intern(from1_low), high = test_pool().intern(from1_high);
    const AttributesPtr other = test_pool().intern(from2);
    std::vector<Candidate> all{{low.get(), false, false, Ipv4(3), Ip(Ipv4(3))},
                               {high.get(), false, false, Ipv4(1), Ip(Ipv4(1))},
                               {other.get(), false, false, Ipv4(2), Ip(Ipv4(2))}};
    std::ranges::sort(all, {}, &Candidate::identifier);
    do {
        const auto steps = decide(all);
        const auto best = std::ranges::find(steps, Step::Best) - steps.begin();
        EXPECT_EQ(all[static_cast<std::size_t>(best)].attributes, other.get());
    } while (std::ranges::next_permutation(all, {}, &Candidate::identifier).found);
}

TEST(Decision, any_set_has_exactly_one_best)
{
    std::mt19937 random(3);
    const auto number = [&](std::uint32_t below) {
        return static_cast<std::uint32_t>(random() % below);
    };
    for (int round = 0; round < 2000; ++round) {
        std::vector<AttributesPtr> sets(1 + number(6));
        std::vector<Candidate> candidates;
        for (std::size_t i = 0; i < sets.size(); ++i) {
            Attributes attributes;
            attributes.local_pref = 100 + number(2);
            attributes.as_path = path({Asn{1 + number(2)}});
            attributes.med = number(3);
            sets[i] = test_pool().intern(attributes);
            candidates.push_back({sets[i].get(), false, number(2) == 0, Ipv4(number(3)),
                                  Ip(Ipv4(static_cast<std::uint32_t>(i)))});
        }
        EXPECT_EQ(std::ranges::count(decide(candidates), Step::Best), 1);
    }
    EXPECT_THAT(decide({}), IsEmpty());
}

// A peer with ADD-PATH may send so many; pair by pair this would take minutes.
TEST(Decision, many_candidates_are_no_burden)
{
    const AttributesPtr attributes = test_pool().intern(Attributes{});
    std::vector<Candidate> all;
    for (std::uint32_t i = 0; i < 200'000; ++i)
        all.push_back({attributes.get(), false, false, Ipv4(1), Ip(Ipv4(1)), i});
    EXPECT_EQ(decide(all).front(), Step::Best);
}

// ---- Rib ----

AttributesPtr attributes(std::uint32_t next_hop, std::uint32_t local_pref = 100)
{
    Attributes a;
    a.next_hop = Ipv4(next_hop);
    a.local_pref = local_pref;
    return test_pool().intern(a);
}

struct RibTest : ::testing::Test {
    const Prefix4 net = prefix("10.1.0.0/26");
    const Prefix4 other = prefix("10.2.0.0/26");
    Rib<Prefix4> rib{RibConfig{Asn{64512}, Ipv4(99), Ipv4(98)}};
    const PeerId kA = add_peer(rib);
    const PeerId kB = add_peer(rib);

    void SetUp() override
    {
        rib.peer_up(kA, internal_peer(1, Ipv4(99)));
        rib.peer_up(kB, internal_peer(2, Ipv4(99)));
    }
    std::vector<Prefix4> settle()
    {
        std::vector<Prefix4> prefixes;
        while (rib.has_work())
            rib.work(1000);
        for (const EntryId id : rib.changed())
            prefixes.push_back(rib.table().at(id).prefix);
        rib.forget_changed();
        return prefixes;
    }
    // Null once it is gone from the table.
    const Rib<Prefix4>::Table::Entry* find(const Prefix4& p)
    {
        const EntryId id = rib.table().find(p);
        return id == kNoEntry ? nullptr : &rib.table().at(id);
    }
    std::vector<std::uint32_t> next_hops(const Prefix4& p)
    {
        std::vector<std::uint32_t> hops;
        if (const auto* entry = find(p))
            for (const Path& path : entry->paths.all())
                if (path.usable)
                    hops.push_back(path.accepted->next_hop.v4().value());
        std::ranges::sort(hops);
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

TEST_F(RibTest, paths_of_a_peer_to_a_prefix_have_a_limit_that_is_not_the_others)
{
    PeerTraits numbered = internal_peer(1, Ipv4(99));
    numbered.add_path = true;
    rib.peer_up(kA, numbered);
    const AttributesPtr same = attributes(11);
    for (PathId path = 0; path < kMostPathsOfAPeer; ++path)
        ASSERT_TRUE(rib.learn(kA, {net, path}, same));
    EXPECT_FALSE(rib.learn(kA, {net, 1u << 20}, same));
    EXPECT_TRUE(rib.learn(kA, {net, 0}, attributes(12))) << "it is there already";
    EXPECT_TRUE(rib.learn(kB, net, same));
    EXPECT_EQ(rib.count(kA), kMostPathsOfAPeer);
    EXPECT_EQ(rib.count(kB), 1u);
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
    EXPECT_EQ(find(net), nullptr);
    EXPECT_EQ(rib.count(kA), 0u);
    rib.withdraw(kA, net);
    EXPECT_FALSE(rib.has_work());
}

TEST_F(RibTest, our_own_route_beats_what_peers_say)
{
    rib.learn(kA, net, attributes(11, 4000000000));
    rib.announce(net, attributes(0, 1));
    settle();
    EXPECT_EQ(find(net)->paths.best()->peer, kOurselves);
    EXPECT_THAT(next_hops(net), ElementsAre(0));
}

TEST_F(RibTest, loops_are_never_used)
{
    Attributes as_loop, originator, cluster, hop;
    as_loop.as_path = path({Asn{1}, Asn{64512}});
    originator.originator_id = Ipv4(99);
    cluster.cluster_list = {Ipv4(1), Ipv4(98)};
    hop.next_hop = Ipv4(99);
    const std::pair<Attributes, Rejection> loops[] = {{as_loop, Rejection::AsLoop},
                                                      {originator, Rejection::Originator},
                                                      {cluster, Rejection::ClusterLoop},
                                                      {hop, Rejection::OwnNextHop}};
    for (const auto& [loop, rejection] : loops) {
        rib.learn(kA, net, test_pool().intern(loop));
        settle();
        EXPECT_THAT(next_hops(net), IsEmpty());
        EXPECT_EQ(find(net)->paths.all()[0].rejected, rejection);
    }
}

// RFC 4271 6.3.
TEST_F(RibTest, path_has_to_begin_with_the_peers_as_where_that_is_asked_for)
{
    PeerTraits traits = internal_peer(1, Ipv4(99));
    traits.internal = false;
    traits.first_as = Asn{7};
    rib.peer_up(kA, traits);
    const AsPath paths[] = {path({Asn{7}, Asn{8}}), path({Asn{8}, Asn{7}}), AsPath(),
                            AsPath({{PathSegment::Type::Set, {Asn{7}}}})};
    for (const AsPath& told : paths) {
        Attributes a;
        a.as_path = told;
        a.next_hop = Ipv4(11);
        rib.learn(kA, net, test_pool().intern(a));
        settle();
        EXPECT_EQ(find(net)->paths.all()[0].rejected,
                  told == paths[0] ? Rejection::None : Rejection::FirstAs)
            << told.str();
    }
}

TEST_F(RibTest, prefix_that_is_nobodys_destination_is_not_used)
{
    for (const char* text :
         {"224.0.0.0/4", "239.1.2.0/24", "255.255.255.255/32", "127.0.0.0/8", "127.0.0.1/32"}) {
        rib.learn(kA, prefix(text), attributes(11));
        settle();
        EXPECT_THAT(next_hops(prefix(text)), IsEmpty()) << text;
        EXPECT_EQ(find(prefix(text))->paths.all()[0].rejected, Rejection::NoUnicast);
    }
    for (const char* text : {"0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "192.0.0.0/2", "126.0.0.0/7",
                             "223.255.255.0/24", "169.254.0.0/16", "224.0.0.0/3", "240.0.0.0/4"}) {
        rib.learn(kA, prefix(text), attributes(11));
        settle();
        EXPECT_THAT(next_hops(prefix(text)), ElementsAre(11)) << text;
    }
}

TEST(RibOfIpv6, prefix_that_is_nobodys_destination_is_not_used)
{
    Rib<Prefix6> rib{RibConfig{Asn{64512}, Ipv4(99), Ipv4(98)}};
    const PeerId peer = 1;
    rib.add_peer(peer);
    rib.peer_up(peer, internal_peer(1, Ipv4(99)));
    const std::pair<const char*, Rejection> cases[] = {
        {"ff00::/8", Rejection::NoUnicast},  {"ff02::1/128", Rejection::NoUnicast},
        {"fe80::/10", Rejection::NoUnicast}, {"fe80::1/128", Rejection::NoUnicast},
        {"::1/128", Rejection::NoUnicast},   {"::/128", Rejection::NoUnicast},
        {"::/0", Rejection::None},           {"fe00::/7", Rejection::None},
        {"fec0::/10", Rejection::None},      {"fd00::/8", Rejection::None},
    };
    for (const auto& [text, expected] : cases) {
        const Prefix6 prefix = IpPrefix::parse(text)->v6();
        rib.learn(peer, prefix, attributes(11));
        const EntryId id = rib.table().find(prefix);
        ASSERT_NE(id, kNoEntry) << text;
        EXPECT_EQ(rib.table().at(id).paths.all()[0].rejected, expected) << text;
    }
}

// RFC 2545 section 2.
TEST_F(RibTest, link_local_next_hop_counts_on_a_link_that_we_share_only)
{
    Attributes hop;
    hop.next_hop = Ipv6::parse("fe80::9").value();
    rib.learn(kA, net, test_pool().intern(hop));
    settle();
    EXPECT_EQ(find(net)->paths.all()[0].rejected, Rejection::NoInterface);
    PeerTraits on_link = internal_peer(1, Ipv4(99));
    on_link.interface = 7;
    rib.peer_up(kA, on_link);
    rib.learn(kA, net, test_pool().intern(hop));
    settle();
    EXPECT_EQ(find(net)->paths.all()[0].rejected, Rejection::None);
}

TEST_F(RibTest, dropped_peer_loses_its_routes_within_the_budget_of_each_turn)
{
    for (std::uint32_t i = 0; i < 100; ++i)
        rib.learn(kA, Prefix4{Ipv4(i << 8), 24}, attributes(11));
    settle();
    rib.drop(kA);
    rib.work(10);
    EXPECT_LE(rib.changed().size(), 10u);
    EXPECT_EQ(rib.count(kA), 90u);
    settle();
    EXPECT_EQ(rib.table().size(), 0u);
}

TEST_F(RibTest, sweep_misses_nothing_where_the_table_grows_meanwhile)
{
    rib.learn(kA, net, attributes(11));
    rib.drop(kB); // that sweep ends at the table's end, where the next one begins
    settle();
    rib.drop(kA);
    rib.learn(kB, other, attributes(22));
    EXPECT_THAT(settle(), UnorderedElementsAre(net, other));
    EXPECT_EQ(rib.count(kA), 0u);
}

TEST_F(RibTest, sweep_of_several_paths_an_entry_stays_within_the_budget)
{
    for (std::uint32_t i = 0; i < 100; ++i)
        for (const PeerId peer : {kA, kB})
            rib.learn(peer, Prefix4{Ipv4(i << 8), 24}, attributes(11));
    settle();
    rib.drop(kA);
    rib.drop(kB);
    rib.work(11);
    EXPECT_LE(rib.changed().size(), 11u);
    settle();
    EXPECT_EQ(rib.table().size(), 0u);
}

TEST_F(RibTest, kept_route_is_judged_by_what_its_peer_is_after_a_restart)
{
    rib.learn(kA, net, attributes(77));
    settle();
    rib.mark_stale(kA);
    rib.peer_up(kA, internal_peer(1, Ipv4(77))); // by another address of ours
    rib.learn(kA, net, attributes(77));
    settle();
    ASSERT_NE(find(net), nullptr);
    EXPECT_EQ(find(net)->paths.all()[0].rejected, Rejection::OwnNextHop);
}

TEST_F(RibTest, stale_routes_stay_in_use_until_swept_and_fresh_ones_survive)
{
    rib.learn(kA, net, attributes(11));
    rib.learn(kA, other, attributes(11));
    settle();
    rib.mark_stale(kA);
    EXPECT_THAT(settle(), IsEmpty()) << "stale is not gone";
    EXPECT_TRUE(rib.is_stale(find(net)->paths.all()[0]));
    rib.learn(kA, net, attributes(11));
    EXPECT_FALSE(rib.is_stale(find(net)->paths.all()[0]));
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
    EXPECT_EQ(find(net), nullptr);
    EXPECT_THAT(next_hops(other), ElementsAre(11));
}

TEST_F(RibTest, what_is_marked_once_more_waits_with_what_was_stale_before)
{
    rib.learn(kA, net, attributes(11));
    EXPECT_TRUE(rib.mark_stale_too(kA));
    rib.learn(kA, other, attributes(11));
    EXPECT_TRUE(rib.mark_stale_too(kA));
    settle();
    EXPECT_TRUE(rib.is_stale(find(net)->paths.all()[0]));
    EXPECT_TRUE(rib.is_stale(find(other)->paths.all()[0]));
    rib.learn(kA, net, attributes(11));
    rib.sweep(kA);
    settle();
    EXPECT_THAT(next_hops(net), ElementsAre(11));
    EXPECT_EQ(find(other), nullptr);
}

// Generations are numbers that go round.
TEST_F(RibTest, marks_without_end_do_not_make_a_stale_route_fresh)
{
    rib.learn(kA, net, attributes(11));
    int marks = 0;
    for (int i = 0; i < 256; ++i) {
        marks += rib.mark_stale_too(kA) ? 1 : 0;
        ASSERT_TRUE(rib.is_stale(find(net)->paths.all()[0])) << "after " << marks;
    }
    EXPECT_GT(marks, 10) << "few are heard";
    rib.sweep(kA);
    EXPECT_FALSE(rib.mark_stale_too(kA)) << "the table is not swept yet";
    settle();
    EXPECT_EQ(find(net), nullptr);
    EXPECT_TRUE(rib.mark_stale_too(kA));
}

TEST_F(RibTest, marks_are_not_used_up_by_refreshes_of_nothing)
{
    for (int i = 0; i < 300; ++i) {
        ASSERT_TRUE(rib.mark_stale_too(kA)) << i;
        rib.sweep(kA);
        settle();
    }
}

TEST_F(RibTest, new_import_policy_is_applied_to_what_was_received_before)
{
    rib.learn(kA, net, attributes(11));
    rib.learn(kB, net, attributes(22));
    settle();
    rib.set_import_policy([this](PeerId peer, const Prefix4&, const AttributesPtr& in) {
        return peer == kA ? AttributesPtr() : in;
    });
    EXPECT_THAT(settle(), ElementsAre(net));
    EXPECT_THAT(next_hops(net), ElementsAre(22));
    rib.set_import_policy({});
    settle();
    EXPECT_THAT(next_hops(net), ElementsAre(11, 22));
}

TEST_F(RibTest, new_policy_is_applied_in_portions_and_each_has_a_whole_walk)
{
    const auto prefix_of = [](std::uint32_t i) { return Prefix4{Ipv4(0x0b000000 + (i << 8)), 24}; };
    const auto accepted = [&] {
        std::size_t count = 0;
        for (std::uint32_t i = 0; i < 100; ++i)
            count += find(prefix_of(i))->paths.all()[0].accepted != nullptr;
        return count;
    };
    for (std::uint32_t i = 0; i < 100; ++i)
        rib.learn(i % 2 ? kA : kB, prefix_of(i), attributes(11));
    settle();
    rib.set_import_policy([&](PeerId peer, const Prefix4&, const AttributesPtr& in) {
        return peer == kA ? AttributesPtr() : in;
    });
    rib.work(10);
    EXPECT_GT(accepted(), 50u);
    rib.set_import_policy(
        [&](PeerId, const Prefix4&, const AttributesPtr&) { return AttributesPtr(); });
    rib.work(10);
    rib.set_import_policy([&](PeerId peer, const Prefix4&, const AttributesPtr& in) {
        return peer == kB ? AttributesPtr() : in;
    });
    settle();
    EXPECT_EQ(accepted(), 50u);
    EXPECT_THAT(next_hops(prefix_of(1)), ElementsAre(11));
    EXPECT_THAT(next_hops(prefix_of(2)), IsEmpty());
}

// RFC 4271 9.1.2.
struct RibOfNextHops : RibTest {
    std::set<Ip> watched;
    std::set<Ip> lost;
    NextHops hops{[this](const Ip& hop) {
                      EXPECT_TRUE(watched.insert(hop).second);
                      return !lost.contains(hop);
                  },
                  [this](const Ip& hop) { EXPECT_EQ(watched.erase(hop), 1u); }};

    void SetUp() override
    {
        rib = Rib<Prefix4>(rib.config(), &hops);
        add_peer(rib);
        add_peer(rib);
        RibTest::SetUp();
    }
    void set(std::uint32_t hop, bool reachable)
    {
        EXPECT_TRUE(hops.set(Ipv4(hop), reachable));
        rib.next_hops_changed();
    }
};

TEST_F(RibOfNextHops, path_whose_next_hop_nothing_leads_to_is_no_candidate)
{
    lost = {Ip(Ipv4(11))};
    rib.learn(kA, net, attributes(11, 200));
    settle();
    EXPECT_THAT(next_hops(net), IsEmpty());
    EXPECT_EQ(find(net)->paths.all()[0].rejected, Rejection::NoWay);
    rib.learn(kB, net, attributes(22));
    settle();
    EXPECT_THAT(next_hops(net), ElementsAre(22));
}

TEST_F(RibOfNextHops, all_paths_with_a_next_hop_follow_what_is_known_of_it)
{
    rib.learn(kA, net, attributes(11, 200));
    rib.learn(kA, other, attributes(11));
    rib.learn(kB, net, attributes(22));
    settle();
    set(11, false);
    EXPECT_THAT(settle(), UnorderedElementsAre(net, other));
    ASSERT_EQ(hops.lost().size(), 1u);
    EXPECT_EQ(hops.lost()[0].hop, Ip(Ipv4(11)));
    EXPECT_EQ(hops.lost()[0].paths, 2u);
    EXPECT_THAT(next_hops(net), ElementsAre(22));
    EXPECT_THAT(next_hops(other), IsEmpty());
    EXPECT_THAT(settle(), IsEmpty()) << "nothing is left to be done";
    set(11, true);
    EXPECT_THAT(settle(), UnorderedElementsAre(net, other));
    EXPECT_THAT(next_hops(net), ElementsAre(11));
    EXPECT_THAT(next_hops(other), ElementsAre(11));
    EXPECT_FALSE(hops.set(Ipv4(11), true)) << "that is no news";
    EXPECT_FALSE(hops.set(Ipv4(33), false)) << "nobody has that one";
}

TEST_F(RibOfNextHops, what_is_lost_while_a_walk_is_under_way_has_a_whole_walk_of_its_own)
{
    std::vector<Prefix4> prefixes;
    for (std::uint32_t i = 0; i < 100; ++i)
        prefixes.push_back(Prefix4{Ipv4(0x0b000000 + (i << 8)), 24});
    for (const Prefix4& p : prefixes) {
        rib.learn(kA, p, attributes(11));
        rib.learn(kB, p, attributes(22, 50));
    }
    settle();
    set(11, false);
    rib.work(2); // some of them
    set(22, false);
    settle();
    for (const Prefix4& p : prefixes)
        ASSERT_THAT(next_hops(p), IsEmpty()) << p.str();
}

TEST_F(RibOfNextHops, next_hop_is_watched_as_long_as_a_path_has_it)
{
    rib.announce(net, attributes(33));
    rib.learn(kA, net, attributes(11));
    rib.learn(kB, other, attributes(11));
    rib.learn(kB, net, attributes(22));
    EXPECT_THAT(watched, UnorderedElementsAre(Ip(Ipv4(11)), Ip(Ipv4(22)))) << "not our own";
    rib.learn(kB, net, attributes(44));
    EXPECT_THAT(watched, UnorderedElementsAre(Ip(Ipv4(11)), Ip(Ipv4(44))));
    rib.withdraw(kA, {net});
    EXPECT_THAT(watched, UnorderedElementsAre(Ip(Ipv4(11)), Ip(Ipv4(44))));
    rib.drop(kB);
    settle();
    EXPECT_THAT(watched, IsEmpty());
}

// It may have told a link-local one beside it (RFC 2545).
TEST(RibOfIpv6, ipv6_next_hop_of_a_peer_on_our_link_is_one)
{
    NextHops hops{[](const Ip&) { return false; }, [](const Ip&) {}};
    Rib<Prefix6> rib{RibConfig{Asn{64512}, Ipv4(99), Ipv4(98)}, &hops};
    const Prefix6 net = *Prefix6::parse("2001:db8:1::/48");
    Attributes attributes;
    attributes.next_hop = *Ip::parse("2001:db8::9");
    for (const std::uint32_t interface : {0u, 7u}) {
        const PeerId peer = add_peer(rib);
        PeerTraits traits = internal_peer(peer, Ipv4(99));
        traits.interface = interface;
        rib.peer_up(peer, traits);
        rib.learn(peer, {net}, test_pool().intern(attributes));
    }
    const auto paths = rib.table().at(rib.table().find(net)).paths.all();
    EXPECT_EQ(paths[0].rejected, Rejection::NoWay);
    EXPECT_EQ(paths[1].rejected, Rejection::None);
}

TEST(NextHopsOfOthers, link_local_one_is_not_asked_for_and_more_than_the_limit_are_reachable)
{
    std::size_t asked = 0;
    std::size_t let_go = 0;
    {
        NextHops hops{[&](const Ip&) { return ++asked == 0; }, [&](const Ip&) { ++let_go; }};
        const Ip near = *Ip::parse("fe80::1");
        hops.acquire(near);
        EXPECT_TRUE(hops.is_reachable(near));
        for (std::uint32_t i = 0; i <= kMostWatchedHops; ++i)
            hops.acquire(Ipv4(i));
        EXPECT_EQ(asked, kMostWatchedHops);
        EXPECT_FALSE(hops.is_reachable(Ipv4(0)));
        EXPECT_TRUE(hops.is_reachable(Ipv4(kMostWatchedHops)));
        hops.release(Ipv4(kMostWatchedHops));
        EXPECT_EQ(let_go, 0u);
    }
    EXPECT_EQ(let_go, kMostWatchedHops) << "nobody watches for who is gone";
}

TEST_F(RibTest, removed_peer_is_forgotten)
{
    rib.learn(kA, net, attributes(11));
    rib.remove(kA);
    settle();
    EXPECT_FALSE(rib.knows(kA));
    EXPECT_EQ(find(net), nullptr);
}

} // namespace
} // namespace margay::bgp
