// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/tables.h"

namespace margay::datapath {
namespace {

template <typename K, typename V>
Result<Synced<K, V>> open_table(const Programs& programs, const char* name)
{
    auto fd = programs.map_copy(name);
    if (!fd)
        return fd.error();
    auto kernel = maps::KernelTable<K, V>::create(*std::move(fd));
    if (!kernel)
        return kernel.error();
    return Synced<K, V>(*std::move(kernel));
}

// Calls `f` on each table, in the order of writing.
template <typename T, typename F>
void each(T& tables, F&& f)
{
    f(tables.config);
    f(tables.ids);
    f(tables.class_sets);
    f(tables.classes4);
    f(tables.nodes);
    f(tables.nodes4);
    f(tables.paths);
    f(tables.endpoints);
    f(tables.workloads);
    f(tables.routes4);
}

Error waits(const char* what)
{
    return Error{Errc::Unavailable, 0, std::string("budget of the turn is used up at ") + what};
}

// Writes one table; an error also when it could not be finished, so that the next must wait.
template <typename Table>
Status finish(Table& table, maps::Budget& budget)
{
    if (Status status = table.write(budget); !status)
        return status;
    return table.pending_writes() == 0 ? Status{}
                                       : Status{waits(table.kernel().raw().name().c_str())};
}

template <typename... Table>
Status finish_all(maps::Budget& budget, Table&... tables)
{
    Status status;
    (void)((status = finish(tables, budget), static_cast<bool>(status)) && ...);
    return status;
}

template <typename... Table>
Status remove_all(maps::Budget& budget, Table&... tables)
{
    Status status;
    (void)((status = tables.remove(budget), static_cast<bool>(status)) && ...);
    return status;
}

} // namespace

Result<Tables> Tables::open(const Programs& programs)
{
    auto ids = open_table<id_key, id_value>(programs, "ids");
    auto class_sets = open_table<std::uint32_t, struct class_sets>(programs, "class_sets");
    auto classes4 = open_table<class4_key, std::uint32_t>(programs, "classes4");
    auto nodes = open_table<std::uint32_t, node>(programs, "nodes");
    auto nodes4 = open_table<prefix4_key, node4>(programs, "nodes4");
    auto paths = open_table<std::uint32_t, path>(programs, "paths");
    auto endpoints = open_table<std::uint32_t, endpoint>(programs, "endpoints");
    auto workloads = open_table<std::uint32_t, workload>(programs, "workloads");
    auto routes4 = open_table<prefix4_key, route>(programs, "routes4");
    auto config = open_table<std::uint32_t, struct config>(programs, "config");
    const Error* error = nullptr;
    const auto check = [&](const auto&... result) {
        ((error = error == nullptr && !result ? &result.error() : error), ...);
    };
    check(ids, class_sets, classes4, nodes, nodes4, paths, endpoints, workloads, routes4, config);
    if (error != nullptr)
        return *error;
    return Tables{*std::move(ids),       *std::move(class_sets), *std::move(classes4),
                  *std::move(nodes),     *std::move(nodes4),     *std::move(paths),
                  *std::move(endpoints), *std::move(workloads),  *std::move(routes4),
                  *std::move(config)};
}

Status Tables::adopt()
{
    Status first;
    each(*this, [&](auto& table) {
        if (Status status = table.adopt(); !status && first)
            first = status;
    });
    return first;
}

void Tables::seal()
{
    each(*this, [](auto& table) { table.seal(); });
}

Status Tables::write_world(maps::Budget& budget)
{
    return finish_all(budget, config, ids, class_sets, classes4, nodes, nodes4, paths);
}

Status Tables::write_workloads(maps::Budget& budget)
{
    return finish_all(budget, endpoints, workloads, routes4);
}

// A judgement that saw the new generation shall also see that `facts` has moved. That one write is
// due in the turn that counted, whatever is left of the budget: the next one may count again.
Status Tables::write_generations(maps::Budget& budget)
{
    maps::Budget one{1};
    if (Status status = finish(config, one); !status)
        return status;
    return endpoints.write(budget);
}

Status Tables::remove_facts(maps::Budget& budget)
{
    return remove_all(budget, routes4, nodes4, nodes, classes4);
}

bool Tables::stale_facts() const
{
    const auto stale = [](const auto& table) {
        return table.sealed() && table.pending() > table.pending_writes();
    };
    return stale(routes4) || stale(nodes4) || stale(nodes) || stale(classes4);
}

Status Tables::remove(maps::Budget& budget)
{
    return remove_all(budget, endpoints, workloads, routes4, paths, nodes4, nodes, classes4,
                      class_sets, ids);
}

std::size_t Tables::pending() const
{
    std::size_t sum = 0;
    each(*this, [&](const auto& table) { sum += table.pending(); });
    return sum;
}

std::vector<Tables::Fill> Tables::fills() const
{
    std::vector<Fill> list;
    each(*this, [&](const auto& table) {
        const auto& raw = table.kernel().raw();
        list.push_back({raw.name(), table.actual_size(), raw.max_entries(), table.pending()});
    });
    return list;
}

} // namespace margay::datapath
