// SPDX-License-Identifier: Apache-2.0
// margayctl: asks the margayd of this node over its control socket and prints the answer.
#include "agent/ctl/bgp.h"
#include "agent/ctl/table.h"
#include "agent/status/control.h"

#include <CLI/CLI.hpp>
#include <boost/json.hpp>

#include <cstdio>
#include <cstdlib>
#include <functional>

namespace {

namespace json = boost::json;
using margay::ctl::Column;
using margay::ctl::fields;
using margay::ctl::Place;
using margay::ctl::table;
using margay::status::Request;

constexpr int kUsage = 2;

const json::array& list(const json::value& answer, std::string_view key)
{
    static const json::array kNone;
    const auto* value = answer.is_object() ? answer.as_object().if_contains(key) : nullptr;
    return value != nullptr && value->is_array() ? value->as_array() : kNone;
}

const json::object& object(const json::value& answer, std::string_view key)
{
    static const json::object kNone;
    const auto* value = answer.is_object() ? answer.as_object().if_contains(key) : nullptr;
    return value != nullptr && value->is_object() ? value->as_object() : kNone;
}

std::string section(const std::string& title, const std::string& body)
{
    return "\n" + title + "\n" + body;
}

const std::vector<Column> kPeerColumns = {
    {"NAME", "name"},   {"FROM", "from"},   {"ADDRESS", "address"},   {"AS", "as"},
    {"STATE", "state"}, {"SINCE", "since"}, {"RECEIVED", "prefixes"}, {"WHY", "why"}};

std::string show_datapath(const json::value& answer)
{
    return section("Hooks", table(list(answer, "hooks"), {{"INTERFACE", "interface"},
                                                          {"IFINDEX", "ifindex"},
                                                          {"HOOK", "hook"},
                                                          {"PROGRAM", "program"},
                                                          {"ATTACHED", "attach"}})) +
           section("Maps", table(list(answer, "maps"),
                                 {{"NAME", "name"}, {"ENTRIES", "entries"}, {"MAX", "max"}}));
}

std::string show_status(const json::value& answer)
{
    std::string text = fields(answer.as_object(), {{"Node", "node"},
                                                   {"Version", "version"},
                                                   {"Role", "role"},
                                                   {"Up since", "since"},
                                                   {"Ready", "ready"},
                                                   {"Not ready because", "not_ready"},
                                                   {"Node address", "address"},
                                                   {"Chosen because", "address_why"},
                                                   {"Tunnel address", "tunnel_address"},
                                                   {"Blocks", "blocks"}});
    text += section("Datastore", fields(object(answer, "store"), {{"Type", "type"},
                                                                  {"Connected", "connected"},
                                                                  {"Synced", "synced"},
                                                                  {"Revision", "revision"},
                                                                  {"Endpoint", "endpoint"},
                                                                  {"Reason", "reason"}}));
    if (answer.as_object().contains("hooks")) // a route reflector has no data path
        text += show_datapath(answer);
    text += section("BGP peers", table(list(answer, "peers"), kPeerColumns));
    if (!list(answer, "problems").empty())
        text += section("Bad or unsupported values in the datastore",
                        table(list(answer, "problems"), {{"KEY", "key"},
                                                         {"WHAT", "what"},
                                                         {"REASON", "reason"},
                                                         {"IN FORCE", "in_force"}}));
    if (!list(answer, "warnings").empty())
        text += section("Warnings", table(list(answer, "warnings"), {{"TEXT", "text"}}));
    return text;
}

std::string show_policies(const json::value& answer)
{
    std::string text = table(list(answer, "programs"), {{"SLOT", "slot"},
                                                        {"RULES", "rules"},
                                                        {"INSTRUCTIONS", "instructions"},
                                                        {"USED BY", "used_by"}});
    for (const auto& program : list(answer, "programs")) {
        text += section("Slot " + margay::ctl::cell(program.as_object().at("slot")), "");
        for (const auto& line : list(program, "text"))
            text += "  " + margay::ctl::cell(line) + "\n";
    }
    return text;
}

// The newest, oldest first; `margayctl events` has all that margayd keeps.
constexpr std::size_t kLastDrops = 20;

std::string show_drops(const json::value& answer)
{
    const json::array& all = list(answer, "events");
    const json::array last(all.begin() + (all.size() > kLastDrops ? all.size() - kLastDrops : 0),
                           all.end());
    return table(list(answer, "counters"),
                 {{"REASON", "reason"}, {"PACKETS", "packets"}, {"MEANING", "text"}}) +
           section("Last drops", table(last, {{"TIME", "time"},
                                              {"REASON", "reason"},
                                              {"INTERFACE", "interface"},
                                              {"PACKET", "packet"},
                                              {"BY", "by"}}));
}

struct Command {
    const char* name;
    const char* request;
    const char* help;
    std::function<std::string(const json::value&)> show;
};

std::function<std::string(const json::value&)> listing(const char* key, std::vector<Column> columns)
{
    return [key, columns = std::move(columns)](const json::value& answer) {
        return table(list(answer, key), columns);
    };
}

const std::vector<Command> kCommands = {
    {"status", "status", "What runs, what is in sync, and what is wrong", show_status},
    {"endpoints", "endpoints", "Local workload endpoints",
     listing("endpoints", {{"ENDPOINT", "name"},
                           {"INTERFACE", "interface"},
                           {"IFINDEX", "ifindex"},
                           {"ADDRESSES", "addresses"},
                           {"SLOT", "slot"},
                           {"INGRESS", "ingress"},
                           {"EGRESS", "egress"},
                           {"STATE", "state"}})},
    {"policies", "policies", "Compiled policy programs, their rules, and who uses them",
     show_policies},
    {"routes", "routes", "Pod routes of the data path",
     listing("routes", {{"PREFIX", "prefix"},
                        {"KIND", "kind"},
                        {"NODE", "node"},
                        {"VIA", "via"},
                        {"DEVICE", "device"},
                        {"MAC", "mac"},
                        {"FROM", "from"},
                        {"STATE", "state"}})},
    {"drops", "drops", "Dropped packets by reason, and the last ones with policy and rule",
     show_drops},
    {"config", "config", "Effective settings of the running margayd and where they come from",
     listing("settings", {{"SETTING", "name"}, {"VALUE", "value"}, {"SOURCE", "source"}})},
    {"events", "events", "Entries of the event ring (what bpftool cannot show)",
     listing("events", {{"TIME", "time"},
                        {"REASON", "reason"},
                        {"INTERFACE", "interface"},
                        {"PACKET", "packet"},
                        {"BY", "by"}})},
    {"programs", "programs", "Contents of the program arrays (what bpftool cannot show)",
     listing("slots", {{"ARRAY", "array"},
                       {"SLOT", "slot"},
                       {"ID", "program_id"},
                       {"PROGRAM", "program"},
                       {"PURPOSE", "purpose"}})},
};

int run(const Place& place, const Command& command)
{
    const auto reply =
        margay::status::control_request(place.socket(), Request{command.request, {}});
    if (!reply) {
        std::fprintf(stderr, "margayctl: %s\n", reply.error().what.c_str());
        return margay::ctl::kFailed;
    }
    if (place.json())
        std::printf("%s\n", reply->c_str());
    else
        std::printf("%s", command.show(json::parse(*reply)).c_str());
    return 0;
}

} // namespace

int main(int argc, char** argv)
{
    CLI::App app{"Asks the margayd of this node"};
    app.set_version_flag("--version", "margayctl " MARGAY_VERSION);
    app.require_subcommand(1);
    app.fallthrough();
    Place place{"/var/run/margay", "table"};
    app.add_option("--run-dir", place.run_dir, "margayd's run folder")
        ->envname("MARGAY_RUN_DIR")
        ->capture_default_str();
    app.add_option("-o,--output", place.output, "table for people, json for programs")
        ->check(CLI::IsMember({"table", "json"}))
        ->capture_default_str();

    std::function<int()> chosen;
    for (const Command& command : kCommands)
        app.add_subcommand(command.name, command.help)->callback([&] {
            chosen = [&] { return run(place, command); };
        });
    margay::ctl::add_bgp_commands(app, place, chosen);

    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : kUsage;
    }
    return chosen();
}
