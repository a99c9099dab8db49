// SPDX-License-Identifier: Apache-2.0
// Decapsulation before the stack: what uplink_xdp takes off, what it leaves to tc, and what tc does
// with its note.

#include "bpf/datapath/datapath.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cstdlib>
#include <cstring>

namespace margay::testing {
namespace {

using ::testing::ElementsAreArray;

struct Xdp : Datapath {
    // A frame with a metadata area, as tc would see it. XDP test runs give data_meta back.
    struct Result {
        std::uint32_t verdict = 0;
        Bytes data; // metadata, then the frame
        std::uint32_t meta = 0;
        Bytes frame() const { return slice(data, meta); }
    };

    Result run_xdp(const Bytes& packet)
    {
        const Bytes frame = ethernet(packet);
        Result result;
        result.data.resize(frame.size() + 256);
        xdp_md in{}, out{};
        in.data_end = static_cast<std::uint32_t>(frame.size());
        LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame.data(),
                    .data_out = result.data.data(),
                    .data_size_in = static_cast<std::uint32_t>(frame.size()),
                    .data_size_out = static_cast<std::uint32_t>(result.data.size()), .ctx_in = &in,
                    .ctx_out = &out, .ctx_size_in = sizeof(in), .ctx_size_out = sizeof(out));
        EXPECT_EQ(bpf_prog_test_run_opts(programs_.at("uplink_xdp"), &opts), 0);
        result.data.resize(opts.data_size_out);
        result.verdict = opts.retval;
        result.meta = out.data;
        return result;
    }

    void expect_left_alone(const Bytes& packet)
    {
        const Result result = run_xdp(packet);
        EXPECT_EQ(result.verdict, std::uint32_t{XDP_PASS});
        EXPECT_EQ(result.meta, 0u);
        EXPECT_THAT(result.frame(), ElementsAreArray(ethernet(packet)));
    }
};

TEST_F(Xdp, outer_header_of_a_known_node_is_taken_off_and_its_address_noted)
{
    const Bytes inner = udp_packet(kC, 1000, kA, 53, 20);

    const Result result = run_xdp(ipip(kNode2, kNode, inner));

    EXPECT_EQ(result.verdict, std::uint32_t{XDP_PASS});
    EXPECT_THAT(result.frame(), ElementsAreArray(ethernet(inner)));
    xdp_note note{};
    ASSERT_EQ(result.meta, sizeof(note));
    std::memcpy(&note, result.data.data(), sizeof(note));
    EXPECT_EQ(note.outer_saddr, htonl(addr(kNode2)));
}

TEST_F(Xdp, sender_that_is_gone_when_tc_judges_is_unknown_there)
{
    const Bytes inner = udp_packet(kC, 1000, kA, 53, 20);
    EXPECT_EQ(run("uplink_packet", if_up_, inner, {.xdp_note_from = kNode2}).verdict, kRedirect);
    EXPECT_EQ(only_flow()->flow.tunnel.outer_saddr, htonl(addr(kNode2)));

    empty("nodes4");
    for (const auto slot : {kSlotA, kSlotB}) // as the agent
        bump(slot);
    expect_drop(run("uplink_packet", if_up_, inner, {.xdp_note_from = kNode2}),
                REASON_TUNNEL_UNKNOWN_NODE);
}

TEST_F(Xdp, everything_that_tc_must_judge_is_left_to_it)
{
    const Bytes inner = udp_packet(kC, 1000, kA, 53, 20);
    expect_left_alone(ipip("10.0.0.77", kNode, inner));
    expect_left_alone(ipip(kNode2, kNode3, inner));
    expect_left_alone(ipip(kNode2, kNode, ipip(kC, kA, inner)));
    expect_left_alone(ipip(kNode2, kNode, slice(inner, 0, 19)));
    expect_left_alone(udp_packet(kOutside, 1, kNode, 2));
    expect_left_alone(
        ipv4({.src = addr(kNode2), .dst = addr(kNode), .proto = 4, .frag = kMf}, inner));
    expect_left_alone(ipv4({.src = addr(kNode2), .dst = addr(kNode), .proto = 4, .tos = 3}, inner));
    change_config([](auto& config) { config.flags = 0; });
    expect_left_alone(ipip(kNode2, kNode, inner));
}

// Real links: frames from the wire end of the uplink, native XDP and tc on its node end, a socket in
// a workload's namespace.
struct XdpLive : Xdp {
    std::string pod_ = "mg" + std::to_string(getpid()) + "-pod";
    Fd wire_, tap_, receiver_;

    void SetUp() override
    {
        Xdp::SetUp();
        if (IsSkipped())
            return;
        const std::string in_pod = "ip -n " + pod_ + " ";
        command("ip netns add " + pod_);
        command("ip link add name live type veth peer name eth0 netns " + pod_);
        command("ip link set dev live up && ip link set dev up up && ip link set dev pup up");
        command(in_pod + "link set lo up && " + in_pod + "link set eth0 up");
        command(in_pod + "addr add " + kA + "/32 dev eth0 && " + in_pod +
                "route add default dev eth0");
        const auto ifindex = if_nametoindex("live");
        change_endpoint(kSlotA, [&](auto& endpoint) {
            endpoint.ifindex = ifindex;
            const Mac mac = pod_mac();
            std::memcpy(endpoint.mac, mac.data(), mac.size());
        });
        put("workloads", ifindex, workload{kSlotA});
        attach();
        wire_ = packet_socket("pup");
        tap_ = packet_socket("up");
        receiver_ = receiver_in_pod();
    }

