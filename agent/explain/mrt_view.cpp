// SPDX-License-Identifier: Apache-2.0
#include "agent/explain/mrt_view.h"

#include "bgp/wire/mrt.h"

#include <fmt/format.h>

#include <boost/json.hpp>

#include <charconv>

namespace margay::explain {
namespace {

namespace json = boost::json;
using Moment = std::chrono::system_clock::time_point;

// The peers in the order of the file: ourselves, then by name.
class MrtPeers {
public:
    MrtPeers(const bgp::Speaker& speaker, const bgp::SpeakerConfig& config)
        : peers_{{Ip(config.router_id), config.router_id, config.local_as}},
          since_{std::chrono::system_clock::now()}
    {
        std::string names;
        for (const bgp::PeerStatus& peer : speaker.peers()) {
            if (peers_.size() == bgp::kMrtPeers)
                break;
            if (peer.is_stranger()) // it tells nothing, and would change the table as it likes
                continue;
            places_[peer.name] = static_cast<std::uint16_t>(peers_.size());
            peers_.push_back({peer.address, peer.identifier.value_or(Ipv4()), peer.remote_as});
            since_.push_back(peer.since);
            names += peer.name + " " + peer.address.str() + "\n";
        }
        digest_ = fmt::format("{:x}", std::hash<std::string>()(names));
    }

    const std::vector<bgp::MrtPeer>& all() const { return peers_; }
    const std::string& digest() const { return digest_; }
    std::optional<bgp::MrtPath> path(const bgp::RouteView& route) const
    {
        if (route.rejected || !route.attributes)
            return std::nullopt;
        std::uint16_t place = 0;
        if (route.from) {
            const auto found = places_.find(route.peer);
            if (found == places_.end()) // it is no longer configured
                return std::nullopt;
            place = found->second;
        }
        return bgp::MrtPath{place, since_[place], route.path, &*route.attributes};
    }

private:
    std::vector<bgp::MrtPeer> peers_;
    std::vector<Moment> since_;
    std::map<std::string, std::uint16_t> places_;
    std::string digest_;
};

// The views of an entry are one after the other.
std::uint32_t put_routes(const std::vector<bgp::RouteView>& views, const MrtPeers& peers,
                         Moment now, std::uint32_t sequence, bgp::Bytes& out)
{
    std::vector<bgp::MrtPath> paths;
    for (std::size_t i = 0; i < views.size(); ++i) {
        if (const auto path = peers.path(views[i]))
            paths.push_back(*path);
        if (i + 1 < views.size() && views[i + 1].prefix == views[i].prefix)
            continue;
        sequence += bgp::put_mrt_paths(now, sequence, views[i].prefix, paths, out);
        paths.clear();
    }
    return sequence;
}

std::string hex(const bgp::Bytes& octets)
{
    constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    text.reserve(octets.size() * 2);
    for (const std::uint8_t octet : octets) {
        text += kDigits[octet >> 4];
        text += kDigits[octet & 15];
    }
    return text;
}

} // namespace

std::string cursor_text(const bgp::RouteCursor& cursor)
{
    return fmt::format("{}:{}", cursor.ipv6 ? 6 : 4, cursor.entry);
}

std::optional<bgp::RouteCursor> parse_cursor(std::string_view text)
{
    bgp::RouteCursor cursor;
    if (!text.starts_with("4:") && !text.starts_with("6:"))
        return std::nullopt;
    cursor.ipv6 = text.front() == '6';
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + 2, end, cursor.entry);
    return error == std::errc() && stop == end ? std::optional(cursor) : std::nullopt;
}

Result<json::object> mrt_portion(const bgp::Speaker& speaker, const bgp::SpeakerConfig& config,
                                 const Args& args)
{
    const auto argument = [&args](const char* name) {
        const auto found = args.find(name);
        return found == args.end() ? std::string() : found->second;
    };
    const MrtPeers peers(speaker, config);
    const Moment now = std::chrono::system_clock::now();
    bgp::Bytes out;
    bgp::RouteCursor from;
    std::uint32_t sequence = 0;
    if (const std::string cursor = argument("cursor"); cursor.empty()) {
        bgp::put_mrt_peers(now, config.router_id, "", peers.all(), out);
    } else {
        const auto parsed = parse_cursor(cursor);
        const std::string number = argument("sequence");
        const auto [stop, error] =
            std::from_chars(number.data(), number.data() + number.size(), sequence);
        if (!parsed || error != std::errc() || stop != number.data() + number.size())
            return Error{Errc::Invalid, 0, "the cursor or sequence is not that of an answer"};
        if (argument("peers") != peers.digest())
            return Error{Errc::Conflict, 0,
                         "the peers were changed while the table was written; begin again"};
        from = *parsed;
    }
    const auto portion = speaker.routes({}, from);
    sequence = put_routes(portion.views, peers, now, sequence, out);
    return json::object{
        {"mrt", hex(out)},
        {"next", portion.next ? json::value(cursor_text(*portion.next)) : json::value()},
        {"sequence", std::to_string(sequence)},
        {"peers", peers.digest()}};
}

} // namespace margay::explain
