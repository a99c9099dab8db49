// SPDX-License-Identifier: Apache-2.0
#include "support/netns.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>

namespace margay::testing {
namespace {

[[noreturn]] void give_up(const std::string& what)
{
    std::fprintf(stderr, "test set-up failed: %s\n", what.c_str());
    std::exit(70);
}

// Names of the namespaces that live, so that give_up(), which skips destructors, leaves none.
struct LiveNames {
    std::set<std::string> names;
    ~LiveNames()
    {
        for (const std::string& name : names)
            (void)run_command("ip netns del " + name);
    }
};

LiveNames& live()
{
    static LiveNames names;
    return names;
}

Fd open_or_die(const std::string& path, int flags)
{
    Fd fd(::open(path.c_str(), flags | O_CLOEXEC, 0600));
    if (!fd.valid())
        give_up(path + ": " + std::strerror(errno));
    return fd;
}

// Forks a shell whose output goes to `out`, in the namespace `netns` (-1: ours), as the leader of
// a process group of its own, so that a pipeline ends as a whole.
pid_t spawn(int netns, const std::string& command, int out)
{
    const pid_t pid = ::fork();
    if (pid < 0)
        give_up(std::string("fork: ") + std::strerror(errno));
    if (pid > 0) {
        ::setpgid(pid, pid); // both sides do it: whoever is first
        return pid;
    }
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL); // a crashed test leaves no process
    if (netns >= 0 && ::setns(netns, CLONE_NEWNET) != 0)
        ::_exit(126);
    const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    ::dup2(null, STDIN_FILENO);
    ::dup2(out, STDOUT_FILENO);
    ::dup2(out, STDERR_FILENO);
    ::execl("/bin/sh", "sh", "-c", command.c_str(), static_cast<char*>(nullptr));
    ::_exit(127);
}

int exit_status(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

CommandResult run_in(int netns, const std::string& command)
{
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
        give_up(std::string("pipe: ") + std::strerror(errno));
    Fd reader(ends[0]);
    Fd writer(ends[1]);
    const pid_t pid = spawn(netns, command, writer.get());
    writer.reset();

    CommandResult result;
    char buffer[4096];
    for (ssize_t n; (n = ::read(reader.get(), buffer, sizeof(buffer))) > 0;)
        result.output.append(buffer, static_cast<std::size_t>(n));
    int status = 0;
    ::waitpid(pid, &status, 0);
    result.status = exit_status(status);
    return result;
}

} // namespace

bool is_root()
{
    return ::geteuid() == 0;
}

CommandResult run_command(const std::string& command)
{
    return run_in(-1, command);
}

Netns::Netns(std::string_view label)
{
    static int count = 0;
    name_ = "mg" + std::to_string(::getpid()) + "-" + std::to_string(count++) + "-" +
            std::string(label);
    const CommandResult made = run_command("ip netns add " + name_);
    if (!made)
        give_up("ip netns add " + name_ + ": " + made.output);
    live().names.insert(name_);
    fd_ = open_or_die(path(), O_RDONLY);
    must("ip link set lo up");
}

Netns::~Netns()
{
    fd_.reset();
    (void)run_command("ip netns del " + name_);
    live().names.erase(name_);
}

CommandResult Netns::exec(const std::string& command) const
{
    return run_in(fd_.get(), command);
}

std::string Netns::must(const std::string& command) const
{
    CommandResult result = exec(command);
    if (!result)
        give_up(name_ + ": " + command + ": " + result.output);
    return std::move(result.output);
}

NetnsScope::NetnsScope(const Netns& netns)
    : before_(open_or_die("/proc/thread-self/ns/net", O_RDONLY))
{
    if (::setns(netns.fd(), CLONE_NEWNET) != 0)
        give_up("enter " + netns.name() + ": " + std::strerror(errno));
}

NetnsScope::~NetnsScope()
{
    if (::setns(before_.get(), CLONE_NEWNET) != 0)
        give_up(std::string("leave a namespace: ") + std::strerror(errno));
}

void add_veth(const Netns& a, const std::string& name_a, const Netns& b, const std::string& name_b)
{
    a.must("ip link add " + name_a + " type veth peer name " + name_b + " netns " + b.name() +
           " && ip link set " + name_a + " up");
    b.must("ip link set " + name_b + " up");
}

Background::Background(const Netns* netns, const std::string& command)
{
    char path[] = "/tmp/mg-background-XXXXXX";
    Fd out(::mkostemp(path, O_CLOEXEC));
    if (!out.valid())
        give_up(std::string("temporary file: ") + std::strerror(errno));
    log_ = path;
    pid_ = spawn(netns ? netns->fd() : -1, command, out.get());
}

Background::~Background()
{
    stop();
    ::unlink(log_.c_str());
}

std::string Background::output() const
{
    std::ifstream file(log_);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

void Background::signal(int number) const
{
    if (pid_ > 0)
        ::kill(-pid_, number);
}

int Background::wait()
{
    if (pid_ <= 0)
        return status_;
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return status_ = exit_status(status);
}

void Background::stop()
{
    if (pid_ <= 0)
        return;
    signal(SIGTERM);
    int status = 0;
    const bool ended = eventually([&] { return ::waitpid(pid_, &status, WNOHANG) == pid_; },
                                  std::chrono::seconds(2));
    if (!ended) {
        signal(SIGKILL);
        ::waitpid(pid_, &status, 0);
    }
    pid_ = -1;
    status_ = exit_status(status);
}

bool eventually(const std::function<bool()>& claim, std::chrono::milliseconds limit)
{
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!claim()) {
        if (std::chrono::steady_clock::now() >= end)
            return false;
        ::usleep(10'000);
    }
    return true;
}

} // namespace margay::testing
