// SPDX-License-Identifier: Apache-2.0
// Which pools an address may come from, and in which order a node looks for a free block in one.
// Pure.

#pragma once

#include "agent/model/labels.h"
#include "agent/model/resources.h"
#include "margay/ip.h"
#include "margay/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace margay::ipam {

enum class Use { Workload, Tunnel };

struct Pool {
    model::IpPool spec{};
    bool allocatable = true; // not being deleted, no condition Allocatable=False

    Prefix4 cidr() const { return spec.v4() ? *spec.v4() : Prefix4{}; }
    bool serves(Use use) const
    {
        return use == Use::Workload ? spec.for_workloads : spec.for_tunnels;
    }
    // New addresses may come from it.
    bool enabled() const { return spec.v4() && !spec.disabled && allocatable; }
};

struct PoolChoice {
    Use use = Use::Workload;
    std::vector<std::string> names{}; // names or CIDRs; empty: by selectors
    model::Labels node_labels{};
    model::Labels namespace_labels{};
};

// Pools that select this node and namespace, whatever their use.
std::vector<Pool> selecting_pools(const std::vector<Pool>& all, const PoolChoice& choice);
// In name order. Pools that are named skip selectors and assignmentMode; one that does not exist
// or is disabled is an error.
Result<std::vector<Pool>> choose_pools(const std::vector<Pool>& all, const PoolChoice& choice);

// The pool that holds the address, enabled or not.
const Pool* find_pool(const std::vector<Pool>& pools, Ipv4 address);

// Address ranges that are taken by blocks of any size.
class TakenRanges {
public:
    explicit TakenRanges(const std::vector<Prefix4>& blocks);
    // The end (last address) of a range that overlaps `cidr`, if there is one.
    std::optional<std::uint32_t> overlap(const Prefix4& cidr) const;

private:
    struct Range {
        std::uint32_t first;
        std::uint32_t last;
    };
    std::vector<Range> ranges_; // sorted, merged
};

// Walks the blocks of a pool once around, from a start that depends on the node's name, so that
// nodes that start together try different blocks first.
class BlockWalk {
public:
    BlockWalk(const Prefix4& pool, int block_size, const std::string& node);
    // The next block that overlaps nothing taken.
    std::optional<Prefix4> next(const TakenRanges& taken);
    // Where an address comes in the order of this walk.
    std::uint64_t rank(Ipv4 address) const;

private:
    Prefix4 pool_;
    int block_size_;
    std::uint64_t count_ = 0; // blocks in the pool
    std::uint64_t start_ = 0;
    std::uint64_t done_ = 0;
};

std::uint32_t fnv1_32(std::string_view text);

} // namespace margay::ipam
