// SPDX-License-Identifier: Apache-2.0
// The one stream that a group of peers gets.
#include "bgp/rib/update_group.h"
#include "support/addresses.h"
#include "support/bgp/codec.h"
#include "support/bgp/peers.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

namespace margay::bgp {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Gt;
using ::testing::IsEmpty;
using ::testing::Lt;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

struct Group : ::testing::Test {
    Rib<Prefix4> rib{RibConfig{kOwnAs, Ipv4(99), Ipv4(99)}};
    std::vector<PeerId> sources;
    std::set<PeerId> full; // no room
    struct Heard {
        std::map<Nlri<Prefix4>, Attributes> routes;
        std::size_t announcements = 0, withdrawals = 0, messages = 0, said = 0;
    };
    std::map<PeerId, Heard> heard;
    WireSession session; // of all members

    PeerId add(bool internal, bool client = false, bool add_path = false)
    {
        const PeerId peer = add_peer(rib);
        PeerTraits traits = internal_peer(peer, kOwnAddress);
        traits.internal = internal;
        traits.client = client;
        traits.add_path = add_path;
        rib.peer_up(peer, traits);
        return peer;
    }
    static Prefix4 net(std::uint32_t number)
    {
        return Prefix4{Ipv4(0x0a000000 + (number << 8)), 24};
    }
    void learn(PeerId peer, std::uint32_t number, std::uint32_t value = 1, PathId path = 0)
    {
        Attributes a;
        a.next_hop = Ipv4(0x0b000000 + value);
        a.as_path = AsPath({{PathSegment::Type::Sequence, {Asn{65001}}}});
        rib.learn(peer, {net(number), path}, test_pool().intern(a));
    }
    void decide()
    {
        while (rib.has_work())
            rib.work(1000);
        rib.forget_changed();
    }
    bool has_told_all(const UpdateGroup<Prefix4>& group, PeerId peer) const
    {
        return !rib.has_work() && group.has_told(peer, rib.table().last_change());
    }
    bool fill(UpdateGroup<Prefix4>& group, std::size_t budget = 1000)
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
    std::size_t hear(Heard& h, const Frame& frame) const
    {
        const auto update = std::get<Update>(decode_update(frame.body, session));
        for (const Nlri<Prefix4>& nlri : update.ipv4.withdrawn) {
            h.routes.erase(nlri);
            ++h.withdrawals;
        }
        for (const Reach<Prefix4>& reach : update.ipv4.announced)
            for (const Nlri<Prefix4>& nlri : reach.prefixes) {
                h.routes[nlri] = reach.attributes->decode();
                ++h.announcements;
            }
        return frame.size;
    }
    void settle(UpdateGroup<Prefix4>& group)
    {
        decide();
        while (fill(group)) {
        }
    }
};

TEST_F(Group, prefixes_with_equal_attributes_share_one_update_and_all_members_get_it)
{
    const PeerId source = add(false), a = add(true), b = add(true);
    UpdateGroup<Prefix4> group(rib, internal_view(), {});
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
    UpdateGroup<Prefix4> group(rib, view, {});
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
    UpdateGroup<Prefix4> group(rib, internal_view(), {});
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
    UpdateGroup<Prefix4> group(rib, internal_view(), {});
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
    UpdateGroup<Prefix4> group(rib, internal_view(), {});
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
    UpdateGroup<Prefix4> group(rib, internal_view(), {});
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
    UpdateGroup<Prefix4> group(rib, internal_view(), [&](const Prefix4& prefix, const Path& path) {
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
    UpdateGroup<Prefix4> group(rib, internal_view(), {});
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

// The entry has moved on, so that the member meets the others before it comes there.
TEST_F(Group, member_that_missed_a_withdrawal_hears_it_though_the_route_is_its_own_by_then)
{
    const PeerId source = add(false), slow = add(true, true), fast = add(true, true);
    ExportView view = internal_view();
    view.client = true;
    UpdateGroup<Prefix4> group(rib, view, {});
    group.join(slow);
    group.join(fast);
    learn(source, 1);
    settle(group);
    ASSERT_EQ(heard[slow].routes.size(), 1u);
    full = {slow};
    rib.withdraw(source, net(1));
    settle(group);
    EXPECT_THAT(heard[fast].routes, IsEmpty());
    learn(slow, 1, 2);
    decide();
    full.clear();
    settle(group);
    EXPECT_THAT(heard[slow].routes, IsEmpty());
    EXPECT_EQ(heard[fast].routes.size(), 1u);
}

// A peer changes its mind faster than decisions are made; its paths are never the best.
TEST_F(Group, entries_that_are_never_decided_for_long_are_told_all_the_same)
{
    const PeerId source = add(false), restless = add(false), a = add(true);
    UpdateGroup<Prefix4> group(rib, internal_view(), {});
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
    UpdateGroup<Prefix4> group(rib, internal_view(), {});
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
    UpdateGroup<Prefix4> group(rib, internal_view(), {});
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
    UpdateGroup<Prefix4> group(rib, internal_view(), {});
    group.join(a);
    for (std::uint32_t i = 0; i < 10; ++i)
        learn(source, i);
    decide();
    EXPECT_TRUE(fill(group, 4));
    EXPECT_EQ(heard[a].routes.size(), 4u);
    EXPECT_FALSE(fill(group, 6));
    EXPECT_EQ(heard[a].routes.size(), 10u);
}

TEST_F(Group, members_that_come_at_once_take_turns_and_each_hears_everything_once)
{
    const PeerId source = add(false);
    UpdateGroup<Prefix4> group(rib, internal_view(), {});
    group.join(add(true));
    for (std::uint32_t i = 0; i < 400; ++i)
        learn(source, i);
    settle(group);
    heard.clear();
    std::vector<PeerId> fresh;
    for (int i = 0; i < 300; ++i)
        group.join(fresh.emplace_back(add(true)));
    EXPECT_TRUE(fill(group));
    EXPECT_THAT(heard, SizeIs(AllOf(Gt(10u), Lt(200u))));
    while (fill(group)) {
    }
    for (const PeerId peer : fresh) {
        EXPECT_EQ(heard[peer].routes.size(), 400u);
        EXPECT_EQ(heard[peer].announcements, 400u);
    }
}

TEST_F(Group, route_too_large_for_a_message_replaces_the_older_one_by_nothing)
{
    const PeerId source = add(false), a = add(true);
    UpdateGroup<Prefix4> group(rib, internal_view(), {});
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

// ---- All paths (RFC 7911) ----

struct AllPaths : Group {
    AllPaths()
    {
        view.client = true;
        view.encoding.add_path = true;
        session.ipv4.add_path_in = true;
    }
    std::set<Ip> next_hops(PeerId peer, std::uint32_t number) const
    {
        std::set<Ip> hops;
        for (const auto& [nlri, attributes] : heard.at(peer).routes)
            if (nlri.prefix == net(number))
                hops.insert(attributes.next_hop);
        return hops;
    }
    static Ip hop(std::uint32_t value) { return Ip(Ipv4(0x0b000000 + value)); }

    ExportView view = internal_view();
};

TEST_F(AllPaths, all_are_told_and_each_is_withdrawn_by_itself)
{
    const PeerId x = add(false), y = add(true, true), a = add(true, true);
    UpdateGroup<Prefix4> group(rib, view, {});
    group.join(a);
    learn(x, 1, 1);
    learn(y, 1, 2);
    settle(group);
    EXPECT_THAT(next_hops(a, 1), UnorderedElementsAre(hop(1), hop(2)));
    EXPECT_EQ(group.advertised(a), 2u);
    learn(x, 1, 3); // one changes: the other is not told again
    const std::size_t before = heard[a].announcements;
    settle(group);
    EXPECT_EQ(heard[a].announcements, before + 1);
    rib.withdraw(y, net(1));
    settle(group);
    EXPECT_THAT(next_hops(a, 1), UnorderedElementsAre(hop(3)));
    EXPECT_EQ(heard[a].withdrawals, 1u);
    EXPECT_EQ(group.advertised(a), 1u);
}

TEST_F(AllPaths, paths_of_one_peer_keep_apart_and_nobody_hears_his_own)
{
    const PeerId x = add(true, true, true), y = add(true, true, true), a = add(true, true);
    UpdateGroup<Prefix4> group(rib, view, {});
    group.join(a);
    group.join(x);
    learn(x, 1, 1, 7);
    learn(x, 1, 2, 8);
    learn(y, 1, 3, 7); // the same number, another's
    settle(group);
    EXPECT_THAT(next_hops(a, 1), UnorderedElementsAre(hop(1), hop(2), hop(3)));
    EXPECT_THAT(next_hops(x, 1), UnorderedElementsAre(hop(3)));
    rib.withdraw(x, {net(1), 7});
    settle(group);
    EXPECT_THAT(next_hops(a, 1), UnorderedElementsAre(hop(2), hop(3)));
    EXPECT_EQ(rib.count(x), 1u);
}

TEST_F(AllPaths, slow_member_is_told_later_of_a_path_that_went)
{
    const PeerId x = add(false), y = add(false), slow = add(true), fast = add(true);
    UpdateGroup<Prefix4> group(rib, view, {});
    group.join(slow);
    group.join(fast);
    learn(x, 1, 1);
    learn(y, 1, 2);
    settle(group);
    full = {slow};
    rib.withdraw(x, net(1));
    settle(group);
    EXPECT_THAT(next_hops(fast, 1), UnorderedElementsAre(hop(2)));
    learn(y, 1, 3);
    settle(group);
    full.clear();
    settle(group);
    EXPECT_THAT(next_hops(slow, 1), UnorderedElementsAre(hop(3)));
}

// RFC 4456: what it is reflected with is of its source, which may come back as somebody else.
TEST_F(AllPaths, same_route_of_a_peer_with_another_identifier_is_told_again)
{
    const PeerId x = add(true, true), a = add(true, true);
    UpdateGroup<Prefix4> group(rib, view, {});
    group.join(a);
    learn(x, 1, 1);
    settle(group);
    PeerTraits other = rib.traits(x);
    other.identifier = Ipv4(77);
    rib.peer_up(x, other);
    learn(x, 1, 1);
    settle(group);
    EXPECT_EQ(heard[a].routes.begin()->second.originator_id, Ipv4(77));
}

// One that is told the best alone is left in peace by what others hear of.
TEST_F(AllPaths, path_that_is_not_the_best_is_no_news_for_who_hears_the_best)
{
    const PeerId x = add(false), y = add(false), a = add(true);
    UpdateGroup<Prefix4> all(rib, view, {});
    session = {};
    UpdateGroup<Prefix4> best(rib, internal_view(), {});
    best.join(a);
    learn(x, 1, 1);
    learn(x, 2, 1);
    settle(best);
    settle(all); // whoever has not passed the best yet must not miss it
    ASSERT_EQ(heard[a].announcements, 2u);
    learn(y, 1, 2); // the higher identifier loses
    settle(best);
    EXPECT_EQ(heard[a].announcements, 2u);
    best.refresh(a);
    settle(best);
    EXPECT_EQ(heard[a].announcements, 4u) << "but all is told to who asks";
}

// Whatever the order of events, in the end everybody knows what it would be told today.
struct Mode {
    bool add_path = false; // what members hear
    bool others_hear_all = false; // of the table
};
// Two groups with different policies, between which members move.
class Chaos : public Group, public ::testing::WithParamInterface<Mode> {
protected:
    static constexpr std::size_t kGroups = 2;

    std::uint32_t number(std::uint32_t below)
    {
        return static_cast<std::uint32_t>(random() % below);
    }
    bool passes(std::size_t group, const Prefix4& prefix) const
    {
        return group == 0 ? open || prefix.addr.value() % 512 == 0 : prefix.addr.value() % 768 != 0;
    }
    void begin();
    void step();
    void move(PeerId peer);
    void check(PeerId peer, int round);

    std::mt19937 random{11};
    std::unique_ptr<UpdateGroup<Prefix4>> groups[kGroups];
    std::vector<PeerId> peers;
    std::map<PeerId, std::size_t> in; // which group
    bool open = true;
};

void Chaos::begin()
{
    heard.clear();
    full.clear();
    peers.clear();
    in.clear();
    open = true;
    for (auto& group : groups)
        group.reset();
    Rib<Prefix4> fresh{RibConfig{kOwnAs, Ipv4(99), Ipv4(99)}};
    std::swap(rib, fresh);
    if (GetParam().others_hear_all)
        rib.want_all_paths(true);
    ExportView view = internal_view();
    view.client = true;
    view.encoding.add_path = GetParam().add_path;
    for (std::size_t i = 0; i < kGroups; ++i)
        groups[i] = std::make_unique<UpdateGroup<Prefix4>>(
            rib, view, [this, i](const Prefix4& prefix, const Path& path) {
                return passes(i, prefix) ? path.accepted : AttributesPtr();
            });
    for (int i = 0; i < 6; ++i)
        peers.push_back(add(true, true, i % 2 == 0));
}

void Chaos::step()
{
    const PeerId peer = peers[number(6)];
    const bool is_in = in.contains(peer);
    switch (number(13)) {
    case 0:
        if (is_in)
            break;
        heard[peer] = {};
        in[peer] = number(kGroups);
        return groups[in[peer]]->join(peer);
    case 1:
        if (is_in)
            groups[in[peer]]->leave(peer);
        in.erase(peer);
        break;
    case 2:
        if (is_in)
            groups[in[peer]]->refresh(peer);
        break;
    case 3:
        if (!full.erase(peer))
            full.insert(peer);
        break;
    case 4:
        open = !open;
        return groups[0]->policy_changed();
    case 5:
        rib.work(1 + number(5));
        return rib.forget_changed();
    case 6:
    case 7:
        return rib.withdraw(peer, {net(number(20)), number(3)});
    case 8:
        fill(*groups[number(kGroups)], 1 + number(4));
        break;
    case 9:
        if (is_in)
            move(peer);
        break;
    default:
        learn(peer, number(20), number(4), number(3));
    }
}

void Chaos::move(PeerId peer)
{
    UpdateGroup<Prefix4>& before = *groups[in[peer]];
    in[peer] = 1 - in[peer];
    groups[in[peer]]->join(peer, &before);
    before.leave(peer);
}

void Chaos::check(PeerId peer, int round)
{
    std::set<std::string> expected, known;
    const auto text = [](const Nlri<Prefix4>& nlri, const Ip& next_hop) {
        return nlri.prefix.str() + " path " + std::to_string(nlri.path) + " via " + next_hop.str();
    };
    for (EntryId id = 0; id < rib.table().end(); ++id) {
        const auto& entry = rib.table().at(id);
        for (const Path& path : entry.paths.all())
            if ((GetParam().add_path || path.best) && path.peer != peer &&
                passes(in[peer], entry.prefix))
                expected.insert(text({entry.prefix, GetParam().add_path ? path.id : 0},
                                     path.accepted->next_hop));
    }
    for (const auto& [nlri, attributes] : heard[peer].routes)
        known.insert(text(nlri, attributes.next_hop));
    std::vector<std::string> missing, stale;
    std::ranges::set_difference(expected, known, std::back_inserter(missing));
    std::ranges::set_difference(known, expected, std::back_inserter(stale));
    EXPECT_THAT(missing, IsEmpty()) << "round " << round << " peer " << peer;
    EXPECT_THAT(stale, IsEmpty()) << "round " << round << " peer " << peer;
    EXPECT_EQ(groups[in[peer]]->advertised(peer), expected.size());
}

TEST_P(Chaos, ends_with_everybody_knowing_what_there_is)
{
    session.ipv4.add_path_in = GetParam().add_path;
    for (int round = 0; round < 150; ++round) {
        random.seed(static_cast<std::uint32_t>(round)); // any of them can be run by itself
        begin();
        for (int i = 0; i < 600; ++i)
            step();
        full.clear();
        for (const auto& group : groups)
            settle(*group);
        for (const auto& [peer, group] : in)
            check(peer, round);
    }
}

INSTANTIATE_TEST_SUITE_P(Modes, Chaos,
                         ::testing::Values(Mode{false, false}, Mode{false, true},
                                           Mode{true, false}));

} // namespace
} // namespace margay::bgp
