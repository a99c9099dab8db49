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

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <variant>
#include <vector>

namespace margay::kernel {

class RouteWriter {
public:
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

    static Result<std::unique_ptr<RouteWriter>> start(Executor& executor, Answers answers);
    // Ends after the system call that goes on; what was not begun is not made, and nobody told.
    ~RouteWriter();
    RouteWriter(const RouteWriter&) = delete;
    RouteWriter& operator=(const RouteWriter&) = delete;

    void write(std::vector<RouteOperation> operations);
    void list(); // the main table
    // Notifications caused by this thread carry this id.
    std::uint32_t port_id() const { return socket_.port_id(); }

private:
    using Writes = std::vector<RouteOperation>;
    struct List {};
    using Job = std::variant<Writes, List>;

    RouteWriter(Executor& executor, Answers answers, NetlinkSocket socket);
    void add(Job job);
    void run();
    void make(Writes& operations);
    void make(List);
    Result<std::vector<Refusal>> send(const Writes& operations);
    template <typename Function>
    void answer(Function function);

    Executor& executor_;
    Answers answers_; // used on the executor alone
    NetlinkSocket socket_; // by the thread alone
    Batch batch_; // by the thread alone
    std::shared_ptr<bool> alive_; // a posted answer looks here before it touches `this`
    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<Job> jobs_;
    bool ending_ = false;
    std::thread thread_; // last: it uses the others
};

} // namespace margay::kernel
