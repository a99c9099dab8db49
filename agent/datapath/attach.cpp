// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/attach.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <optional>
#include <vector>

#include "agent/datapath/clsact.h"
#include "agent/datapath/pins.h"
#include "agent/datapath/probe.h"
#include "agent/datapath/uapi.h"

namespace margay::datapath {
namespace {

constexpr std::string_view kQdiscMark = "clsact";

bool device_exists(std::uint32_t ifindex)
{
    char name[IF_NAMESIZE];
    return if_indextoname(ifindex, name) != nullptr;
}

Error no_device(const HookId& id)
{
    return Error{Errc::NotFound, ENODEV,
                 "attach " + std::string(name_of(id.hook)) + ": no device with index " +
                     std::to_string(id.ifindex)};
}

Error attach_error(int err, const char* verb, const HookId& id)
{
    Error error = system_error(err, std::string(verb) + " hook=" + std::string(name_of(id.hook)) +
                                        " ifindex=" + std::to_string(id.ifindex));
    if (err == ENODEV)
        error.code = Errc::NotFound;
    else if (err == EOPNOTSUPP || err == ERANGE)
        error.code = Errc::Unsupported;
    return error;
}

bpf_attach_type attach_type(Hook hook)
{
    switch (hook) {
    case Hook::Ingress:
        return kTcxIngress;
    case Hook::Egress:
        return kTcxEgress;
    case Hook::Xdp:
        break;
    }
    return BPF_XDP;
}

struct LinkInfo {
    std::uint32_t ifindex = 0; // 0: the device is gone
    std::uint32_t program_id = 0;
};

Result<LinkInfo> link_info(int fd)
{
    bpf_link_info info{};
    std::uint32_t length = sizeof(info);
    if (bpf_obj_get_info_by_fd(fd, &info, &length) != 0)
        return system_error(errno, "read link info");
    if (info.type != BPF_LINK_TYPE_XDP && info.type != kLinkTypeTcx)
        return Error{Errc::Invalid, 0, "pinned link is neither TCX nor XDP"};
    // TCX and XDP links keep the index in the same place; old headers know XDP's only.
    return LinkInfo{info.xdp.ifindex, info.prog_id};
}

// What the device itself says, for a pin can belong to another namespace's device.
bool device_runs(const HookId& id, std::uint32_t program_id)
{
    std::array<std::uint32_t, 64> ids{};
    auto count = static_cast<std::uint32_t>(ids.size());
    if (bpf_prog_query(static_cast<int>(id.ifindex), attach_type(id.hook), 0, nullptr, ids.data(),
                       &count) != 0)
        return false;
    return std::find(ids.begin(), ids.begin() + count, program_id) != ids.begin() + count;
}

struct XdpState {
    AttachKind kind = AttachKind::XdpNative;
    std::uint32_t program_id = 0;
};

std::optional<XdpState> xdp_state(std::uint32_t ifindex)
{
    LIBBPF_OPTS(bpf_xdp_query_opts, opts);
    if (bpf_xdp_query(static_cast<int>(ifindex), 0, &opts) != 0 || opts.prog_id == 0)
        return std::nullopt;
    return XdpState{opts.attach_mode == XDP_ATTACHED_SKB ? AttachKind::XdpGeneric
                                                         : AttachKind::XdpNative,
                    opts.prog_id};
}

struct PinName {
    std::uint32_t ifindex = 0;
    std::string_view what; // a hook's name or kQdiscMark
};

std::optional<PinName> parse_pin(std::string_view name)
{
    PinName pin;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pin.ifindex);
    if (error != std::errc{} || end == name.data() + name.size() || *end != '_')
        return std::nullopt;
    pin.what =
        std::string_view(end + 1, static_cast<std::size_t>(name.data() + name.size() - end - 1));
    return pin;
}

std::optional<Hook> parse_hook(std::string_view text)
{
    for (const Hook hook : {Hook::Ingress, Hook::Egress, Hook::Xdp})
        if (name_of(hook) == text)
            return hook;
    return std::nullopt;
}

} // namespace

bool may_run_xdp(std::uint32_t ifindex, XdpMode mode)
{
    return mode != XdpMode::Off && !(mode == XdpMode::Auto && driver_of(ifindex) == "veth");
}

std::string_view name_of(Hook hook)
{
    switch (hook) {
    case Hook::Ingress:
        return "ingress";
    case Hook::Egress:
        return "egress";
    case Hook::Xdp:
        return "xdp";
    }
    return "unknown";
}

std::string_view name_of(AttachKind kind)
{
    switch (kind) {
    case AttachKind::Tcx:
        return "tcx";
    case AttachKind::Clsact:
        return "clsact";
    case AttachKind::XdpNative:
        return "xdp native";
    case AttachKind::XdpGeneric:
        return "xdp generic";
    }
    return "unknown";
}

std::string Attacher::pin_path(const HookId& id) const
{
    return folder_ + "/" + std::to_string(id.ifindex) + "_" + std::string(name_of(id.hook));
}

