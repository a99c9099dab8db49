// SPDX-License-Identifier: Apache-2.0
// Programs: the data path's objects in the kernel, with maps that outlive the agent.
//
// Maps are pinned as <pin root>/v<ABI>/<name>, programs below .../programs, links below .../links.
// A pinned map of the right type, sizes and flags is taken over with its contents; one that is
// absent is created and pinned at once. One that differs is made anew WITHOUT touching the pin: the
// running programs go on with the old map, while the agent fills the new one; commit(), called when
// every hook runs the new programs, exchanges the pins. So a hook always has a complete set of maps
// and an agent that dies on the way leaves a complete set of pins.
//
// A PROG_ARRAY loses its programs when its last descriptor or pin goes: that is why the old pins
// stay until commit().

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/datapath/attach.h"
#include "maps/config.h"
#include "margay/fd.h"
#include "margay/result.h"

struct bpf_object;

namespace margay::datapath {

struct ProgramOptions {
    std::string pin_root = "/sys/fs/bpf/margay";
    struct constants constants = {MARK_MASK,    MARK_SEEN, MARK_NOTRACK,
                                  MARK_PENDING, MARK_DONE, HZ_DEFAULT};
    std::map<std::string, std::uint32_t> map_sizes{}; // max_entries, by map name
};

// An object that is open and not loaded; `owner` closes it.
struct OpenedObject {
    std::string name;
    bpf_object* object = nullptr;
    std::shared_ptr<void> owner;
};

// `log`: where the verifier's log goes, all objects in turn.
using ObjectOpener =
    std::function<Result<std::vector<OpenedObject>>(const ProgramOptions&, std::vector<char>& log)>;

// The data path's own objects (objects.cpp).
Result<std::vector<OpenedObject>> open_objects(const ProgramOptions& options,
                                               std::vector<char>& log);

class Programs {
public:
    // Loads everything; the kernel's refusal comes with the verifier's line that explains it.
    static Result<Programs> open(const ProgramOptions& options, const ObjectOpener& opener);

    // <pin root>/v<ABI>
    const std::string& folder() const { return folder_; }
    std::string link_folder() const { return folder_ + "/links"; }

    // Borrowed descriptors; NotFound names what is missing.
    Result<int> map(const std::string& name) const;
    Result<ProgramRef> program(const std::string& name) const;
    // A descriptor of one's own.
    Result<Fd> map_copy(const std::string& name) const;

    // Writes the stage programs into "stages", which the hooks' tail calls read.
    Status install_stages() const;
    // Every hook runs these programs: they and their maps get the pins.
    Status commit();

    // Maps whose pinned predecessor did not fit, until commit().
    const std::vector<std::string>& replaced() const { return replaced_; }
    struct MapState {
        std::string name;
        std::uint32_t id = 0;
        std::uint32_t max_entries = 0;
        bool adopted = false; // with the contents that an earlier run left
    };
    std::vector<MapState> maps() const;
    std::vector<std::pair<std::string, std::uint32_t>> programs() const; // name, id
    // What the kernel holds in a program array now, which bpftool does not show.
    struct Slot {
        std::uint32_t number = 0;
        std::uint32_t program_id = 0;
        std::string program; // its name in the kernel, at most 15 characters
    };
    Result<std::vector<Slot>> filled_slots(const std::string& array) const;

private:
    Programs() = default;
    Status load(OpenedObject& opened, const ProgramOptions& options, std::vector<char>& log);
    Status prepare_maps(OpenedObject& opened, const ProgramOptions& options);
    Status keep_maps(OpenedObject& opened);
    Status keep_programs(OpenedObject& opened);

    struct Map {
        Fd fd;
        bool adopted = false;
    };
    struct Program {
        Fd fd;
        std::uint32_t id = 0;
    };
    std::string folder_;
    std::map<std::string, Map> maps_;
    std::map<std::string, Program> programs_;
    std::vector<std::string> replaced_;
};

} // namespace margay::datapath
