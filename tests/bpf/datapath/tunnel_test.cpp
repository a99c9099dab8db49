// SPDX-License-Identifier: Apache-2.0
// What the uplink lets in: who may send IPIP, from which inner sources, to whom; plain packets.

#include "bpf/datapath/datapath.h"

namespace margay::testing {
namespace {

using ::testing::ElementsAreArray;

struct Tunnel : Datapath {
    Outcome from_vlan(std::uint32_t vlan, const Bytes& packet)
    {
        put("stages", std::uint32_t{STAGE_MAX - 1}, programs_.at("from_uplink"));
        return run("test_tagged", if_up_, packet, {.mark = vlan});
    }
    Bytes inner() { return udp_packet(kC, 1000, kA, 53, 20); }
};

TEST_F(Tunnel, unknown_node_is_dropped)
{
    expect_drop(from_uplink(ipip("10.0.0.77", kNode, inner())), REASON_TUNNEL_UNKNOWN_NODE);
}

TEST_F(Tunnel, packet_for_another_node_is_dropped)
{
    expect_drop(from_uplink(ipip(kNode2, kNode3, inner())), REASON_TUNNEL_OTHER_DST);
}

TEST_F(Tunnel, nothing_comes_in_while_ipip_is_off)
{
    change_config([](auto& config) { config.flags = 0; });
    expect_drop(from_node2(inner()), REASON_TUNNEL_OTHER_DST);
}

TEST_F(Tunnel, established_flow_stops_when_ipip_is_switched_off)
{
    establish_a_c();
    change_config([](auto& config) { config.flags = 0; });
    expect_drop(from_node2(tcp_packet(kC, 80, kA, 1000, kAck)), REASON_TUNNEL_OTHER_DST);
}

TEST_F(Tunnel, inner_source_of_another_node_is_dropped)
{
    expect_drop(from_node2(udp_packet(kD, 1, kA, 2)), REASON_TUNNEL_SPOOFED);
}

TEST_F(Tunnel, inner_source_of_our_own_workload_is_dropped)
{
    expect_drop(from_node2(udp_packet(kB, 1, kA, 2)), REASON_TUNNEL_SPOOFED);
}

TEST_F(Tunnel, inner_source_from_outside_is_dropped)
{
    expect_drop(from_node2(udp_packet(kOutside, 1, kA, 2)), REASON_TUNNEL_SPOOFED);
}

TEST_F(Tunnel, inner_source_may_be_the_sending_node_itself)
{
    EXPECT_EQ(from_node2(udp_packet(kNode2, 1, kA, 2)).verdict, kOk) << "by the stack";
    EXPECT_TRUE(was_judged(kIngressA));
}

TEST_F(Tunnel, external_node_sends_from_addresses_that_nobody_owns)
{
    put("nodes4", prefix4_key{24, htonl(addr("172.16.5.0"))}, node4{8});
    const struct node external{0, NODE_EXTERNAL};
    put("nodes", std::uint32_t{8}, external);

    EXPECT_EQ(from_uplink(ipip("172.16.5.9", kNode, udp_packet("172.17.0.1", 1, kA, 2))).verdict,
              kOk);
    expect_drop(from_uplink(ipip("172.16.5.9", kNode, udp_packet(kC, 1, kA, 2))),
                REASON_TUNNEL_SPOOFED);
}

TEST_F(Tunnel, answer_of_the_workload_does_not_bring_back_a_node_that_is_gone)
{
    put("nodes4", prefix4_key{24, htonl(addr("172.16.5.0"))}, node4{8});
    const struct node external{0, NODE_EXTERNAL};
    put("nodes", std::uint32_t{8}, external);
    const auto comes = [&](std::uint8_t flags) {
        return from_uplink(
            ipip("172.16.5.9", kNode, tcp_packet("172.17.0.1", 1000, kA, 80, flags)));
    };
    EXPECT_EQ(comes(kSyn).verdict, kOk) << "by the stack";
    EXPECT_EQ(from_a(tcp_packet(kA, 80, "172.17.0.1", 1000, kSyn | kAck)).verdict, kOk);
    EXPECT_EQ(comes(kAck).verdict, kOk);
    const auto judged_again = count(REASON_FLOW_REJUDGED);
    EXPECT_EQ(comes(kAck).verdict, kOk);
    EXPECT_EQ(count(REASON_FLOW_REJUDGED), judged_again) << "its address is known by now";

    empty("nodes4");
    empty("nodes");
    bump(kSlotA);
    EXPECT_EQ(from_a(tcp_packet(kA, 80, "172.17.0.1", 1000, kAck)).verdict, kOk);
    expect_drop(comes(kAck), REASON_TUNNEL_UNKNOWN_NODE);
}

TEST_F(Tunnel, nested_tunnel_is_dropped)
{
    expect_drop(from_node2(ipip(kC, kA, inner())), REASON_TUNNEL_NESTED);
}

TEST_F(Tunnel, truncated_inner_header_is_dropped)
{
    expect_drop(from_uplink(ipip(kNode2, kNode, slice(inner(), 0, 19))), REASON_TUNNEL_TRUNCATED);
}

TEST_F(Tunnel, outer_length_beyond_the_frame_is_no_tunnel_packet)
{
    Bytes packet = ipip(kNode2, kNode, udp_packet(kC, 1000, kA, 80, 64));
    packet[3]++;
    EXPECT_EQ(from_uplink(packet).verdict, kUnspec) << "it is the host's to refuse";
    EXPECT_EQ(count(REASON_UNTOUCHED), 1u);
}

TEST_F(Tunnel, inner_packet_longer_than_the_outer_is_dropped)
{
    Bytes packet = ipip(kNode2, kNode, slice(inner(), 0, 40));
    packet.resize(packet.size() + 8); // the frame has the bytes, the outer packet has not
    expect_drop(from_uplink(packet), REASON_TUNNEL_TRUNCATED);
}

TEST_F(Tunnel, inner_packet_that_is_not_ipv4_is_dropped)
{
    Bytes bad = inner();
    bad[0] = 0x65;
    expect_drop(from_node2(bad), REASON_TUNNEL_TRUNCATED);
}

TEST_F(Tunnel, fragment_of_a_tunnel_packet_is_dropped)
{
    expect_drop(from_uplink(ipv4({.src = addr(kNode2), .dst = addr(kNode), .proto = 4, .frag = kMf},
                                 inner())),
                REASON_TUNNEL_FRAGMENT);
}

TEST_F(Tunnel, frame_for_another_machine_is_not_judged)
{
    EXPECT_EQ(from_uplink(ipip(kNode2, kNode, inner()), {.dst = Mac{2, 9, 9, 9, 9, 9}}).verdict,
              kUnspec);
    EXPECT_FALSE(was_judged(kIngressA));
}

TEST_F(Tunnel, decapsulated_packet_goes_nowhere_but_here)
{
    route("192.168.2.20/32", {ROUTE_REMOTE, 0, 0, kPath2, kNodeSlot2});
    expect_drop(from_node2(udp_packet(kC, 1, kD, 2)), REASON_TUNNEL_NOT_LOCAL);
}

TEST_F(Tunnel, decapsulated_packet_to_the_outside_is_dropped)
{
    expect_drop(from_node2(udp_packet(kC, 1, kOutside, 2)), REASON_TUNNEL_NOT_LOCAL);
}

TEST_F(Tunnel, own_address_without_endpoint_is_dropped)
{
    expect_drop(from_node2(udp_packet(kC, 1, "192.168.1.50", 2)), REASON_NO_ENDPOINT);
}

TEST_F(Tunnel, packet_to_the_tunnel_address_goes_to_the_stack_bare)
{
    const Bytes packet = tcp_packet(kC, 1000, kTunnel, 22, kSyn);

    const Outcome run = from_node2(packet);

    EXPECT_EQ(run.verdict, kOk);
    EXPECT_EQ(run.mark, std::uint32_t{MARK_SEEN});
    EXPECT_THAT(run.packet(), ElementsAreArray(packet));
}

TEST_F(Tunnel, ingress_policy_of_the_workload_is_asked)
{
    set_policy(kIngressA, "deny");
    expect_drop(from_node2(inner()), REASON_POLICY_INGRESS);
    EXPECT_FALSE(was_judged(kEgressA));
    EXPECT_EQ(judged(kIngressA).saddr, htonl(addr(kC)));
}

TEST_F(Tunnel, drop_names_the_sending_node)
{
    from_node2(udp_packet(kOutside, 1, kA, 2));
    const auto seen = events();
    ASSERT_EQ(seen.size(), 1u);
    EXPECT_EQ(seen[0].outer_saddr, htonl(addr(kNode2)));
    EXPECT_EQ(seen[0].hook, HOOK_FROM_UPLINK);
}

TEST_F(Tunnel, flow_from_a_node_remembers_its_way_in_and_back)
{
    EXPECT_EQ(from_node2(inner()).verdict, kRedirect);

    const auto entry = only_flow();
    ASSERT_TRUE(entry);
    EXPECT_TRUE(direction(entry->flow, true).action & FLOW_TUNNELLED);
    EXPECT_EQ(entry->flow.tunnel.outer_saddr, htonl(addr(kNode2)));
    EXPECT_EQ(entry->flow.tunnel.outer_daddr, htonl(addr(kNode)));
    EXPECT_FALSE(direction(entry->flow, false).action & FLOW_TUNNELLED);
    EXPECT_EQ(direction(entry->flow, true).in_ifindex, if_up_);
    EXPECT_EQ(verb_of(direction(entry->flow, false)), FLOW_REMOTE);
    EXPECT_EQ(out_of(direction(entry->flow, false)), kPath2);
    EXPECT_EQ(entry->flow.legs, FLOW_LEG_INGRESS);
    EXPECT_EQ(flow_count(kSlotA), 1u) << "the local workload pays";
}

// Invariant 8: an entry's direction is bound to its way in.
TEST_F(Tunnel, another_node_cannot_send_into_an_established_flow)
{
    establish_a_c();
    expect_drop(from_uplink(ipip(kNode3, kNode, tcp_packet(kC, 80, kA, 1000, kAck))),
                REASON_TUNNEL_SPOOFED);
}

TEST_F(Tunnel, established_flow_does_not_come_in_by_another_address_of_ours)
{
    establish_a_c();
    expect_drop(from_uplink(ipip(kNode2, kNode3, tcp_packet(kC, 80, kA, 1000, kAck))),
                REASON_TUNNEL_OTHER_DST);
}

TEST_F(Tunnel, established_flow_does_not_come_in_without_its_tunnel)
{
    establish_a_c();
    expect_drop(from_uplink(tcp_packet(kC, 80, kA, 1000, kAck)), REASON_PLAIN_POD_SOURCE);
}

TEST_F(Tunnel, neighbour_cannot_send_into_an_established_flow)
{
    establish_a_c();
    expect_drop(from_b(tcp_packet(kA, 1000, kC, 80, kAck)), REASON_SOURCE_SPOOFED);
}

TEST_F(Tunnel, plain_packet_with_a_source_of_a_tunnelled_pool_is_dropped)
{
    expect_drop(from_uplink(udp_packet(kC, 1, kA, 2)), REASON_PLAIN_POD_SOURCE);
}

TEST_F(Tunnel, plain_packet_to_the_host_with_a_source_of_a_tunnelled_pool_is_dropped)
{
    expect_drop(from_uplink(udp_packet(kC, 1, kNode, 2)), REASON_PLAIN_POD_SOURCE);
}

TEST_F(Tunnel, neighbour_of_the_host_with_a_pools_address_that_no_node_holds_reaches_the_host_only)
{
    EXPECT_EQ(from_uplink(tcp_packet("192.168.77.1", 1, kNode, 22, kSyn)).verdict, kUnspec);
    EXPECT_EQ(from_uplink(tcp_packet("192.168.77.1", 1, kOutside, 22, kSyn)).verdict, kUnspec);
    expect_drop(from_uplink(tcp_packet("192.168.77.1", 1, kA, 22, kSyn)), REASON_PLAIN_POD_SOURCE);
}

TEST_F(Tunnel, priority_tag_hides_no_false_source)
{
    const std::uint32_t priority = 5 << 13;
    expect_drop(from_vlan(priority, udp_packet(kC, 1, kNode, 2)), REASON_PLAIN_POD_SOURCE);
    EXPECT_EQ(from_vlan(priority, ipip(kNode2, kNode, inner())).verdict, kRedirect);
}

TEST_F(Tunnel, packet_of_a_vlan_is_left_to_the_vlans_interface_and_not_seen)
{
    const Outcome run = from_vlan(100, udp_packet(kC, 1, kNode, 2));
    EXPECT_EQ(run.verdict, kUnspec);
    EXPECT_EQ(run.mark & MARK_SEEN, 0u);
}

TEST_F(Tunnel, plain_packet_to_the_host_from_an_address_of_our_own_block_is_dropped)
{
    expect_drop(from_uplink(udp_packet("192.168.1.50", 1, kNode, 2)), REASON_PLAIN_POD_SOURCE);
}

TEST_F(Tunnel, plain_packet_with_a_source_of_our_own_workload_is_dropped)
{
    expect_drop(from_uplink(udp_packet(kB, 1, kA, 2)), REASON_PLAIN_POD_SOURCE);
}

TEST_F(Tunnel, plain_packet_to_a_workload_with_the_hosts_source_is_dropped)
{
    expect_drop(from_uplink(udp_packet(kNode, 1, kA, 2)), REASON_PLAIN_POD_SOURCE);
}

TEST_F(Tunnel, plain_packet_of_a_pool_without_tunnel_is_delivered)
{
    const Bytes packet = udp_packet(kD, 1, kA, 2);

    const Outcome run = from_uplink(packet);

    EXPECT_EQ(run.verdict, kRedirect);
    EXPECT_THAT(run.packet(), ElementsAreArray(forwarded(packet)));
    EXPECT_TRUE(was_judged(kIngressA));
}

TEST_F(Tunnel, plain_packet_to_an_own_address_without_endpoint_is_dropped)
{
    expect_drop(from_uplink(udp_packet(kOutside, 1, "192.168.1.50", 2)), REASON_NO_ENDPOINT);
}

TEST_F(Tunnel, client_from_outside_is_judged_and_goes_by_the_stack_both_ways)
{
    const Outcome in = from_uplink(tcp_packet(kOutside, 1000, kA, 80, kSyn));
    EXPECT_EQ(in.verdict, kOk);
    EXPECT_TRUE(was_judged(kIngressA));
    forget_judged(kIngressA);

    EXPECT_EQ(
        to_a(tcp_packet(kOutside, 1000, kA, 80, kSyn), {.ingress_ifindex = if_up_, .mark = in.mark})
            .verdict,
        kOk);
    const Outcome out = from_a(tcp_packet(kA, 80, kOutside, 1000, kSyn | kAck));
    EXPECT_EQ(out.verdict, kOk);
    EXPECT_EQ(out.mark, std::uint32_t{MARK_SEEN}) << "an answer: no egress is due";
    EXPECT_FALSE(was_judged(kEgressA));
}

TEST_F(Tunnel, traffic_of_the_host_is_left_alone)
{
    const Bytes packet = tcp_packet(kOutside, 1000, kNode, 22, kSyn);

    const Outcome run = from_uplink(packet);

    EXPECT_EQ(run.verdict, kUnspec);
    EXPECT_THAT(run.packet(), ElementsAreArray(packet));
    EXPECT_EQ(count(REASON_UNTOUCHED), 1u);
    EXPECT_TRUE(flows().empty());
}

TEST_F(Tunnel, host_gets_fragments_in_any_order_and_packets_of_any_shape)
{
    const Bytes later =
        ipv4({.src = addr(kOutside), .dst = addr(kNode), .proto = 17, .frag = 100}, Bytes(64));
    const Bytes odd = ipv4({.src = addr(kOutside), .dst = addr(kNode), .proto = 6}, Bytes(7));

    EXPECT_EQ(from_uplink(later).verdict, kUnspec);
    EXPECT_EQ(from_uplink(odd).verdict, kUnspec);
    EXPECT_EQ(from_uplink(Bytes(28), {.ethertype = 0x0806}).verdict, kUnspec);
    EXPECT_EQ(from_uplink(Bytes(40, 0x60), {.ethertype = 0x86dd}).verdict, kUnspec);
}

TEST_F(Tunnel, first_fragment_is_judged_and_later_ones_follow_it)
{
    const auto part = [&](std::uint16_t frag, const Bytes& data) {
        return ipv4({.src = addr(kC), .dst = addr(kA), .proto = 17, .id = 77, .frag = frag}, data);
    };
    EXPECT_EQ(from_node2(part(kMf, udp(1000, 53, 32))).verdict, kRedirect);
    EXPECT_EQ(from_node2(part(5, Bytes(24, 9))).verdict, kRedirect);
    EXPECT_EQ(flows().size(), 1u);
}

TEST_F(Tunnel, fragments_of_a_denied_datagram_are_all_denied)
{
    set_policy(kEgressA, "port80");
    const auto part = [&](std::uint16_t frag, const Bytes& data) {
        return ipv4({.src = addr(kA), .dst = addr(kC), .proto = 17, .id = 77, .frag = frag}, data);
    };
    EXPECT_EQ(from_a(part(kMf, udp(1000, 53, 32))).verdict, kShot);
    EXPECT_EQ(from_a(part(5, Bytes(24, 9))).verdict, kShot);
    EXPECT_EQ(count(REASON_POLICY_EGRESS), 2u);
}

TEST_F(Tunnel, fragment_without_its_first_part_is_dropped)
{
    expect_drop(from_a(ipv4({.src = addr(kA), .dst = addr(kC), .proto = 17, .frag = 5}, Bytes(24))),
                REASON_FRAGMENT_UNKNOWN);
}

TEST_F(Tunnel, fragment_does_not_complete_a_datagram_of_another_interface)
{
    from_a(
        ipv4({.src = addr(kA), .dst = addr(kC), .proto = 17, .id = 5, .frag = kMf}, udp(1, 2, 8)));
    expect_drop(from_b(ipv4({.src = addr(kA), .dst = addr(kC), .proto = 17, .id = 5, .frag = 2},
                            Bytes(24))),
                REASON_FRAGMENT_UNKNOWN);
}

} // namespace
} // namespace margay::testing
