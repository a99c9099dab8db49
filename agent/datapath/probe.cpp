// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/probe.h"

#include <bpf/bpf.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstring>

#include "agent/datapath/uapi.h"
#include "margay/fd.h"

namespace margay::datapath {

bool have_tcx()
{
    // Index 1 is the loopback device in every network namespace. Without TCX the kernel does not
    // know the attach type and says EINVAL.
    std::uint32_t ids[1] = {};
    std::uint32_t count = 0;
    return bpf_prog_query(1, kTcxIngress, 0, nullptr, ids, &count) == 0;
}

std::vector<Feature> probe_features()
{
    return {{"tcx", have_tcx(), "filters on a clsact qdisc"}};
}

std::string driver_of(std::uint32_t ifindex)
{
    ifreq request{};
    if (if_indextoname(ifindex, request.ifr_name) == nullptr)
        return {};
    const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ethtool_drvinfo info{};
    info.cmd = ETHTOOL_GDRVINFO;
    request.ifr_data = reinterpret_cast<char*>(&info);
    if (!socket.valid() || ioctl(socket.get(), SIOCETHTOOL, &request) != 0)
        return {};
    return std::string(info.driver, strnlen(info.driver, sizeof(info.driver)));
}

std::string last_useful_line(std::string_view log)
{
    constexpr std::string_view kStatistics[] = {"processed ", "verification time ", "stack depth ",
                                                "mark_precise: ", "-- "};
    std::string_view best;
    while (!log.empty()) {
        const auto end = log.find('\n');
        const auto line = log.substr(0, end);
        log.remove_prefix(end == std::string_view::npos ? log.size() : end + 1);
        bool useful = line.find_first_not_of(" \t\r") != std::string_view::npos;
        for (const auto prefix : kStatistics)
            useful = useful && !line.starts_with(prefix);
        if (useful)
            best = line;
    }
    return std::string(best);
}

} // namespace margay::datapath
