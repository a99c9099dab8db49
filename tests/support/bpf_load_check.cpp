// SPDX-License-Identifier: Apache-2.0
// bpf_load_check: whether the running kernel takes our BPF programs, asked with the agent's own
// loader.
//
//   bpf_load_check [--attach-clsact DEVICE] [--pin-root FOLDER]
//
// Loads every object with its maps at full size, and policy programs of 1, 100 and 1,000 rules in
// which every condition occurs. With a device, attaches the four tc programs by clsact and
// uplink_xdp in generic mode, and detaches them again. Prints a line a program; exit 1 and the
// kernel's reason at the first refusal.

#include <bpf/bpf.h>
#include <net/if.h>
#include <sys/utsname.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "agent/datapath/attach.h"
#include "agent/datapath/libbpf_text.h"
#include "agent/datapath/pins.h"
#include "agent/datapath/probe.h"
#include "agent/datapath/programs.h"
#include "agent/policy/compiler.h"
#include "agent/policy/loader.h"

namespace margay::testing {
namespace {

using datapath::Attacher;
using datapath::Hook;
using datapath::HookId;
using datapath::Programs;

struct Arguments {
    std::string device;
    std::string pin_root = "/sys/fs/bpf/margay-load-check";
};

// --- policy programs ---

policy::Side side(std::uint32_t number)
{
    policy::Side side;
    const Prefix4 net{Ipv4(0x0a000000 + (number << 8)), 24};
    switch (number % 6) {
    case 0:
        side.nets = {net, Prefix4{Ipv4(0xc0a80000), 16}};
        break;
    case 1:
        side.not_nets = {net};
        break;
    case 2:
        side.sets = {number % 4096};
        side.not_sets = {(number + 7) % 4096};
        break;
    case 3:
        side.ports = {
            {static_cast<std::uint16_t>(1000 + number), static_cast<std::uint16_t>(2000 + number)}};
        break;
    case 4:
        side.named_ports = {{80, number % 4096}};
        side.not_ports = {{443, 443}};
        break;
    default:
        side.not_named_ports = {{8080, number % 4096}};
    }
    return side;
}

policy::Rule rule(std::uint32_t number)
{
    policy::Rule rule;
    constexpr std::array kActions = {policy::Action::Allow, policy::Action::Deny,
                                     policy::Action::Log, policy::Action::Pass};
    rule.action = kActions[number % kActions.size()];
    if (number % 7 == 0) {
        rule.protocol = 1;
        rule.icmp =
            policy::Icmp{8, number % 2 == 0 ? std::optional<std::uint8_t>(0) : std::nullopt};
    } else if (number % 5 == 0) {
        rule.not_protocol = 132;
    } else {
        rule.protocol = number % 2 == 0 ? 6 : 17;
    }
    rule.source = side(number);
    rule.destination = side(number + 3);
    return rule;
}

policy::Program sample_program(std::uint32_t rules)
{
    policy::Program program;
    policy::Tier tier{"default", {}, policy::TierEnd::Deny};
    constexpr std::uint32_t kRulesAPolicy = 5;
    for (std::uint32_t i = 0; i < rules; i++) {
        if (i % kRulesAPolicy == 0)
            tier.policies.push_back({"default/p" + std::to_string(i / kRulesAPolicy), {}});
        tier.policies.back().rules.push_back(rule(i));
    }
    program.tiers.push_back(std::move(tier));
    policy::Rule allow;
    allow.action = policy::Action::Allow;
    program.profiles.push_back({"profile/kns.default", {allow}});
    return program;
}

// --- the checks ---

Status print_program(const std::string& name, int fd)
{
    bpf_prog_info info{};
    std::uint32_t length = sizeof(info);
    if (bpf_obj_get_info_by_fd(fd, &info, &length) != 0)
        return system_error(errno, "program info of " + name);
    std::printf("loaded    %-24s verified %6u  xlated %6u bytes\n", name.c_str(),
                info.verified_insns, info.xlated_prog_len);
    return {};
}

Status check_programs(const Programs& programs)
{
    for (const auto& [name, id] : programs.programs()) {
        const auto program = programs.program(name);
        if (!program)
            return program.error();
        if (Status printed = print_program(name, program->fd); !printed)
            return printed;
    }
    return programs.install_stages();
}

Status check_policy(const Programs& programs, std::uint32_t rules)
{
    policy::CompileContext context;
    const std::pair<const char*, int*> maps[] = {
        {"scratch", &context.scratch},       {"classes4", &context.classes4},
        {"class_sets", &context.class_sets}, {"policies", &context.policies},
        {"stages", &context.stages},         {"counters", &context.counters}};
    for (const auto& [name, fd] : maps) {
        const auto map = programs.map(name);
        if (!map)
            return map.error();
        *fd = *map;
    }
    const policy::Program program = sample_program(rules);
    const auto segments = policy::segment_count(program);
    if (!segments)
        return segments.error();
    for (std::uint32_t slot = 1; slot < *segments; slot++)
        context.continuations.push_back(slot);
    const auto compiled = policy::compile(program, context);
    if (!compiled)
        return compiled.error();
    // Last segment first, as the data path installs them: what is called is there before its caller.
    for (std::uint32_t slot = static_cast<std::uint32_t>(*segments); slot-- > 0;) {
        const std::string name = "rules_" + std::to_string(rules) + "_" + std::to_string(slot);
        const auto fd = policy::load(compiled->segments[slot], name);
        if (!fd)
            return fd.error();
        const int raw = fd->get();
        if (bpf_map_update_elem(context.policies, &slot, &raw, BPF_ANY) != 0)
            return system_error(errno, "install " + name);
        if (Status printed = print_program(name, raw); !printed)
            return printed;
    }
    return {};
}

Status check_hooks(const Programs& programs, const std::string& device)
{
    const std::uint32_t ifindex = if_nametoindex(device.c_str());
    if (ifindex == 0)
        return system_error(errno, "device " + device);
    Attacher attacher(programs.link_folder(), false);
    if (Status adopted = attacher.adopt(); !adopted)
        return adopted;
    constexpr std::pair<const char*, Hook> kHooks[] = {{"from_workload", Hook::Ingress},
                                                       {"to_workload", Hook::Egress},
                                                       {"from_uplink", Hook::Ingress},
                                                       {"to_uplink", Hook::Egress}};
    // The second program of a hook takes the first one's place, so exchanges are tried, too.
    for (const auto& [name, hook] : kHooks) {
        const auto program = programs.program(name);
        if (!program)
            return program.error();
        if (Status attached = attacher.attach({ifindex, hook}, *program); !attached)
            return attached;
        std::printf("attached  %-24s %s clsact %s\n", name, device.c_str(),
                    std::string(datapath::name_of(hook)).c_str());
    }
    const auto xdp = programs.program("uplink_xdp");
    if (!xdp)
        return xdp.error();
    const auto runs = attacher.attach_xdp(ifindex, datapath::XdpMode::Generic, *xdp);
    if (!runs)
        return runs.error();
    std::printf("attached  %-24s %s generic\n", "uplink_xdp", device.c_str());
    Attacher second(programs.link_folder(), false);
    if (Status adopted = second.adopt(); !adopted)
        return adopted;
    if (second.attachments() != attacher.attachments())
        return Error{Errc::Invalid, 0, "a second run does not find the same attachments"};
    return second.detach_all();
}

Status check(const Arguments& arguments)
{
    datapath::ProgramOptions options;
    options.pin_root = arguments.pin_root;
    const auto programs = Programs::open(options, datapath::open_objects);
    if (!programs)
        return programs.error();
    if (Status loaded = check_programs(*programs); !loaded)
        return loaded;
    for (const std::uint32_t rules : {1u, 100u, 1000u})
        if (Status loaded = check_policy(*programs, rules); !loaded)
            return loaded;
    if (!arguments.device.empty())
        return check_hooks(*programs, arguments.device);
    return {};
}

int run(int argc, char** argv)
{
    Arguments arguments;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string_view option = argv[i];
        if (option == "--attach-clsact")
            arguments.device = argv[i + 1];
        else if (option == "--pin-root")
            arguments.pin_root = argv[i + 1];
        else
            return std::fprintf(stderr, "unknown option %s\n", argv[i]), 2;
    }
    utsname kernel{};
    uname(&kernel);
    std::printf("kernel %s tcx=%s\n", kernel.release, datapath::have_tcx() ? "yes" : "no");
    const Status status = check(arguments);
    const Status cleaned = datapath::remove_tree(arguments.pin_root);
    for (const Status* one : {&status, &cleaned})
        if (!*one)
            std::fprintf(stderr, "bpf_load_check: %s\n", one->error().what.c_str());
    return status && cleaned ? 0 : 1;
}

} // namespace
} // namespace margay::testing

int main(int argc, char** argv)
{
    return margay::testing::run(argc, argv);
}
