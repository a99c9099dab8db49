// SPDX-License-Identifier: Apache-2.0
// The indexes below calc, each against a plain model of what it must be.
#include <gmock/gmock.h>

#include <random>

#include "agent/calc/address_sets.h"
#include "support/addresses.h"

namespace margay::calc {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(ClassTable, a_longer_prefix_has_the_sets_of_every_prefix_around_it)
{
    ClassTable table;
    table.add(prefix("10.1.2.3/32"), 3);
    table.add(prefix("0.0.0.0/0"), 1);
    table.add(prefix("10.0.0.0/8"), 2);
    const auto first = table.take_changes();
    EXPECT_THAT(*first.at(prefix("0.0.0.0/0")), ElementsAre(1));
    EXPECT_THAT(*first.at(prefix("10.0.0.0/8")), ElementsAre(1, 2));
    EXPECT_THAT(*first.at(prefix("10.1.2.3/32")), ElementsAre(1, 2, 3));
    table.remove(prefix("10.0.0.0/8"), 2);
    const auto second = table.take_changes();
    EXPECT_EQ(second.size(), 2u);
    EXPECT_EQ(second.at(prefix("10.0.0.0/8")), std::nullopt);
    EXPECT_THAT(*second.at(prefix("10.1.2.3/32")), ElementsAre(1, 3));
}

TEST(ClassTable, members_are_counted)
{
    ClassTable table;
    table.add(prefix("10.0.0.1/32"), 5);
    table.add(prefix("10.0.0.1/32"), 5);
    (void)table.take_changes();
    table.remove(prefix("10.0.0.1/32"), 5);
    EXPECT_THAT(table.take_changes(), IsEmpty());
    table.remove(prefix("10.0.0.1/32"), 5);
    EXPECT_EQ(table.take_changes().at(prefix("10.0.0.1/32")), std::nullopt);
}

TEST(ClassTable, what_comes_and_goes_between_two_looks_was_never_there)
{
    ClassTable table;
    table.add(prefix("10.0.0.1/32"), 5);
    table.remove(prefix("10.0.0.1/32"), 5);
    EXPECT_THAT(table.take_changes(), IsEmpty());
}

TEST(ClassTable, random_changes_add_up_to_the_flattened_table)
{
    std::mt19937 random(1);
    const auto pick = [&random](std::uint32_t n) {
        return static_cast<std::uint32_t>(random() % n);
    };
    ClassTable table;
    std::multiset<std::pair<Prefix4, policy::SetId>> plain;
    std::map<Prefix4, std::vector<policy::SetId>> told;
    for (int round = 0; round < 400; ++round) {
        for (int i = 0; i < 8; ++i) {
            if (!plain.empty() && pick(2)) {
                const auto gone =
                    std::next(plain.begin(), pick(static_cast<std::uint32_t>(plain.size())));
                table.remove(gone->first, gone->second);
                plain.erase(gone);
            } else {
                const auto length = static_cast<std::uint8_t>(pick(33));
                const auto prefix =
                    Prefix4{Ipv4(pick(4) << 30 | pick(8) << 8 | pick(2)), length}.network();
                const policy::SetId set = pick(6);
                table.add(prefix, set);
                plain.emplace(prefix, set);
            }
        }
        for (auto& [prefix, sets] : table.take_changes())
            if (sets)
                told.insert_or_assign(prefix, *sets);
            else
                told.erase(prefix);
        std::map<Prefix4, std::vector<policy::SetId>> expected;
        for (const auto& [prefix, unused] : plain) {
            std::set<policy::SetId> sets;
            for (const auto& [around, set] : plain)
                if (around.contains(prefix))
                    sets.insert(set);
            expected.insert_or_assign(prefix, std::vector(sets.begin(), sets.end()));
        }
        ASSERT_EQ(told, expected) << "round " << round;
    }
}

TEST(LabelIndex, random_changes_agree_with_trying_everything)
{
    const char* const kSelectors[] = {"a == '0'",
                                      "a != '0'",
                                      "has(b)",
                                      "!has(b)",
                                      "a in {'0','1'}",
                                      "a == '1' && b == '0'",
                                      "all()",
                                      "b starts with '1'",
                                      "a == '0' || b == '1'",
                                      "a not in {'1'} && has(c)",
                                      "a == '0' && has(b) || a in {'0','2'} || has(c)",
                                      "has(b) || !has(c)"};
    std::mt19937 random(2);
    const auto pick = [&random](std::uint32_t n) {
        return static_cast<std::uint32_t>(random() % n);
    };
    std::set<std::pair<SelectorId, ItemId>> told;
    LabelIndex index([&told](SelectorId s, ItemId i, bool matches) {
        EXPECT_EQ(matches, told.emplace(s, i).second) << "told twice";
        if (!matches)
            told.erase({s, i});
    });
    std::map<ItemId, model::Labels> items;
    std::map<SelectorId, model::Selector> selectors;
    for (int round = 0; round < 3000; ++round) {
        const ItemId item = pick(12);
        const SelectorId id = pick(std::size(kSelectors));
        switch (pick(4)) {
        case 0:
        case 1: {
            model::Labels labels;
            for (const char* key : {"a", "b", "c"})
                if (pick(2))
                    labels.set(key, std::to_string(pick(3)));
            index.set_item(item, labels);
            items.insert_or_assign(item, labels);
            break;
        }
        case 2:
            index.remove_item(item);
            items.erase(item);
            break;
        default:
            if (selectors.erase(id)) {
                index.remove_selector(id);
                std::erase_if(told, [id](const auto& pair) { return pair.first == id; });
            } else {
                selectors.emplace(id, *model::Selector::parse(kSelectors[id]));
                index.add_selector(id, selectors.at(id));
            }
        }
        std::set<std::pair<SelectorId, ItemId>> expected;
        for (const auto& [s, selector] : selectors)
            for (const auto& [i, labels] : items)
                if (selector.matches(labels))
                    expected.emplace(s, i);
        ASSERT_EQ(told, expected) << "round " << round;
    }
}

TEST(AddressSets, every_number_is_given_back_once)
{
    std::multiset<std::string> held;
    SetIds ids{[&held, next = policy::SetId{0}](const std::string& name) mutable {
                   held.insert(name);
                   return std::optional(next++);
               },
               [&held](const std::string& name) {
                   ASSERT_TRUE(held.contains(name));
                   held.erase(held.find(name));
               }};
    AddressSets sets(ids, [](const PortName&) {});
    const auto web = *model::Selector::parse("role == 'web'");
    const PortName http{web, "http", 6};
    sets.set_item(1, {{"role", "web"}}, {{prefix("10.0.0.1/32")}, {{"http", 6, 80}}});
    (void)sets.acquire(web);
    (void)sets.acquire(web);
    sets.acquire(http);
    EXPECT_THAT(held,
                ElementsAre(R"j(port http/6=80 role == "web")j", R"j(selector role == "web")j"));
    sets.set_item(1, {{"role", "web"}}, {{prefix("10.0.0.1/32")}, {{"http", 6, 81}}});
    EXPECT_THAT(held,
                ElementsAre(R"j(port http/6=81 role == "web")j", R"j(selector role == "web")j"));
    sets.release(web);
    EXPECT_EQ(held.size(), 2u);
    sets.release(web);
    sets.release(http);
    sets.release_retired();
    EXPECT_EQ(held.size(), 2u) << "nobody has been told yet that they have no users";
    model::Changes changes;
    sets.take_changes(changes);
    sets.release_retired();
    EXPECT_THAT(held, IsEmpty());
    EXPECT_FALSE(sets.has_retired());
}

TEST(AddressSets, an_address_of_two_endpoints_stays_until_both_are_gone)
{
    AddressSets sets(counting_set_ids(), [](const PortName&) {});
    const auto web = *model::Selector::parse("role == 'web'");
    const model::Labels labels{{"role", "web"}};
    const auto id = *sets.acquire(web);
    sets.set_item(1, labels, {{prefix("10.0.0.1/32")}, {}});
    sets.set_item(2, labels, {{prefix("10.0.0.1/32")}, {}});
    model::Changes changes;
    sets.take_changes(changes);
    EXPECT_THAT(*changes.classes.at(prefix("10.0.0.1/32")), ElementsAre(id));
    sets.remove_item(1);
    sets.take_changes(changes);
    EXPECT_THAT(changes.classes, IsEmpty());
    sets.set_item(2, labels, {{prefix("10.0.0.2/32")}, {}});
    sets.take_changes(changes);
    EXPECT_EQ(changes.classes.size(), 2u);
    sets.release(web);
    sets.take_changes(changes);
    EXPECT_THAT(changes.classes, IsEmpty()) << "programs that are still in force ask for the set";
    sets.release_retired();
    sets.take_changes(changes);
    EXPECT_EQ(changes.classes.at(prefix("10.0.0.2/32")), std::nullopt);
    EXPECT_EQ(changes.sets.at(id), std::nullopt);
}

} // namespace
} // namespace margay::calc
