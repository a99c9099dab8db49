// SPDX-License-Identifier: Apache-2.0
// EtcdStore against a real etcd: snapshot, watch, paging, compaction.
#include <gtest/gtest.h>

#include <thread>

#include "integration/store/watcher.h"
#include "support/etcd.h"

namespace margay::testing {
namespace {

TEST(EtcdStoreTest, snapshot_holds_the_keys_below_the_prefix_and_comes_once)
{
    Etcd etcd;
    etcd.put("/calico/a", "1");
    etcd.put("/calico/b", "2");
    etcd.put("/calicox", "not ours");
    etcd.put("/other", "not ours");
    Watcher w(etcd.config());
    ASSERT_TRUE(w.until_connected());
    EXPECT_EQ(w.table,
              (std::map<std::string, std::string>{{"/calico/a", "1"}, {"/calico/b", "2"}}));
    EXPECT_EQ(w.snapshots, 1);
    EXPECT_EQ(w.snapshot_revision, etcd.revision());
    EXPECT_TRUE(w.changes.empty());
}

TEST(EtcdStoreTest, empty_datastore_gives_an_empty_snapshot)
{
    Etcd etcd;
    Watcher w(etcd.config());
    ASSERT_TRUE(w.until_connected());
    EXPECT_EQ(w.snapshots, 1);
    EXPECT_TRUE(w.table.empty());
}

TEST(EtcdStoreTest, puts_and_deletes_arrive_as_changes_with_their_revision)
{
    Etcd etcd;
    etcd.put("/calico/a", "1");
    Watcher w(etcd.config());
    ASSERT_TRUE(w.until_connected());
    etcd.put("/calico/a", "2");
    const auto put_at = etcd.revision();
    etcd.put("/calico/b", "3");
    etcd.remove("/calico/a");
    ASSERT_TRUE(w.until([&] { return w.changes.size() == 3; }));
    EXPECT_EQ(w.changes[0], (store::Change{"/calico/a", "2", put_at}));
    EXPECT_EQ(w.changes[1], (store::Change{"/calico/b", "3", put_at + 1}));
    EXPECT_EQ(w.changes[2], (store::Change{"/calico/a", std::nullopt, put_at + 2}));
    EXPECT_EQ(w.store->status().revision, put_at + 2);
}

// "/calico/n/0" and so on. Several writers, because each waits for etcd's disk.
void put_numbers(const store::StoreConfig& config, int count)
{
    constexpr int kWriters = 16;
    std::vector<std::thread> writers;
    for (int first = 0; first < kWriters; first++) {
        writers.emplace_back([&config, first, count] {
            auto kv = store::make_kv(config);
            for (int i = first; i < count; i += kWriters) {
                const auto put = (*kv)->put("/calico/n/" + std::to_string(i), std::to_string(i));
                ASSERT_TRUE(put) << put.error().what;
            }
        });
    }
    for (auto& writer : writers)
        writer.join();
}

// Several pages, the last one not full, and pages that have to be cut.
TEST(EtcdStoreTest, ten_thousand_keys_and_values_of_megabytes_arrive_in_pages_of_one_revision)
{
    Etcd etcd;
    auto config = etcd.config();
    config.request_timeout = 60s; // sixteen writers wait for a disk that others use too
    auto kv = store::make_kv(config);
    ASSERT_TRUE(kv);
    put_numbers(config, 10'500);
    const std::string large(7 << 20, 'x');
    for (int i = 0; i < 12; i++) // together above the largest message that is accepted
        ASSERT_TRUE((*kv)->put("/calico/large/" + std::to_string(i), large));
    Watcher w(config);
    ASSERT_TRUE(w.until_connected()) << w.store->status().reason;
    EXPECT_EQ(w.table.size(), 10'512u);
    EXPECT_EQ(w.table["/calico/n/10499"], "10499");
    EXPECT_EQ(w.table["/calico/large/11"], large);
    const auto listed = (*kv)->list("/calico/");
    ASSERT_TRUE(listed) << listed.error().what;
    EXPECT_EQ(listed->size(), 10'512u);
    ASSERT_TRUE((*kv)->put("/calico/large/0", large + "y"));
    EXPECT_TRUE(w.until_value("/calico/large/0", large + "y"));
}

} // namespace
} // namespace margay::testing
