// SPDX-License-Identifier: Apache-2.0
// What the kernel makes of compiled programs beyond their verdicts: size, segments, names, text.

#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <linux/pkt_cls.h>
#include <netinet/in.h>

#include "agent/policy/loader.h"
#include "policy_rig.h"

namespace margay::testing {
namespace {

using namespace policy;

Rule allow_port(std::uint16_t port)
{
    Rule rule;
    rule.action = Action::Allow;
    rule.protocol = IPPROTO_TCP;
    rule.destination.ports = {{port, port}};
    return rule;
}

Packet tcp_to(std::uint16_t port)
{
    return {Ipv4(0x0a000001), Ipv4(0x0a000002), 40000, port, IPPROTO_TCP, 0, 0};
}

Program ports(std::uint16_t first, std::size_t count)
{
    Policy policy{"default/many", {}};
    for (std::size_t i = 0; i < count; ++i)
        policy.rules.push_back(allow_port(static_cast<std::uint16_t>(first + i)));
    return {{{"default", {policy}, TierEnd::Deny}}, {}};
}

std::uint64_t verified_instructions(const Fd& program)
{
    bpf_prog_info info{};
    __u32 size = sizeof(info);
    EXPECT_EQ(bpf_obj_get_info_by_fd(program.get(), &info, &size), 0);
    return info.verified_insns;
}

struct PolicyCompiler : ::testing::Test {
    Result<PolicyRig> rig = PolicyRig::create();

    void SetUp() override { ASSERT_TRUE(rig) << rig.error().what; }

