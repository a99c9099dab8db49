// SPDX-License-Identifier: Apache-2.0
// Inventory: all of the datastore that matters here, and what follows from it for this node.
//
// apply() takes one change and updates indexes only; take_changes() computes what those changes
// mean, once for a whole burst, as the difference to the take_changes() before. Before the first
// snapshot is complete nobody should take anything. Everything is deterministic: the same
// resources give the same wanted state, in whatever order they came.

#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>

#include "agent/calc/bgp_calc.h"
#include "agent/calc/felix_calc.h"
#include "agent/calc/policy_calc.h"
#include "agent/calc/route_calc.h"
#include "agent/model/resources.h"
#include "agent/model/wanted.h"

namespace margay::calc {

class Inventory {
public:
    explicit Inventory(std::string own_node, SetIds ids);

    // FELIX_IPINIPENABLED, a flag or the file: wins over FelixConfiguration.
    void set_ipip_enabled(std::optional<bool> given);

    // Returns whether there is something to take.
    bool apply(model::Update update);
    bool dirty() const;
    model::Changes take_changes();
    // Everything taken so far is in force: no program asks for the sets that it made superfluous.
    // Until then they stay as they are, for an endpoint that runs its old program must not find
    // them empty. What goes now is in the next take_changes().
    void release_retired() { policy_.sets().release_retired(); }
    // There is something to release, or to ask for again, though no resource changes.
    bool waiting() { return policy_.sets().has_retired() || policy_.sets().has_refused(); }

    std::size_t endpoint_count() const { return workloads_.size(); }

private:
    // Something with labels and addresses: endpoints and network sets.
    struct Item {
        model::ResourceKey key{};
        model::Labels own_labels{};
        std::vector<std::string> parents{}; // profiles, in order of precedence
        Member member{};
        bool is_local = false;
    };

    void put(const model::ResourceKey& key, model::WorkloadEndpoint& endpoint);
    void put(const model::ResourceKey& key, const model::NetworkSet& set);
    void put(const model::ResourceKey& key, const model::HostEndpoint& endpoint);
    void put(const model::ResourceKey& key, const model::Profile& profile);
    void put(const model::ResourceKey& key, const model::Node& node);
    void remove(const model::ResourceKey& key);
    void set_pool(const std::string& name, const model::IpPool* pool);
    void set_affinity(const model::ResourceKey& key, const model::BlockAffinity* affinity);

    void set_item(Item item);
    void remove_item(const model::ResourceKey& key);
    void refresh_item(ItemId id);
    void set_profile_labels(const std::string& name, const model::Labels& labels);
    void set_felix(const std::string& name, const model::FelixConfiguration* configuration);
    void on_felix_changed();
    bool is_suppressed(const model::WorkloadEndpoint& endpoint) const;
    void show_workload(const model::ResourceKey& key);

    std::string own_;
    std::map<model::ResourceKey, model::WorkloadEndpoint> workloads_;
    std::set<model::ResourceKey> spoofing_; // workloads that name allowed sources
    std::map<model::ResourceKey, ItemId> ids_;
    std::unordered_map<ItemId, Item> items_;
    ItemId last_id_ = 0;
    std::map<std::string, model::Labels> profile_labels_;
    std::unordered_map<std::string, std::set<ItemId>> children_; // of a profile
    std::optional<model::ClusterInformation> cluster_;
    bool cluster_dirty_ = false;
    std::optional<model::FelixConfiguration> felix_published_;
    bool felix_dirty_ = true;
    std::optional<bool> ipip_given_;
    FelixCalc felix_;
    PolicyCalc policy_;
    RouteCalc routes_;
    BgpCalc bgp_;
};

} // namespace margay::calc
