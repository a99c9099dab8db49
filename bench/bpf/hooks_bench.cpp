// SPDX-License-Identifier: Apache-2.0
// What a packet costs in each hook, against a do-nothing program and bare encap and decap programs.
//
// Every round is a BPF_PROG_TEST_RUN of its own, so the kernel builds the packet anew before each,
// for the floors as well; its clock runs around the program alone. A case is refused unless the
// counter of its path grew by exactly the rounds and the last packet has the right bytes.
// A repeat's figure is the mean of its rounds' middle half. Prints JSON: nanoseconds, median of 9
// interleaved repeats, and net of the do-nothing program.
//
// Usage: hooks_bench [rounds]

#include "bpf/datapath/datapath.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

namespace margay::testing {
namespace {

constexpr int kRepeats = 9;
constexpr std::uint32_t kFlows = 65536;

struct Case {
    std::string name;
    std::string program;
    std::uint32_t ifindex = 0;
    Bytes frame;
    int verdict = kRedirect;
    std::optional<reason> path = std::nullopt; // its counter
    Bytes expected{};                          // from the first IP header on, first flow; empty: any
    std::uint32_t flows = 1;   // rounds go through so many source ports
    std::size_t port_at = 0;   // where the frame has the port that varies
    std::function<void()> before{};
    std::vector<double> samples{};
};

void fail(const std::string& what)
{
    std::fprintf(stderr, "hooks_bench: %s\n", what.c_str());
    std::exit(1);
}

double median(std::vector<double> samples)
{
    std::sort(samples.begin(), samples.end());
    return samples[samples.size() / 2];
}

// Mean of the middle half: finer than the clock's tick, and blind to interrupts.
double middle(std::vector<double> samples)
{
    std::sort(samples.begin(), samples.end());
    const std::size_t quarter = samples.size() / 4;
    double sum = 0;
    for (std::size_t i = quarter; i < samples.size() - quarter; i++)
        sum += samples[i];
    return sum / static_cast<double>(samples.size() - 2 * quarter);
}

class Bench : public Datapath {
public:
    explicit Bench(std::uint32_t rounds) : rounds_(rounds) {}
    void TestBody() override {}

    int main()
    {
        flows_max_ = 4 * kFlows;
        extra_objects_ = {MARGAY_BARE_OBJECT};
        SetUpTestSuite();
        SetUp();
        establish(kFlows);
        auto cases = make_cases();
        for (int i = 0; i < kRepeats; i++) {
            for (auto& one : cases)
                one.samples.push_back(measure(one));
        }
        print(cases);
        return 0;
    }

private:
    Bytes frame_at(std::uint32_t ifindex, const Bytes& packet)
    {
        return ethernet(packet, 0x0800, mac_of(ifindex));
    }

    // One flow a source port, from a to c, c to a and a to b.
    void establish(std::uint32_t count)
    {
        for (std::uint32_t i = 0; i < count; i++) {
            const auto port = static_cast<std::uint16_t>(i);
            from_a(udp_packet(kA, port, kC, 80, 64));
            from_node2(udp_packet(kC, port, kA, 90, 64));
            from_a(udp_packet(kA, port, kB, 80, 64));
        }
        // a:90 to c:80 is c:80 to a:90: one flow begins twice.
        if (count_of_created() != 3 * count - 1)
            fail("flows were not all created");
    }

    std::uint64_t count_of_created() { return Datapath::count(REASON_FLOW_CREATED); }

    std::vector<Case> make_cases()
    {
        const Bytes to_c = udp_packet(kA, 0, kC, 80, 64), to_b = udp_packet(kA, 0, kB, 80, 64);
        const Bytes from_c = udp_packet(kC, 0, kA, 90, 64);
        const Bytes tunnelled = ipip(kNode2, kNode, from_c);
        const std::size_t port = kEthernet + 20, inner_port = kEthernet + 40;
        const Bytes out = frame_at(if_a_, to_c), local = frame_at(if_a_, to_b);
        const Bytes in = frame_at(if_up_, tunnelled);
        auto outer = read_ipv4(ipv4({.src = addr(kNode), .dst = addr(kNode2), .proto = 4}, {}), 0);
        const Bytes encapsulated = ipv4(outer, forwarded(to_c));
        auto forget = [this] { empty_flows(); };

        return {
            {.name = "noop", .program = "noop", .ifindex = if_a_, .frame = out, .verdict = kOk},
            {.name = "bare_encap", .program = "bare_encap", .ifindex = if_a_, .frame = out},
            {.name = "bare_decap", .program = "bare_decap", .ifindex = if_up_, .frame = in,
             .expected = from_c},
            {.name = "encap_hot", .program = "from_workload", .ifindex = if_a_, .frame = out,
             .path = REASON_ENCAPSULATED, .expected = encapsulated},
            {.name = "encap_64k", .program = "from_workload", .ifindex = if_a_, .frame = out,
             .path = REASON_ENCAPSULATED, .flows = kFlows, .port_at = port},
            {.name = "decap_hot", .program = "from_uplink", .ifindex = if_up_, .frame = in,
             .path = REASON_DELIVERED, .expected = forwarded(from_c)},
            {.name = "decap_64k", .program = "from_uplink", .ifindex = if_up_, .frame = in,
             .path = REASON_DELIVERED, .flows = kFlows, .port_at = inner_port},
            {.name = "local_hot", .program = "from_workload", .ifindex = if_a_, .frame = local,
             .path = REASON_DELIVERED, .expected = forwarded(to_b)},
            {.name = "local_64k", .program = "from_workload", .ifindex = if_a_, .frame = local,
             .path = REASON_DELIVERED, .flows = kFlows, .port_at = port},
            {.name = "encap_new", .program = "from_workload", .ifindex = if_a_,
             .frame = frame_at(if_a_, udp_packet(kA, 0, kC, 81, 64)), .path = REASON_FLOW_CREATED,
             .flows = kFlows, .port_at = port, .before = forget},
        };
    }

