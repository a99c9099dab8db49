// SPDX-License-Identifier: Apache-2.0
#include "agent/ipam/json.h"

#include <algorithm>

namespace margay::ipam {

namespace json = boost::json;

Result<json::object> parse_object(std::string_view text, const std::string& what)
{
    json::error_code error;
    json::value value = json::parse(text, error);
    if (error)
        return Error{Errc::Invalid, 0, what + " is no JSON: " + error.message()};
    if (!value.is_object())
        return Error{Errc::Invalid, 0, what + " is no JSON object"};
    return std::move(value.get_object());
}

std::optional<std::uint64_t> as_number(const json::value& value)
{
    if (value.is_uint64())
        return value.get_uint64();
    if (value.is_int64() && value.get_int64() >= 0)
        return static_cast<std::uint64_t>(value.get_int64());
    return std::nullopt;
}

const json::string* string_field(const json::object& object, std::string_view name)
{
    const json::value* value = object.if_contains(name);
    return value ? value->if_string() : nullptr;
}

OtherFields other_fields(const json::object& object, std::initializer_list<std::string_view> known)
{
    OtherFields other;
    for (const auto& [name, value] : object)
        if (std::find(known.begin(), known.end(), std::string_view(name)) == known.end())
            other.emplace(name, json::serialize(value));
    return other;
}

void add_other_fields(json::object& object, const OtherFields& other)
{
    json::error_code error;
    for (const auto& [name, text] : other)
        object[name] = json::parse(text, error);
}

} // namespace margay::ipam
