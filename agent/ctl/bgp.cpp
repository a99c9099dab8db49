// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/bgp.h"

#include "agent/ctl/table.h"
#include "agent/status/control.h"
#include "margay/ip.h"

#include <boost/json.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <utility>

namespace margay::ctl {
namespace {

namespace json = boost::json;
using status::Request;

int fail(const Error& error)
{
    std::fprintf(stderr, "margayctl: %s\n", error.what.c_str());
    return kFailed;
}

Result<json::object> ask(const Place& place, const Request& request)
{
    const auto reply = status::control_request(place.socket(), request);
    if (!reply)
        return reply.error();
    boost::system::error_code ec;
    json::value parsed = json::parse(*reply, ec);
    if (ec || !parsed.is_object())
        return Error{Errc::Internal, 0, "margayd's answer is no JSON object"};
    return std::move(parsed.as_object());
}

const json::array& list_of(const json::object& answer, std::string_view key)
{
    static const json::array kNone;
    const json::value* value = answer.if_contains(key);
    return value != nullptr && value->is_array() ? value->as_array() : kNone;
}

std::string text_of(const json::object& row, std::string_view key)
{
    const json::value* value = row.if_contains(key);
    return value != nullptr && value->is_string() ? std::string(value->as_string()) : "";
}

bool is_set(const json::object& row, std::string_view key)
{
    const json::value* value = row.if_contains(key);
    return value != nullptr && value->is_bool() && value->as_bool();
}

// ---- Sessions ----------------------------------------------------------------------------------

const std::vector<Column> kPeerColumns = {{"NAME", "name"},
                                          {"FROM", "from"},
                                          {"ADDRESS", "address"},
                                          {"AS", "as"},
                                          {"STATE", "state"},
                                          {"SINCE", "since"},
                                          {"FAMILIES", "families"},
                                          {"RECEIVED", "prefixes"},
                                          {"ADVERTISED", "advertised"},
                                          {"WHY", "why"}};

const std::vector<Column> kPeerFields = {{"Name", "name"},
                                         {"From", "from"},
                                         {"Node", "node"},
                                         {"Address", "address"},
                                         {"Interface", "interface"},
                                         {"AS", "as"},
                                         {"Identifier", "identifier"},
                                         {"State", "state"},
                                         {"Since", "since"},
                                         {"BFD", "bfd"},
                                         {"Down because", "why"},
                                         {"Last NOTIFICATION sent", "last_sent"},
                                         {"Last NOTIFICATION received", "last_received"},
                                         {"Sessions so far", "sessions"},
                                         {"Families", "families"},
                                         {"Capabilities", "capabilities"},
                                         {"Hold time", "hold_time"},
                                         {"End-of-RIB received", "end_of_rib"},
                                         {"Routes are stale", "stale"},
                                         {"Prefixes received", "prefixes"},
                                         {"Prefixes advertised", "advertised"},
                                         {"Attributes at fault", "update_faults"}};

const std::vector<Column> kCountColumns = {
    {"MESSAGES", "direction"},        {"OPEN", "open"},           {"UPDATE", "update"},
    {"NOTIFICATION", "notification"}, {"KEEPALIVE", "keepalive"}, {"REFRESH", "route_refresh"}};

const std::vector<Column> kRefusedColumns = {
    {"REFUSED", "address"}, {"TIMES", "count"}, {"LAST", "last"}, {"WHY", "why"}};

json::array message_counts(const json::object& peer)
{
    json::array rows;
    for (const char* direction : {"sent", "received"}) {
        const json::value* counts = peer.if_contains(direction);
        if (counts == nullptr || !counts->is_object())
            continue;
        json::object row = counts->as_object();
        row["direction"] = direction;
        rows.push_back(std::move(row));
    }
    return rows;
}

std::string peer_text(const json::object& peer)
{
    return fields(peer, kPeerFields) + table(message_counts(peer), kCountColumns);
}

struct PeersCommand {
    std::string peer; // empty: all
    bool verbose = false;
};

int show_peers(const Place& place, const PeersCommand& command)
{
    Request request{command.peer.empty() ? "bgp-peers" : "bgp-peer", {}};
    if (!command.peer.empty())
        request.args["peer"] = command.peer;
    const auto answer = ask(place, request);
    if (!answer)
        return fail(answer.error());
    if (place.json()) {
        std::printf("%s\n", json::serialize(*answer).c_str());
    } else if (!command.peer.empty()) {
        std::printf("%s", peer_text(*answer).c_str());
    } else if (command.verbose) {
        for (const json::value& peer : list_of(*answer, "peers"))
            if (peer.is_object())
                std::printf("%s\n", peer_text(peer.as_object()).c_str());
    } else {
        std::printf("%s", table(list_of(*answer, "peers"), kPeerColumns).c_str());
        if (const json::array& refused = list_of(*answer, "refused"); !refused.empty())
            std::printf("\n%s", table(refused, kRefusedColumns).c_str());
    }
    return 0;
}

// ---- Routes ------------------------------------------------------------------------------------

const std::vector<Column> kRouteColumns = {{"PREFIX", "prefix"},   {"NEXT HOP", "next_hop"},
                                           {"PEER", "peer"},       {"LOCAL PREF", "local_pref"},
                                           {"AS PATH", "as_path"}, {"STATE", "state"},
                                           {"STALE", "stale"},     {"WHY", "why"}};

const std::vector<Column> kExportColumns = {{"PREFIX", "prefix"},
                                            {"ADVERTISED", "advertised"},
                                            {"NEXT HOP", "next_hop"},
                                            {"LOCAL PREF", "local_pref"},
                                            {"AS PATH", "as_path"},
                                            {"PEER", "peer"},
                                            {"WHY", "why"}};

const std::vector<Column> kAttributeFields = {{"Next hop", "next_hop"},
                                              {"Origin", "origin"},
                                              {"AS path", "as_path"},
                                              {"Local preference", "local_pref"},
                                              {"MED", "med"},
                                              {"Communities", "communities"},
                                              {"Large communities", "large_communities"},
                                              {"Extended communities", "extended_communities"},
                                              {"Originator id", "originator_id"},
                                              {"Cluster list", "cluster_list"},
                                              {"Atomic aggregate", "atomic_aggregate"},
                                              {"Aggregator", "aggregator"},
                                              {"Path number", "path"},
                                              {"Stale", "stale"},
                                              {"Why", "why"}};

struct RoutesCommand {
    std::string received_from;
    std::string advertised_to;
    std::string prefix;
    bool longer = false;
    bool shorter = false;
    bool attributes = false;
};

// One word of what became of a path in the decision.
const char* state_of(const json::object& row)
{
    return is_set(row, "best")        ? "best"
           : is_set(row, "multipath") ? "multipath"
           : is_set(row, "rejected")  ? "rejected"
                                      : "lost";
}

// Prints routes as they come, in the order of their prefixes as long as they are not too many to wait for
// the last one: memory stays small whatever margayd holds.
class RoutePrinter {
public:
    RoutePrinter(const Place& place, const RoutesCommand& command)
        : json_(place.json()), attributes_(command.attributes),
          columns_(command.advertised_to.empty() ? kRouteColumns : kExportColumns)
    {
    }

