// SPDX-License-Identifier: Apache-2.0
// The table and the groups of peers that are told of it: any history, after which everybody knows
// what he would be told today. One group hears the best paths, the other all (RFC 7911).
#include "bgp/rib/update_group.h"
#include "bgp/wire/message.h"
#include "fuzz/input.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>

namespace margay::fuzz {
namespace {

using namespace bgp;

constexpr Asn kOwn{64512};
constexpr PeerId kPeers = 8; // of these groups' members the odd ones hear all paths
constexpr std::size_t kMaxEvents = 1500;

class History {
public:
    explicit History(Input& input);
    void run();

private:
    using Group = UpdateGroup<Prefix4>;
    using Routes = std::map<Nlri<Prefix4>, AttributesPtr>;

    static ExportView view(bool all_paths);
    static PeerTraits traits(PeerId peer, std::uint8_t kind);
    static Prefix4 prefix(std::size_t number);
    AttributesPtr attributes(std::size_t value);
    bool passes(const Prefix4& prefix) const { return open_ || prefix.addr.value() % 512 == 0; }
    static bool hears_all(PeerId peer) { return peer % 2 == 1; }
    Group& group_of(PeerId peer) { return hears_all(peer) ? *all_ : *best_; }
    PeerId some_peer() { return static_cast<PeerId>(1 + input_.below(kPeers)); }

    void step();
    void session_event(PeerId peer);
    void turn_next_hop(Ip hop);
    bool fill(Group& group, std::size_t budget);
    void deliver(PeerId peer, std::span<const ByteView> pieces, std::size_t messages);
    std::size_t hear(Routes& routes, const Frame& frame, bool all_paths);
    void settle();
    static void show_difference(PeerId peer, const char* what, const Routes& these,
                                const Routes& those);
    void check(PeerId peer);
    void check_next_hops() const;

