// SPDX-License-Identifier: Apache-2.0
// bgp_bench: one scenario for one or several BGP daemons, which take turns.
//
//   bgp_bench table --dut margay --dut bird --prefixes 100000 --mix internet --repeats 5
//
// Prints one line of JSON a daemon. Each run is a process of its own with namespaces of its own,
// so that nothing of it stays: see daemon.h.

#include "bench/bgp/scenario.h"

#include <CLI/CLI.hpp>
#include <boost/json.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace margay::bgp_bench {
namespace {

namespace json = boost::json;

struct Options {
    std::string scenario;
    std::vector<std::string> duts;
    std::size_t repeats = 1;
    bool show_log = false;
    Sizes sizes; // 0: the scenario's default
    std::size_t limit_seconds = 0;
};

// ---- One run, in a process of its own ----------------------------------------------------------

json::object to_json(const Outcome& outcome)
{
    json::object out;
    if (outcome.failure) {
        out["status"] = outcome.failure->refused ? "refused" : "failed";
        out["error"] = outcome.failure->what;
        return out;
    }
    const Figures& figures = outcome.figures;
    out["status"] = "measured";
    out["ms"] = json::value_from(figures.ms);
    out["cpu_ms"] = figures.cpu_ms;
    out["peak_rss_mib"] = figures.peak_rss_mib;
    out["bench_cpu_ms"] = figures.bench_cpu_ms;
    if (figures.sessions_lost)
        out["sessions_lost"] = *figures.sessions_lost;
    if (figures.turns) {
        out["worst_turn_ms"] = figures.turns->worst_ms;
        out["long_turns"] = figures.turns->long_turns;
    }
    return out;
}

[[noreturn]] void run_and_tell(const Scenario& scenario, const Device& device,
                               const Options& options, int pipe)
{
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const std::string text =
        json::serialize(to_json(scenario.run(device, options.sizes, options.show_log)));
    const bool told = ::write(pipe, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    ::_exit(told ? 0 : 1);
}

std::string read_all(int fd)
{
    std::string text;
    std::array<char, 4096> chunk{};
    for (ssize_t count = 0; (count = ::read(fd, chunk.data(), chunk.size())) > 0;)
        text.append(chunk.data(), static_cast<std::size_t>(count));
    return text;
}

json::object run_apart(const Scenario& scenario, const Device& device, const Options& options)
{
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0)
        return {{"status", "failed"}, {"error", "cannot make a pipe"}};
    std::fflush(nullptr);
    const pid_t pid = ::fork();
    if (pid == 0)
        run_and_tell(scenario, device, options, pipe[1]);
    ::close(pipe[1]);
    const std::string text = read_all(pipe[0]);
    ::close(pipe[0]);
    int status = 0;
    ::waitpid(pid, &status, 0);
    boost::system::error_code error;
    json::value told = json::parse(text, error);
    if (error || !told.is_object())
        return {{"status", "failed"},
                {"error", "the run ended with status " + std::to_string(status)}};
    return told.as_object();
}

// ---- All runs of one daemon --------------------------------------------------------------------

// Boost.JSON writes 4.2 as 4.2E0, which nobody wants to read; so members are texts of JSON here.
class Line {
public:
    void text(std::string_view name, std::string_view value)
    {
        member(name, json::serialize(json::string(value)));
    }
    void number(std::string_view name, std::size_t value) { member(name, std::to_string(value)); }
    void spread(std::string_view name, std::vector<double> values)
    {
        std::ranges::sort(values);
        member(name, "{\"min\": " + decimal(values.front()) +
                         ", \"median\": " + decimal(values[values.size() / 2]) +
                         ", \"max\": " + decimal(values.back()) + "}");
    }
    std::string str() const { return "{" + members_ + "}"; }

    static std::string decimal(double value)
    {
        std::array<char, 64> text{};
        std::snprintf(text.data(), text.size(), "%.3f", value);
        return text.data();
    }

private:
    void member(std::string_view name, const std::string& value)
    {
        members_ += members_.empty() ? "\"" : ", \"";
        members_ += name;
        members_ += "\": " + value;
    }

