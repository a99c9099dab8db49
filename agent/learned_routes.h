// SPDX-License-Identifier: Apache-2.0
// LearnedRoutes: the IPv6 prefixes that BGP learned, as routes of the kernel.
//
// BGP alone knows them, and the kernel alone uses them: IPv6 has no blocks of nodes, no tunnel and no
// data path with which they would have to be joined (routing/join.h). Many prefixes share few ways:
// next hops are watched by way, and a way is planned once, and again when its next hops have news.
//
// Pure: the kernel is what it is given.

#pragma once

#include "agent/kernel/resolve.h"
#include "agent/kernel/route.h"
#include "bgp/speaker/types.h"
#include "margay/interner.h"

#include <boost/unordered/unordered_flat_map.hpp>

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

namespace margay {

class LearnedRoutes {
public:
    struct Kernel {
        // A next hop, before it is first asked for and after the last time; then what is known of it.
        std::function<void(Ipv6)> watch;
        std::function<void(Ipv6)> unwatch;
        std::function<const kernel::Target6*(Ipv6)> find;
        std::function<void(kernel::Route6)> want;
        std::function<void(const kernel::RouteKey6&)> unwant;
    };
    explicit LearnedRoutes(Kernel kernel) : kernel_(std::move(kernel)) {}

    void learn(std::span<const bgp::RouteChange6> changes);
    // A new speaker begins: what was learned stays until it has settled, then goes unless told again.
    void begin_relearning();
    void set_settled();
    // There is news of these next hops.
    void set_due(std::span<const Ipv6> hops);

    // Hands over what the kernel shall have for at most so many prefixes; the others are for the next
    // call.
    void apply(std::size_t budget);
    bool pending() const { return !due_.empty(); }

    std::size_t size() const { return prefixes_.size(); }
    // For people: by which next hops each prefix is in the kernel; none: nothing leads to them.
    std::map<Prefix6, kernel::NextHops6> list() const;

private:
    struct Hop {
        Ipv6 gateway;
        kernel::IfIndex interface = 0; // by which a link-local address is meant; 0: none is known
        std::optional<Ipv6> link_local;
        auto operator<=>(const Hop&) const = default;
    };
    struct Way {
        std::vector<Hop> hops; // sorted, not empty
        std::uint32_t metric = 0;
        bool operator==(const Way&) const = default;
    };
    struct HashOf {
        std::size_t operator()(const Way& way) const;
    };
    using WayPtr = std::shared_ptr<const Way>;
    struct Use {
        std::size_t prefixes = 0;
        kernel::NextHops6 hops; // in the kernel's words
    };
    struct Learned {
        WayPtr way; // null: withdrawn
        std::uint32_t metric = 0; // of the route that is wanted; 0: none is
        bool due = false;
        bool stale = false; // learned from a speaker before this one
    };

    WayPtr way_of(const bgp::RouteChange6& change);
    void set_way(const Prefix6& prefix, Learned& learned, WayPtr way);
    void use(const WayPtr& way);
    void release(const WayPtr& way);
    void set_due(const Prefix6& prefix, Learned& learned);
    void hand_over(const Prefix6& prefix, Learned& learned);
    std::optional<kernel::NextHop6> next_hop(const Hop& hop) const;
    kernel::NextHops6 next_hops(const Way& way) const;

    Kernel kernel_;
    boost::unordered_flat_map<Prefix6, Learned, std::hash<Prefix6>> prefixes_;
    std::deque<Prefix6> due_;
    Interner<Way, HashOf> ways_;
    std::unordered_map<WayPtr, Use> uses_;
    std::map<Ipv6, std::size_t> watched_; // by how many ways
    bool relearning_ = false;
};

} // namespace margay