    Input& input_;
    AttributePool pool_;
    UpdateDecoder decoder_{pool_};
    std::set<Ip> lost_; // next hops that nothing leads to
    std::set<Ip> watched_;
    NextHops next_hops_{
        [this](const Ip& hop) {
            claim(watched_.insert(hop).second, "a next hop is asked for once");
            return !lost_.contains(hop);
        },
        [this](const Ip& hop) { claim(watched_.erase(hop) == 1, "what is let go was watched"); }};
    Rib<Prefix4> rib_{RibConfig{kOwn, Ipv4(99), Ipv4(99)}, &next_hops_};
    std::unique_ptr<Group> best_;
    std::unique_ptr<Group> all_;
    std::map<PeerId, Routes> heard_; // of members
    std::set<PeerId> full_;
    bool open_ = true;
};

History::History(Input& input) : input_(input)
{
    const auto policy = [this](const Prefix4& prefix, const Path& path) {
        return passes(prefix) ? path.accepted : AttributesPtr();
    };
    best_ = std::make_unique<Group>(rib_, view(false), policy);
    all_ = std::make_unique<Group>(rib_, view(true), policy);
    for (PeerId peer = 1; peer <= kPeers; ++peer) {
        rib_.add_peer(peer);
        rib_.peer_up(peer, traits(peer, input.u8()));
    }
}

ExportView History::view(bool all_paths)
{
    ExportView view;
    view.local_as = kOwn;
    view.own_next_hop = Ip(Ipv4(0x0a000001));
    view.cluster_id = Ipv4(99);
    view.client = true;
    view.encoding.add_path = all_paths;
    return view;
}

PeerTraits History::traits(PeerId peer, std::uint8_t kind)
{
    PeerTraits traits;
    traits.address = Ip(Ipv4(peer));
    traits.identifier = Ipv4(peer);
    traits.local_as = kOwn;
    traits.internal = kind & 1;
    traits.add_path = kind & 2;
    traits.client = kind & 4;
    return traits;
}

Prefix4 History::prefix(std::size_t number)
{
    return Prefix4{Ipv4(0x0b000000 + static_cast<std::uint32_t>(number << 8)), 24};
}

// Some are too large for a message, some are not for us.
AttributesPtr History::attributes(std::size_t value)
{
    Attributes attributes;
    attributes.next_hop = Ipv4(0x0c000000 + static_cast<std::uint32_t>(value % 8));
    attributes.as_path = AsPath({{PathSegment::Type::Sequence, {Asn{65001}}}});
    if (value % 16 == 9)
        attributes.others.push_back({0xc0, 100, Bytes(4090, 1)});
    if (value % 16 == 10)
        attributes.originator_id = Ipv4(99);
    if (value % 16 == 11)
        attributes.communities = {kNoAdvertise};
    return pool_.intern(attributes);
}

void History::step()
{
    const std::uint8_t event = input_.u8();
    const PeerId peer = some_peer();
    switch (event % 16) {
    case 0:
        if (!heard_.try_emplace(peer).second)
            return;
        return group_of(peer).join(peer);
    case 1:
        if (event >= 64)
            return turn_next_hop(attributes(input_.below(8))->next_hop);
        if (heard_.erase(peer) > 0)
            group_of(peer).leave(peer);
        return;
    case 2:
        if (heard_.contains(peer))
            group_of(peer).refresh(peer);
        return;
    case 3:
        if (!full_.erase(peer))
            full_.insert(peer);
        return;
    case 4:
        open_ = !open_;
        best_->policy_changed();
        return all_->policy_changed();
    case 5:
        rib_.work(1 + input_.below(8));
        return rib_.forget_changed();
    case 6:
    case 7:
        return rib_.withdraw(peer,
                             {prefix(input_.below(20)), static_cast<PathId>(input_.below(3))});
    case 8:
        fill(*best_, 1 + input_.below(4));
        return;
    case 9:
        fill(*all_, 1 + input_.below(4));
        return;
    case 10:
        return session_event(peer);
    case 11:
        if (event & 16)
            rib_.retract(prefix(input_.below(20)));
        else
            rib_.announce(prefix(input_.below(20)), attributes(input_.below(4)));
        return;
    default: {
        const Nlri<Prefix4> nlri{prefix(input_.below(20)), static_cast<PathId>(input_.below(3))};
        rib_.learn(peer, nlri, attributes(input_.u8()));
    }
    }
}

void History::session_event(PeerId peer)
{
    switch (input_.below(5)) {
    case 0:
        return rib_.drop(peer);
    case 1:
        return rib_.mark_stale(peer);
    case 2:
        return rib_.sweep(peer);
    case 3:
        return rib_.peer_up(peer, traits(peer, input_.u8()));
    default: // its number is given to another when all is forgotten
        if (heard_.erase(peer) > 0)
            group_of(peer).leave(peer);
        rib_.remove(peer);
        while (rib_.has_work())
            rib_.work(1000);
        claim(!rib_.knows(peer), "who was removed is forgotten");
        rib_.add_peer(peer);
        rib_.peer_up(peer, traits(peer, input_.u8()));
    }
}

void History::turn_next_hop(Ip hop)
{
    if (lost_.erase(hop) == 0)
        lost_.insert(hop);
    if (next_hops_.set(hop, !lost_.contains(hop)))
        rib_.next_hops_changed();
}

bool History::fill(Group& group, std::size_t budget)
{
    return group.fill([this](PeerId peer) { return !full_.contains(peer); },
                      [this](PeerId peer, std::span<const ByteView> pieces, std::size_t messages) {
                          deliver(peer, pieces, messages);
                      },
                      budget);
}

void History::deliver(PeerId peer, std::span<const ByteView> pieces, std::size_t messages)
{
    claim(heard_.contains(peer), "only members are told");
    claim(!full_.contains(peer), "nobody without room is told");
    for (const ByteView piece : pieces)
        for (ByteView rest = piece; !rest.empty(); --messages) {
            const auto frame = next_frame(rest);
            claim(std::holds_alternative<Frame>(frame), "what is told are messages");
            rest = rest.subspan(hear(heard_[peer], std::get<Frame>(frame), hears_all(peer)));
        }
    claim(messages == 0, "messages are counted");
}

std::size_t History::hear(Routes& routes, const Frame& frame, bool all_paths)
{
    WireSession session;
    session.ipv4.add_path_in = all_paths;
    claim(!decoder_.decode(frame.body, session), "what is told can be read");
    const Update& update = decoder_.update();
    claim(update.faults.empty() && !update.end_of_rib, "what is told has no fault");
    for (const Nlri<Prefix4>& nlri : update.ipv4.withdrawn)
        routes.erase(nlri);
    for (const Reach<Prefix4>& reach : update.ipv4.announced)
        for (const Nlri<Prefix4>& nlri : reach.prefixes)
            routes[nlri] = reach.attributes;
    return frame.size;
}

void History::settle()
{
    full_.clear();
    for (int turn = 0;; ++turn) {
        claim(turn < 10000, "work ends");
        rib_.work(1000);
        bool more = fill(*best_, 1000);
        more |= fill(*all_, 1000);
        rib_.forget_changed();
        if (!more && !rib_.has_work())
            return;
    }
}

void History::show_difference(PeerId peer, const char* what, const Routes& these,
                              const Routes& those)
{
    for (const auto& [nlri, attributes] : these) {
        const auto other = those.find(nlri);
        if (other == those.end() || !(other->second == attributes))
            std::fprintf(stderr, "peer %u: %s %s path %u via %s\n", peer, what,
                         nlri.prefix.str().c_str(), nlri.path, attributes->next_hop.str().c_str());
    }
}

void History::check(PeerId peer)
{
    const ExportView& to = group_of(peer).view();
    Routes expected;
    for (EntryId id = 0; id < rib_.table().end(); ++id) {
        const auto& entry = rib_.table().at(id);
        for (const Path& path : entry.paths.all()) {
            const PeerTraits& from = rib_.traits(path.peer);
            if (!path.accepted || (!hears_all(peer) && !path.best) || path.peer == peer ||
                !passes(entry.prefix) || !may_pass<Prefix4>(path, from, to))
                continue;
            const Rewrite rewrite = rewrite_for<Prefix4>(*path.accepted, path.peer, from, to);
            Bytes octets;
            write_attributes(path.accepted->octets(), *path.accepted, rewrite, octets);
            if (octets.size() + 60 > rewrite.encoding.max_message)
                continue;
            expected[{entry.prefix, hears_all(peer) ? path.id : 0}] =
                pool_.intern(rewritten(*path.accepted, rewrite));
        }
    }
    show_difference(peer, "missing", expected, heard_.at(peer));
    show_difference(peer, "stale", heard_.at(peer), expected);
    claim(expected == heard_.at(peer), "everybody knows what there is");
    claim(group_of(peer).advertised(peer) == expected.size(), "what he knows is counted");
    claim(group_of(peer).has_told(peer, rib_.table().last_change()), "he was told all");
}

void History::check_next_hops() const
{
    std::set<Ip> used;
    std::map<Ip, std::size_t> unused;
    for (EntryId id = 0; id < rib_.table().end(); ++id)
        for (const Path& path : rib_.table().at(id).paths.all()) {
            if (path.peer == kOurselves)
                continue;
            const Ip hop = path.received->next_hop;
            used.insert(hop);
            unused[hop] += path.rejected == Rejection::NoWay;
            claim(!path.accepted || !lost_.contains(hop), "something leads to what is used");
            claim(path.rejected != Rejection::NoWay || lost_.contains(hop),
                  "what something leads to is used");
        }
    for (const LostNextHop& lost : next_hops_.lost())
        claim(std::exchange(unused[lost.hop], 0) == lost.paths,
              "paths that are not used are counted");
    for (const auto& [hop, paths] : unused)
        claim(paths == 0, "all of them are");
    claim(used == watched_, "the next hops of all paths are watched, and no others");
}

void History::run()
{
    for (std::size_t i = 0; i < kMaxEvents && !input_.at_end(); ++i)
        step();
    settle();
    for (const auto& [peer, routes] : heard_)
        check(peer);
    check_next_hops();
    for (PeerId peer = 0; peer <= kPeers; ++peer) {
        std::size_t count = 0;
        for (EntryId id = 0; id < rib_.table().end(); ++id)
            for (const Path& path : rib_.table().at(id).paths.all())
                count += path.peer == peer;
        claim(count == rib_.count(peer), "paths are counted");
    }
}

} // namespace

void run_rib(Octets octets)
{
    Input input(octets);
    History(input).run();
}

} // namespace margay::fuzz