    std::string members_;
};

class Series {
public:
    void add(const json::object& run)
    {
        if (run.at("status") != "measured") {
            failure_ = run;
            return;
        }
        for (const json::value& ms : run.at("ms").as_array())
            figures_["ms"].push_back(ms.to_number<double>());
        for (const char* name : {"cpu_ms", "peak_rss_mib", "bench_cpu_ms", "worst_turn_ms"})
            if (const json::value* figure = run.if_contains(name))
                figures_[name].push_back(figure->to_number<double>());
        for (const char* name : {"sessions_lost", "long_turns"})
            if (const json::value* count = run.if_contains(name))
                counts_[name] += count->to_number<std::size_t>();
        ++runs_;
    }
    bool failed() const { return !failure_.empty(); }
    // One failed run spoils the series: its figures would be those of the lucky ones.
    void tell(Line& line) const
    {
        if (failed()) {
            line.text("status", failure_.at("status").as_string());
            line.text("error", failure_.at("error").as_string());
            return;
        }
        line.text("status", "measured");
        line.number("repeats", runs_);
        for (const auto& [name, values] : figures_)
            if (!values.empty())
                line.spread(name, values);
        for (const auto& [name, count] : counts_)
            line.number(name, count);
    }

private:
    json::object failure_;
    std::map<std::string, std::vector<double>> figures_;
    std::map<std::string, std::size_t> counts_; // over all runs
    std::size_t runs_ = 0;
};

void tell_sizes(const Sizes& sizes, Line& line)
{
    const std::pair<const char*, std::size_t> counts[] = {
        {"prefixes", sizes.prefixes}, {"receivers", sizes.receivers}, {"clients", sizes.clients},
        {"peers", sizes.peers},       {"feeders", sizes.feeders},     {"each", sizes.each}};
    for (const auto& [name, count] : counts)
        if (count > 0)
            line.number(name, count);
    if (sizes.prefixes > 0)
        line.text("mix", sizes.mix == Mix::Few ? "few" : "internet");
    line.number("hold_time", sizes.hold_time);
}

std::string progress_of(const json::object& run)
{
    if (const json::value* error = run.if_contains("error"))
        return std::string(run.at("status").as_string()) + ": " + std::string(error->as_string());
    std::string text;
    for (const json::value& ms : run.at("ms").as_array())
        text += Line::decimal(ms.to_number<double>()) + " ";
    return text + "ms";
}

// Round by round, so that a noisy machine disturbs all daemons alike.
int run_all(const Scenario& scenario, const std::vector<const Device*>& chosen,
            const Options& options)
{
    std::vector<Series> series(chosen.size());
    for (std::size_t round = 0; round < options.repeats; ++round) {
        for (std::size_t i = 0; i < chosen.size(); ++i) {
            if (series[i].failed())
                continue;
            json::object run{{"status", "not installed"}, {"error", remedy(*chosen[i])}};
            if (installed_program(*chosen[i]))
                run = run_apart(scenario, *chosen[i], options);
            std::cerr << "bgp_bench: " << scenario.name << ' ' << chosen[i]->name << " run "
                      << round + 1 << " of " << options.repeats << ": " << progress_of(run) << '\n';
            series[i].add(run);
        }
    }
    bool failed = false;
    for (std::size_t i = 0; i < chosen.size(); ++i) {
        Line line;
        line.text("scenario", scenario.name);
        line.text("dut", chosen[i]->name);
        line.text("version", version_of(*chosen[i]));
        tell_sizes(options.sizes, line);
        series[i].tell(line);
        std::cout << line.str() << std::endl;
        failed |= series[i].failed();
    }
    return failed ? 1 : 0;
}

// ---- The command line --------------------------------------------------------------------------

std::string help_text()
{
    std::string text = "\nScenarios:\n";
    for (const Scenario& scenario : scenarios())
        text += "  " + std::string(scenario.name) + ": " + std::string(scenario.about) + "\n";
    text += "Daemons (--dut):\n";
    for (const Device& device : devices())
        text += "  " + std::string(device.name) + ": " + std::string(device.about) + "; " +
                (installed_program(device) ? "installed " + version_of(device)
                                           : "not installed: " + remedy(device)) +
                "\n";
    return text + "Exit status: 0 all measured, 1 a daemon was not (its line says why), 2 usage.";
}

void take_defaults(Sizes& sizes, const Sizes& defaults)
{
    for (std::size_t Sizes::* field : {&Sizes::prefixes, &Sizes::receivers, &Sizes::clients,
                                       &Sizes::peers, &Sizes::feeders, &Sizes::each})
        if (sizes.*field == 0)
            sizes.*field = defaults.*field;
    if (sizes.hold_time == 0)
        sizes.hold_time = defaults.hold_time;
}

[[noreturn]] void refuse(const std::string& what)
{
    std::cerr << "bgp_bench: " << what << "; see --help\n";
    std::exit(2);
}

// More would run out of addresses or AS numbers of the lab's plan.
void check_sizes(const Sizes& sizes)
{
    const auto at_most = [](const char* option, std::size_t value, std::size_t limit) {
        if (value > limit)
            refuse(std::string(option) + " " + std::to_string(value) + ": at most " +
                   std::to_string(limit));
    };
    at_most("--prefixes", sizes.prefixes, kMostPrefixes);
    at_most("--receivers", sizes.receivers, 10000);
    at_most("--clients", sizes.clients, 10000);
    at_most("--peers", sizes.peers, 10000);
    at_most("--feeders", sizes.feeders, 500);
    at_most("--each", sizes.each, 1000);
}

int start(Options& options)
{
    const Scenario* scenario = find_scenario(options.scenario);
    if (!scenario)
        refuse("no scenario '" + options.scenario + "'");
    std::vector<const Device*> chosen;
    for (const std::string& name : options.duts) {
        chosen.push_back(find_device(name));
        if (!chosen.back())
            refuse("no daemon '" + name + "'");
    }
    if (::geteuid() != 0)
        refuse("needs root, for namespaces and port 179");
    check_sizes(options.sizes);
    if (options.limit_seconds > 0)
        options.sizes.limit = std::chrono::seconds(options.limit_seconds);
    take_defaults(options.sizes, scenario->sizes);
    return run_all(*scenario, chosen, options);
}

} // namespace
} // namespace margay::bgp_bench

