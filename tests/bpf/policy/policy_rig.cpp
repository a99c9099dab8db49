// SPDX-License-Identifier: Apache-2.0

#include "policy_rig.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/pkt_cls.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <optional>

#include "agent/policy/assembler.h"
#include "agent/policy/loader.h"

namespace margay::testing {

namespace {

using policy::Assembler;
using policy::Reg;
using policy::Size;

constexpr std::uint32_t kStage = 3; // any but 0: the program must read next_stage
constexpr int kKey = -4;

Result<Fd> make_map(bpf_map_type type, const char* name, std::uint32_t key, std::uint32_t value,
                    std::uint32_t entries, std::uint32_t flags = 0)
{
    bpf_map_create_opts options{};
    options.sz = sizeof(options);
    options.map_flags = flags;
    Fd fd(bpf_map_create(type, name, key, value, entries, &options));
    if (!fd.valid())
        return system_error(errno, std::string("create map ") + name);
    return fd;
}

// R0 = lookup(map, key at the stack's kKey), or leaves the program.
void lookup(Assembler& out, const Fd& map, Assembler::Label fail)
{
    out.move(Reg::R2, Reg::R10);
    out.add_imm(Reg::R2, kKey);
    out.map(Reg::R1, map.get());
    out.call(BPF_FUNC_map_lookup_elem);
    out.jump_if_zero(Reg::R0, fail);
}

void copy_judgement(Assembler& out, Reg to, Reg from)
{
    for (int i = 0; i < static_cast<int>(sizeof(judgement)); i += 4) {
        out.load(Size::Word, Reg::R1, from, i);
        out.store(Size::Word, to, i, Reg::R1);
    }
}

void leave(Assembler& out, std::uint32_t code, Assembler::Label fail)
{
    out.move_imm(Reg::R0, code);
    out.exit();
    out.bind(fail);
    out.move_imm(Reg::R0, TC_ACT_RECLASSIFY);
    out.exit();
}

Result<Fd> load(Assembler& out, const char* name)
{
    auto instructions = out.finish();
    if (!instructions)
        return instructions.error();
    return policy::load({std::move(*instructions), {{0, name}}}, name);
}

} // namespace

policy::SetMembership Classes::membership() const
{
    // The evaluator asks about the same two addresses again and again.
    struct Known {
        std::optional<Ipv4> addr;
        const ClassPrefix* longest = nullptr;
    };
    return [this, known = std::array<Known, 2>{}](Ipv4 addr, policy::SetId set) mutable {
        if (known[0].addr != addr)
            std::swap(known[0], known[1]);
        if (known[0].addr != addr)
            known[0] = {addr, longest_match(addr)};
        const auto* longest = known[0].longest;
        return longest &&
               std::find(longest->sets.begin(), longest->sets.end(), set) != longest->sets.end();
    };
}

const ClassPrefix* Classes::longest_match(Ipv4 addr) const
{
    const ClassPrefix* longest = nullptr;
    for (const auto& p : prefixes_)
        if (p.prefix.contains(addr) && (!longest || p.prefix.length > longest->prefix.length))
            longest = &p;
    return longest;
}

policy::Outcome outcome_of(const judgement& j)
{
    return {j.verdict == POLICY_ALLOW ? policy::Verdict::Allow : policy::Verdict::Deny, j.rule,
            j.log};
}

Result<PolicyRig> PolicyRig::create()
{
    PolicyRig rig;
    if (auto status = rig.make_maps(); !status)
        return status.error();
    if (auto status = rig.load_harness(); !status)
        return status.error();
    return rig;
}

Status PolicyRig::make_maps()
{
    struct Wanted {
        Fd* fd;
        bpf_map_type type;
        const char* name;
        std::uint32_t key, value, entries, flags;
    };
    const std::array wanted{
        Wanted{&scratch_, BPF_MAP_TYPE_PERCPU_ARRAY, "scratch", 4, sizeof(judgement), 1, 0},
        Wanted{&classes4_, BPF_MAP_TYPE_LPM_TRIE, "classes4", sizeof(class4_key), 4, 100000,
               BPF_F_NO_PREALLOC},
        Wanted{&class_sets_, BPF_MAP_TYPE_ARRAY, "class_sets", 4, sizeof(class_sets), 1024, 0},
        Wanted{&policies_, BPF_MAP_TYPE_PROG_ARRAY, "policies", 4, 4, kContinuations + 1, 0},
        Wanted{&stages_, BPF_MAP_TYPE_PROG_ARRAY, "stages", 4, 4, STAGE_MAX, 0},
        Wanted{&counters_, BPF_MAP_TYPE_PERCPU_ARRAY, "counters", 4, sizeof(counter), REASON_COUNT,
               0},
        Wanted{&inputs_, BPF_MAP_TYPE_ARRAY, "inputs", 4, sizeof(judgement), kBatch, 0},
        Wanted{&results_, BPF_MAP_TYPE_ARRAY, "results", 4, sizeof(judgement), kBatch, 0},
        Wanted{&cursor_, BPF_MAP_TYPE_ARRAY, "cursor", 4, 4, 1, 0},
    };
    for (const auto& w : wanted) {
        auto fd = make_map(w.type, w.name, w.key, w.value, w.entries, w.flags);
        if (!fd)
            return fd.error();
        *w.fd = std::move(*fd);
    }
    context_ = {scratch_.get(),
                classes4_.get(),
                class_sets_.get(),
                policies_.get(),
                stages_.get(),
                counters_.get(),
                {}};
    for (std::uint32_t i = 1; i <= kContinuations; ++i)
        context_.continuations.push_back(i);
    return {};
}

Status PolicyRig::load_harness()
{
    Assembler driver;
    const auto fail = driver.label();
    driver.move(Reg::R6, Reg::R1);
    driver.store_imm(Size::Word, Reg::R10, kKey, 0);
    lookup(driver, scratch_, fail);
    driver.move(Reg::R7, Reg::R0);
    lookup(driver, cursor_, fail);
    driver.load(Size::Word, Reg::R1, Reg::R0, 0);
    driver.and_imm32(Reg::R1, kBatch - 1); // more rounds than packets start over
    driver.store(Size::Word, Reg::R10, kKey, Reg::R1);
    driver.add_imm(Reg::R1, 1);
    driver.store(Size::Word, Reg::R0, 0, Reg::R1);
    lookup(driver, inputs_, fail);
    driver.move(Reg::R8, Reg::R0);
    copy_judgement(driver, Reg::R7, Reg::R8);
    driver.move(Reg::R1, Reg::R6);
    driver.map(Reg::R2, policies_.get());
    driver.move_imm(Reg::R3, 0);
    driver.call(BPF_FUNC_tail_call);
    leave(driver, TC_ACT_RECLASSIFY, fail);

    Assembler terminal;
    const auto lost = terminal.label();
    terminal.store_imm(Size::Word, Reg::R10, kKey, 0);
    lookup(terminal, scratch_, lost);
    terminal.move(Reg::R7, Reg::R0);
    lookup(terminal, cursor_, lost);
    terminal.load(Size::Word, Reg::R1, Reg::R0, 0);
    terminal.add_imm(Reg::R1, -1);
    terminal.store(Size::Word, Reg::R10, kKey, Reg::R1);
    lookup(terminal, results_, lost);
    terminal.move(Reg::R8, Reg::R0);
    copy_judgement(terminal, Reg::R8, Reg::R7);
    leave(terminal, TC_ACT_OK, lost);

    auto driver_fd = load(driver, "policy_driver");
    if (!driver_fd)
        return driver_fd.error();
    driver_ = std::move(*driver_fd);
    auto terminal_fd = load(terminal, "policy_terminal");
    if (!terminal_fd)
        return terminal_fd.error();
    terminal_ = std::move(*terminal_fd);
    const int fd = terminal_.get();
    if (bpf_map_update_elem(stages_.get(), &kStage, &fd, BPF_ANY))
        return system_error(errno, "install the terminal stage");
    return {};
}

Status PolicyRig::set_classes(const Classes& classes)
{
    std::uint32_t id = 1; // 0: no set
    for (const auto& p : classes.prefixes()) {
        class_sets sets{};
        for (const auto set : p.sets)
            sets.words[set / 32] |= 1u << (set % 32);
        if (bpf_map_update_elem(class_sets_.get(), &id, &sets, BPF_ANY))
            return system_error(errno, "update class_sets");
        const class4_key key{p.prefix.length, p.prefix.network().addr.be()};
        if (bpf_map_update_elem(classes4_.get(), &key, &id, BPF_ANY))
            return system_error(errno, "update classes4 " + p.prefix.str());
        ++id;
    }
    return {};
}

Status PolicyRig::install(const policy::Program& program, const policy::SegmentLimits& limits)
{
    const auto compiled = policy::compile(program, context_, limits);
    if (!compiled)
        return compiled.error();
    programs_.clear();
    lines_.clear();
    for (std::uint32_t i = 0; i < compiled->segments.size(); ++i) {
        auto fd = policy::load(compiled->segments[i], "policy_" + std::to_string(i));
        if (!fd)
            return fd.error();
        const int raw = fd->get();
        if (bpf_map_update_elem(policies_.get(), &i, &raw, BPF_ANY))
            return system_error(errno, "update policies " + std::to_string(i));
        programs_.push_back(std::move(*fd));
        for (const auto& line : compiled->segments[i].lines)
            lines_.push_back(line.text);
    }
    return {};
}

bool PolicyRig::has_line(const std::string& words) const
{
    return std::any_of(lines_.begin(), lines_.end(),
                       [&](const auto& l) { return l.find(words) != std::string::npos; });
}

Status PolicyRig::fill(const std::vector<policy::Packet>& packets)
{
    if (packets.empty() || packets.size() > kBatch)
        return Error{Errc::Invalid, 0, "1 to " + std::to_string(kBatch) + " packets a batch"};
    std::vector<judgement> inputs(kBatch);
    std::vector<std::uint32_t> keys(kBatch);
    for (std::uint32_t i = 0; i < kBatch; ++i) {
        const auto& p = packets[i % packets.size()];
        keys[i] = i;
        auto& j = inputs[i];
        j.saddr = p.source.be();
        j.daddr = p.destination.be();
        j.sport = htons(p.source_port);
        j.dport = htons(p.destination_port);
        j.proto = p.protocol;
        j.icmp_type = p.icmp_type;
        j.icmp_code = p.icmp_code;
        j.next_stage = kStage;
        j.log = 0xdeadbeef; // the policy has to begin it anew
    }
    const std::vector<judgement> none(kBatch);
    auto count = kBatch;
    if (bpf_map_update_batch(inputs_.get(), keys.data(), inputs.data(), &count, nullptr))
        return system_error(errno, "fill inputs");
    count = kBatch;
    if (bpf_map_update_batch(results_.get(), keys.data(), none.data(), &count, nullptr))
        return system_error(errno, "clear results");
    const std::uint32_t zero = 0;
    if (bpf_map_update_elem(cursor_.get(), &zero, &zero, BPF_ANY))
        return system_error(errno, "reset cursor");
    return {};
}

Result<std::uint32_t> PolicyRig::run(std::uint32_t repeat)
{
    std::array<char, 64> frame{};
    bpf_test_run_opts options{};
    options.sz = sizeof(options);
    options.data_in = frame.data();
    options.data_size_in = frame.size();
    options.repeat = static_cast<int>(repeat);
    if (bpf_prog_test_run_opts(driver_.get(), &options))
        return system_error(errno, "run the driver");
    last_return_ = options.retval;
    return options.duration;
}

Result<std::vector<judgement>> PolicyRig::judge(const std::vector<policy::Packet>& packets)
{
    if (auto status = fill(packets); !status)
        return status.error();
    if (auto ran = run(static_cast<std::uint32_t>(packets.size())); !ran)
        return ran.error();
    std::vector<judgement> results(kBatch);
    std::vector<std::uint32_t> keys(kBatch);
    std::uint32_t position = 0;
    auto count = kBatch;
    if (bpf_map_lookup_batch(results_.get(), nullptr, &position, keys.data(), results.data(),
                             &count, nullptr) &&
        errno != ENOENT)
        return system_error(errno, "read results");
    results.resize(packets.size());
    return results;
}

Result<double> PolicyRig::measure(const std::vector<policy::Packet>& packets, std::uint32_t rounds)
{
    if (auto status = fill(packets); !status)
        return status.error();
    const auto ns = run(kBatch * rounds);
    if (!ns)
        return ns.error();
    return static_cast<double>(*ns);
}

Status PolicyRig::remove_policy(std::uint32_t slot)
{
    if (bpf_map_delete_elem(policies_.get(), &slot))
        return system_error(errno, "remove policy " + std::to_string(slot));
    return {};
}

Status PolicyRig::remove_stage()
{
    if (bpf_map_delete_elem(stages_.get(), &kStage))
        return system_error(errno, "remove stage");
    return {};
}

Result<counter> PolicyRig::missed() const
{
    std::vector<counter> per_cpu(static_cast<std::size_t>(libbpf_num_possible_cpus()));
    const std::uint32_t key = REASON_STAGE_MISSING;
    if (bpf_map_lookup_elem(counters_.get(), &key, per_cpu.data()))
        return system_error(errno, "read counters");
    counter sum{};
    for (const auto& one : per_cpu) {
        sum.packets += one.packets;
        sum.bytes += one.bytes;
    }
    return sum;
}

} // namespace margay::testing
