// SPDX-License-Identifier: Apache-2.0

#include "agent/model/key.h"

#include <vector>

#include "margay/ip.h"

namespace margay::model {
namespace {

constexpr std::string_view kResources = kWatchedPrefixes[0];
constexpr std::string_view kIpam = kWatchedPrefixes[1];

struct KindInfo {
    Kind kind;
    std::string_view name;
    std::string_view plural; // in the key; empty for the IPAM keys
    bool namespaced;
};

constexpr KindInfo kKinds[] = {
    {Kind::Node, "Node", "nodes", false},
    {Kind::IpPool, "IPPool", "ippools", false},
    {Kind::WorkloadEndpoint, "WorkloadEndpoint", "workloadendpoints", true},
    {Kind::GlobalNetworkPolicy, "GlobalNetworkPolicy", "globalnetworkpolicies", false},
    {Kind::NetworkPolicy, "NetworkPolicy", "networkpolicies", true},
    {Kind::Tier, "Tier", "tiers", false},
    {Kind::Profile, "Profile", "profiles", false},
    {Kind::GlobalNetworkSet, "GlobalNetworkSet", "globalnetworksets", false},
    {Kind::NetworkSet, "NetworkSet", "networksets", true},
    {Kind::FelixConfiguration, "FelixConfiguration", "felixconfigurations", false},
    {Kind::BgpConfiguration, "BGPConfiguration", "bgpconfigurations", false},
    {Kind::BgpPeer, "BGPPeer", "bgppeers", false},
    {Kind::BgpFilter, "BGPFilter", "bgpfilters", false},
    {Kind::ClusterInformation, "ClusterInformation", "clusterinformations", false},
    {Kind::HostEndpoint, "HostEndpoint", "hostendpoints", false},
    {Kind::IpamBlock, "IPAMBlock", "", false},
    {Kind::BlockAffinity, "BlockAffinity", "", false},
    {Kind::IpamConfig, "IPAMConfig", "", false},
};

const KindInfo& info(Kind kind)
{
    return kKinds[static_cast<std::size_t>(kind)];
}

constexpr bool kinds_are_in_order()
{
    for (std::size_t i = 0; i < std::size(kKinds); ++i)
        if (static_cast<std::size_t>(kKinds[i].kind) != i)
            return false;
    return true;
}
static_assert(kinds_are_in_order());

std::vector<std::string_view> split(std::string_view path)
{
    std::vector<std::string_view> parts;
    while (true) {
        const auto slash = path.find('/');
        parts.push_back(path.substr(0, slash));
        if (slash == std::string_view::npos)
            return parts;
        path.remove_prefix(slash + 1);
    }
}

std::string unescaped(std::string_view text)
{
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto rest = text.substr(i, 3);
        if (rest == "%2f" || rest == "%25") {
            plain += rest == "%2f" ? '/' : '%';
            i += 2;
        } else {
            plain += text[i];
        }
    }
    return plain;
}

std::optional<ResourceKey> parse_resource(std::string_view rest)
{
    const auto parts = split(rest);
    for (const auto& part : parts)
        if (part.empty())
            return std::nullopt;
    for (const auto& kind : kKinds) {
        if (kind.plural.empty() || kind.plural != parts[0])
            continue;
        if (parts.size() != (kind.namespaced ? 3u : 2u))
            return std::nullopt;
        return ResourceKey{kind.kind, kind.namespaced ? unescaped(parts[1]) : "",
                           unescaped(parts.back())};
    }
    return std::nullopt;
}

// "10.20.4.64-26" → "10.20.4.64/26"; only a real, masked prefix names a block.
std::optional<std::string> parse_block_name(std::string_view family, std::string_view text)
{
    const auto dash = text.rfind('-');
    if (dash == std::string_view::npos)
        return std::nullopt;
    const auto cidr = std::string(text.substr(0, dash)) + "/" + std::string(text.substr(dash + 1));
    if (family == "ipv4") {
        const auto prefix = Prefix4::parse(cidr);
        if (prefix && *prefix == prefix->network())
            return prefix->str();
    } else if (family == "ipv6") {
        const auto prefix = Prefix6::parse(cidr);
        if (prefix && *prefix == prefix->network())
            return prefix->str();
    }
    return std::nullopt;
}

std::optional<ResourceKey> parse_ipam(std::string_view rest)
{
    if (rest == "config")
        return ResourceKey{Kind::IpamConfig, "", "config"};
    const auto parts = split(rest);
    if (parts.size() == 4 && parts[0] == "assignment" && parts[2] == "block") {
        if (auto name = parse_block_name(parts[1], parts[3]))
            return ResourceKey{Kind::IpamBlock, "", *std::move(name)};
    }
    const bool owned = parts.size() == 5 && (parts[0] == "host" || parts[0] == "virtual");
    if (owned && !parts[1].empty() && parts[3] == "block") {
        if (auto name = parse_block_name(parts[2], parts[4]))
            return ResourceKey{Kind::BlockAffinity,
                               std::string(parts[0]) + ":" + unescaped(parts[1]), *std::move(name)};
    }
    return std::nullopt;
}

std::string block_path(const std::string& cidr)
{
    std::string path = cidr.find(':') == std::string::npos ? "ipv4/block/" : "ipv6/block/";
    path += cidr;
    const auto slash = path.rfind('/');
    path[slash] = '-';
    return path;
}

std::string owner_path(const std::string& owner)
{
    std::string path = owner;
    if (const auto colon = path.find(':'); colon != std::string::npos)
        path[colon] = '/';
    return path;
}

} // namespace

std::string_view kind_name(Kind kind)
{
    return info(kind).name;
}

std::string ResourceKey::str() const
{
    return std::string(kind_name(kind)) + " " + (ns.empty() ? "" : ns + "/") + name;
}

std::optional<ResourceKey> parse_key(std::string_view path)
{
    if (path.starts_with(kResources))
        return parse_resource(path.substr(kResources.size()));
    if (path.starts_with(kIpam))
        return parse_ipam(path.substr(kIpam.size()));
    return std::nullopt;
}

std::string key_path(const ResourceKey& key)
{
    switch (key.kind) {
    case Kind::IpamConfig:
        return std::string(kIpam) + "config";
    case Kind::IpamBlock:
        return std::string(kIpam) + "assignment/" + block_path(key.name);
    case Kind::BlockAffinity:
        return std::string(kIpam) + owner_path(key.ns) + "/" + block_path(key.name);
    default:
        break;
    }
    std::string path(kResources);
    path += info(key.kind).plural;
    if (info(key.kind).namespaced)
        path += "/" + key.ns;
    return path + "/" + key.name;
}

} // namespace margay::model
