// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/resolve.h"

#include "agent/kernel/attributes.h"
#include "agent/kernel/neighbours.h"

#include <boost/asio/post.hpp>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include <cerrno>
#include <utility>

namespace margay::kernel {
namespace {

constexpr std::size_t kLookupsATurn = 500; // of some 10 us each
constexpr std::uint16_t kUsable = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT;

template <typename A>
PathOf<A> parse_path(const nlmsghdr* message)
{
    PathOf<A> path;
    const auto* header = fixed_header<rtmsg>(message);
    if (!header)
        return path;
    const Attributes attributes(message, sizeof(*header));
    path.ifindex = attributes.u32(RTA_OIF).value_or(0);
    path.gateway = attributes.address<A>(RTA_GATEWAY).value_or(A{});
    path.source = attributes.address<A>(RTA_PREFSRC).value_or(A{});
    if (const nlattr* metrics = attributes.find(RTA_METRICS))
        path.mtu = Attributes(metrics).u32(RTAX_MTU).value_or(0);
    path.local = header->rtm_type == RTN_LOCAL || header->rtm_type == RTN_ANYCAST;
    return path;
}

Neighbour parse_neighbour(const ndmsg& header, const Attributes& attributes)
{
    const auto mac = attributes.get<Mac>(NDA_LLADDR);
    if (header.ndm_state & NUD_NOARP)
        return {Neighbour::State::NoArp, {}};
    if (header.ndm_state & kUsable)
        return mac ? Neighbour{Neighbour::State::Resolved, *mac} : Neighbour{};
    if (header.ndm_state & NUD_FAILED)
        return {Neighbour::State::Failed, {}};
    return {};
}

bool is_fixed(const ndmsg& header)
{
    return header.ndm_state & (NUD_PERMANENT | NUD_NOARP);
}

template <typename A>
std::string hop_name(IfIndex ifindex, A address)
{
    return address.str() + " dev #" + std::to_string(ifindex);
}

} // namespace

template <typename A>
Result<PathOf<A>> lookup_path(NetlinkSocket& socket, A destination)
{
    Message message(RTM_GETROUTE, 0);
    auto& header = message.extra<rtmsg>();
    header.rtm_family = kFamily<A>;
    header.rtm_dst_len = A::kBits;
    message.put(RTA_DST, destination);
    PathOf<A> path;
    const Status status =
        socket.query(message, "look up the route to " + destination.str(),
                     [&](const nlmsghdr* answer) { path = parse_path<A>(answer); });
    if (!status)
        return Error{Errc::Unavailable, status.error().sys, status.error().what};
    return path;
}

bool says_no_route(int error)
{
    return error == ENETUNREACH || error == EHOSTUNREACH || error == EINVAL || error == EACCES;
}

template <typename A>
ResolverOf<A>::ResolverOf(Executor& executor, OnChange on_change, HearsRoutes hears_routes)
    : executor_(executor), on_change_(std::move(on_change)), hears_routes_(hears_routes)
{
}

template <typename A>
ResolverOf<A>::~ResolverOf()
{
    *alive_ = false;
}

template <typename A>
Status ResolverOf<A>::start()
{
    auto socket = NetlinkSocket::open();
    if (!socket)
        return socket.error();
    socket_ = std::move(*socket);
    NetlinkMonitor::Callbacks callbacks{
        [this](const nlmsghdr* message) { on_message(message); },
        [this] { on_turn(); },
        [this] { on_overrun(); },
    };
    constexpr bool v4 = std::is_same_v<A, Ipv4>;
    std::vector<unsigned> groups{RTNLGRP_LINK, v4 ? RTNLGRP_IPV4_IFADDR : RTNLGRP_IPV6_IFADDR,
                                 v4 ? RTNLGRP_IPV4_RULE : RTNLGRP_IPV6_RULE};
    if (v4)
        groups.push_back(RTNLGRP_NEIGH);
    if (hears_routes_ == HearsRoutes::ByItself)
        groups.push_back(v4 ? RTNLGRP_IPV4_ROUTE : RTNLGRP_IPV6_ROUTE);
    auto monitor = NetlinkMonitor::open(executor_, NETLINK_ROUTE, groups, std::move(callbacks));
    if (!monitor)
        return monitor.error();
    monitor_ = std::move(*monitor);
    return {};
}

template <typename A>
void ResolverOf<A>::on_overrun()
{
    all_dirty_ = true;
    for (auto& [key, hop] : hops_)
        hop.lost = true; // read and asked for again
    post_turn();
}

template <typename A>
const TargetOf<A>& ResolverOf<A>::watch(A target)
    requires std::is_same_v<A, Ipv4>
{
    Watched& entry = entry_of(target);
    if (++entry.of_neighbour == 1)
        attach(target, entry);
    return entry;
}

template <typename A>
void ResolverOf<A>::unwatch(A target)
    requires std::is_same_v<A, Ipv4>
{
    const auto entry = targets_.find(target);
    if (entry == targets_.end())
        return;
    if (--entry->second.of_neighbour == 0)
        detach(target, entry->second);
    unwatch_way(target);
}

template <typename A>
const TargetOf<A>& ResolverOf<A>::watch_way(A target)
{
    return entry_of(target);
}

template <typename A>
void ResolverOf<A>::unwatch_way(A target)
{
    const auto entry = targets_.find(target);
    if (entry == targets_.end() || --entry->second.watchers > 0)
        return;
    targets_.erase(entry);
    changed_.erase(target);
    dirty_.erase(target);
}

// With one watcher more.
template <typename A>
typename ResolverOf<A>::Watched& ResolverOf<A>::entry_of(A target)
{
    const auto [entry, fresh] = targets_.try_emplace(target);
    if (fresh) {
        look_up(target);
        changed_.erase(target); // the caller reads it now
    }
    ++entry->second.watchers;
    return entry->second;
}

template <typename A>
const TargetOf<A>* ResolverOf<A>::find(A target) const
{
    const auto entry = targets_.find(target);
    return entry == targets_.end() ? nullptr : &entry->second;
}

// --- Events -------------------------------------------------------------------------------------

template <typename A>
void ResolverOf<A>::on_message(const nlmsghdr* message)
{
    switch (message->nlmsg_type) {
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
        on_neighbour(message);
        break;
    case RTM_NEWLINK:
    case RTM_DELLINK:
        // Routes leave with a link without a message, and MTU and carrier count too. A link that
        // never led anywhere cannot begin to without a route event.
        if (const auto link = parse_link(message); link && uplinks_.contains(link->ifindex))
            all_dirty_ = true;
        break;
    case RTM_NEWADDR:
    case RTM_DELADDR:
        if (const auto ifindex = address_interface(message); ifindex && uplinks_.contains(*ifindex))
            all_dirty_ = true;
        break;
    case RTM_NEWRULE:
    case RTM_DELRULE:
        all_dirty_ = true;
        break;
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
        if (const auto prefix = route_destination<Prefix<A>>(message))
            on_route(*prefix);
        break;
    default:
        break;
    }
}

// It concerns the targets inside its destination.
template <typename A>
void ResolverOf<A>::on_route(const Prefix<A>& prefix)
{
    for (auto target = targets_.lower_bound(prefix.network().addr);
         target != targets_.end() && prefix.contains(target->first); ++target) {
        dirty_.insert(target->first);
        post_turn();
    }
}

template <typename A>
void ResolverOf<A>::on_neighbour(const nlmsghdr* message)
{
    const auto* header = fixed_header<ndmsg>(message);
    if (!header || header->ndm_family != kFamily<A>)
        return;
    const Attributes attributes(message, sizeof(*header));
    const auto address = attributes.template address<A>(NDA_DST);
    if (!address)
        return;
    const auto hop = hops_.find({static_cast<IfIndex>(header->ndm_ifindex), *address});
    if (hop == hops_.end())
        return;
    if (message->nlmsg_type == RTM_DELNEIGH) {
        hop->second.lost = true;
        set(hop->second, {});
        return;
    }
    hop->second.fixed = is_fixed(*header);
    const Neighbour now = parse_neighbour(*header, attributes);
    // The kernel tries a failed one again and again; until it succeeds, it is failed.
    const bool still_failed = now.state == Neighbour::State::Unknown &&
                              hop->second.neighbour.state == Neighbour::State::Failed;
    if (!still_failed)
        set(hop->second, now);
}

// A message is followed by on_turn() anyhow; news from inside the process is not.
template <typename A>
void ResolverOf<A>::post_turn()
{
    if (std::exchange(turn_posted_, true))
        return;
    boost::asio::post(executor_, [this, alive = alive_] {
        if (*alive)
            on_turn();
    });
}

template <typename A>
void ResolverOf<A>::on_turn()
{
    turn_posted_ = false;
    if (std::exchange(all_dirty_, false))
        for (const auto& [target, entry] : targets_)
            dirty_.insert(target);
    for (std::size_t n = 0; n < kLookupsATurn && !dirty_.empty(); ++n)
        look_up(dirty_.extract(dirty_.begin()).value());
    if (!dirty_.empty())
        post_turn();
    for (auto& [key, hop] : hops_)
        if (std::exchange(hop.lost, false))
            manage(key);
}

// --- Paths --------------------------------------------------------------------------------------

template <typename A>
void ResolverOf<A>::look_up(A target)
{
    Watched& entry = targets_.at(target);
    const auto found = lookup_path<A>(*socket_, target);
    if (!found && entry.path && !says_no_route(found.error().sys))
        return; // what was so until now
    std::optional<Path> path;
    if (found)
        path = *found;
    std::string why = found ? std::string() : found.error().what;
    if (path && path == entry.path)
        return;
    if (path)
        uplinks_.insert(path->ifindex);
    const bool moved = !path || !entry.path || path->ifindex != entry.path->ifindex ||
                       path->next_hop(target) != entry.path->next_hop(target) ||
                       path->local != entry.path->local;
    if (moved)
        detach(target, entry);
    const bool differs = path != entry.path || why != entry.why;
    entry.path = path;
    entry.why = std::move(why);
    if (moved)
        attach(target, entry);
    if (differs)
        tell(target);
}

template <typename A>
void ResolverOf<A>::attach(A target, Watched& entry)
{
    entry.neighbour = {};
    if (!entry.path || entry.path->local || entry.of_neighbour == 0)
        return;
    const HopKey key{entry.path->ifindex, entry.path->next_hop(target)};
    const auto [hop, fresh] = hops_.try_emplace(key);
    hop->second.targets.insert(target);
    entry.neighbour = hop->second.neighbour;
    if (fresh)
        manage(key);
}

template <typename A>
void ResolverOf<A>::detach(A target, const Watched& entry)
{
    if (!entry.path || entry.path->local)
        return;
    const HopKey key{entry.path->ifindex, entry.path->next_hop(target)};
    const auto hop = hops_.find(key);
    if (hop == hops_.end())
        return;
    hop->second.targets.erase(target);
    if (hop->second.targets.empty()) {
        release(key);
        hops_.erase(hop);
    }
}

// --- Neighbours ---------------------------------------------------------------------------------

// An entry that somebody made permanent is taken as it is: asking for it to be managed would
// take the permanence away.
template <typename A>
void ResolverOf<A>::manage(const HopKey& key)
{
    Hop& hop = hops_.at(key);
    std::optional<Entry> present = read_entry(key);
    if (!present || !present->fixed) {
        if (Status status = manage_neighbour(*socket_, key.ifindex, key.address); !status) {
            set(hop, {Neighbour::State::Failed, {}}); // asked again when the interface changes
            return;
        }
        present = read_entry(key);
    }
    hop.fixed = present && present->fixed;
    if (present)
        set(hop, present->neighbour);
}

// nullopt: the kernel has no entry.
template <typename A>
std::optional<typename ResolverOf<A>::Entry> ResolverOf<A>::read_entry(const HopKey& key)
{
    Message message(RTM_GETNEIGH, 0);
    put_neighbour(message, key.ifindex, key.address);
    std::optional<Entry> found;
    (void)socket_->query(message, "read neighbour " + hop_name(key.ifindex, key.address),
                         [&](const nlmsghdr* answer) {
                             if (const auto* header = fixed_header<ndmsg>(answer))
                                 found = Entry{
                                     parse_neighbour(*header, Attributes(answer, sizeof(*header))),
                                     is_fixed(*header)};
                         });
    return found;
}

// An update without the managed flag clears it; the entry stays and ages as any other.
template <typename A>
void ResolverOf<A>::release(const HopKey& key)
{
    if (hops_.at(key).fixed)
        return;
    Message message(RTM_NEWNEIGH, 0);
    put_neighbour(message, key.ifindex, key.address).ndm_flags = NTF_USE;
    (void)socket_->request(message, "release neighbour"); // gone with its interface: fine
}

template <typename A>
void ResolverOf<A>::set(Hop& hop, const Neighbour& neighbour)
{
    if (hop.neighbour == neighbour)
        return;
    hop.neighbour = neighbour;
    for (const A target : hop.targets) {
        targets_.at(target).neighbour = neighbour;
        tell(target);
    }
}

// --- News ---------------------------------------------------------------------------------------

template <typename A>
void ResolverOf<A>::tell(A target)
{
    changed_.insert(target);
    if (std::exchange(delivery_posted_, true))
        return;
    boost::asio::post(executor_, [this, alive = alive_] {
        if (*alive)
            deliver();
    });
}

template <typename A>
void ResolverOf<A>::deliver()
{
    delivery_posted_ = false;
    const std::set<A> changed = std::exchange(changed_, {});
    if (!changed.empty() && on_change_)
        on_change_({changed.begin(), changed.end()});
}

template Result<Path> lookup_path(NetlinkSocket&, Ipv4);
template Result<Path6> lookup_path(NetlinkSocket&, Ipv6);
template class ResolverOf<Ipv4>;
template class ResolverOf<Ipv6>;

} // namespace margay::kernel
