// SPDX-License-Identifier: Apache-2.0
// Startup: what a node writes into the datastore before it takes part (calico-facts 4.2, 2.9).
//
// prepare() runs once at start: cluster-wide objects if they are missing, the default pool if
// there is none, then repair(). repair() makes the own Node right and holds a tunnel address; it
// runs again whenever the Node vanished, its address changed or the tunnel address was lost.
// Both are idempotent, keep every field that is not theirs, and may be cut off anywhere.
//
// They block and belong on the store's worker. What they need to know of the host comes as a
// value (Surroundings), so that they run in tests without one. Errors: Unavailable means wait and
// call again (the datastore does not answer, or is locked by datastoreReady=false); the text says
// which.

#pragma once

#include "agent/config/config.h"
#include "agent/ipam/ipam.h"
#include "agent/store/kv.h"
#include "margay/clock.h"

#include <optional>
#include <string>
#include <vector>

namespace margay::startup {

struct Surroundings {
    std::vector<Prefix4> host_addresses;   // of all interfaces, with their lengths
    std::optional<Prefix4> detected; // by ip-autodetection-method; needed unless `ip` is fixed
    std::string detection; // one line: why this one, or why none
};

struct NodeState {
    std::optional<Prefix4> address; // as stored in the Node
    std::optional<Ipv4> tunnel_address;
    // Another node has our address. Nothing was claimed with it; the data path may go on.
    std::string conflict;
    std::vector<std::string> notes; // what was written, repaired or is odd, for the log
};

// NODENAME, else the nodename file, else HOSTNAME, else the host's name; the last two in lower
// case. `stored` is the file's content.
Result<std::string> node_name(const config::Config& config, const std::string& stored,
                              const std::string& hostname_variable, const std::string& hostname);
// The same from this process's environment and host.
Result<std::string> current_node_name(const config::Config& config);
// And writes the file (without a newline) if it differs.
Result<std::string> settle_node_name(const config::Config& config);

Result<NodeState> prepare(store::Kv& kv, const config::Config& config, const std::string& node,
                          const Surroundings& surroundings, const Clock& clock);
// `held` is the tunnel address in use so far: asked for again before a new one is taken.
Result<NodeState> repair(store::Kv& kv, const config::Config& config, const std::string& node,
                         const Surroundings& surroundings, const Clock& clock,
                         std::optional<Ipv4> held = std::nullopt);

// The steps, for tests and for programs that need only one.
Status check_ready(store::Kv& kv);
Status ensure_cluster(store::Kv& kv, const config::Config& config, const std::string& node,
                      const Clock& clock, std::vector<std::string>& notes);
Status ensure_default_pool(store::Kv& kv, const config::Config& config,
                           const std::vector<Prefix4>& host_addresses, const Clock& clock,
                           std::vector<std::string>& notes);
// 192.168.0.0/16, else the first of 172.16.0.0/16 to 172.31.0.0/16 without a host address.
Result<Prefix4> choose_pool_cidr(const config::PoolCidr& wanted,
                                 const std::vector<Prefix4>& host_addresses);

inline constexpr const char* kTunnelType = "ipipTunnelAddress";
std::string tunnel_handle(const std::string& node);
// What Node.spec.bgp.ipv4IPIPTunnelAddr ought to be; none when no pool of this node tunnels.
Result<std::optional<Ipv4>> ensure_tunnel_address(ipam::Ipam& ipam, const std::string& node,
                                                  std::optional<Ipv4> stored,
                                                  std::optional<Ipv4> held);

} // namespace margay::startup
