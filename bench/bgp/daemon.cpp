// SPDX-License-Identifier: Apache-2.0
#include "bench/bgp/daemon.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace margay::bgp_bench {
namespace {

const std::string kFolder = "/run/margay-bench";

Status own_tmpfs(const char* where)
{
    if (::mount("tmpfs", where, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") != 0)
        return system_error(errno, std::string("mount a private ") + where);
    return {};
}

Status add_addresses(const std::vector<Ipv4>& addresses)
{
    FILE* pipe = ::popen("ip -batch -", "w");
    if (!pipe)
        return system_error(errno, "start ip");
    std::fprintf(pipe, "link set lo up\n");
    for (const Ipv4& address : addresses)
        std::fprintf(pipe, "addr add %s/32 dev lo\n", address.str().c_str());
    if (::pclose(pipe) != 0)
        return Error{Errc::System, 0, "add addresses to lo in a private namespace: ip failed"};
    return {};
}

// Hundreds of sessions need more files than the usual 1,024, on both sides.
void allow_many_files()
{
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = std::min<rlim_t>(files.rlim_max, 65536);
    ::setrlimit(RLIMIT_NOFILE, &files);
}

std::vector<char*> arguments(const std::vector<std::string>& argv)
{
    std::vector<char*> pointers;
    for (const std::string& word : argv)
        pointers.push_back(const_cast<char*>(word.c_str()));
    pointers.push_back(nullptr);
    return pointers;
}

[[noreturn]] void become(const std::vector<std::string>& argv, const std::string& log)
{
    // Standard input stays open and silent: the end of it means something to some daemons.
    std::array<int, 2> silent{};
    if (::pipe(silent.data()) == 0)
        ::dup2(silent[0], STDIN_FILENO);
    if (const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644); out >= 0) {
        ::dup2(out, STDOUT_FILENO);
        ::dup2(out, STDERR_FILENO);
    }
    ::execv(argv.front().c_str(), arguments(argv).data());
    std::perror(argv.front().c_str());
    ::_exit(127);
}

// Process 1 of its namespace: the kernel kills all others when it ends, and it ends with the
// benchmark, which may be killed, or with the daemon.
[[noreturn]] void keep(const std::vector<std::string>& argv, const std::string& log)
{
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const pid_t daemon = ::fork();
    if (daemon == 0)
        become(argv, log);
    for (;;) {
        int status = 0;
        const pid_t ended = ::wait(&status); // orphans of the daemon come here, too
        if (ended == daemon || (ended < 0 && errno != EINTR))
            ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
    }
}

std::vector<pid_t> children_of(pid_t pid)
{
    const std::string task = std::to_string(pid);
    std::ifstream file("/proc/" + task + "/task/" + task + "/children");
    std::vector<pid_t> children;
    for (pid_t child = 0; file >> child;)
        children.push_back(child);
    return children;
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
    if (::unshare(CLONE_NEWNET | CLONE_NEWNS) != 0)
        return system_error(errno, "make private namespaces (needs root)");
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
        return system_error(errno, "make mounts private");
    // Besides its own folder a daemon may write to /run, and FRR to /var/tmp.
    for (const char* where : {"/run", "/var/tmp"})
        if (Status status = own_tmpfs(where); !status)
            return status;
    if (::mkdir(kFolder.c_str(), 0755) != 0 || ::mkdir("/run/openbgpd", 0755) != 0)
        return system_error(errno, "make the daemon's folder in a private /run");
    if (Status status = add_addresses(addresses); !status)
        return status;
    // Last: whatever is started next is process 1 there, and that must be the keeper.
    if (::unshare(CLONE_NEWPID) != 0)
        return system_error(errno, "make a private process namespace");
    return {};
}

Daemon::~Daemon()
{
    if (keeper_ <= 0)
        return;
    ::kill(keeper_, SIGKILL);
    ::waitpid(keeper_, nullptr, 0);
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
    std::fflush(nullptr);
    keeper_ = ::fork();
    if (keeper_ == 0)
        keep(launch.argv, log_file());
    if (keeper_ < 0)
        return system_error(errno, "start " + *program);
    return {};
}

bool Daemon::running()
{
    if (keeper_ <= 0)
        return false;
    if (::waitpid(keeper_, nullptr, WNOHANG) == 0)
        return true;
    keeper_ = -1;
    return false;
}

Usage Daemon::usage() const
{
    Usage usage;
    std::vector<pid_t> pids = keeper_ > 0 ? children_of(keeper_) : std::vector<pid_t>{};
    for (std::size_t i = 0; i < pids.size(); ++i) {
        const pid_t pid = pids[i];
        usage.cpu_ms += cpu_ms_of(pid);
        usage.peak_rss_mib += peak_rss_mib_of(pid);
        const std::vector<pid_t> more = children_of(pid);
        pids.insert(pids.end(), more.begin(), more.end());
    }
    return usage;
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
