// SPDX-License-Identifier: Apache-2.0
#include "agent/ipam/records.h"

#include "agent/ipam/json.h"

#include <algorithm>

namespace margay::ipam {
namespace {

namespace json = boost::json;

constexpr std::uint64_t kMaxCooldownSeconds = 1200;

std::string dashed(const Prefix4& cidr)
{
    return cidr.addr.str() + "-" + std::to_string(cidr.length);
}

bool flag(const json::object& object, std::string_view name)
{
    const json::value* value = object.if_contains(name);
    return value && value->is_bool() && value->get_bool();
}

std::uint64_t number(const json::object& object, std::string_view name)
{
    const json::value* value = object.if_contains(name);
    return value ? as_number(*value).value_or(0) : 0;
}

} // namespace

std::string block_key(const Prefix4& cidr)
{
    return kBlockPrefix + dashed(cidr);
}

std::string affinity_prefix(const std::string& node)
{
    return "/calico/ipam/v2/host/" + node + "/ipv4/block/";
}

std::string affinity_key(const std::string& node, const Prefix4& cidr)
{
    return affinity_prefix(node) + dashed(cidr);
}

std::string handle_key(const std::string& handle)
{
    return "/calico/ipam/v2/handle/" + handle;
}

std::optional<Prefix4> cidr_of_key(std::string_view key)
{
    std::string text(key.substr(key.rfind('/') + 1));
    const auto dash = text.rfind('-');
    if (dash == std::string::npos)
        return std::nullopt;
    text[dash] = '/';
    const auto cidr = Prefix4::parse(text);
    return cidr && cidr->network() == *cidr ? cidr : std::nullopt;
}

Affinity decode_affinity(std::string_view text)
{
    Affinity affinity;
    if (text.empty())
        return affinity;
    const auto object = parse_object(text, "affinity");
    if (!object) {
        affinity.state = Affinity::State::Pending;
        return affinity;
    }
    affinity.other = other_fields(*object, {"state", "deleted"});
    const auto* state = string_field(*object, "state");
    if (!state || state->empty() || *state == "confirmed")
        return affinity;
    affinity.state =
        *state == "pendingDeletion" ? Affinity::State::PendingDeletion : Affinity::State::Pending;
    return affinity;
}

std::string encode_affinity(const Affinity& affinity)
{
    constexpr const char* names[] = {"confirmed", "pending", "pendingDeletion"};
    json::object object{{"state", names[static_cast<std::size_t>(affinity.state)]},
                        {"deleted", false}};
    add_other_fields(object, affinity.other);
    return json::serialize(object);
}

Result<Handle> decode_handle(std::string_view text, const std::string& id)
{
    const auto object = parse_object(text, "handle " + id);
    if (!object)
        return object.error();
    Handle handle;
    handle.other = other_fields(*object, {"block", "deleted"});
    const json::value* blocks = object->if_contains("block");
    if (!blocks || !blocks->is_object())
        return handle;
    for (const auto& [cidr, count] : blocks->get_object())
        handle.blocks[std::string(cidr)] = as_number(count).value_or(0);
    return handle;
}

std::string encode_handle(const Handle& handle)
{
    json::object blocks;
    for (const auto& [cidr, count] : handle.blocks)
        blocks[cidr] = count;
    json::object object{{"block", std::move(blocks)}, {"deleted", false}};
    add_other_fields(object, handle.other);
    return json::serialize(object);
}

Result<IpamConfig> decode_config(std::string_view text)
{
    const auto object = parse_object(text, kConfigKey);
    if (!object)
        return object.error();
    IpamConfig config;
    config.strict_affinity = flag(*object, "strict_affinity");
    config.auto_allocate_blocks = flag(*object, "auto_allocate_blocks");
    config.max_blocks_per_host = number(*object, "maxBlocksPerHost");
    config.cooldown =
        std::chrono::seconds(std::min(number(*object, "ipCooldownSeconds"), kMaxCooldownSeconds));
    return config;
}

} // namespace margay::ipam
