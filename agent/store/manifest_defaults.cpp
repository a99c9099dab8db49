// SPDX-License-Identifier: Apache-2.0
#include "agent/store/manifest_defaults.h"

#include <boost/json.hpp>

#include <optional>

#include "agent/store/invalid.h"
#include "margay/ip.h"

namespace margay::store {
namespace {

namespace json = boost::json;

std::string text(const json::object& object, std::string_view field)
{
    const auto* value = object.if_contains(field);
    const auto* found = value ? value->if_string() : nullptr;
    return found ? std::string(*found) : std::string();
}

// Go's rule: the zero value counts as absent.
bool is_absent(const json::object& object, std::string_view field)
{
    const auto* value = object.if_contains(field);
    if (!value || value->is_null())
        return true;
    if (const auto* s = value->if_string())
        return s->empty();
    if (const auto* a = value->if_array())
        return a->empty();
    const auto* i = value->if_int64();
    return i && *i == 0;
}

void set_default(json::object& object, std::string_view field, json::value value)
{
    if (is_absent(object, field))
        object[field] = std::move(value);
}

json::object& child(json::object& object, std::string_view field)
{
    json::value& value = object[field];
    if (!value.is_object())
        value.emplace_object();
    return value.get_object();
}

Status pool_defaults(json::object& spec)
{
    const std::string cidr = text(spec, "cidr");
    const bool v4 = Prefix4::parse(cidr).has_value();
    if (!v4 && !Prefix6::parse(cidr))
        return invalid("spec.cidr \"" + cidr + "\" is no address/length");
    set_default(spec, "ipipMode", "Never");
    set_default(spec, "vxlanMode", "Never");
    set_default(spec, "blockSize", v4 ? 26 : 122);
    set_default(spec, "nodeSelector", "all()");
    set_default(spec, "allowedUses", json::array{"Workload", "Tunnel"});
    set_default(spec, "assignmentMode", "Automatic");
    return {};
}

// Directions that have rules; without any rule, ingress.
json::array default_types(const json::object& spec)
{
    json::array types;
    const bool egress = !is_absent(spec, "egress");
    if (!egress || !is_absent(spec, "ingress"))
        types.push_back("Ingress");
    if (egress)
        types.push_back("Egress");
    return types;
}

void policy_defaults(json::object& metadata, json::object& spec, bool staged)
{
    set_default(spec, "tier", "default");
    set_default(spec, "types", default_types(spec));
    if (staged)
        set_default(spec, "stagedAction", "Set");
    child(metadata, "labels")["projectcalico.org/tier"] = spec["tier"];
    child(metadata, "annotations")["projectcalico.org/metadata"] =
        json::serialize(json::object{{"name", metadata["name"]}});
}

void endpoint_defaults(json::object& metadata, const json::object& spec)
{
    auto& labels = child(metadata, "labels");
    labels["projectcalico.org/namespace"] = metadata["namespace"];
    labels["projectcalico.org/orchestrator"] = text(spec, "orchestrator");
}

// '-' is doubled inside a segment and parts the segments. Nothing: no legal segment.
std::optional<std::string> segment(const std::string& value)
{
    if (value.empty() || value.front() == '-' || value.back() == '-')
        return {};
    std::string out;
    for (const char c : value)
        out.append(c == '-' ? 2 : 1, c);
    return out;
}

Result<std::string> endpoint_name(const json::object& spec)
{
    const std::string orchestrator = text(spec, "orchestrator");
    std::string third_field = "workload";
    if (orchestrator == "k8s")
        third_field = "pod";
    else if (orchestrator == "cni")
        third_field = "containerID";
    std::string third = orchestrator == "libnetwork" ? "libnetwork" : text(spec, third_field);
    std::string name;
    for (const auto& [field, value] :
         {std::pair<std::string, std::string>{"node", text(spec, "node")},
          {"orchestrator", orchestrator},
          {third_field, third},
          {"endpoint", text(spec, "endpoint")}}) {
        const auto part = segment(value);
        if (!part)
            return invalid("spec." + field + " \"" + value +
                           "\" must not be empty, nor begin or end with '-'");
        name += (name.empty() ? "" : "-") + *part;
    }
    return name;
}

} // namespace

Status name_by_spec(std::string_view kind, json::object& metadata, const json::object& spec)
{
    if (kind != "WorkloadEndpoint")
        return {};
    auto name = endpoint_name(spec);
    if (!name)
        return name.error();
    set_default(metadata, "name", json::value(*name));
    if (text(metadata, "name") != *name)
        return invalid("metadata.name \"" + text(metadata, "name") +
                       "\" does not follow from spec: use \"" + *name + "\"");
    return {};
}

Status add_defaults(std::string_view kind, json::object& metadata, json::object& spec)
{
    if (kind == "IPPool")
        return pool_defaults(spec);
    if (kind == "NetworkPolicy" || kind == "GlobalNetworkPolicy")
        policy_defaults(metadata, spec, false);
    if (kind == "StagedNetworkPolicy" || kind == "StagedGlobalNetworkPolicy")
        policy_defaults(metadata, spec, true);
    if (kind == "WorkloadEndpoint")
        endpoint_defaults(metadata, spec);
    return {};
}

} // namespace margay::store
