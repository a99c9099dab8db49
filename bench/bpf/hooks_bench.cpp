// SPDX-License-Identifier: Apache-2.0
// What a packet costs in each hook, against a do-nothing program and bare encap and decap programs.
//
// Every round is a BPF_PROG_TEST_RUN of its own, so the kernel builds the packet anew before each,
// for the floors as well; its clock runs around the program alone. A case is refused unless the
// counter of its path grew by exactly the rounds and the last packet has the right bytes.
//
// _hot: one established flow. _64k: 65,536 of them in random order. _new_N: every packet begins a
// flow, judged by an egress (decap: ingress) policy of N rules of which the last matches, compiled
// and loaded as the agent does. host_to_pod, host_encap: what the host itself sends; xdp_decap: the
// outer header taken off before the stack (it has no counter of its own).
//
// A repeat's figure is the mean of its rounds' middle half. Prints JSON: nanoseconds, median of 9
// interleaved repeats, and net of the do-nothing program.
//
// Usage: hooks_bench [rounds]

#include "agent/policy/compiler.h"
#include "agent/policy/loader.h"
#include "bpf/datapath/datapath.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace margay::testing {
namespace {

constexpr int kRepeats = 9;
constexpr std::uint32_t kFlows = 65536;
constexpr std::size_t kXdpNote = 12; // bpf/tunnel.h struct xdp_note

using Convert = std::function<Bytes(const Bytes&)>;

struct Case {
    std::string name;
    std::string program;
    std::uint32_t ifindex = 0;
    Bytes frame;
    Convert expected{}; // from the packet in the frame to that in the result
    std::optional<reason> path = std::nullopt; // its counter
    std::size_t varies = 0; // where the frame has the port that varies; 0: one flow
    std::uint32_t policy_slot = 0; // new flows: whose policy judges
    std::uint32_t rules = 0;
    int verdict = kRedirect;
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
        const Bytes out = frame_at(if_a_, to_c), local = frame_at(if_a_, to_b);
        const Bytes in = frame_at(if_up_, ipip(kNode2, kNode, udp_packet(kC, 0, kA, 90, 64)));
        const auto same = [](const Bytes& packet) { return packet; };
        const auto inner = [](const Bytes& packet) { return slice(packet, 20); };
        const auto decapsulated = [](const Bytes& packet) { return forwarded(slice(packet, 20)); };
        const auto encapsulated = [](const Bytes& packet) {
            const auto outer =
                read_ipv4(ipv4({.src = addr(kNode), .dst = addr(kNode2), .proto = 4}, {}), 0);
            return ipv4(outer, forwarded(packet));
        };
        const auto tunnelled = [](const Bytes& packet) { // no hop: the stack has counted it
            const auto outer =
                read_ipv4(ipv4({.src = addr(kNode), .dst = addr(kNode2), .proto = 4}, {}), 0);
            return ipv4(outer, packet);
        };
        const auto bare = [](const Bytes& packet) {
            Bytes outer = {0x45, 0, 0, 0, 0, 0, 0, 0, 64, 4, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2};
            outer[3] = static_cast<std::uint8_t>(packet.size() + outer.size());
            outer.insert(outer.end(), packet.begin(), packet.end());
            return outer;
        };
        const std::size_t port = kEthernet + 20, inner_port = kEthernet + 40;

        std::vector<Case> cases = {
            {"noop", "noop", if_a_, out, same, std::nullopt, 0, 0, 0, kOk},
            {"bare_encap", "bare_encap", if_a_, out, bare},
            {"bare_decap", "bare_decap", if_up_, in, inner},
            {"encap_hot", "from_workload", if_a_, out, encapsulated, REASON_ENCAPSULATED},
            {"encap_64k", "from_workload", if_a_, out, encapsulated, REASON_ENCAPSULATED, port},
            {"decap_hot", "from_uplink", if_up_, in, decapsulated, REASON_DELIVERED},
            {"decap_64k", "from_uplink", if_up_, in, decapsulated, REASON_DELIVERED, inner_port},
            {"local_hot", "from_workload", if_a_, local, forwarded, REASON_DELIVERED},
            {"local_64k", "from_workload", if_a_, local, forwarded, REASON_DELIVERED, port},
        };
        // What the stack brings and what it keeps: for these tc goes on, XDP passes.
        const auto kept = [&](const char* name, const char* program, std::uint32_t ifindex,
                              const Bytes& frame, const Convert& expected,
                              std::optional<reason> path, int verdict = kOk) {
            Case one{name, program, ifindex, frame, expected, path};
            one.verdict = verdict;
            cases.push_back(one);
        };
        const Bytes from_host = udp_packet(kNode, 1, kA, 2, 64);
        kept("host_to_pod", "to_workload", if_a_, frame_at(if_a_, from_host), same,
             REASON_FROM_STACK);
        kept("host_encap", "to_uplink", if_up_, frame_at(if_up_, udp_packet(kTunnel, 1, kC, 2, 64)),
             tunnelled, REASON_ENCAPSULATED);
        kept("xdp_decap", "uplink_xdp", 0, in, inner, std::nullopt, XDP_PASS);
        const Bytes new_out = frame_at(if_a_, udp_packet(kA, 0, kC, 81, 64));
        const Bytes new_in = frame_at(if_up_, ipip(kNode2, kNode, udp_packet(kC, 0, kA, 91, 64)));
        for (const std::uint32_t rules : {1u, 10u, 100u, 1000u}) {
            cases.push_back({"encap_new_" + std::to_string(rules), "from_workload", if_a_, new_out,
                             encapsulated, REASON_FLOW_CREATED, port, kEgressA, rules});
            cases.push_back({"decap_new_" + std::to_string(rules), "from_uplink", if_up_, new_in,
                             decapsulated, REASON_FLOW_CREATED, inner_port, kIngressA, rules});
        }
        return cases;
    }

