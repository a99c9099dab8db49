// SPDX-License-Identifier: Apache-2.0
// A prefix with several paths: which one a flow takes, and when it changes.

#include "bpf/datapath/datapath.h"

#include <cstring>
#include <set>

namespace margay::testing {
namespace {

constexpr std::uint32_t kRun = 12; // the first slot
constexpr const char* kE = "192.168.4.40";
constexpr std::uint16_t kPorts = 100;

struct Spread : Datapath {
    void SetUp() override
    {
        Datapath::SetUp();
        if (IsSkipped())
            return;
        spread(PATH_PLAIN, 2);
    }
    // kE's prefix has so many paths, each by a router of its own.
    void spread(path_kind kind, std::uint16_t paths)
    {
        for (std::uint32_t i = 0; i < paths; i++) {
            path value = *get<path>("paths", kind == PATH_ENCAP ? kPath2 : kPath3);
            value.dmac[5] = static_cast<std::uint8_t>(kRun + i);
            put("paths", kRun + i, value);
        }
        route("192.168.4.0/26",
              {ROUTE_REMOTE, static_cast<__u16>(kind == PATH_ENCAP ? ROUTE_TUNNELLED : 0), paths,
               kRun, kind == PATH_ENCAP ? kNodeSlot2 : kNodeSlot3});
    }
    static std::uint32_t slot_of(const Outcome& run)
    {
        EXPECT_EQ(run.verdict, kRedirect);
        return run.frame.at(5);
    }
    Outcome send(std::uint16_t port, std::uint8_t flags)
    {
        return from_a(tcp_packet(kA, port, kE, 80, flags));
    }
    // The slot that each of many flows takes.
    std::vector<std::uint32_t> slots(std::uint8_t flags)
    {
        std::vector<std::uint32_t> all;
        for (std::uint16_t port = 1000; port < 1000 + kPorts; port++)
            all.push_back(slot_of(send(port, flags)));
        return all;
    }
    static std::ptrdiff_t share(const std::vector<std::uint32_t>& slots, std::uint32_t slot)
    {
        return std::count(slots.begin(), slots.end(), slot);
    }
};

TEST_F(Spread, flows_share_the_paths_of_a_prefix)
{
    const auto taken = slots(kSyn);

    EXPECT_GE(share(taken, kRun), kPorts / 3);
    EXPECT_GE(share(taken, kRun + 1), kPorts / 3);
    EXPECT_EQ(share(taken, kRun) + share(taken, kRun + 1), kPorts);
}

TEST_F(Spread, run_need_not_be_a_power_of_two_and_nothing_beside_it_is_taken)
{
    spread(PATH_PLAIN, 3);

    const auto taken = slots(kSyn);

    for (std::uint32_t slot = kRun; slot < kRun + 3; slot++)
        EXPECT_GE(share(taken, slot), kPorts / 5) << slot;
    EXPECT_EQ(count(REASON_NO_PATH), 0u);
}

TEST_F(Spread, flow_keeps_its_path_packet_for_packet_and_when_it_is_judged_again)
{
    const auto taken = slots(kSyn);

    EXPECT_EQ(slots(kAck), taken);
    EXPECT_EQ(count(REASON_FLOW_REJUDGED), 0u);
    bump(kSlotA);
    EXPECT_EQ(slots(kAck), taken);
    EXPECT_EQ(count(REASON_FLOW_REJUDGED), std::uint64_t{kPorts});
}

TEST_F(Spread, only_the_flows_of_a_path_that_is_written_anew_move_and_at_once)
{
    const auto taken = slots(kSyn);

    put("paths", kRun + 1, *get<path>("paths", kRun)); // the router died
    const auto moved = slots(kAck);

    EXPECT_EQ(moved, std::vector<std::uint32_t>(kPorts, kRun));
    change_path(kRun + 1, [](auto& path) { path.dmac[5] = kRun + 1; }); // and is back
    EXPECT_EQ(slots(kAck), taken);
    EXPECT_EQ(count(REASON_FLOW_REJUDGED), 0u);
}

TEST_F(Spread, path_of_a_flow_is_the_same_whichever_side_began)
{
    const auto taken = slots(kSyn);
    empty("flows4");
    empty("hot_flows");

    for (std::uint16_t i = 0; i < kPorts; i++) {
        const auto port = static_cast<std::uint16_t>(1000 + i);
        ASSERT_EQ(from_uplink(tcp_packet(kE, 80, kA, port, kSyn)).verdict, kRedirect);
        EXPECT_EQ(slot_of(send(port, kSyn | kAck)), taken[i]);
    }
    EXPECT_EQ(count(REASON_FLOW_CREATED), 2u * kPorts);
}

TEST_F(Spread, answers_into_a_tunnel_are_spread_too)
{
    spread(PATH_ENCAP, 2);
    std::set<std::uint32_t> taken;

    for (std::uint16_t port = 1000; port < 1000 + kPorts; port++) {
        ASSERT_EQ(from_node2(tcp_packet(kE, 80, kA, port, kSyn)).verdict, kRedirect);
        taken.insert(slot_of(send(port, kSyn | kAck)));
    }

    EXPECT_EQ(taken, (std::set{kRun, kRun + 1}));
    EXPECT_EQ(count(REASON_ENCAPSULATED), std::uint64_t{kPorts});
}

TEST_F(Spread, packets_of_the_host_into_a_tunnel_take_a_path_of_the_prefix)
{
    spread(PATH_ENCAP, 2);

    const Outcome run = to_uplink(tcp_packet(kTunnel, 1000, kE, 80, kSyn));

    EXPECT_EQ(read_ipv4(run.frame).dst, addr(kNode2));
    EXPECT_EQ(count(REASON_ENCAPSULATED), 1u);
}

// Routers choose their own way back. It is an answer, whichever uplink it comes by.
TEST_F(Spread, answer_by_the_other_uplink_is_let_in_and_remembered)
{
    set_policy(kIngressA, "deny");
    for (std::uint16_t port = 1000; port < 1010; port++) {
        const Bytes answer = tcp_packet(kE, 80, kA, port, kSyn | kAck);
        slot_of(send(port, kSyn));

        EXPECT_EQ(run("from_uplink", if_b_, answer).verdict, kRedirect);
        const auto judged = count(REASON_FLOW_REJUDGED);
        EXPECT_EQ(run("from_uplink", if_b_, answer).verdict, kRedirect);
        EXPECT_EQ(count(REASON_FLOW_REJUDGED), judged);
    }
}

TEST_F(Spread, slots_beyond_sixteen_bits_are_remembered)
{
    const std::uint32_t far = PATH_SLOTS - 1;
    put("paths", far, *get<path>("paths", kRun + 1));
    route("192.168.4.0/26", {ROUTE_REMOTE, 0, 1, far, kNodeSlot3});

    EXPECT_EQ(slot_of(send(1000, kSyn)), kRun + 1);
    EXPECT_EQ(slot_of(send(1000, kAck)), kRun + 1);

    EXPECT_EQ(out_of(direction(only_flow()->flow, true)), far);
    put("paths", far, path{});
}

} // namespace
} // namespace margay::testing
