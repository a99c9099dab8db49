// SPDX-License-Identifier: Apache-2.0
#include "agent/common_report.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <boost/json.hpp>

namespace margay {

namespace json = boost::json;

std::string timestamp(std::chrono::system_clock::time_point time)
{
    return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                       fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

// ---- The datastore -----------------------------------------------------------------------------

json::object store_report(const config::Config& config, const store::Store* store)
{
    json::object out;
    out["type"] = config::to_string(config.datastore());
    if (!store)
        return out;
    const store::StoreStatus now = store->status();
    out["connected"] = now.connected;
    out["synced"] = now.synced;
    out["revision"] = now.revision;
    out["endpoint"] = now.endpoint;
    out["reason"] = now.reason;
    out["relists"] = now.relists;
    return out;
}

json::array problems_report(const model::Quarantine& quarantine, const store::Store* store)
{
    json::array out;
    for (const model::Issue& issue : quarantine.issues())
        out.push_back({{"key", issue.key},
                       {"what", model::issue_kind_name(issue.kind)},
                       {"reason", issue.reason},
                       {"in_force", issue.in_force}});
    if (store)
        for (const store::Problem& problem : store->status().problems)
            out.push_back({{"key", problem.source},
                           {"what", "bad"},
                           {"reason", problem.reason},
                           {"in_force", "what was read before"}});
    return out;
}

void add_loop_metrics(status::MetricsText& text, const LoopStats& loop)
{
    text.counter("margay_loop_turns_total", "Turns of the event loop",
                 static_cast<double>(loop.turns));
    text.counter("margay_loop_long_turns_total", "Turns of more than 20 ms of processor time",
                 static_cast<double>(loop.long_turns));
    text.counter("margay_loop_seconds_total", "Processor time of the event loop",
                 std::chrono::duration<double>(loop.spent).count());
    text.gauge("margay_loop_worst_turn_seconds", "The longest turn so far, in processor time",
               std::chrono::duration<double>(loop.worst).count());
}

void add_store_metrics(status::MetricsText& text, const store::Store* store)
{
    const store::StoreStatus now = store ? store->status() : store::StoreStatus{};
    text.gauge("margay_datastore_connected", "1 while the datastore answers", now.connected);
    text.gauge("margay_datastore_revision", "Revision up to which changes were applied",
               static_cast<double>(now.revision));
    text.counter("margay_datastore_relists_total", "Full listings after the first",
                 static_cast<double>(now.relists));
}

void add_problem_metrics(status::MetricsText& text, const json::array& problems)
{
    std::map<std::string, double> issues{{"bad", 0}, {"skipped", 0}, {"not-enforced", 0}};
    for (const json::value& problem : problems)
        issues[std::string(problem.at("what").as_string())]++;
    for (const auto& [kind, count] : issues)
        text.gauge("margay_datastore_bad_values", "Values of the datastore that are not in force",
                   count, {{"kind", kind}});
}

// ---- HTTP --------------------------------------------------------------------------------------

status::HttpResponse http_report(const std::string& target,
                                 const std::function<std::vector<std::string>()>& not_ready,
                                 const std::function<std::string()>& metrics)
{
    constexpr const char* kPlain = "text/plain; charset=utf-8";
    if (target == "/healthz")
        return {200, kPlain, "ok\n"}; // the executor turned, or nobody answered
    if (target == "/readyz") {
        const auto why = not_ready();
        if (why.empty())
            return {200, kPlain, "ready\n"};
        return {503, kPlain, fmt::format("{}\n", fmt::join(why, "\n"))};
    }
    if (target == "/metrics")
        return {200, "text/plain; version=0.0.4; charset=utf-8", metrics()};
    return {404, kPlain, "here are /metrics, /healthz and /readyz\n"};
}

} // namespace margay