    // Only those that new flows made: port 81.
    void empty_flows()
    {
        for (const auto& entry : flows()) {
            if (entry.key.port[0] == htons(81) || entry.key.port[1] == htons(81))
                bpf_map_delete_elem(maps_.at("flows4"), &entry.key);
        }
    }

    double measure(Case& one)
    {
        Bytes out(one.frame.size() + 256);
        __sk_buff context{};
        context.ifindex = one.ifindex;
        if (one.before)
            one.before();
        const auto before = one.path ? Datapath::count(*one.path) : 0;
        std::vector<double> took;
        took.reserve(rounds_);
        std::uint32_t scatter = 12345;
        for (std::uint32_t i = 0; i < rounds_; i++) {
            if (one.flows > 1) {
                // New flows one after the other, known ones at random: the cache must not help.
                scatter = scatter * 1664525 + 1013904223;
                const std::uint32_t port = one.before ? i : scatter >> 16;
                one.frame[one.port_at] = static_cast<std::uint8_t>(port >> 8);
                one.frame[one.port_at + 1] = static_cast<std::uint8_t>(port);
            }
            context.ingress_ifindex = 0;
            LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = one.frame.data(),
                        .data_out = out.data(),
                        .data_size_in = static_cast<std::uint32_t>(one.frame.size()),
                        .data_size_out = static_cast<std::uint32_t>(out.size()),
                        .ctx_in = &context, .ctx_size_in = sizeof(context));
            if (bpf_prog_test_run_opts(programs_.at(one.program), &opts) != 0)
                fail(one.name + ": test run");
            if (static_cast<int>(opts.retval) != one.verdict)
                fail(one.name + ": verdict " + std::to_string(opts.retval));
            took.push_back(opts.duration);
            if (i + 1 == rounds_ && !one.expected.empty() &&
                slice(out, kEthernet, opts.data_size_out - kEthernet) != one.expected)
                fail(one.name + ": wrong bytes in the last packet");
        }
        if (one.path && Datapath::count(*one.path) - before != rounds_)
            fail(one.name + ": the path's counter did not grow by the rounds");
        return middle(std::move(took));
    }

    void print(const std::vector<Case>& cases)
    {
        const double base = median(cases.front().samples);
        std::printf("{\n  \"rounds\": %u,\n  \"repeats\": %d,\n  \"unit\": \"ns\",\n  \"cases\": [\n",
                    rounds_, kRepeats);
        for (std::size_t i = 0; i < cases.size(); i++) {
            const double ns = median(cases[i].samples);
            std::printf("    {\"name\": \"%s\", \"ns\": %.1f, \"net\": %.1f}%s\n",
                        cases[i].name.c_str(), ns, ns - base, i + 1 < cases.size() ? "," : "");
        }
        const auto net = [&](std::size_t at) { return median(cases[at].samples) - base; };
        std::printf("  ],\n  \"ratios\": {\"encap\": %.2f, \"decap\": %.2f}\n}\n", net(3) / net(1),
                    net(5) / net(2));
    }

    std::uint32_t rounds_;
};

} // namespace
} // namespace margay::testing

int main(int argc, char** argv)
{
    if (geteuid() != 0) {
        std::fprintf(stderr, "hooks_bench: needs root\n");
        return 1;
    }
    const long rounds = argc > 1 ? std::strtol(argv[1], nullptr, 10) : 20000;
    if (rounds < 1 || rounds > 65536) {
        std::fprintf(stderr, "hooks_bench: rounds: 1 to 65536\n");
        return 1;
    }
    return margay::testing::Bench(static_cast<std::uint32_t>(rounds)).main();
}
