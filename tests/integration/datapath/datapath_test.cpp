// SPDX-License-Identifier: Apache-2.0
// Datapath with the real programs: hooks, membership, policies and flows of one run of the agent.
#include "agent/datapath/datapath.h"

#include <bpf/bpf.h>
#include <gmock/gmock.h>
#include <net/if.h>

#include <algorithm>

#include "integration/datapath/two_pods.h"

namespace margay::datapath {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

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

INSTANTIATE_TEST_SUITE_P(Kinds, HookKindTest, ::testing::Values(true, false),
                         [](const auto& param) { return param.param ? "tcx" : "clsact"; });

} // namespace
} // namespace margay::datapath
