// SPDX-License-Identifier: Apache-2.0
#include "agent/ipam/stored_resources.h"

#include "agent/ipam/json.h"
#include "agent/model/decode.h"

namespace margay::ipam {
namespace {

namespace json = boost::json;

const json::object* object_field(const json::object* object, std::string_view name)
{
    const json::value* value = object ? object->if_contains(name) : nullptr;
    return value ? value->if_object() : nullptr;
}

const json::array* array_field(const json::object* object, std::string_view name)
{
    const json::value* value = object ? object->if_contains(name) : nullptr;
    return value ? value->if_array() : nullptr;
}

// What a pool says about itself beyond its spec.
bool is_allocatable(const json::object& pool)
{
    const json::object* metadata = object_field(&pool, "metadata");
    if (metadata && string_field(*metadata, "deletionTimestamp"))
        return false;
    const json::array* conditions = array_field(object_field(&pool, "status"), "conditions");
    if (!conditions)
        return true;
    for (const json::value& value : *conditions) {
        const json::object* condition = value.if_object();
        const auto* type = condition ? string_field(*condition, "type") : nullptr;
        const auto* status = condition ? string_field(*condition, "status") : nullptr;
        if (type && status && *type == "Allocatable" && *status == "False")
            return false;
    }
    return true;
}

} // namespace

std::string resource_prefix(std::string_view plural)
{
    return "/calico/resources/v3/projectcalico.org/" + std::string(plural) + "/";
}

Result<Pool> decode_pool(const std::string& value, const std::string& key)
{
    const auto parsed = model::parse_key(key);
    if (!parsed || parsed->kind != model::Kind::IpPool)
        return Error{Errc::Invalid, 0, key + " is no pool"};
    auto decoded = model::decode(*parsed, value);
    if (!decoded)
        return decoded.error();
    auto* spec = std::get_if<model::IpPool>(&decoded->update.value);
    const auto object = parse_object(value, key);
    if (!spec || !object)
        return Error{Errc::Invalid, 0, key + " is no pool"};
    return Pool{std::move(*spec), is_allocatable(*object)};
}

Result<std::vector<Prefix4>> decode_reservation(const std::string& value, const std::string& key)
{
    const auto object = parse_object(value, key);
    if (!object)
        return object.error();
    std::vector<Prefix4> cidrs;
    const json::array* list = array_field(object_field(&*object, "spec"), "reservedCIDRs");
    if (!list)
        return cidrs;
    for (const json::value& item : *list) {
        const auto* text = item.if_string();
        const auto cidr = text ? Prefix4::parse(*text) : std::nullopt;
        if (cidr)
            cidrs.push_back(cidr->network());
        else if (!text || !Prefix6::parse(*text))
            return Error{Errc::Invalid, 0, key + ": spec.reservedCIDRs holds no cidr"};
    }
    return cidrs;
}

model::Labels decode_labels(const std::string& value)
{
    model::Labels labels;
    const auto object = parse_object(value, "labels");
    if (!object)
        return labels;
    const json::object* stored = object_field(object_field(&*object, "metadata"), "labels");
    if (!stored)
        return labels;
    for (const auto& [name, text] : *stored)
        if (text.is_string())
            labels.set(name, std::string(text.get_string()));
    return labels;
}

} // namespace margay::ipam
