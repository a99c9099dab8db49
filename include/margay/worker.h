// SPDX-License-Identifier: Apache-2.0
// Worker: one thread that runs blocking jobs on what it owns, one after the other in the order
// given, and brings their results back to the executor.
//
// A job may use what it captured by value and what the worker owns, nothing else: the state of the
// agent belongs to the executor's thread.

#pragma once

#include "margay/executor.h"

#include <functional>
#include <memory>
#include <utility>

namespace margay {

// The thread, whatever it works on.
class WorkerThread {
public:
    using Completion = std::function<void()>; // runs on the executor
    using Job = std::function<Completion()>;

    // `executor` must outlive the thread. `name`: of at most 15 octets, as `top -H` shows it.
    WorkerThread(Executor& executor, const char* name);
    WorkerThread(const WorkerThread&) = delete;
    WorkerThread& operator=(const WorkerThread&) = delete;
    // Drops the jobs that have not begun, and waits for `cancel` to end the one that has. No
    // Completion runs afterwards.
    ~WorkerThread();
    void end(const std::function<void()>& cancel);

    void submit(Job job);

    // Brings a part of a result back before the job has ended; for the job to keep and to call.
    using Post = std::function<void(Completion)>;
    Post post() const;

private:
    struct Shared;
    std::shared_ptr<Shared> shared_;
};

template <typename Owned>
class Worker {
public:
    Worker(Executor& executor, std::unique_ptr<Owned> owned, const char* name)
        : owned_(std::move(owned)), thread_(executor, name)
    {
    }
    // Cancels the job under way, where what is owned can.
    ~Worker()
    {
        if constexpr (requires(Owned& owned) { owned.cancel(); })
            thread_.end([this] { owned_->cancel(); });
    }

    // worker.run([](Kv& kv) { return claim_block(kv); }, [](Result<Prefix4> block) { ... });
    template <typename Job, typename Done>
    void run(Job job, Done on_done)
    {
        thread_.submit(
            [job = std::move(job), on_done = std::move(on_done), owned = owned_.get()]() mutable {
                auto result = std::make_shared<decltype(job(*owned))>(job(*owned));
                return WorkerThread::Completion([result, on_done = std::move(on_done)]() mutable {
                    on_done(std::move(*result));
                });
            });
    }
    WorkerThread::Post post() const { return thread_.post(); }

private:
    std::unique_ptr<Owned> owned_;
    WorkerThread thread_;
};

} // namespace margay
