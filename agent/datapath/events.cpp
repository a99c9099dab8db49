// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/events.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <arpa/inet.h>
#include <time.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "maps/endpoints.h"
#include "maps/policy.h"
#include "maps/stages.h"

namespace margay::datapath {
namespace {

constexpr ReasonInfo kUnknownReason{"unknown", "reason of another version", REASON_KIND_NOTE};

std::chrono::nanoseconds monotonic()
{
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

} // namespace

const ReasonInfo& reason_info(std::uint32_t reason)
{
#define REASON_INFO(id, kind, label, text) ReasonInfo{label, text, REASON_KIND_##kind},
    static constexpr std::array kReasons = {REASONS(REASON_INFO)};
#undef REASON_INFO
    static_assert(kReasons.size() == REASON_COUNT);
    return reason < kReasons.size() ? kReasons[reason] : kUnknownReason;
}

std::string_view hook_name(std::uint32_t hook)
{
#define HOOK_NAME(id, name) std::string_view(name),
    static constexpr std::array kHooks = {HOOKS(HOOK_NAME)};
#undef HOOK_NAME
    return hook < kHooks.size() ? kHooks[hook] : "unknown";
}

Record decode_event(const event& raw, std::chrono::nanoseconds wall_offset, const Names& names)
{
    const ReasonInfo& reason = reason_info(raw.reason);
    Record record;
    record.time = std::chrono::system_clock::time_point(
        std::chrono::duration_cast<std::chrono::system_clock::duration>(
            std::chrono::nanoseconds(raw.time) + wall_offset));
    record.log = raw.kind == EVENT_LOG;
    record.hook = hook_name(raw.hook);
    record.reason = reason.label;
    record.text = reason.text;
    record.ifindex = raw.ifindex;
    record.protocol = raw.proto;
    record.source = Ipv4::from_be(raw.saddr);
    record.destination = Ipv4::from_be(raw.daddr);
    record.source_port = ntohs(raw.sport);
    record.destination_port = ntohs(raw.dport);
    record.icmp_type = raw.icmp_type;
    record.icmp_code = raw.icmp_code;
    record.length = raw.length;
    record.tunnel_source = Ipv4::from_be(raw.outer_saddr);
    if (raw.endpoint != ENDPOINT_NONE)
        record.endpoint = names.endpoint(raw.endpoint);
    if (raw.policy != 0)
        record.rule = names.rule(raw.policy, raw.rule);
    return record;
}

Events::Events(Executor& executor, const Clock& clock, Names names)
    : executor_(executor), clock_(clock), names_(std::move(names)),
      ring_(nullptr, ring_buffer__free)
{
}

Events::~Events() = default;

Status Events::start(const Programs& programs)
{
    const auto map = programs.map("events");
    if (!map)
        return map.error();
    ring_.reset(ring_buffer__new(*map, on_sample, this, nullptr));
    if (!ring_)
        return system_error(errno, "open ring buffer events");
    // A descriptor of our own: the ring buffer closes its one itself.
    const int fd = ::dup(ring_buffer__epoll_fd(ring_.get()));
    if (fd < 0)
        return system_error(errno, "duplicate descriptor of events");
    readable_ = std::make_unique<boost::asio::posix::stream_descriptor>(executor_, fd);
    wait();
    return {};
}

void Events::wait()
{
    readable_->async_wait(boost::asio::posix::stream_descriptor::wait_read,
                          [this](const boost::system::error_code& error) {
                              if (error)
                                  return; // closed: `this` may be gone
                              ring_buffer__consume(ring_.get());
                              wait();
                          });
}

int Events::on_sample(void* self, void* data, std::size_t size)
{
    auto& events = *static_cast<Events*>(self);
    event raw{};
    if (size < sizeof(raw))
        return 0;
    std::memcpy(&raw, data, sizeof(raw));
    const auto offset = std::chrono::duration_cast<std::chrono::nanoseconds>(
                            events.clock_.wall().time_since_epoch()) -
                        monotonic();
    events.kept_.push_back(decode_event(raw, offset, events.names_));
    if (events.kept_.size() > kKept)
        events.kept_.pop_front();
    return 0;
}

Result<std::vector<Counter>> read_counters(const Programs& programs)
{
    const auto map = programs.map("counters");
    if (!map)
        return map.error();
    const int cpus = libbpf_num_possible_cpus();
    if (cpus < 1)
        return system_error(-cpus, "count CPUs");
    std::vector<counter> values(static_cast<std::size_t>(cpus));
    std::vector<Counter> counters;
    for (std::uint32_t reason = REASON_UNSPEC + 1; reason < REASON_COUNT; reason++) {
        if (bpf_map_lookup_elem(*map, &reason, values.data()) != 0)
            return system_error(errno, "read counter " + std::string(reason_info(reason).label));
        Counter sum{reason_info(reason)};
        for (const auto& value : values) {
            sum.packets += value.packets;
            sum.bytes += value.bytes;
        }
        counters.push_back(sum);
    }
    return counters;
}

} // namespace margay::datapath
