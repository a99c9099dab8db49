// SPDX-License-Identifier: Apache-2.0
// Sources and their claims; route_resolve.cpp turns claims into routes.

#include "agent/calc/route_calc.h"

#include <algorithm>
#include <utility>

namespace margay::calc {
namespace {

template <typename Key>
void move_name(std::map<Key, std::set<std::string>>& names, const std::string& name,
               const std::optional<Key>& from, const std::optional<Key>& to)
{
    if (from) {
        auto& there = names[*from];
        there.erase(name);
        if (there.empty())
            names.erase(*from);
    }
    if (to)
        names[*to].insert(name);
}

Prefix4 host_prefix(std::uint32_t address)
{
    return Prefix4::host(Ipv4(address));
}

} // namespace

void RouteCalc::count_for_node(const Claim& claim, const Prefix4& prefix, int by)
{
    if (claim.kind != model::RouteKind::Remote)
        return;
    auto& prefixes = by_node_[claim.node];
    auto& count = prefixes[prefix];
    count += by;
    if (count == 0)
        prefixes.erase(prefix);
    if (prefixes.empty())
        by_node_.erase(claim.node);
    touch_node(claim.node);
}

void RouteCalc::replace_claims(const Source& source, Claims claims)
{
    auto& stored = by_source_[source];
    if (stored == claims) {
        if (claims.empty())
            by_source_.erase(source);
        return;
    }
    for (const auto& [prefix, claim] : stored) {
        count_for_node(claim, prefix, -1);
        auto& there = claims_[prefix];
        there.erase(source);
        if (there.empty())
            claims_.erase(prefix);
        dirty_prefixes_.insert(prefix);
    }
    for (const auto& [prefix, claim] : claims) {
        count_for_node(claim, prefix, 1);
        claims_[prefix].insert_or_assign(source, claim);
        dirty_prefixes_.insert(prefix);
    }
    if (claims.empty())
        by_source_.erase(source);
    else
        stored = std::move(claims);
}

void RouteCalc::touch_node(const std::string& name)
{
    const auto at = nodes_.find(name);
    if (at != nodes_.end())
        if (const auto address = at->second.host_address())
            dirty_node_addresses_.insert(*address);
}

void RouteCalc::set_node(const std::string& name, const model::Node* node)
{
    const auto at = nodes_.find(name);
    const model::Node before = at == nodes_.end() ? model::Node{} : at->second;
    const model::Node after = node ? *node : model::Node{};
    touch_node(name);
    if (node)
        nodes_.insert_or_assign(name, *node);
    else
        nodes_.erase(name);
    touch_node(name);
    move_name(node_addresses_, name, before.host_address(), after.host_address());
    move_name(tunnel_addresses_, name, before.ipip_tunnel_address, after.ipip_tunnel_address);
    claim_tunnel_address(name);
    if (name == own_) {
        all_prefixes_dirty_ = own_dirty_ = true;
        return;
    }
    if (before.host_address() != after.host_address())
        if (const auto mine = by_node_.find(name); mine != by_node_.end())
            for (const auto& [prefix, unused] : mine->second)
                dirty_prefixes_.insert(prefix);
}

bool RouteCalc::is_in_block_of(Ipv4 address, const std::string& node) const
{
    for (std::uint8_t length = 20; length < 32; ++length) {
        const auto at = blocks_.find(Prefix4{address, length}.network());
        if (at != blocks_.end() && at->second.host() == node)
            return true;
    }
    return false;
}

void RouteCalc::claim_tunnel_address(const std::string& node_name)
{
    Claims claims;
    const auto at = nodes_.find(node_name);
    if (at != nodes_.end() && at->second.ipip_tunnel_address) {
        const Ipv4 address = *at->second.ipip_tunnel_address;
        const auto prefix = Prefix4::host(address);
        if (node_name == own_)
            claims.emplace_back(prefix, Claim{model::RouteKind::Host, node_name, {}});
        else if (!is_in_block_of(address, node_name))
            claims.emplace_back(prefix, Claim{model::RouteKind::Remote, node_name, {}});
    }
    replace_claims("node " + node_name, std::move(claims));
}

void RouteCalc::claim_tunnel_addresses_in(const Prefix4& block)
{
    std::vector<std::string> names;
    for (auto at = tunnel_addresses_.lower_bound(block.addr);
         at != tunnel_addresses_.end() && block.contains(at->first); ++at)
        names.insert(names.end(), at->second.begin(), at->second.end());
    for (const auto& name : names)
        claim_tunnel_address(name);
}

void RouteCalc::claim_block(const model::IpamBlock& block, Claims& into) const
{
    const Prefix4& cidr = *block.v4();
    const std::string host = block.host();
    if (host == own_ && !host.empty() && cidr.length < Ipv4::kBits)
        into.emplace_back(cidr, Claim{model::RouteKind::Blackhole, host, {}});
    else if (!host.empty() && host != own_)
        into.emplace_back(cidr, Claim{model::RouteKind::Remote, host, {}});
    for (std::size_t ordinal = 0; ordinal < block.allocations.size(); ++ordinal) {
        if (!block.allocations[ordinal])
            continue;
        const auto& attribute = block.attributes[*block.allocations[ordinal]];
        const auto node = attribute.secondary.find("node");
        if (!attribute.released_at.empty() || node == attribute.secondary.end() ||
            node->second.empty() || node->second == host)
            continue;
        // Borrowed by us and without endpoint: sending it to the block's host would loop.
        const auto kind =
            node->second == own_ ? model::RouteKind::Blackhole : model::RouteKind::Remote;
        into.emplace_back(host_prefix(cidr.addr.value() + static_cast<std::uint32_t>(ordinal)),
                          Claim{kind, node->second, {}});
    }
}

void RouteCalc::set_block(const model::ResourceKey& key, const model::IpamBlock* block)
{
    const auto cidr = Prefix4::parse(key.name);
    if (!cidr)
        return; // IPv6
    const bool there = block && block->v4() && !block->deleted;
    if (there)
        blocks_.insert_or_assign(*cidr, *block);
    else
        blocks_.erase(*cidr);
    Claims claims;
    if (there && !from_workloads_)
        claim_block(*block, claims);
    replace_claims("block " + key.name, std::move(claims));
    claim_tunnel_addresses_in(*cidr);
}

void RouteCalc::set_affinity(const model::ResourceKey& key, const model::BlockAffinity* affinity)
{
    own_dirty_ |= key.ns == "host:" + own_;
    if (affinity)
        affinities_.insert_or_assign(key, *affinity);
    else
        affinities_.erase(key);
}

void RouteCalc::set_local_endpoint(const std::string& interface_name,
                                   const model::WantedEndpoint* endpoint)
{
    Claims claims;
    if (endpoint)
        for (const auto& address : endpoint->addresses)
            claims.emplace_back(Prefix4::host(address),
                                Claim{model::RouteKind::LocalWorkload, own_, interface_name});
    // The endpoint's id orders two that claim one address; it lives as long as the interface does.
    const auto source = "local " + interface_name;
    replace_claims(source, std::move(claims));
    own_dirty_ = true;
}

void RouteCalc::set_workload(const model::ResourceKey& id, const model::WorkloadEndpoint* endpoint)
{
    const bool remote = endpoint && endpoint->node != own_;
    if (remote)
        workloads_.insert_or_assign(id, std::pair(endpoint->node, endpoint->addresses.v4));
    else
        workloads_.erase(id);
    Claims claims;
    if (remote && from_workloads_)
        for (const auto& prefix : endpoint->addresses.v4)
            claims.emplace_back(prefix, Claim{model::RouteKind::Remote, endpoint->node, {}});
    replace_claims("workload " + id.str(), std::move(claims));
}

void RouteCalc::set_options(bool ipip_allowed, bool from_workloads)
{
    if (ipip_allowed != ipip_allowed_)
        all_prefixes_dirty_ = true;
    ipip_allowed_ = ipip_allowed;
    if (from_workloads == from_workloads_)
        return;
    from_workloads_ = from_workloads;
    rebuild_sources();
}

void RouteCalc::rebuild_sources()
{
    for (const auto& [cidr, block] : blocks_) {
        Claims claims;
        if (!from_workloads_)
            claim_block(block, claims);
        replace_claims("block " + cidr.str(), std::move(claims));
    }
    for (const auto& [id, workload] : workloads_) {
        Claims claims;
        if (from_workloads_)
            for (const auto& prefix : workload.second)
                claims.emplace_back(prefix, Claim{model::RouteKind::Remote, workload.first, {}});
        replace_claims("workload " + id.str(), std::move(claims));
    }
}

void RouteCalc::set_pool(const std::string& name, const model::IpPool* pool)
{
    if (pool && pool->v4())
        pools_.insert_or_assign(name, *pool);
    else
        pools_.erase(name);
    pools_by_cidr_.clear();
    for (const auto& [unused, known] : pools_)
        if (!known.only_load_balancers())
            pools_by_cidr_[*known.v4()].push_back(&known);
    for (auto& [cidr, same] : pools_by_cidr_)
        std::stable_sort(same.begin(), same.end(), [](const auto* a, const auto* b) {
            return a->ipip_mode != model::Encapsulation::Never &&
                   b->ipip_mode == model::Encapsulation::Never;
        });
    all_prefixes_dirty_ = pools_dirty_ = own_dirty_ = true;
}

bool RouteCalc::dirty() const
{
    return !dirty_prefixes_.empty() || !dirty_node_addresses_.empty() || all_prefixes_dirty_ ||
           pools_dirty_ || own_dirty_;
}

} // namespace margay::calc