    void TearDown() override
    {
        if (IsSkipped())
            return;
        bpf_xdp_detach(static_cast<int>(if_up_), XDP_FLAGS_DRV_MODE, nullptr);
        std::system("tc qdisc del dev up clsact");
        std::system("ip link del live");
        command("ip netns del " + pod_);
    }

    static void command(const std::string& text)
    {
        ASSERT_EQ(std::system(text.c_str()), 0) << text;
    }

    void attach()
    {
        LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = static_cast<int>(if_up_),
                    .attach_point = BPF_TC_INGRESS);
        LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = programs_.at("from_uplink_xdp"));
        ASSERT_EQ(bpf_tc_hook_create(&hook), 0);
        ASSERT_EQ(bpf_tc_attach(&hook, &opts), 0);
        ASSERT_EQ(bpf_xdp_attach(static_cast<int>(if_up_), programs_.at("uplink_xdp"),
                                 XDP_FLAGS_DRV_MODE, nullptr),
                  0);
    }

    static Fd packet_socket(const char* name)
    {
        Fd fd(::socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)));
        sockaddr_ll to{};
        to.sll_family = AF_PACKET;
        to.sll_protocol = htons(ETH_P_ALL);
        to.sll_ifindex = static_cast<int>(if_nametoindex(name));
        EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
        timeval patience{10, 0};
        setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        return fd;
    }

    // Runs in the workload's namespace and comes back.
    template <typename Work>
    auto in_pod(Work work)
    {
        const Fd here(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
        const Fd there(::open(("/run/netns/" + pod_).c_str(), O_RDONLY | O_CLOEXEC));
        EXPECT_EQ(setns(there.get(), CLONE_NEWNET), 0);
        auto result = work();
        EXPECT_EQ(setns(here.get(), CLONE_NEWNET), 0);
        return result;
    }

    Mac pod_mac()
    {
        return in_pod([] { return mac_of(if_nametoindex("eth0")); });
    }

    Fd receiver_in_pod()
    {
        return in_pod([] {
            Fd fd(::socket(AF_INET, SOCK_DGRAM, 0));
            sockaddr_in at{};
            at.sin_family = AF_INET;
            at.sin_port = htons(9000);
            EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&at), sizeof(at)), 0);
            timeval patience{10, 0};
            setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
            return fd;
        });
    }

    // The next IPv4 frame that the stack sees on the uplink, behind XDP and before tc.
    Bytes seen_on_uplink()
    {
        Bytes frame(2048);
        for (;;) {
            const auto got = ::recv(tap_.get(), frame.data(), frame.size(), 0);
            if (got < static_cast<ssize_t>(kEthernet) || (frame[12] == 8 && frame[13] == 0))
                return slice(frame, 0, got < 0 ? 0 : static_cast<std::size_t>(got));
        }
    }
};

TEST_F(XdpLive, native_decapsulation_and_tc_deliver_into_the_workload_together)
{
    const Bytes inner = udp_packet(kC, 1000, kA, 9000, 20);
    const Bytes frame = ethernet(ipip(kNode2, kNode, inner), 0x0800, mac_of(if_up_));
    for (int i = 0; i < 3; i++) {
        ASSERT_EQ(::send(wire_.get(), frame.data(), frame.size(), 0),
                  static_cast<ssize_t>(frame.size()));
        EXPECT_THAT(slice(seen_on_uplink(), kEthernet), ElementsAreArray(inner));
        Bytes data(64);
        ASSERT_EQ(::recv(receiver_.get(), data.data(), data.size(), 0), 20);
        EXPECT_THAT(slice(data, 0, 20), ElementsAreArray(slice(inner, 28)));
    }
    EXPECT_EQ(count(REASON_DELIVERED), 3u);
    EXPECT_EQ(only_flow()->flow.tunnel.outer_saddr, htonl(addr(kNode2)));
    EXPECT_EQ(count(REASON_FLOW_REJUDGED), 0u) << "the note matches the entry's node";
}

TEST_F(XdpLive, what_xdp_leaves_alone_is_dropped_by_tc_with_its_reason)
{
    const Bytes frame = ethernet(ipip("10.0.0.77", kNode, udp_packet(kC, 1000, kA, 9000, 20)),
                                 0x0800, mac_of(if_up_));
    ASSERT_GT(::send(wire_.get(), frame.data(), frame.size(), 0), 0);
    EXPECT_THAT(seen_on_uplink(), ElementsAreArray(frame));
    for (int i = 0; i < 1000 && count(REASON_TUNNEL_UNKNOWN_NODE) == 0; i++)
        usleep(10000);
    EXPECT_EQ(count(REASON_TUNNEL_UNKNOWN_NODE), 1u);
}

} // namespace
} // namespace margay::testing