std::string Attacher::qdisc_mark(std::uint32_t ifindex) const
{
    return folder_ + "/" + std::to_string(ifindex) + "_" + std::string(kQdiscMark);
}

Status Attacher::adopt()
{
    attachments_.clear();
    auto names = list_folder(folder_);
    if (!names)
        return names.error();
    Status first;
    for (const auto& name : *names)
        if (Status status = adopt_pin(name); !status && first)
            first = status;
    if (Status status = adopt_filters(); !status && first)
        first = status;
    return first;
}

Status Attacher::adopt_pin(const std::string& name)
{
    const auto pin = parse_pin(name);
    if (!pin)
        return {}; // not ours
    const std::string path = folder_ + "/" + name;
    if (pin->what == kQdiscMark)
        return device_exists(pin->ifindex) ? Status{} : remove_pin(path);
    const auto hook = parse_hook(pin->what);
    if (!hook)
        return {};
    const HookId id{pin->ifindex, *hook};
    const Fd link(bpf_obj_get(path.c_str()));
    if (!link.valid())
        return system_error(errno, "open link " + path);
    const auto info = link_info(link.get());
    const auto xdp = *hook == Hook::Xdp ? xdp_state(id.ifindex) : std::nullopt;
    const bool live = info && info->ifindex == id.ifindex &&
                      (*hook == Hook::Xdp ? xdp && xdp->program_id == info->program_id
                                          : device_runs(id, info->program_id));
    if (!live)
        return remove_pin(path);
    attachments_[id] = {xdp ? xdp->kind : AttachKind::Tcx, info->program_id};
    return {};
}

// Filters carry no pin: every device is asked for the handle and priority that are ours.
Status Attacher::adopt_filters()
{
    struct if_nameindex* devices = if_nameindex();
    if (devices == nullptr)
        return system_error(errno, "list devices");
    for (const auto* device = devices; device->if_index != 0; device++) {
        for (const Hook hook : {Hook::Ingress, Hook::Egress}) {
            const HookId id{device->if_index, hook};
            const auto program = clsact::query(id.ifindex, hook == Hook::Ingress);
            if (program && !attachments_.contains(id))
                attachments_[id] = {AttachKind::Clsact, *program};
        }
    }
    if_freenameindex(devices);
    return {};
}

Status Attacher::attach(const HookId& id, const ProgramRef& program)
{
    if (!device_exists(id.ifindex))
        return no_device(id);
    const auto wanted = Attachment{tcx_ ? AttachKind::Tcx : AttachKind::Clsact, program.id};
    const auto it = attachments_.find(id);
    if (it != attachments_.end() && it->second == wanted)
        return {};
    return tcx_ ? attach_tcx(id, program) : attach_clsact(id, program);
}

Status Attacher::attach_tcx(const HookId& id, const ProgramRef& program)
{
    const auto it = attachments_.find(id);
    if (it != attachments_.end() && it->second.kind == AttachKind::Tcx)
        return exchange(id, program);
    // A filter of ours from an earlier run with another setting goes after the link is in place.
    const bool had_filter = it != attachments_.end();
    if (Status status = create_link(id, program, kAttachBefore, AttachKind::Tcx); !status)
        return status;
    return had_filter ? detach_clsact(id) : Status{};
}

Status Attacher::attach_clsact(const HookId& id, const ProgramRef& program)
{
    const auto it = attachments_.find(id);
    const bool had_link = it != attachments_.end() && it->second.kind == AttachKind::Tcx;
    const auto created = clsact::create_qdisc(id.ifindex);
    if (!created)
        return created.error();
    if (*created)
        if (Status status = make_folder(qdisc_mark(id.ifindex)); !status)
            return status;
    if (Status status = clsact::attach(id.ifindex, id.hook == Hook::Ingress, program.fd); !status)
        return status;
    ++changes_;
    attachments_[id] = {AttachKind::Clsact, program.id};
    return had_link ? detach_link(id) : Status{};
}

Status Attacher::create_link(const HookId& id, const ProgramRef& program, std::uint32_t flags,
                             AttachKind kind)
{
    LIBBPF_OPTS(bpf_link_create_opts, opts);
    opts.flags = flags;
    const Fd link(
        bpf_link_create(program.fd, static_cast<int>(id.ifindex), attach_type(id.hook), &opts));
    if (!link.valid())
        return attach_error(errno, "attach", id);
    // Before this point a pin of the name belonged to a device that is gone.
    if (Status status = remove_pin(pin_path(id)); !status)
        return status;
    if (bpf_obj_pin(link.get(), pin_path(id).c_str()) != 0)
        return attach_error(errno, "pin link of", id); // closing the link detaches
    ++changes_;
    attachments_[id] = {kind, program.id};
    return {};
}

