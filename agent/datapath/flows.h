// SPDX-License-Identifier: Apache-2.0
// Flows: what the programs remember, and the collector that the agent drives.
//
// One run of the `collect` program visits one shard of the table, frees what is idle or belongs to
// a workload that is gone, and tells the programs that the agent lives (maps/flows.h). So the
// collector also is the heartbeat: it must run even when there is nothing to collect.

#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "agent/datapath/programs.h"
#include "maps/flows.h"
#include "margay/executor.h"
#include "margay/result.h"

namespace margay::datapath {

class Flows {
public:
    Flows(Executor& executor, const Programs& programs) : programs_(programs), timer_(executor) {}

    // Collects from now on, one shard a tick. `on_error` hears the first of a row of failures.
    void start(std::function<void(const Error&)> on_error);
    void stop() { timer_.stop(); }
    // A workload went: the next whole pass is made quickly, in small steps.
    void hurry();

    // Visits one shard; the kernel's time in jiffies.
    Result<std::uint32_t> collect(std::uint32_t shard) const;

    struct Entry {
        flow_key key;
        flow value;
    };
    // At most `limit` entries, in no order: for people. Costs two system calls an entry.
    Result<std::vector<Entry>> dump(std::size_t limit) const;
    // Flows that an endpoint's slot holds.
    Result<std::uint32_t> count(std::uint32_t slot) const;

private:
    void tick();

    const Programs& programs_;
    Timer timer_;
    std::function<void(const Error&)> on_error_;
    std::uint32_t shard_ = 0;
    std::uint32_t hurried_ = 0; // shards still to be visited quickly
    bool failing_ = false;
};

} // namespace margay::datapath
