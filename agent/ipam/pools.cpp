// SPDX-License-Identifier: Apache-2.0
#include "agent/ipam/pools.h"

#include <algorithm>

namespace margay::ipam {
namespace {

std::uint32_t last_address(const Prefix4& cidr)
{
    const std::uint64_t size = std::uint64_t{1} << (32 - cidr.length);
    return static_cast<std::uint32_t>(cidr.network().addr.value() + size - 1);
}

bool selects(const Pool& pool, const PoolChoice& choice)
{
    if (pool.spec.manual || !pool.spec.node_selector.matches(choice.node_labels))
        return false;
    return !pool.spec.namespace_selector ||
           pool.spec.namespace_selector->matches(choice.namespace_labels);
}

bool is_named(const Pool& pool, const std::string& name)
{
    return pool.spec.name == name || pool.cidr().str() == name;
}

Result<std::vector<Pool>> named_pools(const std::vector<Pool>& all,
                                      const std::vector<std::string>& names)
{
    std::vector<Pool> chosen;
    for (const std::string& name : names) {
        const auto it =
            std::ranges::find_if(all, [&](const Pool& pool) { return is_named(pool, name); });
        if (it == all.end())
            return Error{Errc::NotFound, 0, "pool " + name + " does not exist"};
        if (!it->enabled())
            return Error{Errc::Invalid, 0, "pool " + name + " is disabled or being deleted"};
        chosen.push_back(*it);
    }
    return chosen;
}

} // namespace

std::vector<Pool> selecting_pools(const std::vector<Pool>& all, const PoolChoice& choice)
{
    std::vector<Pool> chosen;
    std::ranges::copy_if(all, std::back_inserter(chosen),
                         [&](const Pool& pool) { return pool.enabled() && selects(pool, choice); });
    return chosen;
}

Result<std::vector<Pool>> choose_pools(const std::vector<Pool>& all, const PoolChoice& choice)
{
    std::vector<Pool> chosen = selecting_pools(all, choice);
    if (!choice.names.empty()) {
        auto named = named_pools(all, choice.names);
        if (!named)
            return named.error();
        chosen = std::move(*named);
    }
    std::erase_if(chosen, [&](const Pool& pool) { return !pool.serves(choice.use); });
    std::ranges::sort(chosen, {}, [](const Pool& pool) { return pool.spec.name; });
    return chosen;
}

const Pool* find_pool(const std::vector<Pool>& pools, Ipv4 address)
{
    const auto it = std::ranges::find_if(
        pools, [&](const Pool& pool) { return pool.spec.v4() && pool.cidr().contains(address); });
    return it == pools.end() ? nullptr : &*it;
}

TakenRanges::TakenRanges(const std::vector<Prefix4>& blocks)
{
    for (const Prefix4& block : blocks)
        ranges_.push_back({block.network().addr.value(), last_address(block)});
    std::ranges::sort(ranges_, {}, &Range::first);
    std::vector<Range> merged;
    for (const Range& range : ranges_) {
        if (!merged.empty() && range.first <= merged.back().last)
            merged.back().last = std::max(merged.back().last, range.last);
        else
            merged.push_back(range);
    }
    ranges_ = std::move(merged);
}

std::optional<std::uint32_t> TakenRanges::overlap(const Prefix4& cidr) const
{
    // Merged ranges are disjoint, so their ends are in order too.
    const std::uint32_t first = cidr.network().addr.value();
    const auto it = std::ranges::lower_bound(ranges_, first, {}, &Range::last);
    if (it == ranges_.end() || it->first > last_address(cidr))
        return std::nullopt;
    return it->last;
}

BlockWalk::BlockWalk(const Prefix4& pool, int block_size, const std::string& node)
    : pool_(pool.network()), block_size_(block_size)
{
    if (block_size < pool.length || block_size > 32)
        return; // the pool is smaller than a block
    count_ = std::uint64_t{1} << (block_size - pool.length);
    start_ = fnv1_32(node) % count_;
}

std::optional<Prefix4> BlockWalk::next(const TakenRanges& taken)
{
    const std::uint64_t size = std::uint64_t{1} << (32 - block_size_);
    while (done_ < count_) {
        const std::uint64_t index = (start_ + done_) % count_;
        const std::uint64_t base = pool_.addr.value() + index * size;
        const Prefix4 block{Ipv4(static_cast<std::uint32_t>(base)),
                            static_cast<std::uint8_t>(block_size_)};
        const auto end = taken.overlap(block);
        // Over a long taken range in one step, but never past the end of the pool.
        const std::uint64_t steps = end ? (std::uint64_t{*end} - base) / size + 1 : 1;
        done_ += std::min(steps, count_ - index);
        if (!end)
            return block;
    }
    return std::nullopt;
}

std::uint64_t BlockWalk::rank(Ipv4 address) const
{
    if (count_ == 0)
        return 0;
    const std::uint64_t index = (address.value() - pool_.addr.value()) >> (32 - block_size_);
    return (index + count_ - start_) % count_;
}

std::uint32_t fnv1_32(std::string_view text)
{
    std::uint32_t hash = 2166136261u;
    for (const char c : text) {
        hash *= 16777619u;
        hash ^= static_cast<std::uint8_t>(c);
    }
    return hash;
}

} // namespace margay::ipam
