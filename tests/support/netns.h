// SPDX-License-Identifier: Apache-2.0
// Network namespaces for tests: nodes, routers and pods on one machine.
//
// A Netns is visible to people while the test runs (`ip netns list` shows mg<pid>-<n>-<label>) and
// is gone with the object, together with every interface in it. Commands run in the network
// namespace only: the mount namespace stays the test's own, so that bpffs pins and files are seen
// on both sides (`ip netns exec` would mount anew and lose them).
//
// A thread enters with NetnsScope. Sockets keep the namespace in which they were opened, so a part
// under test may be made inside and used outside; /proc/sys/net follows the calling thread.
//
// Broken set-up ends the test program with a text: no test may pass because its world is missing.

#pragma once

#include "margay/fd.h"

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace margay::testing {

bool is_root();

struct CommandResult {
    int status = -1;    // exit status, 128 + signal when killed
    std::string output; // stdout and stderr, interleaved
    explicit operator bool() const { return status == 0; }
};

class Netns {
public:
    explicit Netns(std::string_view label);
    ~Netns();
    Netns(const Netns&) = delete;
    Netns& operator=(const Netns&) = delete;

    const std::string& name() const { return name_; }
    std::string path() const { return "/run/netns/" + name_; }
    int fd() const { return fd_.get(); }

    // Runs a shell command in this namespace and waits for it.
    CommandResult exec(const std::string& command) const;
    // The same; ends the test program when the command fails. Returns the output.
    std::string must(const std::string& command) const;

private:
    std::string name_;
    Fd fd_;
};

// The calling thread is inside `netns` for the life of this object.
class NetnsScope {
public:
    explicit NetnsScope(const Netns& netns);
    ~NetnsScope();
    NetnsScope(const NetnsScope&) = delete;
    NetnsScope& operator=(const NetnsScope&) = delete;

private:
    Fd before_;
};

template <typename F>
decltype(auto) inside(const Netns& netns, F&& function)
{
    const NetnsScope scope(netns);
    return std::forward<F>(function)();
}

// A shell command in the test's own namespace.
CommandResult run_command(const std::string& command);

// A veth pair, one end in each namespace, both up.
void add_veth(const Netns& a, const std::string& name_a, const Netns& b, const std::string& name_b);

// A process that lives as long as the object: SIGTERM, and SIGKILL after two seconds. Its output
// is collected in a file that output() reads.
class Background {
public:
    // `netns` may be null: the test's own namespace.
    Background(const Netns* netns, const std::string& command);
    ~Background();
    Background(const Background&) = delete;
    Background& operator=(const Background&) = delete;

    pid_t pid() const { return pid_; }
    std::string output() const;
    void signal(int number) const;
    // Waits for the process to end by itself; its exit status.
    int wait();
    void stop();

private:
    pid_t pid_ = -1;
    int status_ = -1;
    std::string log_;
};

// Polls until `claim` holds. The limit is generous on purpose: it bounds a failure, not a success.
bool eventually(const std::function<bool()>& claim,
                std::chrono::milliseconds limit = std::chrono::seconds(20));

} // namespace margay::testing
