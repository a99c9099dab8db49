// SPDX-License-Identifier: Apache-2.0
// Attacher: programs on devices, so that they outlive the agent and are found again.
//
// Where the kernel has TCX (6.6), a tc hook is a link, pinned as <folder>/<ifindex>_<hook>; before
// that it is a filter on a clsact qdisc, with a handle and a priority that are ours. XDP is a
// pinned link on every kernel we run on. Either way an exchange is one atomic step: a packet meets
// the old program or the new one, never none.
//
// A pin says less than it seems: the link of a deleted device stays pinned, and a new device of
// the same name starts without a program. So adopt() believes the live devices of this network
// namespace only, and removes pins that belong to none.

#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "margay/fd.h"
#include "margay/result.h"

namespace margay::datapath {

enum class Hook : std::uint8_t { Ingress, Egress, Xdp };
enum class AttachKind : std::uint8_t { Tcx, Clsact, XdpNative, XdpGeneric };
// Auto: native where the driver has it and loses nothing by it (not veth), else off.
enum class XdpMode : std::uint8_t { Off, Auto, Native, Generic };

// Whether attach_xdp() would try.
bool may_run_xdp(std::uint32_t ifindex, XdpMode mode);

std::string_view name_of(Hook hook);
std::string_view name_of(AttachKind kind);

struct HookId {
    std::uint32_t ifindex = 0;
    Hook hook = Hook::Ingress;
    auto operator<=>(const HookId&) const = default;
};

struct Attachment {
    AttachKind kind = AttachKind::Tcx;
    std::uint32_t program_id = 0;
    bool operator==(const Attachment&) const = default;
};

// A loaded program, borrowed.
struct ProgramRef {
    int fd = -1;
    std::uint32_t id = 0;
};

class Attacher {
public:
    // `folder` lies on a bpffs and exists. `tcx` false takes clsact: the kernel lacks TCX, or a
    // setting says so.
    Attacher(std::string folder, bool tcx) : folder_(std::move(folder)), tcx_(tcx) {}

    // Reads what runs. Never detaches anything from a live device.
    Status adopt();

    // Makes `program` run at a tc hook: nothing if it does already, an exchange if another of ours
    // does, else a new attachment before all foreign ones. NotFound: no such device.
    Status attach(const HookId& id, const ProgramRef& program);
    // The same for XDP. Off detaches. True if the program runs afterwards (Auto may say no).
    Result<bool> attach_xdp(std::uint32_t ifindex, XdpMode mode, const ProgramRef& program);
    // Forgets what no longer runs, because somebody else detached it. True if there was any.
    bool drop_lost();
    // What is not there is detached already.
    Status detach(const HookId& id);
    // The device is gone: only its pins and our memory of it are left.
    Status forget(std::uint32_t ifindex);
    Status detach_all();

    const std::map<HookId, Attachment>& attachments() const { return attachments_; }
    // How often a program was put on a hook.
    std::size_t changes() const { return changes_; }
    // Devices that have something of ours at ingress and at egress.
    std::vector<std::uint32_t> both_ways() const;

private:
    std::string pin_path(const HookId& id) const;
    std::string qdisc_mark(std::uint32_t ifindex) const;
    Status adopt_pin(const std::string& name);
    Status adopt_filters();
    Status attach_tcx(const HookId& id, const ProgramRef& program);
    Status attach_clsact(const HookId& id, const ProgramRef& program);
    Status detach_link(const HookId& id);
    Status detach_clsact(const HookId& id);
    Status create_link(const HookId& id, const ProgramRef& program, std::uint32_t flags,
                       AttachKind kind);
    Status exchange(const HookId& id, const ProgramRef& program);
    Status release_qdisc(std::uint32_t ifindex);

    std::string folder_;
    bool tcx_;
    std::size_t changes_ = 0;
    std::map<HookId, Attachment> attachments_;
};

} // namespace margay::datapath
