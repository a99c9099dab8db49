// SPDX-License-Identifier: Apache-2.0
// margayd: reads its configuration and runs the agent, or the route reflector, until it is told to stop.
#include "agent/agent.h"
#include "agent/config/config.h"
#include "agent/explain/stand_in.h"
#include "agent/reflector.h"

#include <spdlog/sinks/stdout_sinks.h>

#include <boost/asio/signal_set.hpp>

#include <csignal>
#include <cstdio>

extern char** environ; // NOLINT: POSIX's own declaration

namespace {

using margay::config::Config;
using margay::config::Invocation;

margay::Log make_log(const Config& config)
{
    auto log = std::make_shared<spdlog::logger>("margayd",
                                                std::make_shared<spdlog::sinks::stderr_sink_st>());
    log->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
    log->set_level(spdlog::level::from_str(std::string(to_string(config.log_level))));
    log->flush_on(spdlog::level::info);
    return log;
}

template <typename Daemon>
int run(const Config& config, const char* what_stays)
{
    const margay::Log log = make_log(config);
    for (const std::string& warning : config.warnings)
        log->warn("{}", warning);
    margay::Executor executor;
    auto daemon = Daemon::create(executor, log, config);
    if (!daemon) {
        log->error("cannot start: {}", daemon.error().what);
        return 1;
    }
    // Pods go on without us, and peers keep our routes for the restart time.
    boost::asio::signal_set signals(executor, SIGTERM, SIGINT);
    signals.async_wait([&](const boost::system::error_code& ec, int number) {
        if (ec)
            return;
        log->info("stopping on signal {}; {}", number, what_stays);
        (*daemon)->stop();
        executor.stop();
    });
    margay::run(executor, (*daemon)->loop());
    return 0;
}

int cleanup(const Config& config)
{
    const auto done = margay::cleanup_host(
        config, [](const std::string& line) { std::printf("%s\n", line.c_str()); });
    if (!done) {
        std::fprintf(stderr, "margayd: %s\n", done.error().what.c_str());
        return 1;
    }
    return 0;
}

} // namespace

int main(int argc, char** argv)
{
    if (const auto status = margay::explain::stand_in(argc, argv))
        return *status;
    std::signal(SIGPIPE, SIG_IGN);
    const Invocation invocation = margay::config::from_command_line(argc, argv, environ);
    if (!invocation.text.empty())
        std::fputs(invocation.text.c_str(), invocation.status == 0 ? stdout : stderr);
    switch (invocation.action) {
    case Invocation::Action::Run:
        if (invocation.config.role == margay::config::Role::RouteReflector)
            return run<margay::Reflector>(invocation.config, "peers keep the routes for a while");
        return run<margay::Agent>(invocation.config, "the data path stays in force");
    case Invocation::Action::Cleanup:
        return cleanup(invocation.config);
    case Invocation::Action::PrintConfig:
    case Invocation::Action::Exit:
        break;
    }
    return invocation.status;
}
