// SPDX-License-Identifier: Apache-2.0
// Reading and writing of single objects; the protocols are in claim.cpp, assign.cpp, release.cpp.
#include "agent/ipam/ipam.h"

#include "agent/ipam/json.h"
#include "agent/ipam/stored_resources.h"

namespace margay::ipam {

Ipam::Ipam(store::Kv& kv, std::string node, const Clock& clock)
    : kv_(kv), node_(std::move(node)), clock_(clock)
{
}

Error Ipam::gave_up(const std::string& what)
{
    return Error{Errc::Conflict, 0, what + ": lost " + std::to_string(kRetries) + " races"};
}

Result<std::optional<Ipam::Stored>> Ipam::load(const Prefix4& cidr)
{
    auto entry = kv_.get(block_key(cidr));
    if (!entry)
        return entry.error();
    if (!*entry)
        return std::optional<Stored>();
    auto block = decode_block((*entry)->value, cidr);
    if (!block)
        return block.error();
    return std::optional(Stored{std::move(*block), (*entry)->mod_revision});
}

Result<bool> Ipam::save(Stored& stored)
{
    stored.block.sequence++;
    auto written =
        kv_.update(block_key(stored.block.cidr), encode_block(stored.block), stored.revision);
    if (!written)
        return written.error();
    if (written->done())
        stored.revision = written->revision;
    return written->done();
}

Result<IpamConfig> Ipam::config()
{
    const auto entry = kv_.get(kConfigKey);
    if (!entry)
        return entry.error();
    if (!*entry)
        return IpamConfig{};
    return decode_config((*entry)->value);
}

Result<std::vector<store::Entry>> Ipam::all_blocks()
{
    return kv_.list(kBlockPrefix);
}

Result<std::vector<Prefix4>> Ipam::reservations()
{
    const auto entries = kv_.list(resource_prefix("ipreservations"));
    if (!entries)
        return entries.error();
    std::vector<Prefix4> reserved;
    for (const store::Entry& entry : *entries) {
        auto cidrs = decode_reservation(entry.value, entry.key);
        if (!cidrs)
            return cidrs.error(); // giving out an address that is reserved is worse than none
        reserved.insert(reserved.end(), cidrs->begin(), cidrs->end());
    }
    return reserved;
}

Result<std::vector<Pool>> Ipam::pools()
{
    const auto entries = kv_.list(resource_prefix("ippools"));
    if (!entries)
        return entries.error();
    std::vector<Pool> pools;
    for (const store::Entry& entry : *entries) {
        auto pool = decode_pool(entry.value, entry.key);
        if (pool)
            pools.push_back(std::move(*pool));
        else
            repaired("pool skipped: " + pool.error().what);
    }
    return pools;
}

Result<model::Labels> Ipam::node_labels()
{
    const auto entry = kv_.get(resource_prefix("nodes") + node_);
    if (!entry)
        return entry.error();
    return *entry ? decode_labels((*entry)->value) : model::Labels{};
}

Result<std::vector<Prefix4>> Ipam::own_blocks()
{
    const auto entries = kv_.list(affinity_prefix(node_));
    if (!entries)
        return entries.error();
    std::vector<Prefix4> cidrs;
    for (const store::Entry& entry : *entries)
        if (const auto cidr = cidr_of_key(entry.key))
            cidrs.push_back(*cidr);
    return cidrs;
}

Result<std::optional<Prefix4>> Ipam::containing_block(Ipv4 address)
{
    const auto known = pools();
    if (!known)
        return known.error();
    if (const Pool* pool = find_pool(*known, address)) {
        const auto length = static_cast<std::uint8_t>(pool->spec.block_size);
        const Prefix4 cidr = Prefix4{address, length}.network();
        const auto entry = kv_.get(block_key(cidr));
        if (!entry)
            return entry.error();
        if (*entry)
            return std::optional(cidr);
    }
    // The pool is gone, or was made again with another block size.
    const auto entries = all_blocks();
    if (!entries)
        return entries.error();
    for (const store::Entry& entry : *entries)
        if (const auto cidr = cidr_of_key(entry.key); cidr && cidr->contains(address))
            return cidr;
    return std::optional<Prefix4>();
}

Result<Ipam::Holder> Ipam::holder(Ipv4 address)
{
    const auto cidr = containing_block(address);
    if (!cidr)
        return cidr.error();
    if (!*cidr)
        return Holder{};
    const auto stored = load(**cidr);
    if (!stored)
        return stored.error();
    const Attribute* owner = *stored ? (*stored)->block.in_use(address) : nullptr;
    return owner ? Holder{true, owner->handle, owner->secondary} : Holder{};
}

Result<std::vector<Ipv4>> Ipam::held_by(const std::string& id)
{
    std::vector<Ipv4> held;
    const auto known = load_handle(id);
    if (!known)
        return known.error();
    if (!*known)
        return held;
    for (const auto& [text, count] : (*known)->handle.blocks) {
        const auto cidr = Prefix4::parse(text);
        if (!cidr)
            continue;
        const auto stored = load(*cidr);
        if (!stored)
            return stored.error();
        if (!*stored)
            continue;
        const auto addresses = addresses_of((*stored)->block, id);
        held.insert(held.end(), addresses.begin(), addresses.end());
    }
    return held;
}

std::vector<std::string> Ipam::take_repairs()
{
    return std::exchange(repairs_, {});
}

} // namespace margay::ipam
