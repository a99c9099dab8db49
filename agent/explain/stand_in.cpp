// SPDX-License-Identifier: Apache-2.0
#include "agent/explain/stand_in.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

namespace margay::explain {
namespace {

constexpr const char* kMarks[] = {"is", "margayd"}; // the words between its name and our number
constexpr uid_t kNobody = 65534;

// Nothing of what the parent may do and holds. Failures mean that there was nothing to give up.
void give_up_all()
{
    ::close_range(0, ~0U, 0);
    (void)::chdir("/");
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (::geteuid() != 0)
        return;
    if (::setgroups(0, nullptr) != 0 || ::setresgid(kNobody, kNobody, kNobody) != 0 ||
        ::setresuid(kNobody, kNobody, kNobody) != 0)
        ::_exit(1);
}

// A pidfd and not PR_SET_PDEATHSIG: that is of the thread that made us, and needs CAP_KILL once we are
// somebody else.
int wait_for_end_of(pid_t parent)
{
    const int end = static_cast<int>(::syscall(SYS_pidfd_open, parent, 0));
    if (end < 0 || ::getppid() != parent) // it ended before; its number may be another's by now
        return 0;
    pollfd wait{end, POLLIN, 0};
    while (::poll(&wait, 1, -1) < 0 && errno == EINTR)
        continue;
    return 0;
}

} // namespace

Result<StandIn> StandIn::start(const std::string& name)
{
    const std::string number = std::to_string(::getpid());
    std::array<const char*, 5> words{name.c_str(), kMarks[0], kMarks[1], number.c_str(), nullptr};
    std::array<char*, 5> argv{};
    for (std::size_t i = 0; i < words.size(); ++i)
        argv[i] = const_cast<char*>(words[i]); // posix_spawn leaves them as they are
    char* nothing[] = {nullptr};
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    sigset_t none;
    ::sigemptyset(&none);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setpgroup(&attributes, 0); // a terminal's ^C is not for it
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    pid_t pid = -1;
    const int failed =
        ::posix_spawn(&pid, "/proc/self/exe", nullptr, &attributes, argv.data(), nothing);
    ::posix_spawnattr_destroy(&attributes);
    if (failed != 0)
        return system_error(failed, "process " + name);
    return StandIn(pid);
}

StandIn::~StandIn()
{
    if (pid_ <= 0)
        return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
}

bool StandIn::running()
{
    if (pid_ > 0 && ::waitpid(pid_, nullptr, WNOHANG) != 0)
        pid_ = -1;
    return pid_ > 0;
}

std::optional<int> stand_in(int argc, char** argv)
{
    if (argc != 4 || std::strcmp(argv[1], kMarks[0]) != 0 || std::strcmp(argv[2], kMarks[1]) != 0)
        return std::nullopt;
    pid_t parent = 0;
    const char* end = argv[3] + std::strlen(argv[3]);
    const auto [stop, error] = std::from_chars(argv[3], end, parent);
    if (error != std::errc() || stop != end)
        return std::nullopt;
    ::prctl(PR_SET_NAME, argv[0], 0, 0, 0);
    give_up_all();
    return wait_for_end_of(parent);
}

} // namespace margay::explain
