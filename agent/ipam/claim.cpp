// SPDX-License-Identifier: Apache-2.0
// The affinity protocol (calico-facts 2.6).
//
// claim_once() looks at what is stored and takes the steps that are missing, so that a first
// claim, the continuation of one that died half-way and the repair of a damaged one are the same
// code:
//   1. our affinity exists and is pending (unless it and the block are already right)
//   2. the block exists with our affinity; if it did before, write it once, so that whoever was
//      about to delete it loses the race
//   3. it overlaps no other block
//   4. the affinity is confirmed
#include "agent/ipam/ipam.h"

namespace margay::ipam {
Result<bool> Ipam::claim(const Prefix4& cidr)
{
    for (int i = 0; i < kRetries; i++) {
        const auto step = claim_once(cidr);
        if (!step)
            return step.error();
        if (*step != Step::Again)
            return *step == Step::Done;
    }
    return gave_up("claim block=" + cidr.str());
}

Result<Ipam::Step> Ipam::claim_once(const Prefix4& cidr)
{
    const std::string key = affinity_key(node_, cidr);
    const auto entry = kv_.get(key);
    if (!entry)
        return entry.error();
    const auto stored = load(cidr);
    if (!stored)
        return stored.error();
    const bool ours = *stored && (*stored)->block.affinity == host_affinity(node_);
    if (*stored && !ours) {
        if (!*entry)
            return Step::Lost;
        repaired("affinity removed: block " + cidr.str() + " belongs to " +
                 (*stored)->block.affinity.value_or("nobody"));
        return withdraw(cidr, (*entry)->mod_revision);
    }
    Affinity affinity = *entry ? decode_affinity((*entry)->value) : Affinity{};
    if (*entry && ours && affinity.state == Affinity::State::Confirmed)
        return Step::Done;
    if (*entry)
        repaired("claim of block " + cidr.str() + " finished: it was left half-way");

    affinity.state = Affinity::State::Pending;
    const std::string text = encode_affinity(affinity);
    const auto pending =
        *entry ? kv_.update(key, text, (*entry)->mod_revision) : kv_.create(key, text);
    if (!pending)
        return pending.error();
    return pending->done() ? make_block(cidr, pending->revision) : Result<Step>(Step::Again);
}

Result<Ipam::Step> Ipam::make_block(const Prefix4& cidr, std::int64_t affinity_revision)
{
    const Block fresh = new_block(cidr, host_affinity(node_), clock_.wall());
    const auto created = kv_.create(block_key(cidr), encode_block(fresh));
    if (!created)
        return created.error();
    if (!created->done()) {
        auto stored = load(cidr);
        if (!stored)
            return stored.error();
        if (!*stored)
            return Step::Again;
        if ((*stored)->block.affinity != host_affinity(node_))
            return withdraw(cidr, affinity_revision);
        const auto touched = save(**stored);
        if (!touched)
            return touched.error();
        if (!*touched)
            return Step::Again;
    }
    const auto overlaps = overlaps_another(cidr);
    if (!overlaps)
        return overlaps.error();
    if (!*overlaps)
        return confirm(cidr, affinity_revision);
    repaired("block " + cidr.str() + " given back: it overlaps another block");
    if (Status ok = release_affinity(node_, cidr, false); !ok)
        return ok.error();
    return Step::Lost;
}

Result<Ipam::Step> Ipam::confirm(const Prefix4& cidr, std::int64_t affinity_revision)
{
    const auto confirmed =
        kv_.update(affinity_key(node_, cidr), encode_affinity(Affinity{}), affinity_revision);
    if (!confirmed)
        return confirmed.error();
    return confirmed->done() ? Step::Done : Step::Again;
}

Result<Ipam::Step> Ipam::withdraw(const Prefix4& cidr, std::int64_t affinity_revision)
{
    const auto removed = kv_.remove(affinity_key(node_, cidr), affinity_revision);
    if (!removed)
        return removed.error();
    return removed->refused == Errc::Conflict ? Step::Again : Step::Lost;
}

Result<bool> Ipam::overlaps_another(const Prefix4& cidr)
{
    const auto entries = all_blocks();
    if (!entries)
        return entries.error();
    for (const store::Entry& entry : *entries) {
        const auto other = cidr_of_key(entry.key);
        if (other && *other != cidr && other->overlaps(cidr))
            return true;
    }
    return false;
}

Status Ipam::release_affinity(const std::string& node, const Prefix4& cidr, bool must_be_empty)
{
    for (int i = 0; i < kRetries; i++) {
        const auto step = release_affinity_once(node, cidr, must_be_empty);
        if (!step)
            return step.error();
        if (*step != Step::Again)
            return {};
    }
    return gave_up("release affinity of block=" + cidr.str());
}

Result<Ipam::Step> Ipam::release_affinity_once(const std::string& node, const Prefix4& cidr,
                                               bool must_be_empty)
{
    const std::string key = affinity_key(node, cidr);
    const auto entry = kv_.get(key);
    if (!entry)
        return entry.error();
    auto stored = load(cidr);
    if (!stored)
        return stored.error();
    const bool owned = *stored && (*stored)->block.affinity == host_affinity(node);
    if (owned && must_be_empty && !(*stored)->block.empty())
        return Error{Errc::Exists, 0, "block " + cidr.str() + " is in use"};

    std::int64_t revision = 0;
    if (*entry) {
        Affinity affinity = decode_affinity((*entry)->value);
        affinity.state = Affinity::State::PendingDeletion;
        const auto marked = kv_.update(key, encode_affinity(affinity), (*entry)->mod_revision);
        if (!marked)
            return marked.error();
        if (!marked->done())
            return Step::Again;
        revision = marked->revision;
    }
    if (owned && (*stored)->block.empty()) {
        const auto removed = kv_.remove(block_key(cidr), (*stored)->revision);
        if (!removed)
            return removed.error();
        if (removed->refused == Errc::Conflict)
            return Step::Again;
    } else if (owned) {
        (*stored)->block.affinity.reset();
        const auto saved = save(**stored);
        if (!saved)
            return saved.error();
        if (!*saved)
            return Step::Again;
    }
    if (!*entry)
        return Step::Done;
    const auto removed = kv_.remove(key, revision);
    if (!removed)
        return removed.error();
    return removed->refused == Errc::Conflict ? Step::Again : Step::Done;
}

} // namespace margay::ipam
