// SPDX-License-Identifier: Apache-2.0
// The IPAM values, which have no envelope.

#include "agent/model/json_fields.h"

namespace margay::model {
namespace {

constexpr std::uint32_t kLargestBlock = 4096; // a /20, or an IPv6 /116

// parse_key() let only masked prefixes through.
std::variant<Prefix4, Prefix6> cidr_of(const ResourceKey& key)
{
    if (const auto v4 = Prefix4::parse(key.name))
        return *v4;
    return Prefix6::parse(key.name).value_or(Prefix6());
}

std::uint32_t size_of(const std::variant<Prefix4, Prefix6>& cidr)
{
    const auto host_bits = std::visit(
        [](const auto& prefix) {
            return static_cast<int>(decltype(prefix.addr)::kBits) - prefix.length;
        },
        cidr);
    return host_bits > 12 ? 0 : std::uint32_t{1} << host_bits;
}

std::optional<std::uint32_t> as_index(const boost::json::value& value, std::size_t limit)
{
    boost::system::error_code error;
    const auto number = value.to_number<std::uint32_t>(error);
    return !error && number < limit ? std::optional(number) : std::nullopt;
}

void read_attributes(const Fields& top, IpamBlock& block)
{
    top.for_each_object("attributes", [&block](const Fields& fields) {
        IpamBlock::Attribute attribute;
        attribute.handle_id = fields.text_or_empty("handle_id");
        attribute.released_at = fields.text_or_empty("releasedAt");
        for (const auto& [key, value] : fields.labels("secondary"))
            attribute.secondary.emplace(key, value);
        block.attributes.push_back(std::move(attribute));
    });
}

void read_allocations(const Fields& top, IpamBlock& block)
{
    top.for_each("allocations", [&](const boost::json::value& value, const std::string& where) {
        std::optional<std::uint32_t> index;
        if (!value.is_null()) {
            index = as_index(value, block.attributes.size());
            if (!index)
                top.report().fail(where, "expected null or the number of an attribute");
        }
        block.allocations.push_back(index);
    });
    if (block.allocations.size() != size_of(block.cidr))
        top.fail("allocations", "expected one entry for each address of the block");
    top.for_each("unallocated", [&](const boost::json::value& value, const std::string& where) {
        const auto ordinal =
            as_index(value, std::min<std::size_t>(block.allocations.size(), kLargestBlock));
        if (ordinal)
            block.unallocated.push_back(*ordinal);
        else
            top.report().fail(where, "expected an ordinal inside the block");
    });
}

void read_sequence(const Fields& top, IpamBlock& block)
{
    block.sequence_number = top.integer("sequenceNumber", 0, UINT64_MAX).value_or(0);
    const auto sequence = top.object("sequenceNumberForAllocation");
    if (!sequence)
        return;
    for (std::uint32_t ordinal = 0; ordinal < block.allocations.size(); ++ordinal)
        if (const auto number = sequence.integer(std::to_string(ordinal), 0, UINT64_MAX))
            block.allocation_sequence.emplace(ordinal, *number);
}

} // namespace

Resource decode_ipam_block(const Document& document)
{
    const auto& top = document.top;
    IpamBlock block;
    block.cidr = cidr_of(document.key);
    if (top.text_or_empty("cidr") != document.key.name)
        top.fail("cidr", "does not fit the key");
    block.affinity = top.text("affinity");
    if (!block.affinity && top.has("hostAffinity")) // deprecated, still read
        block.affinity = "host:" + top.text_or_empty("hostAffinity");
    block.deleted = top.flag("deleted").value_or(false);
    read_attributes(top, block);
    read_allocations(top, block);
    read_sequence(top, block);
    return block;
}

// An empty value and one without a state mean confirmed.
Resource decode_block_affinity(const Document& document)
{
    static constexpr std::pair<std::string_view, AffinityState> kStates[] = {
        {"confirmed", AffinityState::Confirmed},
        {"pending", AffinityState::Pending},
        {"pendingDeletion", AffinityState::PendingDeletion},
    };
    BlockAffinity affinity;
    affinity.cidr = cidr_of(document.key);
    affinity.owner = document.key.ns;
    affinity.state = document.top.word("state", AffinityState::Confirmed, kStates);
    return affinity;
}

// The object is there, so what it does not name is false or 0.
Resource decode_ipam_config(const Document& document)
{
    IpamConfig config;
    config.strict_affinity = document.top.flag("strict_affinity").value_or(false);
    config.auto_allocate_blocks = document.top.flag("auto_allocate_blocks").value_or(false);
    config.max_blocks_per_host =
        static_cast<int>(document.top.integer("maxBlocksPerHost", 0, INT32_MAX).value_or(0));
    config.cooldown_seconds =
        static_cast<int>(document.top.integer("ipCooldownSeconds", 0, 1200).value_or(0));
    return config;
}

} // namespace margay::model
