// SPDX-License-Identifier: Apache-2.0
#include "agent/startup/edit.h"

#include "agent/ipam/json.h"
#include "agent/ipam/stored_resources.h"

#include <random>

namespace margay::startup {

namespace json = boost::json;

constexpr int kRetries = 100;

std::string resource_key(std::string_view plural, std::string_view name)
{
    return ipam::resource_prefix(plural) + std::string(name);
}

json::object new_resource(std::string_view kind, std::string_view name, ipam::Time now)
{
    return {{"kind", kind},
            {"apiVersion", "projectcalico.org/v3"},
            {"metadata",
             {{"name", name}, {"uid", random_uuid()}, {"creationTimestamp", ipam::rfc3339(now)}}},
            {"spec", json::object()}};
}

Result<bool> create_if_missing(store::Kv& kv, const std::string& key, const json::object& value)
{
    const auto entry = kv.get(key);
    if (!entry)
        return entry.error();
    if (*entry)
        return false;
    const auto created = kv.create(key, json::serialize(value));
    if (!created)
        return created.error();
    return created->done();
}

Result<bool> edit(store::Kv& kv, const std::string& key, const json::object* fresh,
                  const std::function<bool(json::object&)>& change)
{
    for (int i = 0; i < kRetries; i++) {
        const auto entry = kv.get(key);
        if (!entry)
            return entry.error();
        json::object object;
        if (!*entry && !fresh)
            return Error{Errc::NotFound, 0, key + " is gone"};
        if (!*entry) {
            object = *fresh;
        } else {
            auto stored = ipam::parse_object((*entry)->value, key);
            if (!stored)
                return stored.error();
            object = std::move(*stored);
        }
        if (!change(object) && *entry)
            return false;
        const std::string value = json::serialize(object);
        const auto written =
            *entry ? kv.update(key, value, (*entry)->mod_revision) : kv.create(key, value);
        if (!written)
            return written.error();
        if (written->done())
            return true;
    }
    return Error{Errc::Conflict, 0,
                 "write " + key + ": lost " + std::to_string(kRetries) + " races"};
}

json::object& member(json::object& object, std::string_view name)
{
    json::value& value = object[name];
    if (!value.is_object())
        value.emplace_object();
    return value.get_object();
}

bool set(json::object& object, std::string_view name, const json::value& value)
{
    const json::value* current = object.if_contains(name);
    if (current && *current == value)
        return false;
    object[name] = value;
    return true;
}

std::string text(const json::object& object, std::string_view name)
{
    const auto* value = ipam::string_field(object, name);
    return value ? std::string(*value) : std::string();
}

std::string random_hex(std::size_t bytes)
{
    constexpr const char* digits = "0123456789abcdef";
    std::random_device device;
    std::uniform_int_distribution<std::size_t> digit(0, 15);
    std::string result;
    for (std::size_t i = 0; i < 2 * bytes; i++)
        result += digits[digit(device)];
    return result;
}

std::string random_uuid()
{
    std::string hex = random_hex(16);
    hex[12] = '4';                                           // version (RFC 9562 5.4)
    hex[16] = "89ab"[static_cast<unsigned>(hex[16]) % 4u];   // variant
    return hex.substr(0, 8) + "-" + hex.substr(8, 4) + "-" + hex.substr(12, 4) + "-" +
           hex.substr(16, 4) + "-" + hex.substr(20);
}

} // namespace margay::startup
