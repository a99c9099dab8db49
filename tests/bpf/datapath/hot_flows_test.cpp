// SPDX-License-Identifier: Apache-2.0
// Copies of busy flows: when they answer for their entry, and when they must not.

#include "bpf/datapath/datapath.h"

namespace margay::testing {
namespace {

struct HotFlows : Datapath {
    // The one copy there is, changed.
    void change_copy(auto change)
    {
        int found = 0;
        for (std::uint32_t slot = 0; slot < HOT_FLOWS; slot++) {
            auto copy = *get<hot_flow>("hot_flows", slot);
            if (copy.key.proto == 0)
                continue;
            change(copy);
            put("hot_flows", slot, copy);
            found++;
        }
        EXPECT_EQ(found, 1);
    }
};

TEST_F(HotFlows, busy_flow_passes_by_its_copy_for_half_a_second)
{
    establish_a_c();
    a_to_c();
    empty("flows4");
    set_policy(kEgressA, "deny");
    set_policy(kIngressA, "deny");

    EXPECT_EQ(a_to_c().verdict, kRedirect);
    EXPECT_EQ(c_to_a().verdict, kRedirect);
    change_copy([](auto& copy) { copy.copied -= 1000; }); // no kernel has more jiffies a second
    EXPECT_EQ(a_to_c().verdict, kShot);
}

TEST_F(HotFlows, copy_is_as_old_as_the_generation_of_its_entry)
{
    establish_a_c();
    a_to_c();
    set_policy(kEgressA, "deny");
    bump(kSlotA);

    EXPECT_EQ(c_to_a().verdict, kShot);
    EXPECT_EQ(a_to_c().verdict, kShot);
}

TEST_F(HotFlows, copy_of_another_flow_or_one_that_is_being_written_is_not_believed)
{
    establish_a_c();
    a_to_c();
    empty("flows4");
    set_policy(kEgressA, "deny");
    set_policy(kIngressA, "deny");

    change_copy([](auto& copy) { copy.seq |= 1; });
    EXPECT_EQ(a_to_c().verdict, kShot);
    change_copy([](auto& copy) { copy.seq++, copy.key.port[0]++; });
    EXPECT_EQ(a_to_c().verdict, kShot);
    change_copy([](auto& copy) { copy.key.port[0]--; });
    EXPECT_EQ(a_to_c().verdict, kRedirect) << "or this test says nothing";
}

TEST_F(HotFlows, flow_that_begins_anew_is_not_answered_by_a_copy_of_the_old_one)
{
    establish_a_c();
    a_to_c();
    c_to_a(kRst | kAck);
    a_to_c(kSyn);
    EXPECT_EQ(only_flow()->flow.state, FLOW_SEEN_INIT);
    c_to_a(kSyn | kAck);
    EXPECT_EQ(only_flow()->flow.state, FLOW_SEEN_INIT | FLOW_SEEN_RESP);
}

TEST_F(HotFlows, peers_of_one_net_do_not_share_a_slot)
{
    for (int peer = 1; peer <= 60; peer++) {
        const std::string address = "192.168.2." + std::to_string(peer);
        for (int i = 0; i < 2; i++)
            from_a(udp_packet(kA, 7946, address.c_str(), 7946));
    }
    int copies = 0;
    for (std::uint32_t slot = 0; slot < HOT_FLOWS; slot++)
        copies += get<hot_flow>("hot_flows", slot)->key.proto != 0;
    EXPECT_GT(copies, 50);
}

TEST_F(HotFlows, slot_of_a_busy_flow_is_taken_over_by_another_one)
{
    establish_a_c();
    a_to_c();
    std::uint32_t stranger = 0;
    change_copy([&](auto& copy) { stranger = ++copy.key.addr[0]; });
    for (int i = 0; i < 1000; i++) // for one packet in 16
        a_to_c();
    change_copy([&](auto& copy) { EXPECT_NE(copy.key.addr[0], stranger); });
}

TEST_F(HotFlows, what_changes_the_entry_goes_past_the_copy)
{
    establish_a_c();
    a_to_c();
    a_to_c(kFin | kAck);
    EXPECT_EQ(only_flow()->flow.state, FLOW_SEEN_INIT | FLOW_SEEN_RESP | FLOW_FIN_INIT);
    c_to_a(kFin | kAck);
    EXPECT_EQ(only_flow()->flow.state,
              FLOW_SEEN_INIT | FLOW_SEEN_RESP | FLOW_FIN_INIT | FLOW_FIN_RESP);

    from_a(udp_packet(kA, 1, kB, 53));
    from_a(udp_packet(kA, 1, kB, 53));
    from_b(udp_packet(kB, 53, kA, 1));
    for (const auto& entry : flows()) {
        if (entry.key.proto == IPPROTO_UDP) {
            EXPECT_EQ(entry.flow.state, FLOW_SEEN_INIT | FLOW_SEEN_RESP);
        }
    }
}

TEST_F(HotFlows, icmp_error_is_looked_up_in_the_table)
{
    establish_a_c();
    const Bytes sent = tcp_packet(kA, 1000, kC, 80, kAck);
    EXPECT_EQ(from_a(sent).verdict, kRedirect);
    change_copy([](auto& copy) { copy.flow.dir[0].action = copy.flow.dir[1].action = FLOW_DROP; });
    EXPECT_EQ(from_a(sent).verdict, kShot) << "or this test says nothing";
    const Bytes error =
        ipv4({.src = addr(kC), .dst = addr(kA), .proto = 1}, icmp(3, 3, 0, 0, slice(sent, 0, 28)));
    EXPECT_EQ(from_node2(error).verdict, kRedirect);
}

} // namespace
} // namespace margay::testing
