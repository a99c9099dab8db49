// SPDX-License-Identifier: Apache-2.0
// Path: a peer's word about a prefix; Paths: all of them, in place while there is only one.

#pragma once

#include "bgp/wire/attribute_set.h"

#include <cstdint>
#include <memory>
#include <span>
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
            return *more_;
        return {&one_, one_.received ? 1u : 0u};
    }
    std::span<const Path> all() const { return const_cast<Paths*>(this)->all(); }
    bool empty() const { return all().empty(); }

    Path* find(PathId id)
    {
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
    // `received` must be set before the next call.
    Path& add()
    {
        if (!more_ && !one_.received)
            return one_;
        if (!more_) {
            more_ = std::make_unique<std::vector<Path>>();
            more_->push_back(std::move(one_));
            one_ = Path();
        }
        return more_->emplace_back();
    }
    void remove(Path& path)
    {
        if (!more_) {
            one_ = Path();
            return;
        }
        more_->erase(more_->begin() + (&path - more_->data()));
        if (more_->size() == 1) {
            one_ = std::move(more_->front());
            more_.reset();
        }
    }

private:
    Path one_;
    std::unique_ptr<std::vector<Path>> more_;
};

} // namespace margay::bgp
