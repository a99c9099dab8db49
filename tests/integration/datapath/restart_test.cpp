// SPDX-License-Identifier: Apache-2.0
// Restarts of the agent under traffic: what is kept, what goes, and what cleanup leaves behind.
#include <bpf/bpf.h>
#include <gmock/gmock.h>
#include <net/if.h>
#include <sched.h>
#include <sys/mount.h>

#include <algorithm>

#include "integration/datapath/two_pods.h"

namespace margay::datapath {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

// Other programs of the machine come and go; so ours are looked for by their ids.
bool any_left(const std::vector<std::uint32_t>& ids, int (*open)(std::uint32_t))
{
    return std::any_of(ids.begin(), ids.end(), [&](auto id) { return Fd(open(id)).valid(); });
}

struct RestartTest : HookKindTest {};

TEST_P(RestartTest, programs_serve_on_while_the_agent_is_dead_and_serve_on_while_it_returns)
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

TEST_P(RestartTest, restart_keeps_slots_incarnations_and_policy_programs)
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

TEST_P(RestartTest, what_nobody_wants_after_a_restart_goes)
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

TEST_F(DatapathTest, remote_prefix_of_an_earlier_run_waits_until_the_routes_are_complete)
{
    const auto prefix = *Prefix4::parse("10.9.0.0/26");
    const auto routed = [&] {
        const auto out = node.must("bpftool map dump pinned " + folder.path() + "/v1/routes4");
        return out.find("\"prefix_bits\": 26") != std::string::npos;
    };
    RouteWant remote;
    remote.kind = ROUTE_REMOTE;
    remote.paths = {{.ifindex = a.ifindex, .next_hop = b.address}};
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

TEST_P(RestartTest, map_of_another_size_is_replaced_without_losing_a_packet)
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

TEST_P(RestartTest, cleanup_leaves_no_program_map_pin_or_qdisc)
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

INSTANTIATE_TEST_SUITE_P(Kinds, RestartTest, ::testing::Values(true, false),
                         [](const auto& param) { return param.param ? "tcx" : "clsact"; });

} // namespace
} // namespace margay::datapath
