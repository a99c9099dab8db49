// SPDX-License-Identifier: Apache-2.0
// KernelTable: a kernel map with the key and value types of its header in maps/.

#pragma once

#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "maps/table/backend.h"
#include "maps/table/raw_map.h"

namespace margay::maps {

template <MapData K, MapData V>
class KernelTable {
public:
    static Result<KernelTable> create(Fd fd)
    {
        auto raw = RawMap::create(std::move(fd), sizeof(K), sizeof(V));
        if (!raw)
            return raw.error();
        return KernelTable(*std::move(raw));
    }

    Progress update(std::span<const K> keys, std::span<const V> values)
    {
        return raw_.update(keys.data(), values.data(), keys.size());
    }
    Progress remove(std::span<const K> keys) { return raw_.remove(keys.data(), keys.size()); }

    Result<std::vector<std::pair<K, V>>> dump()
    {
        std::vector<std::pair<K, V>> entries;
        Status status = raw_.dump([&](const void* key, const void* value) {
            auto& entry = entries.emplace_back();
            std::memcpy(&entry.first, key, sizeof(K));
            std::memcpy(&entry.second, value, sizeof(V));
        });
        if (!status)
            return status.error();
        return entries;
    }

    RawMap& raw() { return raw_; }
    const RawMap& raw() const { return raw_; }

private:
    explicit KernelTable(RawMap raw) : raw_(std::move(raw)) {}
    RawMap raw_;
};

} // namespace margay::maps