    void add(json::array&& rows)
    {
        for (json::value& row : rows)
            if (row.is_object())
                row.as_object()["state"] = state_of(row.as_object());
        std::move(rows.begin(), rows.end(), std::back_inserter(held_));
        if (held_.size() <= kSorted && !streaming_)
            return;
        if (!std::exchange(streaming_, true))
            std::fprintf(stderr,
                         "margayctl: more than %zu routes: in the order of margayd's table\n",
                         kSorted);
        print();
    }
    void end()
    {
        if (!streaming_)
            sort();
        print();
        if (json_)
            std::printf("%s]}\n", begun_ ? "" : "{\"routes\":[");
    }

private:
    static constexpr std::size_t kSorted = 10000;

    void sort()
    {
        std::vector<std::pair<std::optional<IpPrefix>, json::value>> keyed;
        for (json::value& row : held_)
            keyed.emplace_back(IpPrefix::parse(text_of(row.as_object(), "prefix")), std::move(row));
        std::ranges::stable_sort(keyed, [](const auto& a, const auto& b) {
            const bool best_a = is_set(a.second.as_object(), "best");
            const bool best_b = is_set(b.second.as_object(), "best");
            return std::tie(a.first, best_b) < std::tie(b.first, best_a);
        });
        held_.clear();
        for (auto& [prefix, row] : keyed)
            held_.push_back(std::move(row));
    }
    void print()
    {
        if (json_)
            print_json();
        else if (attributes_)
            print_attributes();
        else
            std::printf("%s", table(held_, columns_, layout_).c_str());
        held_.clear();
    }
    void print_json()
    {
        for (const json::value& row : held_)
            std::printf("%s%s", std::exchange(begun_, true) ? "," : "{\"routes\":[",
                        json::serialize(row).c_str());
    }
    void print_attributes()
    {
        for (const json::value& row : held_) {
            const json::object& route = row.as_object();
            std::printf("%s from %s: %s\n%s\n", text_of(route, "prefix").c_str(),
                        text_of(route, "peer").c_str(), text_of(route, "state").c_str(),
                        fields(route, kAttributeFields).c_str());
        }
    }

