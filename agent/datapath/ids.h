// SPDX-License-Identifier: Apache-2.0
// Ids: the numbers of address sets, policies and endpoints, the same before and after a restart.
//
// Three KeyedIds over one pinned dictionary (maps/ids.h). The dictionary is written before a
// number is used (Tables' order) and forgets it only after its grace period.

#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/datapath/keyed_ids.h"
#include "agent/datapath/tables.h"

namespace margay::datapath {

using IdHash = std::array<std::uint8_t, 16>;

// The first half of SHA-256: names come from tenants, and a collision would mix them up.
IdHash id_hash(std::string_view name);

class Ids {
public:
    explicit Ids(Tables& tables);

    // After Tables::adopt().
    void adopt();
    void seal(Clock::Time now);

    Result<std::uint32_t> acquire(id_space space, const IdHash& hash);
    void release(id_space space, const IdHash& hash, Clock::Time now);
    std::optional<std::uint32_t> find(id_space space, const IdHash& hash) const;

    std::vector<std::pair<IdHash, std::uint32_t>> all(id_space space) const
    {
        return pool(space).all();
    }

    // Ends grace periods. Only to be called when no removal is pending in the tables, for a number
    // that the kernel still uses must not be given away.
    std::vector<std::pair<IdHash, std::uint32_t>> expire(id_space space, Clock::Time now);

private:
    KeyedIds<IdHash>& pool(id_space space);
    const KeyedIds<IdHash>& pool(id_space space) const;

    Tables& tables_;
    KeyedIds<IdHash> policies_;
    KeyedIds<IdHash> sets_;
    KeyedIds<IdHash> endpoints_;
};

} // namespace margay::datapath
