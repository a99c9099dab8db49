// SPDX-License-Identifier: Apache-2.0
// Paths: what routing decided for a remote prefix, as a route of the data path and of the kernel.
//
// Pure. A decision names nodes or routers; the kernel's resolver says how they are reached; the
// node's own addresses complete it.

#pragma once

#include "agent/datapath/routes.h"
#include "agent/kernel/links.h"
#include "agent/kernel/resolve.h"
#include "agent/kernel/route.h"
#include "agent/routing/join.h"

#include <functional>
#include <optional>
#include <string>

namespace margay {

struct LocalFacts {
    Ipv4 node_address{};
    std::optional<Ipv4> tunnel_address{};
    std::uint32_t tunnel_mtu = 0; // of a packet inside the tunnel; 0: the uplink's less 20
};

// For all prefixes with one decision.
struct PlannedPath {
    datapath::RouteWant route{};
    // False: what only BGP knows and no node announced is the kernel's alone.
    bool in_datapath = false;
    std::optional<kernel::Route> kernel_route{}; // less its destination; nullopt: the host has none
    std::string device{}; // of the first way, for people
    Ipv4 via{}; // its next hop on the link
    std::string why{};

    bool operator==(const PlannedPath&) const = default;
};

using FindTarget = std::function<const kernel::Target*(Ipv4)>;

PlannedPath plan_path(const routing::Decision& decision, const LocalFacts& local,
                      const kernel::LinkTable& links, const FindTarget& find);

} // namespace margay
