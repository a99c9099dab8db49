// SPDX-License-Identifier: Apache-2.0
// PathIds: one number for each path to a prefix, whoever told it (RFC 7911 section 3).
//
// A peer without ADD-PATH tells one path to a prefix; its number is the peer's own. One with
// ADD-PATH numbers its paths itself, and two peers may use the same numbers; each (peer, number)
// that is in use is given one of ours. So a path is found, and told on, by one number.

#pragma once

#include "bgp/rib/paths.h"

#include <cstddef>
#include <optional>
#include <unordered_map>
#include <vector>

namespace margay::bgp {

class PathIds {
public:
    struct Name {
        PeerId peer = kOurselves;
        PathId received = 0; // the peer's number

        bool operator==(const Name&) const = default;
    };

    PathIds();

    // Nothing: no path has it.
    std::optional<PathId> find(const Name& name) const;
    // A path has it from now on, or one fewer. Those that are peers' own need no counting.
    PathId acquire(const Name& name);
    void release(PathId id);
    Name name_of(PathId id) const;

private:
    static constexpr PathId kFirst = 1u << 16; // below: the numbers of peers

    struct Hash {
        std::uint64_t key;
        std::size_t operator()(const Name& name) const;
    };
    struct Slot {
        Name name;
        std::size_t paths = 0;
    };

    std::unordered_map<Name, PathId, Hash> ids_;
    std::vector<Slot> slots_;
    std::vector<PathId> free_;
};

} // namespace margay::bgp
