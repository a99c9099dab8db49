// SPDX-License-Identifier: Apache-2.0
#include "agent/explain/bgp_view.h"

#include "agent/explain/mrt_view.h"
#include "bgp/wire/communities.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <boost/json.hpp>

#include <net/if.h>

#include <algorithm>
#include <array>
#include <utility>

namespace margay::explain {
namespace {

namespace json = boost::json;

constexpr std::size_t kPeersNamed = 20; // in an error's text

json::array texts(const std::vector<std::string>& list)
{
    return json::array(list.begin(), list.end());
}

const char* origin_name(bgp::Origin origin)
{
    switch (origin) {
    case bgp::Origin::Igp:
        return "igp";
    case bgp::Origin::Egp:
        return "egp";
    case bgp::Origin::Incomplete:
        return "incomplete";
    }
    return "?";
}

template <typename Number>
json::value number(const std::optional<Number>& value)
{
    return value ? json::value(*value) : json::value();
}

json::object counts_json(const bgp::MessageCounts& counts)
{
    return {{"open", counts.open},
            {"update", counts.update},
            {"notification", counts.notification},
            {"keepalive", counts.keepalive},
            {"route_refresh", counts.route_refresh}};
}

json::array family_names(const bgp::PeerStatus& peer)
{
    json::array names;
    for (const bgp::Family family : peer.families)
        names.emplace_back(bgp::name_of(family));
    return names;
}

json::array capabilities(const bgp::PeerStatus& peer)
{
    json::array names;
    const std::pair<bool, const char*> all[] = {{peer.route_refresh, "route refresh"},
                                                {peer.graceful_restart, "graceful restart"},
                                                {peer.add_path, "add-path"},
                                                {peer.extended_messages, "extended messages"}};
    for (const auto& [agreed, name] : all)
        if (agreed)
            names.emplace_back(name);
    return names;
}

// The number where the interface is gone.
std::string interface_name(std::uint32_t index)
{
    std::array<char, IF_NAMESIZE> name{};
    return ::if_indextoname(index, name.data()) ? name.data() : std::to_string(index);
}

json::object route_row(const bgp::RouteView& route)
{
    json::object row{{"prefix", route.prefix.str()},
                     {"peer", !route.from          ? "own"
                              : route.peer.empty() ? route.from->str()
                                                   : route.peer},
                     {"from", route.from ? json::value(route.from->str()) : json::value()},
                     {"path", route.path},
                     {"best", route.best},
                     {"multipath", route.multipath},
                     {"stale", route.stale},
                     {"rejected", route.rejected},
                     {"why", route.why}};
    if (route.attributes)
        for (auto& [key, value] : attributes_json(*route.attributes))
            row[key] = std::move(value);
    if (route.attributes && route.interface != 0)
        row["next_hop"] = route.attributes->next_hop.str() + "%" + interface_name(route.interface);
    return row;
}

json::object exported_row(const bgp::ExportedView& exported)
{
    json::object row = route_row(exported.route);
    row["advertised"] = exported.told;
    row["why"] = exported.told ? "advertised" : exported.why;
    return row;
}

std::string argument(const Args& args, const char* name)
{
    const auto found = args.find(name);
    return found == args.end() ? "" : found->second;
}

Result<bgp::RouteQuery> parse_query(const Args& args)
{
    bgp::RouteQuery query;
    if (const std::string text = argument(args, "prefix"); !text.empty()) {
        query.prefix = IpPrefix::parse(text);
        if (!query.prefix)
            return Error{Errc::Invalid, 0,
                         "'" + text +
                             "' is no prefix; one is an address with its length, as 10.244.0.0/16 "
                             "or fd00::/64, or an address alone"};
    }
    using Match = bgp::RouteQuery::Match;
    static const std::map<std::string, Match> kMatches = {{"", Match::Exact},
                                                          {"exact", Match::Exact},
                                                          {"longer", Match::Within},
                                                          {"shorter", Match::Covering}};
    const auto match = kMatches.find(argument(args, "match"));
    if (match == kMatches.end())
        return Error{Errc::Invalid, 0,
                     "'" + argument(args, "match") +
                         "' is no way to match; there are exact, longer, shorter"};
    query.match = match->second;
    return query;
}

// Of one portion, or the table's order would be mistaken for one.
template <typename View, typename Row>
json::object answer_of(const bgp::Portion<View>& portion, const Row& row)
{
    json::array rows;
    rows.reserve(portion.views.size());
    for (const View& view : portion.views)
        rows.push_back(row(view));
    return {{"routes", std::move(rows)},
            {"next", portion.next ? json::value(cursor_text(*portion.next)) : json::value()}};
}

} // namespace

std::string utc_text(std::chrono::system_clock::time_point time)
{
    return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                       fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

json::object attributes_json(const bgp::Attributes& attributes)
{
    json::array communities;
    for (const std::uint32_t community : attributes.communities)
        communities.emplace_back(bgp::community_text(community));
    json::array clusters;
    for (const Ipv4 cluster : attributes.cluster_list)
        clusters.emplace_back(cluster.str());
    json::object out{{"next_hop", attributes.next_hop.str()},
                     {"origin", origin_name(attributes.origin)},
                     {"as_path", attributes.as_path.str()},
                     {"local_pref", number(attributes.local_pref)},
                     {"med", number(attributes.med)},
                     {"communities", std::move(communities)},
                     {"large_communities", texts(bgp::large_communities(attributes))},
                     {"extended_communities", texts(bgp::extended_communities(attributes))},
                     {"originator_id", attributes.originator_id
                                           ? json::value(attributes.originator_id->str())
                                           : json::value()},
                     {"cluster_list", std::move(clusters)},
                     {"atomic_aggregate", attributes.atomic_aggregate}};
    if (attributes.aggregator)
        out["aggregator"] = fmt::format("{} {}", attributes.aggregator->as.value,
                                        attributes.aggregator->identifier.str());
    return out;
}

json::object peer_row(const bgp::PeerStatus& peer)
{
    std::string why = peer.why_down;
    if (peer.routes_are_stale)
        why += "; its routes are kept for the restart time";
    return {{"name", peer.name},
            {"address", peer.address.str()},
            {"interface", peer.interface.empty() ? json::value() : json::value(peer.interface)},
            {"as", peer.remote_as.value},
            {"identifier", peer.identifier ? json::value(peer.identifier->str()) : json::value()},
            {"state", bgp::name_of(peer.state)},
            {"since", utc_text(peer.since)},
            {"families", family_names(peer)},
            {"capabilities", capabilities(peer)},
            {"prefixes", peer.prefixes_received},
            {"advertised", peer.prefixes_advertised},
            {"graceful_restart", peer.graceful_restart},
            {"end_of_rib", peer.end_of_rib_received},
            {"stale", peer.routes_are_stale},
            {"hold_time", peer.hold_time.count()},
            {"last_sent", peer.last_notification_sent},
            {"last_received", peer.last_notification_received},
            {"sessions", peer.established_count},
            {"update_faults", peer.update_faults},
            {"sent", counts_json(peer.sent)},
            {"received", counts_json(peer.received)},
            {"why", why}};
}

BgpView::BgpView(const bgp::Speaker* speaker, std::string trouble)
    : speaker_(speaker), trouble_(std::move(trouble))
{
}

Status BgpView::running() const
{
    if (speaker_)
        return {};
    return Error{Errc::Unavailable, 0, "BGP does not run on this node: " + trouble_};
}

// By name first; an address may be that of several sessions.
Result<bgp::PeerStatus> BgpView::find(const std::string& peer) const
{
    const std::vector<bgp::PeerStatus> all = speaker_->peers();
    std::vector<const bgp::PeerStatus*> found;
    std::vector<std::string> names;
    const std::optional<Ip> address = Ip::parse(peer);
    for (const bgp::PeerStatus& status : all) {
        if (status.name == peer)
            return status;
        if (address == status.address)
            found.push_back(&status);
        if (names.size() < kPeersNamed)
            names.push_back(status.name);
    }
    if (found.size() == 1)
        return *found.front();
    if (found.size() > 1)
        return Error{Errc::Invalid, 0,
                     fmt::format("{} sessions have the address {}; name one: {}, {}", found.size(),
                                 peer, found[0]->name, found[1]->name)};
    if (all.empty())
        return Error{Errc::NotFound, 0,
                     "there is no session '" + peer + "', nor any other: no peer is configured"};
    return Error{Errc::NotFound, 0,
                 fmt::format("no session has the name or address '{}'; there are {}{}", peer,
                             fmt::join(names, ", "),
                             all.size() > names.size()
                                 ? fmt::format(" and {} more, see margayctl bgp peers",
                                               all.size() - names.size())
                                 : "")};
}

Result<std::string> BgpView::session(const std::string& peer) const
{
    if (const Status runs = running(); !runs)
        return runs.error();
    const auto found = find(peer);
    if (!found)
        return found.error();
    return found->name;
}

Result<json::object> BgpView::routes(const Args& args) const
{
    if (const Status runs = running(); !runs)
        return runs.error();
    auto query = parse_query(args);
    if (!query)
        return query.error();
    bgp::RouteCursor from;
    if (const std::string text = argument(args, "cursor"); !text.empty()) {
        const auto cursor = parse_cursor(text);
        if (!cursor)
            return Error{Errc::Invalid, 0, "'" + text + "' is no cursor of an answer"};
        from = *cursor;
    }
    if (const std::string peer = argument(args, "received_from"); !peer.empty()) {
        const auto found = find(peer);
        if (!found)
            return found.error();
        query->received_from = found->name;
    }
    const std::string to = argument(args, "advertised_to");
    if (to.empty())
        return answer_of(speaker_->routes(*query, from), route_row);
    const auto found = find(to);
    if (!found)
        return found.error();
    if (found->state != bgp::State::Established)
        return Error{Errc::Unavailable, 0,
                     fmt::format("nothing is advertised to {}: the session is down ({}), since {}",
                                 found->name, found->why_down, utc_text(found->since))};
    return answer_of(speaker_->routes_to(found->name, *query, from), exported_row);
}

} // namespace margay::explain
