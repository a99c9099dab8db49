// SPDX-License-Identifier: Apache-2.0
// A private place for BGP daemons: networks, /run and processes that end with the test.
//
// enter_private_place() gives this process a network and a mount namespace of its own. Contained is
// a daemon with all its processes in a process namespace: they live and die together, whatever
// user they changed to and however the test ends.

#pragma once

#include "margay/result.h"

#include <string>
#include <vector>

#include <sys/types.h>

namespace margay::bgp::lab {

// Once a process, before any socket and any thread. `addresses` ("10.0.0.1/32") are put on lo, and
// `networks` lead there: OpenBGPD wants a route of the main table to each next hop.
Status enter_private_place(const std::vector<std::string>& addresses,
                           const std::vector<std::string>& networks);

class Contained {
public:
    Contained() = default;
    Contained(const Contained&) = delete;
    Contained& operator=(const Contained&) = delete;
    ~Contained() { kill(); }

    // Standard output and error go to the end of `log`.
    Status start(const std::vector<std::string>& command, const std::string& log);
    bool running();
    void terminate(); // SIGTERM for the daemon, and waits for its end
    void kill(); // SIGKILL for all at once, and waits
    std::vector<pid_t> processes() const; // alive

private:
    pid_t keeper_ = -1; // process 1 of the namespace
};

} // namespace margay::bgp::lab
