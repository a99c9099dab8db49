// SPDX-License-Identifier: Apache-2.0
// Events: what the programs dropped and why, for people; and the counters by reason.

#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/datapath/programs.h"
#include "maps/stats.h"
#include "margay/clock.h"
#include "margay/executor.h"
#include "margay/ip.h"

struct ring_buffer;

namespace margay::datapath {

// One event with every number replaced by what it meant when the event came.
struct Record {
    std::chrono::system_clock::time_point time{};
    bool log = false; // a Log rule matched; else a drop
    std::string hook;
    std::string reason; // label of maps/stats.h
    std::string text;   // the same for people
    std::uint32_t ifindex = 0;
    std::uint8_t protocol = 0;
    Ipv4 source{};
    Ipv4 destination{};
    std::uint16_t source_port = 0;
    std::uint16_t destination_port = 0;
    std::uint8_t icmp_type = 0;
    std::uint8_t icmp_code = 0;
    std::string endpoint; // empty: none
    std::string rule;     // "tier default, policy web, rule 2 (Deny)"; empty: no policy decided
    std::uint32_t length = 0;
    Ipv4 tunnel_source{}; // 0.0.0.0: not from a tunnel
};

struct ReasonInfo {
    std::string_view label;
    std::string_view text;
    reason_kind kind = REASON_KIND_NOTE;
};
const ReasonInfo& reason_info(std::uint32_t reason); // unknown numbers too
std::string_view hook_name(std::uint32_t hook);

// How an event's numbers become names.
struct Names {
    std::function<std::string(std::uint32_t slot)> endpoint;
    std::function<std::string(std::uint32_t policy, std::uint32_t rule)> rule;
};

// `wall_offset`: wall time less CLOCK_MONOTONIC.
Record decode_event(const event& raw, std::chrono::nanoseconds wall_offset, const Names& names);

class Events {
public:
    static constexpr std::size_t kKept = 1000;

    Events(Executor& executor, const Clock& clock, Names names);
    ~Events();
    Events(const Events&) = delete;
    Events& operator=(const Events&) = delete;

    Status start(const Programs& programs);
    // The newest last.
    const std::deque<Record>& kept() const { return kept_; }

private:
    static int on_sample(void* self, void* data, std::size_t size);
    void wait();

    Executor& executor_;
    const Clock& clock_;
    Names names_;
    std::unique_ptr<ring_buffer, void (*)(ring_buffer*)> ring_;
    std::unique_ptr<boost::asio::posix::stream_descriptor> readable_;
    std::deque<Record> kept_;
};

struct Counter {
    ReasonInfo reason;
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;
};
// Summed over CPUs, by reason.
Result<std::vector<Counter>> read_counters(const Programs& programs);

} // namespace margay::datapath