int main(int argc, char** argv)
{
    using namespace margay::bgp_bench;
    Options options;
    options.sizes.hold_time = 0;
    CLI::App app("BGP benchmark: a daemon between feeders and receivers, in private namespaces");
    app.footer(help_text);
    app.add_option("scenario", options.scenario, "one of those below")->required();
    app.add_option("--dut", options.duts, "the daemon under test; may be given several times")
        ->required();
    app.add_option("--repeats", options.repeats, "runs of each daemon")->check(CLI::PositiveNumber);
    app.add_option("--prefixes", options.sizes.prefixes, "size of the feeder's table");
    app.add_option("--mix", options.sizes.mix, "few (attribute sets) or internet")
        ->transform(CLI::CheckedTransformer(
            std::map<std::string, Mix>{{"few", Mix::Few}, {"internet", Mix::Internet}}));
    app.add_option("--receivers", options.sizes.receivers, "external neighbours that only listen");
    app.add_option("--clients", options.sizes.clients, "of the route reflector");
    app.add_option("--peers", options.sizes.peers, "of the full mesh");
    app.add_option("--feeders", options.sizes.feeders, "that are lost one after the other");
    app.add_option("--each", options.sizes.each, "routes of a client, a peer or a lost feeder");
    app.add_option("--hold-time", options.sizes.hold_time, "seconds, of all sessions");
    app.add_option("--limit", options.limit_seconds, "seconds to wait before a run has failed");
    app.add_flag("--show-log", options.show_log, "what the daemon wrote, to standard error");
    CLI11_PARSE(app, argc, argv);
    return start(options);
}
