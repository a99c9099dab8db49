// SPDX-License-Identifier: Apache-2.0
// EtcdKv against a real etcd.
#include <gtest/gtest.h>

#include <thread>

#include "agent/store/store.h"
#include "support/etcd.h"

namespace margay::testing {
namespace {

using namespace std::chrono_literals;
using store::Entry;
using store::Kv;

std::unique_ptr<Kv> open(const store::StoreConfig& config)
{
    auto kv = store::make_kv(config);
    return kv ? std::move(*kv) : nullptr;
}

TEST(EtcdKvTest, create_update_and_remove_compare_before_they_swap)
{
    Etcd etcd;
    auto kv = open(etcd.config());
    const auto made = kv->create("/a", "1");
    ASSERT_TRUE(made && made->done());
    const auto again = kv->create("/a", "2");
    EXPECT_EQ(again->refused, Errc::Exists);
    EXPECT_EQ(again->current, (Entry{"/a", "1", made->revision}));

    const auto updated = kv->update("/a", "3", made->revision);
    ASSERT_TRUE(updated && updated->done());
    const auto stale = kv->update("/a", "4", made->revision);
    EXPECT_EQ(stale->refused, Errc::Conflict);
    EXPECT_EQ(stale->current, (Entry{"/a", "3", updated->revision}));

    EXPECT_EQ(kv->remove("/a", made->revision)->refused, Errc::Conflict);
    EXPECT_TRUE(kv->remove("/a", updated->revision)->done());
    EXPECT_EQ(kv->remove("/a")->refused, Errc::NotFound);
    EXPECT_EQ(kv->get("/a")->has_value(), false);
}

TEST(EtcdKvTest, update_of_a_missing_key_makes_none)
{
    Etcd etcd;
    auto kv = open(etcd.config());
    EXPECT_EQ(kv->update("/a", "1", 7)->refused, Errc::NotFound);
    EXPECT_EQ(kv->update("/a", "1", 0)->refused, Errc::NotFound);
    EXPECT_FALSE(kv->get("/a")->has_value());
}

TEST(EtcdKvTest, put_with_a_time_to_live_vanishes)
{
    Etcd etcd;
    auto kv = open(etcd.config());
    ASSERT_TRUE(kv->put("/short", "1", 1s));
    ASSERT_TRUE(kv->put("/long", "1"));
    EXPECT_TRUE(kv->get("/short")->has_value());
    const auto limit = std::chrono::steady_clock::now() + 60s;
    while (kv->get("/short")->has_value() && std::chrono::steady_clock::now() < limit)
        std::this_thread::sleep_for(50ms);
    EXPECT_FALSE(kv->get("/short")->has_value());
    EXPECT_TRUE(kv->get("/long")->has_value());
}

TEST(EtcdKvTest, list_gives_every_page_and_only_the_prefix)
{
    Etcd etcd;
    auto config = etcd.config();
    config.page_size = 7;
    auto kv = open(config);
    for (int i = 10; i < 40; i++)
        ASSERT_TRUE(kv->put("/n/" + std::to_string(i), ""));
    ASSERT_TRUE(kv->put("/n", ""));
    ASSERT_TRUE(kv->put("/nn", ""));
    const auto all = kv->list("/n/");
    ASSERT_EQ(all->size(), 30u);
    EXPECT_EQ(all->front().key, "/n/10");
    EXPECT_EQ(all->back().key, "/n/39");
}

TEST(EtcdKvTest, racing_compare_and_swaps_lose_no_update)
{
    Etcd etcd;
    ASSERT_TRUE(open(etcd.config())->create("/n", "0"));
    std::vector<std::thread> writers;
    for (int i = 0; i < 4; i++) {
        writers.emplace_back([&etcd] {
            auto mine = open(etcd.config());
            for (int done = 0; done < 20;) {
                const auto now = **mine->get("/n");
                const auto next = std::to_string(std::stoi(now.value) + 1);
                done += mine->update("/n", next, now.mod_revision)->done();
            }
        });
    }
    for (auto& writer : writers)
        writer.join();
    EXPECT_EQ((*open(etcd.config())->get("/n"))->value, "80");
}

TEST(EtcdKvTest, dead_etcd_is_unavailable_within_the_deadline_and_found_again)
{
    Etcd etcd;
    auto config = etcd.config();
    config.request_timeout = 1s;
    auto kv = open(config);
    ASSERT_TRUE(kv->put("/a", "1"));
    etcd.kill();
    EXPECT_EQ(kv->get("/a").error().code, Errc::Unavailable);
    EXPECT_EQ(kv->put("/a", "2").error().code, Errc::Unavailable);
    etcd.restart();
    EXPECT_EQ((*kv->get("/a"))->value, "1");
}

TEST(EtcdKvTest, write_moves_on_from_an_endpoint_that_refuses_the_connection)
{
    Etcd etcd;
    auto config = etcd.config();
    config.endpoints.insert(config.endpoints.begin(), "http://127.0.0.1:1");
    auto kv = open(config);
    EXPECT_TRUE(kv->create("/a", "1")->done());
}

TEST(EtcdKvTest, read_moves_on_from_an_endpoint_that_hangs)
{
    Etcd hung;
    Etcd good;
    good.put("/a", "good");
    auto config = hung.config();
    config.endpoints.push_back(good.url());
    auto kv = open(config);
    ASSERT_TRUE(kv->get("/a"));
    hung.pause();
    const auto read = kv->get("/a");
    ASSERT_TRUE(read) << read.error().what;
    ASSERT_TRUE(read->has_value()) << "the hung etcd has answered";
    EXPECT_EQ((*read)->value, "good");
    hung.resume();
}

TEST(EtcdKvTest, cancel_ends_a_wait_for_a_hanging_etcd)
{
    Etcd etcd;
    auto config = etcd.config();
    config.request_timeout = 1h;
    config.dial_timeout = 1h;
    auto kv = open(config);
    ASSERT_TRUE(kv->put("/a", "1"));
    etcd.pause();
    std::thread other([&kv] {
        std::this_thread::sleep_for(200ms);
        kv->cancel();
    });
    EXPECT_EQ(kv->put("/a", "2").error().code, Errc::Unavailable);
    EXPECT_EQ(kv->get("/a").error().code, Errc::Unavailable);
    other.join();
    etcd.resume();
}

} // namespace
} // namespace margay::testing
