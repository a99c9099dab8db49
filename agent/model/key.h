// SPDX-License-Identifier: Apache-2.0
// Datastore keys as values.
//
//   /calico/resources/v3/projectcalico.org/<plural>/[<namespace>/]<name>   generic resources
//   /calico/ipam/v2/assignment/ipv4/block/<ip>-<len>                       IPAM block
//   /calico/ipam/v2/host/<host>/ipv4/block/<ip>-<len>                      block affinity of a host
//   /calico/ipam/v2/virtual/<owner>/ipv4/block/<ip>-<len>                  block affinity of others
//   /calico/ipam/v2/config                                                 IPAM configuration
//
// Every other key is none of ours and is ignored. Names are written raw; on reading, %2f and %25
// are undone.

#pragma once

#include <array>
#include <compare>
#include <optional>
#include <string>
#include <string_view>

namespace margay::model {

enum class Kind {
    Node,
    IpPool,
    WorkloadEndpoint,
    GlobalNetworkPolicy,
    NetworkPolicy,
    Tier,
    Profile,
    GlobalNetworkSet,
    NetworkSet,
    FelixConfiguration,
    BgpConfiguration,
    BgpPeer,
    BgpFilter,
    ClusterInformation,
    HostEndpoint,
    IpamBlock,
    BlockAffinity,
    IpamConfig,
};

// "GlobalNetworkPolicy", as the datastore and calicoctl spell it.
std::string_view kind_name(Kind kind);

struct ResourceKey {
    Kind kind = Kind::Node;
    // Of namespaced kinds. Of a BlockAffinity: the owner as a block's `affinity` spells it,
    // "host:n1" or "virtual:load-balancer".
    std::string ns{};
    std::string name{}; // of an IpamBlock and BlockAffinity: the CIDR

    auto operator<=>(const ResourceKey&) const = default;

    std::string str() const; // "NetworkPolicy ns1/web", for people
};

std::optional<ResourceKey> parse_key(std::string_view path);
std::string key_path(const ResourceKey& key);

// Everything that parse_key() knows lies under these.
inline constexpr std::array<std::string_view, 2> kWatchedPrefixes = {
    "/calico/resources/v3/projectcalico.org/",
    "/calico/ipam/v2/",
};

} // namespace margay::model
