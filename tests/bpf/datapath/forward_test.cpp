// SPDX-License-Identifier: Apache-2.0
// What a packet looks like when it leaves: delivery, encapsulation, decapsulation, MTU, TTL.

#include "bpf/datapath/datapath.h"

#include <cstring>

namespace margay::testing {
namespace {

using ::testing::ElementsAreArray;

struct Forward : Datapath {
    static Mac mac_at(const Outcome& run, std::size_t offset)
    {
        Mac mac{};
        std::memcpy(mac.data(), run.frame.data() + offset, mac.size());
        return mac;
    }
};

TEST_F(Forward, packet_to_another_node_leaves_inside_ipip_with_macs_of_the_path)
{
    const Bytes inner = tcp_packet(kA, 1000, kC, 80, kSyn);

    const Outcome run = from_a(inner);

    ASSERT_EQ(run.verdict, kRedirect);
    ASSERT_EQ(run.frame.size(), kEthernet + 20 + inner.size());
    EXPECT_EQ(mac_at(run, 0), kNextHopMac);
    EXPECT_EQ(mac_at(run, 6), kUplinkMac);
    EXPECT_EQ(read_ipv4(run.frame), (Ipv4Header{.src = addr(kNode),
                                                .dst = addr(kNode2),
                                                .proto = 4,
                                                .ttl = 64,
                                                .tos = 0,
                                                .id = 0x1234,
                                                .frag = kDf}));
    EXPECT_EQ(total_length(run.frame), 20 + inner.size());
    EXPECT_THAT(slice(run.frame, kEthernet + 20), ElementsAreArray(forwarded(inner)));
    EXPECT_EQ(run.mark & MARK_DONE, std::uint32_t{MARK_DONE});
    EXPECT_EQ(count(REASON_ENCAPSULATED), 1u);
}

TEST_F(Forward, outer_header_takes_df_and_id_and_tos_of_the_inner_one)
{
    const Bytes inner =
        ipv4({.src = addr(kA), .dst = addr(kC), .proto = 17, .tos = 0xb9, .id = 0x4711, .frag = 0},
             udp(1, 2, 30));

    const Ipv4Header outer = read_ipv4(from_a(inner).frame);

    EXPECT_EQ(outer.tos, 0xb9);
    EXPECT_EQ(outer.id, 0x4711);
    EXPECT_EQ(outer.frag, 0);
}

TEST_F(Forward, packet_with_ip_options_is_encapsulated_whole)
{
    const Bytes inner = ipv4(
        {.src = addr(kA), .dst = addr(kC), .proto = 17, .options = {1, 1, 1, 0}}, udp(53, 54, 12));

    const Outcome run = from_a(inner);

    ASSERT_EQ(run.verdict, kRedirect);
    EXPECT_THAT(slice(run.frame, kEthernet + 20), ElementsAreArray(forwarded(inner)));
    EXPECT_EQ(judged(kEgressA).dport, htons(54));
}

TEST_F(Forward, packet_to_a_node_without_tunnel_leaves_plain)
{
    const Bytes packet = udp_packet(kA, 1, kD, 2, 10);

    const Outcome run = from_a(packet);

    ASSERT_EQ(run.verdict, kRedirect);
    EXPECT_THAT(run.packet(), ElementsAreArray(forwarded(packet)));
    EXPECT_EQ(mac_at(run, 0), kNextHopMac);
    EXPECT_EQ(count(REASON_ROUTED), 1u);
}

TEST_F(Forward, packet_to_a_local_workload_gets_its_macs_and_one_hop_less)
{
    const Bytes packet = udp_packet(kA, 1, kB, 2, 10);

    const Outcome run = from_a(packet, {.mark = 0xabcd0000});

    ASSERT_EQ(run.verdict, kRedirect);
    EXPECT_EQ(mac_at(run, 0), kMacB);
    EXPECT_EQ(mac_at(run, 6), kHostMac);
    EXPECT_THAT(run.packet(), ElementsAreArray(forwarded(packet)));
    EXPECT_EQ(run.mark, 0u) << "the workload's namespace must not see marks";
    EXPECT_EQ(count(REASON_DELIVERED), 1u);
}

TEST_F(Forward, tunnel_packet_is_delivered_without_its_outer_header)
{
    const Bytes inner = tcp_packet(kC, 1000, kA, 80, kSyn);

    const Outcome run = from_node2(inner);

    ASSERT_EQ(run.verdict, kRedirect);
    EXPECT_THAT(run.packet(), ElementsAreArray(forwarded(inner)));
    EXPECT_EQ(mac_at(run, 0), kMacA);
    EXPECT_EQ(mac_at(run, 6), kHostMac);
    EXPECT_EQ(count(REASON_DELIVERED), 1u);
}

TEST_F(Forward, outer_ip_options_are_removed_too)
{
    const Bytes inner = udp_packet(kC, 1, kA, 2, 10);
    const Bytes outer = ipv4(
        {.src = addr(kNode2), .dst = addr(kNode), .proto = 4, .options = {1, 1, 1, 1, 1, 1, 1, 0}},
        inner);

    const Outcome run = from_uplink(outer);

    ASSERT_EQ(run.verdict, kRedirect);
    EXPECT_THAT(run.packet(), ElementsAreArray(forwarded(inner)));
}

TEST_F(Forward, established_flow_carries_the_same_bytes_as_its_first_packet)
{
    establish_a_c();
    const Bytes out = tcp_packet(kA, 1000, kC, 80, kAck, 100);
    const Bytes in = tcp_packet(kC, 80, kA, 1000, kAck, 100);

    EXPECT_THAT(slice(from_a(out).frame, kEthernet + 20), ElementsAreArray(forwarded(out)));
    EXPECT_THAT(from_node2(in).packet(), ElementsAreArray(forwarded(in)));
    EXPECT_EQ(count(REASON_FLOW_CREATED), 1u);
    EXPECT_EQ(count(REASON_FLOW_REJUDGED), 0u);
}

// RFC 6040 4.2, figure 4: rows are the inner field, columns the outer.
TEST_F(Forward, congestion_marked_in_the_tunnel_reaches_the_inner_header)
{
    const std::uint8_t expected[4][4] = {{0, 0, 0, 0xff}, {1, 1, 1, 3}, {2, 1, 2, 3}, {3, 3, 3, 3}};
    for (std::uint8_t inner = 0; inner < 4; inner++) {
        for (std::uint8_t outer = 0; outer < 4; outer++) {
            const Bytes packet = ipv4({.src = addr(kC),
                                       .dst = addr(kA),
                                       .proto = 17,
                                       .tos = static_cast<std::uint8_t>(0xb8 | inner)},
                                      udp(1, 2, 9));
            const Outcome run = from_uplink(
                ipv4({.src = addr(kNode2), .dst = addr(kNode), .proto = 4, .tos = outer}, packet));
            if (expected[inner][outer] == 0xff) {
                EXPECT_EQ(run.verdict, kShot);
                EXPECT_EQ(count(REASON_TUNNEL_ECN), 1u);
                continue;
            }
            ASSERT_EQ(run.verdict, kRedirect);
            EXPECT_EQ(read_ipv4(run.frame).tos, 0xb8 | expected[inner][outer])
                << "inner " << int{inner} << " outer " << int{outer};
        }
    }
}

TEST_F(Forward, packet_too_big_for_the_tunnel_is_answered_with_fragmentation_needed)
{
    const Bytes big = tcp_packet(kA, 1000, kC, 80, kSyn, kMtu - 40 + 1);

    const Outcome run = from_a(big);

    ASSERT_EQ(run.verdict, kRedirect);
    EXPECT_EQ(count(REASON_ANSWERED), 1u);
    const Ipv4Header header = read_ipv4(run.frame);
    EXPECT_EQ(header.src, addr("169.254.1.1"));
    EXPECT_EQ(header.dst, addr(kA));
    EXPECT_EQ(header.proto, 1);
    const Bytes error = slice(run.frame, kEthernet + 20);
    EXPECT_EQ(total_length(run.frame), 20 + error.size());
    EXPECT_EQ(checksum(error), 0);
    EXPECT_EQ(error[0], 3);
    EXPECT_EQ(error[1], 4);
    EXPECT_EQ(error[6] << 8 | error[7], int{kMtu});
    EXPECT_THAT(slice(error, 8), ElementsAreArray(slice(big, 0, 128)));
    EXPECT_EQ(mac_at(run, 0), (Mac{2, 0, 0, 0, 0, 1})) << "back to who sent it";
}

TEST_F(Forward, packet_that_just_fits_is_encapsulated)
{
    EXPECT_EQ(from_a(tcp_packet(kA, 1000, kC, 80, kSyn, kMtu - 40)).verdict, kRedirect);
    EXPECT_EQ(count(REASON_ENCAPSULATED), 1u);
}

TEST_F(Forward, packet_too_big_that_may_be_cut_goes_to_the_stack_untracked)
{
    const Outcome run = from_a(udp_packet(kA, 1000, kC, 80, kMtu));

    EXPECT_EQ(run.verdict, kOk);
    EXPECT_EQ(run.mark, std::uint32_t{MARK_SEEN | MARK_NOTRACK});
}

TEST_F(Forward, parts_that_the_stack_cut_are_encapsulated_on_their_way_out)
{
    from_a(udp_packet(kA, 1000, kC, 80, kMtu));
    const RunOptions forwarded_from_a{.ingress_ifindex = if_a_, .mark = MARK_SEEN | MARK_NOTRACK};
    const Bytes first =
        ipv4({.src = addr(kA), .dst = addr(kC), .proto = 17, .frag = kMf}, udp(1000, 80, 1000));
    const Bytes second =
        ipv4({.src = addr(kA), .dst = addr(kC), .proto = 17, .frag = 126}, Bytes(480, 3));

    const Outcome one = to_uplink(first, forwarded_from_a);
    const Outcome two = to_uplink(second, forwarded_from_a);

    EXPECT_THAT(slice(one.frame, kEthernet + 20), ElementsAreArray(first));
    EXPECT_THAT(slice(two.frame, kEthernet + 20), ElementsAreArray(second));
    EXPECT_EQ(read_ipv4(two.frame).dst, addr(kNode2));
    EXPECT_EQ(read_ipv4(two.frame).frag, 0) << "the outer packet is whole";
}

// Test runs know no offload type, so the kernel refuses to encapsulate there; a plain path has the
// same check of sizes.
TEST_F(Forward, offloaded_packet_is_never_taken_for_too_big)
{
    const Bytes packet = tcp_packet(kA, 1000, kD, 80, kSyn, 3000);

    const Outcome run = from_a(packet, {.gso_size = 1440});

    ASSERT_EQ(run.verdict, kRedirect);
    EXPECT_EQ(count(REASON_ROUTED), 1u);
    EXPECT_THAT(run.packet(), ElementsAreArray(forwarded(packet)));
}

TEST_F(Forward, offloaded_packet_whose_segments_are_too_big_is_answered)
{
    EXPECT_EQ(from_a(tcp_packet(kA, 1000, kC, 80, kSyn, 3000), {.gso_size = 1441}).verdict,
              kRedirect);
    EXPECT_EQ(count(REASON_ANSWERED), 1u);
}

TEST_F(Forward, path_mtu_that_a_router_reported_answers_the_next_large_packet)
{
    establish_a_c();
    const Bytes quoted = slice(ipip(kNode, kNode2, tcp_packet(kA, 1000, kC, 80, kAck, 900)), 0, 28);
    const Bytes report = ipv4({.src = addr("10.0.0.254"), .dst = addr(kNode), .proto = 1},
                              icmp(3, 4, 0, 820, quoted));

    EXPECT_EQ(from_uplink(report).verdict, kUnspec) << "the host hears of it too";
    EXPECT_EQ(count(REASON_PMTU_LEARNED), 1u);

    const Outcome large = from_a(tcp_packet(kA, 1000, kC, 80, kAck, 761));
    EXPECT_EQ(count(REASON_ANSWERED), 1u);
    const Bytes error = slice(large.frame, kEthernet + 20);
    EXPECT_EQ(error[6] << 8 | error[7], 800);
    from_a(tcp_packet(kA, 1000, kC, 80, kAck, 760));
    EXPECT_EQ(count(REASON_ANSWERED), 1u) << "800 bytes fit";
}

TEST_F(Forward, path_mtu_expires)
{
    put("pmtus", kNodeSlot2, pmtu{800, collect() - 1});

    EXPECT_EQ(from_a(tcp_packet(kA, 1000, kC, 80, kSyn, 1000)).verdict, kRedirect);
    EXPECT_EQ(count(REASON_ENCAPSULATED), 1u);
}

TEST_F(Forward, path_mtu_that_expired_long_ago_does_not_come_back_when_jiffies_wrap)
{
    put("pmtus", kNodeSlot2, pmtu{800, collect() - 0x80000100u});

    EXPECT_EQ(from_a(tcp_packet(kA, 1000, kC, 80, kSyn, 1000)).verdict, kRedirect);
    EXPECT_EQ(count(REASON_ENCAPSULATED), 1u);
}

TEST_F(Forward, path_mtu_of_strangers_is_not_believed_nor_one_too_small_to_be_true)
{
    const auto report = [&](const char* from, const char* to, std::uint16_t mtu) {
        from_uplink(ipv4({.src = addr("10.0.0.254"), .dst = addr(kNode), .proto = 1},
                         icmp(3, 4, 0, mtu, slice(ipip(from, to, Bytes(40)), 0, 28))));
    };
    report(kNode, "10.9.9.9", 600);
    report("10.9.9.9", kNode2, 600);
    EXPECT_EQ(count(REASON_PMTU_LEARNED), 0u);

    report(kNode, kNode2, 68);
    EXPECT_EQ(get<pmtu>("pmtus", kNodeSlot2)->mtu, PMTU_LOWEST - 20u);
}

TEST_F(Forward, packet_whose_time_runs_out_here_is_answered)
{
    const Bytes dying = ipv4({.src = addr(kA), .dst = addr(kC), .proto = 17, .ttl = 1}, udp(1, 2));

    const Outcome run = from_a(dying);

    ASSERT_EQ(run.verdict, kRedirect);
    const Bytes error = slice(run.frame, kEthernet + 20);
    EXPECT_EQ(error[0], 11);
    EXPECT_EQ(checksum(error), 0);
    EXPECT_THAT(slice(error, 8), ElementsAreArray(dying));
    EXPECT_EQ(count(REASON_ANSWERED), 1u);
}

TEST_F(Forward, no_error_is_sent_about_an_error)
{
    establish_a_c();
    const Bytes quoted = slice(tcp_packet(kC, 80, kA, 1000, kAck), 0, 28);
    expect_drop(from_a(ipv4({.src = addr(kA), .dst = addr(kC), .proto = 1, .ttl = 1},
                            icmp(3, 3, 0, 0, quoted))),
                REASON_TTL_EXPIRED);
}

TEST_F(Forward, tunnel_packet_whose_time_runs_out_goes_to_the_stack_for_its_answer)
{
    const Bytes dying = ipv4({.src = addr(kC), .dst = addr(kA), .proto = 17, .ttl = 1}, udp(1, 2));

    const Outcome run = from_node2(dying);

    EXPECT_EQ(run.verdict, kOk);
    EXPECT_THAT(run.packet(), ElementsAreArray(dying));
    EXPECT_EQ(run.mark & MARK_SEEN, std::uint32_t{MARK_SEEN});
}

TEST_F(Forward, unresolved_next_hop_leaves_link_addresses_to_the_kernel)
{
    change_path(kPath2, [](auto& path) { path.flags = 0; });

    const Outcome run = from_a(udp_packet(kA, 1, kC, 2));

    EXPECT_EQ(run.verdict, kRedirect);
    EXPECT_EQ(mac_at(run, 6), (Mac{2, 0, 0, 0, 0, 1})) << "still the workload's";
}

TEST_F(Forward, macs_are_not_trusted_when_the_agent_has_gone)
{
    const std::uint32_t zero = 0;
    put("heartbeat", zero, heartbeat{collect() - HEARTBEAT_SECONDS * 1000 - 1});

    EXPECT_EQ(mac_at(from_a(udp_packet(kA, 1, kC, 2)), 6), (Mac{2, 0, 0, 0, 0, 1}));
}

TEST_F(Forward, change_of_next_hop_moves_an_established_flow_at_once)
{
    establish_a_c();
    const Mac other{0x0c, 0, 0, 0, 0, 9};
    change_path(kPath2, [&](auto& path) {
        std::memcpy(path.dmac, other.data(), other.size());
        path.outer_dst = htonl(addr(kNode3));
    });

    const Outcome run = from_a(tcp_packet(kA, 1000, kC, 80, kAck));

    EXPECT_EQ(mac_at(run, 0), other);
    EXPECT_EQ(read_ipv4(run.frame).dst, addr(kNode3));
    EXPECT_EQ(count(REASON_FLOW_REJUDGED), 0u);
}

TEST_F(Forward, unreachable_node_is_a_drop)
{
    change_path(kPath2, [](auto& path) { path.kind = PATH_NONE; });
    expect_drop(from_a(udp_packet(kA, 1, kC, 2)), REASON_NO_PATH);
}

TEST_F(Forward, frames_of_ours_leave_the_uplink_untouched)
{
    const Bytes packet = ipip(kNode, kNode2, udp_packet(kA, 1, kC, 2));

    const Outcome run = to_uplink(packet, {.mark = MARK_DONE});

    EXPECT_EQ(run.verdict, kUnspec);
    EXPECT_THAT(run.packet(), ElementsAreArray(packet));
}

} // namespace
} // namespace margay::testing
