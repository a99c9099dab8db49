// SPDX-License-Identifier: Apache-2.0
// What workloads may send, whose policies decide, and what the host lets in.

#include "bpf/datapath/datapath.h"

namespace margay::testing {
namespace {

using ::testing::ElementsAreArray;

struct Workload : Datapath {};

TEST_F(Workload, arp_passes_with_our_mark)
{
    const Outcome run =
        from_a(Bytes(28), {.dst = Mac{255, 255, 255, 255, 255, 255}, .ethertype = 0x0806});
    EXPECT_EQ(run.verdict, kOk);
    EXPECT_EQ(run.mark, std::uint32_t{MARK_SEEN});
}

TEST_F(Workload, ipv6_is_denied)
{
    expect_drop(from_a(Bytes(40, 0x60), {.ethertype = 0x86dd}), REASON_IPV6);
}

TEST_F(Workload, ipv6_fills_no_list_of_drops)
{
    for (int i = 0; i < 10; i++)
        from_a(Bytes(40, 0x60), {.ethertype = 0x86dd});
    int foreign = 0;
    for (const event& told : events())
        foreign += told.reason == REASON_IPV6;
    EXPECT_GE(foreign, 1);
    EXPECT_LE(foreign, 2) << "one a second";
}

TEST_F(Workload, ipv6_towards_it_is_denied)
{
    expect_drop(to_a(Bytes(40, 0x60), {.ethertype = 0x86dd}), REASON_IPV6);
}

TEST_F(Workload, vlan_tags_are_denied)
{
    expect_drop(from_a(Bytes(40), {.ethertype = 0x8100}), REASON_VLAN);
}

TEST_F(Workload, other_ethertypes_are_denied)
{
    expect_drop(from_a(Bytes(40), {.ethertype = 0x88cc}), REASON_ETHERTYPE);
}

TEST_F(Workload, frame_for_another_machine_is_denied)
{
    expect_drop(from_a(udp_packet(kA, 1, kB, 2), {.dst = Mac{2, 9, 9, 9, 9, 9}}),
                REASON_NOT_FOR_HOST);
}

TEST_F(Workload, unknown_interface_is_denied)
{
    expect_drop(run("from_workload", if_up_, udp_packet(kA, 1, kB, 2)), REASON_UNKNOWN_WORKLOAD);
}

TEST_F(Workload, packet_towards_an_unknown_interface_is_denied)
{
    expect_drop(run("to_workload", if_up_, udp_packet(kNode, 1, kB, 2)), REASON_UNKNOWN_WORKLOAD);
}

TEST_F(Workload, one_that_is_down_sends_nothing)
{
    change_endpoint(kSlotA, [](auto& endpoint) { endpoint.flags = 0; });
    expect_drop(from_a(udp_packet(kA, 1, kB, 2)), REASON_WORKLOAD_DOWN);
}

TEST_F(Workload, one_that_is_down_gets_nothing_from_its_neighbour)
{
    change_endpoint(kSlotB, [](auto& endpoint) { endpoint.flags = 0; });
    expect_drop(from_a(udp_packet(kA, 1, kB, 2)), REASON_WORKLOAD_DOWN);
}

TEST_F(Workload, slot_that_moved_to_another_interface_does_not_speak_for_this_one)
{
    change_endpoint(kSlotA, [&](auto& endpoint) { endpoint.ifindex = if_up_; });
    expect_drop(from_a(udp_packet(kA, 1, kB, 2)), REASON_WORKLOAD_DOWN);
}

TEST_F(Workload, source_of_a_neighbour_is_spoofed)
{
    expect_drop(from_a(udp_packet(kB, 1, kC, 2)), REASON_SOURCE_SPOOFED);
}

TEST_F(Workload, source_from_outside_is_spoofed)
{
    expect_drop(from_a(udp_packet(kOutside, 1, kC, 2)), REASON_SOURCE_SPOOFED);
}

TEST_F(Workload, protocol_4_is_denied)
{
    expect_drop(from_a(ipip(kA, kNode2, udp_packet(kA, 1, kC, 2))), REASON_IPIP_FROM_WORKLOAD);
}

TEST_F(Workload, protocol_4_passes_where_it_is_configured)
{
    change_config([](auto& config) { config.flags |= CONFIG_IPIP_FROM_WORKLOADS; });
    EXPECT_EQ(from_a(ipip(kA, kB, udp_packet(kA, 1, kC, 2))).verdict, kRedirect);
}

TEST_F(Workload, vxlan_port_is_denied)
{
    expect_drop(from_a(udp_packet(kA, 1, kNode2, 4789)), REASON_VXLAN_FROM_WORKLOAD);
}

TEST_F(Workload, vxlan_port_passes_where_it_is_configured)
{
    change_config([](auto& config) { config.flags |= CONFIG_VXLAN_FROM_WORKLOADS; });
    EXPECT_EQ(from_a(udp_packet(kA, 1, kC, 4789)).verdict, kRedirect);
}

struct Malformed : Datapath, ::testing::WithParamInterface<std::pair<const char*, Bytes>> {};

Bytes cut(Bytes packet, std::size_t length)
{
    packet.resize(length);
    return packet;
}

Bytes with(Bytes packet, std::size_t at, std::uint8_t value)
{
    packet[at] = value;
    return packet;
}

Bytes sample_tcp()
{
    return tcp_packet("192.168.1.10", 1000, "192.168.2.20", 80, kSyn);
}

Bytes sample_with_length(std::uint16_t length)
{
    return with(with(sample_tcp(), 2, static_cast<std::uint8_t>(length >> 8)), 3,
                static_cast<std::uint8_t>(length));
}

Bytes sample_fragment(std::uint16_t frag)
{
    return ipv4(
        {.src = addr("192.168.1.10"), .dst = addr("192.168.2.20"), .proto = 6, .frag = frag},
        Bytes(12));
}

TEST_P(Malformed, is_denied)
{
    expect_drop(from_a(GetParam().second), REASON_MALFORMED);
}

INSTANTIATE_TEST_SUITE_P(
    Headers, Malformed,
    ::testing::Values(std::pair{"wrong_version", with(sample_tcp(), 0, 0x55)},
                      std::pair{"header_length_below_20", with(sample_tcp(), 0, 0x44)},
                      std::pair{"options_beyond_the_packet", with(cut(sample_tcp(), 24), 0, 0x4f)},
                      std::pair{"tcp_header_cut", cut(sample_tcp(), 39)},
                      std::pair{"length_field_beyond_the_frame", sample_with_length(41)},
                      std::pair{"length_field_within_the_tcp_header", sample_with_length(39)},
                      std::pair{"length_field_below_the_ip_header", sample_with_length(19)},
                      std::pair{"tcp_offset_below_20", with(sample_tcp(), 32, 0x40)},
                      std::pair{"tcp_offset_beyond_the_packet", with(sample_tcp(), 32, 0xf0)},
                      std::pair{"tiny_first_fragment", sample_fragment(kMf)},
                      std::pair{"fragment_over_the_tcp_flags", sample_fragment(1)}),
    [](const auto& chosen) { return chosen.param.first; });

TEST_F(Workload, egress_policy_is_asked_about_the_packet_as_sent)
{
    from_a(tcp_packet(kA, 1000, kC, 80, kSyn));

    const judgement asked = judged(kEgressA);
    EXPECT_EQ(asked.saddr, htonl(addr(kA)));
    EXPECT_EQ(asked.daddr, htonl(addr(kC)));
    EXPECT_EQ(asked.sport, htons(1000));
    EXPECT_EQ(asked.dport, htons(80));
    EXPECT_EQ(asked.proto, 6);
}

TEST_F(Workload, icmp_type_and_code_are_judged)
{
    from_a(ipv4({.src = addr(kA), .dst = addr(kC), .proto = 1}, icmp(13, 0, 7, 0)));
    EXPECT_EQ(judged(kEgressA).icmp_type, 13);
    from_a(ipv4({.src = addr(kA), .dst = addr(kC), .proto = 1}, icmp(5, 2, 7, 0)));
    EXPECT_EQ(judged(kEgressA).icmp_type, 5);
    EXPECT_EQ(judged(kEgressA).icmp_code, 2);
    EXPECT_EQ(judged(kEgressA).sport, 0);
}

TEST_F(Workload, denied_egress_is_a_drop_that_names_policy_and_rule)
{
    set_policy(kEgressA, "deny");

    const Outcome run = from_a(tcp_packet(kA, 1000, kC, 80, kSyn));

    EXPECT_EQ(run.verdict, kShot);
    EXPECT_EQ(count(REASON_POLICY_EGRESS), 1u);
    const auto seen = events();
    ASSERT_EQ(seen.size(), 1u);
    EXPECT_EQ(seen[0].kind, EVENT_DROP);
    EXPECT_EQ(seen[0].reason, std::uint32_t{REASON_POLICY_EGRESS});
    EXPECT_EQ(seen[0].hook, HOOK_FROM_WORKLOAD);
    EXPECT_EQ(seen[0].policy, kEgressA);
    EXPECT_EQ(seen[0].rule, 7u);
    EXPECT_EQ(seen[0].endpoint, kSlotA);
    EXPECT_EQ(seen[0].ifindex, if_a_);
    EXPECT_EQ(seen[0].saddr, htonl(addr(kA)));
    EXPECT_EQ(seen[0].dport, htons(80));
    EXPECT_TRUE(flows().empty()) << "denied packets leave no entry";
}

TEST_F(Workload, local_flow_needs_egress_of_the_source_and_ingress_of_the_destination)
{
    set_policy(kIngressB, "deny");
    expect_drop(from_a(tcp_packet(kA, 1000, kB, 80, kSyn)), REASON_POLICY_INGRESS);
    EXPECT_TRUE(was_judged(kEgressA));
    EXPECT_FALSE(was_judged(kEgressB));
    EXPECT_FALSE(was_judged(kIngressA));
}

TEST_F(Workload, missing_policy_program_is_a_drop)
{
    clear_policy(kEgressA);
    expect_drop(from_a(udp_packet(kA, 1, kC, 2)), REASON_POLICY_MISSING);
}

TEST_F(Workload, policy_that_comes_to_no_verdict_denies)
{
    set_policy(kEgressA, "undecided");
    expect_drop(from_a(udp_packet(kA, 1, kC, 2)), REASON_POLICY_EGRESS);
}

TEST_F(Workload, missing_stage_program_is_a_drop)
{
    empty("stages"); // as when the array lost its last reference
    // The policy program's own tail call fails: it drops, which is all that it can do.
    EXPECT_EQ(from_a(udp_packet(kA, 1, kC, 2)).verdict, kShot);
    // To the outside nothing is judged in the hook, so the stage is missed there.
    EXPECT_EQ(from_a(udp_packet(kA, 1, kOutside, 2)).verdict, kShot);
    EXPECT_EQ(count(REASON_STAGE_MISSING), 1u);
}

TEST_F(Workload, log_rule_makes_an_event_and_no_verdict)
{
    set_policy(kEgressA, "port80");

    EXPECT_EQ(from_a(tcp_packet(kA, 1000, kC, 80, kSyn)).verdict, kRedirect);

    const auto seen = events();
    ASSERT_EQ(seen.size(), 1u);
    EXPECT_EQ(seen[0].kind, EVENT_LOG);
    EXPECT_EQ(seen[0].rule, 3u);
    EXPECT_EQ(seen[0].policy, kEgressA);
}

TEST_F(Workload, events_are_limited_but_drops_are_all_counted)
{
    const std::uint32_t flood = 3 * EVENTS_PER_SECOND;
    for (std::uint32_t i = 0; i < flood; i++)
        from_a(udp_packet(kB, 1, kC, 2));

    const auto reported = events().size();
    EXPECT_LT(reported, flood);
    EXPECT_EQ(count(REASON_SOURCE_SPOOFED), flood);
    EXPECT_EQ(count(REASON_EVENT_LOST), flood - reported);
}

TEST_F(Workload, own_block_without_endpoint_is_a_drop)
{
    expect_drop(from_a(udp_packet(kA, 1, "192.168.1.50", 2)), REASON_NO_ENDPOINT);
}

TEST_F(Workload, pool_address_that_no_node_holds_is_a_drop)
{
    expect_drop(from_a(udp_packet(kA, 1, "192.168.77.1", 2)), REASON_NO_ROUTE);
}

TEST_F(Workload, reaches_the_host_by_egress_policy)
{
    const Outcome run = from_a(tcp_packet(kA, 1000, kNode, 22, kSyn));

    EXPECT_EQ(run.verdict, kOk);
    EXPECT_EQ(run.mark, std::uint32_t{MARK_SEEN});
    EXPECT_TRUE(was_judged(kEgressA));
}

TEST_F(Workload, host_may_be_closed_to_workloads)
{
    change_config([](auto& config) { config.endpoint_to_host = TO_HOST_DROP; });
    expect_drop(from_a(tcp_packet(kA, 1000, kNode, 22, kSyn)), REASON_HOST_DENIED);
    EXPECT_TRUE(flows().empty());
}

TEST_F(Workload, zeroed_config_closes_the_host)
{
    empty("config");
    expect_drop(from_a(tcp_packet(kA, 1000, kNode, 22, kSyn)), REASON_HOST_DENIED);
}

TEST_F(Workload, host_reaches_it_always_and_gets_its_answers)
{
    set_policy(kIngressA, "deny");
    set_policy(kEgressA, "deny");
    change_config([](auto& config) { config.endpoint_to_host = TO_HOST_DROP; });

    EXPECT_EQ(to_a(tcp_packet(kNode, 1000, kA, 80, kSyn)).verdict, kOk);
    const Outcome answer = from_a(tcp_packet(kA, 80, kNode, 1000, kSyn | kAck));

    EXPECT_EQ(answer.verdict, kOk);
    EXPECT_EQ(answer.mark, std::uint32_t{MARK_SEEN});
    EXPECT_FALSE(was_judged(kEgressA));
}

TEST_F(Workload, host_packet_from_the_middle_of_a_flow_opens_nothing)
{
    set_policy(kEgressA, "deny");
    EXPECT_EQ(to_a(tcp_packet(kNode, 1000, kA, 80, kAck)).verdict, kOk);
    EXPECT_TRUE(flows().empty());
}

// The host may always speak, but not so that a flow which policy cut comes back to life.
TEST_F(Workload, hosts_answer_does_not_revive_a_flow_that_policy_cut)
{
    from_a(udp_packet(kA, 1000, kNode, 53));
    set_policy(kEgressA, "deny");
    bump(kSlotA);
    EXPECT_EQ(from_a(udp_packet(kA, 1000, kNode, 53)).verdict, kShot);

    EXPECT_EQ(to_a(udp_packet(kNode, 53, kA, 1000)).verdict, kOk);
    EXPECT_EQ(from_a(udp_packet(kA, 1000, kNode, 53)).verdict, kShot);
    bump(kSlotA);
    EXPECT_EQ(to_a(udp_packet(kNode, 53, kA, 1000)).verdict, kOk);
    EXPECT_EQ(from_a(udp_packet(kA, 1000, kNode, 53)).verdict, kShot);
}

TEST_F(Workload, one_local_flow_is_one_entry_with_both_legs)
{
    establish_a_b();

    const auto entry = only_flow();
    ASSERT_TRUE(entry);
    EXPECT_EQ(entry->flow.legs, FLOW_LEG_EGRESS | FLOW_LEG_INGRESS);
    EXPECT_EQ(entry->flow.src.slot, kSlotA);
    EXPECT_EQ(entry->flow.dst.slot, kSlotB);
    EXPECT_EQ(entry->flow.src.generation, 100u);
    EXPECT_EQ(entry->flow.state, FLOW_SEEN_INIT | FLOW_SEEN_RESP);
    EXPECT_EQ(verb_of(direction(entry->flow, true)), FLOW_DELIVER);
    EXPECT_EQ(out_of(direction(entry->flow, true)), kSlotB);
    EXPECT_EQ(direction(entry->flow, true).in_ifindex, if_a_);
    EXPECT_EQ(verb_of(direction(entry->flow, false)), FLOW_DELIVER);
    EXPECT_EQ(out_of(direction(entry->flow, false)), kSlotA);
    EXPECT_EQ(direction(entry->flow, false).in_ifindex, if_b_);
    EXPECT_EQ(flow_count(kSlotA), 1u);
}

} // namespace
} // namespace margay::testing
