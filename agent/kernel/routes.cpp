// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/routes.h"

#include <linux/rtnetlink.h>

#include <algorithm>
#include <fstream>

namespace margay::kernel {
namespace {

constexpr std::chrono::milliseconds kFirstBackOff{1000};
constexpr std::chrono::milliseconds kLastBackOff{30'000};

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

const char* verb(RouteOperation::Kind kind)
{
    switch (kind) {
    case RouteOperation::Kind::Add:
        return "add route ";
    case RouteOperation::Kind::Replace:
        return "replace route ";
    case RouteOperation::Kind::Remove:
        return "remove route ";
    }
    return "";
}

Message message_of(const RouteOperation& operation)
{
    if (operation.kind == RouteOperation::Kind::Remove)
        return remove_message(operation.route);
    return add_message(operation.route, operation.kind == RouteOperation::Kind::Add);
}

} // namespace

RouteTable::RouteTable(Executor& executor, Callbacks callbacks)
    : executor_(executor), callbacks_(std::move(callbacks)),
      plan_([this](IfIndex ifindex) { return workloads_.contains(ifindex); }), retry_(executor),
      back_off_(kFirstBackOff)
{
}

Status RouteTable::start()
{
    auto socket = NetlinkSocket::open();
    if (!socket)
        return socket.error();
    socket_ = std::move(*socket);
    NetlinkMonitor::Callbacks callbacks{
        [this](const nlmsghdr* message) { on_message(message); },
        [this] { on_turn(); },
        [this] { stale_picture_ = true; },
    };
    auto monitor = NetlinkMonitor::open(executor_, NETLINK_ROUTE,
                                        {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE},
                                        std::move(callbacks), 0, socket_->port_id());
    if (!monitor)
        return monitor.error();
    monitor_ = std::move(*monitor);
    const auto links = read_links(*socket_);
    if (!links)
        return links.error();
    for (const auto& [ifindex, link] : links->links())
        if (callbacks_.is_workload(link.name))
            workloads_.insert(ifindex);
    return resync();
}

void RouteTable::remove_all()
{
    plan_.unwant_all();
    plan_.allow_removals();
}

void RouteTable::on_message(const nlmsghdr* message)
{
    if (const auto route = parse_route(message)) {
        on_route(*route, message);
    } else if (const auto link = parse_link(message)) {
        on_link(*link, message->nlmsg_type == RTM_DELLINK);
    } else if (parse_address(message)) {
        if (message->nlmsg_type == RTM_DELADDR)
            stale_picture_ = true; // routes with this source are gone, whatever their interface
        else
            gained_ = true;
    }
}

void RouteTable::on_route(const Route& route, const nlmsghdr* message)
{
    // Reading names for every foreign route would make a full table slow.
    const bool concerns_us = plan_.actual().contains(route.key());
    const std::string by = concerns_us ? name_of(message->nlmsg_pid) : std::string();
    if (message->nlmsg_type == RTM_NEWROUTE)
        plan_.learn(route, message->nlmsg_flags & NLM_F_REPLACE, by);
    else
        plan_.forget(route, by);
}

void RouteTable::on_link(const Link& link, bool gone)
{
    const bool is_workload = !gone && callbacks_.is_workload(link.name);
    const bool was_workload = workloads_.contains(link.ifindex);
    if (is_workload)
        workloads_.insert(link.ifindex);
    else
        workloads_.erase(link.ifindex);
    if (!gone && link.up() && is_workload != was_workload)
        stale_picture_ = true; // renamed while it had routes: whose they are has changed
    if (gone || !link.up())
        lost_.insert(link.ifindex);
    else
        gained_ = true;
}

// A link that goes down and an address that is removed take routes along without a message, and
// what was refused before may be possible once one appears.
void RouteTable::on_turn()
{
    stale_picture_ |= std::any_of(plan_.actual().begin(), plan_.actual().end(), [&](const auto& e) {
        return std::any_of(e.second.hops.begin(), e.second.hops.end(),
                           [&](const NextHop& hop) { return lost_.contains(hop.ifindex); });
    });
    lost_.clear();
    if (gained_) {
        gained_ = false;
        plan_.retry();
        back_off_ = kFirstBackOff;
    }
    if (stale_picture_)
        stale_picture_ = !resync(); // a failed one is tried again with the next turn
    settle();
    if (plan_.pending() > 0 && callbacks_.on_pending)
        callbacks_.on_pending();
}

Status RouteTable::resync()
{
    std::vector<Route> present;
    Message message(RTM_GETROUTE, 0);
    auto& header = message.extra<rtmsg>();
    header.rtm_family = AF_INET;
    header.rtm_table = RT_TABLE_MAIN;
    const Status status = socket_->dump(
        message, "list routes",
        [&](const nlmsghdr* answer) {
            if (auto route = parse_route(answer))
                present.push_back(std::move(*route));
        },
        [&] { present.clear(); });
    // A main table that was never written to does not exist.
    if (!status && status.error().sys != ENOENT)
        return status;
    plan_.resync(present);
    return {};
}

Result<std::size_t> RouteTable::flush(std::size_t budget)
{
    while (budget > 0) {
        const auto operations = plan_.next(std::min(budget, NetlinkSocket::kMaxBatch));
        if (operations.empty())
            break;
        if (Status status = run(operations); !status)
            return status.error();
        budget -= operations.size();
        if (stale_picture_) {
            if (Status status = resync(); !status)
                return status.error();
            stale_picture_ = false;
        }
    }
    if (plan_.parked() == 0)
        back_off_ = kFirstBackOff;
    settle();
    return plan_.pending();
}

Status RouteTable::run(const std::vector<RouteOperation>& operations)
{
    std::vector<Message> messages;
    messages.reserve(operations.size());
    for (const RouteOperation& operation : operations)
        messages.push_back(message_of(operation));
    const auto refusals = socket_->batch(messages, [&](std::size_t i) {
        return verb(operations[i].kind) + operations[i].route.str();
    });
    if (!refusals) {
        stale_picture_ = true; // the outcome is unknown
        return refusals.error();
    }
    auto refusal = refusals->begin();
    for (std::size_t i = 0; i < operations.size(); ++i) {
        if (refusal == refusals->end() || refusal->index != i) {
            plan_.done(operations[i]);
            continue;
        }
        plan_.failed(operations[i], refusal->error);
        stale_picture_ |= refusal->error.code == Errc::Exists;
        ++refusal;
    }
    return {};
}

// Hands over reports and arranges the next try of what is parked.
void RouteTable::settle()
{
    for (const RouteReport& report : plan_.take_reports())
        if (callbacks_.on_report)
            callbacks_.on_report(report);
    if (plan_.parked() == 0 || retry_.running())
        return;
    retry_.start(back_off_, [this] {
        back_off_ = std::min(back_off_ * 2, kLastBackOff);
        plan_.retry();
        on_turn();
    });
}

} // namespace margay::kernel
