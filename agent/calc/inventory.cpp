// SPDX-License-Identifier: Apache-2.0

#include "agent/calc/inventory.h"

#include <utility>

namespace margay::calc {
namespace {

// A NetworkSet inherits the labels of its namespace.
std::vector<std::string> parents_of(const model::NetworkSet& set)
{
    return set.ns.empty() ? std::vector<std::string>{} : std::vector{"kns." + set.ns};
}

} // namespace

Inventory::Inventory(std::string own_node, SetIds ids)
    : own_(own_node), felix_(own_node), policy_(std::move(ids)), routes_(own_node), bgp_(own_node)
{
}

void Inventory::set_ipip_enabled(std::optional<bool> given)
{
    ipip_given_ = given;
    on_felix_changed();
}

bool Inventory::apply(model::Update update)
{
    const auto& key = update.key;
    std::visit(
        [this, &key](auto& value) {
            using T = std::decay_t<decltype(value)>;
            if constexpr (std::is_same_v<T, std::monostate>)
                remove(key);
            else if constexpr (std::is_same_v<T, model::Policy>)
                policy_.set_policy(key, &value);
            else if constexpr (std::is_same_v<T, model::Tier>)
                policy_.set_tier(key.name, &value);
            else if constexpr (std::is_same_v<T, model::IpPool>)
                set_pool(key.name, &value);
            else if constexpr (std::is_same_v<T, model::IpamBlock>)
                routes_.set_block(key, &value);
            else if constexpr (std::is_same_v<T, model::BlockAffinity>)
                set_affinity(key, &value);
            else if constexpr (std::is_same_v<T, model::BgpConfiguration>)
                bgp_.set_configuration(key.name, &value);
            else if constexpr (std::is_same_v<T, model::BgpPeer>)
                bgp_.set_peer(key.name, &value);
            else if constexpr (std::is_same_v<T, model::BgpFilter>)
                bgp_.set_filter(key.name, &value);
            else if constexpr (std::is_same_v<T, model::FelixConfiguration>)
                set_felix(key.name, &value);
            else if constexpr (std::is_same_v<T, model::ClusterInformation>)
                cluster_ = value, cluster_dirty_ = true;
            else if constexpr (requires { this->put(key, value); })
                put(key, value);
            // IPAMConfig concerns nothing that is computed here.
        },
        update.value);
    return dirty();
}

void Inventory::remove(const model::ResourceKey& key)
{
    switch (key.kind) {
    case model::Kind::WorkloadEndpoint:
        workloads_.erase(key);
        spoofing_.erase(key);
        show_workload(key);
        return;
    case model::Kind::GlobalNetworkSet:
    case model::Kind::NetworkSet:
    case model::Kind::HostEndpoint:
        return remove_item(key);
    case model::Kind::GlobalNetworkPolicy:
    case model::Kind::NetworkPolicy:
        return policy_.set_policy(key, nullptr);
    case model::Kind::Tier:
        return policy_.set_tier(key.name, nullptr);
    case model::Kind::Profile:
        policy_.set_profile(key.name, nullptr);
        return set_profile_labels(key.name, {});
    case model::Kind::Node:
        bgp_.set_node(key.name, nullptr);
        routes_.set_node(key.name, nullptr);
        if (key.name == own_) {
            felix_.set_own_labels({});
            on_felix_changed();
        }
        return;
    case model::Kind::IpPool:
        return set_pool(key.name, nullptr);
    case model::Kind::IpamBlock:
        return routes_.set_block(key, nullptr);
    case model::Kind::BlockAffinity:
        return set_affinity(key, nullptr);
    case model::Kind::BgpConfiguration:
        return bgp_.set_configuration(key.name, nullptr);
    case model::Kind::FelixConfiguration:
        return set_felix(key.name, nullptr);
    case model::Kind::ClusterInformation:
        cluster_ = model::ClusterInformation{};
        cluster_dirty_ = true;
        return;
    case model::Kind::BgpPeer:
        return bgp_.set_peer(key.name, nullptr);
    case model::Kind::BgpFilter:
        return bgp_.set_filter(key.name, nullptr);
    case model::Kind::IpamConfig:
        return;
    }
}

void Inventory::set_pool(const std::string& name, const model::IpPool* pool)
{
    bgp_.set_pool(name, pool);
    routes_.set_pool(name, pool);
}

void Inventory::set_affinity(const model::ResourceKey& key, const model::BlockAffinity* affinity)
{
    bgp_.set_affinity(key, affinity);
    routes_.set_affinity(key, affinity);
}

void Inventory::put(const model::ResourceKey& key, model::WorkloadEndpoint& endpoint)
{
    if (endpoint.allowed_spoofed_sources.empty())
        spoofing_.erase(key);
    else
        spoofing_.insert(key);
    workloads_.insert_or_assign(key, std::move(endpoint));
    show_workload(key);
}

// Such an endpoint counts as missing unless the configuration lets workloads spoof.
bool Inventory::is_suppressed(const model::WorkloadEndpoint& endpoint) const
{
    return !endpoint.allowed_spoofed_sources.empty() &&
           felix_.effective().workload_source_spoofing != "Any";
}

// Brings the calculations up to what workloads_ and the configuration say about one endpoint.
void Inventory::show_workload(const model::ResourceKey& key)
{
    const auto at = workloads_.find(key);
    if (at == workloads_.end() || is_suppressed(at->second)) {
        routes_.set_workload(key, nullptr);
        return remove_item(key);
    }
    const auto& endpoint = at->second;
    routes_.set_workload(key, &endpoint);
    set_item({key,
              endpoint.labels,
              endpoint.profiles,
              {endpoint.addresses.v4, endpoint.ports},
              endpoint.node == own_});
}

void Inventory::put(const model::ResourceKey& key, const model::NetworkSet& set)
{
    set_item({key, set.labels, parents_of(set), {set.nets.v4, {}}, false});
}

// Selectors match its addresses; its own policies are not enforced.
void Inventory::put(const model::ResourceKey& key, const model::HostEndpoint& endpoint)
{
    set_item({key,
              endpoint.labels,
              endpoint.profiles,
              {endpoint.expected_ips.v4, endpoint.ports},
              false});
}

void Inventory::put(const model::ResourceKey& key, const model::Profile& profile)
{
    policy_.set_profile(key.name, &profile);
    set_profile_labels(key.name, profile.labels_to_apply);
}

void Inventory::put(const model::ResourceKey& key, const model::Node& node)
{
    bgp_.set_node(key.name, &node);
    routes_.set_node(key.name, &node);
    if (key.name != own_)
        return;
    felix_.set_own_labels(node.labels);
    on_felix_changed();
}

void Inventory::set_item(Item item)
{
    auto& id = ids_[item.key];
    if (id == 0)
        id = ++last_id_;
    auto& stored = items_[id];
    if (stored.parents != item.parents) {
        for (const auto& parent : stored.parents)
            children_[parent].erase(id);
        for (const auto& parent : item.parents)
            children_[parent].insert(id);
    }
    if (stored.is_local && !item.is_local) {
        policy_.remove_endpoint(id);
        bgp_.remove_workload(item.key);
    }
    stored = std::move(item);
    refresh_item(id);
}

void Inventory::refresh_item(ItemId id)
{
    const auto& item = items_.at(id);
    model::Labels labels = item.own_labels;
    for (const auto& parent : item.parents)
        if (const auto at = profile_labels_.find(parent); at != profile_labels_.end())
            labels.inherit(at->second);
    policy_.sets().set_item(id, labels, item.member);
    if (!item.is_local)
        return;
    policy_.set_endpoint(id, workloads_.at(item.key), labels);
    bgp_.set_workload(item.key, workloads_.at(item.key), labels);
}

void Inventory::remove_item(const model::ResourceKey& key)
{
    const auto at = ids_.find(key);
    if (at == ids_.end())
        return;
    const ItemId id = at->second;
    for (const auto& parent : items_.at(id).parents)
        children_[parent].erase(id);
    policy_.sets().remove_item(id);
    policy_.remove_endpoint(id);
    bgp_.remove_workload(key);
    items_.erase(id);
    ids_.erase(at);
}

void Inventory::set_profile_labels(const std::string& name, const model::Labels& labels)
{
    const auto at = profile_labels_.find(name);
    if (at == profile_labels_.end() ? labels.empty() : at->second == labels)
        return;
    if (labels.empty())
        profile_labels_.erase(name);
    else
        profile_labels_.insert_or_assign(name, labels);
    if (const auto children = children_.find(name); children != children_.end())
        for (const ItemId id : children->second)
            refresh_item(id);
}

void Inventory::set_felix(const std::string& name, const model::FelixConfiguration* configuration)
{
    felix_.set(name, configuration);
    on_felix_changed();
}

void Inventory::on_felix_changed()
{
    felix_dirty_ = true;
    const auto& felix = felix_.effective();
    const auto ipip = ipip_given_ ? ipip_given_ : felix.ipip_enabled;
    routes_.set_options(ipip.value_or(true), felix.route_source == "WorkloadIPs");
    for (const auto& key : spoofing_)
        show_workload(key);
}

bool Inventory::dirty() const
{
    return policy_.dirty() || routes_.dirty() || bgp_.dirty() || felix_dirty_ || cluster_dirty_;
}

model::Changes Inventory::take_changes()
{
    model::Changes changes;
    policy_.take_changes(changes);
    for (const auto& [interface_name, endpoint] : changes.endpoints)
        routes_.set_local_endpoint(interface_name, endpoint ? &*endpoint : nullptr);
    routes_.take_changes(changes);
    bgp_.take_changes(changes);
    if (std::exchange(felix_dirty_, false) && felix_published_ != felix_.effective())
        changes.felix = felix_published_ = felix_.effective();
    if (std::exchange(cluster_dirty_, false))
        changes.cluster = cluster_;
    return changes;
}

} // namespace margay::calc
