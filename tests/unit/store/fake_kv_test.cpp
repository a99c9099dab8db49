// SPDX-License-Identifier: Apache-2.0
#include "support/fake_kv.h"

#include <gtest/gtest.h>

namespace margay::testing {
namespace {

using store::Entry;

TEST(FakeKvTest, create_of_an_existing_key_gives_the_current_entry)
{
    FakeKv kv;
    const auto first = kv.create("/a", "1");
    ASSERT_TRUE(first && first->done());
    const auto second = kv.create("/a", "2");
    ASSERT_TRUE(second);
    EXPECT_EQ(second->refused, Errc::Exists);
    EXPECT_EQ(second->current, (Entry{"/a", "1", first->revision}));
}

TEST(FakeKvTest, update_needs_the_revision_of_the_last_write)
{
    FakeKv kv;
    const auto old = kv.create("/a", "1")->revision;
    ASSERT_TRUE(kv.update("/a", "2", old)->done());
    const auto stale = kv.update("/a", "3", old);
    EXPECT_EQ(stale->refused, Errc::Conflict);
    EXPECT_EQ(stale->current->value, "2");
    EXPECT_EQ(kv.update("/b", "3", 1)->refused, Errc::NotFound);
    EXPECT_EQ(kv.remove("/a", old)->refused, Errc::Conflict);
    EXPECT_TRUE(kv.remove("/a")->done());
}

TEST(FakeKvTest, list_gives_exactly_the_keys_below_the_prefix_in_order)
{
    FakeKv kv;
    for (const char* key : {"/p/b", "/p/a", "/p", "/q/a"})
        (void)kv.put(key, key);
    const auto found = kv.list("/p/");
    ASSERT_TRUE(found);
    ASSERT_EQ(found->size(), 2u);
    EXPECT_EQ((*found)[0].key, "/p/a");
    EXPECT_EQ((*found)[1].key, "/p/b");
}

TEST(FakeKvTest, crash_after_the_nth_write_keeps_that_write_and_stops_everything_later)
{
    FakeKv kv;
    kv.fail_write(2, FakeKv::Fate::CrashAfter);
    EXPECT_TRUE(kv.create("/a", "1"));
    EXPECT_FALSE(kv.create("/b", "2"));
    EXPECT_FALSE(kv.get("/a"));
    FakeKv next_process(kv.table);
    EXPECT_EQ((*next_process.get("/b"))->value, "2");
}

TEST(FakeKvTest, crash_before_the_nth_write_loses_that_write)
{
    FakeKv kv;
    kv.fail_write(1, FakeKv::Fate::CrashBefore);
    EXPECT_FALSE(kv.create("/a", "1"));
    FakeKv next_process(kv.table);
    EXPECT_FALSE(next_process.get("/a")->has_value());
}

TEST(FakeKvTest, injected_conflict_does_not_write)
{
    FakeKv kv;
    const auto revision = kv.create("/a", "1")->revision;
    kv.fail_write(2, FakeKv::Fate::Conflict);
    EXPECT_EQ(kv.update("/a", "2", revision)->refused, Errc::Conflict);
    EXPECT_EQ(kv.table->entries["/a"].value, "1");
}

} // namespace
} // namespace margay::testing
