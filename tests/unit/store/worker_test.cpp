// SPDX-License-Identifier: Apache-2.0
#include "margay/worker.h"

#include "agent/store/kv.h"

#include <gtest/gtest.h>

#include <future>
#include <optional>
#include <thread>

#include "support/fake_kv.h"

namespace margay::testing {
namespace {

using store::Kv;
using Worker = margay::Worker<store::Kv>;

TEST(WorkerTest, results_come_back_on_the_executors_thread_in_the_order_of_the_jobs)
{
    Executor executor;
    auto keep = boost::asio::make_work_guard(executor);
    Worker worker(executor, std::make_unique<FakeKv>(), "test");
    std::vector<int> seen;
    std::thread::id job_thread;
    for (int i = 0; i < 3; i++) {
        worker.run(
            [i, &job_thread](Kv& kv) {
                job_thread = std::this_thread::get_id();
                (void)kv.put("/n", std::to_string(i));
                return i;
            },
            [&](int n) {
                seen.push_back(n);
                if (n == 2)
                    executor.stop();
            });
    }
    executor.run();
    EXPECT_EQ(seen, (std::vector<int>{0, 1, 2}));
    EXPECT_NE(job_thread, std::this_thread::get_id());
}

TEST(WorkerTest, completion_queued_before_destruction_does_not_run_after_it)
{
    Executor executor;
    auto worker = std::make_optional<Worker>(executor, std::make_unique<FakeKv>(), "test");
    std::promise<void> second_started;
    bool ran = false;
    worker->run([](Kv&) { return 0; }, [&](int) { ran = true; });
    worker->run(
        [&](Kv&) {
            second_started.set_value();
            return 0;
        },
        [&](int) { ran = true; });
    second_started.get_future().wait(); // so the first completion is in the queue
    worker.reset();
    executor.run();
    EXPECT_FALSE(ran);
}

// A Kv whose read ends only by cancel(), as one towards a silent server does.
class SilentKv final : public Kv {
public:
    Result<std::optional<store::Entry>> get(const std::string&) override
    {
        cancelled.get_future().wait();
        return Error{Errc::Unavailable, 0, "cancelled"};
    }
    Result<std::vector<store::Entry>> list(const std::string&) override { return none(); }
    Result<store::TxnResult> create(const std::string&, const std::string&) override
    {
        return none();
    }
    Result<store::TxnResult> update(const std::string&, const std::string&, std::int64_t) override
    {
        return none();
    }
    Result<store::TxnResult> remove(const std::string&, std::optional<std::int64_t>) override
    {
        return none();
    }
    Result<store::TxnResult> put(const std::string&, const std::string&,
                                 std::optional<std::chrono::seconds>) override
    {
        return none();
    }
    void cancel() override { cancelled.set_value(); }

private:
    static Error none() { return {Errc::Unavailable, 0, "silent"}; }
    std::promise<void> cancelled;
};

TEST(WorkerTest, destruction_cancels_the_job_that_waits_for_a_silent_store)
{
    Executor executor;
    std::promise<void> started;
    {
        Worker worker(executor, std::make_unique<SilentKv>(), "test");
        worker.run(
            [&](Kv& kv) {
                started.set_value();
                return kv.get("/a").has_value();
            },
            [](bool) {});
        started.get_future().wait();
    }
    SUCCEED();
}

} // namespace
} // namespace margay::testing
