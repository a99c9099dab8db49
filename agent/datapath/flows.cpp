// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/flows.h"

#include <bpf/bpf.h>

#include <array>
#include <cerrno>

namespace margay::datapath {
namespace {

using namespace std::chrono_literals;

// A pass takes COLLECT_SHARDS ticks: 8 s, well inside HEARTBEAT_SECONDS and the shortest timeout.
constexpr auto kTick = 500ms;
constexpr auto kHurriedTick = 5ms;

} // namespace

void Flows::start(std::function<void(const Error&)> on_error)
{
    on_error_ = std::move(on_error);
    tick();
}

void Flows::hurry()
{
    hurried_ = COLLECT_SHARDS;
    if (timer_.running())
        timer_.start(kHurriedTick, [this] { tick(); });
}

void Flows::tick()
{
    const auto time = collect(shard_);
    if (!time && !failing_ && on_error_)
        on_error_(time.error());
    failing_ = !time;
    shard_ = (shard_ + 1) % COLLECT_SHARDS;
    if (hurried_ > 0)
        hurried_--;
    timer_.start(hurried_ > 0 ? std::chrono::nanoseconds(kHurriedTick) : kTick, [this] { tick(); });
}

Result<std::uint32_t> Flows::collect(std::uint32_t shard) const
{
    const auto program = programs_.program("collect");
    if (!program)
        return program.error();
    __sk_buff context{};
    context.mark = shard;
    std::array<unsigned char, 64> packet{}; // test runs want an Ethernet header at least
    LIBBPF_OPTS(bpf_test_run_opts, opts);
    opts.data_in = packet.data();
    opts.data_size_in = packet.size();
    opts.ctx_in = &context;
    opts.ctx_size_in = sizeof(context);
    opts.repeat = 1;
    if (bpf_prog_test_run_opts(program->fd, &opts) != 0)
        return system_error(errno, "run collector shard=" + std::to_string(shard));
    return opts.retval;
}

Result<std::vector<Flows::Entry>> Flows::dump(std::size_t limit) const
{
    const auto map = programs_.map("flows4");
    if (!map)
        return map.error();
    std::vector<Entry> entries;
    flow_key key{};
    const void* previous = nullptr;
    flow_key next{};
    while (entries.size() < limit && bpf_map_get_next_key(*map, previous, &next) == 0) {
        key = next;
        previous = &key;
        flow value{};
        if (bpf_map_lookup_elem(*map, &key, &value) == 0) // else it ended between the two calls
            entries.push_back({key, value});
    }
    return entries;
}

Result<std::uint32_t> Flows::count(std::uint32_t slot) const
{
    const auto map = programs_.map("flow_counts");
    if (!map)
        return map.error();
    std::uint32_t count = 0;
    if (bpf_map_lookup_elem(*map, &slot, &count) != 0)
        return system_error(errno, "read flow count of endpoint slot " + std::to_string(slot));
    return count;
}

} // namespace margay::datapath
