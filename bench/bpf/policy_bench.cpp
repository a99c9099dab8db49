// SPDX-License-Identifier: Apache-2.0
// What a compiled policy costs: nanoseconds a packet by BPF_PROG_TEST_RUN, net of the same run
// with a policy of no rule (driver, prologue, exit). Medians of nine. A figure counts only if the
// packet is decided by the rule that the row claims. `last` and `none` repeat one packet; `mixed`
// has 4,096 of them, so it pays for mispredicted branches too.

#include <netinet/in.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "policy_rig.h"

namespace margay::testing {
namespace {

using namespace policy;

constexpr int kRuns = 9;

// One kind of rule. A packet that matches rule i of n, or none for i == n.
struct Kind {
    const char* name;
    std::function<Rule(std::uint32_t)> rule;
    std::function<Packet(std::uint32_t)> packet;
};

const Packet kBase{Ipv4(0xc0a80001), Ipv4(0xc0a80002), 40000, 1, IPPROTO_TCP, 0, 0};

Rule allow()
{
    Rule rule;
    rule.action = Action::Allow;
    rule.protocol = IPPROTO_TCP;
    return rule;
}

std::uint16_t port_of(std::uint32_t i)
{
    return static_cast<std::uint16_t>(1000 + i);
}
// Spread over 10.0.0.0/8, /28 each.
Ipv4 net_of(std::uint32_t i)
{
    return Ipv4(0x0a000000 + i * 16);
}

Kind ports()
{
    return {"tcp port",
            [](std::uint32_t i) {
                auto rule = allow();
                rule.destination.ports = {{port_of(i), port_of(i)}};
                return rule;
            },
            [](std::uint32_t i) {
                auto packet = kBase;
                packet.destination_port = port_of(i);
                return packet;
            }};
}

Kind cidrs()
{
    return {"tcp cidr",
            [](std::uint32_t i) {
                auto rule = allow();
                rule.source.nets = {Prefix4{net_of(i), 28}};
                return rule;
            },
            [](std::uint32_t i) {
                auto packet = kBase;
                packet.source = net_of(i);
                return packet;
            }};
}

// Lengths alternate, so there is no run to search: the chain's own price.
Kind mixed_cidrs()
{
    const auto addr = [](std::uint32_t i) { return Ipv4(0x0b000000 + i * 64); };
    return {"tcp cidr mixed",
            [=](std::uint32_t i) {
                auto rule = allow();
                rule.source.nets = {Prefix4{addr(i), static_cast<std::uint8_t>(26 + i % 3)}};
                return rule;
            },
            [=](std::uint32_t i) {
                auto packet = kBase;
                packet.source = addr(i);
                return packet;
            }};
}

// Both conditions hold for the matching rule; the port alone holds for every third rule.
Kind cidr_and_port()
{
    return {"tcp cidr+port",
            [](std::uint32_t i) {
                auto rule = allow();
                rule.source.nets = {Prefix4{net_of(i), 28}};
                const auto port = port_of(i % 3);
                rule.destination.ports = {{port, port}};
                return rule;
            },
            [](std::uint32_t i) {
                auto packet = kBase;
                packet.source = net_of(i);
                packet.destination_port = port_of(i % 3);
                return packet;
            }};
}

Kind sets()
{
    return {"tcp set",
            [](std::uint32_t i) {
                auto rule = allow();
                rule.source.sets = {i % CLASS_SET_MAX};
                return rule;
            },
            [](std::uint32_t i) {
                auto packet = kBase;
                packet.source = net_of(i);
                return packet;
            }};
}

Program program_of(const Kind& kind, std::uint32_t rules)
{
    Policy policy{"default/bench", {}};
    for (std::uint32_t i = 0; i < rules; ++i)
        policy.rules.push_back(kind.rule(i));
    return {{{"default", {policy}, TierEnd::Deny}}, {}};
}

double median_of(PolicyRig& rig, const std::vector<Packet>& packets, std::uint32_t rounds)
{
    std::vector<double> runs;
    for (int i = 0; i < kRuns; ++i) {
        const auto ns = rig.measure(packets, rounds);
        if (!ns) {
            std::fprintf(stderr, "%s\n", ns.error().what.c_str());
            std::exit(1);
        }
        runs.push_back(*ns);
    }
    std::nth_element(runs.begin(), runs.begin() + kRuns / 2, runs.end());
    return runs[kRuns / 2];
}

void require(const Status& status)
{
    if (status)
        return;
    std::fprintf(stderr, "%s\n", status.error().what.c_str());
    std::exit(1);
}

void require_rule(PolicyRig& rig, const Packet& packet, std::uint32_t rule)
{
    const auto judged = rig.judge({packet});
    if (judged && judged->front().rule == rule && judged->front().verdict != POLICY_UNDECIDED)
        return;
    std::fprintf(stderr, "not decided by rule %u\n", rule);
    std::exit(1);
}

double base(PolicyRig& rig)
{
    require(rig.install({}));
    return median_of(rig, {kBase}, 250);
}

// Packets that match all rules alike, in random order: what the branch predictor cannot learn.
std::vector<Packet> mixed_packets(const Kind& kind, std::uint32_t rules)
{
    std::mt19937 random(1);
    std::uniform_int_distribution<std::uint32_t> any(0, rules - 1);
    std::vector<Packet> packets;
    for (std::uint32_t i = 0; i < PolicyRig::kBatch; ++i)
        packets.push_back(kind.packet(any(random)));
    return packets;
}

void measure(PolicyRig& rig, const Kind& kind, std::uint32_t rules, double empty, bool& first)
{
    const auto begin = std::chrono::steady_clock::now();
    require(rig.install(program_of(kind, rules)));
    const std::chrono::duration<double, std::milli> loading =
        std::chrono::steady_clock::now() - begin;

    const auto rounds = rules >= 1000 ? 10u : 100u;
    const auto hit = kind.packet(rules - 1);
    const auto miss = kind.packet(rules);
    require_rule(rig, hit, rules - 1);
    require_rule(rig, miss, POLICY_RULE_TIER_END | 0u);
    const auto last = median_of(rig, {hit}, rounds) - empty;
    const auto none = median_of(rig, {miss}, rounds) - empty;
    const auto mixed = median_of(rig, mixed_packets(kind, rules), rounds) - empty;
    std::printf("%s\n  {\"rules\":\"%s\",\"count\":%u,\"last\":%.0f,\"none\":%.0f,\"mixed\":%.0f,"
                "\"segments\":%zu,\"load_ms\":%.0f}",
                first ? "" : ",", kind.name, rules, last, none, mixed, rig.segments(),
                loading.count());
    first = false;
    std::fflush(stdout);
}

// For set rules: the net of rule i is a class that has set i only.
Classes set_classes(std::uint32_t count)
{
    std::vector<ClassPrefix> prefixes;
    for (std::uint32_t i = 0; i < count; ++i)
        prefixes.push_back({Prefix4{net_of(i), 28}, {i % CLASS_SET_MAX}});
    return Classes(std::move(prefixes));
}

int run()
{
    auto rig = PolicyRig::create();
    if (!rig) {
        std::fprintf(stderr, "%s\n", rig.error().what.c_str());
        return 1;
    }
    require(rig->set_classes(set_classes(1000)));
    std::printf("{\"empty\":%.0f,\"cases\":[", base(*rig));
    bool first = true;
    for (const auto& kind : {ports(), cidrs(), cidr_and_port(), mixed_cidrs(), sets()})
        for (const std::uint32_t rules : {1u, 10u, 100u, 1000u, 10000u}) {
            if (std::string(kind.name) == "tcp set" && rules > 1000)
                continue; // there are 4,096 sets at a time
            measure(*rig, kind, rules, base(*rig), first);
        }
    std::printf("\n]}\n");
    return 0;
}

} // namespace
} // namespace margay::testing

int main()
{
    return margay::testing::run();
}
