// SPDX-License-Identifier: Apache-2.0
// Traffic through the host stack: the host's own, and what the stack translates (Services,
// natOutgoing). The stack's work between two hooks is done here by hand: other addresses, the mark
// and the ingress interface carried over.

#include "bpf/datapath/datapath.h"

namespace margay::testing {
namespace {

using ::testing::ElementsAreArray;

struct Stack : Datapath {
    static constexpr const char* kService = "10.96.0.10";

    // What a packet carries behind the stack when workload a sent it.
    RunOptions after(const Outcome& run) { return {.ingress_ifindex = if_a_, .mark = run.mark}; }
    RunOptions from_link() { return {.ingress_ifindex = if_up_, .mark = MARK_SEEN}; }
};

TEST_F(Stack, hosts_own_packet_to_a_remote_workload_is_encapsulated)
{
    const Bytes packet = tcp_packet(kTunnel, 1000, kC, 80, kSyn);

    const Outcome run = to_uplink(packet);

    EXPECT_EQ(run.verdict, kOk);
    EXPECT_EQ(read_ipv4(run.frame).dst, addr(kNode2));
    EXPECT_EQ(read_ipv4(run.frame).src, addr(kNode));
    EXPECT_THAT(slice(run.frame, kEthernet + 20), ElementsAreArray(packet)) << "no hop less";
    EXPECT_EQ(slice(run.frame, 6, 6), (Bytes{2, 0, 0, 0, 0, 1})) << "the stack's link header";
    EXPECT_EQ(run.mark & MARK_DONE, std::uint32_t{MARK_DONE});
    EXPECT_TRUE(flows().empty());
}

TEST_F(Stack, hosts_own_packet_to_a_node_without_tunnel_leaves_plain)
{
    const Bytes packet = tcp_packet(kNode, 1000, kD, 80, kSyn);
    EXPECT_THAT(to_uplink(packet).packet(), ElementsAreArray(packet));
}

TEST_F(Stack, hosts_own_traffic_to_the_world_is_untouched)
{
    const Bytes packet = tcp_packet(kNode, 1000, kOutside, 443, kSyn);

    const Outcome run = to_uplink(packet);

    EXPECT_EQ(run.verdict, kUnspec);
    EXPECT_THAT(run.packet(), ElementsAreArray(packet));
    EXPECT_EQ(to_uplink(Bytes(40, 0x60), {.ethertype = 0x86dd}).verdict, kUnspec);
    EXPECT_EQ(
        to_uplink(ipv4({.src = addr(kNode), .dst = addr(kOutside), .proto = 6}, Bytes(3))).verdict,
        kUnspec);
}

TEST_F(Stack, hosts_packet_too_big_for_the_tunnel_is_dropped_and_counted)
{
    expect_drop(to_uplink(tcp_packet(kTunnel, 1000, kC, 80, kSyn, kMtu)), REASON_TOO_BIG);
}

TEST_F(Stack, packet_to_the_outside_goes_to_the_stack_with_its_egress_pending)
{
    const Outcome run = from_a(tcp_packet(kA, 1000, kOutside, 443, kSyn));

    EXPECT_EQ(run.verdict, kOk);
    EXPECT_EQ(run.mark, std::uint32_t{MARK_SEEN | MARK_PENDING});
    EXPECT_FALSE(was_judged(kEgressA));
}

TEST_F(Stack, egress_to_the_outside_is_judged_on_the_uplink)
{
    set_policy(kEgressA, "deny");
    const Bytes packet = tcp_packet(kA, 1000, kOutside, 443, kSyn);
    expect_drop(to_uplink(packet, after(from_a(packet))), REASON_POLICY_EGRESS);
}

TEST_F(Stack, egress_under_a_translated_source_is_judged_under_the_workloads_address)
{
    const Outcome in = from_a(tcp_packet(kA, 1000, kOutside, 443, kSyn));
    const Bytes translated = tcp_packet(kNode, 30000, kOutside, 443, kSyn);

    const Outcome out = to_uplink(translated, after(in));

    EXPECT_EQ(out.verdict, kOk);
    EXPECT_THAT(out.packet(), ElementsAreArray(translated));
    EXPECT_EQ(judged(kEgressA).saddr, htonl(addr(kA)));
    EXPECT_EQ(judged(kEgressA).dport, htons(443));
    EXPECT_EQ(flows().size(), 2u) << "one entry before translation, one after it";
}

TEST_F(Stack, egress_behind_the_stack_is_judged_once_a_flow)
{
    const Bytes packet = tcp_packet(kA, 1000, kOutside, 443, kSyn);
    to_uplink(packet, after(from_a(packet)));
    forget_judged(kEgressA);
    const Bytes next = tcp_packet(kA, 1000, kOutside, 443, kAck);
    EXPECT_EQ(to_uplink(next, after(from_a(next))).verdict, kOk);
    EXPECT_FALSE(was_judged(kEgressA));

    set_policy(kEgressA, "deny");
    bump(kSlotA);
    EXPECT_EQ(to_uplink(next, after(from_a(next))).verdict, kShot);
}

TEST_F(Stack, answers_to_a_translated_flow_come_back_to_the_workload)
{
    set_policy(kIngressA, "deny");
    const Outcome in = from_a(tcp_packet(kA, 1000, kOutside, 443, kSyn));
    to_uplink(tcp_packet(kNode, 30000, kOutside, 443, kSyn), after(in));

    const Outcome answer = from_uplink(tcp_packet(kOutside, 443, kNode, 30000, kSyn | kAck));
    EXPECT_EQ(answer.verdict, kOk);
    EXPECT_EQ(answer.mark, std::uint32_t{MARK_SEEN});
    EXPECT_EQ(to_a(tcp_packet(kOutside, 443, kA, 1000, kSyn | kAck),
                   {.ingress_ifindex = if_up_, .mark = answer.mark})
                  .verdict,
              kOk);
    EXPECT_FALSE(was_judged(kIngressA));
}

TEST_F(Stack, unjudged_flow_to_the_outside_does_not_open_the_workload_to_it)
{
    set_policy(kIngressA, "deny");
    set_policy(kEgressA, "deny");
    from_a(udp_packet(kA, 1000, kOutside, 53)); // leaves an entry, its egress pending
    expect_drop(from_uplink(udp_packet(kOutside, 53, kA, 1000)), REASON_POLICY_INGRESS);
}

TEST_F(Stack, service_on_a_remote_workload_is_judged_after_translation_and_encapsulated)
{
    const Outcome in = from_a(tcp_packet(kA, 1000, kService, 80, kSyn));
    const Bytes translated = tcp_packet(kA, 1000, kC, 8080, kSyn);

    const Outcome out = to_uplink(translated, after(in));

    EXPECT_EQ(judged(kEgressA).daddr, htonl(addr(kC)));
    EXPECT_EQ(judged(kEgressA).dport, htons(8080));
    EXPECT_THAT(slice(out.frame, kEthernet + 20), ElementsAreArray(translated));
    EXPECT_EQ(read_ipv4(out.frame).dst, addr(kNode2));
}

// Invariant 2: what the stack translated one way it must see the other way.
TEST_F(Stack, answer_of_a_service_on_a_remote_workload_goes_by_the_stack)
{
    const Outcome in = from_a(tcp_packet(kA, 1000, kService, 80, kSyn));
    to_uplink(tcp_packet(kA, 1000, kC, 8080, kSyn), after(in));
    const Bytes answer = tcp_packet(kC, 8080, kA, 1000, kSyn | kAck);

    const Outcome run = from_node2(answer);
    EXPECT_EQ(run.verdict, kOk);
    EXPECT_EQ(run.mark, std::uint32_t{MARK_SEEN});
    EXPECT_THAT(run.packet(), ElementsAreArray(answer));

    set_policy(kIngressA, "deny");
    EXPECT_EQ(to_a(tcp_packet(kService, 80, kA, 1000, kSyn | kAck), from_link()).verdict, kOk);
}

TEST_F(Stack, service_on_a_local_workload_is_judged_for_both_ends_and_stays_on_the_stack)
{
    const Outcome in = from_a(tcp_packet(kA, 1000, kService, 80, kSyn));

    EXPECT_EQ(to_b(tcp_packet(kA, 1000, kB, 8080, kSyn), after(in)).verdict, kOk);
    EXPECT_EQ(judged(kEgressA).daddr, htonl(addr(kB)));
    EXPECT_EQ(judged(kIngressB).dport, htons(8080));

    const Outcome answer = from_b(tcp_packet(kB, 8080, kA, 1000, kSyn | kAck));
    EXPECT_EQ(answer.verdict, kOk) << "not past the stack, which must translate back";
    EXPECT_EQ(answer.mark, std::uint32_t{MARK_SEEN});
    EXPECT_EQ(to_a(tcp_packet(kService, 80, kA, 1000, kSyn | kAck),
                   {.ingress_ifindex = if_b_, .mark = answer.mark})
                  .verdict,
              kOk);
}

TEST_F(Stack, flow_by_the_stack_stays_there_when_it_is_judged_again)
{
    const Outcome in = from_a(tcp_packet(kA, 1000, kService, 80, kSyn));
    to_b(tcp_packet(kA, 1000, kB, 8080, kSyn), after(in));
    bump(kSlotB);
    EXPECT_EQ(from_b(tcp_packet(kB, 8080, kA, 1000, kAck)).verdict, kOk);
    bump(kSlotA);
    EXPECT_EQ(from_b(tcp_packet(kB, 8080, kA, 1000, kAck)).verdict, kOk);
}

TEST_F(Stack, flow_past_the_stack_stays_there_when_it_is_judged_again)
{
    establish_a_b();
    bump(kSlotA);
    EXPECT_EQ(from_b(tcp_packet(kB, 80, kA, 1000, kAck)).verdict, kRedirect);
}

TEST_F(Stack, service_denied_to_the_client_is_dropped_behind_the_stack)
{
    set_policy(kEgressA, "deny");
    const Outcome in = from_a(tcp_packet(kA, 1000, kService, 80, kSyn));
    expect_drop(to_b(tcp_packet(kA, 1000, kB, 8080, kSyn), after(in)), REASON_POLICY_EGRESS);
}

TEST_F(Stack, pending_flow_survives_a_new_generation)
{
    const Outcome in = from_a(tcp_packet(kA, 1000, kService, 80, kSyn));
    to_b(tcp_packet(kA, 1000, kB, 8080, kSyn), after(in));
    set_policy(kIngressA, "deny");
    bump(kSlotA);
    EXPECT_EQ(to_a(tcp_packet(kService, 80, kA, 1000, kAck),
                   {.ingress_ifindex = if_b_, .mark = MARK_SEEN})
                  .verdict,
              kOk);
    const Outcome next = from_a(tcp_packet(kA, 1000, kService, 80, kAck));
    EXPECT_EQ(next.mark, std::uint32_t{MARK_SEEN | MARK_PENDING});
}

TEST_F(Stack, forwarded_client_is_judged_by_ingress_policy_alone)
{
    set_policy(kEgressA, "deny");
    EXPECT_EQ(to_a(tcp_packet(kOutside, 1000, kA, 8080, kSyn), from_link()).verdict, kOk);
    EXPECT_EQ(judged(kIngressA).saddr, htonl(addr(kOutside)));

    const Outcome answer = from_a(tcp_packet(kA, 8080, kOutside, 1000, kSyn | kAck));
    EXPECT_EQ(answer.verdict, kOk);
    EXPECT_EQ(answer.mark, std::uint32_t{MARK_SEEN}) << "its egress is not due: an answer";
    // Translated back (node port), the answer leaves unjudged: nothing is pending.
    EXPECT_EQ(
        to_uplink(tcp_packet(kNode, 30080, kOutside, 1000, kSyn | kAck), after(answer)).verdict,
        kUnspec);
    EXPECT_FALSE(was_judged(kEgressA));
}

TEST_F(Stack, forwarded_client_that_ingress_denies_is_dropped)
{
    set_policy(kIngressA, "deny");
    expect_drop(to_a(tcp_packet(kOutside, 1000, kA, 8080, kSyn), from_link()),
                REASON_POLICY_INGRESS);
}

TEST_F(Stack, forwarded_client_that_ingress_denies_now_is_cut_also_where_the_workload_speaks_next)
{
    const Bytes asks = tcp_packet(kOutside, 1000, kA, 8080, kAck);
    const Bytes answers = tcp_packet(kA, 8080, kOutside, 1000, kAck);
    ASSERT_EQ(to_a(tcp_packet(kOutside, 1000, kA, 8080, kSyn), from_link()).verdict, kOk);
    ASSERT_EQ(from_a(tcp_packet(kA, 8080, kOutside, 1000, kSyn | kAck)).verdict, kOk);
    set_policy(kIngressA, "deny");

    for (int round = 0; round < 2; round++) { // the tombstone is judged again too
        bump(kSlotA);
        EXPECT_EQ(from_a(answers).verdict, kShot);
        EXPECT_EQ(from_uplink(asks).verdict, kShot);
        EXPECT_EQ(to_a(asks, from_link()).verdict, kShot);
    }
}

TEST_F(Stack, answer_to_a_forwarded_client_keeps_its_flow_when_it_is_judged_again)
{
    set_policy(kEgressA, "deny");
    ASSERT_EQ(to_a(tcp_packet(kOutside, 1000, kA, 8080, kSyn), from_link()).verdict, kOk);
    forget_judged(kIngressA);
    bump(kSlotA);

    const Outcome answer = from_a(tcp_packet(kA, 8080, kOutside, 1000, kSyn | kAck));

    EXPECT_EQ(answer.verdict, kOk);
    EXPECT_EQ(answer.mark, std::uint32_t{MARK_SEEN}) << "nothing is pending";
    EXPECT_EQ(judged(kIngressA).dport, htons(8080));
    EXPECT_EQ(only_flow()->flow.legs, FLOW_LEG_INGRESS);
    EXPECT_EQ(only_flow()->flow.dst.slot, kSlotA);
}

TEST_F(Stack, connection_from_outside_is_picked_up_also_where_the_workload_speaks_first)
{
    set_policy(kEgressA, "deny");
    const Bytes answers = tcp_packet(kA, 8080, kOutside, 1000, kAck);
    const Bytes asks = tcp_packet(kOutside, 1000, kA, 8080, kAck);

    EXPECT_EQ(to_uplink(answers, after(from_a(answers))).verdict, kOk);
    EXPECT_EQ(judged(kIngressA).dport, htons(8080));
    EXPECT_EQ(only_flow()->flow.legs, FLOW_LEG_INGRESS);
    EXPECT_EQ(only_flow()->flow.state, FLOW_SEEN_RESP);
    EXPECT_EQ(from_uplink(asks).verdict, kOk);
    EXPECT_EQ(to_a(asks, from_link()).verdict, kOk);
    EXPECT_EQ(from_a(answers).mark, std::uint32_t{MARK_SEEN}) << "the client's flow";
}

TEST_F(Stack, flow_that_was_judged_is_not_turned_when_it_is_pending_again)
{
    const Bytes packet = tcp_packet(kA, 1000, kOutside, 443, kAck);
    ASSERT_EQ(to_uplink(packet, after(from_a(packet))).verdict, kOk);
    set_policy(kEgressA, "deny"); // the outside might begin flows to a

    for (int i = 0; i < 2; i++) {
        bump(kSlotA);
        from_a(packet);
        const Outcome next = from_a(packet);
        EXPECT_EQ(to_uplink(packet, after(next)).verdict, kShot);
    }
}

TEST_F(Stack, workload_that_answers_the_host_unasked_leaves_no_flow_of_the_hosts)
{
    set_policy(kEgressA, "deny");
    EXPECT_EQ(from_a(tcp_packet(kA, 8080, kNode, 1000, kAck)).verdict, kOk);
    EXPECT_TRUE(flows().empty());
}

TEST_F(Stack, workload_is_not_believed_that_the_host_has_asked_by_udp_even_while_grace_lasts)
{
    set_policy(kEgressA, "deny");
    const std::uint32_t now = collect();
    change_config([&](auto& config) { config.grace_until = now + 100000; });
    expect_drop(from_a(udp_packet(kA, 53, kNode, 1000)), REASON_POLICY_EGRESS);
}

TEST_F(Stack, workloads_packet_without_our_mark_is_judged_on_the_uplink)
{
    set_policy(kEgressA, "deny");
    expect_drop(to_uplink(tcp_packet(kA, 1000, kC, 80, kSyn), {.ingress_ifindex = if_a_}),
                REASON_POLICY_EGRESS);
}

TEST_F(Stack, transit_between_two_links_is_untouched)
{
    const Bytes packet = tcp_packet("10.1.1.1", 1, kOutside, 2, kSyn);
    const Outcome run = to_uplink(packet, {.ingress_ifindex = 1});
    EXPECT_EQ(run.verdict, kUnspec);
    EXPECT_THAT(run.packet(), ElementsAreArray(packet));
}

TEST_F(Stack, marks_of_others_are_kept)
{
    EXPECT_EQ(from_a(tcp_packet(kA, 1, kOutside, 2, kSyn), {.mark = 0xabcd4f0f}).mark,
              0xabcd4f0fu | MARK_SEEN | MARK_PENDING);
}

TEST_F(Stack, workload_cannot_bring_a_mark_of_ours)
{
    EXPECT_EQ(from_a(tcp_packet(kA, 1, kNode, 2, kSyn), {.mark = MARK_DONE | MARK_NOTRACK}).mark,
              std::uint32_t{MARK_SEEN});
}

TEST_F(Stack, arp_of_the_host_reaches_the_workload)
{
    EXPECT_EQ(to_a(Bytes(28), {.ethertype = 0x0806}).verdict, kOk);
}

} // namespace
} // namespace margay::testing
