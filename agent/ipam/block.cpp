// SPDX-License-Identifier: Apache-2.0
#include "agent/ipam/block.h"

#include <algorithm>
#include <set>

namespace margay::ipam {
namespace {

constexpr std::uint32_t kUnused = UINT32_MAX;

const Attribute* attribute_of(const Block& block, std::uint32_t ordinal)
{
    const auto& index = block.allocations[ordinal];
    return index ? &block.attributes[*index] : nullptr;
}

std::uint32_t find_or_add(std::vector<Attribute>& attributes, Attribute wanted)
{
    const auto it = std::ranges::find(attributes, wanted);
    if (it != attributes.end())
        return static_cast<std::uint32_t>(it - attributes.begin());
    attributes.push_back(std::move(wanted));
    return static_cast<std::uint32_t>(attributes.size() - 1);
}

std::uint32_t owner_index(Block& block, const Owner& owner)
{
    Attribute wanted;
    if (!owner.handle.empty())
        wanted.handle = owner.handle;
    wanted.secondary = owner.attributes;
    return find_or_add(block.attributes, std::move(wanted));
}

void give(Block& block, std::uint32_t ordinal, std::uint32_t attribute)
{
    block.allocations[ordinal] = attribute;
    block.sequence_of[ordinal] = block.sequence;
}

bool released_before(const Attribute& attribute, Time now, std::chrono::seconds cooldown)
{
    if (attribute.released_at.empty())
        return false;
    if (cooldown.count() == 0)
        return true;
    // A time that cannot be read would keep the address for ever.
    const auto at = parse_rfc3339(attribute.released_at);
    return !at || *at < now - cooldown;
}

// Attributes are referred to by index, so removing one renumbers the rest.
void drop_unreferenced(Block& block)
{
    std::vector<std::uint32_t> renumbered(block.attributes.size(), kUnused);
    for (const auto& index : block.allocations)
        if (index)
            renumbered[*index] = 0;
    std::vector<Attribute> kept;
    for (std::size_t i = 0; i < renumbered.size(); i++) {
        if (renumbered[i] == kUnused)
            continue;
        renumbered[i] = static_cast<std::uint32_t>(kept.size());
        kept.push_back(std::move(block.attributes[i]));
    }
    block.attributes = std::move(kept);
    for (auto& index : block.allocations)
        if (index)
            index = renumbered[*index];
}

Status check_release(const Block& block, const Release& request)
{
    const Attribute* owner = block.in_use(request.address);
    if (!owner)
        return {};
    if (request.handle && (!owner->handle || !same_handle(*owner->handle, *request.handle)))
        return Error{Errc::Conflict, 0,
                     "release address=" + request.address.str() + ": it belongs to handle " +
                         owner->handle.value_or("(none)") + ", not " + *request.handle};
    const auto given = block.sequence_of.find(block.ordinal(request.address));
    if (request.sequence && given != block.sequence_of.end() && given->second != *request.sequence)
        return Error{Errc::Conflict, 0,
                     "release address=" + request.address.str() +
                         ": it has been given to somebody else since"};
    return {};
}

} // namespace

bool Block::empty() const
{
    return std::ranges::none_of(allocations, [](const auto& index) { return index.has_value(); });
}

const Attribute* Block::in_use(Ipv4 address) const
{
    if (!contains(address))
        return nullptr;
    const Attribute* attribute = attribute_of(*this, ordinal(address));
    return attribute && attribute->released_at.empty() ? attribute : nullptr;
}

std::string host_affinity(const std::string& node)
{
    return "host:" + node;
}

Block new_block(const Prefix4& cidr, const std::string& affinity, Time now)
{
    Block block;
    block.cidr = cidr.network();
    block.affinity = affinity;
    block.claim_time = rfc3339(now);
    block.allocations.resize(std::size_t{1} << (32 - cidr.length));
    for (std::uint32_t i = 0; i < block.allocations.size(); i++)
        block.unallocated.push_back(i);
    block.sequence = unix_nanoseconds(now);
    return block;
}

std::vector<Ipv4> assign(Block& block, std::size_t count, const Owner& owner,
                         const Reserved& reserved)
{
    std::vector<Ipv4> given;
    std::vector<std::uint32_t> left;
    std::optional<std::uint32_t> attribute;
    for (const std::uint32_t ordinal : block.unallocated) {
        const Ipv4 address = block.address(ordinal);
        if (given.size() == count || (reserved && reserved(address))) {
            left.push_back(ordinal);
            continue;
        }
        if (!attribute)
            attribute = owner_index(block, owner);
        give(block, ordinal, *attribute);
        given.push_back(address);
    }
    block.unallocated = std::move(left);
    return given;
}

Status assign_address(Block& block, Ipv4 address, const Owner& owner)
{
    const std::uint32_t ordinal = block.ordinal(address);
    if (block.in_use(address))
        return Error{Errc::Exists, 0, "assign address=" + address.str() + ": it is in use"};
    if (block.allocations[ordinal])
        return Error{Errc::Conflict, 0, "assign address=" + address.str() + ": it is in cooldown"};
    std::erase(block.unallocated, ordinal);
    give(block, ordinal, owner_index(block, owner));
    return {};
}

Result<std::vector<Ipv4>> release(Block& block, const std::vector<Release>& requests, Time now)
{
    for (const Release& request : requests)
        if (Status ok = check_release(block, request); !ok)
            return ok.error();
    std::vector<Ipv4> not_given;
    for (const Release& request : requests) {
        if (!block.in_use(request.address)) {
            not_given.push_back(request.address);
            continue;
        }
        Attribute released;
        released.released_at = rfc3339(now);
        block.allocations[block.ordinal(request.address)] =
            find_or_add(block.attributes, std::move(released));
    }
    return not_given;
}

std::vector<Ipv4> addresses_of(const Block& block, const std::string& handle)
{
    std::vector<Ipv4> found;
    for (std::uint32_t i = 0; i < block.size(); i++) {
        const Attribute* owner = block.in_use(block.address(i));
        if (owner && owner->handle && same_handle(*owner->handle, handle))
            found.push_back(block.address(i));
    }
    return found;
}

void collect_garbage(Block& block, Time now, std::chrono::seconds cooldown)
{
    for (std::uint32_t i = 0; i < block.size(); i++) {
        const Attribute* attribute = attribute_of(block, i);
        if (!attribute || !released_before(*attribute, now, cooldown))
            continue;
        block.allocations[i].reset();
        block.unallocated.push_back(i);
        block.sequence_of.erase(i);
    }
    drop_unreferenced(block);
}

bool same_handle(std::string_view a, std::string_view b)
{
    return a.substr(0, a.find('\r')) == b.substr(0, b.find('\r'));
}

} // namespace margay::ipam
