// SPDX-License-Identifier: Apache-2.0
// Datapath with the real programs: a node with two pods in namespaces of their own, restarts of the
// agent under traffic, and what cleanup leaves behind.
#include "agent/datapath/datapath.h"

#include <bpf/bpf.h>
#include <gmock/gmock.h>
#include <net/if.h>
#include <sched.h>
#include <spdlog/sinks/null_sink.h>
#include <sys/mount.h>

#include <algorithm>
#include <cstdio>

#include "agent/datapath/pins.h"
#include "agent/policy/hash.h"
#include "counting_program.h"
#include "support/netns.h"

namespace margay::datapath {
namespace {

using margay::testing::Background;
using margay::testing::eventually;
using margay::testing::Netns;
using margay::testing::NetnsScope;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

MacBytes mac(const std::string& text)
{
    MacBytes bytes{};
    std::sscanf(text.c_str(), "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &bytes[0], &bytes[1], &bytes[2],
                &bytes[3], &bytes[4], &bytes[5]);
    return bytes;
}

model::ProgramRef shared(policy::Program program)
{
    auto shared = std::make_shared<model::SharedProgram>();
    shared->hash = policy::canonical_hash(program);
    shared->program = std::move(program);
    return shared;
}

model::ProgramRef program_with(policy::Rule rule, const std::string& name)
{
    policy::Program program;
    program.profiles.push_back({name, {std::move(rule)}});
    return shared(std::move(program));
}

model::ProgramRef allow_all()
{
    policy::Rule rule;
    rule.action = policy::Action::Allow;
    return program_with(rule, "profile/allow");
}

model::ProgramRef allow_all_but(policy::SetId set)
{
    policy::Rule deny;
    deny.action = policy::Action::Deny;
    deny.source.sets = {set};
    policy::Rule allow;
    allow.action = policy::Action::Allow;
    policy::Program program;
    program.profiles.push_back({"profile/not-bad", {deny, allow}});
    return shared(std::move(program));
}

model::ProgramRef allow_from(policy::SetId set)
{
    policy::Rule rule;
    rule.action = policy::Action::Allow;
    rule.source.sets = {set};
    return program_with(rule, "profile/from-friends");
}

Log quiet()
{
    return std::make_shared<spdlog::logger>("datapath",
                                            std::make_shared<spdlog::sinks::null_sink_st>());
}

// Other programs of the machine come and go; so ours are looked for by their ids.
bool any_left(const std::vector<std::uint32_t>& ids, int (*open)(std::uint32_t))
{
    return std::any_of(ids.begin(), ids.end(), [&](auto id) { return Fd(open(id)).valid(); });
}

// Some packets of a running ping have come back.
bool is_established(const Background& ping)
{
    return eventually([&] { return ping.output().find("icmp_seq=5 ") != std::string::npos; });
}

// A pod: a namespace with 10.65.0.<n> behind a veth whose host side is cali<n> in the node.
struct Pod {
    Netns netns;
    std::string name;
    Ipv4 address;
    std::uint32_t ifindex = 0;
    MacBytes pod_mac{};
    MacBytes host_mac{};

    Pod(const Netns& node, int number)
        : netns("pod" + std::to_string(number)), name("cali" + std::to_string(number)),
          address(*Ipv4::parse("10.65.0." + std::to_string(number)))
    {
        add_veth(node, name, netns, "eth0");
        const std::string host = link_mac(node, name);
        host_mac = mac(host);
        pod_mac = mac(link_mac(netns, "eth0"));
        netns.must("ip link set lo up; ip addr add " + address.str() +
                   "/32 dev eth0 && ip route add 169.254.1.1 dev eth0 && "
                   "ip route add default via 169.254.1.1 dev eth0 && "
                   "ip neigh add 169.254.1.1 lladdr " +
                   host + " dev eth0 nud permanent");
        ifindex = inside(node, [&] { return if_nametoindex(name.c_str()); });
    }

