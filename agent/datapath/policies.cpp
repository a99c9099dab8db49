// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/policies.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>

#include "agent/policy/loader.h"
#include "maps/policy.h"

namespace margay::datapath {
namespace {

constexpr std::chrono::seconds kRefusalPause{5};

void add_sets(const policy::Side& side, std::set<policy::SetId>& sets)
{
    sets.insert(side.sets.begin(), side.sets.end());
    sets.insert(side.not_sets.begin(), side.not_sets.end());
    for (const auto* ports : {&side.named_ports, &side.not_named_ports})
        for (const auto& port : *ports)
            sets.insert(port.set);
}

std::set<policy::SetId> sets_in(const policy::Program& program)
{
    std::set<policy::SetId> sets;
    const auto add_policy = [&](const policy::Policy& policy) {
        for (const auto& rule : policy.rules) {
            add_sets(rule.source, sets);
            add_sets(rule.destination, sets);
        }
    };
    for (const auto& tier : program.tiers)
        std::for_each(tier.policies.begin(), tier.policies.end(), add_policy);
    std::for_each(program.profiles.begin(), program.profiles.end(), add_policy);
    return sets;
}

template <typename T>
void append(std::string& image, const T& value)
{
    image.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

Result<std::uint32_t> map_id(int fd)
{
    bpf_map_info info{};
    std::uint32_t length = sizeof(info);
    if (bpf_obj_get_info_by_fd(fd, &info, &length) != 0)
        return system_error(errno, "read map info");
    return info.id;
}

std::string hex(const policy::ProgramHash& hash)
{
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text;
    for (const auto byte : hash) {
        text += kDigits[byte >> 4];
        text += kDigits[byte & 15];
    }
    return text;
}

// A name for bpftool, which shows 15 characters.
std::string program_name(const policy::ProgramHash& hash, std::size_t segment)
{
    return "pol_" + hex(hash).substr(0, 8) + (segment == 0 ? "" : "_" + std::to_string(segment));
}

} // namespace

Result<policy::CompileContext> Policies::context() const
{
    policy::CompileContext context;
    const std::pair<const char*, int*> wanted[] = {
        {"scratch", &context.scratch},       {"classes4", &context.classes4},
        {"class_sets", &context.class_sets}, {"policies", &context.policies},
        {"stages", &context.stages},         {"counters", &context.counters}};
    for (const auto& [name, fd] : wanted) {
        const auto map = programs_.map(name);
        if (!map)
            return map.error();
        *fd = *map;
    }
    return context;
}

// One key a segment. The image is compiled for descriptors and slots that are the same in every
// run, so that only the list, the compiler and the maps decide.
Result<std::vector<IdHash>> Policies::keys_of(const model::SharedProgram& program,
                                              const policy::CompileContext& context) const
{
    std::string image(program.hash.begin(), program.hash.end());
    for (const int fd : {context.scratch, context.classes4, context.class_sets, context.policies,
                         context.stages, context.counters}) {
        const auto id = map_id(fd);
        if (!id)
            return id.error();
        append(image, *id);
    }
    const auto count = policy::segment_count(program.program);
    if (!count)
        return count.error();
    policy::CompileContext canonical{1, 2, 3, 4, 5, 6, {}};
    for (std::uint32_t i = 1; i < *count; i++)
        canonical.continuations.push_back(i);
    const auto compiled = policy::compile(program.program, canonical);
    if (!compiled)
        return compiled.error();
    for (const auto& segment : compiled->segments)
        for (const auto& instruction : segment.instructions)
            append(image, instruction);
    std::vector<IdHash> keys;
    for (std::size_t i = 0; i < *count; i++)
        keys.push_back(id_hash(image + "#" + std::to_string(i)));
    return keys;
}

void Policies::adopt()
{
    for (const auto& [key, slot] : ids_.all(ID_POLICY))
        if (occupied(slot))
            installed_.insert(key);
}

Result<std::uint32_t> Policies::acquire(const model::ProgramRef& program, Clock::Time now)
{
    auto it = entries_.find(program->hash);
    if (it == entries_.end()) {
        if (const Error* why = refusal_of(program->hash, now))
            return *why;
        auto entry = load(program, now);
        if (!entry) {
            const Error why{entry.error().code, entry.error().sys,
                            "policy program " + hex(program->hash) + ": " + entry.error().what};
            refusals_.insert_or_assign(program->hash, Refusal{why, now + kRefusalPause});
            return why;
        }
        refusals_.erase(program->hash);
        by_slot_[entry->slot] = program->hash;
        it = entries_.emplace(program->hash, *std::move(entry)).first;
    } else if (it->second.users == 0) {
        for (const auto& key : it->second.keys)
            if (const auto id = ids_.acquire(ID_POLICY, key); !id)
                return id.error();
    }
    it->second.users++;
    return it->second.slot;
}

const Error* Policies::refusal_of(const policy::ProgramHash& hash, Clock::Time now) const
{
    const auto it = refusals_.find(hash);
    return it == refusals_.end() || now >= it->second.until ? nullptr : &it->second.why;
}

void Policies::release(const policy::ProgramHash& hash, Clock::Time now)
{
    const auto it = entries_.find(hash);
    if (it == entries_.end() || it->second.users == 0 || --it->second.users > 0)
        return;
    for (const auto& key : it->second.keys)
        ids_.release(ID_POLICY, key, now);
}

Result<Policies::Entry> Policies::load(const model::ProgramRef& program, Clock::Time now)
{
    auto context = this->context();
    if (!context)
        return context.error();
    const auto keys = keys_of(*program, *context);
    if (!keys)
        return keys.error();
    Entry entry;
    entry.program = program;
    entry.sets = sets_in(program->program);
    std::vector<std::uint32_t> slots;
    Status status;
    for (const auto& key : *keys) {
        const auto slot = ids_.acquire(ID_POLICY, key);
        if (!slot) {
            status = slot.error();
            break;
        }
        entry.keys.push_back(key);
        slots.push_back(*slot);
    }
    if (status && !std::all_of(keys->begin(), keys->end(),
                               [&](const IdHash& key) { return installed_.contains(key); })) {
        context->continuations.assign(slots.begin() + 1, slots.end());
        const auto compiled = policy::compile(program->program, *context);
        status = compiled ? install(*compiled, slots, program->hash) : Status{compiled.error()};
        if (compiled)
            for (const auto& segment : compiled->segments)
                entry.instructions += segment.instructions.size();
    }
    if (!status) {
        for (const auto& key : entry.keys)
            ids_.release(ID_POLICY, key, now);
        return status.error();
    }
    installed_.insert(entry.keys.begin(), entry.keys.end());
    entry.slot = slots.front();
    return entry;
}

Status Policies::install(const policy::Compiled& compiled, const std::vector<std::uint32_t>& slots,
                         const policy::ProgramHash& hash) const
{
    const auto array = programs_.map("policies");
    if (!array)
        return array.error();
    for (std::size_t i = compiled.segments.size(); i-- > 0;) {
        const auto program = policy::load(compiled.segments[i], program_name(hash, i));
        if (!program)
            return program.error();
        const int fd = program->get();
        if (bpf_map_update_elem(*array, &slots[i], &fd, BPF_ANY) != 0)
            return system_error(errno, "install policy in slot " + std::to_string(slots[i]));
    }
    return {};
}

bool Policies::occupied(std::uint32_t slot) const
{
    const auto array = programs_.map("policies");
    std::uint32_t id = 0;
    return array && bpf_map_lookup_elem(*array, &slot, &id) == 0 && id != 0;
}

Status Policies::expire(Clock::Time now)
{
    const auto array = programs_.map("policies");
    if (!array)
        return array.error();
    Status first;
    std::erase_if(refusals_, [now](const auto& entry) { return now >= entry.second.until; });
    for (const auto& [key, slot] : ids_.expire(ID_POLICY, now)) {
        installed_.erase(key);
        if (bpf_map_delete_elem(*array, &slot) != 0)
            if (const int err = errno; err != ENOENT && first)
                first = system_error(err, "clear policy slot " + std::to_string(slot));
        if (const auto it = by_slot_.find(slot); it != by_slot_.end()) {
            entries_.erase(it->second);
            by_slot_.erase(it);
        }
    }
    return first;
}

const std::set<policy::SetId>& Policies::sets_of(std::uint32_t slot) const
{
    static const std::set<policy::SetId> none;
    const auto it = by_slot_.find(slot);
    return it == by_slot_.end() ? none : entries_.at(it->second).sets;
}

std::string Policies::describe(std::uint32_t slot, std::uint32_t rule) const
{
    const auto it = by_slot_.find(slot);
    if (it == by_slot_.end())
        return "policy slot " + std::to_string(slot) + ", rule " + std::to_string(rule);
    return policy::describe_rule(entries_.at(it->second).program->program, rule);
}

std::vector<Policies::Info> Policies::list() const
{
    std::vector<Info> infos;
    for (const auto& [hash, entry] : entries_)
        infos.push_back(
            {entry.slot, entry.users, entry.keys.size(), entry.instructions, entry.program});
    return infos;
}

} // namespace margay::datapath
