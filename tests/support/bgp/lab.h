// SPDX-License-Identifier: Apache-2.0
// A laboratory for BGP sessions: a network namespace of the test process's own, with addresses to
// speak from, speakers of ours on one executor, and a BIRD beside them.
//
// The namespaces (place.h) have no name and no link to the outside; they end with the process, and
// so does every port in them, so nothing here can meet a server of the machine.

#pragma once

#include "bgp/speaker/speaker.h"

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include <sys/types.h>

namespace margay::bgp::lab {

// Once a process, before any socket. Addresses 10.99.0.1 to .9 and fd99::1 to ::9 are on the loopback
// device then, and /run is this process's own.
// False without the rights for it.
bool enter_private_network();

Ip lab_address(int host); // 10.99.0.<host>
Ip lab_address6(int host); // fd99::<host>
Prefix4 net(const std::string& text);

std::shared_ptr<spdlog::logger> lab_log(); // for speakers; MARGAY_TEST_LOG=1 makes it talk

// One speaker of ours and everything that it said.
class Node {
public:
    Node(Executor& executor, int host, std::uint16_t listen_port, bool restarting = false,
         Asn as = Asn{64512});

    Speaker& speaker() { return *speaker_; }
    const Speaker& speaker() const { return *speaker_; }
    PeerStatus peer(const std::string& name = "peer") const;
    bool up(const std::string& name = "peer") const;
    // Where `prefix` goes now, "10.99.0.2" or "10.99.0.2 10.99.0.3"; empty for nowhere.
    std::string way(const std::string& prefix) const;
    std::size_t known() const { return routes_.size(); }
    // How often the prefix was reported unreachable.
    int losses(const std::string& prefix) const;
    int turns_with_routes() const { return batches_; }
    bool synced() const { return synced_; }
    void end() { speaker_.reset(); }

private:
    std::map<Prefix4, std::vector<NextHop>> routes_;
    std::map<Prefix4, int> losses_;
    int batches_ = 0;
    bool synced_ = false;
    std::unique_ptr<Speaker> speaker_;
};

// A peer config between lab addresses with short times.
PeerConfig peer_config(int own, int host, std::uint16_t port, const std::string& name = "peer");

// Turns the executor until `done`; false after the limit.
bool run_until(Executor& executor, const std::function<bool()>& done,
               std::chrono::milliseconds limit = std::chrono::seconds(30));
void run_for(Executor& executor, std::chrono::milliseconds time);

// A process that ends with its object.
class Process {
public:
    explicit Process(const std::vector<std::string>& command, const std::string& output = "");
    ~Process();
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    void signal(int number);
    void kill(); // SIGKILL, and waits
    bool running();

private:
    pid_t pid_ = -1;
};

// BIRD 2 in the foreground with its own folder.
class Bird {
public:
    explicit Bird(std::string config);
    ~Bird();

    void start(bool recover = false); // -R: as after a graceful restart
    void configure(std::string config);
    Process& process() { return *process_; }
    std::string ask(const std::string& command); // birdc
    bool shows(const std::string& command, const std::string& text);
    std::string folder() const { return folder_; }

private:
    std::string folder_;
    std::unique_ptr<Process> process_;
};

} // namespace margay::bgp::lab
