// SPDX-License-Identifier: Apache-2.0
#include "support/bgp/lab.h"

#include "margay/log.h"
#include "support/bgp/place.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace margay::bgp::lab {
namespace {

constexpr int kHosts = 9;

} // namespace

std::shared_ptr<spdlog::logger> lab_log()
{
    static const auto log = [] {
        auto made = std::make_shared<spdlog::logger>(
            "bgp", std::make_shared<spdlog::sinks::stderr_sink_st>());
        const bool loud = std::getenv("MARGAY_TEST_LOG") != nullptr;
        made->set_level(loud ? spdlog::level::trace : spdlog::level::off);
        return made;
    }();
    return log;
}

bool enter_private_network()
{
    static const bool entered = [] {
        std::vector<std::string> addresses;
        for (int host = 1; host <= kHosts; ++host) {
            addresses.push_back(lab_address(host).str() + "/32");
            addresses.push_back(lab_address6(host).str() + "/128 nodad");
        }
        const Status status = enter_private_place(addresses, {"10.99.0.0/24", "fd99::/64"});
        if (!status)
            std::fprintf(stderr, "%s\n", status.error().what.c_str());
        return static_cast<bool>(status);
    }();
    return entered;
}

Ip lab_address(int host)
{
    return Ipv4(0x0a630000 + static_cast<std::uint32_t>(host));
}

Ip lab_address6(int host)
{
    return Ipv6::parse("fd99::" + std::to_string(host)).value();
}

Prefix4 net(const std::string& text)
{
    return Prefix4::parse(text).value();
}

// ---- Node --------------------------------------------------------------------------------------

Node::Node(Executor& executor, int host, std::uint16_t listen_port, bool restarting, Asn as)
{
    SpeakerConfig config;
    config.local_as = as;
    config.router_id = lab_address(host).v4();
    config.listen_port = listen_port;
    config.listen_address = lab_address(host);
    config.restarting = restarting;
    config.restart_time = Seconds(20);
    Callbacks callbacks;
    callbacks.on_routes = [this](std::span<const RouteChange> changes) {
        ++batches_;
        for (const RouteChange& change : changes) {
            if (change.best.empty()) {
                routes_.erase(change.prefix);
                ++losses_[change.prefix];
            } else {
                routes_[change.prefix].assign(change.best.begin(), change.best.end());
            }
        }
    };
    callbacks.on_initial_sync_done = [this] { synced_ = true; };
    speaker_ = std::make_unique<Speaker>(executor, lab_log(), config, std::move(callbacks));
    if (const Status listening = speaker_->listen(); !listening)
        std::fprintf(stderr, "%s\n", listening.error().what.c_str());
}

PeerStatus Node::peer(const std::string& name) const
{
    for (const PeerStatus& status : speaker_->peers())
        if (status.name == name)
            return status;
    return {};
}

bool Node::up(const std::string& name) const
{
    return peer(name).state == State::Established;
}

std::string Node::way(const std::string& prefix) const
{
    const auto found = routes_.find(net(prefix));
    std::string text;
    if (found != routes_.end())
        for (const NextHop& hop : found->second)
            text += (text.empty() ? "" : " ") + hop.gateway.str();
    return text;
}

int Node::losses(const std::string& prefix) const
{
    const auto found = losses_.find(net(prefix));
    return found == losses_.end() ? 0 : found->second;
}

PeerConfig peer_config(int own, int host, std::uint16_t port, const std::string& name)
{
    PeerConfig config;
    config.name = name;
    config.address = lab_address(host);
    config.port = port;
    config.remote_as = Asn{64512};
    config.source = lab_address(own);
    config.connect_retry = std::chrono::milliseconds(200);
    config.idle_hold = std::chrono::milliseconds(200);
    return config;
}

bool run_until(Executor& executor, const std::function<bool()>& done,
               std::chrono::milliseconds limit)
{
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!done()) {
        if (std::chrono::steady_clock::now() > end)
            return false;
        run_for(executor, std::chrono::milliseconds(2));
    }
    return true;
}

void run_for(Executor& executor, std::chrono::milliseconds time)
{
    executor.restart();
    executor.run_for(time);
    // With nothing to wait for, run_for() returns at once.
    if (executor.stopped())
        ::usleep(1000);
}

// ---- Process -----------------------------------------------------------------------------------

Process::Process(const std::vector<std::string>& command, const std::string& output)
{
    pid_ = ::fork();
    if (pid_ != 0)
        return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL); // never outlives the test
    const char* file = output.empty() ? "/dev/null" : output.c_str();
    const int out = ::open(file, O_WRONLY | O_CREAT | O_APPEND, 0644);
    ::dup2(out, STDOUT_FILENO);
    ::dup2(out, STDERR_FILENO);
    std::vector<char*> argv;
    for (const std::string& word : command)
        argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    ::execvp(argv[0], argv.data());
    ::_exit(127);
}

Process::~Process()
{
    kill();
}

void Process::signal(int number)
{
    if (pid_ > 0)
        ::kill(pid_, number);
}

void Process::kill()
{
    if (pid_ <= 0)
        return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
}

bool Process::running()
{
    if (pid_ <= 0 || ::waitpid(pid_, nullptr, WNOHANG) == 0)
        return pid_ > 0;
    pid_ = -1;
    return false;
}

// ---- Bird --------------------------------------------------------------------------------------

Bird::Bird(std::string config)
{
    char folder[] = "/tmp/mg-bird-XXXXXX";
    folder_ = ::mkdtemp(folder);
    configure(std::move(config));
}

Bird::~Bird()
{
    process_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
}

void Bird::configure(std::string config)
{
    std::ofstream(folder_ + "/bird.conf") << config;
}

void Bird::start(bool recover)
{
    std::vector<std::string> command{
        "bird",          "-f", "-c", folder_ + "/bird.conf", "-s", folder_ + "/sock", "-P",
        folder_ + "/pid"};
    if (recover)
        command.push_back("-R");
    process_.reset();
    process_ = std::make_unique<Process>(command, folder_ + "/out");
}

std::string Bird::ask(const std::string& command)
{
    const std::string line = "birdc -s " + folder_ + "/sock '" + command + "' 2>&1";
    std::string answer;
    if (FILE* pipe = ::popen(line.c_str(), "r")) {
        char chunk[512];
        while (std::fgets(chunk, sizeof chunk, pipe))
            answer += chunk;
        ::pclose(pipe);
    }
    return answer;
}

bool Bird::shows(const std::string& command, const std::string& text)
{
    return ask(command).find(text) != std::string::npos;
}

} // namespace margay::bgp::lab
