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

#include <filesystem>

namespace margay {
namespace {

// Routes of workloads have the protocol of a person's; their interface tells whose they are.
Status remove_routes(const std::vector<std::string>& workload_prefixes)
{
    Executor executor;
    kernel::RouteTable table(
        executor, kernel::RouteTable::Callbacks{
                      [&](const std::string& name) { return has_prefix(name, workload_prefixes); },
                      [] {}, [](const kernel::RouteReport&) {}});
    if (auto started = table.start(); !started)
        return started;
    table.remove_all();
    for (std::size_t before = table.pending() + 1;
         table.pending() > 0 && table.pending() < before;) {
        before = table.pending();
        const auto left = table.flush(1000);
        if (!left)
            return left.error();
    }
    return {};
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
    step("routes of Margay and to workloads", remove_routes(prefixes));
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
    if (std::filesystem::is_socket(config.bird_socket, ignored) &&
        !status::somebody_listens(config.bird_socket)) // it may be BIRD's
        std::filesystem::remove(config.bird_socket, ignored);
    say("left as they are: sysctls (ip_forward and those of workload interfaces), a bpffs that was "
        "mounted, the datastore, " +
        config.nodename_file);
    return first;
}

} // namespace margay
