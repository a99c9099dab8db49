// SPDX-License-Identifier: Apache-2.0
#include "support/addresses.h"
#include "world.h"

namespace margay::ipam {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Fate = margay::testing::FakeKv::Fate;

struct AssignTest : ::testing::Test {
    World world;
    NodeOf n1{world, "n1"};
    NodeOf n2{world, "n2"};

    void TearDown() override { world.check(); }
};

TEST_F(AssignTest, first_address_claims_a_block_and_the_next_comes_from_it)
{
    world.pool("p", "10.0.0.0/24", 28);

    const auto first = n1.take(1, "a");
    const auto second = n1.take(1, "b");
    ASSERT_THAT(first->addresses, SizeIs(1));
    ASSERT_THAT(second->addresses, SizeIs(1));
    EXPECT_EQ(second->addresses[0].value(), first->addresses[0].value() + 1);
    EXPECT_THAT(world.blocks(), SizeIs(1));
    EXPECT_EQ(*n1.ipam.holder(first->addresses[0])->handle, "a");
}

TEST_F(AssignTest, full_pool_borrows_from_another_nodes_block)
{
    world.pool("p", "10.0.0.0/30", 30);
    ASSERT_TRUE(n2.take(1, "theirs"));

    const auto borrowed = n1.take(1, "ours");
    ASSERT_THAT(borrowed->addresses, SizeIs(1));
    EXPECT_EQ(world.blocks().at(0).affinity, "host:n2");
    EXPECT_THAT(n1.take(5, "more")->addresses, SizeIs(2));
    EXPECT_EQ(n1.take(1, "none")->shortfall.error().code, Errc::Full);
}

TEST_F(AssignTest, strict_affinity_does_not_borrow)
{
    world.pool("p", "10.0.0.0/30", 30);
    world.config(R"({"strict_affinity":true,"auto_allocate_blocks":true})");
    ASSERT_TRUE(n2.take(1, "theirs"));

    EXPECT_THAT(n1.take(1, "ours")->addresses, IsEmpty());
}

TEST_F(AssignTest, only_the_ipam_key_counts_and_its_absent_fields_are_false)
{
    world.pool("p", "10.0.0.0/30", 30);
    world.table->write("/calico/resources/v3/projectcalico.org/ipamconfigurations/default",
                       R"({"kind":"IPAMConfiguration","metadata":{"name":"default"},)"
                       R"("spec":{"strictAffinity":true}})");
    ASSERT_TRUE(n2.take(1, "theirs"));
    EXPECT_THAT(n1.take(1, "ours")->addresses, SizeIs(1)) << "borrowing still happens";

    world.pool("q", "10.1.0.0/24", 28);
    world.config(R"({"strict_affinity":true})");
    NodeOf n3{world, "n3"};
    const auto none = n3.take(1, "x");
    EXPECT_THAT(none->addresses, IsEmpty());
    EXPECT_THAT(none->shortfall.error().what, HasSubstr("auto_allocate_blocks is false"));
}

TEST_F(AssignTest, block_limit_ends_the_search_without_borrowing)
{
    world.pool("p", "10.0.0.0/29", 30);
    world.config(R"({"auto_allocate_blocks":true,"maxBlocksPerHost":1})");
    ASSERT_TRUE(n2.take(1, "theirs"));

    const auto some = n1.take(6, "ours");
    EXPECT_THAT(some->addresses, SizeIs(4));
    EXPECT_THAT(some->shortfall.error().what, HasSubstr("the limit is 1"));
}

TEST_F(AssignTest, twenty_blocks_are_the_limit_by_default)
{
    world.pool("p", "10.0.0.0/24", 32);
    EXPECT_THAT(n1.take(30, "h")->addresses, SizeIs(20));
}

TEST_F(AssignTest, empty_block_of_another_node_is_taken_over_after_a_minute)
{
    world.pool("p", "10.0.0.0/30", 30);
    world.config(R"({"strict_affinity":true,"auto_allocate_blocks":true})");
    ASSERT_TRUE(*n2.ipam.claim(*Prefix4::parse("10.0.0.0/30")));

    EXPECT_THAT(n1.take(1, "h")->addresses, IsEmpty()) << "it was claimed just now";
    world.clock.wall_time += std::chrono::seconds(61);
    EXPECT_THAT(n1.take(1, "h")->addresses, SizeIs(1));
    EXPECT_EQ(world.blocks().at(0).affinity, "host:n1");
    EXPECT_EQ(world.count(affinity_prefix("n2")), 0u);
}

TEST_F(AssignTest, pool_made_again_with_another_block_size_never_overlaps)
{
    world.pool("p", "10.0.0.0/26", 28);
    ASSERT_THAT(n1.take(1, "old")->addresses, SizeIs(1));
    world.remove_pool("p");
    world.pool("p", "10.0.0.0/26", 27);

    for (int i = 0; i < 8; i++) {
        NodeOf node{world, "m" + std::to_string(i)};
        ASSERT_TRUE(node.take(20, "h" + std::to_string(i)));
        world.check();
    }
    EXPECT_EQ(world.blocks().size(), 2u) << "one old /28 and the /27 beside it";
    ASSERT_TRUE(*n1.ipam.release_by_handle("old"));
}

TEST_F(AssignTest, reserved_addresses_are_never_given)
{
    world.pool("p", "10.0.0.0/29", 29);
    world.table->write("/calico/resources/v3/projectcalico.org/ipreservations/r",
                       R"({"spec":{"reservedCIDRs":["10.0.0.0/30","fd00::/64"]}})");

    const auto given = n1.take(8, "h");
    EXPECT_THAT(given->addresses,
                ElementsAre(ip("10.0.0.4"), ip("10.0.0.5"), ip("10.0.0.6"), ip("10.0.0.7")));
}

TEST_F(AssignTest, unreadable_reservation_stops_assignment)
{
    world.pool("p", "10.0.0.0/29", 29);
    world.table->write("/calico/resources/v3/projectcalico.org/ipreservations/r",
                       R"({"spec":{"reservedCIDRs":["x"]}})");
    EXPECT_FALSE(n1.take(1, "h"));
}

TEST_F(AssignTest, unreadable_block_is_skipped_named_and_not_overlapped)
{
    world.pool("p", "10.0.0.0/29", 30);
    world.table->write(affinity_key("n1", *Prefix4::parse("10.0.0.0/30")), "");
    world.table->write(block_key(*Prefix4::parse("10.0.0.0/30")), "rubbish");

    const auto given = n1.take(1, "h");
    ASSERT_TRUE(given);
    ASSERT_THAT(given->addresses, SizeIs(1));
    EXPECT_TRUE(Prefix4::parse("10.0.0.4/30")->contains(given->addresses[0]));
    EXPECT_THAT(n1.ipam.take_repairs(), ::testing::Contains(HasSubstr("10.0.0.0/30")));
    world.table->erase(block_key(*Prefix4::parse("10.0.0.0/30")));
    world.table->erase(affinity_key("n1", *Prefix4::parse("10.0.0.0/30")));
}

TEST_F(AssignTest, empty_block_outside_every_pool_is_given_back)
{
    world.pool("old", "10.0.0.0/28", 28);
    ASSERT_TRUE(n1.take(1, "h"));
    ASSERT_TRUE(*n1.ipam.release_by_handle("h"));
    world.remove_pool("old");
    world.pool("new", "10.1.0.0/28", 28);

    ASSERT_TRUE(n1.take(1, "h"));
    ASSERT_THAT(world.blocks(), SizeIs(1));
    EXPECT_EQ(world.blocks()[0].cidr.str(), "10.1.0.0/28");
}

TEST_F(AssignTest, conflicting_writers_get_different_addresses)
{
    world.pool("p", "10.0.0.0/28", 28);
    ASSERT_TRUE(n1.take(1, "a"));
    std::vector<Ipv4> theirs;
    n1.kv.before_write = [&](const auto& write) {
        if (write.op == "update" && write.key.starts_with(kBlockPrefix) && theirs.empty())
            theirs = n2.take(1, "b")->addresses;
        return Fate::Normal;
    };
    const auto ours = n1.take(1, "c");

    ASSERT_THAT(ours->addresses, SizeIs(1));
    ASSERT_THAT(theirs, SizeIs(1));
    EXPECT_NE(ours->addresses[0], theirs[0]);
    EXPECT_EQ(
        decode_handle(world.table->entries.at(handle_key("c")).value, "c")->blocks.begin()->second,
        1u)
        << "the lost attempt was taken back";
}

TEST_F(AssignTest, named_address_claims_its_block_and_is_given_once)
{
    world.pool("p", "10.0.0.0/24", 28);
    ASSERT_TRUE(n1.ipam.assign(ip("10.0.0.17"), {"h", {}}, Use::Workload));
    EXPECT_EQ(world.blocks().at(0).cidr.str(), "10.0.0.16/28");

    EXPECT_EQ(n2.ipam.assign(ip("10.0.0.17"), {"i", {}}, Use::Workload).error().code, Errc::Exists);
    EXPECT_TRUE(n2.ipam.assign(ip("10.0.0.18"), {"i", {}}, Use::Workload));
    EXPECT_EQ(n1.ipam.assign(ip("10.1.0.1"), {"h", {}}, Use::Workload).error().code, Errc::Invalid);
    world.config(R"({"strict_affinity":true})");
    EXPECT_EQ(n2.ipam.assign(ip("10.0.0.19"), {"i", {}}, Use::Workload).error().code, Errc::Denied);
}

TEST_F(AssignTest, release_by_handle_tolerates_over_count_missing_block_and_missing_handle)
{
    world.pool("p", "10.0.0.0/28", 28);
    ASSERT_TRUE(n1.take(1, "h"));
    const std::string cidr = world.blocks().at(0).cidr.str();
    world.table->write(handle_key("h"), R"({"block":{")" + cidr +
                                            R"(":7,"10.9.0.0/26":2,"nonsense":1,"10.9.0.64/26":0},)"
                                            R"("deleted":false})");

    ASSERT_TRUE(*n1.ipam.release_by_handle("h"));
    EXPECT_EQ(world.in_use(), 0u);
    EXPECT_FALSE(world.table->entries.contains(handle_key("h")));
    EXPECT_FALSE(*n1.ipam.release_by_handle("h"));
}

