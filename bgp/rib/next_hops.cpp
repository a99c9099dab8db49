// SPDX-License-Identifier: Apache-2.0
#include "bgp/rib/next_hops.h"

#include <utility>

namespace margay::bgp {

NextHops::NextHops(Watch watch, Unwatch unwatch)
    : watch_(std::move(watch)), unwatch_(std::move(unwatch))
{
}

NextHops::~NextHops()
{
    for (const auto& [hop, state] : hops_)
        unwatch_(hop);
}

// A link-local one is on the link that we share with its peer, or the path is rejected for that.
bool NextHops::is_watched(const Ip& hop) const
{
    return watch_ && !hop.is_link_local6();
}

NextHops::Hops::iterator NextHops::find(const Ip& hop)
{
    if (last_ == hops_.end() || last_->first != hop)
        last_ = hops_.find(hop);
    return last_;
}

void NextHops::acquire(const Ip& hop)
{
    if (!is_watched(hop))
        return;
    if (find(hop) == hops_.end()) {
        if (hops_.size() == kMostWatchedHops)
            return;
        last_ = hops_.emplace(hop, Hop{0, watch_(hop)}).first;
    }
    ++last_->second.paths;
}

void NextHops::release(const Ip& hop)
{
    if (!is_watched(hop) || find(hop) == hops_.end() || --last_->second.paths > 0)
        return;
    hops_.erase(last_);
    last_ = hops_.end();
    unwatch_(hop);
}

bool NextHops::is_reachable(const Ip& hop)
{
    return !is_watched(hop) || find(hop) == hops_.end() || last_->second.reachable;
}

bool NextHops::set(const Ip& hop, bool reachable)
{
    return find(hop) != hops_.end() &&
           std::exchange(last_->second.reachable, reachable) != reachable;
}

std::vector<LostNextHop> NextHops::lost() const
{
    std::vector<LostNextHop> lost;
    for (const auto& [hop, state] : hops_)
        if (!state.reachable)
            lost.push_back({hop, state.paths});
    return lost;
}

} // namespace margay::bgp
