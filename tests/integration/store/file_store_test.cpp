// SPDX-License-Identifier: Apache-2.0
// FileStore and FileKv on real folders, with inotify.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "integration/store/watcher.h"
#include "support/process.h"

namespace margay::testing {
namespace {

namespace fs = std::filesystem;
using store::Kv;

std::string tier(const std::string& name, int order)
{
    return "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: " + name +
           "}\nspec: {order: " + std::to_string(order) + "}\n";
}

std::string tier_key(const std::string& name)
{
    return "/calico/resources/v3/projectcalico.org/tiers/" + name;
}

struct FileStoreTest : ::testing::Test {
    ~FileStoreTest() override { fs::remove_all(folder); }

    store::StoreConfig config() const
    {
        store::StoreConfig c;
        c.type = store::StoreType::File;
        c.folder = folder;
        c.request_timeout = 5s;
        return c;
    }
    void write(const std::string& name, const std::string& text)
    {
        write_file(folder + "/" + name, text);
    }
    std::unique_ptr<Kv> kv()
    {
        auto made = store::make_kv(config());
        return made ? std::move(*made) : nullptr;
    }

    std::string folder = make_temp_folder("files");
};

bool has_order(Watcher& w, const std::string& name, int order)
{
    const std::string wanted = "\"order\":" + std::to_string(order) + "}";
    return w.until([&] { return w.table[tier_key(name)].find(wanted) != std::string::npos; });
}

TEST_F(FileStoreTest, manifests_are_the_snapshot_and_their_edits_are_changes)
{
    write("a.yaml", tier("one", 1) + "---\n" + tier("two", 2));
    write("notes.txt", "not ours");
    Watcher w(config());
    ASSERT_TRUE(w.until_connected());
    EXPECT_EQ(w.snapshots, 1);
    EXPECT_EQ(w.table.size(), 2u);
    write("a.yaml", tier("one", 1) + "---\n" + tier("two", 22));
    ASSERT_TRUE(has_order(w, "two", 22));
    ASSERT_EQ(w.changes.size(), 1u) << "the tier that did not change must not be told";
    fs::rename(folder + "/a.yaml", folder + "/b.yaml");
    write("c.json",
          R"({"apiVersion":"projectcalico.org/v3","kind":"Tier","metadata":{"name":"three"}})");
    ASSERT_TRUE(w.until([&] { return w.table.contains(tier_key("three")); }));
    fs::remove(folder + "/b.yaml");
    ASSERT_TRUE(w.until_gone(tier_key("one")));
    EXPECT_TRUE(w.until_gone(tier_key("two")));
}

TEST_F(FileStoreTest, a_bad_manifest_is_named_and_neither_takes_others_down_nor_what_it_gave_before)
{
    write("bad.yaml", "kind: [");
    write("good.yaml", tier("one", 1));
    Watcher w(config());
    ASSERT_TRUE(w.until_connected());
    EXPECT_TRUE(w.table.contains(tier_key("one")));
    ASSERT_EQ(w.problems.size(), 1u);
    EXPECT_EQ(w.problems[0].source, "bad.yaml");
    EXPECT_FALSE(w.problems[0].reason.empty());
    EXPECT_EQ(w.store->status().problems, w.problems);

    write("good.yaml", "apiVersion: v1\n" + tier("one", 5));
    ASSERT_TRUE(w.until([&] { return w.problems.size() == 2; }));
    EXPECT_TRUE(w.table.contains(tier_key("one"))) << "the last good one stays";
    EXPECT_TRUE(w.changes.empty());

    write("good.yaml", tier("one", 6));
    write("bad.yaml", tier("two", 2));
    ASSERT_TRUE(has_order(w, "one", 6));
    EXPECT_TRUE(w.until([&] { return w.problems.empty(); }));
}

TEST_F(FileStoreTest, a_file_that_is_being_written_is_not_read_before_it_is_closed)
{
    write("a.yaml", tier("one", 1) + "---\n" + tier("two", 2));
    Watcher w(config());
    ASSERT_TRUE(w.until_connected());
    {
        std::ofstream half(folder + "/a.yaml", std::ios::trunc);
        half << tier("one", 1) << "---\n" << std::flush; // parses, without the second tier
        write("other.yaml", tier("other", 1));           // makes the store read the folder
        ASSERT_TRUE(has_order(w, "other", 1));
        half << tier("two", 3);
    }
    ASSERT_TRUE(has_order(w, "two", 3));
    for (const auto& change : w.changes)
        EXPECT_TRUE(change.value) << change.key << " was taken for removed";
}

TEST_F(FileStoreTest, keys_of_the_agent_survive_and_are_seen_by_other_processes)
{
    Watcher w(config());
    ASSERT_TRUE(w.until_connected());
    const std::string host = "/calico/ipam/v2/host/n1"; // a key, and a folder of keys
    const std::string block = host + "/ipv4/block/10.20.4.64-26";
    auto first = kv();
    ASSERT_TRUE(first->create(host, "{}")->done());
    ASSERT_TRUE(first->create(block, "line\nline")->done());
    ASSERT_TRUE(w.until_value(block, "line\nline"));
    auto second = kv();
    EXPECT_EQ((*second->get(block))->value, "line\nline");
    EXPECT_EQ(second->list("/calico/ipam/v2/host/")->size(), 2u);
    EXPECT_EQ(second->create(host, "x")->refused, Errc::Exists);
    ASSERT_TRUE(second->remove(block)->done());
    EXPECT_TRUE(w.until_gone(block));
    EXPECT_EQ(first->remove(block)->refused, Errc::NotFound);
}

TEST_F(FileStoreTest, strange_keys_are_kept_as_they_are)
{
    auto table = kv();
    for (const std::string key :
         {"/calico/a.kv/b", "/calico/.hidden", "/calico/..", "/calico/a%2fb", "/x y", "/t/"}) {
        ASSERT_TRUE(table->put(key, key)) << key;
        EXPECT_EQ((*table->get(key))->value, key);
    }
    EXPECT_EQ(table->list("/")->size(), 6u);
}

TEST_F(FileStoreTest, concurrent_compare_and_swaps_lose_no_update)
{
    ASSERT_TRUE(kv()->create("/n", "0"));
    std::vector<std::thread> writers;
    for (int i = 0; i < 4; i++) {
        writers.emplace_back([this] {
            auto mine = kv();
            for (int done = 0; done < 25;) {
                const auto now = **mine->get("/n");
                const auto next = std::to_string(std::stoi(now.value) + 1);
                done += mine->update("/n", next, now.mod_revision)->done();
            }
        });
    }
    for (auto& writer : writers)
        writer.join();
    EXPECT_EQ((*kv()->get("/n"))->value, "100");
}

TEST_F(FileStoreTest, agents_update_of_a_manifest_stands_until_the_manifest_is_edited)
{
    write("a.yaml", tier("one", 1));
    auto table = kv();
    const auto manifest = **table->get(tier_key("one"));
    EXPECT_EQ(table->update(tier_key("one"), "x", 1)->refused, Errc::Conflict);
    ASSERT_TRUE(table->update(tier_key("one"), "mine", manifest.mod_revision)->done());
    EXPECT_EQ((*table->get(tier_key("one")))->value, "mine");
    EXPECT_EQ(table->remove(tier_key("one")).error().code, Errc::Denied);
    Watcher w(config());
    ASSERT_TRUE(w.until_connected());
    EXPECT_EQ(w.table[tier_key("one")], "mine");
    write("a.yaml", tier("one", 2));
    EXPECT_TRUE(has_order(w, "one", 2));
}

TEST_F(FileStoreTest, key_with_a_time_to_live_vanishes)
{
    Watcher w(config());
    ASSERT_TRUE(w.until_connected());
    ASSERT_TRUE(kv()->put("/calico/status", "up", 2s));
    ASSERT_TRUE(w.until_value("/calico/status", "up"));
    EXPECT_TRUE(w.until_gone("/calico/status"));
    EXPECT_FALSE(kv()->get("/calico/status")->has_value());
}

TEST_F(FileStoreTest, lost_folder_keeps_what_was_told_and_is_found_again)
{
    write("a.yaml", tier("one", 1));
    Watcher w(config());
    ASSERT_TRUE(w.until_connected());
    fs::rename(folder, folder + ".away");
    ASSERT_TRUE(w.until_lost());
    EXPECT_TRUE(w.table.contains(tier_key("one")));
    fs::rename(folder + ".away", folder);
    ASSERT_TRUE(w.until_connected());
    write("a.yaml", tier("one", 2));
    EXPECT_TRUE(has_order(w, "one", 2));
}

} // namespace
} // namespace margay::testing
