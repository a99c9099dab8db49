// SPDX-License-Identifier: Apache-2.0
// What a packet costs in each hook, against a do-nothing program and bare encap and decap programs
// that make the same octets.
//
// Two figures a case, nanoseconds, median of 9 interleaved repeats, and net of the do-nothing program:
//
//   ns    in bursts of 64, as a NIC's queue brings them. BPF_PROG_TEST_RUN sprays frames from XDP
//         into the interface (burst.bpf.c), where the program is attached; the kernel's own clock
//         around it (BPF_STATS_RUN_TIME) is read. Every frame is written anew before the hook sees
//         it, outside the measured time.
//   cold  alone, after a system call: a BPF_PROG_TEST_RUN a packet, which the kernel builds anew.
//         Caches and TLB are the system call's. A repeat's figure is the mean of its rounds' middle
//         half.
//
// A figure is refused unless the counter of its path grew by exactly the rounds and the last packet
// has the right octets, in bursts as it left towards the wire or the pod.
//
// _hot: one established flow. _64k: 65,536 of them in random order. _new_N: every packet begins a
// flow, judged by an egress (decap: ingress) policy of N rules of which the last matches, compiled
// and loaded as the agent does. host_to_pod, host_encap (what the host itself sends) and xdp_decap
// (the outer header taken off before the stack; it has no counter of its own) are measured cold only.
//
// Usage: hooks_bench [rounds [case...]]

#include "agent/policy/compiler.h"
#include "agent/policy/loader.h"
#include "bench/bpf/burst.h"
#include "bpf/datapath/datapath.h"
#include "support/netns.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace margay::testing {
namespace {

constexpr int kRepeats = 9;
constexpr std::uint32_t kFlows = 65536;
constexpr std::uint32_t kBurst = 64; // NAPI_POLL_WEIGHT
// Of payload: plain and tunnelled frames are of one length, and full bursts.
constexpr std::size_t kPayload = BURST_FRAME - kEthernet - 28, kTunnelPayload = kPayload - 20;

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
    std::size_t varies_by_repeat = 0; // as `varies`, where each repeat has one flow
    std::vector<double> burst{}, cold{}; // a repeat each
};

// Only what stands at an ingress hook can be reached by frames that XDP passes.
bool comes_in_bursts(const Case& one)
{
    return one.program != "to_workload" && one.program != "to_uplink" &&
           one.program != "uplink_xdp";
}

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
    // `names`: of the cases to measure beside noop; empty: all.
    Bench(std::uint32_t rounds, std::set<std::string> names)
        : rounds_(rounds), names_(std::move(names))
    {
    }
    void TestBody() override {}

    int main()
    {
        flows_max_ = 4 * kFlows;
        extra_objects_ = {MARGAY_BURST_OBJECT};
        SetUpTestSuite();
        SetUp();
        load_floors();
        wire();
        // Nothing expires meanwhile.
        change_config([](auto& config) { config.timeouts.udp = 1u << 20; });
        establish(kFlows);
        auto cases = make_cases();
        std::erase_if(cases, [&](const Case& one) {
            return !names_.empty() && one.name != "noop" && !names_.contains(one.name);
        });
        for (int i = 0; i < kRepeats; i++) {
            collect(); // the agent lives: MACs of paths are fresh
            for (auto& one : cases) {
                if (one.varies_by_repeat != 0)
                    set_port(one.frame, one.varies_by_repeat, static_cast<std::uint32_t>(i) * 7001);
                if (comes_in_bursts(one))
                    one.burst.push_back(measure_burst(one));
                one.cold.push_back(measure_cold(one));
            }
        }
        print(cases);
        return 0;
    }

