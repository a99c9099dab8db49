// SPDX-License-Identifier: Apache-2.0
#include "bpf/datapath/datapath.h"

#include "margay/ip.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstdlib>
#include <cstring>

namespace margay::testing {
namespace {

const char* const kObjects[] = {"stages",    "from_workload", "to_workload", "from_uplink",
                                "to_uplink", "collect",       "uplink_xdp"};

std::uint32_t be(const char* text)
{
    return Ipv4(addr(text)).be();
}

void must(bool ok, const std::string& what)
{
    if (ok)
        return;
    std::fprintf(stderr, "test set-up: %s: %s\n", what.c_str(), std::strerror(errno));
    std::abort();
}

// The built objects, or others to be put to the same tests.
std::string object_folder()
{
    const char* other = std::getenv("MARGAY_BPF_DIR");
    return other ? other : MARGAY_BPF_DIR;
}

void command(const char* text)
{
    must(std::system(text) == 0, text);
}

} // namespace

void Datapath::SetUpTestSuite()
{
    if (geteuid() != 0)
        return;
    static bool once = false;
    if (once)
        return;
    once = true;
    libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
    must(unshare(CLONE_NEWNET) == 0, "unshare");
    command("ip link set lo up");
    for (const char* name : {"a", "b", "up"})
        command(
            ("ip link add name " + std::string(name) + " type veth peer name p" + name).c_str());
    for (const char* object : kObjects)
        load(object_folder() + "/" + object + ".bpf.o");
    load(MARGAY_TEST_POLICIES);
    for (const auto& path : extra_objects_)
        load(path);
}

void Datapath::load(const std::string& path)
{
    bpf_object* opened = bpf_object__open_file(path.c_str(), nullptr);
    must(opened != nullptr, "open " + path);
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, opened)
    {
        const std::string name = bpf_map__name(map);
        if (bpf_map__is_internal(map))
            continue;
        if (maps_.contains(name))
            must(bpf_map__reuse_fd(map, maps_[name]) == 0, "reuse " + name);
        else if (name == "flows4")
            bpf_map__set_max_entries(map, flows_max_);
        else if (name == "class_sets")
            bpf_map__set_max_entries(map, 256);
    }
    must(bpf_object__load(opened) == 0, "load " + path);
    bpf_object__for_each_map(map, opened)
    {
        if (!bpf_map__is_internal(map))
            maps_.emplace(bpf_map__name(map), bpf_map__fd(map));
    }
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, opened) programs_[bpf_program__name(program)] =
        bpf_program__fd(program);
}

