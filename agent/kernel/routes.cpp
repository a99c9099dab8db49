// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/routes.h"

#include <linux/rtnetlink.h>

#include <algorithm>
#include <fstream>

namespace margay::kernel {
namespace {

// In flight: enough to keep the thread at work while a turn of the event loop lasts.
constexpr std::size_t kInFlight = 2048;
constexpr std::size_t kOperationsAJob = 256;
constexpr std::chrono::milliseconds kFirstBackOff{1000};
constexpr std::chrono::milliseconds kLastBackOff{30'000};

template <typename P>
constexpr unsigned kAddressGroup =
    std::is_same_v<P, Prefix4> ? RTNLGRP_IPV4_IFADDR : RTNLGRP_IPV6_IFADDR;
template <typename P>
constexpr unsigned kRouteGroup =
    std::is_same_v<P, Prefix4> ? RTNLGRP_IPV4_ROUTE : RTNLGRP_IPV6_ROUTE;

// Who sent the request behind a notification. The port id of a socket is its owner's process id
// unless the process has several; a name that cannot be read is left out.
std::string name_of(std::uint32_t port_id)
{
    if (port_id == 0)
        return {}; // the kernel itself
    std::string text = "process " + std::to_string(port_id);
    std::ifstream file("/proc/" + std::to_string(port_id) + "/comm");
    std::string name;
    if (std::getline(file, name))
        text += " (" + name + ")";
    return text;
}

} // namespace

template <typename P>
RouteTableOf<P>::RouteTableOf(Executor& executor, Callbacks callbacks)
    : executor_(executor), callbacks_(std::move(callbacks)),
      plan_([this](IfIndex ifindex) { return workloads_.contains(ifindex); }), retry_(executor),
      back_off_(kFirstBackOff)
{
}

template <typename P>
Status RouteTableOf<P>::start()
{
    auto writer = RouteWriterOf<P>::start(
        executor_,
        {[this](const auto& operations, const auto& refusals) { on_written(operations, refusals); },
         [this] { plan_.begin_resync(); },
         [this](const std::vector<Route>& routes) {
             for (const Route& route : routes)
                 plan_.present(route);
         },
         [this](const Status& status) { on_listed(status); }});
    if (!writer)
        return writer.error();
    writer_ = std::move(*writer);
    NetlinkMonitor::Callbacks callbacks{
        [this](const nlmsghdr* message) { on_message(message); },
        [this] { on_turn(); },
        [this] { on_overrun(); },
    };
    auto monitor = NetlinkMonitor::open(executor_, NETLINK_ROUTE,
                                        {RTNLGRP_LINK, kAddressGroup<P>, kRouteGroup<P>},
                                        std::move(callbacks), 0, writer_->port_id());
    if (!monitor)
        return monitor.error();
    monitor_ = std::move(*monitor);
    if (auto read = read_workloads(); !read)
        return read;
    auto socket = NetlinkSocket::open();
    if (!socket)
        return socket.error();
    // What is there is known before anything is wanted.
    const Status listed = list_routes<P>(
        *socket, [this] { plan_.begin_resync(); },
        [this](const Route& route) { plan_.present(route); });
    if (listed)
        plan_.end_resync();
    return listed;
}

template <typename P>
Status RouteTableOf<P>::read_workloads()
{
    auto socket = NetlinkSocket::open();
    if (!socket)
        return socket.error();
    const auto links = read_links(*socket);
    if (!links)
        return links.error();
    workloads_.clear();
    for (const auto& [ifindex, link] : links->links())
        if (callbacks_.is_workload(link.name))
            workloads_.insert(ifindex);
    return {};
}

// Interfaces that came and went are among what was lost, too.
template <typename P>
void RouteTableOf<P>::on_overrun()
{
    if (callbacks_.on_missed)
        callbacks_.on_missed();
    if (const Status read = read_workloads(); !read && callbacks_.on_trouble)
        callbacks_.on_trouble(read.error().what);
    gained_ = true;
    plan_.doubt();
}

template <typename P>
void RouteTableOf<P>::remove_all()
{
    plan_.unwant_all();
    plan_.allow_removals();
}

template <typename P>
void RouteTableOf<P>::on_message(const nlmsghdr* message)
{
    if (const auto prefix = route_destination<P>(message); prefix && callbacks_.on_change)
        callbacks_.on_change(*prefix);
    if (const auto route = parse_route<P>(message)) {
        on_route(*route, message);
    } else if (const auto link = parse_link(message)) {
        on_link(*link, message->nlmsg_type == RTM_DELLINK);
    } else if (address_interface(message)) {
        if (message->nlmsg_type == RTM_DELADDR)
            plan_.doubt(); // routes with this source are gone, whatever their interface
        else
            gained_ = true;
    }
}

template <typename P>
void RouteTableOf<P>::on_route(const Route& route, const nlmsghdr* message)
{
    // Reading names for every foreign route would make a full table slow.
    const bool concerns_us = plan_.find(route.key()) != nullptr;
    const std::string by = concerns_us ? name_of(message->nlmsg_pid) : std::string();
    if (message->nlmsg_type == RTM_NEWROUTE)
        plan_.learn(route, message->nlmsg_flags & NLM_F_REPLACE, by);
    else
        plan_.forget(route, by);
}

template <typename P>
void RouteTableOf<P>::on_link(const Link& link, bool gone)
{
    const bool is_workload = !gone && callbacks_.is_workload(link.name);
    const bool was_workload = workloads_.contains(link.ifindex);
    if (is_workload)
        workloads_.insert(link.ifindex);
    else
        workloads_.erase(link.ifindex);
    if (!gone && link.up() && is_workload != was_workload)
        plan_.doubt(); // renamed while it had routes: whose they are has changed
    if (gone || !link.up())
        lost_.insert(link.ifindex);
    else
        gained_ = true;
}

// A link that goes down and an address that is removed take routes along without a message, and
// what was refused before may be possible once one appears.
template <typename P>
void RouteTableOf<P>::on_turn()
{
    plan_.lose(std::exchange(lost_, {}));
    if (std::exchange(gained_, false)) {
        plan_.retry();
        back_off_ = kFirstBackOff;
    }
    flush();
}

// Behind what is in flight, so that it is in the dump.
template <typename P>
void RouteTableOf<P>::resync()
{
    listing_ = true;
    monitor_->pause();
    writer_->list();
}

template <typename P>
void RouteTableOf<P>::on_listed(const Status& status)
{
    listing_ = false;
    monitor_->resume();
    if (!status) {
        plan_.doubt();
        suspend(status.error());
        return;
    }
    if (callbacks_.on_trouble)
        callbacks_.on_trouble({});
    plan_.end_resync();
    flush();
}

template <typename P>
void RouteTableOf<P>::flush()
{
    if (plan_.doubtful() && !listing_ && !suspended_)
        resync();
    while (!listing_ && !suspended_ && plan_.due() > 0 &&
           plan_.in_flight_count() + kOperationsAJob <= kInFlight)
        writer_->write(plan_.next(kOperationsAJob));
    settle();
}

template <typename P>
void RouteTableOf<P>::on_written(const std::vector<RouteOperation>& operations,
                                 const Result<std::vector<Refusal>>& refusals)
{
    if (!refusals) {
        for (const RouteOperation& operation : operations)
            plan_.unknown(operation);
        tell_written(operations); // some may be there
        suspend(refusals.error());
        return;
    }
    auto refusal = refusals->begin();
    for (std::size_t i = 0; i < operations.size(); ++i) {
        if (refusal == refusals->end() || refusal->index != i) {
            plan_.done(operations[i]);
            continue;
        }
        plan_.failed(operations[i], refusal->error);
        ++refusal;
    }
    tell_written(operations);
    flush();
}

template <typename P>
void RouteTableOf<P>::tell_written(const std::vector<RouteOperation>& operations)
{
    if (callbacks_.on_change)
        for (const RouteOperation& operation : operations)
            callbacks_.on_change(operation.route.destination);
}

// The kernel cannot be asked: later.
template <typename P>
void RouteTableOf<P>::suspend(const Error& error)
{
    suspended_ = true;
    if (callbacks_.on_trouble)
        callbacks_.on_trouble(error.what);
    settle();
}

// Hands over reports, arranges the next try of what is parked, and says when all is done.
template <typename P>
void RouteTableOf<P>::settle()
{
    for (const RouteReportOf<P>& report : plan_.take_reports())
        if (callbacks_.on_report)
            callbacks_.on_report(report);
    const bool busy = plan_.pending() > 0 || listing_ || suspended_;
    const bool in_trouble = plan_.parked() > 0 || suspended_;
    if (in_trouble && !retry_.running())
        retry_.start(back_off_, [this] {
            back_off_ = std::min(back_off_ * 2, kLastBackOff);
            suspended_ = false;
            plan_.retry();
            flush();
        });
    else if (!in_trouble && !busy) // a try has its answer
        back_off_ = kFirstBackOff;
    if (std::exchange(busy_, busy) && !busy && callbacks_.on_settled)
        callbacks_.on_settled();
}

template class RouteTableOf<Prefix4>;
template class RouteTableOf<Prefix6>;

} // namespace margay::kernel
