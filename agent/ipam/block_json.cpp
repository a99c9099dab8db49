// SPDX-License-Identifier: Apache-2.0
// The stored form of a block (calico-facts 2.1).
#include "agent/ipam/json.h"

#include <algorithm>
#include <charconv>

namespace margay::ipam {
namespace {

namespace json = boost::json;

Error corrupt(const Block& block, const std::string& why)
{
    return Error{Errc::Invalid, 0, "block " + block.cidr.str() + ": " + why};
}

Result<std::map<std::string, std::string>> decode_texts(const json::value& value,
                                                        const Block& block)
{
    std::map<std::string, std::string> texts;
    if (value.is_null())
        return texts;
    if (!value.is_object())
        return corrupt(block, "secondary attributes are no object");
    for (const auto& [name, text] : value.get_object()) {
        if (!text.is_string())
            return corrupt(block, "secondary attribute " + std::string(name) + " is no text");
        texts.emplace(name, text.get_string());
    }
    return texts;
}

Result<Attribute> decode_attribute(const json::value& value, const Block& block)
{
    if (!value.is_object())
        return corrupt(block, "an attribute is no object");
    const json::object& object = value.get_object();
    Attribute attribute;
    if (const auto* handle = string_field(object, "handle_id"))
        attribute.handle = std::string(*handle);
    if (const auto* released = string_field(object, "releasedAt"))
        attribute.released_at = std::string(*released);
    if (const json::value* secondary = object.if_contains("secondary")) {
        auto texts = decode_texts(*secondary, block);
        if (!texts)
            return texts.error();
        attribute.secondary = std::move(*texts);
    }
    attribute.other = other_fields(object, {"handle_id", "secondary", "releasedAt"});
    return attribute;
}

Status decode_attributes(const json::object& object, Block& block)
{
    const json::value* list = object.if_contains("attributes");
    if (!list || list->is_null())
        return {};
    if (!list->is_array())
        return corrupt(block, "attributes are no list");
    for (const json::value& value : list->get_array()) {
        auto attribute = decode_attribute(value, block);
        if (!attribute)
            return attribute.error();
        block.attributes.push_back(std::move(*attribute));
    }
    return {};
}

Status decode_allocations(const json::object& object, Block& block)
{
    const json::value* list = object.if_contains("allocations");
    const std::size_t size = std::size_t{1} << (32 - block.cidr.length);
    if (!list || !list->is_array() || list->get_array().size() != size)
        return corrupt(block, "allocations are no list of " + std::to_string(size));
    for (const json::value& value : list->get_array()) {
        const auto index = as_number(value);
        if (!value.is_null() && (!index || *index >= block.attributes.size()))
            return corrupt(block, "an allocation names no attribute");
        block.allocations.push_back(
            value.is_null() ? std::nullopt : std::optional(static_cast<std::uint32_t>(*index)));
    }
    return {};
}

// An address that is neither given nor listed as free would be lost for ever: it goes to the end
// of the list. One that is both would be given twice: the block is refused.
Status decode_unallocated(const json::object& object, Block& block)
{
    std::vector<bool> listed(block.size());
    const json::value* list = object.if_contains("unallocated");
    if (list && list->is_array()) {
        for (const json::value& value : list->get_array()) {
            const auto ordinal = as_number(value);
            if (!ordinal || *ordinal >= block.size() || listed[*ordinal] ||
                block.allocations[*ordinal])
                return corrupt(block, "unallocated contradicts allocations");
            listed[*ordinal] = true;
            block.unallocated.push_back(static_cast<std::uint32_t>(*ordinal));
        }
    }
    for (std::uint32_t i = 0; i < block.size(); i++)
        if (!block.allocations[i] && !listed[i])
            block.unallocated.push_back(i);
    return {};
}

Status decode_sequences(const json::object& object, Block& block)
{
    if (const json::value* sequence = object.if_contains("sequenceNumber")) {
        const auto number = as_number(*sequence);
        if (!number)
            return corrupt(block, "sequenceNumber is no number");
        block.sequence = *number;
    }
    const json::value* map = object.if_contains("sequenceNumberForAllocation");
    if (!map || !map->is_object())
        return {};
    for (const auto& [name, value] : map->get_object()) {
        std::uint32_t ordinal = 0;
        const char* const end = name.data() + name.size();
        const auto [stop, ec] = std::from_chars(name.data(), end, ordinal);
        const auto number = as_number(value);
        if (ec != std::errc() || stop != end || ordinal >= block.size() || !number)
            return corrupt(block, "sequenceNumberForAllocation is wrong at " + std::string(name));
        block.sequence_of[ordinal] = *number;
    }
    return {};
}

json::object encode_attribute(const Attribute& attribute)
{
    json::object object;
    if (attribute.handle)
        object["handle_id"] = *attribute.handle;
    if (!attribute.secondary.empty()) {
        json::object secondary;
        for (const auto& [name, text] : attribute.secondary)
            secondary[name] = text;
        object["secondary"] = std::move(secondary);
    }
    if (!attribute.released_at.empty())
        object["releasedAt"] = attribute.released_at;
    add_other_fields(object, attribute.other);
    return object;
}

} // namespace

Result<Block> decode_block(std::string_view text, const Prefix4& cidr)
{
    Block block;
    block.cidr = cidr;
    if (cidr.length < Block::kMinLength || cidr.network() != cidr)
        return corrupt(block, "no such block size, or bits beyond it");
    auto object = parse_object(text, "block " + cidr.str());
    if (!object)
        return object.error();
    const auto* own = string_field(*object, "cidr");
    if (!own || Prefix4::parse(*own) != cidr)
        return corrupt(block, "its cidr is not that of its key");
    if (const auto* affinity = string_field(*object, "affinity"))
        block.affinity = std::string(*affinity);
    else if (const auto* host = string_field(*object, "hostAffinity"))
        block.affinity = host_affinity(std::string(*host)); // from before affinities had types
    if (const auto* claimed = string_field(*object, "affinity_claim_time"))
        block.claim_time = std::string(*claimed);
    for (const auto decode :
         {decode_attributes, decode_allocations, decode_unallocated, decode_sequences})
        if (Status ok = decode(*object, block); !ok)
            return ok.error();
    block.other =
        other_fields(*object, {"cidr", "affinity", "hostAffinity", "affinity_claim_time",
                               "allocations", "unallocated", "attributes", "sequenceNumber",
                               "sequenceNumberForAllocation", "deleted"});
    return block;
}

std::string encode_block(const Block& block)
{
    json::object object;
    object["cidr"] = block.cidr.str();
    object["affinity"] = block.affinity ? json::value(*block.affinity) : json::value(nullptr);
    if (!block.claim_time.empty())
        object["affinity_claim_time"] = block.claim_time;
    json::array allocations;
    for (const auto& index : block.allocations)
        allocations.push_back(index ? json::value(*index) : json::value(nullptr));
    object["allocations"] = std::move(allocations);
    object["unallocated"] = json::array(block.unallocated.begin(), block.unallocated.end());
    json::array attributes;
    for (const Attribute& attribute : block.attributes)
        attributes.push_back(encode_attribute(attribute));
    object["attributes"] = std::move(attributes);
    object["sequenceNumber"] = block.sequence;
    json::object sequences;
    for (const auto& [ordinal, sequence] : block.sequence_of)
        sequences[std::to_string(ordinal)] = sequence;
    object["sequenceNumberForAllocation"] = std::move(sequences);
    object["deleted"] = false;
    add_other_fields(object, block.other);
    return json::serialize(object);
}

} // namespace margay::ipam
