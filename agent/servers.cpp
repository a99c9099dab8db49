// SPDX-License-Identifier: Apache-2.0
#include "agent/servers.h"

#include "agent/bgp_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>

namespace margay {
namespace {

status::HttpResponse http_answer(const Servers::Answers& answers, const std::string& target)
{
    constexpr const char* kPlain = "text/plain; charset=utf-8";
    if (target == "/healthz")
        return {200, kPlain, "ok\n"}; // the executor turned, or nobody answered
    if (target == "/readyz") {
        const auto why = answers.not_ready();
        if (why.empty())
            return {200, kPlain, "ready\n"};
        return {503, kPlain, fmt::format("{}\n", fmt::join(why, "\n"))};
    }
    if (target == "/metrics")
        return {200, "text/plain; version=0.0.4; charset=utf-8", answers.metrics()};
    return {404, kPlain, "here are /metrics, /healthz and /readyz\n"};
}

} // namespace

Status Servers::start(Executor& executor, const Log& log, const config::Config& config,
                      const Answers& answers)
{
    auto control = status::ControlServer::create(executor, log, config.control_socket(),
                                                 answers.control, {{"bgp-monitor", &bgp_feed_}});
    if (!control)
        return control.error();
    control_ = std::move(*control);
    if (!config.bird_socket.empty()) {
        explain::BirdFacts facts;
        facts.version = MARGAY_VERSION;
        facts.started = since_;
        facts.device = answers.device;
        presence_ = std::make_unique<explain::Presence>(
            executor, log, bird_faces(config, std::move(facts), answers.peering));
        presence_->start();
    }
    if (config.http.off())
        return {};
    auto http = status::HttpServer::create(
        executor, log, Ip::parse(config.http.host).value_or(Ip()), config.http.port,
        [answers](const std::string& target) { return http_answer(answers, target); });
    if (!http)
        return http.error();
    http_ = std::move(*http);
    return {};
}

void Servers::stop()
{
    presence_.reset();
    control_.reset();
    http_.reset();
}

} // namespace margay
