// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/resolve.h"

#include "agent/kernel/attributes.h"
#include "agent/kernel/neighbours.h"

#include <boost/asio/post.hpp>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include <utility>

namespace margay::kernel {
namespace {

constexpr std::size_t kLookupsATurn = 500; // of some 10 us each
constexpr std::uint16_t kUsable = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT;

Path parse_path(const nlmsghdr* message)
{
    Path path;
    const auto* header = fixed_header<rtmsg>(message);
    if (!header)
        return path;
    const Attributes attributes(message, sizeof(*header));
    path.ifindex = attributes.u32(RTA_OIF).value_or(0);
    path.gateway = attributes.ipv4(RTA_GATEWAY).value_or(Ipv4{});
    path.source = attributes.ipv4(RTA_PREFSRC).value_or(Ipv4{});
    if (const nlattr* metrics = attributes.find(RTA_METRICS))
        path.mtu = Attributes(metrics).u32(RTAX_MTU).value_or(0);
    path.local = header->rtm_type == RTN_LOCAL;
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

std::string hop_name(IfIndex ifindex, Ipv4 address)
{
    return address.str() + " dev #" + std::to_string(ifindex);
}

} // namespace

Result<Path> lookup_path(NetlinkSocket& socket, Ipv4 destination)
{
    Message message(RTM_GETROUTE, 0);
    auto& header = message.extra<rtmsg>();
    header.rtm_family = AF_INET;
    header.rtm_dst_len = 32;
    message.put(RTA_DST, destination);
    Path path;
    const Status status = socket.query(message, "look up the route to " + destination.str(),
                                       [&](const nlmsghdr* answer) { path = parse_path(answer); });
    if (!status)
        return Error{Errc::Unavailable, status.error().sys, status.error().what};
    return path;
}

Resolver::Resolver(Executor& executor, OnChange on_change, const Options& options)
    : executor_(executor), on_change_(std::move(on_change)), options_(options)
{
}

Resolver::~Resolver()
{
    *alive_ = false;
}

Status Resolver::start()
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
    std::vector<unsigned> groups{RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_RULE};
    if (options_.manages_neighbours)
        groups.push_back(RTNLGRP_NEIGH);
    if (options_.hears_routes)
        groups.push_back(RTNLGRP_IPV4_ROUTE);
    auto monitor = NetlinkMonitor::open(executor_, NETLINK_ROUTE, groups, std::move(callbacks));
    if (!monitor)
        return monitor.error();
    monitor_ = std::move(*monitor);
    return {};
}

void Resolver::on_overrun()
{
    all_dirty_ = true;
    for (auto& [key, hop] : hops_)
        hop.lost = true; // read and asked for again
    post_turn();
}

const Target& Resolver::watch(Ipv4 target)
{
    const auto [entry, fresh] = targets_.try_emplace(target);
    if (fresh) {
        look_up(target);
        changed_.erase(target); // the caller reads it now
    }
    ++entry->second.watchers;
    return entry->second;
}

void Resolver::unwatch(Ipv4 target)
{
    const auto entry = targets_.find(target);
    if (entry == targets_.end() || --entry->second.watchers > 0)
        return;
    detach(target, entry->second);
    targets_.erase(entry);
    changed_.erase(target);
    dirty_.erase(target);
}

const Target* Resolver::find(Ipv4 target) const
{
    const auto entry = targets_.find(target);
    return entry == targets_.end() ? nullptr : &entry->second;
}

// --- Events -------------------------------------------------------------------------------------

void Resolver::on_message(const nlmsghdr* message)
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
        if (const auto address = parse_address(message);
            address && uplinks_.contains(address->ifindex))
            all_dirty_ = true;
        break;
    case RTM_NEWRULE:
    case RTM_DELRULE:
        all_dirty_ = true;
        break;
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
        if (const auto prefix = route_destination(message))
            on_route(*prefix);
        break;
    default:
        break;
    }
}

// It concerns the targets inside its destination.
void Resolver::on_route(const Prefix4& prefix)
{
    for (auto target = targets_.lower_bound(prefix.network().addr);
         target != targets_.end() && prefix.contains(target->first); ++target) {
        dirty_.insert(target->first);
        post_turn();
    }
}

void Resolver::on_neighbour(const nlmsghdr* message)
{
    const auto* header = fixed_header<ndmsg>(message);
    if (!header || header->ndm_family != AF_INET)
        return;
    const Attributes attributes(message, sizeof(*header));
    const auto address = attributes.ipv4(NDA_DST);
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
void Resolver::post_turn()
{
    if (std::exchange(turn_posted_, true))
        return;
    boost::asio::post(executor_, [this, alive = alive_] {
        if (*alive)
            on_turn();
    });
}

void Resolver::on_turn()
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

void Resolver::look_up(Ipv4 target)
{
    Target& entry = targets_.at(target);
    const auto found = lookup_path(*socket_, target);
    std::optional<Path> path;
    if (found)
        path = *found;
    std::string why = found ? std::string() : found.error().what;
    if (path && path == entry.path)
        return;
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

void Resolver::attach(Ipv4 target, Target& entry)
{
    entry.neighbour = {};
    if (!entry.path || entry.path->local)
        return;
    uplinks_.insert(entry.path->ifindex);
    if (!options_.manages_neighbours)
        return;
    const HopKey key{entry.path->ifindex, entry.path->next_hop(target)};
    const auto [hop, fresh] = hops_.try_emplace(key);
    hop->second.targets.insert(target);
    entry.neighbour = hop->second.neighbour;
    if (fresh)
        manage(key);
}

void Resolver::detach(Ipv4 target, const Target& entry)
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
void Resolver::manage(const HopKey& key)
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
std::optional<Resolver::Entry> Resolver::read_entry(const HopKey& key)
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
void Resolver::release(const HopKey& key)
{
    if (hops_.at(key).fixed)
        return;
    Message message(RTM_NEWNEIGH, 0);
    put_neighbour(message, key.ifindex, key.address).ndm_flags = NTF_USE;
    (void)socket_->request(message, "release neighbour"); // gone with its interface: fine
}

void Resolver::set(Hop& hop, const Neighbour& neighbour)
{
    if (hop.neighbour == neighbour)
        return;
    hop.neighbour = neighbour;
    for (const Ipv4 target : hop.targets) {
        targets_.at(target).neighbour = neighbour;
        tell(target);
    }
}

// --- News ---------------------------------------------------------------------------------------

void Resolver::tell(Ipv4 target)
{
    changed_.insert(target);
    if (std::exchange(delivery_posted_, true))
        return;
    boost::asio::post(executor_, [this, alive = alive_] {
        if (*alive)
            deliver();
    });
}

void Resolver::deliver()
{
    delivery_posted_ = false;
    const std::set<Ipv4> changed = std::exchange(changed_, {});
    if (!changed.empty() && on_change_)
        on_change_({changed.begin(), changed.end()});
}

} // namespace margay::kernel
