// SPDX-License-Identifier: Apache-2.0
// The table of prefixes, its change list, and the pool of attributes.
#include "bgp/rib/route_table.h"
#include "support/addresses.h"
#include "support/bgp/codec.h"

#include <gmock/gmock.h>

#include <map>
#include <random>

namespace margay::bgp {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using Table = RouteTable<Prefix4>;

AttributesPtr some_attributes()
{
    Attributes a;
    a.next_hop = Ipv4(0x0a000001);
    return test_pool().intern(a);
}

EntryId changed(Table& table, const Prefix4& prefix)
{
    const EntryId id = table.find_or_add(prefix);
    if (table.at(id).paths.empty())
        table.at(id).paths.add(1, 1).received = some_attributes();
    table.note_change(id);
    return id;
}

std::vector<std::string> walk(Table& table, Table::CursorId cursor)
{
    std::vector<std::string> passed;
    for (EntryId id = table.advance(cursor); id != kNoEntry; id = table.advance(cursor))
        passed.push_back(table.at(id).prefix.str());
    return passed;
}

TEST(RouteTable, cursors_pass_each_entry_once_for_its_last_change)
{
    Table table;
    const auto first = table.add_cursor();
    changed(table, prefix("10.0.0.0/8"));
    changed(table, prefix("11.0.0.0/8"));
    changed(table, prefix("10.0.0.0/8"));
    EXPECT_THAT(walk(table, first), ElementsAre("11.0.0.0/8", "10.0.0.0/8"));
    const auto second = table.add_cursor();
    EXPECT_THAT(walk(table, second), ElementsAre("11.0.0.0/8", "10.0.0.0/8"));
    changed(table, prefix("11.0.0.0/8"));
    EXPECT_THAT(walk(table, first), ElementsAre("11.0.0.0/8"));
    EXPECT_FALSE(table.same_place(first, second));
    EXPECT_THAT(walk(table, second), ElementsAre("11.0.0.0/8"));
    EXPECT_TRUE(table.same_place(first, second));
    table.rewind(first);
    EXPECT_THAT(walk(table, first), ElementsAre("10.0.0.0/8", "11.0.0.0/8"));
}

TEST(RouteTable, cursor_that_stands_before_an_entry_that_moves_is_not_taken_along)
{
    Table table;
    const auto cursor = table.add_cursor();
    changed(table, prefix("10.0.0.0/8"));
    changed(table, prefix("11.0.0.0/8"));
    const auto behind = table.add_cursor_at(cursor);
    changed(table, prefix("10.0.0.0/8"));
    EXPECT_THAT(walk(table, cursor), ElementsAre("11.0.0.0/8", "10.0.0.0/8"));
    table.remove_cursor(cursor);
    EXPECT_THAT(walk(table, behind), ElementsAre("11.0.0.0/8", "10.0.0.0/8"));
}

TEST(RouteTable, entry_without_paths_stays_until_the_last_cursor_has_passed_it)
{
    Table table;
    const auto fast = table.add_cursor(), slow = table.add_cursor();
    const EntryId id = changed(table, prefix("10.0.0.0/8"));
    walk(table, fast);
    walk(table, slow);
    table.at(id).paths.remove(table.at(id).paths.all()[0]);
    table.note_change(id);
    table.let_go(id);
    walk(table, fast);
    table.bury(1000);
    EXPECT_EQ(table.find(prefix("10.0.0.0/8")), id);
    walk(table, slow);
    table.bury(1000);
    EXPECT_EQ(table.find(prefix("10.0.0.0/8")), kNoEntry);
    EXPECT_EQ(table.size(), 0u);
}

TEST(RouteTable, entry_that_comes_back_before_it_was_passed_is_not_buried)
{
    Table table;
    const auto cursor = table.add_cursor();
    const EntryId id = changed(table, prefix("10.0.0.0/8"));
    table.at(id).paths.remove(table.at(id).paths.all()[0]);
    table.note_change(id);
    table.let_go(id);
    changed(table, prefix("10.0.0.0/8"));
    EXPECT_THAT(walk(table, cursor), ElementsAre("10.0.0.0/8"));
    table.bury(1000);
    EXPECT_EQ(table.find(prefix("10.0.0.0/8")), id);
}

TEST(RouteTable, index_finds_what_a_map_finds_through_growth_and_removal)
{
    Table table;
    std::map<Prefix4, EntryId> model;
    std::mt19937 random(5);
    for (int i = 0; i < 200'000; ++i) {
        const auto bits = static_cast<std::uint32_t>(random());
        const Prefix4 prefix =
            Prefix4{Ipv4(bits & 0x0007ff00), static_cast<std::uint8_t>(20 + (bits >> 28) % 5)}
                .network();
        if (bits & 0x00800000) {
            const EntryId id = table.find_or_add(prefix);
            const auto [at, fresh] = model.try_emplace(prefix, id);
            ASSERT_EQ(at->second, id);
        } else if (const auto at = model.find(prefix); at != model.end()) {
            ASSERT_EQ(table.find(prefix), at->second);
            table.let_go(at->second);
            model.erase(at);
        } else {
            ASSERT_EQ(table.find(prefix), kNoEntry);
        }
    }
    EXPECT_EQ(table.size(), model.size());
    for (const auto& [prefix, id] : model)
        ASSERT_EQ(table.find(prefix), id);
}

// ---- Paths ----

TEST(Paths, one_is_kept_in_place_and_more_are_found_by_their_number)
{
    Paths paths;
    EXPECT_TRUE(paths.empty());
    for (PeerId peer = 1; peer <= 4; ++peer) {
        paths.add(10u + peer, peer).received = some_attributes();
    }
    EXPECT_EQ(paths.all().size(), 4u);
    for (const PathId id : {12u, 14u, 11u}) {
        ASSERT_NE(paths.find(id), nullptr);
        paths.remove(*paths.find(id));
        EXPECT_EQ(paths.find(id), nullptr);
    }
    ASSERT_EQ(paths.all().size(), 1u);
    EXPECT_EQ(paths.all()[0].peer, 3);
    paths.remove(*paths.find(13));
    EXPECT_TRUE(paths.empty());
}

TEST(Paths, thousands_are_found_and_counted_while_any_of_them_come_and_go)
{
    Paths paths;
    std::map<PathId, PeerId> model;
    std::minstd_rand random(1);
    const auto check = [&] {
        ASSERT_EQ(paths.all().size(), model.size());
        for (PeerId peer = 0; peer < 3; ++peer)
            ASSERT_EQ(paths.count_of(peer),
                      std::ranges::count(model, peer, &std::pair<const PathId, PeerId>::second));
        for (PathId id = 0; id < 4000; ++id) {
            const Path* path = paths.find(id);
            ASSERT_EQ(path != nullptr, model.contains(id)) << id;
            if (path) {
                ASSERT_EQ(path->id, id);
                ASSERT_EQ(path->peer, model[id]);
            }
        }
    };
    for (const int likely : {90, 50, 10, 90, 0}) { // up, and down to none
        for (int i = 0; i < 20000; ++i) {
            const PathId id = static_cast<PathId>(random() % 4000);
            const bool adds = static_cast<int>(random() % 100) < likely;
            Path* path = paths.find(id);
            if (adds && !path) {
                const auto peer = static_cast<PeerId>(random() % 3);
                paths.add(id, peer).received = some_attributes();
                model[id] = peer;
            } else if (!adds && path) {
                paths.remove(*path);
                model.erase(id);
            }
        }
        check();
    }
    while (!paths.empty()) {
        model.erase(paths.all().front().id);
        paths.remove(paths.all().front());
    }
    check();
}

// ---- The pool ----

TEST(AttributePool, equal_attributes_are_one_set_and_go_with_their_last_owner)
{
    AttributePool pool;
    Attributes a;
    a.next_hop = Ipv4(1);
    a.communities = {1, 2, 3};
    {
        const AttributesPtr first = pool.intern(a), second = pool.intern(a);
        EXPECT_EQ(first, second);
        EXPECT_EQ(pool.size(), 1u);
        a.next_hop = Ipv4(2);
        EXPECT_NE(pool.intern(a), first) << "the next hop counts, too";
        EXPECT_EQ(pool.size(), 1u);
    }
    EXPECT_EQ(pool.size(), 0u);
}

TEST(AttributePool, finds_what_a_map_finds_through_growth_and_removal)
{
    AttributePool pool;
    std::map<std::uint32_t, AttributesPtr> model;
    std::mt19937 random(5);
    for (int i = 0; i < 20'000; ++i) {
        const auto med = static_cast<std::uint32_t>(random() % 3000);
        Attributes a;
        a.med = med;
        if (random() % 2 == 0) {
            const AttributesPtr set = pool.intern(a);
            const auto [at, fresh] = model.try_emplace(med, set);
            ASSERT_EQ(at->second, set);
            ASSERT_EQ(set->med, med);
        } else {
            model.erase(med);
        }
        ASSERT_EQ(pool.size(), model.size());
    }
    model.clear();
    EXPECT_EQ(pool.size(), 0u);
}

// Whatever order they came in.
TEST(AttributePool, order_and_length_of_the_encoding_make_no_difference)
{
    const Bytes origin{0x40, 1, 1, 0}, path{0x40, 2, 0}, wide_med{0x90, 4, 0, 4, 0, 0, 0, 7};
    const Bytes med{0x80, 4, 4, 0, 0, 0, 7};
    AttributeList one, other;
    Bytes bytes;
    for (const Bytes* part : {&origin, &path, &med})
        bytes.insert(bytes.end(), part->begin(), part->end());
    check_attributes(bytes, WireSession{}, one);
    bytes.clear();
    for (const Bytes* part : {&wide_med, &path, &origin})
        bytes.insert(bytes.end(), part->begin(), part->end());
    check_attributes(bytes, WireSession{}, other);
    EXPECT_EQ(one.octets, other.octets);
    EXPECT_EQ(test_pool().intern(one.summary, one.octets),
              test_pool().intern(other.summary, other.octets));
}

} // namespace
} // namespace margay::bgp
