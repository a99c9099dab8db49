// SPDX-License-Identifier: Apache-2.0
// The compiled program and the plain evaluator say the same of every packet: verdict, rule, log.
//
// MARGAY_SEED=n repeats a run, MARGAY_PROGRAMS=n makes it longer.

#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <string>

#include "policy_rig.h"
#include "random_policy.h"

namespace margay::testing {
namespace {

using namespace policy;

constexpr std::uint32_t kPrograms = 120;
constexpr std::uint32_t kPackets = 1000; // a program

std::uint64_t number_from(const char* name, std::uint64_t otherwise)
{
    const char* text = std::getenv(name);
    return text ? std::strtoull(text, nullptr, 0) : otherwise;
}

// How often each thing that can be compiled wrongly was decisive. What stays 0 was not tested.
class Hits {
public:
    Hits()
    {
        for (const auto* name :
             {"allow", "deny by rule", "deny by tier end", "deny without profile", "log",
              "protocol", "not protocol", "icmp type", "icmp code", "not icmp", "port 0",
              "port 65535", "segments > 1", "decided by a profile", "guards", "searches"})
            counts_[name] = 0;
        for (const std::string side : {"source ", "destination "}) {
            for (const auto* name : {"nets",
                                     "not nets",
                                     "sets",
                                     "not sets",
                                     "ports",
                                     "named ports",
                                     "not ports",
                                     "not named ports",
                                     "two nets",
                                     "/0",
                                     "/32",
                                     "first address",
                                     "last address",
                                     "set 0",
                                     "set 31",
                                     "set 32",
                                     "set 4095",
                                     "two sets",
                                     "first of range",
                                     "last of range",
                                     "next to range"})
                counts_[side + name] = 0;
        }
    }

