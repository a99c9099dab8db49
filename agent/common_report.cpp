// SPDX-License-Identifier: Apache-2.0
#include "agent/common_report.h"

#include "agent/explain/bgp_metrics.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <boost/json.hpp>

namespace margay {

namespace json = boost::json;

namespace {

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

void add_store_metrics(status::MetricsText& text, const store::StoreStatus& now)
{
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

} // namespace

std::string timestamp(std::chrono::system_clock::time_point time)
{
    return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                       fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

json::array texts(const std::vector<std::string>& list)
{
    return json::array(list.begin(), list.end());
}

std::vector<std::string> datastore_not_ready(const Registration* registration, const Intake& intake)
{
    std::vector<std::string> why;
    if (registration && !registration->done())
        why.push_back("registration: " + registration->trouble());
    if (registration && !registration->state().conflict.empty())
        why.push_back(registration->state().conflict);
    if (intake.synced())
        return why;
    const std::string reason = intake.status().reason;
    why.push_back("datastore: no complete snapshot yet" +
                  (reason.empty() ? "" : " (" + reason + ")"));
    return why;
}

json::object status_head(const config::Config& config, const std::string& node,
                         const Servers& servers, const std::vector<std::string>& not_ready)
{
    json::object out;
    out["node"] = node;
    out["version"] = MARGAY_VERSION;
    out["role"] = config::to_string(config.role);
    out["since"] = timestamp(servers.since());
    out["ready"] = not_ready.empty();
    out["not_ready"] = texts(not_ready);
    return out;
}

json::object store_report(const config::Config& config, const Intake& intake)
{
    const store::StoreStatus now = intake.status();
    return {{"type", config::to_string(config.datastore())},
            {"connected", now.connected},
            {"synced", now.synced},
            {"revision", now.revision},
            {"endpoint", now.endpoint},
            {"reason", now.reason},
            {"relists", now.relists}};
}

json::array problems_report(const Intake& intake)
{
    json::array out;
    for (const model::Issue& issue : intake.quarantine().issues())
        out.push_back({{"key", issue.key},
                       {"what", model::issue_kind_name(issue.kind)},
                       {"reason", issue.reason},
                       {"in_force", issue.in_force}});
    for (const store::Problem& problem : intake.status().problems)
        out.push_back({{"key", problem.source},
                       {"what", "bad"},
                       {"reason", problem.reason},
                       {"in_force", "what was read before"}});
    return out;
}

json::array warning_rows(const std::vector<std::string>& warnings, const config::Config& config)
{
    json::array rows;
    for (const auto* list : {&warnings, &config.warnings})
        for (const std::string& text : *list)
            rows.push_back(json::object{{"text", text}});
    return rows;
}

void add_common_metrics(status::MetricsText& text, bool ready, const LoopStats& loop,
                        const Intake& intake, const json::array& problems, const Peering* peering)
{
    text.gauge("margay_ready", "1 when everything of the datastore is in force", ready);
    add_loop_metrics(text, loop);
    add_store_metrics(text, intake.status());
    add_problem_metrics(text, problems);
    if (peering && peering->speaker())
        explain::add_bgp_metrics(*peering->speaker(), text);
}

} // namespace margay
