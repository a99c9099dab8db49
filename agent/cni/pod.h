// SPDX-License-Identifier: Apache-2.0
// A pod's half of the datastore, as a CNI plugin keeps it (calico-facts 8.2, 8.3): an address
// under the handle <network>.<container id>, a profile, a WorkloadEndpoint.
//
// add() either ends with all three or takes back what it did. When the datastore stops answering
// in the middle, nothing can be taken back; the next add() or del() of the same container does
// it. Both are idempotent; as in CNI, one container has one operation at a time. margayd on the
// same node may take addresses from the same block meanwhile.

#pragma once

#include "agent/ipam/ipam.h"
#include "agent/store/kv.h"
#include "margay/clock.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace margay::cni {

struct Port {
    std::string name;
    std::string protocol; // TCP, UDP or SCTP
    std::uint16_t port = 0;
};

struct Pod {
    std::string node;
    std::string network = "margay"; // prefix of the handle, name of the default profile
    std::string container_id;       // empty: derived from namespace and name
    std::string name;
    std::string ns = "default";
    std::string endpoint = "eth0"; // the interface inside
    std::string interface;         // on the host; empty: `prefix` and 11 characters of the id
    std::string interface_prefix = "cali";
    std::string mac; // of the pod's side; empty: random
    std::vector<std::pair<std::string, std::string>> labels{};
    std::vector<std::string> profiles{}; // empty: the network's profile, made if it is missing
    std::vector<Port> ports{};
    std::vector<std::string> pools{}; // names or CIDRs
};

struct Attached {
    Ipv4 address;
    std::string interface;
    std::string mac;
    std::string endpoint; // name of the WorkloadEndpoint
    std::string container_id;
};

// Fills in what is derived and refuses what cannot be a name.
Result<Pod> complete(Pod pod);

Result<Attached> add(store::Kv& kv, const Pod& pod, const Clock& clock);

enum class Keep { Nothing, Address };
// Keep::Address only removes the endpoint: the address must not be free before the interface is
// gone. Not finding anything is success; another container's endpoint is left alone.
Status del(store::Kv& kv, const Pod& pod, const Clock& clock, Keep keep);

std::string handle(const Pod& pod);
// "<node>-cni-<container id>-<endpoint>" with each '-' of a segment doubled.
std::string endpoint_name(const Pod& pod);
// "name:proto:port"; refuses what a WorkloadEndpoint does not allow.
Result<Port> parse_port(std::string_view text);

} // namespace margay::cni