    // `rules` rules about nets of the far end; only the last is about the packets' one.
    static policy::Program far_end_rules(std::uint32_t rules, bool egress)
    {
        policy::Policy list{"default/bench", {}};
        for (std::uint32_t i = 0; i < rules; i++) {
            policy::Rule rule;
            rule.action = policy::Action::Allow;
            rule.protocol = IPPROTO_UDP;
            auto& end = egress ? rule.destination : rule.source;
            end.nets = {i + 1 < rules ? Prefix4{Ipv4(0x0a000000 + i * 16), 28}
                                      : Prefix4{Ipv4(addr(kC)), 28}};
            list.rules.push_back(std::move(rule));
        }
        return {{{"default", {std::move(list)}, policy::TierEnd::Deny}}, {}};
    }

    void install(const Case& one)
    {
        policy::CompileContext context{maps_.at("scratch"),    maps_.at("classes4"),
                                       maps_.at("class_sets"), maps_.at("policies"),
                                       maps_.at("stages"),     {}};
        const auto compiled =
            policy::compile(far_end_rules(one.rules, one.policy_slot == kEgressA), context);
        if (!compiled || compiled->segments.size() != 1)
            fail(one.name + ": compile the policy");
        auto program = policy::load(compiled->segments.front(), one.name);
        if (!program)
            fail(one.name + ": " + program.error().what);
        put("policies", one.policy_slot, program->get());
    }

    // Removes the flows that the case makes, so that it makes them again.
    void forget_flows(const Case& one)
    {
        const std::size_t ip = one.varies - 20;
        flow_key key{};
        std::uint32_t ends[2];
        std::uint16_t ports[2];
        std::memcpy(ends, one.frame.data() + ip + 12, sizeof(ends));
        std::memcpy(ports, one.frame.data() + one.varies, sizeof(ports));
        const bool turned = ends[0] > ends[1];
        key.addr[0] = ends[turned];
        key.addr[1] = ends[!turned];
        key.port[!turned] = ports[1];
        key.proto = one.frame[ip + 9];
        for (std::uint32_t i = 0; i < rounds_; i++) {
            key.port[turned] = htons(static_cast<std::uint16_t>(i));
            bpf_map_delete_elem(maps_.at("flows4"), &key);
        }
    }

    // New flows one after the other, known ones at random: the cache must not help.
    void vary(Case& one, std::uint32_t round)
    {
        scatter_ = scatter_ * 1664525 + 1013904223;
        const std::uint32_t port = one.rules != 0 ? round : scatter_ >> 16;
        one.frame[one.varies] = static_cast<std::uint8_t>(port >> 8);
        one.frame[one.varies + 1] = static_cast<std::uint8_t>(port);
    }

    double measure(Case& one)
    {
        Bytes out(one.frame.size() + 256);
        __sk_buff skb{};
        skb.ifindex = one.ifindex;
        xdp_md xdp{};
        xdp.data_end = static_cast<std::uint32_t>(one.frame.size());
        const bool at_xdp = one.program == "uplink_xdp";
        if (one.rules != 0) {
            forget_flows(one);
            install(one);
        }
        const auto before = one.path ? Datapath::count(*one.path) : 0;
        std::vector<double> took;
        took.reserve(rounds_);
        for (std::uint32_t i = 0; i < rounds_; i++) {
            if (one.varies != 0)
                vary(one, i);
            LIBBPF_OPTS(
                bpf_test_run_opts, opts, .data_in = one.frame.data(), .data_out = out.data(),
                .data_size_in = static_cast<std::uint32_t>(one.frame.size()),
                .data_size_out = static_cast<std::uint32_t>(out.size()),
                .ctx_in = at_xdp ? static_cast<void*>(&xdp) : &skb,
                .ctx_size_in = static_cast<std::uint32_t>(at_xdp ? sizeof(xdp) : sizeof(skb)));
            if (bpf_prog_test_run_opts(programs_.at(one.program), &opts) != 0)
                fail(one.name + ": test run");
            if (static_cast<int>(opts.retval) != one.verdict)
                fail(one.name + ": verdict " + std::to_string(opts.retval));
            took.push_back(opts.duration);
            // At XDP the note for tc comes first.
            const std::size_t front = kEthernet + (at_xdp ? kXdpNote : 0);
            if (i + 1 == rounds_ && slice(out, front, opts.data_size_out - front) !=
                                        one.expected(slice(one.frame, kEthernet)))
                fail(one.name + ": wrong bytes in the last packet");
        }
        if (one.path && Datapath::count(*one.path) - before != rounds_)
            fail(one.name + ": the path's counter did not grow by the rounds");
        return middle(std::move(took));
    }

    void print(const std::vector<Case>& cases)
    {
        const double base = median(cases.front().samples);
        std::map<std::string, double> net;
        std::printf(
            "{\n  \"rounds\": %u,\n  \"repeats\": %d,\n  \"unit\": \"ns\",\n  \"cases\": [\n",
            rounds_, kRepeats);
        for (const auto& one : cases) {
            const double ns = median(one.samples);
            net[one.name] = ns - base;
            std::printf("    {\"name\": \"%s\", \"ns\": %.1f, \"net\": %.1f}%s\n", one.name.c_str(),
                        ns, ns - base, &one != &cases.back() ? "," : "");
        }
        std::printf("  ],\n  \"ratios\": {\"encap\": %.2f, \"decap\": %.2f}\n}\n",
                    net["encap_hot"] / net["bare_encap"], net["decap_hot"] / net["bare_decap"]);
    }

    std::uint32_t scatter_ = 12345;
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
