// SPDX-License-Identifier: Apache-2.0
// Worker: one thread that runs blocking datastore jobs, one after the other in the order given,
// and brings their results back to the executor.
//
// A job may use what it captured by value and the Kv it is given, nothing else: the state of the
// agent belongs to the executor's thread.

#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "agent/store/kv.h"
#include "margay/executor.h"

namespace margay::store {

class Worker {
public:
    // `executor` must outlive the worker.
    Worker(Executor& executor, std::unique_ptr<Kv> kv);
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;
    // Cancels the job under way, drops the others. No on_done runs afterwards.
    ~Worker();

    // worker.run([](Kv& kv) { return claim_block(kv); }, [](Result<Prefix4> block) { ... });
    template <typename Job, typename Done>
    void run(Job job, Done on_done)
    {
        submit([job = std::move(job), on_done = std::move(on_done)](Kv& kv) mutable {
            auto result = std::make_shared<decltype(job(kv))>(job(kv));
            return std::function<void()>(
                [result, on_done = std::move(on_done)]() mutable { on_done(std::move(*result)); });
        });
    }

private:
    using Completion = std::function<void()>;
    void submit(std::function<Completion(Kv&)> job);

    struct Shared;
    std::shared_ptr<Shared> shared_;
};

} // namespace margay::store
