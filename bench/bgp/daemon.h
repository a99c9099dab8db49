// SPDX-License-Identifier: Apache-2.0
// Daemon: a device under test as a process, and the private place it runs in.
//
// enter_private_place() gives this process network, mount and process namespaces of its own. All
// that is in them (addresses, sockets, /run with the daemon's folder, the daemon's processes) ends
// when this process does, however it ends.

#pragma once

#include "bench/bgp/device.h"
#include "margay/result.h"

#include <string>
#include <vector>

#include <sys/types.h>

namespace margay::bgp_bench {

// Once a process. `addresses` become host addresses of lo.
Status enter_private_place(const std::vector<Ipv4>& addresses);

struct Usage {
    double cpu_ms = 0; // user and system, of all processes alive
    double peak_rss_mib = 0; // VmHWM, their sum
};

class Daemon {
public:
    Daemon() = default;
    Daemon(const Daemon&) = delete;
    Daemon& operator=(const Daemon&) = delete;
    ~Daemon(); // kills it

    Status start(const Device& device, const Setup& setup);
    bool running();
    Usage usage() const;
    // The last lines it wrote, for messages.
    std::string last_words() const;
    std::string log_file() const;

private:
    pid_t keeper_ = -1; // process 1 of the namespace; ends with the daemon, and ends all others
};

} // namespace margay::bgp_bench