    const bool json_;
    const bool attributes_;
    const std::vector<Column>& columns_;
    Layout layout_;
    json::array held_;
    bool streaming_ = false;
    bool begun_ = false;
};

int show_routes(const Place& place, const RoutesCommand& command)
{
    Request request{"bgp-routes", {}};
    request.args = {{"received_from", command.received_from},
                    {"advertised_to", command.advertised_to},
                    {"prefix", command.prefix},
                    {"match", command.longer    ? "longer"
                              : command.shorter ? "shorter"
                                                : "exact"}};
    RoutePrinter printer(place, command);
    std::string cursor;
    do {
        request.args["cursor"] = cursor;
        auto answer = ask(place, request);
        if (!answer)
            return fail(answer.error());
        if (json::value* rows = answer->if_contains("routes"); rows != nullptr && rows->is_array())
            printer.add(std::move(rows->as_array()));
        cursor = text_of(*answer, "next");
    } while (!cursor.empty());
    printer.end();
    return 0;
}

// ---- News --------------------------------------------------------------------------------------

std::string via_text(const json::object& event)
{
    const json::array& via = list_of(event, "via");
    std::string text;
    for (const json::value& hop : via)
        if (hop.is_object())
            text += (text.empty() ? " via " : ", ") + text_of(hop.as_object(), "next_hop") + " (" +
                    text_of(hop.as_object(), "peer") + ")";
    return text.empty() ? " gone, or our own" : text;
}

std::string news_text(const json::object& event)
{
    const std::string kind = text_of(event, "event");
    if (kind == "dropped")
        return "(" + cell(event.at("count")) + " left out: this reader was too slow)";
    const std::string time = text_of(event, "time") + " ";
    if (kind == "route")
        return time + text_of(event, "prefix") + via_text(event);
    const std::string why = text_of(event, "why");
    return time + text_of(event, "peer") + " " + text_of(event, "state") +
           (why.empty() ? "" : ": " + why);
}

// Until it is interrupted.
int show_news(const Place& place)
{
    const Error end = status::control_stream(
        place.socket(), {"bgp-monitor", {}}, [&place](const std::string& line) {
            boost::system::error_code ec;
            const json::value event = json::parse(line, ec);
            if (place.json())
                std::printf("%s\n", line.c_str());
            else if (!ec && event.is_object())
                std::printf("%s\n", news_text(event.as_object()).c_str());
            std::fflush(stdout);
        });
    return fail(end);
}

void add_monitor(CLI::App& bgp, const Place& place, std::function<int()>& chosen)
{
    bgp.add_subcommand("monitor", "Changes of sessions and routes as they happen, until ^C")
        ->callback([&place, &chosen] { chosen = [&place] { return show_news(place); }; });
}

// ---- The table as MRT --------------------------------------------------------------------------

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

bool write_hex(const std::string& hex, std::FILE* file)
{
    const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
    std::string octets;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
        octets += static_cast<char>(digit(hex[i]) << 4 | digit(hex[i + 1]));
    return std::fwrite(octets.data(), 1, octets.size(), file) == octets.size();
}

Error write_error(const std::string& path)
{
    return system_error(errno, "write " + path);
}

// One portion after the other.
Status write_dump(const Place& place, const std::string& path, std::FILE* file)
{
    Request request{"bgp-dump", {}};
    do {
        const auto answer = ask(place, request);
        if (!answer)
            return answer.error();
        if (!write_hex(text_of(*answer, "mrt"), file))
            return write_error(path);
        request.args = {{"cursor", text_of(*answer, "next")},
                        {"sequence", text_of(*answer, "sequence")},
                        {"peers", text_of(*answer, "peers")}};
    } while (!request.args["cursor"].empty());
    return std::fflush(file) == 0 ? Status() : write_error(path);
}

Status copy_to_stdout(std::FILE* from)
{
    std::rewind(from);
    std::string buffer(64 * 1024, '\0');
    while (const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), from))
        if (std::fwrite(buffer.data(), 1, got, stdout) != got)
            return write_error("standard output");
    return std::fflush(stdout) == 0 ? Status() : write_error("standard output");
}

