// SPDX-License-Identifier: Apache-2.0
// Ipam: addresses and blocks for one node, by Calico's protocol over compare-and-swap
// (calico-facts 2), so that Margay, calicoctl and plain Calico nodes share one datastore.
//
// What keeps it right, whoever dies when:
//   - Only the compare-and-swap of a block gives or frees addresses.
//   - Affinity `pending` before the block, block before `confirmed`: a crash leaves an affinity
//     that claims nothing yet, and claim() finishes or undoes it.
//   - A handle is counted up before the block is written and down after: it may count too many,
//     never too few.
//   - A new block overlaps no existing one, of whatever size. The datastore has no transaction
//     over two blocks, so this is checked before and after the block is created, before anything
//     is given from it: of two that overlap at least one sees the other and withdraws.
// A write whose answer is lost may have happened. Nothing is assumed then: the error is returned,
// and the next call works from what is stored; release_by_handle() undoes a half-done assignment.
//
// Blocking: every call runs on the store's worker or in a program of its own, never on the
// executor. Loops end after kRetries lost races with Errc::Conflict.

#pragma once

#include "agent/ipam/block.h"
#include "agent/ipam/pools.h"
#include "agent/ipam/records.h"
#include "agent/store/kv.h"
#include "margay/clock.h"

#include <set>

namespace margay::ipam {

inline constexpr int kRetries = 100;
inline constexpr std::uint64_t kDefaultMaxBlocks = 20;
inline constexpr std::chrono::minutes kReclaimAge{1}; // younger empty blocks are about to be used

struct AssignRequest {
    Owner owner;
    std::size_t count = 1;
    Use use = Use::Workload;
    std::vector<std::string> pools{}; // names or CIDRs; empty: by selectors
    model::Labels namespace_labels{};
    std::uint64_t max_blocks = 0; // 0: as the configuration says
};

struct Assigned {
    std::vector<Ipv4> addresses;
    Status shortfall; // why there are fewer than asked for (Errc::Full)
};

class Ipam {
public:
    // `kv` and `clock` must outlive this object.
    Ipam(store::Kv& kv, std::string node, const Clock& clock);

    // From the node's own blocks, then from new ones, then borrowed from other nodes' blocks.
    Result<Assigned> auto_assign(const AssignRequest& request);
    // This very address. Exists: somebody has it. Conflict: it is in cooldown.
    Status assign(Ipv4 address, const Owner& owner, Use use);
    // All or none in each block; see ipam::release(). Returns those that were not in use.
    Result<std::vector<Ipv4>> release(const std::vector<Release>& requests);
    // False: there is no such handle.
    Result<bool> release_by_handle(const std::string& handle);

    // Claims the block for this node, or finishes or repairs an earlier claim. False: it is
    // somebody else's, or overlaps another block; then our affinity is gone as well.
    Result<bool> claim(const Prefix4& cidr);
    // Gives up a node's affinity: an empty block goes, one in use loses its owner, or the call is
    // refused (Exists) if it `must_be_empty`.
    Status release_affinity(const std::string& node, const Prefix4& cidr, bool must_be_empty);

    struct Holder {
        bool in_use = false;
        std::optional<std::string> handle{};
        std::map<std::string, std::string> attributes{};
    };
    Result<Holder> holder(Ipv4 address);
    Result<std::vector<Ipv4>> held_by(const std::string& handle);
    Result<std::vector<Pool>> pools(); // those that decode; others are in take_repairs()
    Result<model::Labels> node_labels();
    Result<std::vector<Prefix4>> own_blocks(); // by affinity, in any state

    // What was found broken and mended or skipped, for the log; empties the list.
    std::vector<std::string> take_repairs();

private:
    struct Stored {
        Block block;
        std::int64_t revision = 0;
    };
    struct Situation; // what one auto_assign() goes by

    Result<std::optional<Stored>> load(const Prefix4& cidr);
    // True: written. False: lost the race, load again.
    Result<bool> save(Stored& stored);
    Result<IpamConfig> config();
    Result<std::vector<Prefix4>> reservations();
    Result<std::vector<store::Entry>> all_blocks();
    Result<std::optional<Prefix4>> containing_block(Ipv4 address);
    void repaired(std::string what) { repairs_.push_back(std::move(what)); }
    static Error gave_up(const std::string& what); // kRetries races lost

    // claim.cpp
    enum class Step { Done, Lost, Again };
    Result<Step> claim_once(const Prefix4& cidr);
    Result<Step> make_block(const Prefix4& cidr, std::int64_t affinity_revision);
    Result<Step> confirm(const Prefix4& cidr, std::int64_t affinity_revision);
    Result<Step> withdraw(const Prefix4& cidr, std::int64_t affinity_revision);
    Result<bool> overlaps_another(const Prefix4& cidr);
    Result<Step> release_affinity_once(const std::string& node, const Prefix4& cidr,
                                       bool must_be_empty);

    // handle.cpp
    struct StoredHandle {
        Handle handle;
        std::int64_t revision = 0;
    };
    Result<std::optional<StoredHandle>> load_handle(const std::string& id);
    Status count_up(const std::string& handle, const Prefix4& cidr, std::uint64_t count);
    Status count_down(const std::string& handle, const Prefix4& cidr, std::uint64_t count);
    Status check_count(const std::string& handle, const Block& block);
    Status tidy_handle(const std::string& handle);

    // assign.cpp
    Result<Situation> survey(const AssignRequest& request);
    Status take_from_own(const AssignRequest& request, Situation& s, Assigned& result);
    Status take_from_new(const AssignRequest& request, Situation& s, Assigned& result);
    Status borrow(const AssignRequest& request, Situation& s, Assigned& result);
    Status take(const Prefix4& cidr, const AssignRequest& request, const Situation& s,
                bool check_affinity, Assigned& result);
    Result<std::optional<Prefix4>> find_or_claim(Situation& s);
    Result<std::optional<Prefix4>> find_orphan(const Situation& s,
                                               const std::vector<Block>& blocks);
    Result<std::optional<Prefix4>> reclaim(const Pool& pool, const std::vector<Block>& blocks);
    std::vector<Block> blocks_in_order(const std::vector<store::Entry>& entries, const Pool& pool);

    // release.cpp
    using Chooser = std::function<std::vector<Release>(const Block&)>;
    Result<std::vector<Ipv4>> release_in(const Prefix4& cidr, const Chooser& choose);

    store::Kv& kv_;
    std::string node_;
    const Clock& clock_;
    std::vector<std::string> repairs_;
};

} // namespace margay::ipam
