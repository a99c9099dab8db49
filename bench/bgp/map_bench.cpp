// SPDX-License-Identifier: Apache-2.0
// map_bench: what 100,000 routes cost the data path's maps at the least, and what the agent takes.
//
//   map_bench bare COUNT HOPS [AT ONCE]   writes them by bpf_map_update_batch, and nothing else
//   map_bench agent COUNT HOPS [AT ONCE]  by agent/datapath, from want_route() until all are written
//
// Prints JSON: one batch, or one flush, for each AT ONCE routes. Both fill maps that they made: the
// LPM trie of /26 prefixes, and a run of slots a prefix in the array of paths.

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <spdlog/sinks/null_sink.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "agent/datapath/datapath.h"
#include "agent/datapath/pins.h"
#include "margay/executor.h"

namespace margay::bench {
namespace {

using datapath::Datapath;
using datapath::PathWant;
using datapath::RouteWant;

constexpr std::uint32_t kFirst = 0x40000000; // 64.0.0.0, in steps of a /26
constexpr std::uint32_t kHop = 0x0a000001;
constexpr std::uint32_t kIfindex = 1;
constexpr std::size_t kBudget = 1 << 20; // of a flush: no turn is cut short

struct Task {
    std::uint32_t routes = 0;
    std::uint32_t hops = 1;
    std::uint32_t at_once = 500; // as the agent writes in a turn
};

double ms_since(std::chrono::steady_clock::time_point begin)
{
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin)
        .count();
}

[[noreturn]] void die(const std::string& what)
{
    std::fprintf(stderr, "map_bench: %s\n", what.c_str());
    std::exit(1);
}

void say(const Task& task, double ms)
{
    std::printf("{\"routes\":%u,\"hops\":%u,\"ms\":%.1f}\n", task.routes, task.hops, ms);
}

int make_map(bpf_map_type type, const char* name, std::uint32_t value, std::uint32_t entries,
             std::uint32_t flags)
{
    LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = flags);
    const std::uint32_t key = type == BPF_MAP_TYPE_ARRAY ? 4 : sizeof(prefix4_key);
    const int fd = bpf_map_create(type, name, key, value, entries, &options);
    if (fd < 0)
        die(std::string("create ") + name + ": " + std::strerror(errno));
    return fd;
}

template <typename K, typename V>
void write_batch(int map, std::vector<K>& keys, std::vector<V>& values)
{
    auto count = static_cast<std::uint32_t>(keys.size());
    if (bpf_map_update_batch(map, keys.data(), values.data(), &count, nullptr) != 0)
        die(std::string("update: ") + std::strerror(errno));
    keys.clear();
    values.clear();
}

// One hop is a tunnel to a node, several are routers.
path path_by(const Task& task, std::uint32_t hop)
{
    path way{};
    way.kind = task.hops == 1 ? PATH_ENCAP : PATH_PLAIN;
    way.ifindex = kIfindex;
    way.next_hop = htonl(kHop + hop);
    way.outer_dst = task.hops == 1 ? way.next_hop : 0;
    way.mtu = 1500;
    return way;
}

void bare(const Task& task)
{
    const int paths = make_map(BPF_MAP_TYPE_ARRAY, "paths", sizeof(path), PATH_SLOTS, 0);
    const int routes =
        make_map(BPF_MAP_TYPE_LPM_TRIE, "routes4", sizeof(route), ROUTES_MAX, BPF_F_NO_PREALLOC);
    const auto begin = std::chrono::steady_clock::now();
    std::vector<std::uint32_t> slots;
    std::vector<path> ways;
    std::vector<prefix4_key> keys;
    std::vector<route> entries;
    std::uint32_t slot = 1;
    for (std::uint32_t i = 0; i < task.routes; ++i) {
        route entry{};
        entry.kind = ROUTE_REMOTE;
        entry.slot = slot;
        keys.push_back({26, htonl(kFirst + (i << 6))});
        entries.push_back(entry);
        for (std::uint32_t hop = 0; hop < task.hops; ++hop) {
            slots.push_back(slot++);
            ways.push_back(path_by(task, hop));
        }
        if ((i + 1) % task.at_once != 0 && i + 1 != task.routes)
            continue;
        write_batch(paths, slots, ways);
        write_batch(routes, keys, entries);
    }
    say(task, ms_since(begin));
}

RouteWant route_by(std::uint32_t hops)
{
    RouteWant want;
    want.kind = ROUTE_REMOTE;
    for (std::uint32_t hop = 0; hop < hops; ++hop) {
        PathWant path{.encap = hops == 1, .ifindex = kIfindex, .next_hop = Ipv4(kHop + hop)};
        path.outer_destination = path.encap ? path.next_hop : Ipv4();
        path.mtu = 1500;
        want.paths.push_back(path);
    }
    return want;
}

void fill(Datapath& datapath, const Task& task)
{
    const auto begin = std::chrono::steady_clock::now();
    for (std::uint32_t i = 0; i < task.routes; ++i) {
        const Prefix4 prefix{Ipv4(kFirst + (i << 6)), 26};
        if (Status status = datapath.want_route(prefix, route_by(task.hops)); !status)
            die(status.error().what);
        if ((i + 1) % task.at_once != 0 && i + 1 != task.routes)
            continue;
        if (Status status = datapath.flush(kBudget); !status)
            die(status.error().what);
    }
    const double ms = ms_since(begin);
    for (const auto& table : datapath.status().tables) {
        const bool slots = table.name == "paths";
        if ((slots || table.name == "routes4") &&
            (table.pending != 0 || table.entries != task.routes * (slots ? task.hops : 1)))
            die(table.name + " has " + std::to_string(table.entries) + " entries");
    }
    say(task, ms);
}

void agent(const Task& task)
{
    Executor executor;
    SystemClock clock;
    datapath::Options options;
    options.programs.pin_root = "/sys/fs/bpf/margay-map-bench-" + std::to_string(::getpid());
    auto log =
        std::make_shared<spdlog::logger>("bench", std::make_shared<spdlog::sinks::null_sink_st>());
    {
        auto datapath = Datapath::open(executor, clock, log, options);
        if (!datapath)
            die(datapath.error().what);
        (*datapath)->want_config({});
        (*datapath)->set_in_sync();
        if (Status status = (*datapath)->flush(kBudget); !status)
            die(status.error().what);
        fill(**datapath, task);
    }
    (void)datapath::remove_tree(options.programs.pin_root);
}

std::uint32_t number(const char* text)
{
    return static_cast<std::uint32_t>(std::strtoul(text, nullptr, 10));
}

int run(int argc, char** argv)
{
    const std::string mode = argc > 3 ? argv[1] : "";
    Task task;
    if (argc > 3) {
        task.routes = number(argv[2]);
        task.hops = number(argv[3]);
    }
    if (argc > 4)
        task.at_once = number(argv[4]);
    if (task.routes == 0 || task.hops == 0 || task.at_once == 0 ||
        (mode != "bare" && mode != "agent")) {
        std::fprintf(stderr, "usage: map_bench bare|agent COUNT HOPS [AT ONCE]\n");
        return 2;
    }
    mode == "bare" ? bare(task) : agent(task);
    return 0;
}

} // namespace
} // namespace margay::bench

int main(int argc, char** argv)
{
    return margay::bench::run(argc, argv);
}
