// SPDX-License-Identifier: Apache-2.0
// Decapsulation before the stack: what uplink_xdp takes off, what it leaves to tc, and what tc does
// with its note.

#include "bpf/datapath/datapath.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>

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

TEST_F(Xdp, outer_header_of_a_known_node_is_taken_off_and_the_node_noted)
{
    const Bytes inner = udp_packet(kC, 1000, kA, 53, 20);

    const Result result = run_xdp(ipip(kNode2, kNode, inner));

    EXPECT_EQ(result.verdict, std::uint32_t{XDP_PASS});
    EXPECT_THAT(result.frame(), ElementsAreArray(ethernet(inner)));
    std::uint32_t note[3]{};
    ASSERT_EQ(result.meta, sizeof(note));
    std::memcpy(note, result.data.data(), sizeof(note));
    EXPECT_EQ(note[1], kNodeSlot2);
    EXPECT_EQ(note[2], htonl(addr(kNode2)));
}

TEST_F(Xdp, everything_that_tc_must_judge_is_left_to_it)
{
    const Bytes inner = udp_packet(kC, 1000, kA, 53, 20);
    expect_left_alone(ipip("10.0.0.77", kNode, inner));
    expect_left_alone(ipip(kNode2, kNode3, inner));
    expect_left_alone(ipip(kNode2, kNode, ipip(kC, kA, inner)));
    expect_left_alone(ipip(kNode2, kNode, slice(inner, 0, 19)));
    expect_left_alone(udp_packet(kOutside, 1, kNode, 2));
    expect_left_alone(ipv4({.src = addr(kNode2), .dst = addr(kNode), .proto = 4, .frag = kMf},
                           inner));
    expect_left_alone(ipv4({.src = addr(kNode2), .dst = addr(kNode), .proto = 4, .tos = 3}, inner));
    change_config([](auto& config) { config.flags = 0; });
    expect_left_alone(ipip(kNode2, kNode, inner));
}

} // namespace
} // namespace margay::testing
