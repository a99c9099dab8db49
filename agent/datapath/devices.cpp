// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/devices.h"

#include <vector>

namespace margay::datapath {

void Devices::want_workload(std::uint32_t ifindex)
{
    want(ifindex, Wanted{});
}

void Devices::want_uplink(std::uint32_t ifindex, XdpMode xdp)
{
    want(ifindex, Wanted{true, xdp});
}

void Devices::want(std::uint32_t ifindex, const Wanted& wanted)
{
    const auto it = wanted_.find(ifindex);
    if (it != wanted_.end() && it->second == wanted)
        return;
    wanted_[ifindex] = wanted;
    pending_ = true;
}

void Devices::forget(std::uint32_t ifindex)
{
    if (wanted_.erase(ifindex) != 0)
        pending_ = true;
}

void Devices::gone(std::uint32_t ifindex)
{
    wanted_.erase(ifindex);
    // Only our own memory and pins go; what is left over is found by the next adoption.
    (void)attacher_.forget(ifindex);
}

Status Devices::attach()
{
    Status first;
    pending_ = false;
    for (auto it = wanted_.begin(); it != wanted_.end(); ++it) {
        auto& [ifindex, wanted] = *it;
        const Status status = attach_device(ifindex, wanted);
        wanted.problem = status ? std::string{} : status.error().what;
        if (status)
            continue;
        pending_ = true;
        // A device that vanished on the way is not worth an error: its deletion is being reported.
        if (first && status.error().code != Errc::NotFound)
            first = status;
    }
    return first;
}

Status Devices::attach_device(std::uint32_t ifindex, Wanted& wanted)
{
    const char* out = wanted.uplink ? "to_uplink" : "to_workload";
    if (Status status = attach_hook({ifindex, Hook::Egress}, out); !status)
        return status;
    if (wanted.uplink)
        return attach_uplink(ifindex, wanted);
    return attach_hook({ifindex, Hook::Ingress}, "from_workload");
}

// XDP's notes need a reader as long as it runs: that one comes before it and goes after it.
Status Devices::attach_uplink(std::uint32_t ifindex, Wanted& wanted)
{
    const HookId ingress{ifindex, Hook::Ingress};
    const auto program = programs_.program("uplink_xdp");
    if (!program)
        return program.error();
    const XdpMode mode = wanted.xdp_refused ? XdpMode::Off : wanted.xdp;
    const bool may_run = may_run_xdp(ifindex, mode);
    if (may_run)
        if (Status status = attach_hook(ingress, "from_uplink_xdp"); !status)
            return status;
    const auto runs = attacher_.attach_xdp(ifindex, mode, *program);
    if (!runs)
        return runs.error();
    wanted.xdp_refused |= may_run && !*runs;
    return attach_hook(ingress, *runs ? "from_uplink_xdp" : "from_uplink");
}

Status Devices::attach_hook(const HookId& id, const char* name)
{
    const auto program = programs_.program(name);
    if (!program)
        return program.error();
    return attacher_.attach(id, *program);
}

bool Devices::look_again()
{
    const bool lost = attacher_.drop_lost();
    pending_ |= lost;
    return lost;
}

Status Devices::detach_unwanted()
{
    std::vector<HookId> unwanted;
    for (const auto& [id, attachment] : attacher_.attachments())
        if (!wanted_.contains(id.ifindex))
            unwanted.push_back(id);
    Status first;
    for (const auto& id : unwanted)
        if (Status status = attacher_.detach(id); !status && first)
            first = status;
    return first;
}

std::vector<Devices::Info> Devices::list() const
{
    std::vector<Info> infos;
    for (const auto& [ifindex, wanted] : wanted_)
        infos.push_back({ifindex, wanted.uplink, wanted.problem});
    return infos;
}

} // namespace margay::datapath
