// SPDX-License-Identifier: Apache-2.0
// The index from a handle to its blocks (calico-facts 1.6, 2.3, 2.5).
#include "agent/ipam/ipam.h"

namespace margay::ipam {

Result<std::optional<Ipam::StoredHandle>> Ipam::load_handle(const std::string& id)
{
    const auto entry = kv_.get(handle_key(id));
    if (!entry)
        return entry.error();
    if (!*entry)
        return std::optional<StoredHandle>();
    auto handle = decode_handle((*entry)->value, id);
    if (!handle)
        return handle.error();
    return std::optional(StoredHandle{std::move(*handle), (*entry)->mod_revision});
}

Status Ipam::count_up(const std::string& id, const Prefix4& cidr, std::uint64_t count)
{
    if (id.empty())
        return {};
    const std::string key = handle_key(id);
    for (int i = 0; i < kRetries; i++) {
        const auto stored = load_handle(id);
        if (!stored)
            return stored.error();
        Handle handle = *stored ? (*stored)->handle : Handle{};
        handle.blocks[cidr.str()] += count;
        const std::string text = encode_handle(handle);
        const auto written =
            *stored ? kv_.update(key, text, (*stored)->revision) : kv_.create(key, text);
        if (!written)
            return written.error();
        if (written->done())
            return {};
    }
    return gave_up("count handle " + id);
}

Status Ipam::count_down(const std::string& id, const Prefix4& cidr, std::uint64_t count)
{
    if (id.empty() || count == 0)
        return {};
    const std::string key = handle_key(id);
    for (int i = 0; i < kRetries; i++) {
        auto stored = load_handle(id);
        if (!stored)
            return stored.error();
        if (!*stored)
            return {};
        auto& [handle, revision] = **stored;
        const auto it = handle.blocks.find(cidr.str());
        if (it != handle.blocks.end()) {
            it->second -= std::min(it->second, count);
            if (it->second == 0)
                handle.blocks.erase(it);
        }
        const auto written = handle.blocks.empty()
                                 ? kv_.remove(key, revision)
                                 : kv_.update(key, encode_handle(handle), revision);
        if (!written)
            return written.error();
        if (written->refused != Errc::Conflict)
            return {};
    }
    return gave_up("count handle " + id);
}

// A release by handle that ran between our count_up() and the write of the block has taken the
// count away again; without it the address could never be released by handle.
Status Ipam::check_count(const std::string& id, const Block& block)
{
    if (id.empty())
        return {};
    const auto stored = load_handle(id);
    if (!stored)
        return stored.error();
    std::uint64_t counted = 0;
    if (*stored) {
        const auto& blocks = (*stored)->handle.blocks;
        const auto it = blocks.find(block.cidr.str());
        counted = it == blocks.end() ? 0 : it->second;
    }
    const std::uint64_t given = addresses_of(block, id).size();
    return counted < given ? count_up(id, block.cidr, given - counted) : Status();
}

// Entries that name no block, or none of its addresses, are noise; without others the handle goes.
Status Ipam::tidy_handle(const std::string& id)
{
    const auto stored = load_handle(id);
    if (!stored)
        return stored.error();
    if (!*stored)
        return {};
    for (const auto& [cidr, count] : (*stored)->handle.blocks)
        if (count > 0 && Prefix4::parse(cidr))
            return {};
    const auto removed = kv_.remove(handle_key(id), (*stored)->revision);
    return removed ? Status() : Status(removed.error()); // a conflict: somebody uses it again
}

} // namespace margay::ipam
