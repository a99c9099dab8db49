// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/path_slots.h"

#include <algorithm>
#include <array>

#include "maps/routes.h"

namespace margay::datapath {
namespace {

// How many slots each path may have yet: an even share, and one more for some.
class Shares {
public:
    Shares(std::size_t slots, std::size_t paths)
        : paths_(paths), share_(slots / paths), extra_(slots % paths)
    {
    }

    bool take(std::size_t path)
    {
        if (path >= paths_ || held_[path] > share_ || (held_[path] == share_ && extra_ == 0))
            return false;
        if (held_[path]++ == share_)
            extra_--;
        return true;
    }
    std::size_t poorest() const
    {
        const auto end = held_.begin() + static_cast<std::ptrdiff_t>(paths_);
        return static_cast<std::size_t>(std::min_element(held_.begin(), end) - held_.begin());
    }

private:
    std::array<std::size_t, PATH_SPREAD_MAX> held_{};
    std::size_t paths_;
    std::size_t share_;
    std::size_t extra_;
};

} // namespace

bool PathSlots::is_free(SlotRun run) const
{
    for (std::uint32_t slot = run.first; slot < run.end(); slot++)
        if (taken_[slot])
            return false;
    return true;
}

void PathSlots::mark(SlotRun run, bool taken)
{
    for (std::uint32_t slot = run.first; slot < run.end(); slot++)
        taken_[slot] = taken;
    free_ = taken ? free_ - run.count : free_ + run.count;
}

bool PathSlots::take(SlotRun run)
{
    const auto slots = static_cast<std::uint32_t>(taken_.size());
    if (run.first == 0 || run.first >= slots || run.count == 0 || run.count > slots - run.first ||
        !is_free(run))
        return false;
    mark(run, true);
    return true;
}

std::optional<SlotRun> PathSlots::take(std::uint32_t count)
{
    const auto slots = static_cast<std::uint32_t>(taken_.size());
    if (free_ < count || count >= none_of_)
        return std::nullopt;
    std::uint32_t found = 0;
    for (std::uint32_t tried = 0; tried < slots + count; tried++) {
        if (next_ == slots) { // a run does not go round the end
            next_ = 1;
            found = 0;
        }
        found = taken_[next_++] ? 0 : found + 1;
        if (found != count)
            continue;
        const SlotRun run{next_ - count, count};
        mark(run, true);
        return run;
    }
    none_of_ = count;
    return std::nullopt;
}

void PathSlots::give_back(SlotRun run)
{
    mark(run, false);
    none_of_ = static_cast<std::uint32_t>(taken_.size());
}

std::uint32_t run_for(std::size_t paths)
{
    for (const std::uint32_t size : {1u, 2u})
        if (paths <= size)
            return size;
    return paths <= 4 ? 12 : PATH_SPREAD_MAX;
}

void spread_over(std::span<std::uint8_t> slots, std::size_t paths)
{
    std::array<std::uint8_t, PATH_SPREAD_MAX> chosen;
    chosen.fill(kOtherPath);
    Shares shares(slots.size(), std::min(paths, slots.size()));
    const auto give = [&](std::size_t slot, std::size_t path) {
        if (chosen[slot] == kOtherPath && shares.take(path))
            chosen[slot] = static_cast<std::uint8_t>(path);
    };
    for (std::size_t slot = 0; slot < slots.size(); slot++)
        if (slots[slot] == slot % paths)
            give(slot, slots[slot]);
    for (std::size_t slot = 0; slot < slots.size(); slot++)
        give(slot, slots[slot]);
    for (std::size_t slot = 0; slot < slots.size(); slot++)
        give(slot, slot % paths);
    for (std::size_t slot = 0; slot < slots.size(); slot++)
        give(slot, shares.poorest());
    std::copy_n(chosen.begin(), slots.size(), slots.begin());
}

} // namespace margay::datapath
