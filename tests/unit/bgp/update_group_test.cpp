// SPDX-License-Identifier: Apache-2.0
// What peers are told: the rules of export, and the one stream that a group of peers gets.
#include "bgp/rib/update_group.h"
#include "support/addresses.h"
#include "support/bgp/codec.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

namespace margay::bgp {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr Asn kOwnAs{64512};
const Ipv4 kOwnAddress(0x0a000001);

ExportView internal_view()
{
    ExportView view;
    view.local_as = kOwnAs;
    view.local_address = kOwnAddress;
    view.cluster_id = Ipv4(99);
    return view;
}

ExportView external_view()
{
    ExportView view = internal_view();
    view.internal = false;
    return view;
}

AttributesPtr learned(void (*change)(Attributes&) = nullptr)
{
    Attributes a;
    a.next_hop = Ipv4(0x0a000009);
    a.as_path = AsPath({{PathSegment::Type::Sequence, {Asn{65001}}}});
    a.local_pref = 300;
    a.med = 5;
    if (change)
        change(a);
    return test_pool().intern(a);
}

// ---- Export ----

struct Source {
    PeerId peer = 3;
    bool internal = false;
    bool client = false;
};
constexpr Source kFromOutside{};
constexpr Source kFromInside{3, true, false};
constexpr Source kFromClient{3, true, true};
constexpr Source kFromUs{kOurselves, true, false};

// What a peer with this view decodes; nothing if the route is not for it.
std::optional<Attributes> told(const AttributesPtr& attributes, const Source& source,
                               const ExportView& view)
{
    Path best;
    best.peer = source.peer;
    best.received = best.accepted = attributes;
    PeerTraits from;
    from.internal = source.internal;
    from.client = source.client;
    from.identifier = Ipv4(33);
    if (!may_pass(best, from, view))
        return std::nullopt;
    Bytes octets;
    write_attributes(attributes->octets(), *attributes,
                     rewrite_for(*attributes, source.peer, from, view), octets);
    AttributeList list;
    check_attributes(octets, WireSession{view.internal, view.four_octet_as}, list);
    EXPECT_THAT(list.faults, IsEmpty());
    EXPECT_TRUE(list.has_origin && list.has_as_path && list.has_next_hop);
    return decode_canonical(list.octets, list.summary.next_hop);
}

TEST(Export, own_route_goes_to_internal_peers_with_own_next_hop_and_preference)
{
    Attributes own;
    own.local_pref = 2147482623;
    const auto out = told(test_pool().intern(own), kFromUs, internal_view());
    ASSERT_TRUE(out);
    EXPECT_EQ(out->next_hop, Ip(kOwnAddress));
    EXPECT_EQ(out->local_pref, 2147482623u);
    EXPECT_EQ(out->as_path.length(), 0u);
}

TEST(Export, internal_route_is_not_for_internal_peers)
{
    EXPECT_FALSE(told(learned(), kFromInside, internal_view()));
    EXPECT_TRUE(told(learned(), kFromInside, external_view()));
}

TEST(Export, external_route_goes_to_internal_peers_as_it_is)
{
    EXPECT_EQ(told(learned(), kFromOutside, internal_view()), learned()->decode());
}

TEST(Export, internal_peer_is_told_a_local_preference_in_any_case)
{
    const auto without = learned([](Attributes& a) { a.local_pref.reset(); });
    EXPECT_EQ(told(without, kFromOutside, internal_view())->local_pref, 100u);
}

TEST(Export, external_peer_gets_our_as_our_next_hop_and_nothing_internal)
{
    const auto reflected = learned([](Attributes& a) {
        a.originator_id = Ipv4(1);
        a.cluster_list = {Ipv4(2)};
        a.others = {{0x80, 98, {1}}, {0xc0, 99, {1}}};
    });
    const auto out = told(reflected, kFromInside, external_view());
    ASSERT_TRUE(out);
    EXPECT_EQ(out->as_path.str(), "64512 65001");
    EXPECT_EQ(out->next_hop, Ip(kOwnAddress));
    EXPECT_FALSE(out->local_pref);
    EXPECT_FALSE(out->med);
    EXPECT_FALSE(out->originator_id);
    EXPECT_THAT(out->cluster_list, IsEmpty());
    EXPECT_THAT(out->others, ElementsAre(RawAttribute{0xe0, 99, {1}})) << "partial: unknown to us";
}

TEST(Export, own_as_goes_into_a_new_segment_when_the_first_is_full_or_a_set)
{
    const auto full = learned([](Attributes& a) {
        a.as_path = AsPath({{PathSegment::Type::Sequence, std::vector<Asn>(255, Asn{1})}});
    });
    EXPECT_EQ(told(full, kFromOutside, external_view())->as_path.segments().size(), 2u);
    const auto set = learned(
        [](Attributes& a) { a.as_path = AsPath({{PathSegment::Type::Set, {Asn{1}, Asn{3}}}}); });
    EXPECT_EQ(told(set, kFromOutside, external_view())->as_path.str(), "64512 {1 3}");
    const auto empty = learned([](Attributes& a) { a.as_path = {}; });
    EXPECT_EQ(told(empty, kFromInside, external_view())->as_path.str(), "64512");
}

TEST(Export, nothing_is_announced_with_a_next_hop_of_nowhere)
{
    ExportView over_ipv6 = internal_view();
    over_ipv6.local_address = Ipv4();
    EXPECT_FALSE(told(learned(), kFromUs, over_ipv6));
    EXPECT_TRUE(told(learned(), kFromOutside, over_ipv6)) << "its next hop is unchanged";
    over_ipv6.internal = false;
    EXPECT_FALSE(told(learned(), kFromOutside, over_ipv6));
}

TEST(Export, well_known_communities_hold_routes_back)
{
    const auto no_export = learned([](Attributes& a) { a.communities = {7, kNoExport}; });
    const auto no_advertise = learned([](Attributes& a) { a.communities = {kNoAdvertise}; });
    EXPECT_FALSE(told(no_export, kFromOutside, external_view()));
    EXPECT_TRUE(told(no_export, kFromOutside, internal_view()));
    EXPECT_FALSE(told(no_advertise, kFromOutside, internal_view()));
}

// RFC 4456 section 6.
TEST(Export, reflector_passes_clients_on_to_all_and_others_to_clients)
{
    ExportView client = internal_view();
    client.client = true;
    EXPECT_TRUE(told(learned(), kFromClient, internal_view()));
    EXPECT_TRUE(told(learned(), kFromClient, client));
    EXPECT_TRUE(told(learned(), kFromInside, client));
    EXPECT_FALSE(told(learned(), kFromInside, internal_view()));
}

// RFC 4456 section 8.
TEST(Export, reflected_route_says_who_began_it_and_through_which_clusters_it_came)
{
    const auto first = told(learned(), kFromClient, internal_view());
    ASSERT_TRUE(first);
    EXPECT_EQ(first->originator_id, Ipv4(33));
    EXPECT_THAT(first->cluster_list, ElementsAre(Ipv4(99)));
    EXPECT_EQ(first->next_hop, learned()->next_hop);
    const auto further = learned([](Attributes& a) {
        a.originator_id = Ipv4(1);
        a.cluster_list = {Ipv4(2)};
    });
    const auto second = told(further, kFromClient, internal_view());
    EXPECT_EQ(second->originator_id, Ipv4(1));
    EXPECT_THAT(second->cluster_list, ElementsAre(Ipv4(99), Ipv4(2)));
}

// ---- The group ----

struct Group : ::testing::Test {
    Rib rib{RibConfig{kOwnAs, Ipv4(99), Ipv4(99)}};
    std::vector<PeerId> sources;
    std::set<PeerId> full; // no room
    struct Heard {
        std::map<Prefix4, Attributes> routes;
        std::size_t announcements = 0, withdrawals = 0, messages = 0, said = 0;
    };
    std::map<PeerId, Heard> heard;

