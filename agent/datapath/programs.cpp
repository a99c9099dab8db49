// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "agent/datapath/libbpf_text.h"
#include "agent/datapath/pins.h"
#include "agent/datapath/probe.h"
#include "maps/stages.h"

namespace margay::datapath {
namespace {

Fd duplicate(int fd)
{
    return Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

// ".rodata" and its like belong to one load of one object.
bool private_map(const bpf_map* map)
{
    return bpf_map__is_internal(map);
}

// Whether programs compiled for `map` can run with the pinned one.
bool fits(int pinned, const bpf_map* map)
{
    bpf_map_info info{};
    std::uint32_t length = sizeof(info);
    return bpf_obj_get_info_by_fd(pinned, &info, &length) == 0 &&
           info.type == static_cast<std::uint32_t>(bpf_map__type(map)) &&
           info.key_size == bpf_map__key_size(map) && info.value_size == bpf_map__value_size(map) &&
           info.max_entries == bpf_map__max_entries(map) &&
           info.map_flags == bpf_map__map_flags(map);
}

// Pins of an earlier build that this one has no use for.
Status remove_others(const std::string& folder, const std::function<bool(const std::string&)>& ours)
{
    const auto names = list_folder(folder);
    if (!names)
        return names.error();
    for (const auto& name : *names) {
        const Fd object(bpf_obj_get((folder + "/" + name).c_str())); // not for a folder
        if (object.valid() && !ours(name))
            if (Status status = remove_pin(folder + "/" + name); !status)
                return status;
    }
    return {};
}

Error load_error(int err, const OpenedObject& opened, const std::vector<char>& log)
{
    Error error = system_error(err, "load " + opened.name);
    const std::string line = last_useful_line(log.data());
    const std::string text = take_libbpf_text();
    if (!line.empty())
        error.what += "; verifier: " + line;
    else if (!text.empty())
        error.what += "; " + text;
    if (err == EPERM)
        error.code = Errc::Denied;
    return error;
}

std::string loaded_name(std::uint32_t id)
{
    const Fd fd(bpf_prog_get_fd_by_id(id));
    bpf_prog_info info{};
    std::uint32_t length = sizeof(info);
    if (!fd.valid() || bpf_obj_get_info_by_fd(fd.get(), &info, &length) != 0)
        return "";
    return info.name;
}

} // namespace

Result<Programs> Programs::open(const ProgramOptions& options, const ObjectOpener& opener)
{
    capture_libbpf_text();
    Programs programs;
    programs.folder_ = options.pin_root + "/v" + std::to_string(MARGAY_ABI_VERSION);
    if (Status status = need_bpffs(programs.folder_); !status)
        return status.error();
    for (const auto& folder : {programs.link_folder(), programs.folder_ + "/programs"})
        if (Status status = make_folder(folder); !status)
            return status.error();
    std::vector<char> log(1 << 20);
    auto objects = opener(options, log);
    if (!objects)
        return objects.error();
    for (auto& opened : *objects)
        if (Status status = programs.load(opened, options, log); !status)
            return status.error();
    return programs;
}

Status Programs::load(OpenedObject& opened, const ProgramOptions& options, std::vector<char>& log)
{
    if (Status status = prepare_maps(opened, options); !status)
        return status;
    log[0] = '\0';
    (void)take_libbpf_text();
    if (const int rc = bpf_object__load(opened.object); rc != 0)
        return load_error(-rc, opened, log);
    if (Status status = keep_maps(opened); !status)
        return status;
    return keep_programs(opened);
}

// Gives the object what an earlier object or an earlier run made.
Status Programs::prepare_maps(OpenedObject& opened, const ProgramOptions& options)
{
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, opened.object)
    {
        if (private_map(map))
            continue;
        const std::string name = bpf_map__name(map);
        if (const auto it = options.map_sizes.find(name); it != options.map_sizes.end())
            bpf_map__set_max_entries(map, it->second);
        auto known = maps_.find(name);
        if (known == maps_.end()) {
            Fd pinned(bpf_obj_get((folder_ + "/" + name).c_str()));
            if (!pinned.valid())
                continue; // the load creates it
            if (!fits(pinned.get(), map)) {
                replaced_.push_back(name);
                continue;
            }
            known = maps_.emplace(name, Map{std::move(pinned), true}).first;
        }
        if (const int rc = bpf_map__reuse_fd(map, known->second.fd.get()); rc != 0)
            return system_error(-rc, "reuse map " + name);
    }
    return {};
}

Status Programs::keep_maps(OpenedObject& opened)
{
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, opened.object)
    {
        const std::string name = bpf_map__name(map);
        if (private_map(map) || maps_.contains(name))
            continue;
        Fd fd = duplicate(bpf_map__fd(map));
        if (!fd.valid())
            return system_error(errno, "keep map " + name);
        // A map that takes another's place waits for commit().
        if (std::find(replaced_.begin(), replaced_.end(), name) == replaced_.end())
            if (Status status = replace_pin(fd.get(), folder_ + "/" + name); !status)
                return status;
        maps_[name] = {std::move(fd), false};
    }
    return {};
}

