// SPDX-License-Identifier: Apache-2.0
// Sysctls that pod traffic needs: read, compare, write only what differs.
//
// Names are paths below /proc/sys ("net/ipv4/conf/eth0/rp_filter"): an interface name may hold
// dots, so the dotted form would be ambiguous. Values belong to the network namespace of the
// calling thread.

#pragma once

#include "margay/result.h"

#include <string>
#include <string_view>
#include <vector>

namespace margay::kernel {

struct Sysctl {
    std::string path;
    std::string value;
    bool optional = false; // absent on kernels without the feature (IPv6 switched off)
    bool operator==(const Sysctl&) const = default;
};

Result<std::string> read_sysctl(const std::string& path);
// true: it was written, false: it was right already.
Result<bool> write_sysctl(const Sysctl& setting);

// calico-facts 5.8 for one workload interface, with rp_filter 0: the data path checks sources.
std::vector<Sysctl> workload_sysctls(std::string_view interface);
// ip_forward.
std::vector<Sysctl> global_sysctls();

// Writes all; returns how many differed. Goes on after a failure and returns the first one.
Result<int> apply_sysctls(const std::vector<Sysctl>& settings);

// The reverse path filter of an uplink. Decapsulated packets carry pod sources whose route may
// leave by another interface, so strict (1) would drop them.
struct RpFilter {
    int all = 0;       // the kernel takes the larger of "all" and the interface's
    int interface = 0;
    int effective() const { return all > interface ? all : interface; }
    bool usable() const { return effective() != 1; }
};
Result<RpFilter> read_rp_filter(std::string_view interface);

} // namespace margay::kernel