    PeerId add(bool internal, bool client = false)
    {
        const PeerId peer = *rib.add_peer();
        PeerTraits traits;
        traits.address = Ip(Ipv4(peer));
        traits.identifier = Ipv4(peer);
        traits.internal = internal;
        traits.client = client;
        traits.local_address = kOwnAddress;
        rib.peer_up(peer, traits);
        return peer;
    }
    static Prefix4 net(std::uint32_t number)
    {
        return Prefix4{Ipv4(0x0a000000 + (number << 8)), 24};
    }
    void learn(PeerId peer, std::uint32_t number, std::uint32_t value = 1)
    {
        Attributes a;
        a.next_hop = Ipv4(0x0b000000 + value);
        a.as_path = AsPath({{PathSegment::Type::Sequence, {Asn{65001}}}});
        rib.learn(peer, net(number), test_pool().intern(a));
    }
    void decide()
    {
        while (rib.has_work())
            rib.work(1000);
        rib.forget_changed();
    }
    bool has_told_all(const UpdateGroup& group, PeerId peer) const
    {
        return !rib.has_work() && group.has_told(peer, rib.table().last_change());
    }
    bool fill(UpdateGroup& group, std::size_t budget = 1000)
    {
        return group.fill([this](PeerId peer) { return !full.contains(peer); },
                          [this](PeerId peer, std::span<const ByteView> pieces,
                                 std::size_t messages) { deliver(peer, pieces, messages); },
                          budget);
    }
    void deliver(PeerId peer, std::span<const ByteView> pieces, std::size_t messages)
    {
        EXPECT_FALSE(full.contains(peer));
        Heard& h = heard[peer];
        h.said += messages;
        for (const ByteView piece : pieces)
            for (ByteView rest = piece; !rest.empty(); ++h.messages)
                rest = rest.subspan(hear(h, std::get<Frame>(next_frame(rest))));
    }
    static std::size_t hear(Heard& h, const Frame& frame)
    {
        const auto update = std::get<Update>(decode_update(frame.body, WireSession{}));
        for (const Prefix4& prefix : update.withdrawn) {
            h.routes.erase(prefix);
            ++h.withdrawals;
        }
        for (const Reach& reach : update.announced)
            for (const Prefix4& prefix : reach.prefixes) {
                h.routes[prefix] = reach.attributes->decode();
                ++h.announcements;
            }
        return frame.size;
    }
    void settle(UpdateGroup& group)
    {
        decide();
        while (fill(group)) {
        }
    }
};

TEST_F(Group, prefixes_with_equal_attributes_share_one_update_and_all_members_get_it)
{
    const PeerId source = add(false), a = add(true), b = add(true);
    UpdateGroup group(rib, internal_view(), {});
    group.join(a);
    group.join(b);
    for (std::uint32_t i = 0; i < 10; ++i)
        learn(source, i);
    settle(group);
    for (const PeerId peer : {a, b}) {
        EXPECT_EQ(heard[peer].messages, 1u);
        EXPECT_EQ(heard[peer].said, 1u);
        EXPECT_EQ(heard[peer].routes.size(), 10u);
        EXPECT_EQ(group.advertised(peer), 10u);
        EXPECT_TRUE(has_told_all(group, peer));
    }
}

TEST_F(Group, nobody_is_told_what_he_told_us)
{
    const PeerId a = add(true, true), b = add(true, true);
    ExportView view = internal_view();
    view.client = true;
    UpdateGroup group(rib, view, {});
    group.join(a);
    group.join(b);
    learn(a, 1);
    learn(b, 2);
    settle(group);
    EXPECT_EQ(heard[a].announcements, 1u);
    EXPECT_TRUE(heard[a].routes.contains(net(2)));
    EXPECT_EQ(heard[b].announcements, 1u);
    EXPECT_EQ(group.advertised(a), 1u);

    learn(a, 2, 0); // better by its lower router id
    settle(group);
    EXPECT_THAT(heard[a].routes, IsEmpty()) << "its own is the best now";
    EXPECT_EQ(heard[a].withdrawals, 1u);
    EXPECT_EQ(heard[b].routes.size(), 2u);
}

TEST_F(Group, only_what_was_told_is_withdrawn)
{
    const PeerId source = add(false), a = add(true);
    UpdateGroup group(rib, internal_view(), {});
    group.join(a);
    learn(source, 1);
    settle(group);
    learn(source, 2);
    rib.withdraw(source, net(1));
    rib.withdraw(source, net(2));
    settle(group);
    EXPECT_EQ(heard[a].withdrawals, 1u);
    EXPECT_THAT(heard[a].routes, IsEmpty());
    EXPECT_EQ(group.advertised(a), 0u);
    decide();
    EXPECT_EQ(rib.table().size(), 0u);
}

TEST_F(Group, slow_member_hears_what_counts_when_it_has_room_and_delays_nobody)
{
    const PeerId source = add(false), fast = add(true), slow = add(true);
    UpdateGroup group(rib, internal_view(), {});
    group.join(fast);
    group.join(slow);
    learn(source, 99);
    settle(group);
    full = {slow};
    for (std::uint32_t value = 1; value <= 5; ++value) {
        learn(source, 1, value);
        settle(group);
    }
    rib.withdraw(source, net(99));
    settle(group);
    EXPECT_EQ(heard[fast].announcements, 6u);
    EXPECT_EQ(heard[slow].announcements, 1u);
    EXPECT_FALSE(has_told_all(group, slow));
    full.clear();
    settle(group);
    EXPECT_EQ(heard[slow].announcements, 2u) << "the changes in between are of no interest";
    EXPECT_EQ(heard[slow].routes, heard[fast].routes);
    EXPECT_TRUE(has_told_all(group, slow));
}

TEST_F(Group, late_joiner_gets_the_table_whatever_the_others_wait_for)
{
    const PeerId source = add(false), a = add(true), late = add(true);
    UpdateGroup group(rib, internal_view(), {});
    group.join(a);
    for (std::uint32_t i = 0; i < 100; ++i)
        learn(source, i);
    settle(group);
    full = {a};
    rib.withdraw(source, net(7));
    decide();
    group.join(late);
    for (int turn = 0; turn < 30; ++turn)
        fill(group, 10);
    EXPECT_EQ(heard[late].routes.size(), 99u);
    EXPECT_TRUE(has_told_all(group, late));
    full.clear();
    settle(group);
    EXPECT_EQ(heard[a].routes, heard[late].routes);
}

TEST_F(Group, refresh_tells_everything_again_to_who_asked)
{
    const PeerId source = add(false), a = add(true), b = add(true);
    UpdateGroup group(rib, internal_view(), {});
    group.join(a);
    group.join(b);
    learn(source, 1);
    learn(source, 2);
    learn(b, 3); // of an internal peer, so not for internal peers
    settle(group);
    group.refresh(a);
    EXPECT_FALSE(has_told_all(group, a));
    settle(group);
    EXPECT_EQ(heard[a].announcements, 4u);
    EXPECT_EQ(heard[b].announcements, 2u);
    EXPECT_EQ(heard[a].withdrawals, 0u);
}

TEST_F(Group, changed_policy_withdraws_what_it_no_longer_passes)
{
    const PeerId source = add(false), a = add(true);
    bool open = true;
    UpdateGroup group(rib, internal_view(), [&](const Prefix4& prefix, const Path& path) {
        return open || prefix == net(1) ? path.accepted : AttributesPtr();
    });
    group.join(a);
    learn(source, 1);
    learn(source, 2);
    settle(group);
    open = false;
    group.policy_changed();
    settle(group);
    EXPECT_THAT(heard[a].routes, ::testing::SizeIs(1));
    open = true;
    group.policy_changed();
    settle(group);
    EXPECT_THAT(heard[a].routes, ::testing::SizeIs(2));
}

TEST_F(Group, withdrawal_is_owed_to_who_is_behind_also_when_the_policy_changes_meanwhile)
{
    const PeerId source = add(false), fast = add(true), slow = add(true);
    UpdateGroup group(rib, internal_view(), {});
    group.join(fast);
    group.join(slow);
    learn(source, 1);
    settle(group);
    full = {slow};
    rib.withdraw(source, net(1));
    settle(group);
    EXPECT_EQ(heard[fast].withdrawals, 1u);
    group.policy_changed();
    full.clear();
    settle(group);
    EXPECT_THAT(heard[slow].routes, IsEmpty());
    EXPECT_TRUE(has_told_all(group, slow));
}

TEST_F(Group, member_that_comes_from_another_group_is_owed_what_this_one_does_not_pass)
{
    const PeerId source = add(false), a = add(true);
    UpdateGroup before(rib, internal_view(), {});
    before.join(a);
    learn(source, 1);
    learn(source, 2);
    settle(before);
    before.leave(a);
    UpdateGroup after(rib, internal_view(), [](const Prefix4& prefix, const Path& path) {
        return prefix == net(1) ? path.accepted : AttributesPtr();
    });
    after.join(a, true);
    settle(after);
    ASSERT_EQ(heard[a].routes.size(), 1u);
    EXPECT_TRUE(heard[a].routes.contains(net(1)));
    EXPECT_EQ(after.advertised(a), 1u);
}

// A peer changes its mind faster than decisions are made; its paths are never the best.
TEST_F(Group, entries_that_are_never_decided_for_long_are_told_all_the_same)
{
    const PeerId source = add(false), restless = add(false), a = add(true);
    UpdateGroup group(rib, internal_view(), {});
    for (std::uint32_t i = 0; i < 100; ++i)
        learn(source, i);
    decide();
    group.join(a);
    for (std::uint32_t turn = 0; turn < 20; ++turn) {
        for (std::uint32_t i = 0; i < 100; ++i)
            learn(restless, i, 2 + turn);
        rib.work(5);
        fill(group, 20);
        rib.forget_changed();
    }
    EXPECT_EQ(heard[a].routes.size(), 100u);
    for (const auto& [prefix, attributes] : heard[a].routes)
        EXPECT_EQ(attributes.next_hop, Ip(Ipv4(0x0b000001)));
}

TEST_F(Group, what_is_between_two_decisions_is_decided_before_it_is_told)
{
    const PeerId first = add(false), second = add(false), a = add(true);
    UpdateGroup group(rib, internal_view(), {});
    learn(first, 1);
    learn(second, 1, 2);
    decide();
    group.join(a);
    rib.withdraw(first, net(1));
    fill(group);
    ASSERT_TRUE(heard[a].routes.contains(net(1)));
    EXPECT_EQ(heard[a].routes.at(net(1)).next_hop, Ip(Ipv4(0x0b000002)));
}

// RFC 4271 9.2: what is told already is not told again.
TEST_F(Group, path_that_is_used_beside_the_best_is_no_news_for_peers)
{
    const PeerId first = add(false), second = add(false), a = add(true);
    UpdateGroup group(rib, internal_view(), {});
    group.join(a);
    learn(first, 1);
    settle(group);
    learn(second, 1, 2);
    while (rib.has_work())
        rib.work(1000);
    EXPECT_EQ(rib.changed().size(), 1u) << "who uses both has to know";
    settle(group);
    rib.withdraw(second, net(1));
    settle(group);
    EXPECT_EQ(heard[a].announcements, 1u);
}

TEST_F(Group, budget_bounds_a_turn_and_nothing_is_forgotten)
{
    const PeerId source = add(false), a = add(true);
    UpdateGroup group(rib, internal_view(), {});
    group.join(a);
    for (std::uint32_t i = 0; i < 10; ++i)
        learn(source, i);
    decide();
    EXPECT_TRUE(fill(group, 4));
    EXPECT_EQ(heard[a].routes.size(), 4u);
    EXPECT_FALSE(fill(group, 6));
    EXPECT_EQ(heard[a].routes.size(), 10u);
}

TEST_F(Group, route_too_large_for_a_message_replaces_the_older_one_by_nothing)
{
    const PeerId source = add(false), a = add(true);
    UpdateGroup group(rib, internal_view(), {});
    group.join(a);
    learn(source, 1);
    settle(group);
    Attributes huge;
    huge.next_hop = Ipv4(0x0b000001);
    huge.others.push_back({0xc0, 100, Bytes(4090, 1)});
    rib.learn(source, net(1), test_pool().intern(huge));
    settle(group);
    EXPECT_THAT(heard[a].routes, IsEmpty());
    EXPECT_EQ(group.advertised(a), 0u);
}

// Whatever the order of events, in the end everybody knows what it would be told today.
TEST_F(Group, any_history_leads_to_the_same_tables)
{
    std::mt19937 random(11);
    const auto number = [&](std::uint32_t below) {
        return static_cast<std::uint32_t>(random() % below);
    };
    for (int round = 0; round < 100; ++round) {
        heard.clear();
        full.clear();
        Rib fresh{RibConfig{kOwnAs, Ipv4(99), Ipv4(99)}};
        std::swap(rib, fresh);
        ExportView view = internal_view();
        view.client = true;
        bool open = true;
        UpdateGroup group(rib, view, [&](const Prefix4& prefix, const Path& path) {
            return open || prefix.addr.value() % 512 == 0 ? path.accepted : AttributesPtr();
        });
        std::vector<PeerId> peers;
        for (int i = 0; i < 6; ++i)
            peers.push_back(add(true, true));
        std::set<PeerId> in;
        for (int step = 0; step < 600; ++step) {
            const PeerId peer = peers[number(6)];
            switch (number(12)) {
            case 0:
                if (!in.insert(peer).second)
                    break;
                heard[peer] = {};
                group.join(peer);
                break;
            case 1:
                if (in.erase(peer) > 0)
                    group.leave(peer);
                break;
            case 2:
                if (in.contains(peer))
                    group.refresh(peer);
                break;
            case 3:
                if (!full.erase(peer))
                    full.insert(peer);
                break;
            case 4:
                open = !open;
                group.policy_changed();
                break;
            case 5:
                rib.work(1 + number(5));
                rib.forget_changed();
                break;
            case 6:
            case 7:
                rib.withdraw(peer, net(number(20)));
                break;
            case 8:
                fill(group, 1 + number(4));
                break;
            default:
                learn(peer, number(20), number(4));
            }
        }
        full.clear();
        settle(group);
        for (const PeerId peer : in) {
            std::set<Prefix4> expected;
            for (EntryId id = 0; id < rib.table().end(); ++id) {
                const auto& entry = rib.table().at(id);
                const Path* best = entry.paths.best();
                if (best && best->peer != peer && (open || entry.prefix.addr.value() % 512 == 0))
                    expected.insert(entry.prefix);
            }
            std::set<Prefix4> known;
            for (const auto& [prefix, attributes] : heard[peer].routes) {
                known.insert(prefix);
                const Path* best = rib.table().at(rib.table().find(prefix)).paths.best();
                ASSERT_TRUE(best);
                EXPECT_EQ(attributes.next_hop, best->accepted->next_hop) << "an older route";
            }
            EXPECT_EQ(known, expected) << "round " << round << " peer " << peer;
            EXPECT_EQ(group.advertised(peer), expected.size());
        }
    }
}

} // namespace
} // namespace margay::bgp
