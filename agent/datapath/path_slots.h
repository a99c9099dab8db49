// SPDX-License-Identifier: Apache-2.0
// PathSlots: which slots of "paths" are taken, in runs of neighbours. spread_over(): which of a
// prefix's paths each slot of its run has.
//
// Pure.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace margay::datapath {

struct SlotRun {
    std::uint32_t first = 0; // 0: none
    std::uint32_t count = 0;

    std::uint32_t end() const { return first + count; }
    bool operator==(const SlotRun&) const = default;
};

class PathSlots {
public:
    // Slots from 1 to `slots` - 1: 0 is "none".
    explicit PathSlots(std::uint32_t slots) : taken_(slots), free_(slots - 1), none_of_(slots)
    {
        taken_[0] = true;
    }

    // That very run, of an earlier run's map. False where a part is taken or does not exist.
    bool take(SlotRun run);
    // Any `count` neighbours. The search goes round, so that what was given back rests long.
    std::optional<SlotRun> take(std::uint32_t count);
    void give_back(SlotRun run);

private:
    bool is_free(SlotRun run) const;
    void mark(SlotRun run, bool taken);

    std::vector<bool> taken_;
    std::uint32_t free_;
    std::uint32_t next_ = 1;
    std::uint32_t none_of_; // there is no free run of so many, nor of more
};

// Slots for so many paths. Each count of paths that it is good for is shared out evenly (of 12, 3 have
// 4 each and 4 have 3), and evenly again after one has gone.
std::uint32_t run_for(std::size_t paths);

inline constexpr std::uint8_t kOtherPath = 0xff;

// For each slot of a run, at most PATH_SPREAD_MAX, the index of its path among `paths` ones: comes as it
// is now, or as kOtherPath. No path has two slots more than another. A slot whose path lives keeps
// it where that allows, and the others go first to the path that has them when all live: a path that
// comes back finds the flows that it had.
void spread_over(std::span<std::uint8_t> slots, std::size_t paths);

} // namespace margay::datapath
