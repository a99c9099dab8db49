// SPDX-License-Identifier: Apache-2.0
// Etcd: a real etcd server of a test's own, in a temporary folder, that dies with the test.
//
// On the host it takes free ports of 127.0.0.1; in a network namespace, 2379 and 2380 of the
// address given. Everything waits until etcd answers; what goes wrong ends the test program with
// the tail of etcd's log, because nothing after it could mean anything.

#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "agent/store/store.h"

namespace margay::testing {

struct EtcdOptions {
    std::string netns{};               // run inside this one (made by the test)
    std::string address = "127.0.0.1"; // to listen on
    bool tls = false;                  // server and client certificates, made on the spot
};

class Etcd {
public:
    // Starts it and waits until it answers.
    explicit Etcd(EtcdOptions options = {});
    Etcd(const Etcd&) = delete;
    Etcd& operator=(const Etcd&) = delete;
    ~Etcd(); // SIGKILL, folder removed

    // Members of one cluster, all started.
    static std::vector<std::unique_ptr<Etcd>> cluster(int members);

    std::string url() const;
    // For make_store() and make_kv(): endpoint, TLS files, user. Probe and dial times are short,
    // so that tests of loss and recovery take seconds.
    store::StoreConfig config() const;

    void kill(); // SIGKILL
    void restart(); // on the same data and ports; waits until it answers
    void pause(); // SIGSTOP; returns when it has stopped
    void resume(); // SIGCONT
    void wipe(); // kills it and deletes its data; restart() gives an empty etcd

    // User "root" with this password, authentication on.
    void enable_auth(const std::string& password);

    void put(const std::string& key, const std::string& value);
    void remove(const std::string& key);
    void compact(); // up to the present revision
    std::int64_t revision();
    // etcdctl with endpoint, TLS and user set; gives its standard output.
    std::string ctl(std::vector<std::string> args);

    const std::string& folder() const { return folder_; } // ca.pem, client.pem, client.key, log
    pid_t pid() const { return pid_; }

private:
    Etcd(EtcdOptions options, std::string name, std::uint16_t client_port, std::uint16_t peer_port,
         std::string initial_cluster);
    void spawn();
    void await();
    void make_certificates();
    std::vector<std::string> ctl_command(std::vector<std::string> args) const;
    std::vector<std::string> in_netns(std::vector<std::string> command) const;
    std::string peer_url() const;
    [[noreturn]] void give_up(const std::string& why) const;

    EtcdOptions options_;
    std::string name_ = "t";
    std::string folder_;
    std::uint16_t client_port_ = 0;
    std::uint16_t peer_port_ = 0;
    std::string initial_cluster_; // empty: this one alone
    std::string password_; // empty: no authentication
    pid_t pid_ = -1;
};

} // namespace margay::testing
