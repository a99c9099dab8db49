// SPDX-License-Identifier: Apache-2.0
// The maps that the agent fills, as typed tables, and the order in which they may be written.
//
// What refers is written after what it refers to, and removed before it:
//   ids  class_sets  classes4  nodes  nodes4  paths | endpoints  workloads  routes4
// The bar is where policy programs and hooks belong. Each step of write_*() begins only when
// nothing is pending in the one before: a prefix never names a class without contents, and an
// endpoint never runs a policy whose classes are missing.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/datapath/programs.h"
#include "maps/config.h"
#include "maps/endpoints.h"
#include "maps/ids.h"
#include "maps/policy.h"
#include "maps/routes.h"
#include "maps/table/kernel_table.h"
#include "maps/table/synced_table.h"

namespace margay::datapath {

template <typename K, typename V>
using Synced = maps::SyncedTable<K, V, maps::KernelTable<K, V>>;

// A flag of a map's value, or none.
inline std::uint32_t flag_if(bool on, std::uint32_t flag)
{
    return on ? flag : 0;
}

struct Tables {
    Synced<id_key, id_value> ids;
    Synced<std::uint32_t, struct class_sets> class_sets;
    Synced<class4_key, std::uint32_t> classes4;
    Synced<std::uint32_t, node> nodes;
    Synced<prefix4_key, node4> nodes4;
    Synced<std::uint32_t, path> paths;
    Synced<std::uint32_t, endpoint> endpoints;
    Synced<std::uint32_t, workload> workloads;
    Synced<prefix4_key, route> routes4;
    Synced<std::uint32_t, struct config> config;

    static Result<Tables> open(const Programs& programs);

    Status adopt();
    void seal();
    Status write_world(maps::Budget& budget);     // left of the bar
    Status write_workloads(maps::Budget& budget); // right of it
    Status write_generations(maps::Budget& budget); // after what judgements read has changed
    // Prefixes that nobody wants. Nothing refers to them, and judgements read them.
    Status remove_facts(maps::Budget& budget);
    bool stale_facts() const;
    Status remove(maps::Budget& budget); // back to front

    std::size_t pending() const;
    struct Fill {
        std::string name;
        std::size_t entries = 0;
        std::uint32_t max_entries = 0;
        std::size_t pending = 0;
    };
    std::vector<Fill> fills() const;
};

} // namespace margay::datapath
