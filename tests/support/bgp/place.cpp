// SPDX-License-Identifier: Apache-2.0
#include "support/bgp/place.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <fstream>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace margay::bgp::lab {
namespace {

Status own_tmpfs(const char* where)
{
    if (::mount("tmpfs", where, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") != 0)
        return system_error(errno, std::string("mount a private ") + where);
    return {};
}

Status fill_loopback(const std::vector<std::string>& addresses,
                     const std::vector<std::string>& networks)
{
    FILE* pipe = ::popen("ip -batch -", "w");
    if (!pipe)
        return system_error(errno, "start ip");
    std::fprintf(pipe, "link set lo up\n");
    for (const std::string& address : addresses)
        std::fprintf(pipe, "addr add %s dev lo\n", address.c_str());
    for (const std::string& network : networks)
        std::fprintf(pipe, "route add %s dev lo\n", network.c_str());
    if (::pclose(pipe) != 0)
        return Error{Errc::System, 0, "give lo its addresses in a private namespace: ip failed"};
    return {};
}

[[noreturn]] void become(const std::vector<std::string>& command, const std::string& log)
{
    // Standard input stays open and silent: the end of it means something to some daemons.
    std::array<int, 2> silent{};
    if (::pipe(silent.data()) == 0)
        ::dup2(silent[0], STDIN_FILENO);
    if (const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644); out >= 0) {
        ::dup2(out, STDOUT_FILENO);
        ::dup2(out, STDERR_FILENO);
    }
    std::vector<char*> argv;
    for (const std::string& word : command)
        argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    ::execvp(argv[0], argv.data());
    std::perror(argv[0]);
    ::_exit(127);
}

// Process 1 of its namespace: the kernel kills all others when it ends, and it ends with the test,
// which may be killed, or with the daemon.
[[noreturn]] void keep(const std::vector<std::string>& command, const std::string& log)
{
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const pid_t daemon = ::fork();
    if (daemon == 0)
        become(command, log);
    for (;;) {
        int status = 0;
        const pid_t ended = ::wait(&status); // orphans of the daemon come here, too
        if (ended == daemon || (ended < 0 && errno != EINTR))
            ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
    }
}

// fork() into a new process namespace. unshare() can be had once only.
pid_t fork_contained()
{
    return static_cast<pid_t>(::syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0));
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

} // namespace

Status enter_private_place(const std::vector<std::string>& addresses,
                           const std::vector<std::string>& networks)
{
    if (::unshare(CLONE_NEWNET | CLONE_NEWNS) != 0)
        return system_error(errno, "make private namespaces (needs root)");
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
        return system_error(errno, "make mounts private");
    // Besides its own folder a daemon may write to /run, and FRR to /var/tmp.
    for (const char* where : {"/run", "/var/tmp"})
        if (Status status = own_tmpfs(where); !status)
            return status;
    if (::mkdir("/run/openbgpd", 0755) != 0) // where OpenBGPD locks itself in
        return system_error(errno, "make a folder in a private /run");
    return fill_loopback(addresses, networks);
}

Status Contained::start(const std::vector<std::string>& command, const std::string& log)
{
    kill();
    std::fflush(nullptr);
    keeper_ = fork_contained();
    if (keeper_ == 0)
        keep(command, log);
    if (keeper_ < 0)
        return system_error(errno, "start " + command.front());
    return {};
}

bool Contained::running()
{
    if (keeper_ <= 0)
        return false;
    if (::waitpid(keeper_, nullptr, WNOHANG) == 0)
        return true;
    keeper_ = -1;
    return false;
}

void Contained::terminate()
{
    if (keeper_ <= 0)
        return;
    for (const pid_t daemon : children_of(keeper_))
        ::kill(daemon, SIGTERM);
    ::waitpid(keeper_, nullptr, 0);
    keeper_ = -1;
}

void Contained::kill()
{
    if (keeper_ <= 0)
        return;
    ::kill(keeper_, SIGKILL);
    ::waitpid(keeper_, nullptr, 0);
    keeper_ = -1;
}

std::vector<pid_t> Contained::processes() const
{
    std::vector<pid_t> pids = keeper_ > 0 ? children_of(keeper_) : std::vector<pid_t>{};
    for (std::size_t i = 0; i < pids.size(); ++i) {
        const std::vector<pid_t> more = children_of(pids[i]);
        pids.insert(pids.end(), more.begin(), more.end());
    }
    return pids;
}

} // namespace margay::bgp::lab
