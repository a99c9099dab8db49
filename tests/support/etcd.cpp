// SPDX-License-Identifier: Apache-2.0
#include "support/etcd.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <thread>

#include "support/process.h"

namespace margay::testing {

using namespace std::chrono_literals;

Etcd::Etcd(EtcdOptions options)
    : Etcd(options, "t", options.netns.empty() ? free_tcp_port() : std::uint16_t{2379},
           options.netns.empty() ? free_tcp_port() : std::uint16_t{2380}, {})
{
    await();
}

Etcd::Etcd(EtcdOptions options, std::string name, std::uint16_t client_port,
           std::uint16_t peer_port, std::string initial_cluster)
    : options_(std::move(options)), name_(std::move(name)), folder_(make_temp_folder("etcd")),
      client_port_(client_port), peer_port_(peer_port), initial_cluster_(std::move(initial_cluster))
{
    if (options_.tls)
        make_certificates();
    spawn();
}

Etcd::~Etcd()
{
    kill();
    std::filesystem::remove_all(folder_);
}

std::vector<std::unique_ptr<Etcd>> Etcd::cluster(int members)
{
    std::vector<std::uint16_t> peer_ports;
    std::string initial;
    for (int i = 0; i < members; i++) {
        peer_ports.push_back(free_tcp_port());
        initial += (i ? ",m" : "m") + std::to_string(i) +
                   "=http://127.0.0.1:" + std::to_string(peer_ports.back());
    }
    std::vector<std::unique_ptr<Etcd>> cluster;
    for (int i = 0; i < members; i++)
        cluster.push_back(
            std::unique_ptr<Etcd>(new Etcd({}, "m" + std::to_string(i), free_tcp_port(),
                                           peer_ports[static_cast<std::size_t>(i)], initial)));
    for (auto& member : cluster)
        member->await();
    return cluster;
}

std::string Etcd::url() const
{
    return (options_.tls ? "https://" : "http://") + options_.address + ":" +
           std::to_string(client_port_);
}

std::string Etcd::peer_url() const
{
    return "http://" + options_.address + ":" + std::to_string(peer_port_);
}

store::StoreConfig Etcd::config() const
{
    store::StoreConfig config;
    config.endpoints = {url()};
    config.dial_timeout = 2s;
    config.probe_interval = 1s;
    if (options_.tls) {
        config.ca_file = folder_ + "/ca.pem";
        config.cert_file = folder_ + "/client.pem";
        config.key_file = folder_ + "/client.key";
    }
    if (!password_.empty()) {
        config.username = "root";
        config.password = password_;
    }
    return config;
}

void Etcd::spawn()
{
    const std::string cluster =
        initial_cluster_.empty() ? name_ + "=" + peer_url() : initial_cluster_;
    std::vector<std::string> command{"etcd",
                                     "--name",
                                     name_,
                                     "--data-dir",
                                     folder_ + "/data",
                                     "--logger",
                                     "zap",
                                     "--listen-client-urls",
                                     url(),
                                     "--advertise-client-urls",
                                     url(),
                                     "--listen-peer-urls",
                                     peer_url(),
                                     "--initial-advertise-peer-urls",
                                     peer_url(),
                                     "--initial-cluster",
                                     cluster,
                                     "--initial-cluster-state",
                                     "new",
                                     "--heartbeat-interval",
                                     "50",
                                     "--election-timeout",
                                     "500",
                                     "--max-request-bytes",
                                     std::to_string(16 << 20)};
    if (options_.tls) {
        for (const char* arg : {"--client-cert-auth", "--trusted-ca-file", "/ca.pem", "--cert-file",
                                "/server.pem", "--key-file", "/server.key"})
            command.push_back(*arg == '/' ? folder_ + arg : arg);
    }
    pid_ = testing::spawn(in_netns(command), folder_ + "/log");
}

void Etcd::await()
{
    const auto limit = std::chrono::steady_clock::now() + 60s;
    while (run(ctl_command({"get", "/", "--keys-only"})).exit_code != 0) {
        if (std::chrono::steady_clock::now() > limit)
            give_up("it does not answer");
        if (::waitpid(pid_, nullptr, WNOHANG) == pid_) {
            pid_ = -1;
            give_up("it has ended");
        }
        std::this_thread::sleep_for(50ms);
    }
}

void Etcd::kill()
{
    kill_and_wait(std::exchange(pid_, -1));
}

void Etcd::restart()
{
    kill();
    spawn();
    await();
}

void Etcd::pause()
{
    ::kill(pid_, SIGSTOP);
    // Its threads go on for a moment and may still answer somebody.
    ::waitpid(pid_, nullptr, WUNTRACED);
}

void Etcd::resume()
{
    ::kill(pid_, SIGCONT);
}

void Etcd::wipe()
{
    kill();
    std::filesystem::remove_all(folder_ + "/data");
    password_.clear();
}

void Etcd::enable_auth(const std::string& password)
{
    ctl({"user", "add", "root:" + password});
    ctl({"user", "grant-role", "root", "root"});
    ctl({"auth", "enable"});
    password_ = password;
}

void Etcd::put(const std::string& key, const std::string& value)
{
    ctl({"put", key, value});
}

void Etcd::remove(const std::string& key)
{
    ctl({"del", key});
}

void Etcd::compact()
{
    ctl({"compact", std::to_string(revision())});
}

std::int64_t Etcd::revision()
{
    const std::string out = ctl({"get", "/", "-w", "json"});
    const std::string field = "\"revision\":";
    const auto at = out.find(field);
    if (at == std::string::npos)
        give_up("no revision in " + out);
    return std::strtoll(out.c_str() + at + field.size(), nullptr, 10);
}

std::string Etcd::ctl(std::vector<std::string> args)
{
    const auto done = run(ctl_command(args));
    if (done.exit_code != 0)
        give_up("etcdctl " + args.front() + ": " + done.out);
    return done.out;
}

std::vector<std::string> Etcd::ctl_command(std::vector<std::string> args) const
{
    std::vector<std::string> command{"env",         "ETCDCTL_API=3", "etcdctl",
                                     "--endpoints", url(),           "--command-timeout=5s"};
    if (options_.tls) {
        for (const char* arg :
             {"--cacert", "/ca.pem", "--cert", "/client.pem", "--key", "/client.key"})
            command.push_back(*arg == '/' ? folder_ + arg : arg);
    }
    if (!password_.empty())
        command.insert(command.end(), {"--user", "root:" + password_});
    command.insert(command.end(), args.begin(), args.end());
    return in_netns(std::move(command));
}

std::vector<std::string> Etcd::in_netns(std::vector<std::string> command) const
{
    if (!options_.netns.empty())
        command.insert(command.begin(), {"ip", "netns", "exec", options_.netns});
    return command;
}

void Etcd::make_certificates()
{
    const std::string extensions = folder_ + "/san.cnf";
    write_file(extensions, "subjectAltName=IP:" + options_.address + "\n");
    const auto openssl = [this](std::vector<std::string> args) {
        args.insert(args.begin(), "openssl");
        if (const auto done = run(args); done.exit_code != 0)
            give_up(done.out);
    };
    const auto file = [this](const char* name) { return folder_ + "/" + name; };
    const std::vector<std::string> new_key{"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                                           "-nodes"};
    const auto request = [&](std::vector<std::string> args) {
        args.insert(args.begin(), "req");
        args.insert(args.end(), new_key.begin(), new_key.end());
        openssl(args);
    };
    request({"-x509", "-subj", "/CN=margay test CA", "-days", "2", "-keyout", file("ca.key"),
             "-out", file("ca.pem")});
    for (const std::string who : {"server", "client"}) {
        request({"-new", "-subj", "/CN=" + who, "-keyout", folder_ + "/" + who + ".key", "-out",
                 folder_ + "/" + who + ".csr"});
        openssl({"x509", "-req", "-in", folder_ + "/" + who + ".csr", "-CA", file("ca.pem"),
                 "-CAkey", file("ca.key"), "-CAcreateserial", "-days", "2", "-extfile", extensions,
                 "-out", folder_ + "/" + who + ".pem"});
    }
}

void Etcd::give_up(const std::string& why) const
{
    const std::string log = read_file(folder_ + "/log");
    std::cerr << "etcd " << url() << ": " << why << "\n"
              << log.substr(log.size() > 4000 ? log.size() - 4000 : 0) << std::endl;
    if (pid_ > 0)
        ::kill(pid_, SIGKILL);
    std::abort();
}

} // namespace margay::testing
