// SPDX-License-Identifier: Apache-2.0
// Where addresses come from, in this order (calico-facts 2.7): own blocks, new blocks up to the
// limit, other nodes' blocks. A limit that is reached ends the search: it is not evaded by
// borrowing.
#include "agent/ipam/ipam.h"

#include <algorithm>

namespace margay::ipam {
namespace {

Error full(const std::string& why)
{
    return Error{Errc::Full, 0, why};
}

std::uint64_t block_limit(std::uint64_t requested, std::uint64_t configured)
{
    if (requested == 0 && configured == 0)
        return kDefaultMaxBlocks;
    if (requested == 0 || configured == 0)
        return std::max(requested, configured);
    return std::min(requested, configured);
}

bool inside_any(const std::vector<Pool>& pools, const Prefix4& cidr)
{
    return std::ranges::any_of(pools, [&](const Pool& pool) { return pool.cidr().contains(cidr); });
}

} // namespace

struct Ipam::Situation {
    IpamConfig config;
    std::vector<Prefix4> reserved;
    std::vector<Pool> pools;     // to take from, in order
    std::vector<Pool> selecting; // all that select this node, for any use
    std::vector<Prefix4> own;    // our blocks inside `pools`

    bool is_reserved(Ipv4 address) const
    {
        return std::ranges::any_of(reserved,
                                   [&](const Prefix4& cidr) { return cidr.contains(address); });
    }
};

Result<Assigned> Ipam::auto_assign(const AssignRequest& request)
{
    auto situation = survey(request);
    if (!situation)
        return situation.error();
    Assigned result;
    if (situation->pools.empty()) {
        result.shortfall = full("no enabled pool is meant for this node and use");
        return result;
    }
    for (const auto source : {&Ipam::take_from_own, &Ipam::take_from_new, &Ipam::borrow}) {
        const Status ok = (this->*source)(request, *situation, result);
        if (!ok && ok.error().code == Errc::Full) {
            result.shortfall = ok;
            return result;
        }
        // What was taken before the failure stays with its handle and is released by it.
        if (!ok)
            return ok.error();
        if (result.addresses.size() == request.count)
            return result;
    }
    result.shortfall = full("the pools have no free address");
    return result;
}

Result<Ipam::Situation> Ipam::survey(const AssignRequest& request)
{
    Situation s;
    auto settings = config();
    if (!settings)
        return settings.error();
    s.config = *settings;
    auto reserved = reservations();
    if (!reserved)
        return reserved.error();
    s.reserved = std::move(*reserved);
    auto labels = node_labels();
    if (!labels)
        return labels.error();
    const auto all = pools();
    if (!all)
        return all.error();
    const PoolChoice choice{request.use, request.pools, std::move(*labels),
                            request.namespace_labels};
    s.selecting = selecting_pools(*all, choice);
    auto chosen = choose_pools(*all, choice);
    if (!chosen)
        return chosen.error();
    s.pools = std::move(*chosen);
    return s;
}

Status Ipam::take_from_own(const AssignRequest& request, Situation& s, Assigned& result)
{
    const auto blocks = own_blocks();
    if (!blocks)
        return blocks.error();
    for (const Prefix4& cidr : *blocks) {
        if (!inside_any(s.pools, cidr)) {
            // A block that no pool gives to this node any more goes back when it is empty.
            if (request.pools.empty() && !inside_any(s.selecting, cidr))
                if (Status ok = release_affinity(node_, cidr, true);
                    !ok && ok.error().code == Errc::Unavailable)
                    return ok;
            continue;
        }
        if (result.addresses.size() == request.count) {
            s.own.push_back(cidr);
            continue;
        }
        const auto claimed = claim(cidr);
        if (!claimed && claimed.error().code == Errc::Invalid) {
            repaired("block skipped: " + claimed.error().what);
            continue;
        }
        if (!claimed)
            return claimed.error();
        if (!*claimed)
            continue;
        s.own.push_back(cidr);
        if (Status ok = take(cidr, request, s, s.config.strict_affinity, result); !ok)
            return ok;
    }
    return {};
}

Status Ipam::take_from_new(const AssignRequest& request, Situation& s, Assigned& result)
{
    const std::uint64_t limit = block_limit(request.max_blocks, s.config.max_blocks_per_host);
    while (result.addresses.size() < request.count) {
        if (s.own.size() >= limit)
            return full("this node has " + std::to_string(s.own.size()) + " blocks, the limit is " +
                        std::to_string(limit));
        if (!s.config.auto_allocate_blocks)
            return full("auto_allocate_blocks is false: no new block may be claimed");
        const auto cidr = find_or_claim(s);
        if (!cidr)
            return cidr.error();
        if (!*cidr)
            return {};
        s.own.push_back(**cidr);
        if (Status ok = take(**cidr, request, s, s.config.strict_affinity, result); !ok)
            return ok;
    }
    return {};
}

Status Ipam::borrow(const AssignRequest& request, Situation& s, Assigned& result)
{
    if (s.config.strict_affinity)
        return {};
    const auto entries = all_blocks();
    if (!entries)
        return entries.error();
    for (const Pool& pool : s.pools) {
        for (const Block& block : blocks_in_order(*entries, pool)) {
            if (result.addresses.size() == request.count)
                return {};
            if (block.unallocated.empty())
                continue;
            if (Status ok = take(block.cidr, request, s, false, result); !ok)
                return ok;
        }
    }
    return {};
}

Status Ipam::take(const Prefix4& cidr, const AssignRequest& request, const Situation& s,
                  bool check_affinity, Assigned& result)
{
    for (int i = 0; i < kRetries; i++) {
        auto stored = load(cidr);
        if (!stored)
            return stored.error();
        if (!*stored)
            return {};
        Block& block = (*stored)->block;
        if (check_affinity && block.affinity != host_affinity(node_))
            return {};
        collect_garbage(block, clock_.wall(), s.config.cooldown);
        const auto given =
            ipam::assign(block, request.count - result.addresses.size(), request.owner,
                         [&](Ipv4 address) { return s.is_reserved(address); });
        if (given.empty())
            return {};
        if (Status ok = count_up(request.owner.handle, cidr, given.size()); !ok)
            return ok;
        const auto saved = save(**stored);
        if (!saved)
            return saved.error();
        if (*saved) {
            result.addresses.insert(result.addresses.end(), given.begin(), given.end());
            return check_count(request.owner.handle, block);
        }
        if (Status ok = count_down(request.owner.handle, cidr, given.size()); !ok)
            return ok;
    }
    return gave_up("assign in block " + cidr.str());
}

std::vector<Block> Ipam::blocks_in_order(const std::vector<store::Entry>& entries, const Pool& pool)
{
    std::vector<Block> blocks;
    for (const store::Entry& entry : entries) {
        const auto cidr = cidr_of_key(entry.key);
        if (!cidr || !pool.cidr().contains(*cidr))
            continue;
        if (auto block = decode_block(entry.value, *cidr))
            blocks.push_back(std::move(*block));
    }
    const BlockWalk walk(pool.cidr(), pool.spec.block_size, node_);
    std::ranges::stable_sort(blocks, {},
                             [&](const Block& block) { return walk.rank(block.cidr.addr); });
    return blocks;
}

Result<std::optional<Prefix4>> Ipam::find_or_claim(Situation& s)
{
    const auto entries = all_blocks();
    if (!entries)
        return entries.error();
    std::vector<Prefix4> cidrs;
    for (const store::Entry& entry : *entries)
        if (const auto cidr = cidr_of_key(entry.key))
            cidrs.push_back(*cidr);
    const TakenRanges taken(cidrs);
    for (const Pool& pool : s.pools) {
        const auto blocks = blocks_in_order(*entries, pool);
        const auto orphan = find_orphan(s, blocks);
        if (!orphan || *orphan)
            return orphan;
        BlockWalk walk(pool.cidr(), pool.spec.block_size, node_);
        while (const auto cidr = walk.next(taken)) {
            const auto claimed = claim(*cidr);
            if (!claimed)
                return claimed.error();
            if (*claimed)
                return cidr;
        }
        const auto reclaimed = reclaim(pool, blocks);
        if (!reclaimed || *reclaimed)
            return reclaimed;
    }
    return std::optional<Prefix4>();
}

// A block of ours whose affinity was lost: claim() makes it again.
Result<std::optional<Prefix4>> Ipam::find_orphan(const Situation& s,
                                                 const std::vector<Block>& blocks)
{
    for (const Block& block : blocks) {
        if (block.affinity != host_affinity(node_) || block.unallocated.empty() ||
            std::ranges::find(s.own, block.cidr) != s.own.end())
            continue;
        const auto claimed = claim(block.cidr);
        if (!claimed)
            return claimed.error();
        if (*claimed)
            return std::optional(block.cidr);
    }
    return std::optional<Prefix4>();
}

// The pool has no free block left: takes over one that another node claimed and does not use.
Result<std::optional<Prefix4>> Ipam::reclaim(const Pool& pool, const std::vector<Block>& blocks)
{
    const Time youngest = clock_.wall() - kReclaimAge;
    for (const Block& block : blocks) {
        if (!block.affinity || !block.affinity->starts_with("host:") || !block.empty() ||
            block.affinity == host_affinity(node_) || block.cidr.length != pool.spec.block_size)
            continue;
        const auto claimed_at = parse_rfc3339(block.claim_time);
        if (claimed_at && *claimed_at > youngest)
            continue;
        const std::string owner = block.affinity->substr(5);
        const Status released = release_affinity(owner, block.cidr, true);
        if (!released && released.error().code == Errc::Exists)
            continue; // in use since
        if (!released)
            return released.error();
        const auto claimed = claim(block.cidr);
        if (!claimed)
            return claimed.error();
        if (!*claimed)
            continue;
        repaired("block " + block.cidr.str() + " taken over from " + owner + ": it was empty");
        return std::optional(block.cidr);
    }
    return std::optional<Prefix4>();
}

Status Ipam::assign(Ipv4 address, const Owner& owner, Use use)
{
    const auto settings = config();
    if (!settings)
        return settings.error();
    const auto all = pools();
    if (!all)
        return all.error();
    const Pool* pool = find_pool(*all, address);
    if (!pool || !pool->enabled() || !pool->serves(use))
        return Error{Errc::Invalid, 0,
                     "assign address=" + address.str() + ": no enabled pool holds it for this use"};
    for (int i = 0; i < kRetries; i++) {
        auto cidr = containing_block(address);
        if (!cidr)
            return cidr.error();
        if (!*cidr) {
            const auto length = static_cast<std::uint8_t>(pool->spec.block_size);
            const auto claimed = claim(Prefix4{address, length}.network());
            if (!claimed)
                return claimed.error();
            continue; // ours now, or somebody was faster
        }
        auto stored = load(**cidr);
        if (!stored)
            return stored.error();
        if (!*stored)
            continue;
        Block& block = (*stored)->block;
        if (settings->strict_affinity && block.affinity != host_affinity(node_))
            return Error{Errc::Denied, 0,
                         "assign address=" + address.str() + ": its block belongs to " +
                             block.affinity.value_or("nobody")};
        collect_garbage(block, clock_.wall(), settings->cooldown);
        if (Status ok = assign_address(block, address, owner); !ok)
            return ok;
        if (Status ok = count_up(owner.handle, **cidr, 1); !ok)
            return ok;
        const auto saved = save(**stored);
        if (!saved)
            return saved.error();
        if (*saved)
            return check_count(owner.handle, block);
        if (Status ok = count_down(owner.handle, **cidr, 1); !ok)
            return ok;
    }
    return gave_up("assign address=" + address.str());
}

} // namespace margay::ipam
