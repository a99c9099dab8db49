// SPDX-License-Identifier: Apache-2.0
// UpdateGroup: peers that are told the same, and the one stream of UPDATEs that all of them get.
//
// The group is a cursor in the table's change list. What it comes to is encoded once and given to
// every member, but for the messages about routes that the member told us itself. A member whose
// socket has no room, or who is new, or who asked for everything again, walks behind with a cursor
// of its own, is encoded for by itself, and joins the others where it meets them. So a slow peer
// costs nobody anything, and its queue is the table.
//
// For each entry the group remembers who had told us what it told: 2 octets, and nothing of what
// was told. A member that walks behind may be owed a withdrawal of what it never heard of; it gets
// it all the same, which RFC 4271 lets it ignore.
//
// A group with ADD-PATH (RFC 7911) is told all paths, and remembers each that it told: 24 octets. One
// that went stays there, without attributes, as long as a member walks behind that may know it.

#pragma once

#include "bgp/rib/export.h"
#include "bgp/wire/update.h"

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <vector>

namespace margay::bgp {

template <typename P>
class UpdateGroup {
public:
    // The attributes with which the path is passed on, or null.
    using Policy = std::function<AttributesPtr(const P&, const Path&)>;
    using HasRoom = std::function<bool(PeerId)>;
    using Deliver =
        std::function<void(PeerId, std::span<const ByteView> pieces, std::size_t messages)>;

    UpdateGroup(Rib<P>& rib, ExportView view, Policy policy);
    ~UpdateGroup();
    UpdateGroup(const UpdateGroup&) = delete;
    UpdateGroup& operator=(const UpdateGroup&) = delete;

    const ExportView& view() const { return view_; }
    // `before`: the group that it heard on this session until now.
    void join(PeerId peer, const UpdateGroup* before = nullptr);
    void leave(PeerId peer);
    bool empty() const { return members_.empty(); }
    std::size_t size() const { return members_.size(); }

    void refresh(PeerId peer); // it asks for everything again (RFC 2918)
    void policy_changed();

    // Encodes and delivers, a bounded part for everybody who has room. True: there is more that
    // could go out at once.
    bool fill(const HasRoom& has_room, const Deliver& deliver, std::size_t budget);

    // All that had changed by then.
    bool has_told(PeerId peer, std::uint64_t change) const;
    // What the group tells; a member that walks behind will have heard it.
    std::size_t advertised(PeerId peer) const;

private:
    using Table = typename Rib<P>::Table;
    using Entry = typename Table::Entry;
    using CursorId = typename Table::CursorId;
    struct Member {
        std::optional<CursorId> behind;
        // Of entries that changed up to then it knows what the group has told, or, if it is new,
        // nothing: no withdrawal is owed for them.
        std::uint64_t known_until = 0;
        // A policy has changed since it was told what it knows: it is owed withdrawals for whatever
        // is not for it, and walks alone past all that had changed by then.
        std::uint64_t alone_until = 0;
    };
    // The prefixes of one turn that have the same attributes and come from the same peer.
    struct Bucket {
        AttributesPtr attributes;
        PeerId source = kOurselves;
        std::size_t indexed_at = 0;
        std::vector<Nlri<P>> prefixes;
    };
    // Of what was told: a member may know something else, and walk past the entry's place before the
    // entry, which has moved on, is told again. Then a withdrawal too many is said.
    static constexpr std::uint16_t kUnsure = 0x8000;
    // ADD-PATH: what the group has told of an entry.
    struct ToldPath {
        AttributesPtr attributes; // null: nothing, but somebody may know it
        PathId id = 0;
        std::uint32_t audience = 0; // who was told
        std::uint32_t traits_version = 0; // of the source: what is told depends on them
        PeerId source = kOurselves;
        bool unsure = false; // as kUnsure
        bool current = false; // while the entry is looked at
    };
    // Messages up to `end`, for all, for all but a peer, or for it alone.
    struct Part {
        enum class For : std::uint8_t { All, AllBut, Only };
        std::size_t end = 0;
        std::size_t messages = 0;
        For audience = For::All;
        PeerId peer = kOurselves;

