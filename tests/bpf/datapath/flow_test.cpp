// SPDX-License-Identifier: Apache-2.0
// What is remembered: one lookup for established flows, generations, directions, states, pick-up
// from the middle, budgets, collection.

#include "bpf/datapath/datapath.h"

namespace margay::testing {
namespace {

struct Flow : Datapath {
    // Everything the slow path reads is gone; only flows, endpoints and paths are left.
    void empty_behind_the_agents_back()
    {
        for (const char* map : {"routes4", "nodes4", "classes4", "policies", "workloads"})
            empty(map);
    }
    // As if another CPU had written the entry, long enough ago for no copy to be left.
    void rewrite(const Entry& entry)
    {
        put("flows4", entry.key, entry.flow);
        empty("hot_flows");
    }
    void age_all(std::uint32_t seconds)
    {
        const std::uint32_t hz = 1000; // no kernel has more
        for (auto entry : flows()) {
            entry.flow.last_seen -= seconds * hz;
            put("flows4", entry.key, entry.flow);
        }
    }
};

TEST_F(Flow, established_tunnel_flow_needs_no_routes_nodes_classes_or_policies)
{
    establish_a_c();
    empty_behind_the_agents_back();

    EXPECT_EQ(a_to_c().verdict, kRedirect);
    EXPECT_EQ(c_to_a().verdict, kRedirect);

    bump(kSlotA);
    EXPECT_EQ(a_to_c().verdict, kShot) << "a moved generation is judged again";
}

TEST_F(Flow, established_local_flow_needs_no_routes_nodes_classes_or_policies)
{
    establish_a_b();
    empty_behind_the_agents_back();

    EXPECT_EQ(from_a(tcp_packet(kA, 1000, kB, 80, kAck)).verdict, kRedirect);
    EXPECT_EQ(from_b(tcp_packet(kB, 80, kA, 1000, kAck)).verdict, kRedirect);
}

TEST_F(Flow, moved_generation_is_judged_again_and_keeps_the_tcp_state)
{
    establish_a_c();
    forget_judged(kEgressA);
    bump(kSlotA);

    EXPECT_EQ(a_to_c().verdict, kRedirect);
    EXPECT_TRUE(was_judged(kEgressA));
    EXPECT_EQ(count(REASON_FLOW_REJUDGED), 1u);
    EXPECT_EQ(only_flow()->flow.state, FLOW_SEEN_INIT | FLOW_SEEN_RESP);
    EXPECT_EQ(only_flow()->flow.src.generation, 101u);

    forget_judged(kEgressA);
    EXPECT_EQ(a_to_c().verdict, kRedirect);
    EXPECT_FALSE(was_judged(kEgressA)) << "once is enough";
}

TEST_F(Flow, answer_to_a_stale_flow_is_judged_in_the_direction_in_which_the_flow_began)
{
    establish_a_c();
    set_policy(kIngressA, "deny"); // would forbid c to begin
    forget_judged(kEgressA);
    bump(kSlotA);

    EXPECT_EQ(c_to_a().verdict, kRedirect);
    const judgement asked = judged(kEgressA);
    EXPECT_EQ(asked.saddr, htonl(addr(kA)));
    EXPECT_EQ(asked.dport, htons(80));
    EXPECT_FALSE(was_judged(kIngressA));
}

TEST_F(Flow, established_flow_is_cut_when_its_policy_denies_now)
{
    establish_a_c();
    set_policy(kEgressA, "deny");
    bump(kSlotA);

    EXPECT_EQ(a_to_c().verdict, kShot);
    EXPECT_EQ(count(REASON_POLICY_EGRESS), 1u);
    EXPECT_EQ(c_to_a().verdict, kShot) << "the answer direction too";
    EXPECT_EQ(count(REASON_POLICY_CHANGED), 1u);
}

TEST_F(Flow, flow_cut_by_policy_is_not_picked_up_from_its_middle_by_the_other_side)
{
    establish_a_c(); // c may begin flows to a, but this one a began
    set_policy(kEgressA, "deny");
    bump(kSlotA);

    for (int i = 0; i < 3; i++) {
        EXPECT_EQ(c_to_a().verdict, kShot);
        EXPECT_EQ(a_to_c().verdict, kShot);
    }
}

TEST_F(Flow, flow_cut_by_policy_goes_on_when_the_policy_is_taken_back)
{
    establish_a_c();
    set_policy(kEgressA, "deny");
    bump(kSlotA);
    EXPECT_EQ(a_to_c().verdict, kShot);
    set_policy(kEgressA, "allow");
    bump(kSlotA);

    EXPECT_EQ(a_to_c().verdict, kRedirect);
    EXPECT_EQ(c_to_a().verdict, kRedirect);
    EXPECT_EQ(only_flow()->flow.state, FLOW_SEEN_INIT | FLOW_SEEN_RESP);
}

// The generation may be the new one, while the route or node that was read is the old one.
TEST_F(Flow, flow_that_a_change_overtakes_is_remembered_and_judged_again)
{
    set_policy(kEgressA, "overtaken");
    EXPECT_EQ(a_to_c(kSyn).verdict, kRedirect);
    EXPECT_EQ(only_flow()->flow.src.generation, 99u);
    set_policy(kEgressA, "allow");
    set_policy(kIngressA, "deny"); // would forbid c to begin
    forget_judged(kEgressA);

    EXPECT_EQ(c_to_a(kSyn | kAck).verdict, kRedirect) << "who began is known";
    EXPECT_TRUE(was_judged(kEgressA));
    EXPECT_EQ(only_flow()->flow.src.generation, 100u);
    forget_judged(kEgressA);
    EXPECT_EQ(a_to_c().verdict, kRedirect);
    EXPECT_FALSE(was_judged(kEgressA)) << "once is enough";
}

TEST_F(Flow, cut_that_a_change_overtakes_is_judged_again)
{
    const auto to_81 = [&] { return from_a(tcp_packet(kA, 1000, kC, 81, kAck)).verdict; };
    EXPECT_EQ(to_81(), kRedirect);
    set_policy(kEgressA, "overtaken"); // denies port 81
    bump(kSlotA);
    EXPECT_EQ(to_81(), kShot);

    set_policy(kEgressA, "allow");
    EXPECT_EQ(to_81(), kRedirect) << "the tombstone is of the generation before";
    EXPECT_EQ(only_flow()->flow.src.generation, 101u);
}

TEST_F(Flow, generation_of_either_end_counts)
{
    establish_a_b();
    forget_judged(kIngressB);
    set_policy(kIngressB, "deny");
    EXPECT_EQ(from_a(tcp_packet(kA, 1000, kB, 80, kAck)).verdict, kRedirect) << "not bumped yet";
    bump(kSlotB);
    EXPECT_EQ(from_a(tcp_packet(kA, 1000, kB, 80, kAck)).verdict, kShot);
}

TEST_F(Flow, generation_of_others_does_not_count)
{
    establish_a_c();
    bump(kSlotB);
    EXPECT_EQ(a_to_c().verdict, kRedirect);
    EXPECT_EQ(count(REASON_FLOW_REJUDGED), 0u);
}

TEST_F(Flow, workload_that_took_over_an_address_inherits_no_flow)
{
    establish_a_c();
    set_policy(kEgressA, "deny");
    set_policy(kIngressA, "deny");
    change_endpoint(kSlotA, [](auto& endpoint) { endpoint.incarnation++; });

    EXPECT_EQ(c_to_a().verdict, kShot);
    EXPECT_EQ(count(REASON_POLICY_INGRESS), 1u) << "judged as a new flow of c's";
}

TEST_F(Flow, collection_purges_the_flows_of_a_removed_endpoint)
{
    establish_a_c();
    establish_a_b();
    put("endpoints", kSlotB, endpoint{});
    collect();

    EXPECT_EQ(flows().size(), 1u);
    EXPECT_EQ(count(REASON_FLOW_EXPIRED), 1u);
    EXPECT_EQ(flow_count(kSlotA), 1u);
}

TEST_F(Flow, syn_on_an_established_flow_is_judged_again)
{
    establish_a_c();
    forget_judged(kEgressA);
    EXPECT_EQ(a_to_c(kSyn).verdict, kRedirect);
    EXPECT_TRUE(was_judged(kEgressA));
    EXPECT_EQ(flows().size(), 1u);
}

TEST_F(Flow, syn_from_the_other_side_is_a_new_flow)
{
    establish_a_c();
    forget_judged(kIngressA);
    EXPECT_EQ(c_to_a(kSyn).verdict, kRedirect);

    EXPECT_TRUE(was_judged(kIngressA));
    EXPECT_EQ(only_flow()->flow.state, FLOW_SEEN_INIT);
    EXPECT_EQ(only_flow()->flow.dst.slot, kSlotA);
}

TEST_F(Flow, denied_syn_from_the_other_side_leaves_the_flow_alone)
{
    establish_a_c();
    set_policy(kIngressA, "deny");

    EXPECT_EQ(c_to_a(kSyn).verdict, kShot);
    EXPECT_EQ(a_to_c().verdict, kRedirect);
    EXPECT_EQ(c_to_a().verdict, kRedirect);
}

TEST_F(Flow, syn_after_the_end_is_a_new_flow)
{
    establish_a_c();
    a_to_c(kFin | kAck);
    c_to_a(kFin | kAck);
    EXPECT_EQ(only_flow()->flow.state,
              FLOW_SEEN_INIT | FLOW_SEEN_RESP | FLOW_FIN_INIT | FLOW_FIN_RESP);

    EXPECT_EQ(a_to_c(kSyn).verdict, kRedirect);
    EXPECT_EQ(only_flow()->flow.state, FLOW_SEEN_INIT);
}

TEST_F(Flow, reset_is_remembered)
{
    establish_a_c();
    c_to_a(kRst);
    EXPECT_TRUE(only_flow()->flow.state & FLOW_RST);
}

TEST_F(Flow, answer_alone_is_no_flow_where_only_the_asker_may_begin)
{
    set_policy(kIngressA, "deny");
    EXPECT_EQ(from_node2(udp_packet(kC, 53, kA, 1000)).verdict, kShot);

    from_a(udp_packet(kA, 1000, kC, 53));
    EXPECT_EQ(from_node2(udp_packet(kC, 53, kA, 1000)).verdict, kRedirect);
    EXPECT_EQ(from_node2(udp_packet(kC, 54, kA, 1000)).verdict, kShot);
}

TEST_F(Flow, echo_reply_matches_its_request_and_a_request_from_the_other_side_does_not)
{
    set_policy(kIngressA, "deny");
    EXPECT_EQ(from_a(echo_packet(kA, kC, 7)).verdict, kRedirect);
    EXPECT_EQ(from_node2(echo_packet(kC, kA, 7, true)).verdict, kRedirect);
    EXPECT_EQ(from_node2(echo_packet(kC, kA, 8, true)).verdict, kShot) << "another id";
    EXPECT_EQ(from_node2(echo_packet(kC, kA, 7)).verdict, kShot) << "c asks";
    EXPECT_EQ(only_flow()->key.query, 8);
}

TEST_F(Flow, echo_reply_that_nobody_asked_for_is_judged_and_not_remembered)
{
    EXPECT_EQ(from_node2(echo_packet(kC, kA, 7, true)).verdict, kRedirect);
    EXPECT_EQ(judged(kIngressA).icmp_type, 0);
    EXPECT_TRUE(flows().empty());
}

TEST_F(Flow, icmp_error_of_a_known_flow_passes_whatever_the_policy)
{
    establish_a_c();
    set_policy(kIngressA, "deny");
    const Bytes quoted = slice(tcp_packet(kA, 1000, kC, 80, kAck), 0, 28);
    const Bytes error =
        ipv4({.src = addr(kC), .dst = addr(kA), .proto = 1}, icmp(3, 3, 0, 0, quoted));

    EXPECT_EQ(from_node2(error).verdict, kRedirect);
    EXPECT_FALSE(was_judged(kIngressA));
}

TEST_F(Flow, icmp_error_from_the_workload_about_a_known_flow_passes)
{
    set_policy(kEgressA, "deny");
    from_node2(udp_packet(kC, 1000, kA, 53));
    const Bytes quoted = slice(udp_packet(kC, 1000, kA, 53), 0, 28);

    EXPECT_EQ(from_a(ipv4({.src = addr(kA), .dst = addr(kC), .proto = 1}, icmp(3, 3, 0, 0, quoted)))
                  .verdict,
              kRedirect);
}

TEST_F(Flow, icmp_error_of_no_known_flow_is_judged_as_it_is)
{
    set_policy(kIngressA, "deny");
    const Bytes quoted = slice(tcp_packet(kA, 1000, kC, 81, kAck), 0, 28);
    expect_drop(
        from_node2(ipv4({.src = addr(kC), .dst = addr(kA), .proto = 1}, icmp(3, 3, 0, 0, quoted))),
        REASON_POLICY_INGRESS);
}

TEST_F(Flow, icmp_error_that_quotes_what_its_receiver_did_not_send_is_judged_as_it_is)
{
    establish_a_c();
    set_policy(kIngressB, "deny");
    const Bytes quoted = slice(tcp_packet(kA, 1000, kC, 80, kAck), 0, 28);
    expect_drop(
        from_node2(ipv4({.src = addr(kC), .dst = addr(kB), .proto = 1}, icmp(3, 3, 0, 0, quoted))),
        REASON_POLICY_INGRESS);
}

TEST_F(Flow, icmp_error_of_a_workload_in_anothers_name_is_spoofed)
{
    from_node2(udp_packet(kC, 1000, kA, 53));
    const Bytes quoted = slice(udp_packet(kC, 1000, kA, 53), 0, 28);
    expect_drop(from_a(ipv4({.src = addr(kOutside), .dst = addr(kC), .proto = 1},
                            icmp(3, 3, 0, 0, quoted))),
                REASON_SOURCE_SPOOFED);
}

TEST_F(Flow, tcp_from_the_middle_is_picked_up_if_the_sender_may_begin)
{
    EXPECT_EQ(a_to_c().verdict, kRedirect);
    EXPECT_EQ(count(REASON_FLOW_PICKED_UP), 1u);
    EXPECT_EQ(only_flow()->flow.state, FLOW_SEEN_INIT) << "short timeout until both are seen";
    EXPECT_EQ(only_flow()->flow.src.slot, kSlotA);
}

TEST_F(Flow, tcp_from_the_middle_is_picked_up_if_the_receiver_may_have_begun)
{
    set_policy(kEgressA, "deny");
    EXPECT_EQ(a_to_c().verdict, kRedirect);

    EXPECT_EQ(judged(kIngressA).saddr, htonl(addr(kC)));
    EXPECT_EQ(judged(kIngressA).dport, htons(1000));
    EXPECT_EQ(only_flow()->flow.dst.slot, kSlotA) << "c is taken for the initiator";
}

TEST_F(Flow, tcp_from_the_middle_that_neither_side_may_begin_is_denied)
{
    set_policy(kEgressA, "deny");
    set_policy(kIngressA, "deny");
    expect_drop(a_to_c(), REASON_POLICY_EGRESS);
    EXPECT_TRUE(flows().empty());
}

TEST_F(Flow, reset_without_flow_passes_and_is_not_remembered)
{
    EXPECT_EQ(a_to_c(kRst).verdict, kRedirect);
    EXPECT_TRUE(flows().empty());
}

TEST_F(Flow, syn_is_never_tried_the_other_way_round)
{
    set_policy(kEgressA, "deny");
    expect_drop(a_to_c(kSyn), REASON_POLICY_EGRESS);
    EXPECT_FALSE(was_judged(kIngressA));
}

TEST_F(Flow, udp_answers_are_picked_up_while_grace_lasts)
{
    set_policy(kIngressA, "deny");
    const Bytes answer = udp_packet(kC, 53, kA, 1000);
    EXPECT_EQ(from_node2(answer).verdict, kShot);
    const std::uint32_t now = collect();
    change_config([&](auto& config) { config.grace_until = now + 100000; });
    EXPECT_EQ(from_node2(answer).verdict, kRedirect);
    EXPECT_EQ(only_flow()->flow.src.slot, kSlotA);
    change_config([&](auto& config) { config.grace_until = now - 1; });
    EXPECT_EQ(from_node2(udp_packet(kC, 54, kA, 1000)).verdict, kShot);
}

TEST_F(Flow, grace_that_ended_long_ago_does_not_come_back_when_jiffies_wrap)
{
    set_policy(kIngressA, "deny");
    const std::uint32_t now = collect();
    change_config([&](auto& config) { config.grace_until = now - 0x80000100u; });
    EXPECT_EQ(from_node2(udp_packet(kC, 53, kA, 1000)).verdict, kShot);
}

TEST_F(Flow, denied_flood_leaves_no_entries)
{
    set_policy(kEgressA, "deny");
    for (std::uint16_t port = 1; port < 500; port++)
        from_a(udp_packet(kA, port, kC, 80));
    EXPECT_TRUE(flows().empty());
    EXPECT_EQ(flow_count(kSlotA), 0u);
}

TEST_F(Flow, flood_does_not_push_out_an_established_flow)
{
    establish_a_c();
    for (std::uint16_t port = 1; port < 600; port++)
        from_b(udp_packet(kB, port, kC, 80));

    EXPECT_EQ(flows().size(), 256u);
    forget_judged(kEgressA);
    EXPECT_EQ(a_to_c().verdict, kRedirect);
    EXPECT_FALSE(was_judged(kEgressA));
}

TEST_F(Flow, full_table_lets_allowed_traffic_pass_judged_and_counts_it)
{
    for (std::uint16_t port = 1; port <= 300; port++)
        EXPECT_EQ(from_b(udp_packet(kB, port, kC, 80)).verdict, kRedirect);
    EXPECT_EQ(count(REASON_FLOW_TABLE_FULL), 300u - 256u);
    EXPECT_EQ(count(REASON_FLOW_CREATED), 256u);
    EXPECT_EQ(flow_count(kSlotB), 256u);

    set_policy(kEgressA, "deny");
    EXPECT_EQ(from_a(udp_packet(kA, 1, kC, 80)).verdict, kShot);
}

TEST_F(Flow, budget_bounds_one_endpoint_and_not_its_neighbour)
{
    change_config([](auto& config) { config.flow_budget = 10; });
    for (std::uint16_t port = 1; port <= 15; port++)
        EXPECT_EQ(from_b(udp_packet(kB, port, kC, 80)).verdict, kRedirect);
    EXPECT_EQ(flow_count(kSlotB), 10u);
    EXPECT_EQ(count(REASON_FLOW_BUDGET), 5u);

    from_a(udp_packet(kA, 1, kC, 80));
    EXPECT_EQ(flow_count(kSlotA), 1u);
    EXPECT_EQ(flows().size(), 11u);
}

// Two CPUs that replace one entry may both take it off the count.
TEST_F(Flow, count_below_zero_leaves_the_budget_whole)
{
    change_config([](auto& config) { config.flow_budget = 10; });
    put("flow_counts", std::uint32_t{kSlotA}, ~std::uint32_t{0});
    from_a(udp_packet(kA, 1, kC, 80));
    EXPECT_EQ(flows().size(), 1u);
    EXPECT_EQ(count(REASON_FLOW_BUDGET), 0u);
}

TEST_F(Flow, collection_forgets_what_is_idle_and_gives_the_budget_back)
{
    establish_a_c();
    from_a(udp_packet(kA, 1, kC, 80));
    from_a(echo_packet(kA, kC, 7));
    EXPECT_EQ(flow_count(kSlotA), 3u);

    collect();
    EXPECT_EQ(flows().size(), 3u) << "nothing is idle yet";
    age_all(TIMEOUT_UDP + 1);
    collect();
    EXPECT_EQ(only_flow()->key.proto, 6);
    EXPECT_EQ(flow_count(kSlotA), 1u);
    age_all(TIMEOUT_TCP_ESTABLISHED);
    collect();
    EXPECT_TRUE(flows().empty());
    EXPECT_EQ(flow_count(kSlotA), 0u);
}

TEST_F(Flow, collection_forgets_half_open_and_closed_connections_sooner)
{
    establish_a_c();
    from_a(tcp_packet(kA, 1001, kC, 80, kSyn));
    from_a(tcp_packet(kA, 1002, kC, 80, kSyn));
    from_node2(tcp_packet(kC, 80, kA, 1002, kRst | kAck));
    from_a(tcp_packet(kA, 1003, kC, 80, kSyn));
    from_node2(tcp_packet(kC, 80, kA, 1003, kFin | kAck));
    from_a(tcp_packet(kA, 1003, kC, 80, kFin | kAck));
    EXPECT_EQ(flows().size(), 4u);

    age_all(TIMEOUT_TCP_CLOSING + 1);
    collect();

    EXPECT_EQ(only_flow()->key.port[0] == htons(1000) || only_flow()->key.port[1] == htons(1000),
              true);
}

TEST_F(Flow, configured_timeouts_are_used)
{
    from_a(udp_packet(kA, 1, kC, 80));
    age_all(100);
    change_config([](auto& config) { config.timeouts.udp = 100000; });
    collect();
    EXPECT_EQ(flows().size(), 1u);
}

TEST_F(Flow, entry_of_another_key_in_a_recycled_element_is_not_believed)
{
    establish_a_c();
    auto entry = *only_flow();
    entry.flow.tag ^= 0x100; // as when the element now belongs to another key
    entry.flow.tail = entry.flow.tag;
    rewrite(entry);
    set_policy(kEgressA, "deny");
    set_policy(kIngressA, "deny");

    EXPECT_EQ(a_to_c().verdict, kShot);
}

TEST_F(Flow, half_written_entry_is_not_believed)
{
    establish_a_c();
    auto entry = *only_flow();
    entry.flow.tail ^= 1;
    rewrite(entry);
    set_policy(kEgressA, "deny");
    set_policy(kIngressA, "deny");

    EXPECT_EQ(a_to_c().verdict, kShot);
}

TEST_F(Flow, entry_without_the_leg_that_a_hook_needs_is_no_fast_path)
{
    establish_a_b();
    auto entry = *only_flow();
    entry.flow.legs = FLOW_LEG_EGRESS;
    rewrite(entry);
    set_policy(kIngressB, "deny");

    EXPECT_EQ(from_b(tcp_packet(kB, 80, kA, 1000, kAck)).verdict, kRedirect)
        << "the answer needs no leg of its own";
    EXPECT_EQ(from_a(tcp_packet(kA, 1000, kB, 80, kAck)).verdict, kShot);
}

TEST_F(Flow, last_seen_is_written_at_most_once_a_second)
{
    establish_a_c();
    auto entry = *only_flow();
    const std::uint32_t now = collect();
    entry.flow.last_seen = now - 10;
    rewrite(entry);
    a_to_c();
    EXPECT_EQ(only_flow()->flow.last_seen, now - 10);
    entry.flow.last_seen = now - 5000;
    rewrite(entry);
    a_to_c();
    EXPECT_GE(only_flow()->flow.last_seen, now);
}

} // namespace
} // namespace margay::testing
