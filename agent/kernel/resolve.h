// SPDX-License-Identifier: Apache-2.0
// Resolver: the way to other nodes, as the kernel would send: interface, next hop, source, MTU, MAC.
//
// For each watched address it keeps the answer of a route lookup (policy rules included) and the
// neighbour entry of the next hop. The kernel keeps that entry resolved by itself (NTF_MANAGED),
// so a next hop in a BPF map stays fresh without traffic. Route, link and neighbour
// events bring it up to date; only targets inside a changed prefix are looked up again.
//
// Whoever only asks whether anything leads there (watch_way()) has no neighbour kept. Of IPv6 it keeps
// the answer alone: nothing but the kernel sends there, and that asks for itself.

#pragma once

#include "agent/kernel/links.h"
#include "agent/kernel/route.h"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

namespace margay::kernel {

template <typename A>
struct PathOf {
    IfIndex ifindex = 0;
    A gateway; // zero: the target is on link
    A source; // what the kernel would choose
    std::uint32_t mtu = 0; // path MTU known to the kernel or route MTU; 0: the device's
    bool local = false; // the target is this host

    A next_hop(A target) const { return gateway.is_zero() ? target : gateway; }
    bool operator==(const PathOf&) const = default;
};
using Path = PathOf<Ipv4>;
using Path6 = PathOf<Ipv6>;

struct Neighbour {
    enum class State {
        Unknown, // not asked yet, or being resolved
        Resolved, // usable MAC
        Failed, // no answer; the kernel keeps asking
        NoArp, // the device needs no MAC (point to point)
    };
    State state = State::Unknown;
    Mac mac{};
    bool operator==(const Neighbour&) const = default;
};

template <typename A>
struct TargetOf {
    std::optional<PathOf<A>> path; // nullopt: no route; `why` says so
    std::string why;
    Neighbour neighbour;
    bool operator==(const TargetOf&) const = default;
};
using Target = TargetOf<Ipv4>;
using Target6 = TargetOf<Ipv6>;

// One lookup: what `ip route get` would say. Errors: Unavailable with ENETUNREACH and its kin.
template <typename A>
Result<PathOf<A>> lookup_path(NetlinkSocket& socket, A destination);
// What the kernel answers where nothing leads: no route, or one that forbids the way. Other errors say nothing.
bool says_no_route(int error);

template <typename A>
class ResolverOf {
public:
    using Path = PathOf<A>;
    using Target = TargetOf<A>;
    // Gets the targets whose Target changed; runs at the end of a turn, never inside watch().
    using OnChange = std::function<void(const std::vector<A>&)>;

    // Where no RouteTable tells of routes, the Resolver hears of them itself.
    enum class HearsRoutes { ByOthers, ByItself };
    ResolverOf(Executor& executor, OnChange on_change,
               HearsRoutes hears_routes = HearsRoutes::ByOthers);
    ~ResolverOf();
    ResolverOf(const ResolverOf&) = delete;
    ResolverOf& operator=(const ResolverOf&) = delete;

    // By default it hears of routes by on_route() alone: each socket that is told of a change costs whoever makes
    // it, most changes are ours, and RouteTable hears of the others anyhow.
    Status start();
    // A route to this prefix was changed, by anybody in any table.
    void on_route(const Prefix<A>& prefix);
    // Somebody lost count of what was changed.
    void on_overrun();

    // The first answer is there when watch() returns; its neighbour may still be Unknown. Each
    // watch() wants an unwatch(), each watch_way() an unwatch_way().
    const Target& watch(A target)
        requires std::is_same_v<A, Ipv4>; // MACs are for the data path
    void unwatch(A target)
        requires std::is_same_v<A, Ipv4>;
    // Without the neighbour, which the kernel is not asked to keep resolved for that.
    const Target& watch_way(A target);
    void unwatch_way(A target);
    const Target* find(A target) const;

private:
    struct HopKey {
        IfIndex ifindex;
        A address;
        auto operator<=>(const HopKey&) const = default;
    };
    struct Hop {
        Neighbour neighbour;
        std::set<A> targets;
        bool lost = false; // the kernel's entry is gone (interface down, flushed)
        bool fixed = false; // somebody made the entry permanent
    };
    struct Watched : Target {
        std::size_t watchers = 0;
        std::size_t of_neighbour = 0; // of these
    };
    struct Entry {
        Neighbour neighbour;
        bool fixed;
    };

    void on_message(const nlmsghdr* message);
    void post_turn();
    void on_neighbour(const nlmsghdr* message);
    void on_turn();
    Watched& entry_of(A target);
    void look_up(A target);
    void attach(A target, Watched& entry);
    void detach(A target, const Watched& entry);
    void manage(const HopKey& key);
    std::optional<Entry> read_entry(const HopKey& key);
    void release(const HopKey& key);
    void set(Hop& hop, const Neighbour& neighbour);
    void tell(A target);
    void deliver();

    Executor& executor_;
    OnChange on_change_;
    const HearsRoutes hears_routes_;
    std::optional<NetlinkSocket> socket_;
    std::unique_ptr<NetlinkMonitor> monitor_;
    std::map<A, Watched> targets_;
    std::map<HopKey, Hop> hops_;
    std::set<IfIndex> uplinks_; // interfaces that ever led to a target
    std::set<A> dirty_; // to be looked up at the end of the turn
    bool all_dirty_ = false;
    std::set<A> changed_; // to be told
    bool turn_posted_ = false;
    bool delivery_posted_ = false;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};
using Resolver = ResolverOf<Ipv4>;
using Resolver6 = ResolverOf<Ipv6>;

} // namespace margay::kernel
