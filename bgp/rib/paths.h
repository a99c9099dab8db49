// SPDX-License-Identifier: Apache-2.0
// Path: one peer's word about one prefix; Paths: all of them, in place while there is only one.

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

// Why a path is no candidate. Loops come before policy: no filter can let one in.
enum class Rejection : std::uint8_t {
    None,
    AsLoop,       // RFC 4271 9.1.2
    Originator,   // RFC 4456 section 8
    ClusterLoop,  // RFC 4456 section 8
    OwnNextHop,   // RFC 4271 5.1.3
    ImportFilter,
};
const char* describe(Rejection rejection);

// Kept as it was received and as the import policy left it: a new policy needs nothing from the
// peer.
struct Path {
    AttributesPtr received;
    AttributesPtr accepted; // null: rejected
    PeerId peer = kOurselves;
    std::uint16_t generation = 0; // of the peer's session
    Rejection rejected = Rejection::None;
    bool replaced = false; // since the last decision
    bool best = false;
    bool usable = false; // the best, or as good as the best but for identity
};

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

    Path* find(PeerId peer)
    {
        for (Path& path : all())
            if (path.peer == peer)
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
            one_ = {};
        }
        return more_->emplace_back();
    }
    void remove(Path& path)
    {
        if (!more_) {
            one_ = {};
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
