// SPDX-License-Identifier: Apache-2.0
// The firewall on the real kernel: pod -- cali1 [node] eth0 -- outside.
#include "agent/kernel/nftables.h"

#include <gmock/gmock.h>

#include "node.h"
#include "support/addresses.h"

namespace margay::kernel {
namespace {

using margay::testing::Background;
using margay::testing::eventually;
using margay::testing::Netns;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kJudged = "0x00100000";

struct FirewallTest : margay::testing::NodeTest {
    std::unique_ptr<Netns> pod;
    std::unique_ptr<Netns> outside;
    std::unique_ptr<Firewall> firewall;
    FirewallConfig config;
    FirewallSets sets;

    void SetUp() override
    {
        NodeTest::SetUp();
        if (IsSkipped())
            return;
        pod = std::make_unique<Netns>("pod");
        outside = std::make_unique<Netns>("out");
        margay::testing::add_veth(*node, "cali1", *pod, "eth0");
        margay::testing::add_veth(*node, "eth0", *outside, "eth0");
        sh("ip addr add 192.0.2.1/24 dev eth0; ip route add 10.0.0.5 dev cali1;"
           "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > "
           "/proc/sys/net/ipv4/conf/cali1/proxy_arp;"
           "ip route add 169.254.1.1 dev eth0");
        pod->must("ip addr add 10.0.0.5/32 dev eth0; ip route add 169.254.1.1 dev eth0;"
                  "ip route add default via 169.254.1.1 dev eth0");
        outside->must("ip addr add 192.0.2.9/24 dev eth0; ip route add 10.0.0.0/8 via 192.0.2.1;"
                      "ip addr add 198.51.100.9/32 dev eth0");
        sh("ip route add 198.51.100.9 via 192.0.2.9");
        config.judged = {0x00100000, 0x00100000};
        config.bypass = MarkMatch{0x00200000, 0x00200000};
        sets.attached = {index("cali1")};
        firewall = std::move(*Firewall::open());
    }
    void TearDown() override
    {
        firewall.reset();
        outside.reset();
        pod.reset();
        NodeTest::TearDown();
    }

