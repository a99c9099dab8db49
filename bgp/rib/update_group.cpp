// SPDX-License-Identifier: Apache-2.0
#include "bgp/rib/update_group.h"

#include <algorithm>
#include <utility>

namespace margay::bgp {
namespace {

constexpr PeerId kNobody = 0xffff;
constexpr std::size_t kIndexSlots =
    8192; // a power of two, well above the buckets of a turn (kOctetsATurn)
constexpr std::size_t kOctetsATurn = 65536; // about; more in a socket's queue would only grow old
// About, of all that walk behind: a thousand peers that come at once are not served in one turn.
constexpr std::size_t kOctetsBehindATurn = 2 * kOctetsATurn;
constexpr std::size_t kBehind = 1024;    // what one of them costs beside its octets
constexpr std::size_t kMessageHead = 60;    // of a message, without the attributes that we keep
constexpr std::size_t kPrefixOctets = 5; // about

} // namespace

template <typename P>
UpdateGroup<P>::UpdateGroup(Rib<P>& rib, ExportView view, Policy policy)
    : rib_(rib), view_(std::move(view)), policy_(std::move(policy)),
      cursor_(rib.table().add_cursor()), bucket_index_(kIndexSlots)
{
    if (tells_all_paths())
        rib_.want_all_paths(true);
}

template <typename P>
UpdateGroup<P>::~UpdateGroup()
{
    for (const auto& [peer, member] : members_)
        if (member.behind)
            rib_.table().remove_cursor(*member.behind);
    rib_.table().remove_cursor(cursor_);
    if (tells_all_paths())
        rib_.want_all_paths(false);
}

// ---- Members -----------------------------------------------------------------------------------

template <typename P>
void UpdateGroup<P>::join(PeerId peer, const UpdateGroup* before)
{
    Member member;
    member.known_until = rib_.table().last_change();
    if (before || told_total_ > 0 || !members_.empty())
        member.behind = rib_.table().add_cursor();
    if (before) {
        member.alone_until = member.known_until;
        doubt_what_was_told_by(*before);
    }
    ++audience_;
    members_[peer] = member;
}

template <typename P>
void UpdateGroup<P>::doubt_what_was_told_by(const UpdateGroup& other)
{
    for (std::size_t id = 0; id < other.told_.size(); ++id)
        if (other.told_[id] != 0)
            told(static_cast<EntryId>(id)) |= kUnsure;
    for (EntryId id = 0; id < other.told_paths_.size(); ++id) {
        const std::size_t sorted = other.told_paths_[id].empty() ? 0 : sort_told_paths(id);
        for (const ToldPath& path : other.told_paths_[id])
            told_path(id, sorted, path.id, path.source).unsure = true;
    }
}

template <typename P>
void UpdateGroup<P>::leave(PeerId peer)
{
    const auto found = members_.find(peer);
    if (found == members_.end())
        return;
    if (found->second.behind)
        rib_.table().remove_cursor(*found->second.behind);
    members_.erase(found);
}

template <typename P>
void UpdateGroup<P>::refresh(PeerId peer)
{
    Member& member = members_.at(peer);
    if (member.behind)
        rib_.table().rewind(*member.behind);
    else
        fall_behind(member, rib_.table().add_cursor());
}

// What it knows is what the group has told so far.
template <typename P>
void UpdateGroup<P>::fall_behind(Member& member, CursorId cursor)
{
    member.behind = cursor;
    member.known_until = rib_.table().passed(cursor_);
}

template <typename P>
void UpdateGroup<P>::policy_changed()
{
    rib_.table().rewind(cursor_);
    const std::uint64_t last_change = rib_.table().last_change();
    for (auto& [peer, member] : members_) {
        if (!member.behind)
            continue;
        rib_.table().rewind(*member.behind);
        member.alone_until = last_change;
    }
}

template <typename P>
bool UpdateGroup<P>::has_told(PeerId peer, std::uint64_t change) const
{
    const auto found = members_.find(peer);
    return found != members_.end() && has_passed(found->second.behind.value_or(cursor_), change);
}

template <typename P>
std::size_t UpdateGroup<P>::advertised(PeerId peer) const
{
    return told_total_ - (peer < told_from_.size() ? told_from_[peer] : 0);
}

// ---- A turn ------------------------------------------------------------------------------------

// What the cursor stands before must not be told while it is between two decisions, nor be waited
// for: a peer that keeps changing its mind would hold up what everybody else hears.
template <typename P>
bool UpdateGroup<P>::is_decided(CursorId cursor)
{
    const EntryId next = rib_.table().peek(cursor);
    if (!rib_.table().at(next).dirty)
        return true;
    rib_.decide(next);
    return false; // it may have moved
}

template <typename P>
bool UpdateGroup<P>::has_passed(CursorId cursor, std::uint64_t change) const
{
    const EntryId next = rib_.table().peek(cursor);
    return next == kNoEntry || rib_.table().at(next).changed > change;
}

template <typename P>
bool UpdateGroup<P>::meets_the_others(const Member& member) const
{
    return rib_.table().same_place(*member.behind, cursor_) &&
           has_passed(*member.behind, member.alone_until);
}

template <typename P>
bool UpdateGroup<P>::fill(const HasRoom& has_room, const Deliver& deliver, std::size_t budget)
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

// Each has a walk and messages of its own, so they take turns.
template <typename P>
bool UpdateGroup<P>::fill_those_behind(const HasRoom& has_room, const Deliver& deliver,
                                       std::size_t budget)
{
    bool more = false;
    std::size_t spent = 0;
    auto at = members_.lower_bound(next_behind_);
    for (std::size_t left = members_.size(); left > 0; --left, ++at) {
        if (at == members_.end())
            at = members_.begin();
        auto& [peer, member] = *at;
        if (!member.behind || !has_room(peer))
            continue;
        if (spent >= kOctetsBehindATurn) {
            next_behind_ = peer;
            return true;
        }
        octets_ = 0;
        more |= fill_behind(peer, member, deliver, budget);
        spent += kBehind + octets_;
    }
    return more;
}

// True: there is more for it.
template <typename P>
bool UpdateGroup<P>::fill_behind(PeerId peer, Member& member, const Deliver& deliver,
                                 std::size_t budget)
{
    if (!meets_the_others(member)) {
        encode(*member.behind, budget, peer);
        give(peer, deliver);
    }
    if (!meets_the_others(member))
        return !at_end(*member.behind);
    rib_.table().merge_cursor(cursor_, *member.behind);
    member.behind.reset();
    member.alone_until = 0;
    ++audience_;
    return false;
}

template <typename P>
void UpdateGroup<P>::give(PeerId peer, const Deliver& deliver)
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
template <typename P>
void UpdateGroup<P>::encode(CursorId cursor, std::size_t budget, PeerId alone)
{
    buckets_used_ = 0;
    withdrawn_.clear();
    withdrawn_only_.clear();
    octets_ = 0;
    alone_ = alone;
    somebody_behind_ = std::ranges::any_of(
        members_, [](const auto& member) { return member.second.behind.has_value(); });
    for (; budget > 0 && octets_ < kOctetsATurn && !at_end(cursor); --budget) {
        octets_ += kPrefixOctets;
        if (!is_decided(cursor))
            continue;
        const EntryId next = rib_.table().peek(cursor);
        const bool news = rib_.table().best_is_news(cursor, rib_.table().at(next));
        rib_.table().advance(cursor);
        if (tells_all_paths())
            octets_ += kPrefixOctets * rib_.table().at(next).paths.all().size();
        pass(next, news);
        if (alone != kNobody && meets_the_others(members_.at(alone)))
            break;
    }
    write();
}

template <typename P>
void UpdateGroup<P>::pass(EntryId id, bool best_is_news)
{
    if (!tells_all_paths() && !best_is_news)
        return; // it moved because of a path that is not for these peers
    if (alone_ == kNobody)
        return tells_all_paths() ? consider_paths(id) : consider(id);
    const Member& member = members_.at(alone_);
    tells_all_paths() ? consider_paths_alone(id, alone_, member)
                      : consider_alone(id, alone_, member);
}

template <typename P>
AttributesPtr UpdateGroup<P>::exported(const Entry& entry, const Path* path) const
{
    if (!path || !path->accepted || !may_pass<P>(*path, rib_.traits(path->peer), view_))
        return nullptr;
    return policy_ ? policy_(entry.prefix, *path) : path->accepted;
}

// ---- The best path alone ----

template <typename P>
std::uint16_t& UpdateGroup<P>::told(EntryId id)
{
    if (id >= told_.size())
        told_.resize(std::max<std::size_t>(id + 1, told_.size() * 2));
    return told_[id];
}

template <typename P>
void UpdateGroup<P>::consider(EntryId id)
{
    const Entry& entry = rib_.table().at(id);
    const bool unsure = told(id) & kUnsure;
    const auto before = static_cast<std::uint16_t>(told_[id] & ~kUnsure);
    std::uint16_t now = 0;
    const Path* best = entry.paths.best();
    if (const AttributesPtr attributes = exported(entry, best)) {
        now = static_cast<std::uint16_t>(best->peer + 1);
        bucket(attributes, best->peer).prefixes.push_back({entry.prefix});
        if ((unsure || (before != 0 && before != now)) && members_.contains(best->peer))
            withdrawal(withdrawn_only_, best->peer).prefixes.push_back({entry.prefix});
    } else if (unsure) {
        withdrawal(withdrawn_, kNobody).prefixes.push_back({entry.prefix});
    } else if (before != 0) {
        withdrawal(withdrawn_, static_cast<PeerId>(before - 1)).prefixes.push_back({entry.prefix});
    }
    set_told(id, now);
    if (somebody_behind_ && (unsure || (before != 0 && before != now)))
        told_[id] |= kUnsure;
}

template <typename P>
void UpdateGroup<P>::consider_alone(EntryId id, PeerId peer, const Member& member)
{
    const Entry& entry = rib_.table().at(id);
    const Path* best = entry.paths.best();
    const AttributesPtr attributes = exported(entry, best);
    if (attributes && best->peer != peer) {
        bucket(attributes, best->peer).prefixes.push_back({entry.prefix});
        if (told(id) != best->peer + 1) // the others are elsewhere, or will never come here
            told_[id] |= kUnsure;
    } else if (is_owed_withdrawals(entry, member)) {
        withdrawal(withdrawn_, kNobody).prefixes.push_back({entry.prefix});
    }
}

template <typename P>
void UpdateGroup<P>::set_told(EntryId id, std::uint16_t by)
{
    const auto before = static_cast<std::uint16_t>(told(id) & ~kUnsure);
    if (before != 0)
        count_told(static_cast<PeerId>(before - 1), -1);
    if (by != 0)
        count_told(static_cast<PeerId>(by - 1), 1);
    told_[id] = by;
}

template <typename P>
void UpdateGroup<P>::count_told(PeerId source, int change)
{
    if (source >= told_from_.size())
        told_from_.resize(source + std::size_t{1});
    told_from_[source] += static_cast<std::size_t>(change);
    told_total_ += static_cast<std::size_t>(change);
}

// ---- All paths (RFC 7911) ----

template <typename P>
std::vector<typename UpdateGroup<P>::ToldPath>& UpdateGroup<P>::told_paths(EntryId id)
{
    if (id >= told_paths_.size())
        told_paths_.resize(std::max<std::size_t>(id + 1, told_paths_.size() * 2));
    return told_paths_[id];
}

// By number, so that thousands of them are found. How many they are: what is added later stands behind.
template <typename P>
std::size_t UpdateGroup<P>::sort_told_paths(EntryId id)
{
    std::vector<ToldPath>& told = told_paths(id);
    if (!std::ranges::is_sorted(told, {}, &ToldPath::id))
        std::ranges::sort(told, {}, &ToldPath::id);
    return told.size();
}

template <typename P>
typename UpdateGroup<P>::ToldPath* UpdateGroup<P>::find_told_path(EntryId id, std::size_t sorted,
                                                                  PathId path)
{
    const std::span<ToldPath> told = std::span(told_paths(id)).first(sorted);
    const auto known = std::ranges::lower_bound(told, path, {}, &ToldPath::id);
    return known != told.end() && known->id == path ? &*known : nullptr;
}

template <typename P>
typename UpdateGroup<P>::ToldPath& UpdateGroup<P>::told_path(EntryId id, std::size_t sorted,
                                                             PathId path, PeerId source)
{
    if (ToldPath* known = find_told_path(id, sorted, path))
        return *known;
    ToldPath& fresh = told_paths(id).emplace_back();
    fresh.id = path;
    fresh.source = source;
    return fresh;
}

template <typename P>
void UpdateGroup<P>::consider_paths(EntryId id)
{
    const Entry& entry = rib_.table().at(id);
    const std::size_t sorted = sort_told_paths(id);
    for (const Path& path : entry.paths.all())
        if (const AttributesPtr attributes = exported(entry, &path))
            tell_path(told_path(id, sorted, path.id, path.peer), entry.prefix, path, attributes);
    for (ToldPath& path : told_paths(id)) {
        if (std::exchange(path.current, false))
            continue;
        if (path.attributes || path.unsure)
            withdrawal(withdrawn_, path.unsure ? kNobody : path.source)
                .prefixes.push_back({entry.prefix, path.id});
        if (std::exchange(path.attributes, nullptr))
            count_told(path.source, -1);
        path.unsure = true;
    }
    if (somebody_behind_)
        return;
    std::vector<ToldPath>& told = told_paths(id);
    std::erase_if(told, [](const ToldPath& path) { return !path.attributes; });
    if (told.empty())
        std::vector<ToldPath>().swap(told); // the number will be another prefix's, with fewer paths
    for (ToldPath& path : told)
        path.unsure = false;
}

// A number may have gone from one peer's path to another's since it was told.
template <typename P>
void UpdateGroup<P>::tell_path(ToldPath& known, const P& prefix, const Path& path,
                               const AttributesPtr& attributes)
{
    known.current = true;
    const bool moved = known.attributes && known.source != path.peer;
    const std::uint32_t version = rib_.traits_version(path.peer);
    if (known.attributes == attributes && !moved && !known.unsure && known.audience == audience_ &&
        known.traits_version == version)
        return; // all of them know it
    if (known.attributes)
        count_told(known.source, -1);
    count_told(path.peer, 1);
    known.unsure |= moved;
    if (known.unsure && members_.contains(path.peer))
        withdrawal(withdrawn_only_, path.peer).prefixes.push_back({prefix, path.id});
    known.attributes = attributes;
    known.source = path.peer;
    known.audience = audience_;
    known.traits_version = version;
    bucket(attributes, path.peer).prefixes.push_back({prefix, path.id});
}

template <typename P>
void UpdateGroup<P>::consider_paths_alone(EntryId id, PeerId peer, const Member& member)
{
    const Entry& entry = rib_.table().at(id);
    const std::size_t sorted = sort_told_paths(id);
    for (const Path& path : entry.paths.all()) {
        const AttributesPtr attributes = exported(entry, &path);
        if (!attributes || path.peer == peer)
            continue;
        ToldPath& known = told_path(id, sorted, path.id, path.peer);
        known.current = true;
        known.unsure |= !known.attributes || known.source != path.peer;
        bucket(attributes, path.peer).prefixes.push_back({entry.prefix, path.id});
    }
    for (ToldPath& path : told_paths(id))
        if (!std::exchange(path.current, false) && is_owed_withdrawals(entry, member))
            withdrawal(withdrawn_, kNobody).prefixes.push_back({entry.prefix, path.id});
}

template <typename P>
std::size_t UpdateGroup<P>::index_of(const AttributesPtr& attributes, PeerId source)
{
    const auto address = reinterpret_cast<std::uintptr_t>(attributes.get());
    return ((address >> 4) * 0x9e3779b1u + source) % kIndexSlots;
}

template <typename P>
typename UpdateGroup<P>::Bucket& UpdateGroup<P>::bucket(const AttributesPtr& attributes,
                                                        PeerId source)
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

template <typename P>
typename UpdateGroup<P>::Bucket& UpdateGroup<P>::withdrawal(std::vector<Bucket>& of, PeerId peer)
{
    const auto found = std::ranges::find(of, peer, &Bucket::source);
    if (found != of.end())
        return *found;
    of.push_back({nullptr, peer, 0, {}});
    return of.back();
}

// ---- Messages ----------------------------------------------------------------------------------

template <typename P>
void UpdateGroup<P>::write()
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

template <typename P>
void UpdateGroup<P>::write_announced(Bucket& bucket)
{
    const Rewrite rewrite =
        rewrite_for<P>(*bucket.attributes, bucket.source, rib_.traits(bucket.source), view_);
    attributes_.clear();
    write_attributes(bucket.attributes->octets(), *bucket.attributes, rewrite, attributes_);
    std::span<const Nlri<P>> rest(bucket.prefixes);
    std::size_t messages = 0;
    for (; !rest.empty(); ++messages) {
        const std::size_t count = encode_announce(attributes_, rewrite, rest, bytes_);
        if (count == 0)
            break;
        rest = rest.subspan(count);
    }
    end_part(messages, Part::For::AllBut, bucket.source);
    if (!rest.empty())
        forget_unsendable(bucket, rest);
}

// Too large for a message: nobody may keep an older route, nor who walks behind and may miss this.
template <typename P>
void UpdateGroup<P>::forget_unsendable(const Bucket& bucket, std::span<const Nlri<P>> rest)
{
    EntryId sorted_of = kNoEntry;
    std::size_t sorted = 0;
    for (const Nlri<P>& nlri : rest) {
        const EntryId id = rib_.table().find(nlri.prefix);
        if (alone_ != kNobody)
            continue;
        if (!tells_all_paths()) {
            set_told(id, 0);
            if (somebody_behind_)
                told_[id] |= kUnsure;
            continue;
        }
        if (std::exchange(sorted_of, id) != id)
            sorted = sort_told_paths(id);
        ToldPath* known = find_told_path(id, sorted, nlri.path);
        if (!known)
            continue;
        if (std::exchange(known->attributes, nullptr))
            count_told(known->source, -1);
        known->unsure |= somebody_behind_;
    }
    auto& withdrawn = withdrawal(withdrawn_, bucket.source).prefixes;
    withdrawn.insert(withdrawn.end(), rest.begin(), rest.end());
}

template <typename P>
void UpdateGroup<P>::write_withdrawn(const Bucket& bucket, Part::For audience)
{
    std::span<const Nlri<P>> rest(bucket.prefixes);
    std::size_t messages = 0;
    for (; !rest.empty(); ++messages)
        rest = rest.subspan(encode_withdraw(view_.encoding, rest, bytes_));
    end_part(messages, audience, bucket.source);
}

template <typename P>
void UpdateGroup<P>::end_part(std::size_t messages, Part::For audience, PeerId peer)
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

template class UpdateGroup<Prefix4>;
template class UpdateGroup<Prefix6>;

} // namespace margay::bgp