void Datapath::SetUp()
{
    if (geteuid() != 0)
        GTEST_SKIP() << "needs root";
    if_a_ = if_nametoindex("a");
    if_b_ = if_nametoindex("b");
    if_up_ = if_nametoindex("up");
    reset();
#define STAGE_FILL(id, program) \
    put("stages", static_cast<std::uint32_t>(STAGE_##id), programs_.at(#program));
    STAGES(STAGE_FILL)
#undef STAGE_FILL
    build_world();
}

// What any test may have written; the large arrays only where the world uses them.
void Datapath::reset()
{
    for (const char* map : {"workloads", "routes4", "nodes4", "flows4", "hot_flows", "frags4",
                            "policies", "judged", "config", "heartbeat"})
        empty(map);
    for (std::uint32_t slot = 0; slot < 16; slot++) {
        put("endpoints", slot, endpoint{});
        put("flow_counts", slot, std::uint32_t{0});
        put("paths", slot, path{});
        const struct node none{};
        put("nodes", slot, none);
        put("pmtus", slot, pmtu{});
    }
    const Bytes zeros(static_cast<std::size_t>(libbpf_num_possible_cpus()) * sizeof(counter));
    for (std::uint32_t i = 0; i < REASON_COUNT; i++)
        write("counters", &i, zeros.data());
    for (std::uint32_t i = 0; i < LIMIT_COUNT; i++)
        write("limits", &i, zeros.data());
    events();
}

void Datapath::build_world()
{
    const std::uint32_t zero = 0;
    put("config", zero,
        config{.node_addr = be(kNode),
               .icmp_source = be("169.254.1.1"),
               .flags = CONFIG_IPIP,
               .endpoint_to_host = TO_HOST_ACCEPT,
               .vxlan_port = htons(4789),
               .pad = 0,
               .flow_budget = 0,
               .grace_until = 0,
               .facts = 0,
               .timeouts = {}});
    auto pod = [&](std::uint32_t slot, std::uint32_t ifindex, const char* ip, const Mac& mac,
                   std::uint32_t egress, std::uint32_t ingress) {
        endpoint value{.ifindex = ifindex,
                       .generation = 100,
                       .incarnation = slot * 1000,
                       .flags = ENDPOINT_UP,
                       .egress_policy = egress,
                       .ingress_policy = ingress,
                       .addr = be(ip),
                       .mac = {},
                       .host_mac = {},
                       .pad = {}};
        std::memcpy(value.mac, mac.data(), mac.size());
        std::memcpy(value.host_mac, kHostMac.data(), kHostMac.size());
        put("endpoints", slot, value);
        put("workloads", ifindex, workload{slot});
        route((std::string(ip) + "/32").c_str(), {ROUTE_ENDPOINT, 0, 0, slot, 0});
        set_policy(egress, "allow");
        set_policy(ingress, "allow");
    };
    pod(kSlotA, if_a_, kA, kMacA, kEgressA, kIngressA);
    pod(kSlotB, if_b_, kB, kMacB, kEgressB, kIngressB);
    auto path_to = [&](std::uint32_t slot, path_kind kind, std::uint32_t node, const char* ip) {
        path value{.kind = kind,
                   .flags = PATH_RESOLVED,
                   .ifindex = if_up_,
                   .next_hop = be(ip),
                   .outer_src = be(kNode),
                   .outer_dst = be(ip),
                   .mtu = kMtu,
                   .node = node,
                   .dmac = {},
                   .smac = {},
                   .pad = {}};
        std::memcpy(value.dmac, kNextHopMac.data(), kNextHopMac.size());
        std::memcpy(value.smac, kUplinkMac.data(), kUplinkMac.size());
        put("paths", slot, value);
        const struct node known{be(ip), 0};
        put("nodes", node, known);
        put("nodes4", prefix4_key{32, be(ip)}, node4{node});
        route((std::string(ip) + "/32").c_str(), {ROUTE_OUTSIDE, 0, 0, 0, node});
    };
    path_to(kPath2, PATH_ENCAP, kNodeSlot2, kNode2);
    path_to(kPath3, PATH_PLAIN, kNodeSlot3, kNode3);
    route("192.168.0.0/16", {ROUTE_NONE, ROUTE_TUNNELLED, 0, 0, 0});
    route("192.168.1.0/26", {ROUTE_BLACKHOLE, ROUTE_TUNNELLED, 0, 0, 0});
    route("192.168.2.0/26", {ROUTE_REMOTE, ROUTE_TUNNELLED, 0, kPath2, kNodeSlot2});
    route("192.168.3.0/26", {ROUTE_REMOTE, 0, 0, kPath3, kNodeSlot3});
    route("192.168.1.1/32", {ROUTE_HOST, ROUTE_TUNNELLED, 0, 0, 0});
    route("10.0.0.1/32", {ROUTE_HOST, 0, 0, 0, 0});
    collect(); // the agent lives: MACs of paths are fresh
}

Mac Datapath::mac_of(std::uint32_t ifindex)
{
    ifreq request{};
    Mac mac{};
    const Fd socket_fd(::socket(AF_INET, SOCK_DGRAM, 0));
    must(if_indextoname(ifindex, request.ifr_name) != nullptr, "if_indextoname");
    must(ioctl(socket_fd.get(), SIOCGIFHWADDR, &request) == 0, "SIOCGIFHWADDR");
    std::memcpy(mac.data(), request.ifr_hwaddr.sa_data, mac.size());
    return mac;
}

Outcome Datapath::run(const std::string& program, std::uint32_t ifindex, const Bytes& packet,
                      const RunOptions& options)
{
    const Bytes frame = ethernet(packet, options.ethertype, options.dst.value_or(mac_of(ifindex)));
    Outcome result;
    result.frame.resize(frame.size() + 512);
    __sk_buff context{};
    context.ifindex = ifindex;
    context.ingress_ifindex = options.ingress_ifindex;
    context.mark = options.mark;
    context.gso_size = options.gso_size;
    if (options.xdp_note_from != nullptr) {
        context.cb[0] = XDP_NOTE_MAGIC;
        context.cb[1] = be(options.xdp_note_from);
    }
    LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame.data(), .data_out = result.frame.data(),
                .data_size_in = static_cast<std::uint32_t>(frame.size()),
                .data_size_out = static_cast<std::uint32_t>(result.frame.size()),
                .ctx_in = &context, .ctx_out = &context, .ctx_size_in = sizeof(context),
                .ctx_size_out = sizeof(context));
    must(bpf_prog_test_run_opts(programs_.at(program), &opts) == 0, "run " + program);
    result.frame.resize(opts.data_size_out);
    result.verdict = static_cast<int>(opts.retval);
    result.mark = context.mark;
    return result;
}

Outcome Datapath::from_a(const Bytes& packet, const RunOptions& options)
{
    return run("from_workload", if_a_, packet, options);
}

Outcome Datapath::from_b(const Bytes& packet, const RunOptions& options)
{
    return run("from_workload", if_b_, packet, options);
}

Outcome Datapath::to_a(const Bytes& packet, const RunOptions& options)
{
    return run("to_workload", if_a_, packet, options);
}

Outcome Datapath::to_b(const Bytes& packet, const RunOptions& options)
{
    return run("to_workload", if_b_, packet, options);
}

Outcome Datapath::from_uplink(const Bytes& packet, const RunOptions& options)
{
    return run("from_uplink", if_up_, packet, options);
}

Outcome Datapath::from_node2(const Bytes& inner)
{
    return from_uplink(ipip(kNode2, kNode, inner));
}

Outcome Datapath::to_uplink(const Bytes& packet, const RunOptions& options)
{
    return run("to_uplink", if_up_, packet, options);
}

std::uint32_t Datapath::collect()
{
    std::uint32_t time = 0;
    for (std::uint32_t shard = 0; shard < COLLECT_SHARDS; shard++)
        time =
            static_cast<std::uint32_t>(run("collect", if_up_, Bytes(20), {.mark = shard}).verdict);
    return time;
}

void Datapath::write(const char* map, const void* key, const void* value)
{
    must(bpf_map_update_elem(maps_.at(map), key, value, BPF_ANY) == 0, std::string("write ") + map);
}

bool Datapath::read(const char* map, const void* key, void* value)
{
    return bpf_map_lookup_elem(maps_.at(map), key, value) == 0;
}

void Datapath::empty(const char* map)
{
    const int fd = maps_.at(map);
    Bytes key(64), next(64), zeros(4096);
    bool have = bpf_map_get_next_key(fd, nullptr, key.data()) == 0;
    while (have) {
        have = bpf_map_get_next_key(fd, key.data(), next.data()) == 0;
        if (bpf_map_delete_elem(fd, key.data()) != 0)
            bpf_map_update_elem(fd, key.data(), zeros.data(), BPF_ANY);
        key.swap(next);
    }
}

void Datapath::set_policy(std::uint32_t slot, const char* program)
{
    put("policies", slot, programs_.at(std::string("test_") + program));
}

void Datapath::clear_policy(std::uint32_t slot)
{
    bpf_map_delete_elem(maps_.at("policies"), &slot);
}

void Datapath::route(const char* prefix, struct route value)
{
    const auto parsed = Prefix4::parse(prefix);
    must(parsed.has_value(), prefix);
    put("routes4", prefix4_key{parsed->length, parsed->addr.be()}, value);
}

judgement Datapath::judged(std::uint32_t policy_slot)
{
    return *get<judgement>("judged", policy_slot);
}

void Datapath::forget_judged(std::uint32_t policy_slot)
{
    put("judged", policy_slot, judgement{});
}

bool Datapath::was_judged(std::uint32_t policy_slot)
{
    return judged(policy_slot).proto != 0;
}

std::vector<Datapath::Entry> Datapath::flows()
{
    std::vector<Entry> found;
    flow_key next{};
    const int fd = maps_.at("flows4");
    bool have = bpf_map_get_next_key(fd, nullptr, &next) == 0;
    while (have) {
        Entry entry{.key = next};
        if (bpf_map_lookup_elem(fd, &entry.key, &entry.flow) == 0)
            found.push_back(entry);
        have = bpf_map_get_next_key(fd, &entry.key, &next) == 0;
    }
    return found;
}

std::optional<Datapath::Entry> Datapath::only_flow()
{
    const auto found = flows();
    EXPECT_EQ(found.size(), 1u);
    return found.size() == 1 ? std::optional(found.front()) : std::nullopt;
}

std::uint32_t Datapath::flow_count(std::uint32_t slot)
{
    return get<std::uint32_t>("flow_counts", slot).value_or(0);
}

std::uint64_t Datapath::count(reason which)
{
    std::vector<counter> per_cpu(static_cast<std::size_t>(libbpf_num_possible_cpus()));
    const auto key = static_cast<std::uint32_t>(which);
    std::uint64_t packets = 0;
    must(read("counters", &key, per_cpu.data()), "read counters");
    for (const auto& one : per_cpu)
        packets += one.packets;
    return packets;
}

std::vector<event> Datapath::events()
{
    std::vector<event> found;
    auto take = [](void* to, void* data, std::size_t size) {
        event one{};
        EXPECT_EQ(size, sizeof(one));
        std::memcpy(&one, data, sizeof(one));
        static_cast<std::vector<event>*>(to)->push_back(one);
        return 0;
    };
    ring_buffer* ring = ring_buffer__new(maps_.at("events"), take, &found, nullptr);
    must(ring != nullptr, "ring buffer");
    ring_buffer__consume(ring);
    ring_buffer__free(ring);
    return found;
}

void Datapath::expect_drop(const Outcome& run, reason which)
{
#define REASON_LABEL(id, kind, label, text) {REASON_KIND_##kind, label},
    static const std::pair<reason_kind, const char*> kReasons[] = {REASONS(REASON_LABEL)};
#undef REASON_LABEL
    EXPECT_EQ(run.verdict, kShot);
    for (std::uint32_t i = 0; i < REASON_COUNT; i++) {
        const auto wanted = i == static_cast<std::uint32_t>(which) ? 1u : 0u;
        if (kReasons[i].first == REASON_KIND_DROP) {
            EXPECT_EQ(count(static_cast<reason>(i)), wanted) << kReasons[i].second;
        }
    }
    bool reported = false;
    for (const auto& one : events())
        reported |= one.kind == EVENT_DROP && one.reason == static_cast<std::uint32_t>(which);
    EXPECT_TRUE(reported) << "no event for the drop";
}

void Datapath::establish_a_c()
{
    ASSERT_EQ(from_a(tcp_packet(kA, 1000, kC, 80, kSyn)).verdict, kRedirect);
    ASSERT_EQ(from_node2(tcp_packet(kC, 80, kA, 1000, kSyn | kAck)).verdict, kRedirect);
    ASSERT_EQ(from_a(tcp_packet(kA, 1000, kC, 80, kAck)).verdict, kRedirect);
}

void Datapath::establish_a_b()
{
    ASSERT_EQ(from_a(tcp_packet(kA, 1000, kB, 80, kSyn)).verdict, kRedirect);
    ASSERT_EQ(from_b(tcp_packet(kB, 80, kA, 1000, kSyn | kAck)).verdict, kRedirect);
    ASSERT_EQ(from_a(tcp_packet(kA, 1000, kB, 80, kAck)).verdict, kRedirect);
}

flow_dir direction(const struct flow& flow, bool from_initiator)
{
    return flow.dir[from_initiator ? flow.initiator : !flow.initiator];
}

} // namespace margay::testing
