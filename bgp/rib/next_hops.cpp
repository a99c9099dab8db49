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
    close();
}

void NextHops::close()
{
    for (const auto& [hop, state] : hops_)
        if (state.watched)
            unwatch_(hop);
    hops_.clear();
    last_ = hops_.end();
    watched_ = 0;
    watch_ = {};
}

// A link-local one is on the link that we share with its peer, or the path is rejected for that.
bool NextHops::is_counted(const Ip& hop) const
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
    if (!is_counted(hop))
        return;
    if (find(hop) == hops_.end()) {
        last_ = hops_.emplace(hop, Hop{}).first;
        Hop& fresh = last_->second;
        fresh.watched = watched_ < kMostWatchedHops;
        if (fresh.watched) {
            ++watched_;
            fresh.reachable = watch_(hop);
        }
    }
    ++last_->second.paths;
}

void NextHops::release(const Ip& hop)
{
    if (!is_counted(hop) || find(hop) == hops_.end() || --last_->second.paths > 0)
        return;
    const bool watched = last_->second.watched;
    hops_.erase(last_);
    last_ = hops_.end();
    if (!watched)
        return;
    --watched_;
    unwatch_(hop);
}

void NextHops::count_unused(const Ip& hop, int change)
{
    if (find(hop) != hops_.end())
        last_->second.unused += static_cast<std::size_t>(change);
}

bool NextHops::is_reachable(const Ip& hop)
{
    return !is_counted(hop) || find(hop) == hops_.end() || last_->second.reachable;
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
        if (state.unused > 0)
            lost.push_back({hop, state.unused});
    return lost;
}

} // namespace margay::bgp
