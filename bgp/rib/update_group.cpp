// SPDX-License-Identifier: Apache-2.0
#include "bgp/rib/update_group.h"

#include <algorithm>

namespace margay::bgp {
namespace {

constexpr PeerId kNobody = 0xffff;
constexpr std::size_t kIndexSlots =
    8192; // a power of two, well above the buckets of a turn (kOctetsATurn)
constexpr std::size_t kOctetsATurn = 65536; // about; more in a socket's queue would only grow old
constexpr std::size_t kMessageHead = 60;    // of a message, without the attributes that we keep
constexpr std::size_t kPrefixOctets = 5;

} // namespace

UpdateGroup::UpdateGroup(Rib& rib, ExportView view, Policy policy)
    : rib_(rib), view_(std::move(view)), policy_(std::move(policy)),
      cursor_(rib.table().add_cursor()), bucket_index_(kIndexSlots)
{
}

UpdateGroup::~UpdateGroup()
{
    for (const auto& [peer, member] : members_)
        if (member.behind)
            rib_.table().remove_cursor(*member.behind);
    rib_.table().remove_cursor(cursor_);
}

// ---- Members -----------------------------------------------------------------------------------

void UpdateGroup::join(PeerId peer, bool heard)
{
    Member member;
    member.known_until = rib_.table().last_change();
    if (heard || told_total_ > 0 || !members_.empty())
        member.behind = rib_.table().add_cursor();
    if (heard)
        member.alone_until = member.known_until;
    members_[peer] = member;
}

void UpdateGroup::leave(PeerId peer)
{
    const auto found = members_.find(peer);
    if (found == members_.end())
        return;
    if (found->second.behind)
        rib_.table().remove_cursor(*found->second.behind);
    members_.erase(found);
}

void UpdateGroup::refresh(PeerId peer)
{
    Member& member = members_.at(peer);
    if (member.behind)
        rib_.table().rewind(*member.behind);
    else
        fall_behind(member, rib_.table().add_cursor());
}

// What it knows is what the group has told so far, after a change of policy by both of them.
void UpdateGroup::fall_behind(Member& member, Table::CursorId cursor)
{
    member.behind = cursor;
    member.known_until = rib_.table().passed(cursor_);
    member.alone_until = has_passed(cursor_, policy_walk_until_) ? 0 : policy_walk_until_;
}

void UpdateGroup::policy_changed()
{
    rib_.table().rewind(cursor_);
    policy_walk_until_ = rib_.table().last_change();
    for (auto& [peer, member] : members_) {
        if (!member.behind)
            continue;
        rib_.table().rewind(*member.behind);
        member.alone_until = policy_walk_until_;
    }
}

bool UpdateGroup::has_told(PeerId peer, std::uint64_t change) const
{
    const auto found = members_.find(peer);
    return found != members_.end() && has_passed(found->second.behind.value_or(cursor_), change);
}

std::size_t UpdateGroup::advertised(PeerId peer) const
{
    return told_total_ - (peer < told_from_.size() ? told_from_[peer] : 0);
}

// ---- A turn ------------------------------------------------------------------------------------

// What the cursor stands before must not be told while it is between two decisions, nor be waited
// for: a peer that keeps changing its mind would hold up what everybody else hears.
bool UpdateGroup::is_decided(Table::CursorId cursor)
{
    const EntryId next = rib_.table().peek(cursor);
    if (!rib_.table().at(next).dirty)
        return true;
    rib_.decide(next);
    return false; // it may have moved
}

bool UpdateGroup::has_passed(Table::CursorId cursor, std::uint64_t change) const
{
    const EntryId next = rib_.table().peek(cursor);
    return next == kNoEntry || rib_.table().at(next).changed > change;
}

bool UpdateGroup::meets_the_others(const Member& member) const
{
    return rib_.table().same_place(*member.behind, cursor_) &&
           has_passed(*member.behind, member.alone_until);
}

bool UpdateGroup::fill(const HasRoom& has_room, const Deliver& deliver, std::size_t budget)
{
    bool more = fill_those_behind(has_room, deliver, budget);
    if (at_end(cursor_))
        return more;
    std::vector<PeerId> ready;
    std::vector<Member*> without_room;
    for (auto& [peer, member] : members_) {
        if (member.behind)
            continue;
        if (has_room(peer))
            ready.push_back(peer);
        else
            without_room.push_back(&member);
    }
    // Where all walk by themselves the group goes on without an audience: they meet at the end.
    if (ready.empty() && !without_room.empty())
        return more;
    for (Member* member : without_room)
        fall_behind(*member, rib_.table().add_cursor_at(cursor_));
    encode(cursor_, budget, kNobody);
    for (const PeerId peer : ready)
        give(peer, deliver);
    return more || !at_end(cursor_);
}

bool UpdateGroup::fill_those_behind(const HasRoom& has_room, const Deliver& deliver,
                                    std::size_t budget)
{
    bool more = false;
    for (auto& [peer, member] : members_) {
        if (!member.behind || !has_room(peer))
            continue;
        if (!meets_the_others(member)) {
            encode(*member.behind, budget, peer);
            give(peer, deliver);
        }
        if (meets_the_others(member)) {
            rib_.table().remove_cursor(*member.behind);
            member.behind.reset();
            member.alone_until = 0;
            continue;
        }
        more |= !at_end(*member.behind);
    }
    return more;
}

void UpdateGroup::give(PeerId peer, const Deliver& deliver)
{
    pieces_.clear();
    std::size_t begin = 0, messages = 0;
    bool continues = false; // the piece before ends where this part begins
    for (const Part& part : parts_) {
        const ByteView piece = ByteView(bytes_).subspan(begin, part.end - begin);
        begin = part.end;
        if (!part.is_for(peer)) {
            continues = false;
            continue;
        }
        messages += part.messages;
        if (continues)
            pieces_.back() = {pieces_.back().data(), pieces_.back().size() + piece.size()};
        else
            pieces_.push_back(piece);
        continues = true;
    }
    if (!pieces_.empty())
        deliver(peer, pieces_, messages);
}

// ---- What is told ------------------------------------------------------------------------------

// Leaves messages in bytes_ and parts_.
void UpdateGroup::encode(Table::CursorId cursor, std::size_t budget, PeerId alone)
{
    buckets_used_ = 0;
    withdrawn_.clear();
    withdrawn_only_.clear();
    octets_ = 0;
    alone_ = alone;
    for (; budget > 0 && octets_ < kOctetsATurn && !at_end(cursor); --budget) {
        octets_ += kPrefixOctets;
        if (!is_decided(cursor))
            continue;
        const EntryId id = rib_.table().advance(cursor);
        if (alone == kNobody) {
            consider(id);
            continue;
        }
        const Member& member = members_.at(alone);
        consider_alone(id, alone, member);
        if (meets_the_others(member))
            break;
    }
    write();
}

AttributesPtr UpdateGroup::exported(const Table::Entry& entry, const Path*& best) const
{
    best = entry.paths.best();
    if (!best || !may_pass(*best, rib_.traits(best->peer), view_))
        return nullptr;
    return policy_ ? policy_(entry.prefix, *best) : best->accepted;
}

void UpdateGroup::consider(EntryId id)
{
    const Table::Entry& entry = rib_.table().at(id);
    if (id >= told_.size())
        told_.resize(std::max<std::size_t>(id + 1, told_.size() * 2));
    const std::uint16_t told = told_[id];
    const Path* best = nullptr;
    if (const AttributesPtr attributes = exported(entry, best)) {
        bucket(attributes, best->peer).prefixes.push_back(entry.prefix);
        if (told != 0 && told != best->peer + 1 && members_.contains(best->peer))
            withdrawal(withdrawn_only_, best->peer).prefixes.push_back(entry.prefix);
        set_told(id, static_cast<std::uint16_t>(best->peer + 1));
    } else if (told != 0) {
        withdrawal(withdrawn_, static_cast<PeerId>(told - 1)).prefixes.push_back(entry.prefix);
        set_told(id, 0);
    }
}

void UpdateGroup::consider_alone(EntryId id, PeerId peer, const Member& member)
{
    const Table::Entry& entry = rib_.table().at(id);
    const Path* best = nullptr;
    const AttributesPtr attributes = exported(entry, best);
    if (attributes && best->peer != peer)
        bucket(attributes, best->peer).prefixes.push_back(entry.prefix);
    else if (member.alone_until > 0 || entry.changed > member.known_until)
        withdrawal(withdrawn_, kNobody).prefixes.push_back(entry.prefix);
}

void UpdateGroup::set_told(EntryId id, std::uint16_t by)
{
    const auto count = [this](std::uint16_t told, std::size_t change) {
        if (told == 0)
            return;
        if (told > told_from_.size())
            told_from_.resize(told);
        told_from_[told - 1u] += change;
        told_total_ += change;
    };
    count(told_[id], static_cast<std::size_t>(-1));
    count(by, 1);
    told_[id] = by;
}

std::size_t UpdateGroup::index_of(const AttributesPtr& attributes, PeerId source)
{
    const auto address = reinterpret_cast<std::uintptr_t>(attributes.get());
    return ((address >> 4) * 0x9e3779b1u + source) % kIndexSlots;
}

UpdateGroup::Bucket& UpdateGroup::bucket(const AttributesPtr& attributes, PeerId source)
{
    const auto is_it = [&](const Bucket& b) {
        return b.attributes == attributes && b.source == source;
    };
    if (buckets_used_ > 0 && is_it(buckets_[buckets_used_ - 1]))
        return buckets_[buckets_used_ - 1];
    std::size_t at = index_of(attributes, source);
    for (; bucket_index_[at] != 0; at = (at + 1) % kIndexSlots)
        if (is_it(buckets_[bucket_index_[at] - 1u]))
            return buckets_[bucket_index_[at] - 1u];
    if (buckets_used_ == buckets_.size())
        buckets_.emplace_back();
    Bucket& fresh = buckets_[buckets_used_++];
    bucket_index_[at] = static_cast<std::uint32_t>(buckets_used_);
    fresh.indexed_at = at;
    fresh.attributes = attributes;
    fresh.source = source;
    fresh.prefixes.clear();
    octets_ += kMessageHead + attributes->octets().size();
    return fresh;
}

UpdateGroup::Bucket& UpdateGroup::withdrawal(std::vector<Bucket>& of, PeerId peer)
{
    const auto found = std::ranges::find(of, peer, &Bucket::source);
    if (found != of.end())
        return *found;
    of.push_back({nullptr, peer, 0, {}});
    return of.back();
}

// ---- Messages ----------------------------------------------------------------------------------

void UpdateGroup::write()
{
    bytes_.clear();
    parts_.clear();
    for (std::size_t i = 0; i < buckets_used_; ++i) {
        write_announced(buckets_[i]);
        buckets_[i].attributes = nullptr;
        bucket_index_[buckets_[i].indexed_at] = 0;
    }
    for (const Bucket& bucket : withdrawn_only_)
        write_withdrawn(bucket, Part::For::Only);
    for (const Bucket& bucket : withdrawn_)
        write_withdrawn(bucket, Part::For::AllBut);
}

void UpdateGroup::write_announced(Bucket& bucket)
{
    const Rewrite rewrite =
        rewrite_for(*bucket.attributes, bucket.source, rib_.traits(bucket.source), view_);
    std::span<const Prefix4> rest(bucket.prefixes);
    std::size_t messages = 0;
    for (; !rest.empty(); ++messages) {
        const std::size_t count = encode_announce(*bucket.attributes, rewrite, rest, bytes_);
        if (count == 0)
            break;
        rest = rest.subspan(count);
    }
    end_part(messages, Part::For::AllBut, bucket.source);
    if (rest.empty())
        return;
    // Too large for a message: nobody may keep an older route.
    for (const Prefix4& prefix : rest) {
        const EntryId id = rib_.table().find(prefix);
        if (alone_ == kNobody && id < told_.size())
            set_told(id, 0);
    }
    auto& withdrawn = withdrawal(withdrawn_, bucket.source).prefixes;
    withdrawn.insert(withdrawn.end(), rest.begin(), rest.end());
}

void UpdateGroup::write_withdrawn(const Bucket& bucket, Part::For audience)
{
    std::span<const Prefix4> rest(bucket.prefixes);
    std::size_t messages = 0;
    for (; !rest.empty(); ++messages)
        rest = rest.subspan(encode_withdraw(rest, bytes_));
    end_part(messages, audience, bucket.source);
}

void UpdateGroup::end_part(std::size_t messages, Part::For audience, PeerId peer)
{
    if (messages == 0)
        return;
    if (audience == Part::For::AllBut && !members_.contains(peer))
        audience = Part::For::All;
    const bool same = !parts_.empty() && parts_.back().audience == audience &&
                      (audience == Part::For::All || parts_.back().peer == peer);
    if (!same)
        parts_.push_back({0, 0, audience, peer});
    parts_.back().end = bytes_.size();
    parts_.back().messages += messages;
}

} // namespace margay::bgp
