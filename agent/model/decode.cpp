// SPDX-License-Identifier: Apache-2.0
// The envelope, and which decoder reads which kind.

#include "agent/model/decode.h"

#include "agent/model/json_fields.h"

namespace margay::model {
namespace {

using Decoder = Resource (*)(const Document&);

Decoder decoder_of(Kind kind)
{
    switch (kind) {
    case Kind::Node:
        return decode_node;
    case Kind::IpPool:
        return decode_pool;
    case Kind::WorkloadEndpoint:
        return decode_workload_endpoint;
    case Kind::GlobalNetworkPolicy:
    case Kind::NetworkPolicy:
        return decode_policy;
    case Kind::Tier:
        return decode_tier;
    case Kind::Profile:
        return decode_profile;
    case Kind::GlobalNetworkSet:
    case Kind::NetworkSet:
        return decode_network_set;
    case Kind::FelixConfiguration:
        return decode_felix_configuration;
    case Kind::BgpConfiguration:
        return decode_bgp_configuration;
    case Kind::BgpPeer:
        return decode_bgp_peer;
    case Kind::BgpFilter:
        return decode_bgp_filter;
    case Kind::ClusterInformation:
        return decode_cluster_information;
    case Kind::HostEndpoint:
        return decode_host_endpoint;
    case Kind::IpamBlock:
        return decode_ipam_block;
    case Kind::BlockAffinity:
        return decode_block_affinity;
    case Kind::IpamConfig:
        return decode_ipam_config;
    }
    return nullptr;
}

bool is_plain_ipam(Kind kind)
{
    return kind == Kind::IpamBlock || kind == Kind::BlockAffinity || kind == Kind::IpamConfig;
}

void check_envelope(const ResourceKey& key, const Fields& top)
{
    const auto kind = top.text("kind");
    if (kind && *kind != kind_name(key.kind))
        top.fail("kind", quoted_for_people(*kind) + " does not fit the key");
    const auto version = top.text("apiVersion");
    if (version && *version != "projectcalico.org/v3")
        top.fail("apiVersion", quoted_for_people(*version) + " is not projectcalico.org/v3");
}

Result<boost::json::value> parse_json(std::string_view text)
{
    boost::system::error_code error;
    auto value = boost::json::parse(boost::json::string_view(text.data(), text.size()), error);
    if (error)
        return Error{Errc::Invalid, 0, "not JSON: " + error.message()};
    if (!value.is_object())
        return Error{Errc::Invalid, 0, "not a JSON object"};
    return value;
}

// An empty affinity is a confirmed one, as early releases wrote it.
bool may_be_empty(Kind kind)
{
    return kind == Kind::BlockAffinity;
}

} // namespace

Result<Decoded> decode(const ResourceKey& key, std::string_view value)
{
    auto json = parse_json(value.empty() && may_be_empty(key.kind) ? "{}" : value);
    if (!json)
        return json.error();
    Report report;
    const Fields top(&json->get_object(), "", report);
    if (!is_plain_ipam(key.kind))
        check_envelope(key, top);
    const Document document{key, top, top.object("metadata"), top.object("spec")};
    auto resource = decoder_of(key.kind)(document);
    if (report.error)
        return Error{Errc::Invalid, 0, *std::move(report.error)};
    return Decoded{Update{key, std::move(resource)}, std::move(report.not_enforced),
                   std::move(report.skipped)};
}

} // namespace margay::model