    static std::string link_mac(const Netns& netns, const std::string& device)
    {
        const std::string text = netns.must("ip -o link show dev " + device);
        const auto at = text.find("link/ether ");
        return text.substr(at + 11, 17);
    }
    bool pings(const Pod& other) const
    {
        return static_cast<bool>(netns.exec("ping -q -c 1 -W 1 " + other.address.str()));
    }
};

struct DatapathTest : ::testing::Test {
    Netns node{"node"};
    NetnsScope scope{node};
    PinFolder folder;
    Pod a{node, 2};
    Pod b{node, 3};
    Executor executor;
    SystemClock clock;
    std::unique_ptr<Datapath> datapath;
    model::ProgramRef ingress_b = allow_all();
    std::chrono::milliseconds look_again{10'000};
    std::function<void()> on_hooks_changed;
    bool clsact = !have_tcx();

    void SetUp() override
    {
        node.must("ip link set lo up; sysctl -qw net.ipv4.ip_forward=1");
        start();
    }
    void start(std::uint32_t entries = 4096)
    {
        Options options;
        options.programs.pin_root = folder.path();
        options.programs.map_sizes = {
            {"flows4", entries}, {"classes4", 32768}, {"routes4", entries}};
        options.force_clsact = clsact;
        options.pick_up = std::chrono::seconds(0); // every packet is a new flow's
        options.look_again = look_again;
        options.on_hooks_changed = on_hooks_changed;
        auto opened = Datapath::open(executor, clock, quiet(), options);
        ASSERT_TRUE(opened) << opened.error().what;
        datapath = *std::move(opened);
    }
    void kill() { datapath.reset(); } // no farewell: destructors detach nothing
    static void ok(const Status& status) { ASSERT_TRUE(status) << status.error().what; }

    void want_pod(const Pod& pod, const model::ProgramRef& ingress)
    {
        datapath->want_workload_device(pod.ifindex);
        const auto slot =
            datapath->want_endpoint(pod.name, {pod.ifindex, pod.pod_mac, pod.host_mac, pod.address,
                                               true, ingress, allow_all()});
        ASSERT_TRUE(slot) << slot.error().what;
        RouteWant route;
        route.kind = ROUTE_ENDPOINT;
        route.endpoint = *slot;
        ok(datapath->want_route(Prefix4::host(pod.address), route));
    }
    void want_all()
    {
        ConfigWant config;
        config.node_address = Ipv4::parse("192.0.2.1");
        datapath->want_config(config);
        want_pod(a, allow_all());
        want_pod(b, ingress_b);
    }
    void bring_up()
    {
        want_all();
        datapath->set_in_sync();
        ok(datapath->flush());
        EXPECT_TRUE(datapath->settled());
    }
    DatapathStatus::HookState hook(const Pod& pod, const std::string& name) const
    {
        for (const auto& state : datapath->status().hooks)
            if (state.ifindex == pod.ifindex && state.hook == name)
                return state;
        return {};
    }
    std::pair<std::string, bool> uplink_programs(std::uint32_t ifindex) const;
    std::uint64_t packets(std::string_view reason) const
    {
        const auto counters = datapath->counters();
        EXPECT_TRUE(counters);
        for (const auto& counter : *counters)
            if (counter.reason.label == reason)
                return counter.packets;
        return 0;
    }
};

// What attaches, leaves and adopts hooks: in both kinds.
struct HookKindTest : DatapathTest, ::testing::WithParamInterface<bool> {
    void SetUp() override
    {
        if (GetParam() && !have_tcx())
            GTEST_SKIP() << "this kernel has no TCX";
        clsact = !GetParam();
        DatapathTest::SetUp();
    }
};

TEST_P(HookKindTest, pods_reach_each_other_once_everything_is_stated_and_not_before)
{
    want_all();
    ok(datapath->flush());
    EXPECT_THAT(datapath->status().hooks, IsEmpty());
    EXPECT_FALSE(datapath->settled());
    datapath->set_in_sync();
    ok(datapath->flush());
    EXPECT_TRUE(datapath->settled());
    EXPECT_TRUE(a.pings(b));
    EXPECT_GE(packets("delivered"), 2u);
    EXPECT_EQ(hook(a, "ingress").program, "from_workload");
    EXPECT_EQ(hook(a, "ingress").kind, GetParam() ? "tcx" : "clsact");
    // bpf_redirect_peer: past the hook behind the stack, and past the host's side of the veth.
    EXPECT_EQ(packets("from_stack"), 0u);
}

// Flows hold the outer addresses of their tunnel.
TEST_F(DatapathTest, node_that_goes_and_another_own_address_have_all_flows_judged_again)
{
    bring_up();
    const auto node2 = Prefix4::host(*Ipv4::parse("192.0.2.2"));
    ok(datapath->want_node(node2, false));
    ok(datapath->flush());
    const auto generation = [&] { return datapath->endpoints().list().front().actual->generation; };

    const auto facts = [&] {
        const Fd map(bpf_obj_get((folder.path() + "/v1/config").c_str()));
        const std::uint32_t zero = 0;
        struct config config{};
        EXPECT_EQ(bpf_map_lookup_elem(map.get(), &zero, &config), 0);
        return config.facts;
    };

    const auto with_node = generation();
    const auto facts_before = facts();
    datapath->forget_node(node2);
    for (int i = 0; i < 10 && generation() == with_node; i++)
        (void)datapath->flush(1); // one write a turn: the order shows
    EXPECT_GT(generation(), with_node);
    EXPECT_GT(facts(), facts_before) << "a judgement on its way would be kept";
    const Fd nodes(bpf_obj_get((folder.path() + "/v1/nodes4").c_str()));
    const prefix4_key key{32, node2.addr.be()};
    node4 found{};
    EXPECT_NE(bpf_map_lookup_elem(nodes.get(), &key, &found), 0)
        << "a flow judged in between would stay allowed";
    ok(datapath->flush());

    const auto at_first_address = generation();
    ConfigWant config;
    config.node_address = Ipv4::parse("192.0.2.3");
    datapath->want_config(config);
    ok(datapath->flush());
    EXPECT_GT(generation(), at_first_address);

    const auto with_ipip = generation();
    config.ipip = !config.ipip;
    datapath->want_config(config);
    ok(datapath->flush());
    EXPECT_GT(generation(), with_ipip);

    const auto settled = generation();
    datapath->want_config(config);
    ok(datapath->flush());
    EXPECT_EQ(generation(), settled) << "nothing changed";
}

TEST_P(HookKindTest, lost_hook_comes_back_however_often_the_owner_flushes)
{
    int told = 0;
    look_again = std::chrono::milliseconds(500); // many flushes long, on a busy machine too
    on_hooks_changed = [&] {
        told++;
        ok(datapath->flush());
    };
    kill();
    start();
    bring_up();
    if (GetParam())
        node.must("bpftool link detach pinned " + folder.path() + "/v1/links/" +
                  std::to_string(a.ifindex) + "_ingress");
    else
        node.must("tc qdisc del dev " + a.name + " clsact");
    EXPECT_FALSE(a.pings(b));
    EXPECT_TRUE(eventually([&] {
        ok(datapath->flush()); // first: the ping took longer than the pause
        executor.restart();
        executor.run_for(std::chrono::milliseconds(20));
        return told > 0;
    }));
    EXPECT_THAT(datapath->judged_devices(), Contains(a.ifindex));
    EXPECT_TRUE(a.pings(b));
}

// What runs on an uplink: the program at tc's ingress, and whether there is one at XDP.
std::pair<std::string, bool> DatapathTest::uplink_programs(std::uint32_t ifindex) const
{
    std::pair<std::string, bool> found;
    for (const auto& state : datapath->status().hooks) {
        if (state.ifindex == ifindex && state.hook == "ingress")
            found.first = state.program;
        if (state.ifindex == ifindex && state.hook == "xdp")
            found.second = true;
    }
    return found;
}

TEST_P(HookKindTest, uplink_reads_notes_of_xdp_while_xdp_runs_and_only_then)
{
    add_veth(node, "mguplink", a.netns, "mgwire");
    const auto up = inside(node, [] { return if_nametoindex("mguplink"); });
    datapath->want_uplink(up, XdpMode::Auto);
    bring_up();
    EXPECT_EQ(uplink_programs(up), std::pair(std::string("from_uplink"), false))
        << "not on veth, which loses by it";
    datapath->want_uplink(up, XdpMode::Native);
    ok(datapath->flush());
    EXPECT_EQ(uplink_programs(up), std::pair(std::string("from_uplink_xdp"), true));
    datapath->want_uplink(up, XdpMode::Off);
    ok(datapath->flush());
    EXPECT_EQ(uplink_programs(up), std::pair(std::string("from_uplink"), false));
}

// A bridge has no native XDP.
TEST_P(HookKindTest, uplink_whose_driver_refuses_xdp_runs_without_it_in_auto_and_says_so_in_native)
{
    node.must("ip link add mgbridge type bridge && ip link set mgbridge up");
    const auto up = inside(node, [] { return if_nametoindex("mgbridge"); });
    datapath->want_uplink(up, XdpMode::Auto);
    bring_up();
    EXPECT_EQ(uplink_programs(up), std::pair(std::string("from_uplink"), false));
    datapath->want_uplink(up, XdpMode::Native);
    EXPECT_FALSE(datapath->flush());
    EXPECT_FALSE(datapath->settled());
    datapath->want_uplink(up, XdpMode::Generic);
    ok(datapath->flush());
    EXPECT_EQ(uplink_programs(up), std::pair(std::string("from_uplink_xdp"), true));
}

TEST_F(DatapathTest, pinned_maps_read_well_in_bpftool)
{
    bring_up();
    EXPECT_THAT(node.must("bpftool map dump pinned " + folder.path() + "/v1/ids"),
                HasSubstr("\"space\": 1"));
    EXPECT_THAT(node.must("bpftool map dump pinned " + folder.path() + "/v1/endpoints"),
                HasSubstr("\"incarnation\""));
}

TEST_P(HookKindTest, programs_serve_on_while_the_agent_is_dead_and_serve_on_while_it_returns)
{
    bring_up();
    ASSERT_TRUE(a.pings(b));
    Background traffic(&a.netns, "ping -q -i 0.005 -c 800 " + b.address.str());
    const auto before = hook(a, "ingress");
    kill();
    EXPECT_TRUE(a.pings(b));
    start();
    EXPECT_EQ(hook(a, "ingress").program_id, before.program_id) << "adopted, not yet exchanged";
    EXPECT_EQ(hook(a, "ingress").program, "");
    ok(datapath->flush()); // nothing is stated yet, so nothing may go
    EXPECT_TRUE(a.pings(b));
    want_all();
    datapath->set_in_sync();
    ok(datapath->flush());
    EXPECT_TRUE(datapath->settled());
    EXPECT_NE(hook(a, "ingress").program_id, before.program_id);
    EXPECT_EQ(hook(a, "ingress").program, "from_workload");
    EXPECT_EQ(traffic.wait(), 0);
    EXPECT_THAT(traffic.output(), HasSubstr(" 0% packet loss"));
}

TEST_P(HookKindTest, restart_keeps_slots_incarnations_and_policy_programs)
{
    bring_up();
    const auto endpoints = datapath->endpoints().list();
    const auto policies = datapath->policies().list();
    kill();
    start();
    bring_up();
    const auto after = datapath->endpoints().list();
    ASSERT_EQ(after.size(), endpoints.size());
    for (std::size_t i = 0; i < after.size(); i++) {
        EXPECT_EQ(after[i].slot, endpoints[i].slot);
        ASSERT_TRUE(after[i].actual && endpoints[i].actual);
        EXPECT_EQ(after[i].actual->incarnation, endpoints[i].actual->incarnation);
        EXPECT_EQ(after[i].actual->ingress_policy, endpoints[i].actual->ingress_policy);
    }
    ASSERT_EQ(datapath->policies().list().size(), policies.size());
    EXPECT_EQ(datapath->policies().list()[0].slot, policies[0].slot);
    EXPECT_EQ(datapath->policies().list()[0].instructions, 0u) << "nothing had to be loaded";
}

TEST_P(HookKindTest, what_nobody_wants_after_a_restart_goes)
{
    bring_up();
    kill();
    start();
    want_pod(a, allow_all());
    datapath->want_config({});
    datapath->set_in_sync();
    ok(datapath->flush());
    EXPECT_TRUE(datapath->settled());
    EXPECT_EQ(hook(b, "ingress").program_id, 0u);
    EXPECT_FALSE(a.pings(b));
    for (const auto& table : datapath->status().tables) {
        if (table.name == "endpoints" || table.name == "workloads" || table.name == "routes4") {
            EXPECT_EQ(table.entries, 1u) << table.name;
        }
    }
}

// The policy was edited while the agent was away, and its set has no name any more.
TEST_F(DatapathTest, classes_that_adopted_programs_read_change_together_with_the_programs)
{
    const auto bad = *datapath->claim_set("bad");
    ingress_b = allow_all_but(bad);
    ok(datapath->want_class(Prefix4::host(a.address), {bad}));
    bring_up();
    ASSERT_FALSE(a.pings(b));
    kill();
    start();
    ok(datapath->want_class(Prefix4::host(a.address), {*datapath->claim_set("other")}));
    ingress_b = allow_all_but(*datapath->claim_set("worse"));
    want_all();
    ok(datapath->flush());
    EXPECT_FALSE(a.pings(b)) << "the old program, without the set that it denies";
    datapath->set_in_sync();
    ok(datapath->flush());
    EXPECT_TRUE(a.pings(b));
}

TEST_F(DatapathTest, membership_that_ended_while_the_agent_was_away_ends_established_flows)
{
    const auto friends = *datapath->claim_set("friends");
    ingress_b = allow_from(friends);
    ok(datapath->want_class(Prefix4::host(a.address), {friends}));
    bring_up();
    Background traffic(&a.netns, "ping -i 0.02 " + b.address.str());
    ASSERT_TRUE(is_established(traffic));
    kill();
    start();
    ASSERT_EQ(*datapath->claim_set("friends"), friends);
    const auto denied = packets("policy_changed") + packets("policy_ingress");
    bring_up();
    EXPECT_TRUE(
        eventually([&] { return packets("policy_changed") + packets("policy_ingress") > denied; }));
    EXPECT_FALSE(a.pings(b));
}

// No good program of this run: denied. When there is one, what was established is judged by it.
TEST_F(DatapathTest, endpoint_whose_program_is_refused_after_a_restart_is_denied_until_there_is_one)
{
    Netns outside("outside");
    add_veth(node, "mguplink", outside, "eth0");
    node.must("ip addr add 198.51.100.1/24 dev mguplink; ip route add " + b.address.str() +
              " dev " + b.name);
    outside.must(
        "ip addr add 198.51.100.2/24 dev eth0; ip route add 10.65.0.0/16 via 198.51.100.1");
    datapath->want_uplink(inside(node, [] { return if_nametoindex("mguplink"); }), XdpMode::Off);
    bring_up();
    // A flow with this one end, which sends nothing while the end is denied: nobody judges it then.
    const std::string idle = "ping -q -e 77 -c 1 -W 1 " + b.address.str();
    ASSERT_TRUE(eventually([&] { return static_cast<bool>(outside.exec(idle)); }));
    kill();
    start();
    ingress_b = allow_all_but(CLASS_SET_MAX);
    datapath->want_uplink(inside(node, [] { return if_nametoindex("mguplink"); }), XdpMode::Off);
    want_all();
    datapath->set_in_sync();
    EXPECT_FALSE(datapath->flush());
    EXPECT_FALSE(a.pings(b));
    EXPECT_THAT(datapath->endpoints().list()[1].problem, HasSubstr("policy program"));
    want_pod(b, shared({}));
    ok(datapath->flush());
    EXPECT_FALSE(outside.exec(idle)) << "it goes on as an earlier run judged it";
    want_pod(b, allow_all());
    ok(datapath->flush());
    EXPECT_TRUE(a.pings(b));
}

// More of them than are loaded in a turn.
TEST_F(DatapathTest, refused_programs_keep_no_other_endpoint_waiting)
{
    for (std::uint32_t i = 0; i < 40; i++)
        ASSERT_TRUE(datapath->want_endpoint(
            "a" + std::to_string(i), {90'000 + i, a.pod_mac, a.host_mac, Ipv4(0x0a420000 + i), true,
                                      allow_all_but(CLASS_SET_MAX + i), allow_all()}));
    want_all();
    datapath->set_in_sync();
    EXPECT_TRUE(eventually([&] {
        (void)datapath->flush();
        return datapath->endpoints().list().back().actual.has_value(); // b: the last by name
    })) << datapath->status().problem;
    EXPECT_TRUE(a.pings(b));
}

TEST_F(DatapathTest, remote_prefix_of_an_earlier_run_waits_until_the_routes_are_complete)
{
    const auto prefix = *Prefix4::parse("10.9.0.0/26");
    const auto routed = [&] {
        const auto out = node.must("bpftool map dump pinned " + folder.path() + "/v1/routes4");
        return out.find("\"prefix_bits\": 26") != std::string::npos;
    };
    RouteWant remote;
    remote.kind = ROUTE_REMOTE;
    remote.path = {.reachable = true, .ifindex = a.ifindex, .next_hop = b.address};
    ok(datapath->want_route(prefix, remote));
    bring_up();
    kill();
    start();
    bring_up();
    EXPECT_TRUE(routed()) << "BGP has not told yet";
    datapath->set_routes_complete();
    ok(datapath->flush());
    EXPECT_FALSE(routed());
}

TEST_F(DatapathTest, membership_opens_and_closes_an_established_flow_without_a_program_load)
{
    const auto set = datapath->claim_set("friends");
    ASSERT_TRUE(set);
    ingress_b = allow_from(*set);
    bring_up();
    EXPECT_FALSE(a.pings(b));
    ok(datapath->want_class(Prefix4::host(a.address), {*set}));
    ok(datapath->flush());
    EXPECT_TRUE(a.pings(b));

    Background traffic(&a.netns, "ping -i 0.02 " + b.address.str());
    ASSERT_TRUE(is_established(traffic));
    const auto policy = datapath->endpoints().list()[1].actual->ingress_policy;
    ok(datapath->want_class(Prefix4::host(a.address), {}));
    ok(datapath->flush());
    const auto denied = packets("policy_changed") + packets("policy_ingress");
    EXPECT_TRUE(eventually([&] {
        return packets("policy_changed") + packets("policy_ingress") > denied;
    })) << "the flow was not judged again";
    EXPECT_FALSE(a.pings(b));
    EXPECT_EQ(datapath->endpoints().list()[1].actual->ingress_policy, policy);
}

TEST_F(DatapathTest, membership_that_ends_is_gone_before_flows_are_judged_again)
{
    const auto set = datapath->claim_set("friends");
    ASSERT_TRUE(set);
    ingress_b = allow_from(*set);
    ok(datapath->want_class(Prefix4::host(a.address), {*set}));
    bring_up();
    Background traffic(&a.netns, "ping -i 0.02 " + b.address.str());
    const auto answered = [&] {
        const std::string text = traffic.output();
        return std::count(text.begin(), text.end(), '\n');
    };
    ASSERT_TRUE(eventually([&] { return answered() > 5; }));

    ok(datapath->want_class(Prefix4::host(a.address), {}));
    ok(datapath->flush(1)); // as where the turn ends between the two steps
    const auto before = answered();
    EXPECT_TRUE(eventually([&] { return answered() > before + 5; }));
    ok(datapath->flush());

    const auto denied = packets("policy_changed") + packets("policy_ingress");
    EXPECT_TRUE(eventually([&] {
        return packets("policy_changed") + packets("policy_ingress") > denied;
    })) << "judged again while the membership was still there";
}

// As many combinations of 14 sets as there are classes.
TEST_F(DatapathTest, address_without_room_for_its_class_is_denied_until_there_is_room)
{
    SetList sets;
    for (int i = 0; i < 14; i++)
        sets.push_back(*datapath->claim_set("set " + std::to_string(i)));
    std::sort(sets.begin(), sets.end());
    const auto bad = *datapath->claim_set("bad");
    ingress_b = allow_all_but(bad);
    bring_up();
    ASSERT_TRUE(a.pings(b));

    const auto prefix_of = [](std::uint32_t number) {
        return Prefix4::host(Ipv4(0xac100000 + number));
    };
    for (std::uint32_t number = 1; number < CLASS_MAX; number++) {
        SetList combination;
        for (std::size_t i = 0; i < sets.size(); i++)
            if ((number >> i & 1) != 0)
                combination.push_back(sets[i]);
        ok(datapath->want_class(prefix_of(number), combination));
    }
    SetList one_more = {sets[0], *datapath->claim_set("one more")};
    std::sort(one_more.begin(), one_more.end());
    EXPECT_FALSE(datapath->want_class(Prefix4::host(a.address), one_more));
    ok(datapath->flush(100'000));
    EXPECT_FALSE(a.pings(b)) << "nobody can say that it is not bad";
    EXPECT_THAT(datapath->status().problem,
                HasSubstr("no room for the address classes of 1 prefixes"));

    ok(datapath->want_class(prefix_of(CLASS_MAX - 1), {}));
    EXPECT_TRUE(eventually([&] {
        EXPECT_TRUE(datapath->flush(100'000));
        return datapath->status().problem.empty();
    }));
    EXPECT_TRUE(a.pings(b));
}

TEST_F(DatapathTest, changed_policy_judges_established_flows_again)
{
    bring_up();
    Background traffic(&a.netns, "ping -i 0.02 " + b.address.str());
    ASSERT_TRUE(is_established(traffic));
    want_pod(b, shared({}));
    ok(datapath->flush());
    const auto denied = packets("policy_changed") + packets("policy_ingress");
    EXPECT_TRUE(
        eventually([&] { return packets("policy_changed") + packets("policy_ingress") > denied; }));
    EXPECT_FALSE(a.pings(b));
}

TEST_F(DatapathTest, drop_is_recorded_with_endpoint_and_rule)
{
    ingress_b = shared({});
    bring_up();
    EXPECT_FALSE(a.pings(b));
    executor.restart();
    EXPECT_TRUE(eventually([&] {
        executor.poll();
        return !datapath->drops().empty();
    }));
    const auto& drops = datapath->drops();
    const auto drop = std::find_if(drops.begin(), drops.end(),
                                   [](const auto& d) { return d.reason == "policy_ingress"; });
    ASSERT_NE(drop, drops.end());
    EXPECT_EQ(drop->source, a.address);
    EXPECT_EQ(drop->destination, b.address);
    EXPECT_EQ(drop->endpoint, b.name);
    EXPECT_EQ(drop->protocol, IPPROTO_ICMP);
    EXPECT_EQ(drop->hook, "from_workload");
    EXPECT_EQ(drop->rule, policy::describe_rule(ingress_b->program, POLICY_RULE_NO_PROFILE));
}

TEST_F(DatapathTest, flows_of_a_workload_that_went_are_collected)
{
    bring_up();
    ASSERT_TRUE(a.pings(b));
    ASSERT_FALSE(datapath->flows().dump(100)->empty());
    datapath->forget_endpoint(b.name);
    datapath->forget_route(Prefix4::host(b.address));
    datapath->forget_device(b.ifindex);
    ok(datapath->flush());
    for (std::uint32_t shard = 0; shard < COLLECT_SHARDS; shard++)
        ASSERT_TRUE(datapath->flows().collect(shard));
    EXPECT_THAT(*datapath->flows().dump(100), IsEmpty());
    EXPECT_EQ(hook(b, "ingress").program_id, 0u);
}

TEST_P(HookKindTest, map_of_another_size_is_replaced_without_losing_a_packet)
{
    bring_up();
    ASSERT_TRUE(a.pings(b));
    Background traffic(&a.netns, "ping -q -i 0.005 -c 800 " + b.address.str());
    kill();
    const Fd old(bpf_obj_get((folder.path() + "/v1/nodes").c_str()));
    ASSERT_EQ(bpf_obj_pin(old.get(), (folder.path() + "/v1/gone").c_str()), 0);
    start(8192);
    const auto before = hook(a, "ingress").program_id;
    want_all();
    datapath->set_in_sync();
    ok(datapath->flush(1)); // one of two routes: the new map is not filled yet
    EXPECT_EQ(hook(a, "ingress").program_id, before) << "exchanged for a program with empty maps";
    EXPECT_TRUE(a.pings(b));
    ok(datapath->flush());
    EXPECT_TRUE(datapath->settled());
    EXPECT_NE(hook(a, "ingress").program_id, before);
    EXPECT_EQ(traffic.wait(), 0);
    EXPECT_THAT(traffic.output(), HasSubstr(" 0% packet loss"));
    EXPECT_THAT(*list_folder(folder.path() + "/v1"), Not(Contains("gone")));
    EXPECT_THAT(*list_folder(folder.path() + "/v1"), Contains("links"));
    const Fd pinned(bpf_obj_get((folder.path() + "/v1/routes4").c_str()));
    bpf_map_info info{};
    std::uint32_t length = sizeof(info);
    ASSERT_EQ(bpf_obj_get_info_by_fd(pinned.get(), &info, &length), 0);
    EXPECT_EQ(info.max_entries, 8192u);
}

TEST_P(HookKindTest, device_that_is_replaced_is_attached_again)
{
    bring_up();
    node.must("ip link del " + b.name);
    datapath->device_gone(b.ifindex);
    datapath->forget_endpoint(b.name);
    ok(datapath->flush());
    EXPECT_EQ(hook(b, "ingress").program_id, 0u);
    Pod again(node, 3);
    ASSERT_NE(again.ifindex, b.ifindex);
    want_pod(again, allow_all());
    ok(datapath->flush());
    EXPECT_TRUE(datapath->settled());
    EXPECT_TRUE(a.pings(again));
}

TEST_P(HookKindTest, cleanup_leaves_no_program_map_pin_or_qdisc)
{
    bring_up();
    ASSERT_TRUE(a.pings(b));
    std::vector<std::uint32_t> programs;
    std::vector<std::uint32_t> maps;
    for (const auto& [name, id] : datapath->status().programs)
        programs.push_back(id);
    for (const auto& map : datapath->status().maps)
        maps.push_back(map.id);
    for (const auto& info : datapath->policies().list()) {
        std::uint32_t id = 0;
        const Fd array(bpf_obj_get((folder.path() + "/v1/policies").c_str()));
        ASSERT_EQ(bpf_map_lookup_elem(array.get(), &info.slot, &id), 0);
        programs.push_back(id);
    }
    kill();
    ok(cleanup(folder.path()));
    EXPECT_THAT(node.must("tc qdisc show dev " + a.name), Not(HasSubstr("clsact")));
    EXPECT_FALSE(list_folder(folder.path()));
    EXPECT_TRUE(eventually([&] { // the kernel frees what was pinned a little later
        return !any_left(programs, bpf_prog_get_fd_by_id) && !any_left(maps, bpf_map_get_fd_by_id);
    }));
    ok(cleanup(folder.path())); // twice is fine
}

INSTANTIATE_TEST_SUITE_P(Kinds, HookKindTest, ::testing::Values(true, false),
                         [](const auto& param) { return param.param ? "tcx" : "clsact"; });

TEST(DatapathOpenTest, pin_root_that_is_no_bpffs_is_refused_by_name)
{
    Executor executor;
    SystemClock clock;
    Options options;
    options.programs.pin_root = "/tmp/mg" + std::to_string(::getpid()) + "-pins";
    const auto opened = Datapath::open(executor, clock, quiet(), options);
    ASSERT_FALSE(opened);
    EXPECT_THAT(opened.error().what, HasSubstr(options.programs.pin_root));
    EXPECT_TRUE(remove_tree(options.programs.pin_root));
}

// It would go with the namespace, and all pins with it.
TEST(BpffsTest, none_is_mounted_in_a_private_mount_namespace)
{
    const auto child = [] {
        if (::unshare(CLONE_NEWNS) != 0 ||
            ::mount("none", "/sys", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
            return 1;
        while (::umount2("/sys/fs/bpf", MNT_DETACH) == 0) {
        }
        const Status needed = need_bpffs("/sys/fs/bpf/mg-none/v1");
        return needed || needed.error().what.find("mount -t bpf") == std::string::npos ? 2 : 0;
    };
    EXPECT_EXIT(::_exit(child()), ::testing::ExitedWithCode(0), "");
}

} // namespace
} // namespace margay::datapath