    void install()
    {
        const auto done = firewall->install(config, sets);
        ASSERT_TRUE(done) << done.error().what;
    }
    // Stands in for from_workload: marks what comes from the pod before the stack sees it.
    void mark(const char* value)
    {
        sh(std::string("nft 'add table netdev standin; delete table netdev standin;") +
           "table netdev standin { chain c { type filter hook ingress device cali1 priority 0;" +
           "meta mark set " + value + "; }; }'");
    }
    bool pings(const Netns& from, const char* to)
    {
        return from.exec(std::string("ping -c 1 -W 1 ") + to).status == 0;
    }
    // The source address under which `outside` sees one UDP datagram.
    std::string seen_source(const Netns& from, const std::string& to, const std::string& bind = "")
    {
        static int port = 7000;
        const std::string at = ":" + std::to_string(++port);
        const Background receiver(outside.get(), "socat -u UDP4-RECVFROM" + at +
                                                     " SYSTEM:'echo from $SOCAT_PEERADDR'");
        const bool seen = eventually([&] {
            (void)from.exec("echo hi | socat -u - UDP4-SENDTO:" + to + at + bind);
            return receiver.output().find("from ") != std::string::npos;
        });
        const std::string text = receiver.output();
        const auto start = text.find("from ") + 5;
        return seen ? text.substr(start, text.find('\n') - start) : "nothing: " + text;
    }
};

TEST_F(FirewallTest, packet_from_a_pod_passes_only_with_the_mark)
{
    ASSERT_TRUE(pings(*pod, "192.0.2.9")) << "the world without guard";
    install();
    EXPECT_FALSE(pings(*pod, "192.0.2.9"));
    EXPECT_FALSE(pings(*pod, "192.0.2.1")) << "to the host itself";
    mark(kJudged);
    EXPECT_TRUE(pings(*pod, "192.0.2.9"));
    EXPECT_TRUE(pings(*pod, "192.0.2.1"));
    mark("0x00400000");
    EXPECT_FALSE(pings(*pod, "192.0.2.9")) << "another bit is not ours";
    mark("0x00500000");
    EXPECT_TRUE(pings(*pod, "192.0.2.9")) << "other bits beside ours do no harm";
}

TEST_F(FirewallTest, packet_to_a_pod_passes_only_where_programs_are_attached)
{
    mark(kJudged); // the answers of the pod
    install();
    EXPECT_TRUE(pings(*outside, "10.0.0.5"));
    EXPECT_TRUE(pings(*node, "10.0.0.5"));
    sets.attached.clear();
    ASSERT_TRUE(firewall->update(sets));
    EXPECT_FALSE(pings(*outside, "10.0.0.5"));
    EXPECT_FALSE(pings(*node, "10.0.0.5"));
}

TEST_F(FirewallTest, interface_replaced_under_its_name_is_guarded_again)
{
    mark(kJudged);
    install();
    ASSERT_TRUE(pings(*outside, "10.0.0.5"));
    sh("ip link del cali1");
    margay::testing::add_veth(*node, "cali1", *pod, "eth0");
    pod->must("ip addr add 10.0.0.5/32 dev eth0; ip route add 192.0.2.0/24 dev eth0");
    sh("ip route add 10.0.0.5 dev cali1; echo 1 > /proc/sys/net/ipv4/conf/cali1/proxy_arp");
    mark(kJudged);
    EXPECT_FALSE(pings(*outside, "10.0.0.5"));
}

TEST_F(FirewallTest, guard_covers_ipv6)
{
    sh("ip -6 addr add fd00::1/64 dev cali1 nodad");
    pod->must("ip -6 addr add fd00::2/64 dev eth0 nodad");
    ASSERT_TRUE(eventually([&] { return pings(*pod, "fd00::1"); }));
    install();
    EXPECT_FALSE(pings(*pod, "fd00::1"));
}

TEST_F(FirewallTest, traffic_that_concerns_no_pod_is_untouched)
{
    sets.nat_sources = {prefix("10.0.0.0/16")};
    sets.nat_exempt = sets.nat_sources;
    install();
    EXPECT_TRUE(pings(*outside, "192.0.2.1"));
    EXPECT_TRUE(pings(*node, "192.0.2.9"));
    EXPECT_EQ(seen_source(*node, "198.51.100.9"), "192.0.2.1");
}

TEST_F(FirewallTest, guard_stays_when_the_agent_is_gone)
{
    install();
    firewall.reset();
    EXPECT_FALSE(pings(*pod, "192.0.2.9"));
    firewall = std::move(*Firewall::open());
    ASSERT_TRUE(firewall->remove());
    EXPECT_TRUE(pings(*pod, "192.0.2.9"));
    EXPECT_TRUE(firewall->remove()) << "a second time";
}

TEST_F(FirewallTest, adopted_table_lets_through_what_it_did_and_is_completed_without_a_gap)
{
    mark(kJudged);
    config.tunnel_address = Ipv4::parse("10.0.0.1");
    install();
    FirewallConfig at_start = config;
    at_start.tunnel_address.reset(); // the datastore tells it later
    firewall = std::move(*Firewall::open());
    const auto adopted = firewall->adopt(at_start);
    ASSERT_TRUE(adopted && *adopted);
    EXPECT_TRUE(pings(*outside, "10.0.0.5"));
    EXPECT_THAT(sh("nft list table inet margay"), HasSubstr("snat ip to 10.0.0.1"));
    const auto intact = firewall->intact();
    EXPECT_TRUE(intact && *intact);
    const auto written = firewall->install(config, sets);
    ASSERT_TRUE(written);
    EXPECT_FALSE(*written) << "the rules were right";
    EXPECT_TRUE(pings(*outside, "10.0.0.5"));
}

TEST_F(FirewallTest, table_with_another_guard_or_without_is_not_adopted)
{
    const auto adopts = [&] {
        firewall = std::move(*Firewall::open());
        const auto adopted = firewall->adopt(config);
        return adopted && *adopted;
    };
    config.pending = MarkMatch{0x00800000, 0x00800000};
    EXPECT_FALSE(adopts()) << "no table";
    install();
    EXPECT_TRUE(adopts());
    sh("nft flush chain inet margay guard_to");
    EXPECT_FALSE(adopts()) << "the guard lost a rule";
    install();
    EXPECT_TRUE(adopts());
    sh("nft flush chain inet margay pending_forward");
    EXPECT_FALSE(adopts()) << "what waits for a judgement could leave";
    install();
    config.judged = {0x00400000, 0x00400000};
    EXPECT_FALSE(adopts()) << "another mark";
}

// FelixConfiguration may name prefixes that margayd's own settings do not.
TEST_F(FirewallTest, table_whose_guard_covers_more_interfaces_is_adopted)
{
    const auto adopts = [&](std::vector<std::string> prefixes) {
        FirewallConfig at_start = config;
        at_start.workload_prefixes = std::move(prefixes);
        firewall = std::move(*Firewall::open());
        const auto adopted = firewall->adopt(at_start);
        return adopted && *adopted;
    };
    config.workload_prefixes = {"tap", "cali"};
    install();
    EXPECT_TRUE(adopts({"cali"}));
    EXPECT_TRUE(adopts({"cali", "tap"})) << "in another order";
    EXPECT_FALSE(adopts({"cali", "veth"})) << "veth would be without guard";
    EXPECT_FALSE(adopts({"ta"})) << "so would tabc0";
    EXPECT_TRUE(adopts({"cali1", "tap", "tap"})) << "covered, and one twice";
    config.workload_prefixes = {"cali", "cali1", "veth0", "veth1"}; // nft merges them
    install();
    EXPECT_TRUE(adopts(config.workload_prefixes));
}

TEST_F(FirewallTest, nat_outgoing_hides_the_pod_outside_the_pools_only)
{
    mark(kJudged);
    install();
    EXPECT_EQ(seen_source(*pod, "198.51.100.9"), "10.0.0.5");
    sets.nat_sources = {prefix("10.0.0.0/16")};
    sets.nat_exempt = {prefix("10.0.0.0/16")};
    ASSERT_TRUE(firewall->update(sets));
    EXPECT_EQ(seen_source(*pod, "198.51.100.9"), "192.0.2.1");
    sets.nat_exempt.insert(prefix("198.51.100.0/24"));
    ASSERT_TRUE(firewall->update(sets));
    EXPECT_EQ(seen_source(*pod, "198.51.100.9"), "10.0.0.5");
}

TEST_F(FirewallTest, nat_outgoing_can_be_limited_to_interfaces_ports_and_an_address)
{
    mark(kJudged);
    sets.nat_sources = {prefix("10.0.0.0/16")};
    config.nat_out_interfaces = {"wan+"};
    install();
    EXPECT_EQ(seen_source(*pod, "198.51.100.9"), "10.0.0.5");
    config.nat_out_interfaces = {"eth*"};
    config.nat_address = *Ipv4::parse("192.0.2.55");
    config.nat_ports = {20000, 29999};
    install();
    EXPECT_EQ(seen_source(*pod, "198.51.100.9"), "192.0.2.55");
    EXPECT_THAT(sh("nft list table inet margay"), HasSubstr("snat ip to 192.0.2.55:20000-29999"));
}

TEST_F(FirewallTest, bypass_traffic_is_neither_tracked_nor_translated)
{
    sets.nat_sources = {prefix("10.0.0.0/16")};
    install();
    mark("0x00300000"); // judged and bypass
    EXPECT_EQ(seen_source(*pod, "198.51.100.9"), "10.0.0.5");
    // Nor by others who translate the same traffic.
    sh("nft 'table ip other { chain c { type nat hook postrouting priority 50; oifname eth0 "
       "masquerade; }; }'");
    EXPECT_EQ(seen_source(*pod, "198.51.100.9"), "10.0.0.5");
    mark(kJudged);
    EXPECT_EQ(seen_source(*pod, "198.51.100.9"), "192.0.2.1");
}

TEST_F(FirewallTest, host_traffic_to_tunnelled_blocks_has_the_tunnel_address_whoever_masquerades)
{
    sh("ip link add tunl0 type bridge; ip link set tunl0 up; ip addr add 10.0.0.1/32 dev tunl0;"
       "nft 'table ip other { chain c { type nat hook postrouting priority srcnat; oifname eth0 "
       "masquerade; }; }'");
    outside->must("ip addr add 10.0.9.7/32 dev lo");
    sh("ip route add 10.0.9.0/26 via 192.0.2.9 src 10.0.0.1");
    config.tunnel_address = *Ipv4::parse("10.0.0.1");
    install();
    EXPECT_EQ(seen_source(*node, "10.0.9.7"), "192.0.2.1") << "the other table's choice";
    sets.tunnel_blocks = {prefix("10.0.9.0/26")};
    ASSERT_TRUE(firewall->update(sets));
    EXPECT_EQ(seen_source(*node, "10.0.9.7"), "10.0.0.1");
    EXPECT_EQ(seen_source(*node, "10.0.9.7", ",bind=192.0.2.1"), "10.0.0.1");
    EXPECT_EQ(seen_source(*node, "198.51.100.9"), "192.0.2.1");
    mark(kJudged);
    sh("nft delete table ip other");
    EXPECT_EQ(seen_source(*pod, "10.0.9.7"), "10.0.0.5") << "a pod keeps its address";
}

TEST_F(FirewallTest, second_install_writes_no_rule_also_by_a_new_process)
{
    EXPECT_TRUE(*firewall->install(config, sets));
    const std::string handles = sh("nft -s -a list table inet margay");
    EXPECT_FALSE(*firewall->install(config, sets));
    firewall = std::move(*Firewall::open());
    sets.nat_sources = {prefix("10.0.0.0/16")};
    EXPECT_FALSE(*firewall->install(config, sets));
    EXPECT_THAT(sh("nft list set inet margay nat_sources"), HasSubstr("10.0.0.0/16"));
    sets.nat_sources.clear();
    EXPECT_FALSE(*firewall->install(config, sets));
    EXPECT_EQ(sh("nft -s -a list table inet margay"), handles);
    config.nat_address = *Ipv4::parse("192.0.2.55");
    EXPECT_TRUE(*firewall->install(config, sets));
}

TEST_F(FirewallTest, damage_is_told_and_repaired)
{
    int told = 0;
    FirewallWatch watch(executor, [&] {
        if (!*firewall->intact()) {
            ++told;
            (void)*firewall->install(config, sets);
        }
    });
    ASSERT_TRUE(watch.start());
    install();
    for (const char* harm :
         {"nft flush ruleset", "nft flush chain inet margay guard_from",
          "nft insert rule inet margay guard_to accept", "nft delete table inet margay"}) {
        const int before = told;
        sh(harm);
        EXPECT_TRUE(run([&] { return told > before; })) << harm;
        EXPECT_FALSE(pings(*pod, "192.0.2.9")) << harm;
    }
}

TEST_F(FirewallTest, new_process_repairs_a_damaged_table)
{
    install();
    sh("nft flush chain inet margay guard_from");
    firewall = std::move(*Firewall::open());
    EXPECT_TRUE(*firewall->install(config, sets));
    EXPECT_FALSE(pings(*pod, "192.0.2.9"));
}

TEST_F(FirewallTest, tables_of_others_are_untouched)
{
    sh("nft 'table ip nat { chain c { type nat hook postrouting priority 100; ip saddr 10.9.0.0/16 "
       "masquerade; }; }; table inet filter { set s { type ipv4_addr; elements = { 1.2.3.4 }; }; "
       "}'");
    const std::string before = sh("nft list ruleset");
    install();
    config.guard = false;
    install();
    EXPECT_THAT(sh("nft list table inet margay"), Not(HasSubstr("chain guard")));
    ASSERT_TRUE(firewall->remove());
    EXPECT_EQ(sh("nft list ruleset"), before);
}

TEST_F(FirewallTest, set_that_somebody_changed_is_filled_again)
{
    sets.nat_sources = {prefix("10.0.0.0/16")};
    install();
    sh("nft delete element inet margay nat_sources { 10.0.0.0/16 }");
    sets.nat_sources = {prefix("10.1.0.0/16")};
    ASSERT_TRUE(firewall->update(sets));
    EXPECT_THAT(sh("nft list set inet margay nat_sources"), HasSubstr("{ 10.1.0.0/16 }"));
}

} // namespace
} // namespace margay::kernel
