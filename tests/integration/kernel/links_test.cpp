// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/links.h"

#include <gmock/gmock.h>

#include "node.h"

namespace margay::kernel {
namespace {

using ::testing::Contains;
using ::testing::Pair;
using What = LinkChange::What;
using Told = std::vector<std::pair<What, std::string>>;

struct LinksTest : margay::testing::NodeTest {
    Told told;
    std::unique_ptr<LinkMonitor> monitor;

    void start(int receive_buffer = 0)
    {
        monitor = std::make_unique<LinkMonitor>(executor, [this](const auto& changes) {
            for (const LinkChange& change : changes)
                told.emplace_back(change.what, change.link.name);
        });
        monitor->set_receive_buffer(receive_buffer);
        ASSERT_TRUE(monitor->start());
    }
    bool tells(What what, const char* name)
    {
        return run([&] {
            return std::find(told.begin(), told.end(), std::pair(what, std::string(name))) !=
                   told.end();
        });
    }
};

TEST_F(LinksTest, present_interfaces_are_known_at_once_and_reported_in_the_next_turn)
{
    sh("ip link add cali1 mtu 1400 address 02:00:00:00:00:01 type veth peer name eth7");
    sh("ip addr add 10.1.2.3/24 dev cali1");
    start();

    const Link* link = monitor->table().find("cali1");
    ASSERT_NE(link, nullptr);
    EXPECT_EQ(link->kind, "veth");
    EXPECT_EQ(link->mtu, 1400u);
    EXPECT_EQ(link->mac, (Mac{2, 0, 0, 0, 0, 1}));
    EXPECT_EQ(link->peer, index("eth7"));
    EXPECT_FALSE(link->up());
    EXPECT_EQ(monitor->table().owner(*Ipv4::parse("10.1.2.3")), link);
    EXPECT_TRUE(told.empty());
    EXPECT_TRUE(tells(What::Appeared, "cali1"));
}

TEST_F(LinksTest, interface_appears_comes_up_is_renamed_and_vanishes)
{
    start();
    sh("ip link add cali1 type veth peer name eth7");
    EXPECT_TRUE(tells(What::Appeared, "cali1"));
    sh("ip link set cali1 up");
    EXPECT_TRUE(run([&] { return monitor->table().find("cali1")->up(); }));
    sh("ip link set cali1 down && ip link set cali1 name cali2");
    EXPECT_TRUE(tells(What::Changed, "cali2"));
    EXPECT_EQ(monitor->table().find("cali1"), nullptr);
    sh("ip link del cali2");
    EXPECT_TRUE(tells(What::Vanished, "cali2"));
}

TEST_F(LinksTest, interface_replaced_under_its_name_vanishes_and_appears)
{
    sh("ip link add cali1 index 500 type veth peer name eth7");
    start();
    EXPECT_TRUE(tells(What::Appeared, "cali1"));
    told.clear();
    sh("ip link del cali1; ip link add cali1 index 500 type veth peer name eth7");
    EXPECT_TRUE(tells(What::Appeared, "cali1"));
    EXPECT_THAT(told, Contains(Pair(What::Vanished, "cali1")));
}

TEST_F(LinksTest, peer_in_another_namespace_has_its_namespace_id)
{
    const margay::testing::Netns pod("pod");
    margay::testing::add_veth(*node, "cali1", pod, "eth0");
    start();
    EXPECT_TRUE(monitor->table().find("cali1")->peer_netnsid.has_value());
}

TEST_F(LinksTest, port_of_a_bridge_has_a_master_and_does_not_vanish_when_it_leaves)
{
    sh("ip link add br0 type bridge; ip link add cali1 type veth peer name eth7");
    start();
    sh("ip link set cali1 master br0");
    EXPECT_TRUE(run([&] { return monitor->table().find("cali1")->master == index("br0"); }));
    sh("ip link set cali1 nomaster");
    EXPECT_TRUE(run([&] {
        const Link* link = monitor->table().find("cali1");
        return link && link->master == 0;
    }));
    EXPECT_THAT(told, ::testing::Not(Contains(Pair(What::Vanished, "cali1"))));
}

TEST_F(LinksTest, addresses_come_and_go)
{
    sh("ip link add cali1 type veth peer name eth7");
    start();
    sh("ip addr add 10.1.2.3/24 dev cali1");
    EXPECT_TRUE(tells(What::AddressesChanged, "cali1"));
    EXPECT_TRUE(run([&] { return monitor->table().owner(*Ipv4::parse("10.1.2.3")); }));
    sh("ip addr del 10.1.2.3/24 dev cali1");
    EXPECT_TRUE(run([&] { return !monitor->table().owner(*Ipv4::parse("10.1.2.3")); }));
}

TEST_F(LinksTest, overrun_of_the_socket_is_healed_by_a_dump)
{
    sh("ip link add gone type veth peer name gone2");
    start(4096);
    EXPECT_TRUE(tells(What::Appeared, "gone"));
    // Far more events than 4 KiB hold, while nobody reads; what matters comes last.
    sh("for i in $(seq 200); do ip link add x type veth peer name y; ip link del x; done;"
       "ip link del gone; ip link add kept type veth peer name kept2");
    EXPECT_TRUE(tells(What::Appeared, "kept"));
    EXPECT_TRUE(tells(What::Vanished, "gone"));
    EXPECT_TRUE(run([&] { return !monitor->table().find("x"); }));
    EXPECT_THAT(told, ::testing::Not(Contains(Pair(What::Vanished, "kept"))));
}

TEST_F(LinksTest, monitor_may_be_destroyed_with_events_queued)
{
    start();
    sh("ip link add cali1 type veth peer name eth7");
    monitor.reset();
    executor.restart();
    executor.run_for(std::chrono::milliseconds(50));
    EXPECT_TRUE(told.empty());
}

} // namespace
} // namespace margay::kernel
