// SPDX-License-Identifier: Apache-2.0
// Objects that belong to the whole cluster. calicoctl makes some of them too, and so does every
// other node: whoever comes first wins, and the others leave it as it is.
#include "agent/startup/startup.h"

#include "agent/config/parse.h"
#include "agent/ipam/json.h"
#include "agent/ipam/stored_resources.h"
#include "agent/startup/edit.h"

#include <algorithm>

namespace margay::startup {
namespace {

namespace json = boost::json;

// A resource that is created with this spec unless it is there.
struct Default {
    std::string_view plural;
    std::string_view kind;
    std::string name;
    json::object spec;
};

std::vector<Default> defaults(const std::string& node)
{
    return {
        {"tiers", "Tier", "kube-admin", {{"order", 1000}, {"defaultAction", "Pass"}}},
        {"tiers", "Tier", "default", {{"order", 1000000}, {"defaultAction", "Deny"}}},
        {"tiers", "Tier", "kube-baseline", {{"order", 10000000}, {"defaultAction", "Pass"}}},
        {"felixconfigurations",
         "FelixConfiguration",
         "default",
         {{"reportingInterval", "0s"},
          {"logSeverityScreen", "Info"},
          {"floatingIPs", "Disabled"},
          {"bpfConnectTimeLoadBalancing", "TCP"},
          {"bpfHostNetworkedNATWithoutCTLB", "Enabled"}}},
        {"felixconfigurations",
         "FelixConfiguration",
         "node." + node,
         {{"defaultEndpointToHostAction", "Return"}}},
        {"bgpconfigurations", "BGPConfiguration", "default", {}},
        {"ipamconfigurations",
         "IPAMConfiguration",
         "default",
         {{"strictAffinity", false}, {"autoAllocateBlocks", true}}},
    };
}

bool merge_cluster_type(json::object& spec, const std::string& words)
{
    std::vector<std::string> merged = config::split(text(spec, "clusterType"), ',');
    const std::size_t before = merged.size();
    for (std::string& word : config::split(words, ','))
        if (std::ranges::find(merged, word) == merged.end())
            merged.push_back(std::move(word));
    if (merged.size() == before)
        return false;
    std::string joined;
    for (const std::string& word : merged)
        joined += (joined.empty() ? "" : ",") + word;
    spec["clusterType"] = joined;
    return true;
}

// calicoVersion stays empty: calicoctl refuses to work with any version but its own.
bool fill_cluster_information(json::object& object, const config::Config& config)
{
    json::object& spec = member(object, "spec");
    bool changed = merge_cluster_type(spec, config.cluster_type);
    if (text(spec, "clusterGUID").empty()) {
        spec["clusterGUID"] = random_hex(16);
        changed = true;
    }
    if (!spec.contains("datastoreReady")) { // CNI plugins read it without looking
        spec["datastoreReady"] = true;
        changed = true;
    }
    return changed;
}

bool holds_host_address(const Prefix4& cidr, const std::vector<Prefix4>& host_addresses)
{
    return std::ranges::any_of(host_addresses,
                               [&](const Prefix4& address) { return cidr.contains(address.addr); });
}

json::object pool_spec(const config::Config& config, const Prefix4& cidr)
{
    json::object spec{{"cidr", cidr.str()},
                      {"ipipMode", config::to_string(config.pool_ipip)},
                      {"vxlanMode", "Never"},
                      {"natOutgoing", config.pool_nat_outgoing},
                      {"blockSize", config.pool_block_size},
                      {"nodeSelector", config.pool_node_selector},
                      {"allowedUses", {"Workload", "Tunnel"}},
                      {"assignmentMode", "Automatic"}};
    if (config.pool_disable_bgp_export)
        spec["disableBGPExport"] = true;
    return spec;
}

// Any pool counts, also one that does not decode: it was somebody's wish.
Result<bool> has_ipv4_pool(store::Kv& kv)
{
    const auto entries = kv.list(ipam::resource_prefix("ippools"));
    if (!entries)
        return entries.error();
    for (const store::Entry& entry : *entries) {
        const auto pool = ipam::decode_pool(entry.value, entry.key);
        if (!pool || pool->spec.v4())
            return true;
    }
    return false;
}

} // namespace

Status check_ready(store::Kv& kv)
{
    const auto entry = kv.get(resource_key("clusterinformations", "default"));
    if (!entry)
        return entry.error();
    if (!*entry)
        return {};
    auto object = ipam::parse_object((*entry)->value, "ClusterInformation default");
    if (!object)
        return object.error();
    const json::object& spec = member(*object, "spec");
    const json::value* ready = spec.if_contains("datastoreReady");
    if (ready && ready->is_bool() && !ready->get_bool())
        return Error{Errc::Unavailable, 0,
                     "the datastore is locked: ClusterInformation default says "
                     "datastoreReady=false; waiting until it is unlocked (calicoctl datastore "
                     "migrate unlock)"};
    return {};
}

Status ensure_cluster(store::Kv& kv, const config::Config& config, const std::string& node,
                      const Clock& clock, std::vector<std::string>& notes)
{
    const auto now = clock.wall();
    const json::object fresh = new_resource("ClusterInformation", "default", now);
    const auto written =
        edit(kv, resource_key("clusterinformations", "default"), &fresh,
             [&](json::object& object) { return fill_cluster_information(object, config); });
    if (!written)
        return written.error();
    if (*written)
        notes.push_back("ClusterInformation default written");
    for (const Default& d : defaults(node)) {
        json::object object = new_resource(d.kind, d.name, now);
        object["spec"] = d.spec;
        const auto created = create_if_missing(kv, resource_key(d.plural, d.name), object);
        if (!created)
            return created.error();
        if (*created)
            notes.push_back(std::string(d.kind) + " " + d.name + " created");
    }
    return {};
}

Result<Prefix4> choose_pool_cidr(const config::PoolCidr& wanted,
                                 const std::vector<Prefix4>& host_addresses)
{
    if (wanted.kind == config::PoolCidr::Kind::Fixed)
        return wanted.cidr;
    const Prefix4 first{Ipv4(192u << 24 | 168u << 16), 16};
    if (!holds_host_address(first, host_addresses))
        return first;
    for (std::uint32_t i = 16; i <= 31; i++) {
        const Prefix4 next{Ipv4(172u << 24 | i << 16), 16};
        if (!holds_host_address(next, host_addresses))
            return next;
    }
    return Error{Errc::Full, 0,
                 "no default pool: this host has addresses in 192.168.0.0/16 and in each of "
                 "172.16.0.0/16 to 172.31.0.0/16; set CALICO_IPV4POOL_CIDR"};
}

Status ensure_default_pool(store::Kv& kv, const config::Config& config,
                           const std::vector<Prefix4>& host_addresses, const Clock& clock,
                           std::vector<std::string>& notes)
{
    if (config.no_default_pools || config.pool_cidr.kind == config::PoolCidr::Kind::None)
        return {};
    const auto present = has_ipv4_pool(kv);
    if (!present)
        return present.error();
    if (*present)
        return {};
    const auto cidr = choose_pool_cidr(config.pool_cidr, host_addresses);
    if (!cidr)
        return cidr.error();
    if (cidr->length > config.pool_block_size)
        return Error{Errc::Invalid, 0,
                     "default pool " + cidr->str() + " is smaller than a block of /" +
                         std::to_string(config.pool_block_size)};
    json::object pool = new_resource("IPPool", "default-ipv4-ippool", clock.wall());
    pool["spec"] = pool_spec(config, *cidr);
    const auto created =
        create_if_missing(kv, resource_key("ippools", "default-ipv4-ippool"), pool);
    if (!created)
        return created.error();
    if (*created)
        notes.push_back("pool default-ipv4-ippool created cidr=" + cidr->str() +
                        " ipip=" + std::string(config::to_string(config.pool_ipip)));
    return {};
}

} // namespace margay::startup
