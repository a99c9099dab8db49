// SPDX-License-Identifier: Apache-2.0
// A datastore with pools, several nodes on it, and what must hold in it at any moment.

#pragma once

#include "agent/ipam/ipam.h"
#include "support/fake_kv.h"

#include <gmock/gmock.h>

namespace margay::ipam {

struct FixedClock final : Clock {
    ipam::Time wall_time = *parse_rfc3339("2026-01-02T03:04:05Z");
    Clock::Time now() const override { return {}; }
    std::chrono::system_clock::time_point wall() const override { return wall_time; }
};

struct World {
    std::shared_ptr<testing::FakeKvTable> table = std::make_shared<testing::FakeKvTable>();
    FixedClock clock;

    void pool(const std::string& name, const std::string& cidr, int block_size,
              const std::string& more = "")
    {
        table->write(
            "/calico/resources/v3/projectcalico.org/ippools/" + name,
            R"({"kind":"IPPool","apiVersion":"projectcalico.org/v3","metadata":{"name":")" + name +
                R"("},"spec":{"cidr":")" + cidr + R"(","blockSize":)" + std::to_string(block_size) +
                more + "}}");
    }
    void remove_pool(const std::string& name)
    {
        table->erase("/calico/resources/v3/projectcalico.org/ippools/" + name);
    }
    void config(const std::string& json) { table->write(kConfigKey, json); }

    std::vector<Block> blocks() const
    {
        std::vector<Block> result;
        for (const auto& [key, entry] : table->entries)
            if (key.starts_with(kBlockPrefix))
                result.push_back(*decode_block(entry.value, *cidr_of_key(key)));
        return result;
    }
    std::size_t count(const std::string& prefix) const
    {
        std::size_t n = 0;
        for (const auto& [key, entry] : table->entries)
            n += key.starts_with(prefix);
        return n;
    }
    std::size_t in_use() const
    {
        std::size_t n = 0;
        for (const Block& block : blocks())
            for (std::uint32_t i = 0; i < block.size(); i++)
                n += block.in_use(block.address(i)) != nullptr;
        return n;
    }

    // Blocks are disjoint; a handle never counts too few; a confirmed affinity has its block.
    void check() const
    {
        const auto all = blocks();
        std::map<std::string, std::map<std::string, std::uint64_t>> given;
        for (std::size_t i = 0; i < all.size(); i++) {
            for (std::size_t j = 0; j < i; j++)
                EXPECT_FALSE(all[i].cidr.overlaps(all[j].cidr)) << all[i].cidr.str();
            for (std::uint32_t o = 0; o < all[i].size(); o++)
                if (const auto* owner = all[i].in_use(all[i].address(o)); owner && owner->handle)
                    given[*owner->handle][all[i].cidr.str()]++;
        }
        for (const auto& [id, counts] : given) {
            const auto entry = table->entries.find(handle_key(id));
            ASSERT_NE(entry, table->entries.end()) << id;
            const auto handle = decode_handle(entry->second.value, id);
            for (const auto& [cidr, n] : counts)
                EXPECT_GE(handle->blocks.at(cidr), n) << id;
        }
        for (const auto& [key, entry] : table->entries) {
            if (!key.starts_with("/calico/ipam/v2/host/") ||
                decode_affinity(entry.value).state != Affinity::State::Confirmed)
                continue;
            const std::string node = key.substr(21, key.find('/', 21) - 21);
            const auto block = table->entries.find(block_key(*cidr_of_key(key)));
            ASSERT_NE(block, table->entries.end()) << key;
            EXPECT_EQ(decode_block(block->second.value, *cidr_of_key(key))->affinity,
                      host_affinity(node));
        }
    }
};

// One node's view; a new object is a restarted process.
struct NodeOf {
    NodeOf(World& world, const std::string& name) : kv(world.table), ipam(kv, name, world.clock) {}

    testing::FakeKv kv;
    Ipam ipam;

    Result<Assigned> take(std::size_t count, const std::string& handle)
    {
        return ipam.auto_assign({.owner = {handle, {}}, .count = count});
    }
};

} // namespace margay::ipam
