// SPDX-License-Identifier: Apache-2.0
// Many nodes on one real etcd at the same moment. Each has a connection and a thread of its own,
// as the agents of different machines have.
#include "cluster.h"

#include <barrier>
#include <mutex>
#include <thread>

namespace margay {
namespace {

using ::testing::SizeIs;

// Runs `job(number)` for all numbers at once and waits for all.
void together(int count, const std::function<void(int)>& job)
{
    std::barrier begin(count);
    std::vector<std::jthread> threads;
    for (int i = 0; i < count; i++)
        threads.emplace_back([&, i] {
            begin.arrive_and_wait();
            job(i);
        });
}

std::string node_name(int number)
{
    return "n" + std::to_string(number);
}

TEST(Race, nodes_that_start_together_share_no_block_and_no_address)
{
    constexpr int kNodes = 12;
    testing::Etcd etcd;
    put_pool(etcd, "10.1.0.0/24", 28); // 16 blocks for 12 nodes
    std::mutex mutex;
    std::set<Ipv4> tunnels;
    together(kNodes, [&](int i) {
        const auto kv = connect(etcd);
        const auto state =
            startup::prepare(*kv, node_config(), node_name(i), surroundings(i + 1), kClock);
        const std::scoped_lock lock(mutex);
        ASSERT_TRUE(state) << state.error().what;
        EXPECT_EQ(state->conflict, "");
        EXPECT_TRUE(tunnels.insert(*state->tunnel_address).second) << "given twice";
    });

    const ipam::World world = snapshot(etcd);
    world.check();
    EXPECT_THAT(world.blocks(), SizeIs(kNodes));
    std::set<std::string> owners;
    for (const ipam::Block& block : world.blocks())
        EXPECT_TRUE(owners.insert(*block.affinity).second) << "two blocks of one node";
    EXPECT_EQ(world.count(startup::resource_key("tiers", "")), 3u);
    EXPECT_EQ(world.count(startup::resource_key("ippools", "")), 1u);
}

TEST(Race, scarce_addresses_are_held_by_one_at_a_time_and_all_come_back)
{
    constexpr int kNodes = 8;
    testing::Etcd etcd;
    put_pool(etcd, "10.1.0.0/29", 30); // 2 blocks, 8 addresses: borrowing and takeovers
    std::mutex mutex;
    std::set<Ipv4> held;
    int given = 0;
    together(kNodes, [&](int i) {
        const auto kv = connect(etcd);
        ipam::Ipam ipam(*kv, node_name(i), kClock);
        for (int round = 0; round < 25; round++) {
            const std::string handle = "h." + node_name(i) + "." + std::to_string(round);
            const auto assigned = ipam.auto_assign({.owner = {handle, {}}});
            ASSERT_TRUE(assigned) << assigned.error().what;
            {
                const std::scoped_lock lock(mutex);
                for (const Ipv4 address : assigned->addresses)
                    EXPECT_TRUE(held.insert(address).second) << address.str() << " given twice";
                given += static_cast<int>(assigned->addresses.size());
            }
            std::this_thread::yield(); // others may assign while it is held
            {
                const std::scoped_lock lock(mutex);
                for (const Ipv4 address : assigned->addresses)
                    held.erase(address); // before the release: afterwards it is not ours
            }
            const auto released = ipam.release_by_handle(handle);
            ASSERT_TRUE(released) << released.error().what;
        }
    });

    const ipam::World world = snapshot(etcd);
    world.check();
    EXPECT_GT(given, 25);
    EXPECT_EQ(world.in_use(), 0u);
    EXPECT_EQ(world.count("/calico/ipam/v2/handle/"), 0u);
}

TEST(Race, same_pool_with_other_block_sizes_never_overlaps)
{
    constexpr int kNodes = 8;
    testing::Etcd etcd;
    put_pool(etcd, "10.1.0.0/25", 28);
    together(kNodes, [&](int i) {
        const auto kv = connect(etcd);
        ipam::Ipam ipam(*kv, node_name(i), kClock);
        const Prefix4 whole = *Prefix4::parse("10.1.0.0/25");
        const int size = 26 + i % 3;
        ipam::BlockWalk walk(whole, size, "same start");
        const ipam::TakenRanges nothing({});
        while (const auto cidr = walk.next(nothing)) // claims whatever it can get, in one order
            ASSERT_TRUE(ipam.claim(*cidr));
    });
    snapshot(etcd).check();
}

} // namespace
} // namespace margay
