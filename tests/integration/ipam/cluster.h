// SPDX-License-Identifier: Apache-2.0
// A real etcd with a pool, and what must hold in it.

#pragma once

#include "agent/startup/edit.h"
#include "agent/startup/startup.h"
#include "support/etcd.h"
#include "support/process.h"
#include "unit/ipam/world.h"

namespace margay {

inline const SystemClock kClock;

inline std::unique_ptr<store::Kv> connect(const testing::Etcd& etcd)
{
    auto kv = store::make_kv(etcd.config());
    if (!kv)
        throw std::runtime_error(kv.error().what);
    return std::move(*kv);
}

// Everything that is stored, as a table that World::check() understands.
inline ipam::World snapshot(const testing::Etcd& etcd)
{
    ipam::World world;
    const auto kv = connect(etcd);
    const auto entries = kv->list("/calico/");
    if (!entries)
        throw std::runtime_error(entries.error().what);
    for (const store::Entry& entry : *entries)
        world.table->entries[entry.key] = entry;
    return world;
}

inline void put_pool(testing::Etcd& etcd, const std::string& cidr, int block_size)
{
    etcd.put(startup::resource_key("ippools", "p"),
             R"({"kind":"IPPool","apiVersion":"projectcalico.org/v3","metadata":{"name":"p"},)"
             R"("spec":{"cidr":")" +
                 cidr + R"(","blockSize":)" + std::to_string(block_size) +
                 R"(,"ipipMode":"Always"}})");
}

inline config::Config node_config()
{
    return *config::resolve({.flags = {}, .environment = {}, .file = {}, .file_name = ""});
}

inline startup::Surroundings surroundings(int number)
{
    const Prefix4 address{Ipv4(10u << 24 | 99u << 16 | static_cast<std::uint32_t>(number)), 16};
    return {{address}, address, "the test says so"};
}

} // namespace margay