Status Attacher::exchange(const HookId& id, const ProgramRef& program)
{
    const Fd link(bpf_obj_get(pin_path(id).c_str()));
    if (!link.valid())
        return attach_error(errno, "open pinned link of", id);
    if (bpf_link_update(link.get(), program.fd, nullptr) != 0) {
        const int err = errno;
        // ENOLINK: the device was deleted and its index given away since we looked.
        if (err == ENOLINK)
            attachments_.erase(id);
        return attach_error(err, "exchange program of", id);
    }
    ++changes_;
    attachments_[id].program_id = program.id;
    return {};
}

Result<bool> Attacher::attach_xdp(std::uint32_t ifindex, XdpMode mode, const ProgramRef& program)
{
    const HookId id{ifindex, Hook::Xdp};
    if (!device_exists(ifindex))
        return no_device(id);
    const bool refuse = !may_run_xdp(ifindex, mode);
    const auto it = attachments_.find(id);
    const AttachKind kind =
        mode == XdpMode::Generic ? AttachKind::XdpGeneric : AttachKind::XdpNative;
    if (it != attachments_.end() && (refuse || it->second.kind != kind))
        if (Status status = detach_link(id); !status)
            return status.error();
    if (refuse)
        return false;
    const auto now = attachments_.find(id);
    if (now != attachments_.end() && now->second.program_id == program.id)
        return true;
    const Status status =
        now != attachments_.end()
            ? exchange(id, program)
            : create_link(id, program,
                          kind == AttachKind::XdpGeneric ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE,
                          kind);
    if (status)
        return true;
    // Auto takes what the driver offers: without native XDP the tc hook does the same work.
    if (mode == XdpMode::Auto && status.error().code == Errc::Unsupported)
        return false;
    return status.error();
}

std::vector<std::uint32_t> Attacher::both_ways() const
{
    std::vector<std::uint32_t> devices;
    for (const auto& [id, attachment] : attachments_)
        if (id.hook == Hook::Ingress && attachments_.contains({id.ifindex, Hook::Egress}))
            devices.push_back(id.ifindex);
    return devices;
}

bool Attacher::drop_lost()
{
    const auto lost = [](const auto& entry) {
        const auto& [id, attachment] = entry;
        if (!device_exists(id.ifindex))
            return false; // its deletion is news of another kind
        if (attachment.kind == AttachKind::Clsact)
            return clsact::query(id.ifindex, id.hook == Hook::Ingress) != attachment.program_id;
        if (id.hook != Hook::Xdp)
            return !device_runs(id, attachment.program_id);
        const auto xdp = xdp_state(id.ifindex);
        return !xdp || xdp->program_id != attachment.program_id;
    };
    return std::erase_if(attachments_, lost) != 0;
}

Status Attacher::detach(const HookId& id)
{
    const auto it = attachments_.find(id);
    if (it == attachments_.end())
        return {};
    return it->second.kind == AttachKind::Clsact ? detach_clsact(id) : detach_link(id);
}

Status Attacher::detach_link(const HookId& id)
{
    const std::string path = pin_path(id);
    // Detach by name, for the kernel frees an unpinned link only some time later.
    if (const Fd link(bpf_obj_get(path.c_str())); link.valid() && bpf_link_detach(link.get()) != 0)
        if (const int err = errno; err != ENOLINK && err != ENODEV)
            return attach_error(err, "detach", id);
    const auto it = attachments_.find(id);
    if (it != attachments_.end() && it->second.kind != AttachKind::Clsact)
        attachments_.erase(it);
    return remove_pin(path);
}

Status Attacher::detach_clsact(const HookId& id)
{
    if (Status status = clsact::detach(id.ifindex, id.hook == Hook::Ingress); !status)
        return status;
    const auto it = attachments_.find(id);
    if (it != attachments_.end() && it->second.kind == AttachKind::Clsact)
        attachments_.erase(it);
    return release_qdisc(id.ifindex);
}

// The qdisc goes with our last filter if we made it and nobody else put a filter there since.
Status Attacher::release_qdisc(std::uint32_t ifindex)
{
    struct stat info{};
    if (stat(qdisc_mark(ifindex).c_str(), &info) != 0)
        return {};
    const auto left = clsact::filters_left(ifindex);
    if (!left)
        return left.error();
    if (*left)
        return {};
    if (Status status = clsact::destroy_qdisc(ifindex); !status)
        return status;
    return remove_pin(qdisc_mark(ifindex));
}

Status Attacher::forget(std::uint32_t ifindex)
{
    std::erase_if(attachments_, [&](const auto& entry) { return entry.first.ifindex == ifindex; });
    Status first;
    for (const Hook hook : {Hook::Ingress, Hook::Egress, Hook::Xdp})
        if (Status status = remove_pin(pin_path({ifindex, hook})); !status && first)
            first = status;
    if (Status status = remove_pin(qdisc_mark(ifindex)); !status && first)
        first = status;
    return first;
}

Status Attacher::detach_all()
{
    std::vector<HookId> ids;
    for (const auto& [id, attachment] : attachments_)
        ids.push_back(id);
    Status first;
    for (const auto& id : ids)
        if (Status status = detach(id); !status && first)
            first = status;
    return first;
}

} // namespace margay::datapath
