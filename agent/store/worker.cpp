// SPDX-License-Identifier: Apache-2.0
#include "agent/store/worker.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

namespace margay::store {

using Job = std::function<std::function<void()>(Kv&)>;

struct Worker::Shared {
    Shared(Executor& e, std::unique_ptr<Kv> k) : executor(e), kv(std::move(k)) {}

    void loop();
    void finish(Completion done);

    Executor& executor;
    std::unique_ptr<Kv> kv;
    std::mutex mutex; // guards what follows
    std::condition_variable wake;
    std::deque<Job> jobs;
    bool stopping = false;

    // Touched on the executor's thread only: a completion that is queued there already must not
    // run once the worker is gone.
    std::shared_ptr<bool> alive = std::make_shared<bool>(true);
    std::thread thread;
};

void Worker::Shared::loop()
{
    for (;;) {
        Job job;
        {
            std::unique_lock lock(mutex);
            wake.wait(lock, [this] { return stopping || !jobs.empty(); });
            if (stopping)
                return;
            job = std::move(jobs.front());
            jobs.pop_front();
        }
        finish(job(*kv));
    }
}

void Worker::Shared::finish(Completion done)
{
    boost::asio::post(executor, [done = std::move(done), mine = alive] {
        if (*mine)
            done();
    });
}

Worker::Worker(Executor& executor, std::unique_ptr<Kv> kv)
    : shared_(std::make_shared<Shared>(executor, std::move(kv)))
{
    shared_->thread = std::thread([shared = shared_.get()] { shared->loop(); });
}

Worker::~Worker()
{
    *shared_->alive = false;
    {
        const std::lock_guard lock(shared_->mutex);
        shared_->stopping = true;
    }
    shared_->wake.notify_one();
    shared_->kv->cancel();
    shared_->thread.join();
}

void Worker::submit(std::function<Completion(Kv&)> job)
{
    {
        const std::lock_guard lock(shared_->mutex);
        shared_->jobs.push_back(std::move(job));
    }
    shared_->wake.notify_one();
}

} // namespace margay::store