    judgement judge(const Packet& packet)
    {
        const auto results = rig->judge({packet});
        EXPECT_TRUE(results) << results.error().what;
        return results ? results->front() : judgement{};
    }
    counter missed()
    {
        const auto sum = rig->missed();
        EXPECT_TRUE(sum) << sum.error().what;
        return sum ? *sum : counter{};
    }
};

TEST_F(PolicyCompiler, ten_thousand_rules_load_and_the_last_one_decides)
{
    const auto installed = rig->install(ports(1000, 10000));
    ASSERT_TRUE(installed) << installed.error().what;

    const auto last = judge(tcp_to(10999));
    EXPECT_EQ(last.verdict, static_cast<__u32>(POLICY_ALLOW));
    EXPECT_EQ(last.rule, 9999u);
    EXPECT_EQ(judge(tcp_to(11000)).rule, POLICY_RULE_TIER_END | 0u);
}

TEST_F(PolicyCompiler, ten_thousand_rules_of_two_sets_and_a_port_load)
{
    auto program = ports(1000, 10000);
    SetId set = 0;
    for (auto& rule : program.tiers[0].policies[0].rules) {
        rule.source.sets = {set % 4096};
        rule.destination.not_sets = {(set + 7) % 4096};
        rule.action = set++ % 2 ? Action::Log : Action::Deny;
    }
    const auto installed = rig->install(program);
    ASSERT_TRUE(installed) << installed.error().what;
    EXPECT_EQ(judge(tcp_to(10999)).rule, POLICY_RULE_TIER_END | 0u);
}

TEST_F(PolicyCompiler, class_without_contents_denies_whoever_asks_for_a_set_of_that_side)
{
    const class4_key key{24, Ipv4(0x0a000000).be()};
    const std::uint32_t unknown = CLASS_UNKNOWN;
    ASSERT_EQ(bpf_map_update_elem(rig->context().classes4, &key, &unknown, BPF_ANY), 0);
    const Packet from_unknown = {Ipv4(0x0a000001), Ipv4(0xc0000201), 40000, 80, IPPROTO_TCP, 0, 0};
    const Packet to_unknown = {Ipv4(0xc0000201), Ipv4(0x0a000001), 40000, 80, IPPROTO_TCP, 0, 0};

    Rule allow = allow_port(80);
    Rule deny_bad;
    deny_bad.action = Action::Deny;
    deny_bad.source.sets = {7};
    ASSERT_TRUE(
        rig->install({{{"default", {{"default/p", {deny_bad, allow}}}, TierEnd::Deny}}, {}}));
    const auto denied = judge(from_unknown);
    EXPECT_EQ(denied.verdict, static_cast<__u32>(POLICY_DENY));
    EXPECT_EQ(denied.rule, POLICY_RULE_CLASS_UNKNOWN);
    EXPECT_EQ(judge(to_unknown).verdict, static_cast<__u32>(POLICY_ALLOW)) << "not asked for";

    ASSERT_TRUE(rig->install({{{"default", {{"default/p", {allow}}}, TierEnd::Deny}}, {}}));
    EXPECT_EQ(judge(from_unknown).verdict, static_cast<__u32>(POLICY_ALLOW)) << "asks for no set";
}

TEST_F(PolicyCompiler, verifier_works_in_proportion_to_the_rules_not_to_their_paths)
{
    // Two conditions of several values each: many ways through a rule, and into the next.
    const auto program_of = [](std::uint32_t rules) {
        auto program = ports(1, rules);
        std::uint16_t i = 0;
        for (auto& rule : program.tiers[0].policies[0].rules) {
            ++i;
            rule.destination.ports = {{0, i}, {static_cast<std::uint16_t>(60000 - i), 65535}};
            rule.source.named_ports = {{i, i % 4096u}, {80, i * 3 % 4096u}};
            rule.source.not_sets = {i * 5 % 4096u};
        }
        return program;
    };
    const auto work = [&](std::uint32_t rules) {
        EXPECT_TRUE(rig->install(program_of(rules)));
        std::uint64_t sum = 0;
        for (const auto& program : rig->programs())
            sum += verified_instructions(program);
        return sum;
    };
    const auto little = work(200);
    ASSERT_GT(little, 200u);
    EXPECT_LT(work(800), 6 * little);
}

TEST_F(PolicyCompiler, pass_leaves_a_split_tier_for_the_next_one)
{
    auto program = ports(1, 400);
    program.tiers[0].policies[0].rules[2].action = Action::Pass;
    program.tiers.push_back({"next", {{"next/deny", {Rule{}}}}, TierEnd::Deny});
    const auto installed = rig->install(program, {600, 100, PolicyRig::kContinuations});
    ASSERT_TRUE(installed) << installed.error().what;
    ASSERT_GT(rig->segments(), 3u);

    const auto passed = judge(tcp_to(3));
    EXPECT_EQ(passed.verdict, static_cast<__u32>(POLICY_DENY));
    EXPECT_EQ(passed.rule, 400u);
    EXPECT_EQ(judge(tcp_to(400)).rule, 399u);
}

TEST_F(PolicyCompiler, missing_continuation_leaves_the_packet_undecided)
{
    const auto installed = rig->install(ports(1, 400), {600, 100, PolicyRig::kContinuations});
    ASSERT_TRUE(installed) << installed.error().what;
    ASSERT_TRUE(rig->remove_policy(2));

    EXPECT_EQ(judge(tcp_to(400)).verdict, static_cast<__u32>(POLICY_UNDECIDED));
    EXPECT_EQ(rig->last_return(), static_cast<std::uint32_t>(TC_ACT_SHOT));
    EXPECT_EQ(missed().packets, 1u);
    EXPECT_EQ(judge(tcp_to(1)).verdict, static_cast<__u32>(POLICY_ALLOW));
    EXPECT_EQ(rig->last_return(), static_cast<std::uint32_t>(TC_ACT_OK));
}

TEST_F(PolicyCompiler, missing_stage_shoots_the_packet_and_counts_it)
{
    ASSERT_TRUE(rig->install(ports(80, 1)));
    judge(tcp_to(80));
    EXPECT_EQ(missed().packets, 0u);
    ASSERT_TRUE(rig->remove_stage());
    judge(tcp_to(80));
    EXPECT_EQ(rig->last_return(), static_cast<std::uint32_t>(TC_ACT_SHOT));
    EXPECT_EQ(missed().packets, 1u);
    EXPECT_GT(missed().bytes, 0u);
}

TEST_F(PolicyCompiler, class_number_out_of_range_denies_as_an_unknown_class_does)
{
    auto program = ports(80, 1);
    program.tiers[0].policies[0].rules[0].source.not_sets = {5};
    ASSERT_TRUE(rig->install(program));
    EXPECT_EQ(judge(tcp_to(80)).verdict, static_cast<__u32>(POLICY_ALLOW)) << "class 0 has no set";

    const class4_key key{32, tcp_to(80).source.be()};
    const __u32 beyond = 1u << 20;
    ASSERT_EQ(bpf_map_update_elem(rig->context().classes4, &key, &beyond, BPF_ANY), 0);
    const auto denied = judge(tcp_to(80));
    EXPECT_EQ(denied.verdict, static_cast<__u32>(POLICY_DENY));
    EXPECT_EQ(denied.rule, POLICY_RULE_CLASS_UNKNOWN);
}

TEST_F(PolicyCompiler, program_carries_its_name_and_a_line_for_every_rule)
{
    const auto compiled = compile(ports(80, 3), rig->context());
    ASSERT_TRUE(compiled) << compiled.error().what;
    const auto program = load(compiled->segments[0], "in default/web-and-more");
    ASSERT_TRUE(program) << program.error().what;

    bpf_prog_info info{};
    __u32 size = sizeof(info);
    ASSERT_EQ(bpf_obj_get_info_by_fd(program->get(), &info, &size), 0);
    EXPECT_STREQ(info.name, "in_default_web_");
    EXPECT_GE(info.nr_line_info, 3u);
    EXPECT_NE(info.btf_id, 0u);
}

TEST_F(PolicyCompiler, refused_program_names_what_the_verifier_objects_to)
{
    Segment bad;
    bad.instructions.push_back({BPF_ALU64 | BPF_MOV | BPF_X, 0, 5, 0, 0}); // r5 was never written
    bad.instructions.push_back({BPF_JMP | BPF_EXIT, 0, 0, 0, 0});
    bad.lines.push_back({0, "bad"});

    const auto program = load(bad, "bad");
    ASSERT_FALSE(program);
    EXPECT_NE(program.error().what.find("R5 !read_ok"), std::string::npos) << program.error().what;
}

} // namespace
} // namespace margay::testing
