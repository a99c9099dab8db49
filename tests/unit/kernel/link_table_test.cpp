// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/links.h"

#include <gmock/gmock.h>

namespace margay::kernel {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using What = LinkChange::What;

Link link(IfIndex ifindex, const char* name)
{
    Link made;
    made.ifindex = ifindex;
    made.name = name;
    return made;
}

Address address(IfIndex ifindex, const char* text)
{
    return {ifindex, *Prefix4::parse(text), 0, false};
}

std::vector<std::pair<What, IfIndex>> changes(LinkTable& table)
{
    std::vector<std::pair<What, IfIndex>> list;
    for (const LinkChange& change : table.take_changes())
        list.emplace_back(change.what, change.link.ifindex);
    return list;
}

using C = std::pair<What, IfIndex>;

TEST(LinkTableTest, interface_appears_changes_and_vanishes)
{
    LinkTable table;
    table.set(link(5, "cali1"));
    EXPECT_THAT(changes(table), ElementsAre(C{What::Appeared, 5}));
    table.set(link(5, "cali2"));
    const auto renamed = table.take_changes();
    ASSERT_EQ(renamed.size(), 1u);
    EXPECT_EQ(renamed[0].what, What::Changed);
    EXPECT_EQ(renamed[0].before->name, "cali1");
    EXPECT_EQ(renamed[0].link.name, "cali2");
    table.remove(5);
    EXPECT_THAT(changes(table), ElementsAre(C{What::Vanished, 5}));
}

TEST(LinkTableTest, same_name_with_a_new_index_is_vanished_then_appeared)
{
    LinkTable table;
    table.set(link(9, "cali1"));
    (void)table.take_changes();
    table.remove(9);
    table.set(link(5, "cali1"));
    EXPECT_THAT(changes(table), ElementsAre(C{What::Vanished, 9}, C{What::Appeared, 5}));
}

TEST(LinkTableTest, same_index_deleted_and_made_again_in_one_turn_is_a_replacement)
{
    LinkTable table;
    table.set(link(5, "cali1"));
    (void)table.take_changes();
    table.remove(5);
    table.set(link(5, "cali1"));
    EXPECT_THAT(changes(table), ElementsAre(C{What::Vanished, 5}, C{What::Appeared, 5}));
}

TEST(LinkTableTest, interface_that_came_and_went_is_not_mentioned)
{
    LinkTable table;
    table.set(link(5, "cali1"));
    table.remove(5);
    EXPECT_THAT(changes(table), IsEmpty());
}

TEST(LinkTableTest, repeated_news_is_no_change)
{
    LinkTable table;
    table.set(link(5, "cali1"));
    table.set(address(5, "10.0.0.1/24"));
    (void)table.take_changes();
    table.set(link(5, "cali1"));
    table.set(address(5, "10.0.0.1/24"));
    EXPECT_THAT(changes(table), IsEmpty());
}

TEST(LinkTableTest, address_events_change_the_interface_and_the_owner)
{
    LinkTable table;
    table.set(link(2, "eth0"));
    (void)table.take_changes();
    table.set(address(2, "192.0.2.7/24"));
    EXPECT_THAT(changes(table), ElementsAre(C{What::AddressesChanged, 2}));
    ASSERT_NE(table.owner(*Ipv4::parse("192.0.2.7")), nullptr);
    table.remove(address(2, "192.0.2.7/24"));
    EXPECT_THAT(changes(table), ElementsAre(C{What::AddressesChanged, 2}));
    EXPECT_EQ(table.owner(*Ipv4::parse("192.0.2.7")), nullptr);
}

TEST(LinkTableTest, dump_tells_what_events_were_missed)
{
    LinkTable table;
    table.set(link(2, "eth0"));
    table.set(link(5, "cali1"));
    (void)table.take_changes();
    table.replace({link(2, "eth0"), link(6, "cali2")}, {address(2, "192.0.2.7/24")});
    EXPECT_THAT(changes(table), ElementsAre(C{What::Vanished, 5}, C{What::AddressesChanged, 2},
                                            C{What::Appeared, 6}));
}

} // namespace
} // namespace margay::kernel
