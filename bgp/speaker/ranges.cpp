// SPDX-License-Identifier: Apache-2.0
#include "bgp/speaker/ranges.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

namespace margay::bgp {
namespace {

constexpr std::size_t kRemembered = 64; // addresses

bool is_within(const IpPrefix& prefix, const Ip& address)
{
    if (prefix.is_v4() != address.is_v4())
        return false;
    return prefix.is_v4() ? prefix.v4().contains(address.v4()) : prefix.v6().contains(address.v6());
}

} // namespace

PeerConfig neighbour_of(const PeerRange& range, const Source& source)
{
    PeerConfig peer = range.peer;
    peer.name += "_" + source.address.str();
    if (!source.interface.empty())
        peer.name += "_" + source.interface;
    for (char& c : peer.name)
        if (c == '.' || c == ':')
            c = '_';
    peer.address = source.address;
    peer.interface = source.interface;
    peer.source.reset();
    peer.passive = true;
    peer.range = range.prefix;
    return peer;
}

void Ranges::set(std::vector<PeerRange> ranges)
{
    ranges_.clear();
    for (PeerRange& range : ranges) {
        range.prefix = range.prefix.network();
        const IpPrefix prefix = range.prefix;
        ranges_.emplace(prefix, std::move(range));
    }
}

const PeerRange* Ranges::find(const Ip& address) const
{
    const PeerRange* best = nullptr;
    for (const auto& [prefix, range] : ranges_)
        if (is_within(prefix, address) && (!best || best->prefix.length() < prefix.length()))
            best = &range;
    return best;
}

void Refusals::add(const Ip& from, std::string why)
{
    ++total_;
    if (log_limit_.allow(std::chrono::steady_clock::now()))
        log_.warn("connection refused: {} address={} total={}", why, from.str(), total_);
    if (!by_address_.contains(from) && by_address_.size() == kRemembered)
        by_address_.erase(std::ranges::min_element(
            by_address_, {}, [](const auto& entry) { return entry.second.last; }));
    RefusedConnection& entry = by_address_[from];
    entry.from = from;
    entry.why = std::move(why);
    ++entry.count;
    entry.last = std::chrono::system_clock::now();
}

std::vector<RefusedConnection> Refusals::latest() const
{
    std::vector<RefusedConnection> list;
    for (const auto& [from, entry] : by_address_)
        list.push_back(entry);
    std::ranges::sort(list, std::ranges::greater{}, &RefusedConnection::last);
    return list;
}

} // namespace margay::bgp
