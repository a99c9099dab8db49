// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/clsact.h"

#include <bpf/libbpf.h>
#include <linux/netlink.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <string>

#include "margay/fd.h"

namespace margay::datapath::clsact {
namespace {

constexpr std::uint32_t kHandle = 0x6d61;
constexpr std::uint32_t kPriority = 1;

bpf_tc_hook hook_of(std::uint32_t ifindex, bool ingress)
{
    bpf_tc_hook hook{};
    hook.sz = sizeof(hook);
    hook.ifindex = static_cast<int>(ifindex);
    hook.attach_point = ingress ? BPF_TC_INGRESS : BPF_TC_EGRESS;
    return hook;
}

bpf_tc_hook qdisc_of(std::uint32_t ifindex)
{
    bpf_tc_hook hook = hook_of(ifindex, true);
    hook.attach_point = static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS);
    return hook;
}

bpf_tc_opts filter()
{
    bpf_tc_opts opts{};
    opts.sz = sizeof(opts);
    opts.handle = kHandle;
    opts.priority = kPriority;
    return opts;
}

Error failure(int err, const char* verb, std::uint32_t ifindex)
{
    Error error = system_error(err, std::string(verb) + " ifindex=" + std::to_string(ifindex));
    if (err == ENODEV)
        error.code = Errc::NotFound;
    return error;
}

// Reads one dump of filters to its end; true if there was any.
Result<bool> any_filter(int socket, std::uint32_t ifindex, std::uint32_t parent)
{
    struct {
        nlmsghdr header;
        tcmsg body;
    } request{};
    request.header.nlmsg_len = sizeof(request);
    request.header.nlmsg_type = RTM_GETTFILTER;
    request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    request.body.tcm_ifindex = static_cast<int>(ifindex);
    request.body.tcm_parent = parent;
    if (::send(socket, &request, sizeof(request), 0) < 0)
        return failure(errno, "list filters", ifindex);
    bool any = false;
    alignas(nlmsghdr) std::array<char, 32768> buffer{};
    for (;;) {
        const auto received = ::recv(socket, buffer.data(), buffer.size(), 0);
        if (received < 0)
            return failure(errno, "list filters", ifindex);
        auto left = static_cast<std::uint32_t>(received);
        for (auto* message = reinterpret_cast<nlmsghdr*>(buffer.data()); NLMSG_OK(message, left);
             message = NLMSG_NEXT(message, left)) {
            if (message->nlmsg_type == NLMSG_DONE)
                return any;
            if (message->nlmsg_type == NLMSG_ERROR)
                return failure(-static_cast<nlmsgerr*>(NLMSG_DATA(message))->error, "list filters",
                               ifindex);
            any = true;
        }
    }
}

} // namespace

Result<bool> create_qdisc(std::uint32_t ifindex)
{
    bpf_tc_hook hook = qdisc_of(ifindex);
    const int rc = bpf_tc_hook_create(&hook);
    if (rc == 0)
        return true;
    if (rc == -EEXIST)
        return false;
    return failure(-rc, "create clsact", ifindex);
}

Status destroy_qdisc(std::uint32_t ifindex)
{
    bpf_tc_hook hook = qdisc_of(ifindex);
    const int rc = bpf_tc_hook_destroy(&hook);
    return rc == 0 || rc == -ENOENT ? Status{} : Status{failure(-rc, "remove clsact", ifindex)};
}

Status attach(std::uint32_t ifindex, bool ingress, int program_fd)
{
    const bpf_tc_hook hook = hook_of(ifindex, ingress);
    bpf_tc_opts opts = filter();
    opts.prog_fd = program_fd;
    opts.flags = BPF_TC_F_REPLACE;
    const int rc = bpf_tc_attach(&hook, &opts);
    return rc == 0 ? Status{} : Status{failure(-rc, "attach filter", ifindex)};
}

Status detach(std::uint32_t ifindex, bool ingress)
{
    const bpf_tc_hook hook = hook_of(ifindex, ingress);
    const bpf_tc_opts opts = filter();
    const int rc = bpf_tc_detach(&hook, &opts);
    // EINVAL and ENOENT: the filter or the qdisc is not there; ENODEV: nor is the device.
    return rc == 0 || rc == -ENOENT || rc == -EINVAL || rc == -ENODEV
               ? Status{}
               : Status{failure(-rc, "detach filter", ifindex)};
}

std::optional<std::uint32_t> query(std::uint32_t ifindex, bool ingress)
{
    const bpf_tc_hook hook = hook_of(ifindex, ingress);
    bpf_tc_opts opts = filter();
    if (bpf_tc_query(&hook, &opts) != 0)
        return std::nullopt;
    return opts.prog_id;
}

Result<bool> filters_left(std::uint32_t ifindex)
{
    const Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
    if (!socket.valid())
        return failure(errno, "open netlink socket", ifindex);
    for (const std::uint32_t minor : {TC_H_MIN_INGRESS, TC_H_MIN_EGRESS}) {
        const auto any = any_filter(socket.get(), ifindex, TC_H_MAKE(TC_H_CLSACT, minor));
        if (!any || *any)
            return any;
    }
    return false;
}

} // namespace margay::datapath::clsact
