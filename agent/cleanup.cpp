// SPDX-License-Identifier: Apache-2.0
// `margayd --cleanup`. The order is that of a removal: first what forwards, the guard last, so
// that pods are cut off rather than unguarded while it runs.
#include "agent/agent.h"

#include "agent/datapath/datapath.h"
#include "agent/kernel/addresses.h"
#include "agent/kernel/neighbours.h"
#include "agent/kernel/nftables.h"
#include "agent/kernel/tunnel_device.h"
#include "agent/status/unix_socket.h"

#include <boost/asio/executor_work_guard.hpp>

#include <filesystem>

namespace margay {
namespace {

// Routes of workloads have the protocol of a person's; their interface tells whose they are.
template <typename P>
Status remove_routes(const std::vector<std::string>& workload_prefixes)
{
    Executor executor;
    Status outcome;
    typename kernel::RouteTableOf<P>::Callbacks callbacks;
    callbacks.is_workload = [&](const std::string& name) {
        return has_prefix(name, workload_prefixes);
    };
    callbacks.on_settled = [&] { executor.stop(); };
    callbacks.on_trouble = [&](const std::string& text) {
        if (text.empty())
            return;
        outcome = Error{Errc::System, 0, text};
        executor.stop();
    };
    kernel::RouteTableOf<P> table(executor, std::move(callbacks));
    if (auto started = table.start(); !started)
        return started;
    table.remove_all();
    table.flush();
    const auto at_work = boost::asio::make_work_guard(executor); // also while its thread alone is
    if (table.pending() > 0)
        executor.run();
    return outcome;
}

Status with_socket(const std::function<Status(kernel::NetlinkSocket&)>& step)
{
    auto socket = kernel::NetlinkSocket::open();
    return socket ? step(*socket) : socket.error();
}

// What the settings say, and what the datastore had told the agent whose guard still stands.
std::vector<std::string> workload_prefixes(const config::Config& config)
{
    std::vector<std::string> prefixes = config.interface_prefixes;
    if (auto firewall = kernel::Firewall::open())
        for (std::string& prefix : (*firewall)->workload_prefixes())
            prefixes.push_back(std::move(prefix));
    return prefixes;
}

Status remove_firewall()
{
    auto firewall = kernel::Firewall::open();
    if (!firewall)
        return firewall.error();
    return (*firewall)->remove();
}

} // namespace

Status cleanup_host(const config::Config& config,
                    const std::function<void(const std::string&)>& say)
{
    if (status::somebody_listens(config.control_socket()))
        return Error{Errc::Conflict, 0,
                     "margayd is running (it listens at " + config.control_socket() +
                         "): stop it first, or it would put everything back"};
    const auto prefixes = workload_prefixes(config);
    Status first;
    const auto step = [&](const std::string& what, const Status& done) {
        say(done ? "gone: " + what : "could not remove " + what + ": " + done.error().what);
        if (!done && first)
            first = done;
    };
    step("routes of Margay and to workloads", remove_routes<Prefix4>(prefixes));
    step("IPv6 routes of Margay", remove_routes<Prefix6>(prefixes));
    step("tunnel address and device tunl0", with_socket([](kernel::NetlinkSocket& socket) {
             return kernel::remove_tunnel_device(socket, "tunl0");
         }));
    step("addresses of Margay on workload interfaces",
         with_socket([&](kernel::NetlinkSocket& socket) {
             return kernel::remove_own_addresses(
                 socket, [&](const kernel::Link& link) { return has_prefix(link.name, prefixes); });
         }));
    step("neighbour entries of Margay", with_socket([&](kernel::NetlinkSocket& socket) {
             return kernel::remove_own_neighbours(
                 socket, [&](const std::string& name) { return has_prefix(name, prefixes); });
         }));
    step("eBPF programs, links and maps below " + config.pin_root,
         datapath::cleanup(config.pin_root));
    step("nftables table " + std::string(kernel::kFirewallTable), remove_firewall());
    std::error_code ignored;
    std::filesystem::remove(config.control_socket(), ignored);
    std::filesystem::remove(config.reflector_mark(), ignored);
    for (const std::string& socket : {config.bird_socket, config.bird6_socket()})
        if (std::filesystem::is_socket(socket, ignored) &&
            !status::somebody_listens(socket)) // it may be BIRD's
            std::filesystem::remove(socket, ignored);
    say("left as they are: sysctls (ip_forward and those of workload interfaces), a bpffs that was "
        "mounted, the datastore, " +
        config.nodename_file);
    return first;
}

} // namespace margay
