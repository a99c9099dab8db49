// SPDX-License-Identifier: Apache-2.0
#include "agent/bgp_report.h"

#include "agent/explain/mrt_view.h"

#include <boost/json.hpp>

#include <algorithm>
#include <ranges>
#include <utility>

namespace margay {
namespace {

namespace json = boost::json;

const bgp::Speaker* speaker_of(const Peering* peering)
{
    return peering ? peering->speaker() : nullptr;
}

explain::BgpView view_of(const Peering* peering)
{
    return {speaker_of(peering), peering ? peering->trouble() : "not started"};
}

Result<json::object> peer_answer(const Peering* peering, const status::Request& request)
{
    const auto wanted = request.args.find("peer");
    const auto name = view_of(peering).session(wanted == request.args.end() ? "" : wanted->second);
    if (!name)
        return name.error();
    for (json::value& row : bgp_peer_rows(peering))
        if (row.at("name").as_string() == *name)
            return std::move(row.as_object());
    return Error{Errc::NotFound, 0, "the session '" + *name + "' is gone"};
}

Result<json::object> dump_answer(const Peering* peering, const status::Request& request)
{
    if (const Status runs = view_of(peering).running(); !runs)
        return runs.error();
    return explain::mrt_portion(*peering->speaker(), *peering->running(), request.args);
}

Result<std::string> text_of(const Result<json::object>& answer)
{
    if (!answer)
        return answer.error();
    return json::serialize(*answer);
}

json::array refused_connections(const bgp::Speaker* speaker)
{
    json::array rows;
    if (!speaker)
        return rows;
    for (const bgp::RefusedConnection& refused : speaker->refused())
        rows.push_back(json::object{{"address", refused.from.str()},
                                    {"count", refused.count},
                                    {"last", explain::utc_text(refused.last)},
                                    {"why", refused.why}});
    return rows;
}

// A session that did not start.
json::object refused_row(const std::string& name, const std::string& why,
                         const model::BgpSession& session)
{
    return {{"name", name},
            {"from", origin_text(session)},
            {"node", session.node},
            {"address", session.address.str()},
            {"as", session.as_number},
            {"state", "Refused"},
            {"prefixes", 0},
            {"advertised", 0},
            {"sessions", 0},
            {"why", why}};
}

// How a control socket of BIRD's is answered.
explain::BirdHandler bird_handler(explain::BirdFacts facts, std::function<const Peering*()> peering)
{
    explain::BirdHandler handler;
    handler.greeting = [facts] { return explain::bird_greeting(facts); };
    handler.answer = [facts, peering](const std::string& command) {
        explain::BirdFacts now = facts;
        now.now = std::chrono::system_clock::now();
        if (const Peering* running = peering(); running && running->running())
            now.router_id = running->running()->router_id;
        return explain::bird_answer(command, now, [peering] { return speaker_of(peering()); });
    };
    return handler;
}

// Some by name: behind a lost uplink there may be hundreds.
void add_lost_next_hops(const Peering& peering, std::vector<std::string>& warnings)
{
    constexpr std::size_t kNamed = 5;
    const auto lost =
        peering.speaker() ? peering.speaker()->lost_next_hops() : std::vector<bgp::LostNextHop>();
    for (const bgp::LostNextHop& next_hop : lost | std::views::take(kNamed))
        warnings.push_back("BGP: nothing leads to next hop " + next_hop.hop.str() +
                           ", paths not used: " + std::to_string(next_hop.paths));
    if (lost.size() > kNamed)
        warnings.push_back("BGP: nothing leads to " + std::to_string(lost.size() - kNamed) +
                           " other next hops");
}

} // namespace

json::array bgp_peer_rows(const Peering* peering)
{
    json::array rows;
    const bgp::Speaker* speaker = speaker_of(peering);
    if (!speaker)
        return rows;
    const auto& sessions = peering->sessions();
    const auto bfd = peering->bfd_states();
    for (const bgp::PeerStatus& peer : speaker->peers()) {
        const auto session = sessions.find(peer.name);
        if (session == sessions.end() && !peer.range)
            continue;
        json::object row = explain::peer_row(peer);
        if (peer.range) {
            row["from"] = "dynamic, of range " + peer.range->str();
        } else {
            row["from"] = origin_text(session->second);
            row["node"] = session->second.node;
        }
        if (const auto state = bfd.find(peer.address); state != bfd.end())
            row["bfd"] = state->second;
        rows.push_back(std::move(row));
    }
    for (const auto& [name, why] : peering->refused())
        if (const auto session = sessions.find(name); session != sessions.end())
            rows.push_back(refused_row(name, why, session->second));
    return rows;
}

json::object bgp_peers_report(const Peering* peering)
{
    return {{"peers", bgp_peer_rows(peering)},
            {"refused", refused_connections(speaker_of(peering))},
            {"trouble", peering ? peering->trouble() : "not started"}};
}

std::vector<std::string> bgp_warnings(const Peering* peering)
{
    if (!peering)
        return {};
    auto warnings = peering->warnings();
    add_lost_next_hops(*peering, warnings);
    if (!peering->trouble().empty())
        warnings.insert(warnings.begin(), "BGP: " + peering->trouble());
    return warnings;
}

std::optional<Result<std::string>> bgp_answer(const Peering* peering,
                                              const status::Request& request)
{
    if (request.command == "bgp-routes")
        return text_of(view_of(peering).routes(request.args));
    if (request.command == "bgp-peer")
        return text_of(peer_answer(peering, request));
    if (request.command == "bgp-dump")
        return text_of(dump_answer(peering, request));
    return std::nullopt;
}

std::vector<explain::BirdFace> bird_faces(const config::Config& config, explain::BirdFacts facts,
                                          std::function<const Peering*()> peering)
{
    explain::BirdFacts facts6 = facts;
    facts6.ipv6 = true;
    const auto has_ipv6_peers = [peering] {
        const bgp::Speaker* speaker = speaker_of(peering());
        return speaker && std::ranges::any_of(speaker->peers(), [](const bgp::PeerStatus& peer) {
                   return !peer.address.is_v4();
               });
    };
    return {
        {config.bird_socket, "bird", bird_handler(std::move(facts), peering), {}},
        {config.bird6_socket(), "bird6", bird_handler(std::move(facts6), peering), has_ipv6_peers}};
}

} // namespace margay
