// SPDX-License-Identifier: Apache-2.0
#include "bgp/speaker/neighbours.h"

#include <algorithm>
#include <utility>

namespace margay::bgp {
namespace {

// Dynamic neighbours that are still to greet, of all ranges: the oldest gives way to a newcomer.
constexpr std::size_t kMostStrangers = 64;

} // namespace

// Each as its range would make it now.
void Neighbours::set_ranges(std::vector<PeerRange> wanted)
{
    ranges_.set(std::move(wanted));
    const auto before = neighbours_;
    for (Peer* peer : before) {
        const PeerConfig& config = peer->config();
        const PeerRange* range = ranges_.find(config.address);
        if (!range) {
            remove(*peer, cease::kPeerRemoved);
            continue;
        }
        const PeerConfig now = neighbour_of(*range, {config.address, config.interface});
        if (now.name == config.name && now.same_session(config))
            peer->set_policy(now.policy);
        else
            remove(*peer, cease::kConfigChange);
    }
}

Peer* Neighbours::admit(const PeerRange& range, const Source& from)
{
    PeerConfig config = neighbour_of(range, from);
    if (peers_.contains(config.name)) {
        refusals_.add(from.address, "a configured peer has its name, " + config.name);
        return nullptr;
    }
    if (const std::string full = make_room(range); !full.empty()) {
        refusals_.add(from.address, "one too many: " + full);
        return nullptr;
    }
    Peer* peer = peers_.add(std::move(config));
    if (!peer) {
        refusals_.add(from.address, "there are too many peers");
        return nullptr;
    }
    neighbours_.push_back(peer);
    peer->start();
    return peer;
}

// Those that greeted have their place. Those that did not hold it against newcomers for as long as there
// is another: nobody fills a range by connecting alone.
std::string Neighbours::make_room(const PeerRange& range)
{
    const auto strangers =
        std::ranges::count_if(neighbours_, [](const Peer* peer) { return !peer->proven(); });
    if (static_cast<std::size_t>(strangers) >= kMostStrangers)
        replace_stranger(std::nullopt);
    const auto here = std::ranges::count_if(
        neighbours_, [&](const Peer* peer) { return peer->config().range == range.prefix; });
    if (static_cast<std::size_t>(here) >= range.limit && !replace_stranger(range.prefix))
        return "range " + range.prefix.str() + " has its " + std::to_string(range.limit) +
               " dynamic neighbours";
    if (neighbours_.size() >= limit_ && !replace_stranger(std::nullopt))
        return "all ranges have their " + std::to_string(limit_) + " dynamic neighbours";
    return "";
}

bool Neighbours::replace_stranger(const std::optional<IpPrefix>& range)
{
    for (Peer* peer : neighbours_) {
        if (peer->proven() || (range && peer->config().range != range))
            continue;
        refusals_.add(peer->config().address, "gave way to a newcomer before its session was up");
        peer->cut(); // or a flood of them would linger, each with a descriptor
        remove(*peer, cease::kOutOfResources);
        return true;
    }
    return false;
}

void Neighbours::give_way(const std::map<std::string, PeerConfig>& configured)
{
    const auto before = neighbours_;
    for (Peer* peer : before) {
        const PeerConfig& mine = peer->config();
        const auto is_it = [&](const auto& entry) {
            const PeerConfig& other = entry.second;
            return other.name == mine.name ||
                   (other.address == mine.address && other.interface == mine.interface);
        };
        if (std::ranges::any_of(configured, is_it))
            remove(*peer, cease::kConfigChange);
    }
}

// A neighbour whose session never came up was none: that is told as a refusal.
void Neighbours::forget_spent(std::vector<PeerStatus>& news)
{
    const auto before = neighbours_;
    for (Peer* peer : before) {
        if (!peer->is_spent())
            continue;
        PeerStatus last = peer->status();
        last.forgotten = true;
        if (last.is_stranger())
            refusals_.add(last.address, last.why_down);
        std::erase_if(news, [&](const PeerStatus& status) { return status.name == last.name; });
        news.push_back(std::move(last));
        remove(*peer, cease::kPeerRemoved);
    }
}

void Neighbours::remove(Peer& peer, std::uint8_t subcode)
{
    std::erase(neighbours_, &peer);
    peers_.remove(peer, subcode);
}

} // namespace margay::bgp