        bool is_for(PeerId member) const
        {
            return audience == For::All || (audience == For::Only) == (member == peer);
        }
    };

    bool at_end(CursorId cursor) const { return rib_.table().peek(cursor) == kNoEntry; }
    bool is_decided(CursorId cursor);
    bool has_passed(CursorId cursor, std::uint64_t change) const;
    bool meets_the_others(const Member& member) const;
    void fall_behind(Member& member, CursorId cursor);
    void doubt_what_was_told_by(const UpdateGroup& other);
    void encode(CursorId cursor, std::size_t budget, PeerId alone);
    void pass(EntryId id, bool best_is_news);
    void consider(EntryId id);
    void consider_alone(EntryId id, PeerId peer, const Member& member);
    void consider_paths(EntryId id);
    void consider_paths_alone(EntryId id, PeerId peer, const Member& member);
    void tell_path(ToldPath& known, const P& prefix, const Path& path,
                   const AttributesPtr& attributes);
    std::uint16_t& told(EntryId id);
    std::vector<ToldPath>& told_paths(EntryId id);
    std::size_t sort_told_paths(EntryId id);
    ToldPath* find_told_path(EntryId id, std::size_t sorted, PathId path);
    ToldPath& told_path(EntryId id, std::size_t sorted, PathId path, PeerId source);
    bool tells_all_paths() const { return view_.encoding.add_path; }
    bool is_owed_withdrawals(const Entry& entry, const Member& member) const
    {
        return member.alone_until > 0 || entry.changed > member.known_until;
    }
    AttributesPtr exported(const Entry& entry, const Path* path) const;
    void set_told(EntryId id, std::uint16_t by);
    void count_told(PeerId source, int change);
    void forget_unsendable(const Bucket& bucket, std::span<const Nlri<P>> rest);
    static std::size_t index_of(const AttributesPtr& attributes, PeerId source);
    Bucket& bucket(const AttributesPtr& attributes, PeerId source);
    Bucket& withdrawal(std::vector<Bucket>& of, PeerId peer);
    void write();
    void write_announced(Bucket& bucket);
    void write_withdrawn(const Bucket& bucket, Part::For audience);
    void end_part(std::size_t messages, Part::For audience, PeerId peer);
    void give(PeerId peer, const Deliver& deliver);
    bool fill_those_behind(const HasRoom& has_room, const Deliver& deliver, std::size_t budget);
    bool fill_behind(PeerId peer, Member& member, const Deliver& deliver, std::size_t budget);

    Rib<P>& rib_;
    const ExportView view_;
    Policy policy_;
    CursorId cursor_;
    std::map<PeerId, Member> members_;
    PeerId next_behind_ = 0; // where a turn stopped among those that walk behind, or the next one
    std::uint32_t audience_ = 0; // another one whenever somebody joins those that hear the group
    // By entry: 0 when nothing was told, else one more than the peer whose route it was. And kUnsure.
    std::vector<std::uint16_t> told_;
    std::vector<std::vector<ToldPath>> told_paths_; // ADD-PATH, by entry
    std::vector<std::size_t> told_from_; // how many, by peer
    std::size_t told_total_ = 0;

    // One turn's work; the memory is used again.
    std::vector<Bucket> buckets_;
    std::size_t buckets_used_ = 0;
    std::vector<std::uint32_t> bucket_index_; // hashed, one more than its place
    std::vector<Bucket> withdrawn_only_; // to the peer itself
    std::vector<Bucket> withdrawn_; // to all but the peer
    PeerId alone_ = kOurselves; // for whom, if not for all
    bool somebody_behind_ = false;
    std::size_t octets_ = 0; // about, before they are written
    Bytes attributes_; // of one bucket, as its messages have them
    Bytes bytes_;
    std::vector<Part> parts_;
    std::vector<ByteView> pieces_;
};

extern template class UpdateGroup<Prefix4>;
extern template class UpdateGroup<Prefix6>;

} // namespace margay::bgp