    void count(const std::string& name, bool condition = true) { counts_.at(name) += condition; }
    std::uint64_t of(const std::string& name) const { return counts_.at(name); }
    const std::map<std::string, std::uint64_t>& all() const { return counts_; }

private:
    std::map<std::string, std::uint64_t> counts_;
};

void count_ports(Hits& hits, const std::string& name, const Side& side, std::uint16_t port)
{
    hits.count(name + "ports", !side.ports.empty());
    hits.count(name + "named ports", !side.named_ports.empty());
    hits.count(name + "not ports", !side.not_ports.empty());
    hits.count(name + "not named ports", !side.not_named_ports.empty());
    hits.count("port 0", !side.ports.empty() && port == 0);
    hits.count("port 65535", !side.ports.empty() && port == 65535);
    for (const auto& r : side.ports) {
        hits.count(name + "first of range", r.first != r.last && port == r.first);
        hits.count(name + "last of range", r.first != r.last && port == r.last);
    }
    // Beside a range that refuses: one step further and the rule would not have matched.
    for (const auto& r : side.not_ports)
        hits.count(name + "next to range", port + 1 == r.first || port == r.last + 1);
}

void count_addresses(Hits& hits, const std::string& name, const Side& side, Ipv4 addr)
{
    hits.count(name + "nets", !side.nets.empty());
    hits.count(name + "two nets", side.nets.size() > 1);
    hits.count(name + "not nets", !side.not_nets.empty());
    hits.count(name + "sets", !side.sets.empty());
    hits.count(name + "two sets", side.sets.size() > 1);
    hits.count(name + "not sets", !side.not_sets.empty());
    for (const auto& net : side.nets) {
        hits.count(name + "/0", net.length == 0);
        hits.count(name + "/32", net.length == 32 && net.addr == addr);
        const auto host = net.length == 0 ? ~0u : net.length == 32 ? 0u : ~0u >> net.length;
        hits.count(name + "first address", host && net.addr == addr);
        hits.count(name + "last address", host && (net.addr.value() | host) == addr.value());
    }
    for (const auto set : side.sets)
        for (const auto edge : {0u, 31u, 32u, 4095u})
            hits.count(name + "set " + std::to_string(edge), set == edge);
}

void count_rule(Hits& hits, const Rule& rule, const Packet& packet)
{
    hits.count("protocol", rule.protocol.has_value());
    hits.count("not protocol", rule.not_protocol.has_value());
    hits.count("icmp type", rule.icmp && !rule.icmp->code);
    hits.count("icmp code", rule.icmp && rule.icmp->code);
    hits.count("not icmp", rule.not_icmp.has_value());
    count_addresses(hits, "source ", rule.source, packet.source);
    count_addresses(hits, "destination ", rule.destination, packet.destination);
    count_ports(hits, "source ", rule.source, packet.source_port);
    count_ports(hits, "destination ", rule.destination, packet.destination_port);
}

std::vector<const Rule*> rules_of(const Program& program)
{
    std::vector<const Rule*> rules;
    const auto add = [&](const Policy& p) {
        for (const auto& rule : p.rules)
            rules.push_back(&rule);
    };
    for (const auto& tier : program.tiers)
        for (const auto& p : tier.policies)
            add(p);
    for (const auto& p : program.profiles)
        add(p);
    return rules;
}

void count_outcome(Hits& hits, const Program& program, const Packet& packet, const Outcome& outcome)
{
    hits.count("log", outcome.log != 0);
    hits.count("allow", outcome.verdict == Verdict::Allow);
    if (outcome.rule == POLICY_RULE_NO_PROFILE)
        return hits.count("deny without profile");
    if (outcome.rule & POLICY_RULE_TIER_END)
        return hits.count("deny by tier end");
    hits.count("deny by rule", outcome.verdict == Verdict::Deny);
    const auto rules = rules_of(program);
    count_rule(hits, *rules.at(outcome.rule), packet);
    std::size_t in_profiles = 0;
    for (const auto& p : program.profiles)
        in_profiles += p.rules.size();
    hits.count("decided by a profile", outcome.rule >= rules.size() - in_profiles);
}

std::string text_of(const Packet& p)
{
    return p.source.str() + ":" + std::to_string(p.source_port) + " -> " + p.destination.str() +
           ":" + std::to_string(p.destination_port) + " proto " + std::to_string(p.protocol) +
           " icmp " + std::to_string(p.icmp_type) + "/" + std::to_string(p.icmp_code);
}

// Cuts some programs into segments as small as their largest rule allows.
Status install(PolicyRig& rig, const Program& program, std::uint64_t number)
{
    if (number % 2)
        for (const std::size_t instructions : {280u, 330u, 400u}) {
            const SegmentLimits small{instructions, 100, PolicyRig::kContinuations};
            const auto status = rig.install(program, small);
            if (status || status.error().code != Errc::Full)
                return status;
        }
    return rig.install(program);
}

void run_program(std::uint64_t seed, std::uint64_t number, Hits& hits)
{
    auto rig = PolicyRig::create();
    ASSERT_TRUE(rig) << rig.error().what;
    RandomPolicy random(seed);
    const auto classes = random.classes();
    const auto set_up = rig->set_classes(classes);
    ASSERT_TRUE(set_up) << set_up.error().what;
    const auto program = random.program();
    const auto installed = install(*rig, program, number);
    ASSERT_TRUE(installed) << installed.error().what << " seed " << seed;

    std::vector<Packet> packets;
    for (std::uint32_t i = 0; i < kPackets; ++i)
        packets.push_back(random.packet(program, classes));
    const auto judged = rig->judge(packets);
    ASSERT_TRUE(judged) << judged.error().what;

    const auto in_set = classes.membership();
    for (std::size_t i = 0; i < packets.size(); ++i) {
        const auto expected = evaluate(program, packets[i], in_set);
        const auto& got = (*judged)[i];
        ASSERT_NE(got.verdict, static_cast<__u32>(POLICY_UNDECIDED)) << "seed " << seed;
        ASSERT_EQ(outcome_of(got), expected)
            << "seed " << seed << ", " << text_of(packets[i]) << "\n  program: verdict "
            << got.verdict << ", " << describe_rule(program, got.rule) << ", log " << got.log
            << "\n  evaluator: " << describe_rule(program, expected.rule) << ", log "
            << expected.log;
        count_outcome(hits, program, packets[i], expected);
    }
    hits.count("segments > 1", rig->segments() > 1);
    hits.count("guards", rig->has_line("share a condition"));
    hits.count("searches", rig->has_line("search among"));
}

TEST(PolicyDifferential, program_and_evaluator_agree_on_every_packet)
{
    const auto seed = number_from("MARGAY_SEED", 20240607);
    const auto programs = number_from("MARGAY_PROGRAMS", kPrograms);
    std::cout << "seeds " << seed << " to " << seed + programs - 1 << "\n";

    Hits hits;
    for (std::uint64_t i = 0; i < programs; ++i) {
        run_program(seed + i, i, hits);
        if (HasFatalFailure())
            return;
    }

    for (const auto& [name, count] : hits.all()) {
        std::cout << count << "\t" << name << "\n";
        EXPECT_GT(count, 0u) << name << " was never decisive";
    }
    const auto all = programs * kPackets;
    EXPECT_GE(all, 100000u);
    EXPECT_GE(hits.of("allow"), all / 4);
    EXPECT_GE(hits.of("deny by rule"), all / 4);
    EXPECT_GE(hits.of("deny by tier end") + hits.of("deny without profile"), all / 10);
}

} // namespace
} // namespace margay::testing
