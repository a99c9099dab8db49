// SPDX-License-Identifier: Apache-2.0
// What `calicoctl node status` and Calico's node status reporter do to find out about a node, rule by rule
// (calico-facts 0.7 to 0.9). It knows nothing of Margay and forgives nothing that they do not forgive.

#pragma once

#include "margay/result.h"

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

namespace margay::testing::calicoctl {

struct Processes {
    bool agent = false; // "Calico process is running."
    bool bird = false; // the BGP part is shown
    bool bird6 = false; // that of IPv6
};
// The processes of the machine, or those that `parent` started.
Processes processes(pid_t parent = 0);

struct PeerRow {
    std::string type; // Mesh, Node, Global
    std::string address;
    std::string state;
    std::string since;
    std::string bgp_state;
    std::string info;
};
// `show protocols`; an error where calicoctl gives up.
enum class Family { Ipv4, Ipv6 }; // of the socket: how an address is made of a name
Result<std::vector<PeerRow>> peers(const std::string& socket, Family family = Family::Ipv4);

// `show protocols all NAME`: what stands behind "BGP state:" and "Neighbor address:".
Result<std::map<std::string, std::string>> peer_details(const std::string& socket,
                                                        const std::string& name);

struct DaemonStatus {
    std::string version;
    std::string router_id;
    std::string booted;
    std::string configured;
    bool running = false;
};
Result<DaemonStatus> daemon(const std::string& socket); // `show status`

struct RouteRow {
    std::string destination;
    std::string gateway;
    std::string device;
    std::string protocol;
};
Result<std::vector<RouteRow>> routes(const std::string& socket); // `show route`

// Raw: sends `command` and reads until a line that begins with one of `ends`, the end, or 2 s of silence.
Result<std::vector<std::string>> ask(const std::string& socket, const std::string& command,
                                     const std::vector<std::string>& ends);

} // namespace margay::testing::calicoctl
