// SPDX-License-Identifier: Apache-2.0
#include "bench/bgp/daemon.h"

#include <cerrno>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

namespace margay::bgp_bench {

namespace lab = bgp::lab;

namespace {

const std::string kFolder = "/run/margay-bench";

// Hundreds of sessions need more files than the usual 1,024, on both sides.
void allow_many_files()
{
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = std::min<rlim_t>(files.rlim_max, 65536);
    ::setrlimit(RLIMIT_NOFILE, &files);
}

// utime and stime, fields 14 and 15 of proc_pid_stat(5). The second field is a name in brackets
// that may contain spaces.
double cpu_ms_of(pid_t pid)
{
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string text;
    std::getline(file, text);
    std::istringstream fields(text.substr(text.rfind(')') + 1));
    std::string skipped;
    for (int field = 3; field < 14; ++field)
        fields >> skipped;
    double user = 0, system = 0;
    fields >> user >> system;
    return (user + system) * 1000 / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

double peak_rss_mib_of(pid_t pid)
{
    std::ifstream file("/proc/" + std::to_string(pid) + "/status");
    for (std::string word; file >> word;) {
        double kib = 0;
        if (word == "VmHWM:" && file >> kib)
            return kib / 1024;
    }
    return 0;
}

} // namespace

Status enter_private_place(const std::vector<Ipv4>& addresses)
{
    allow_many_files();
    std::vector<std::string> hosts;
    for (const Ipv4& address : addresses)
        hosts.push_back(address.str() + "/32");
    if (Status status = lab::enter_private_place(hosts, {"10.0.0.0/8"}); !status)
        return status;
    if (::mkdir(kFolder.c_str(), 0755) != 0)
        return system_error(errno, "make the daemon's folder in a private /run");
    return {};
}

Status Daemon::start(const Device& device, const Setup& setup)
{
    const auto program = installed_program(device);
    if (!program)
        return Error{Errc::NotFound, 0,
                     std::string(device.name) + " is not installed: " + remedy(device)};
    const Launch launch = device.launch(*program, kFolder, setup);
    if (!launch.config_file.empty()) {
        // Passwords could be in it: OpenBGPD refuses a file that others can read.
        ::umask(077);
        std::ofstream(kFolder + "/" + launch.config_file) << launch.config;
        ::umask(022);
    }
    return process_.start(launch.argv, log_file());
}

Usage Daemon::usage() const
{
    Usage usage;
    for (const pid_t pid : process_.processes()) {
        usage.cpu_ms += cpu_ms_of(pid);
        usage.peak_rss_mib += peak_rss_mib_of(pid);
    }
    return usage;
}

std::optional<Turns> Daemon::end_and_ask_turns()
{
    process_.terminate();
    std::optional<Turns> told;
    std::ifstream file(log_file());
    for (std::string line; std::getline(file, line);) {
        Turns turns;
        if (std::sscanf(line.c_str(), "turns %*u long %zu worst %lf ms", &turns.long_turns,
                        &turns.worst_ms) == 2)
            told = turns;
    }
    return told;
}

std::string Daemon::last_words() const
{
    std::ifstream file(log_file());
    std::deque<std::string> lines;
    for (std::string line; std::getline(file, line);) {
        lines.push_back(line);
        if (lines.size() > 3)
            lines.pop_front();
    }
    std::string text;
    for (const std::string& line : lines)
        text += (text.empty() ? "" : " | ") + line;
    return text.empty() ? "it wrote nothing" : text;
}

std::string Daemon::log_file() const
{
    return kFolder + "/log";
}

} // namespace margay::bgp_bench