Status Programs::keep_programs(OpenedObject& opened)
{
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, opened.object)
    {
        const std::string name = bpf_program__name(program);
        Fd fd = duplicate(bpf_program__fd(program));
        if (!fd.valid())
            return system_error(errno, "keep program " + name);
        bpf_prog_info info{};
        std::uint32_t length = sizeof(info);
        if (bpf_obj_get_info_by_fd(fd.get(), &info, &length) != 0)
            return system_error(errno, "read program info of " + name);
        programs_[name] = {std::move(fd), info.id};
    }
    return {};
}

Result<int> Programs::map(const std::string& name) const
{
    const auto it = maps_.find(name);
    if (it == maps_.end())
        return Error{Errc::NotFound, 0, "no map " + name};
    return it->second.fd.get();
}

Result<Fd> Programs::map_copy(const std::string& name) const
{
    const auto fd = map(name);
    if (!fd)
        return fd.error();
    Fd copy = duplicate(*fd);
    if (!copy.valid())
        return system_error(errno, "duplicate map " + name);
    return copy;
}

Result<ProgramRef> Programs::program(const std::string& name) const
{
    const auto it = programs_.find(name);
    if (it == programs_.end())
        return Error{Errc::NotFound, 0, "no program " + name};
    return ProgramRef{it->second.fd.get(), it->second.id};
}

Status Programs::install_stages() const
{
    const auto array = map("stages");
    if (!array)
        return array.error();
#define STAGE_NAME(id, program) #program,
    const char* const names[] = {STAGES(STAGE_NAME)};
#undef STAGE_NAME
    std::uint32_t slot = 0;
    for (const char* name : names) {
        const auto stage = program(name);
        if (!stage)
            return stage.error();
        if (bpf_map_update_elem(*array, &slot, &stage->fd, BPF_ANY) != 0)
            return system_error(errno, "install stage " + std::string(name));
        slot++;
    }
    return {};
}

Status Programs::commit()
{
    for (const auto& name : replaced_)
        if (Status status = replace_pin(maps_.at(name).fd.get(), folder_ + "/" + name); !status)
            return status;
    replaced_.clear();
    for (const auto& [name, program] : programs_)
        if (Status status = replace_pin(program.fd.get(), folder_ + "/programs/" + name); !status)
            return status;
    const auto has_map = [&](const std::string& name) { return maps_.contains(name); };
    const auto has_program = [&](const std::string& name) { return programs_.contains(name); };
    if (Status status = remove_others(folder_, has_map); !status)
        return status;
    return remove_others(folder_ + "/programs", has_program);
}

std::vector<Programs::MapState> Programs::maps() const
{
    std::vector<MapState> states;
    for (const auto& [name, map] : maps_) {
        bpf_map_info info{};
        std::uint32_t length = sizeof(info);
        if (bpf_obj_get_info_by_fd(map.fd.get(), &info, &length) == 0)
            states.push_back({name, info.id, info.max_entries, map.adopted});
    }
    return states;
}

Result<std::vector<Programs::Slot>> Programs::filled_slots(const std::string& array) const
{
    const auto fd = map(array);
    if (!fd)
        return fd.error();
    bpf_map_info info{};
    std::uint32_t length = sizeof(info);
    if (bpf_obj_get_info_by_fd(*fd, &info, &length) != 0)
        return system_error(errno, "read map info of " + array);
    std::vector<Slot> slots;
    for (std::uint32_t number = 0; number < info.max_entries; number++) {
        std::uint32_t id = 0;
        if (bpf_map_lookup_elem(*fd, &number, &id) == 0 && id != 0)
            slots.push_back({number, id, loaded_name(id)});
    }
    return slots;
}

std::vector<std::pair<std::string, std::uint32_t>> Programs::programs() const
{
    std::vector<std::pair<std::string, std::uint32_t>> list;
    for (const auto& [name, program] : programs_)
        list.emplace_back(name, program.id);
    return list;
}

} // namespace margay::datapath