private:
    void load_floors()
    {
        const std::uint32_t out[] = {if_up_, if_a_};
        bpf_object* object = bpf_object__open_file(MARGAY_BARE_OBJECT, nullptr);
        bpf_map* map = object ? bpf_object__find_map_by_name(object, ".rodata.out") : nullptr;
        if (!map || bpf_map__set_initial_value(map, out, sizeof(out)) != 0 ||
            bpf_object__load(object) != 0)
            fail("load " MARGAY_BARE_OBJECT);
        bpf_program* program = nullptr;
        bpf_object__for_each_program(program, object) programs_[bpf_program__name(program)] =
            bpf_program__fd(program);
    }

    // The far ends of all links in a namespace of their own, as redirect_peer demands, and a catcher
    // wherever packets leave.
    void wire()
    {
        // Speaks of its own accord, through the hooks under test.
        const std::string no_ipv6 = "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 "
                                    "net.ipv6.conf.default.disable_ipv6=1";
        far_.must(no_ipv6);
        here(no_ipv6);
        for (const std::string name : {"a", "b", "up"}) {
            here("ip link set dev p" + name + " netns " + far_.name());
            far_.must("ip link set dev p" + name + " up");
            here("ip link set dev " + name + " up");
        }
        for (const std::uint32_t ifindex : {if_a_, if_up_})
            create_hook(ifindex, BPF_TC_INGRESS);
        catch_at(if_up_, BPF_TC_EGRESS);
        inside(far_, [] {
            for (const char* name : {"pa", "pb"})
                catch_at(if_nametoindex(name), BPF_TC_INGRESS);
        });
        if (bpf_enable_stats(BPF_STATS_RUN_TIME) < 0)
            fail("enable statistics of run time");
    }

    static void here(const std::string& command)
    {
        if (std::system(command.c_str()) != 0)
            fail(command);
    }

    static bpf_tc_hook hook_at(std::uint32_t ifindex, bpf_tc_attach_point point)
    {
        bpf_tc_hook hook{};
        hook.sz = sizeof(hook);
        hook.ifindex = static_cast<int>(ifindex);
        hook.attach_point = point;
        return hook;
    }

    static void create_hook(std::uint32_t ifindex, bpf_tc_attach_point point)
    {
        bpf_tc_hook hook = hook_at(ifindex, point);
        const int err = bpf_tc_hook_create(&hook);
        if (err != 0 && err != -EEXIST)
            fail("create a clsact hook");
    }

    static void attach(const std::string& program, std::uint32_t ifindex, bpf_tc_attach_point point)
    {
        const bpf_tc_hook hook = hook_at(ifindex, point);
        bpf_tc_opts opts{};
        opts.sz = sizeof(opts);
        opts.prog_fd = programs_.at(program);
        opts.flags = BPF_TC_F_REPLACE;
        opts.handle = opts.priority = 1;
        if (bpf_tc_attach(&hook, &opts) != 0)
            fail("attach " + program);
    }

    static void catch_at(std::uint32_t ifindex, bpf_tc_attach_point point)
    {
        create_hook(ifindex, point);
        attach("catch_frame", ifindex, point);
    }

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
        to_a(from_host());
        to_uplink(from_tunnel_address());
        // a:90 to c:80 is c:80 to a:90: one flow begins twice. Between the host itself and other
        // nodes' pods nothing is remembered.
        if (count_of_created() != 3 * count)
            fail("flows were not all created");
    }

    static Bytes from_host() { return udp_packet(kNode, 1, kA, 2, kPayload); }
    static Bytes from_tunnel_address() { return udp_packet(kTunnel, 1, kC, 2, kPayload); }

    std::uint64_t count_of_created() { return Datapath::count(REASON_FLOW_CREATED); }

    std::vector<Case> make_cases()
    {
        const Bytes to_c = udp_packet(kA, 0, kC, 80, kPayload),
                    to_b = udp_packet(kA, 0, kB, 80, kPayload);
        const Bytes out = frame_at(if_a_, to_c), local = frame_at(if_a_, to_b);
        const Bytes in =
            frame_at(if_up_, ipip(kNode2, kNode, udp_packet(kC, 0, kA, 90, kTunnelPayload)));
        const auto same = [](const Bytes& packet) { return packet; };
        const auto inner = [](const Bytes& packet) { return slice(packet, 20); };
        const auto decapsulated = [](const Bytes& packet) { return forwarded(slice(packet, 20)); };
        const auto tunnelled = [](const Bytes& packet) { // no hop: the stack has counted it
            const auto outer =
                read_ipv4(ipv4({.src = addr(kNode), .dst = addr(kNode2), .proto = 4}, {}), 0);
            return ipv4(outer, packet);
        };
        const auto encapsulated = [tunnelled](const Bytes& packet) {
            return tunnelled(forwarded(packet));
        };
        const std::size_t port = kEthernet + 20, inner_port = kEthernet + 40;

        // What is compared stands side by side: a neighbour of this machine comes and goes.
        std::vector<Case> cases = {
            {"noop", "noop", if_a_, out, same, std::nullopt, 0, 0, 0, kOk},
            {"bare_encap", "bare_encap", if_a_, out, encapsulated},
            {"encap_hot", "from_workload", if_a_, out, encapsulated, REASON_ENCAPSULATED},
            {"bare_decap", "bare_decap", if_up_, in, decapsulated},
            {"decap_hot", "from_uplink", if_up_, in, decapsulated, REASON_DELIVERED},
            {"local_hot", "from_workload", if_a_, local, forwarded, REASON_DELIVERED},
            {"encap_64k", "from_workload", if_a_, out, encapsulated, REASON_ENCAPSULATED, port},
            {"decap_64k", "from_uplink", if_up_, in, decapsulated, REASON_DELIVERED, inner_port},
            {"local_64k", "from_workload", if_a_, local, forwarded, REASON_DELIVERED, port},
        };
        // Where a flow's entry lies, in its bucket and in the cache, is chance: another one each time.
        for (auto& one : cases)
            if (one.varies == 0)
                one.varies_by_repeat = one.ifindex == if_a_ ? port : inner_port;
        // What the stack brings and what it keeps: for these tc goes on, XDP passes.
        const auto kept = [&](const char* name, const char* program, std::uint32_t ifindex,
                              const Bytes& frame, const Convert& expected,
                              std::optional<reason> path, int verdict = kOk) {
            Case one{name, program, ifindex, frame, expected, path};
            one.verdict = verdict;
            cases.push_back(one);
        };
        kept("host_to_pod", "to_workload", if_a_, frame_at(if_a_, from_host()), same,
             REASON_FROM_STACK);
        kept("host_encap", "to_uplink", if_up_, frame_at(if_up_, from_tunnel_address()), tunnelled,
             REASON_ENCAPSULATED);
        kept("xdp_decap", "uplink_xdp", 0, in, inner, std::nullopt, XDP_PASS);
        const Bytes new_out = frame_at(if_a_, udp_packet(kA, 0, kC, 81, kPayload));
        const Bytes new_in =
            frame_at(if_up_, ipip(kNode2, kNode, udp_packet(kC, 0, kA, 91, kTunnelPayload)));
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
        policy::CompileContext context{maps_.at("scratch"),
                                       maps_.at("classes4"),
                                       maps_.at("class_sets"),
                                       maps_.at("policies"),
                                       maps_.at("stages"),
                                       maps_.at("counters"),
                                       {}};
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

    static void set_port(Bytes& frame, std::size_t at, std::uint32_t port)
    {
        frame[at] = static_cast<std::uint8_t>(port >> 8);
        frame[at + 1] = static_cast<std::uint8_t>(port);
    }

    // New flows one after the other, known ones at random: the cache must not help.
    void vary(Case& one, std::uint32_t round)
    {
        scatter_ = scatter_ * 1664525 + 1013904223;
        const std::uint32_t port = one.rules != 0 ? round : scatter_ >> 16;
        set_port(one.frame, one.varies, port);
    }

    // The rounds of `one` by `run`; the path's counter, and no other way, took all of them.
    double counted(Case& one, std::uint32_t rounds, const std::function<double()>& run)
    {
        if (one.rules != 0) {
            forget_flows(one);
            install(one);
        }
        const auto created = count_of_created();
        const auto before = one.path ? Datapath::count(*one.path) : 0;
        const double ns = run();
        if (one.path && Datapath::count(*one.path) - before != rounds)
            fail(one.name + ": the path's counter did not grow by the rounds");
        if (count_of_created() - created != (one.rules != 0 ? rounds : 0))
            fail(one.name + ": flows were created, or were not");
        return ns;
    }

    bpf_prog_info info_of(const std::string& program)
    {
        bpf_prog_info info{};
        std::uint32_t size = sizeof(info);
        if (bpf_obj_get_info_by_fd(programs_.at(program), &info, &size) != 0)
            fail("ask about " + program);
        return info;
    }

    double measure_burst(Case& one)
    {
        return counted(one, rounds_, [&] { return spray_at(one); });
    }

    double spray_at(const Case& one)
    {
        const std::uint32_t zero = 0;
        struct spray how{};
        if (one.frame.size() != sizeof(how.frame))
            fail(one.name + ": frame of another length");
        std::copy(one.frame.begin(), one.frame.end(), how.frame);
        how.port_at = static_cast<std::uint32_t>(one.varies);
        // New flows one after the other, known ones at random: the cache must not help.
        how.scatter = one.rules == 0;
        how.next = how.scatter ? scatter_ : 0;
        put("spray", zero, how);
        put("caught", zero, caught{});
        attach(one.program, one.ifindex, BPF_TC_INGRESS);

        const auto before = info_of(one.program);
        xdp_md where{};
        where.data_end = BURST_FRAME;
        where.ingress_ifindex = one.ifindex;
        LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = one.frame.data(),
                    .data_size_in = BURST_FRAME, .ctx_in = &where, .ctx_size_in = sizeof(where),
                    .repeat = static_cast<int>(rounds_), .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
                    .batch_size = kBurst);
        if (bpf_prog_test_run_opts(programs_.at("spray_frame"), &opts) != 0)
            fail(one.name + ": spray: " + std::strerror(errno));
        const auto after = info_of(one.program);
        scatter_ = get<struct spray>("spray", zero)->next;

        if (after.run_cnt - before.run_cnt != rounds_)
            fail(one.name + ": the program did not run once a round");
        if (one.verdict == kRedirect)
            check_caught(one);
        return static_cast<double>(after.run_time_ns - before.run_time_ns) / rounds_;
    }

    // The last frame, with the ports that it had.
    void check_caught(const Case& one)
    {
        const auto last = *get<caught>("caught", std::uint32_t{0});
        if (last.frames != rounds_ || last.length > sizeof(last.frame))
            fail(one.name + ": not every frame arrived");
        const Bytes frame(last.frame, last.frame + last.length);
        Bytes sent = one.frame;
        if (one.varies != 0) {
            const auto at = one.varies + frame.size() - sent.size();
            std::copy_n(frame.begin() + static_cast<std::ptrdiff_t>(at), 2,
                        sent.begin() + static_cast<std::ptrdiff_t>(one.varies));
        }
        if (slice(frame, kEthernet) != one.expected(slice(sent, kEthernet)))
            fail(one.name + ": wrong octets in the last frame");
        // Ours and the floor's, to the last octet.
        for (const char* way : {"encap", "decap"}) {
            if (one.name == std::string("bare_") + way)
                floors_[way] = frame;
            if (one.name == std::string(way) + "_hot" && frame != floors_[way])
                fail(one.name + ": not the frame that the floor makes");
        }
    }

    double measure_cold(Case& one)
    {
        return counted(one, cold_rounds(), [&] { return one_by_one(one); });
    }

    double one_by_one(Case& one)
    {
        Bytes out(one.frame.size() + 256);
        __sk_buff skb{};
        skb.ifindex = one.ifindex;
        xdp_md xdp{};
        xdp.data_end = static_cast<std::uint32_t>(one.frame.size());
        const bool at_xdp = one.program == "uplink_xdp";
        std::vector<double> took;
        took.reserve(cold_rounds());
        for (std::uint32_t i = 0; i < cold_rounds(); i++) {
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
            const std::size_t front = kEthernet + (at_xdp ? sizeof(xdp_note) : 0);
            if (i + 1 == cold_rounds() && slice(out, front, opts.data_size_out - front) !=
                                              one.expected(slice(one.frame, kEthernet)))
                fail(one.name + ": wrong bytes in the last packet");
        }
        return middle(std::move(took));
    }

    struct Figure {
        double burst = 0, cold = 0;
    };

    static Figure figure_of(const Case& one)
    {
        return {one.burst.empty() ? 0 : median(one.burst), median(one.cold)};
    }

    void print(const std::vector<Case>& cases)
    {
        const Figure base = figure_of(cases.front());
        std::printf("{\n  \"rounds\": %u,\n  \"cold_rounds\": %u,\n  \"burst\": %u,\n"
                    "  \"repeats\": %d,\n  \"unit\": \"ns\",\n  \"cases\": [\n",
                    rounds_, cold_rounds(), kBurst, kRepeats);
        for (const auto& one : cases) {
            const Figure figure = figure_of(one);
            std::printf("    {\"name\": \"%s\", ", one.name.c_str());
            if (!one.burst.empty())
                std::printf("\"ns\": %.1f, \"net\": %.1f, ", figure.burst,
                            figure.burst - base.burst);
            std::printf("\"cold\": %.1f, \"cold_net\": %.1f}%s\n", figure.cold,
                        figure.cold - base.cold, &one != &cases.back() ? "," : "");
        }
        std::printf("  ]\n}\n");
    }

    std::uint32_t cold_rounds() const { return std::max(rounds_ / 4, 1u); }

    Netns far_{"far"};
    std::map<std::string, Bytes> floors_; // the last frame of each
    std::uint32_t scatter_ = 12345;
    std::uint32_t rounds_;
    std::set<std::string> names_;
};

// Caches and predictors are the same for all cases.
void stay_on_this_cpu()
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    if (sched_setaffinity(0, sizeof(one), &one) != 0)
        std::perror("hooks_bench: sched_setaffinity");
}

} // namespace
} // namespace margay::testing

int main(int argc, char** argv)
{
    if (geteuid() != 0) {
        std::fprintf(stderr, "hooks_bench: needs root\n");
        return 1;
    }
    const long rounds = argc > 1 ? std::strtol(argv[1], nullptr, 10) : 40000;
    if (rounds < 1 || rounds > 65536) {
        std::fprintf(stderr, "hooks_bench: rounds: 1 to 65536\n");
        return 1;
    }
    margay::testing::stay_on_this_cpu();
    return margay::testing::Bench(static_cast<std::uint32_t>(rounds),
                                  {argv + std::min(argc, 2), argv + argc})
        .main();
}
