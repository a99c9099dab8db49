// SPDX-License-Identifier: Apache-2.0
#include "agent/explain/bird_text.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <optional>
#include <sstream>
#include <utility>
#include <vector>

namespace margay::explain {
namespace {

using Time = std::chrono::system_clock::time_point;

// A word of a table: what splits it at blanks must find one. Names and reasons come from elsewhere.
std::string word(std::string_view text)
{
    std::string out;
    for (const char c : text)
        out += std::isgraph(static_cast<unsigned char>(c)) ? c : '_';
    return out.empty() ? "-" : out;
}

std::string one_line(std::string_view text)
{
    std::string out;
    for (const char c : text)
        out += std::isprint(static_cast<unsigned char>(c)) ? c : ' ';
    return out;
}

// The column "since" is one word: BIRD gives the time of day of what is young, the day of what is not.
std::string since_text(Time since, Time now)
{
    constexpr auto kYoung = std::chrono::hours(20);
    const auto time = fmt::gmtime(std::chrono::system_clock::to_time_t(since));
    return now - since < kYoung ? fmt::format("{:%H:%M:%S}", time)
                                : fmt::format("{:%Y-%m-%d}", time);
}

std::string moment_text(Time time)
{
    return fmt::format("{:%Y-%m-%d %H:%M:%S}",
                       fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

// What BIRD calls a protocol's state.
const char* protocol_state(bgp::State state)
{
    switch (state) {
    case bgp::State::Established:
        return "up";
    case bgp::State::Idle:
        return "down";
    default:
        return "start";
    }
}

// calicoctl makes an address of each name, of the family whose socket it asked.
std::vector<bgp::PeerStatus> peers_of(const BirdFacts& facts, const bgp::Speaker* speaker)
{
    std::vector<bgp::PeerStatus> peers;
    if (speaker)
        peers = speaker->peers();
    std::erase_if(peers,
                  [&](const bgp::PeerStatus& peer) { return peer.address.is_v4() == facts.ipv6; });
    return peers;
}

constexpr const char* kProtocolHeading =
    "2002-name     proto    table    state  since       info\n";
constexpr const char* kEnd = "0000 \n";

std::string protocol_row(const bgp::PeerStatus& peer, Time now)
{
    return fmt::format("{:<8} {:<8} {:<8} {:<6} {:<11} {:<13} {}", word(peer.name), "BGP", "master",
                       protocol_state(peer.state), since_text(peer.since, now),
                       bgp::name_of(peer.state), one_line(peer.why_down));
}

std::string protocol_details(const bgp::PeerStatus& peer)
{
    std::string text = "1006-  Preference:     100\n";
    text += fmt::format("   Routes:         {} imported, {} exported\n", peer.prefixes_received,
                        peer.prefixes_advertised);
    text += fmt::format("   BGP state:          {}\n", bgp::name_of(peer.state));
    text += fmt::format("     Neighbor address: {}\n", peer.address.str());
    text += fmt::format("     Neighbor AS:      {}\n", peer.remote_as.value);
    if (peer.identifier)
        text += fmt::format("     Neighbor ID:      {}\n", peer.identifier->str());
    if (peer.state == bgp::State::Established)
        text += fmt::format("     Hold timer:       {}\n", peer.hold_time.count());
    else if (!peer.why_down.empty())
        text += fmt::format("     Last error:       {}\n", one_line(peer.why_down));
    return text + " \n";
}

std::string show_protocols(const BirdFacts& facts, const bgp::Speaker* speaker)
{
    std::string text = kProtocolHeading;
    bool first = true;
    for (const bgp::PeerStatus& peer : peers_of(facts, speaker))
        text +=
            (std::exchange(first, false) ? "1002-" : " ") + protocol_row(peer, facts.now) + "\n";
    return text + kEnd;
}

// `name` empty: of all.
std::string show_protocols_all(const std::string& name, const BirdFacts& facts,
                               const bgp::Speaker* speaker)
{
    std::string text = kProtocolHeading;
    bool found = name.empty();
    for (const bgp::PeerStatus& peer : peers_of(facts, speaker)) {
        if (!name.empty() && word(peer.name) != name)
            continue;
        text += "1002-" + protocol_row(peer, facts.now) + "\n" + protocol_details(peer);
        found = true;
    }
    return found ? text + kEnd : "8003 No protocols match\n";
}

std::string show_status(const BirdFacts& facts)
{
    return fmt::format("1000-BIRD margayd-{}\n"
                       "1011-Router ID is {}\n"
                       " Current server time is {}\n"
                       " Last reboot on {}\n"
                       " Last reconfiguration on {}\n"
                       "0013 Daemon is up and running\n",
                       facts.version, facts.router_id.str(), moment_text(facts.now),
                       moment_text(facts.started), moment_text(facts.started));
}

std::string route_row(const bgp::RouteView& route, const BirdFacts& facts)
{
    const bgp::Attributes attributes = route.attributes.value_or(bgp::Attributes{});
    const std::string device =
        facts.device && route.prefix.is_v4() ? facts.device(route.prefix.v4()) : "";
    const auto neighbor =
        attributes.as_path.segments().empty() || attributes.as_path.segments().back().asns.empty()
            ? std::string()
            : fmt::format("AS{}", attributes.as_path.segments().back().asns.back().value);
    constexpr const char* kOrigins[] = {"i", "e", "?"};
    if (!route.from)
        return fmt::format("{:<18} blackhole [static1 {}] * (200)", route.prefix.str(),
                           since_text(facts.started, facts.now));
    return fmt::format("{:<18} via {} on {} [{} {}] {}(100/0) [{}{}]", route.prefix.str(),
                       attributes.next_hop.str(), device.empty() ? "?" : word(device),
                       word(route.peer.empty() ? route.from->str() : route.peer),
                       since_text(facts.started, facts.now), route.best ? "* " : "", neighbor,
                       kOrigins[static_cast<std::size_t>(attributes.origin)]);
}

// The table in the portions of the speaker's walk.
class RouteWalk {
public:
    RouteWalk(BirdFacts facts, SpeakerNow speaker)
        : facts_(std::move(facts)), speaker_(std::move(speaker)),
          at_(bgp::RouteCursor{facts_.ipv6, 0})
    {
    }

    std::string next()
    {
        std::string text;
        while (text.empty() && at_)
            text = portion();
        if (text.empty() && !std::exchange(ended_, true))
            return kEnd;
        return text;
    }

private:
    std::string portion()
    {
        const bgp::Speaker* speaker = speaker_();
        const bgp::RouteCursor from = *std::exchange(at_, std::nullopt);
        if (!speaker)
            return "";
        const auto portion = speaker->routes({}, from);
        if (portion.next && portion.next->ipv6 == facts_.ipv6)
            at_ = portion.next;
        std::string text;
        for (const bgp::RouteView& route : portion.views)
            if (!route.rejected)
                text += (std::exchange(first_, false) ? "1007-" : " ") + route_row(route, facts_) +
                        "\n";
        return text;
    }

    BirdFacts facts_;
    SpeakerNow speaker_;
    std::optional<bgp::RouteCursor> at_;
    bool first_ = true;
    bool ended_ = false;
};

BirdPieces whole(std::string text)
{
    return [text = std::move(text)]() mutable { return std::exchange(text, {}); };
}

std::vector<std::string> words_of(const std::string& command)
{
    std::istringstream in(command);
    std::vector<std::string> words;
    for (std::string each; in >> each;)
        words.push_back(std::move(each));
    return words;
}

} // namespace

std::string bird_greeting(const BirdFacts& facts)
{
    return "0001 BIRD margayd-" + facts.version + " ready.\n";
}

BirdPieces bird_answer(const std::string& command, const BirdFacts& facts,
                       const SpeakerNow& speaker)
{
    using Words = std::vector<std::string>;
    const Words words = words_of(command);
    const bool of_protocols = words.size() >= 2 && words[0] == "show" && words[1] == "protocols";
    if (of_protocols && words.size() == 2)
        return whole(show_protocols(facts, speaker()));
    if (of_protocols && words[2] == "all" && words.size() <= 4)
        return whole(show_protocols_all(words.size() == 4 ? words[3] : "", facts, speaker()));
    if (words == Words{"show", "status"})
        return whole(show_status(facts));
    if (words == Words{"show", "route"})
        return [walk = std::make_shared<RouteWalk>(facts, speaker)] { return walk->next(); };
    return whole("9001 syntax error: margayd knows show protocols [all [NAME]], show status, show "
                 "route\n");
}

} // namespace margay::explain