// The file is there when it is whole. "-": standard output, also only then.
int write_mrt(const Place& place, const std::string& path)
{
    const bool to_stdout = path == "-";
    const std::string part = path + ".part";
    const File file(to_stdout ? std::tmpfile() : std::fopen(part.c_str(), "wb"), &std::fclose);
    if (!file)
        return fail(write_error(part));
    Status written = write_dump(place, path, file.get());
    if (written && to_stdout)
        written = copy_to_stdout(file.get());
    if (written && !to_stdout && std::rename(part.c_str(), path.c_str()) != 0)
        written = write_error(path);
    if (!written && !to_stdout)
        std::remove(part.c_str());
    return written ? 0 : fail(written.error());
}

void add_dump(CLI::App& bgp, const Place& place, std::function<int()>& chosen)
{
    CLI::App* app = bgp.add_subcommand("dump", "Writes the tables as MRT (RFC 6396)");
    const auto path = std::make_shared<std::string>();
    app->add_option("FILE", *path, "where to; -: standard output")->required();
    app->callback(
        [path, &place, &chosen] { chosen = [path, &place] { return write_mrt(place, *path); }; });
}

void add_peers(CLI::App& bgp, const Place& place, std::function<int()>& chosen)
{
    CLI::App* app = bgp.add_subcommand("peers", "Sessions, and why one is down");
    const auto command = std::make_shared<PeersCommand>();
    app->add_option("PEER", command->peer, "name or address of a session to show in detail");
    app->add_flag("-v,--verbose", command->verbose,
                  "all in detail: capabilities, NOTIFICATIONs, messages");
    app->callback([command, &place, &chosen] {
        chosen = [command, &place] { return show_peers(place, *command); };
    });
}

void add_routes(CLI::App& bgp, const Place& place, std::function<int()>& chosen)
{
    CLI::App* app = bgp.add_subcommand(
        "routes", "Learned and own routes: why one is best or lost, why it is not advertised");
    const auto command = std::make_shared<RoutesCommand>();
    app->add_option("PREFIX", command->prefix, "10.244.0.0/16; alone: this prefix and no other");
    auto* longer = app->add_flag("--longer", command->longer, "and all that PREFIX contains");
    auto* shorter = app->add_flag("--shorter", command->shorter, "and all that contain PREFIX");
    longer->excludes(shorter);
    auto* from = app->add_option("--received-from", command->received_from,
                                 "what the session of this name or address told");
    auto* to = app->add_option("--advertised-to", command->advertised_to,
                               "what it is told, with the attributes as it gets them, or why not");
    from->excludes(to);
    app->add_flag("-a,--attributes", command->attributes, "all attributes of each route");
    app->callback([command, &place, &chosen] {
        chosen = [command, &place] { return show_routes(place, *command); };
    });
}

} // namespace

void add_bgp_commands(CLI::App& app, const Place& place, std::function<int()>& chosen)
{
    CLI::App* bgp = app.add_subcommand("bgp", "BGP speaker");
    bgp->require_subcommand(1);
    bgp->fallthrough();
    add_peers(*bgp, place, chosen);
    add_routes(*bgp, place, chosen);
    add_monitor(*bgp, place, chosen);
    add_dump(*bgp, place, chosen);
}

} // namespace margay::ctl