TEST_F(AssignTest, release_finds_the_block_after_its_pool_is_gone)
{
    world.pool("p", "10.0.0.0/28", 28);
    const auto given = n1.take(2, "h");
    world.remove_pool("p");

    EXPECT_THAT(*n2.ipam.release({{given->addresses[0], "h"}, {ip("10.7.7.7")}}),
                ElementsAre(ip("10.7.7.7")));
    EXPECT_EQ(world.in_use(), 1u);
    const auto wrong = n2.ipam.release({{given->addresses[1], "other"}});
    EXPECT_EQ(wrong.error().code, Errc::Conflict);
}

TEST_F(AssignTest, cooldown_of_the_configuration_delays_the_next_use)
{
    world.pool("p", "10.0.0.0/31", 31);
    world.config(R"({"auto_allocate_blocks":true,"ipCooldownSeconds":30})");
    ASSERT_THAT(n1.take(2, "h")->addresses, SizeIs(2));
    ASSERT_TRUE(*n1.ipam.release_by_handle("h"));

    EXPECT_THAT(n1.take(1, "i")->addresses, IsEmpty());
    world.clock.wall_time += std::chrono::seconds(31);
    EXPECT_THAT(n1.take(1, "i")->addresses, SizeIs(1));
}

} // namespace
} // namespace margay::ipam
