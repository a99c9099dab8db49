// SPDX-License-Identifier: Apache-2.0
// NextHops: to which next hops of what peers told anything leads (RFC 4271 9.1.2).
//
// The library knows no routing table, so whoever owns the speaker says: when the first path with a next hop
// comes, and whenever that changes, until the last one is gone. The tables of both families share it.

#pragma once

#include "margay/ip.h"

#include <cstddef>
#include <functional>
#include <map>
#include <vector>

namespace margay::bgp {

// More than that at a time are not asked for, and count as reachable: peers may name as many as they like.
inline constexpr std::size_t kMostWatchedHops = 65536;

struct LostNextHop {
    Ip hop;
    std::size_t paths = 0; // that are not used for it, of both families
};

class NextHops {
public:
    // Whether anything leads there; what changes is set() from then on. Without it everything is reachable.
    using Watch = std::function<bool(const Ip&)>;
    using Unwatch = std::function<void(const Ip&)>;

    explicit NextHops(Watch watch = {}, Unwatch unwatch = {});
    ~NextHops();
    NextHops(const NextHops&) = delete;
    NextHops& operator=(const NextHops&) = delete;

    // One more path with it, or one less.
    void acquire(const Ip& hop);
    void release(const Ip& hop);
    // So many paths more are not used because nothing leads there.
    void count_unused(const Ip& hop, int change);
    bool is_reachable(const Ip& hop);
    // False: that is no news.
    bool set(const Ip& hop, bool reachable);
    std::vector<LostNextHop> lost() const; // for which paths are not used
    void close(); // nothing is watched any more

private:
    struct Hop {
        std::size_t paths = 0;
        std::size_t unused = 0; // of these
        bool watched = false;
        bool reachable = true;
    };
    using Hops = std::map<Ip, Hop>;

    bool is_counted(const Ip& hop) const;
    Hops::iterator find(const Ip& hop);

    Watch watch_;
    Unwatch unwatch_;
    Hops hops_;
    std::size_t watched_ = 0;
    Hops::iterator last_ = hops_.end(); // one path after another has the same
};

} // namespace margay::bgp
