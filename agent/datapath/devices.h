// SPDX-License-Identifier: Apache-2.0
// Devices: which programs run on which device, wanted against attached.
//
// Workload devices get from_workload and to_workload before their endpoint is known: an unknown
// workload's packets are dropped with a reason. Uplinks get from_uplink and to_uplink; where the
// setting and the driver agree, uplink_xdp and from_uplink_xdp, which reads its notes.

#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agent/datapath/attach.h"
#include "agent/datapath/programs.h"

namespace margay::datapath {

class Devices {
public:
    Devices(Attacher& attacher, const Programs& programs) : attacher_(attacher), programs_(programs)
    {
    }

    void want_workload(std::uint32_t ifindex);
    void want_uplink(std::uint32_t ifindex, XdpMode xdp);
    // No program of ours is to run there any more.
    void forget(std::uint32_t ifindex);
    // The device is deleted.
    void gone(std::uint32_t ifindex);

    // Attaches and exchanges. Every device is tried; the first error is returned.
    Status attach();
    // What somebody else detached is to be attached again. True if there was any.
    bool look_again();
    // Detaches from what nobody wants.
    Status detach_unwanted();
    bool pending() const { return pending_; }

    struct Info {
        std::uint32_t ifindex = 0;
        bool uplink = false;
        std::string problem;
    };
    std::vector<Info> list() const;

private:
    struct Wanted {
        bool uplink = false;
        XdpMode xdp = XdpMode::Off;
        std::string problem{};
        bool xdp_refused = false; // by the driver, in Auto: not asked again
        bool operator==(const Wanted& other) const
        {
            return uplink == other.uplink && xdp == other.xdp;
        }
    };
    void want(std::uint32_t ifindex, const Wanted& wanted);
    Status attach_device(std::uint32_t ifindex, Wanted& wanted);
    Status attach_uplink(std::uint32_t ifindex, Wanted& wanted);
    Status attach_hook(const HookId& id, const char* program);

    Attacher& attacher_;
    const Programs& programs_;
    std::map<std::uint32_t, Wanted> wanted_;
    bool pending_ = true;
};

} // namespace margay::datapath
