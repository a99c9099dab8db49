// SPDX-License-Identifier: Apache-2.0
// Dynamic neighbours: what a stranger becomes by the range that its address is in. And who was refused.

#pragma once

#include "bgp/speaker/listener.h"
#include "bgp/speaker/types.h"
#include "margay/rate_limit.h"

#include <map>

namespace spdlog {
class logger;
}

namespace margay::bgp {

// A dynamic neighbour as the range makes it.
PeerConfig neighbour_of(const PeerRange& range, const Source& source);

class Ranges {
public:
    // The first with a prefix counts.
    void set(std::vector<PeerRange> ranges);
    bool empty() const { return ranges_.empty(); }
    const std::map<IpPrefix, PeerRange>& all() const { return ranges_; }
    // The most specific one around the address; null: there is none.
    const PeerRange* find(const Ip& address) const;

private:
    std::map<IpPrefix, PeerRange> ranges_;
};

// Anybody can make us refuse him: of each address one entry, of all some.
class Refusals {
public:
    explicit Refusals(spdlog::logger& log) : log_(log) {}

    void add(const Ip& from, std::string why);
    std::uint64_t total() const { return total_; }
    std::vector<RefusedConnection> latest() const; // the last one first

private:
    std::map<Ip, RefusedConnection> by_address_;
    std::uint64_t total_ = 0;
    spdlog::logger& log_;
    RateLimit log_limit_{3, std::chrono::seconds(30)};
};

} // namespace margay::bgp
