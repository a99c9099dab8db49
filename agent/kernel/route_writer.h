// SPDX-License-Identifier: Apache-2.0
// RouteWriter: the thread on which the kernel changes and lists routes.
//
// A route costs the kernel some 4 us under RTNL, more than all that leads to it costs us, and the
// system call lasts as long. On this thread it costs the event loop nothing, and the next routes
// are decided meanwhile. The thread owns a socket and no state: jobs go in, answers come back on
// the executor in the order of the jobs.

#pragma once

#include "agent/kernel/netlink.h"
#include "agent/kernel/route_plan.h"
#include "margay/worker.h"

#include <functional>
#include <memory>
#include <vector>

namespace margay::kernel {

template <typename P>
class RouteWriterOf {
public:
    using Route = RouteOf<P>;
    using RouteOperation = RouteOperationOf<P>;

    struct Answers {
        // The operations of one write(); those refused by index, in order. An Error: nobody knows
        // which of them were made.
        std::function<void(const std::vector<RouteOperation>&, const Result<std::vector<Refusal>>&)>
            on_written;
        // A list(): its begin (again, when a change interrupted it), portions, its end.
        std::function<void()> on_list_begin;
        std::function<void(const std::vector<Route>&)> on_listed;
        std::function<void(const Status&)> on_list_end;
    };

    static Result<std::unique_ptr<RouteWriterOf>> start(Executor& executor, Answers answers);
    // Its end waits for the job that goes on; what was not begun is not made, and nobody is told.

    void write(std::vector<RouteOperation> operations);
    void list(); // the main table
    // Notifications caused by this thread carry this id.
    std::uint32_t port_id() const { return port_id_; }

private:
    RouteWriterOf(Executor& executor, Answers answers, NetlinkSocket socket);

    std::shared_ptr<const Answers> answers_; // called on the executor alone
    std::uint32_t port_id_;
    Worker<NetlinkSocket> worker_;
};
using RouteWriter = RouteWriterOf<Prefix4>;
using RouteWriter6 = RouteWriterOf<Prefix6>;

} // namespace margay::kernel
