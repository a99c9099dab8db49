// SPDX-License-Identifier: Apache-2.0
// A node with two pods in namespaces of their own and the real programs: what tests of Datapath share.

#pragma once

#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "agent/datapath/datapath.h"
#include "agent/datapath/pins.h"
#include "counting_program.h"
#include "support/netns.h"

namespace margay::datapath {

using margay::testing::Background;
using margay::testing::eventually;
using margay::testing::Netns;
using margay::testing::NetnsScope;

model::ProgramRef shared(policy::Program program);
model::ProgramRef program_with(policy::Rule rule, const std::string& name);
model::ProgramRef allow_all();
model::ProgramRef allow_all_but(policy::SetId set);
model::ProgramRef allow_from(policy::SetId set);
Log quiet();
// Some packets of a running ping have come back.
bool is_established(const Background& ping);

// A pod: a namespace with 10.65.0.<n> behind a veth whose host side is cali<n> in the node.
struct Pod {
    Netns netns;
    std::string name;
    Ipv4 address;
    std::uint32_t ifindex = 0;
    MacBytes pod_mac{};
    MacBytes host_mac{};

    Pod(const Netns& node, int number);
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
    // What runs on an uplink: the program at tc's ingress, and whether there is one at XDP.
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

} // namespace margay::datapath
