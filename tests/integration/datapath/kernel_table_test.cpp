// SPDX-License-Identifier: Apache-2.0
// KernelTable against real maps of the three kinds that the data path has, with batch calls and
// without.
#include "maps/table/kernel_table.h"

#include <bpf/bpf.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

#include "maps/table/synced_table.h"

namespace margay::maps {
namespace {

struct Key {
    std::uint32_t bits; // an LPM trie wants the prefix length first
    std::uint32_t number;
};
using Value = std::uint64_t;
using Table = KernelTable<Key, Value>;
using ArrayTable = KernelTable<std::uint32_t, Value>;

Fd create_map(bpf_map_type type, std::uint32_t key_size, std::uint32_t entries,
              std::uint32_t flags = 0)
{
    LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);
    if (type != BPF_MAP_TYPE_ARRAY)
        opts.map_flags = BPF_F_NO_PREALLOC;
    return Fd(bpf_map_create(type, "mg_test", key_size, sizeof(Value), entries, &opts));
}

struct Kind {
    bpf_map_type type;
    bool batches;
};

struct KernelTableTest : ::testing::TestWithParam<Kind> {
    Table table(std::uint32_t entries)
    {
        auto made = Table::create(create_map(GetParam().type, sizeof(Key), entries));
        EXPECT_TRUE(made) << "needs root";
        if (!GetParam().batches)
            made->raw().forbid_batches();
        return *std::move(made);
    }
    static void fill(Table& t, std::uint32_t count)
    {
        std::vector<Key> keys;
        std::vector<Value> values;
        for (std::uint32_t i = 0; i < count; i++) {
            keys.push_back({32, i});
            values.push_back(i + 1);
        }
        const Progress progress = t.update(keys, values);
        ASSERT_TRUE(progress.status) << progress.status.error().what;
        ASSERT_EQ(progress.done, count);
    }
};

TEST_P(KernelTableTest, dump_gives_back_exactly_what_was_written)
{
    Table t = table(5000);
    fill(t, 3000);
    auto dump = t.dump();
    ASSERT_TRUE(dump);
    ASSERT_EQ(dump->size(), 3000u);
    std::sort(dump->begin(), dump->end(),
              [](const auto& a, const auto& b) { return a.first.number < b.first.number; });
    for (std::uint32_t i = 0; i < 3000; i++) {
        EXPECT_EQ((*dump)[i].first.number, i);
        EXPECT_EQ((*dump)[i].second, i + 1);
    }
}

TEST_P(KernelTableTest, empty_map_dumps_nothing)
{
    Table t = table(10);
    auto dump = t.dump();
    ASSERT_TRUE(dump);
    EXPECT_TRUE(dump->empty());
}

TEST_P(KernelTableTest, absent_keys_count_as_removed_and_do_not_stop_the_rest)
{
    Table t = table(100);
    fill(t, 10);
    const std::vector<Key> keys = {{32, 1}, {32, 77}, {32, 2}, {32, 78}, {32, 79}, {32, 3}};
    const Progress progress = t.remove(keys);
    EXPECT_TRUE(progress.status);
    EXPECT_EQ(progress.done, keys.size());
    EXPECT_EQ(t.dump()->size(), 7u);
}

TEST_P(KernelTableTest, full_map_reports_how_far_it_came)
{
    Table t = table(4);
    std::vector<Key> keys;
    for (std::uint32_t i = 0; i < 6; i++)
        keys.push_back({32, i});
    const std::vector<Value> values(6, 1);
    const Progress progress = t.update(keys, values);
    EXPECT_EQ(progress.done, 4u);
    ASSERT_FALSE(progress.status);
    EXPECT_EQ(progress.status.error().code, Errc::Full);
    EXPECT_NE(progress.status.error().what.find("mg_test"), std::string::npos);
    EXPECT_EQ(t.dump()->size(), 4u);
}

INSTANTIATE_TEST_SUITE_P(Kinds, KernelTableTest,
                         ::testing::Values(Kind{BPF_MAP_TYPE_HASH, true},
                                           Kind{BPF_MAP_TYPE_HASH, false},
                                           Kind{BPF_MAP_TYPE_LPM_TRIE, true},
                                           Kind{BPF_MAP_TYPE_LPM_TRIE, false}));

// By system calls, and as memory.
struct ArrayTableTest : ::testing::TestWithParam<std::uint32_t> {
    static constexpr std::uint32_t kEntries = 40000; // more than one window

    ArrayTable table() const
    {
        auto made = ArrayTable::create(
            create_map(BPF_MAP_TYPE_ARRAY, sizeof(std::uint32_t), kEntries, GetParam()));
        EXPECT_TRUE(made) << "needs root";
        return *std::move(made);
    }
};

TEST_P(ArrayTableTest, zero_elements_are_absent_and_removal_writes_zero)
{
    ArrayTable t = table();
    const std::vector<std::uint32_t> keys = {0, 7, kEntries - 1};
    const std::vector<Value> values = {1, 2, 3};
    ASSERT_TRUE(t.update(keys, values).status);
    ASSERT_EQ(t.dump()->size(), 3u);
    ASSERT_TRUE(t.remove(std::vector<std::uint32_t>{0, kEntries - 1}).status);
    auto dump = t.dump();
    ASSERT_TRUE(dump);
    EXPECT_THAT(*dump, ::testing::ElementsAre(std::pair<std::uint32_t, Value>{7, 2}));
}

TEST_P(ArrayTableTest, kernel_has_what_was_written_and_the_first_missing_element_stops_it)
{
    ArrayTable t = table();
    const std::vector<std::uint32_t> keys = {3, kEntries - 1, kEntries, 4};
    const Progress progress = t.update(keys, std::vector<Value>{30, 31, 32, 33});
    EXPECT_EQ(progress.done, 2u);
    ASSERT_FALSE(progress.status);
    EXPECT_EQ(progress.status.error().code, Errc::Full);
    for (const std::uint32_t key : {3u, kEntries - 1, 4u}) {
        Value value = 0;
        ASSERT_EQ(bpf_map_lookup_elem(t.raw().fd(), &key, &value), 0);
        EXPECT_EQ(value, key == 3 ? 30 : key == 4 ? 0 : 31);
    }
}

INSTANTIATE_TEST_SUITE_P(Flags, ArrayTableTest, ::testing::Values(0, BPF_F_MMAPABLE));

TEST(KernelTableOpenTest, map_of_another_layout_is_refused)
{
    auto t = Table::create(create_map(BPF_MAP_TYPE_HASH, 4, 10));
    ASSERT_FALSE(t);
    EXPECT_EQ(t.error().code, Errc::Invalid);
}

} // namespace
} // namespace margay::maps
