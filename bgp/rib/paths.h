// SPDX-License-Identifier: Apache-2.0
// Path: a peer's word about a prefix; Paths: all of them, in place while there is only one.

#pragma once

#include "bgp/wire/attribute_set.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

namespace margay::bgp {

// A small number, used again when nothing of the peer is left.
using PeerId = std::uint16_t;
inline constexpr PeerId kOurselves = 0;

// Of one peer's session after another; the numbers go round.
using Generation = std::uint8_t;
inline bool is_before(Generation a, Generation b)
{
    return static_cast<std::int8_t>(a - b) < 0;
}

// Why a path is no candidate. Loops come before policy: no filter can let one in.
enum class Rejection : std::uint8_t {
    None,
    AsLoop,       // RFC 4271 9.1.2
    Originator,   // RFC 4456 section 8
    ClusterLoop,  // RFC 4456 section 8
    OwnNextHop,   // RFC 4271 5.1.3
    FirstAs,      // RFC 4271 6.3
    NoUnicast,    // RFC 4271 6.3: of the prefix
    NoInterface,  // RFC 2545 section 2
    NoWay,        // RFC 4271 9.1.2: to its next hop
    ImportFilter,
};
const char* describe(Rejection rejection);

// Kept as it was received and as the import policy left it: a new policy needs nothing from the
// peer.
struct Path {
    AttributesPtr received;
    AttributesPtr accepted; // null: rejected
    PathId id = 0; // ours (PathIds): no other path to the prefix has it
    PeerId peer = kOurselves;
    Generation generation = 0; // of the peer's session
    Rejection rejected : 4 = Rejection::None;
    bool replaced : 1 = false; // since the last decision
    bool best : 1 = false;
    bool usable : 1 = false; // the best, or as good as the best but for identity
};
static_assert(sizeof(Path) == 24, "an entry of the table is a cache line with one of them");

class Paths {
public:
    std::span<Path> all()
    {
        if (more_)
            return more_->paths;
        return {&one_, one_.received ? 1u : 0u};
    }
    std::span<const Path> all() const { return const_cast<Paths*>(this)->all(); }
    bool empty() const { return all().empty(); }

    Path* find(PathId id)
    {
        if (is_indexed()) {
            const auto place = more_->places.find(id);
            return place == more_->places.end() ? nullptr : &more_->paths[place->second];
        }
        for (Path& path : all())
            if (path.id == id)
                return &path;
        return nullptr;
    }
    const Path* best() const
    {
        for (const Path& path : all())
            if (path.best)
                return &path;
        return nullptr;
    }
    std::size_t count_of(PeerId peer) const
    {
        if (is_indexed()) {
            const auto count = more_->counts.find(peer);
            return count == more_->counts.end() ? 0 : count->second;
        }
        return static_cast<std::size_t>(std::ranges::count(all(), peer, &Path::peer));
    }
    // `received` must be set before the next call.
    Path& add(PathId id, PeerId peer)
    {
        Path& path = place_for_another();
        path.id = id;
        path.peer = peer;
        if (is_indexed())
            more_->note(more_->paths.size() - 1);
        else if (more_ && more_->paths.size() > kFew)
            for (std::size_t place = 0; place < more_->paths.size(); ++place)
                more_->note(place);
        return path;
    }
    void remove(Path& path)
    {
        if (!more_) {
            one_ = Path();
            return;
        }
        if (is_indexed())
            more_->remove(path);
        else
            more_->paths.erase(more_->paths.begin() + (&path - more_->paths.data()));
        if (more_->paths.size() == 1) {
            one_ = std::move(more_->paths.front());
            more_.reset();
        }
    }

private:
    // A peer with ADD-PATH may tell thousands in one message: from here on they are found by number, and
    // their order is nobody's.
    static constexpr std::size_t kFew = 512;

    struct Many {
        std::vector<Path> paths;
        std::unordered_map<PathId, std::size_t> places; // empty while there are few
        std::unordered_map<PeerId, std::size_t> counts; // likewise

        void note(std::size_t place)
        {
            places[paths[place].id] = place;
            ++counts[paths[place].peer];
        }
        void remove(Path& path)
        {
            if (const auto count = counts.find(path.peer); --count->second == 0)
                counts.erase(count);
            const auto place = static_cast<std::size_t>(&path - paths.data());
            places.erase(path.id);
            if (place + 1 < paths.size()) {
                path = std::move(paths.back());
                places[path.id] = place;
            }
            paths.pop_back();
        }
    };

    bool is_indexed() const { return more_ && !more_->places.empty(); }
    Path& place_for_another()
    {
        if (!more_ && !one_.received)
            return one_;
        if (!more_) {
            more_ = std::make_unique<Many>();
            more_->paths.push_back(std::move(one_));
            one_ = Path();
        }
        return more_->paths.emplace_back();
    }

    Path one_;
    std::unique_ptr<Many> more_;
};

} // namespace margay::bgp
