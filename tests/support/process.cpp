// SPDX-License-Identifier: Apache-2.0
#include "support/process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "margay/fd.h"

namespace margay::testing {
namespace {

std::vector<char*> argv_of(const std::vector<std::string>& command)
{
    std::vector<char*> argv;
    for (const std::string& arg : command)
        argv.push_back(const_cast<char*>(arg.c_str()));
    argv.push_back(nullptr);
    return argv;
}

// In the child. Does not return.
[[noreturn]] void become(std::vector<char*>& argv, int output)
{
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(output, STDOUT_FILENO);
    ::dup2(output, STDERR_FILENO);
    ::execvp(argv[0], argv.data());
    ::_exit(127);
}

int exit_code(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

} // namespace

RunResult run(const std::vector<std::string>& command)
{
    auto argv = argv_of(command);
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
        std::abort();
    Fd reader(ends[0]);
    Fd writer(ends[1]);
    const pid_t pid = ::fork();
    if (pid == 0)
        become(argv, writer.get());
    writer.reset();
    RunResult result;
    char buffer[4096];
    for (ssize_t n = 0; (n = ::read(reader.get(), buffer, sizeof(buffer))) > 0;)
        result.out.append(buffer, static_cast<std::size_t>(n));
    int status = 0;
    ::waitpid(pid, &status, 0);
    result.exit_code = exit_code(status);
    return result;
}

pid_t spawn(const std::vector<std::string>& command, const std::string& log_file)
{
    auto argv = argv_of(command);
    const Fd log(::open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
    const pid_t pid = ::fork();
    if (pid == 0)
        become(argv, log.get());
    return pid;
}

void kill_and_wait(pid_t pid)
{
    if (pid < 1)
        return;
    ::kill(pid, SIGKILL);
    int status = 0;
    ::waitpid(pid, &status, 0);
}

std::string make_temp_folder(const std::string& name)
{
    std::string path = "/tmp/mg-" + name + "-XXXXXX";
    if (!::mkdtemp(path.data()))
        std::abort();
    return path;
}

std::uint16_t free_tcp_port()
{
    const Fd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in addr{};
    addr.sin_family = AF_INET;
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(addr);
    auto* raw = reinterpret_cast<sockaddr*>(&addr);
    if (::bind(probe.get(), raw, size) != 0 || ::getsockname(probe.get(), raw, &size) != 0)
        std::abort();
    return ntohs(addr.sin_port);
}

std::string read_file(const std::string& path)
{
    std::ifstream in(path, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

void write_file(const std::string& path, const std::string& text)
{
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

} // namespace margay::testing
