// SPDX-License-Identifier: Apache-2.0
#include "margay/worker.h"

#include <pthread.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

namespace margay {

struct WorkerThread::Shared {
    explicit Shared(Executor& e) : executor(e) {}

    void loop(const Post& post);

    Executor& executor;
    std::mutex mutex; // guards what follows
    std::condition_variable wake;
    std::deque<Job> jobs;
    bool stopping = false;

    // Touched on the executor's thread only: a completion that is queued there already must not
    // run once the worker is gone.
    std::shared_ptr<bool> alive = std::make_shared<bool>(true);
    std::thread thread;
};

void WorkerThread::Shared::loop(const Post& post)
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
        post(job());
    }
}

WorkerThread::WorkerThread(Executor& executor, const char* name)
    : shared_(std::make_shared<Shared>(executor))
{
    shared_->thread = std::thread([shared = shared_.get(), post = post()] { shared->loop(post); });
    ::pthread_setname_np(shared_->thread.native_handle(), name);
}

WorkerThread::~WorkerThread()
{
    end({});
}

void WorkerThread::end(const std::function<void()>& cancel)
{
    if (!shared_->thread.joinable())
        return;
    *shared_->alive = false;
    {
        const std::lock_guard lock(shared_->mutex);
        shared_->stopping = true;
    }
    shared_->wake.notify_one();
    if (cancel)
        cancel();
    shared_->thread.join();
}

void WorkerThread::submit(Job job)
{
    {
        const std::lock_guard lock(shared_->mutex);
        shared_->jobs.push_back(std::move(job));
    }
    shared_->wake.notify_one();
}

WorkerThread::Post WorkerThread::post() const
{
    return [executor = &shared_->executor, alive = shared_->alive](Completion done) {
        boost::asio::post(*executor, [done = std::move(done), alive] {
            if (*alive)
                done();
        });
    };
}

} // namespace margay
