// SPDX-License-Identifier: Apache-2.0
// RouteCalc: where each prefix of the cluster is, and by which way to go there.
//
// Sources make claims: an IPAM block that it is on its host (by block.affinity; the affinity
// object's state does not count), an allocation of a block that it is on another node (borrowed),
// a node that its tunnel address is there, a local endpoint that its addresses are here. Of
// several claims to a prefix the most local one wins. Pools and node addresses then decide
// whether and how a claim becomes a route.

#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/model/resources.h"
#include "agent/model/wanted.h"

namespace margay::calc {

class RouteCalc {
public:
    explicit RouteCalc(std::string own_node) : own_(std::move(own_node)) {}

    // nullptr: it is gone.
    void set_node(const std::string& name, const model::Node* node);
    void set_pool(const std::string& name, const model::IpPool* pool);
    void set_block(const model::ResourceKey& key, const model::IpamBlock* block);
    void set_affinity(const model::ResourceKey& key, const model::BlockAffinity* affinity);
    void set_local_endpoint(const std::string& interface_name,
                            const model::WantedEndpoint* endpoint);
    // Of any node; used when routes come from workload addresses and not from blocks.
    void set_workload(const model::ResourceKey& id, const model::WorkloadEndpoint* endpoint);
    // `ipip_allowed`: false switches encapsulation off whatever the pools say.
    void set_options(bool ipip_allowed, bool from_workloads);

    void take_changes(model::Changes& into);
    bool dirty() const;

private:
    struct Claim {
        model::RouteKind kind = model::RouteKind::Remote;
        std::string node{};
        std::string interface_name{};

        bool operator==(const Claim&) const = default;
    };
    using Claims = std::vector<std::pair<Prefix4, Claim>>;
    using Source = std::string; // "block 10.0.0.0/26": only identity and order matter

    void replace_claims(const Source& source, Claims claims);
    void count_for_node(const Claim& claim, const Prefix4& prefix, int by);
    void claim_tunnel_address(const std::string& node_name);
    void claim_tunnel_addresses_in(const Prefix4& block);
    void claim_block(const model::IpamBlock& block, Claims& into) const;
    bool is_in_block_of(Ipv4 address, const std::string& node) const;
    void rebuild_sources();
    void touch_node(const std::string& name);
    const model::IpPool* pool_of(const Prefix4& prefix) const;
    std::optional<model::WantedRoute> route_for(const Prefix4& prefix) const;
    bool complete_remote(const Claim& claim, const model::IpPool& pool,
                         model::WantedRoute& route) const;
    void take_routes(model::Changes& into);
    void take_nodes(model::Changes& into);
    void take_pools(model::Changes& into);
    void take_own(model::Changes& into);
    std::map<Prefix4, model::Announcement> announcements() const;
    std::vector<Prefix4> own_confirmed_blocks() const;

    std::string own_;
    bool ipip_allowed_ = true;
    bool from_workloads_ = false;
    std::map<std::string, model::Node> nodes_;
    std::map<std::string, model::IpPool> pools_;
    std::map<Prefix4, std::vector<const model::IpPool*>> pools_by_cidr_; // best first
    std::map<Prefix4, model::IpamBlock> blocks_;
    std::map<model::ResourceKey, model::BlockAffinity> affinities_;
    std::map<model::ResourceKey, std::pair<std::string, std::vector<Prefix4>>> workloads_;
    std::map<Ipv4, std::set<std::string>> tunnel_addresses_; // address → nodes
    std::map<Ipv4, std::set<std::string>> node_addresses_;

    std::map<Source, Claims> by_source_;
    std::map<Prefix4, std::map<Source, Claim>> claims_;
    std::map<std::string, std::map<Prefix4, int>> by_node_; // remote claims of a node

    std::set<Prefix4> dirty_prefixes_;
    std::set<Ipv4> dirty_node_addresses_;
    bool all_prefixes_dirty_ = false;
    bool pools_dirty_ = false;
    bool own_dirty_ = true;
    std::map<Prefix4, model::WantedRoute> routes_;
    std::map<Ipv4, model::WantedNode> wanted_nodes_;
    std::map<Prefix4, model::WantedPool> wanted_pools_;
    std::map<Prefix4, model::Announcement> announced_;
    std::optional<model::OwnNode> own_published_;
};

} // namespace margay::calc
