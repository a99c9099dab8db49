// SPDX-License-Identifier: Apache-2.0
// The contract headers mean the same to both compilers: no hidden padding (this file is built with
// -Wpadded), and every field stands where the built objects' BTF says.

#include "maps/abi.h"
#include "maps/config.h"
#include "maps/endpoints.h"
#include "maps/flows.h"
#include "maps/policy.h"
#include "maps/routes.h"
#include "maps/stages.h"
#include "maps/stats.h"

#include "abi/btf.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <set>
#include <string>

namespace margay::testing {
namespace {

struct Layout : ::testing::Test {
    Btf datapath{MARGAY_BPF_DIR "/from_workload.bpf.o"};
    Btf collect{MARGAY_BPF_DIR "/collect.bpf.o"};
    Btf stages{MARGAY_BPF_DIR "/stages.bpf.o"};
    Btf types{MARGAY_TEST_TYPES};
};

#define EXPECT_SIZE(btf, type) EXPECT_EQ((btf).size(#type), sizeof(struct type))
#define EXPECT_FIELD(btf, type, field) \
    EXPECT_EQ((btf).offset(#type, #field), offsetof(struct type, field)) << #type "." #field

TEST_F(Layout, endpoints_match)
{
    EXPECT_SIZE(datapath, endpoint);
    EXPECT_FIELD(datapath, endpoint, ifindex);
    EXPECT_FIELD(datapath, endpoint, generation);
    EXPECT_FIELD(datapath, endpoint, incarnation);
    EXPECT_FIELD(datapath, endpoint, flags);
    EXPECT_FIELD(datapath, endpoint, egress_policy);
    EXPECT_FIELD(datapath, endpoint, ingress_policy);
    EXPECT_FIELD(datapath, endpoint, addr);
    EXPECT_FIELD(datapath, endpoint, mac);
    EXPECT_FIELD(datapath, endpoint, host_mac);
    EXPECT_SIZE(datapath, workload);
}

TEST_F(Layout, routes_match)
{
    EXPECT_SIZE(datapath, prefix4_key);
    EXPECT_FIELD(datapath, prefix4_key, prefix_bits);
    EXPECT_FIELD(datapath, prefix4_key, addr);
    EXPECT_SIZE(datapath, route);
    EXPECT_FIELD(datapath, route, kind);
    EXPECT_FIELD(datapath, route, flags);
    EXPECT_FIELD(datapath, route, spread);
    EXPECT_FIELD(datapath, route, slot);
    EXPECT_FIELD(datapath, route, node);
    EXPECT_SIZE(datapath, path);
    EXPECT_FIELD(datapath, path, ifindex);
    EXPECT_FIELD(datapath, path, next_hop);
    EXPECT_FIELD(datapath, path, outer_src);
    EXPECT_FIELD(datapath, path, outer_dst);
    EXPECT_FIELD(datapath, path, mtu);
    EXPECT_FIELD(datapath, path, node);
    EXPECT_FIELD(datapath, path, dmac);
    EXPECT_FIELD(datapath, path, smac);
    EXPECT_SIZE(datapath, node4);
    EXPECT_SIZE(datapath, node);
    EXPECT_SIZE(datapath, pmtu);
    EXPECT_SIZE(datapath, heartbeat);
}

TEST_F(Layout, flows_match)
{
    EXPECT_SIZE(datapath, flow_key);
    EXPECT_FIELD(datapath, flow_key, port);
    EXPECT_FIELD(datapath, flow_key, proto);
    EXPECT_FIELD(datapath, flow_key, query);
    EXPECT_SIZE(datapath, flow_dir);
    EXPECT_FIELD(datapath, flow_dir, in_ifindex);
    EXPECT_FIELD(datapath, flow_dir, action);
    EXPECT_SIZE(datapath, flow_end);
    EXPECT_SIZE(datapath, flow);
    EXPECT_FIELD(datapath, flow, last_seen);
    EXPECT_FIELD(datapath, flow, dir);
    EXPECT_FIELD(datapath, flow, tunnel);
    EXPECT_FIELD(datapath, flow, src);
    EXPECT_FIELD(datapath, flow, dst);
    EXPECT_FIELD(datapath, flow, state);
    EXPECT_FIELD(datapath, flow, legs);
    EXPECT_FIELD(datapath, flow, tail);
    EXPECT_SIZE(datapath, hot_flow);
    EXPECT_FIELD(datapath, hot_flow, flow);
    EXPECT_SIZE(datapath, frag4_key);
    EXPECT_SIZE(datapath, frag4);
}

TEST_F(Layout, config_and_constants_match)
{
    EXPECT_SIZE(datapath, config);
    EXPECT_FIELD(datapath, config, node_addr);
    EXPECT_FIELD(datapath, config, icmp_source);
    EXPECT_FIELD(datapath, config, endpoint_to_host);
    EXPECT_FIELD(datapath, config, vxlan_port);
    EXPECT_FIELD(datapath, config, flow_budget);
    EXPECT_FIELD(datapath, config, grace_until);
    EXPECT_FIELD(datapath, config, facts);
    EXPECT_SIZE(collect, flow_timeouts);
    EXPECT_FIELD(collect, flow_timeouts, other);
    EXPECT_SIZE(datapath, constants);
    EXPECT_FIELD(datapath, constants, hz);
}

TEST_F(Layout, judgement_matches_and_stands_first_in_scratch)
{
    EXPECT_SIZE(stages, judgement);
    EXPECT_FIELD(stages, judgement, proto);
    EXPECT_FIELD(stages, judgement, policy);
    EXPECT_FIELD(stages, judgement, next_stage);
    EXPECT_FIELD(stages, judgement, verdict);
    EXPECT_FIELD(stages, judgement, rule);
    EXPECT_FIELD(stages, judgement, log);
    EXPECT_EQ(stages.offset("work", "judgement"), 0u);
    EXPECT_SIZE(stages, class4_key);
    EXPECT_SIZE(stages, class_sets);
}

TEST_F(Layout, reports_match)
{
    EXPECT_SIZE(datapath, counter);
    EXPECT_SIZE(types, event);
    EXPECT_FIELD(types, event, reason);
    EXPECT_FIELD(types, event, saddr);
    EXPECT_FIELD(types, event, endpoint);
    EXPECT_FIELD(types, event, rule);
    EXPECT_FIELD(types, event, outer_saddr);
    EXPECT_SIZE(datapath, limit_window);
}

// One list gives the enum, the counters' index and the metric label.
TEST(Reasons, labels_are_distinct_and_fit_a_metric)
{
    std::set<std::string> labels;
#define REASON_LABEL(id, kind, label, text) \
    EXPECT_TRUE(labels.insert(label).second) << label; \
    EXPECT_EQ(std::strspn(label, "abcdefghijklmnopqrstuvwxyz0123456789_"), std::strlen(label)); \
    EXPECT_STRNE(text, "");
    REASONS(REASON_LABEL)
#undef REASON_LABEL
    EXPECT_EQ(labels.size(), std::size_t{REASON_COUNT});
}

// What a loader gets that sets none; margayd's come from --mark-mask (config_test).
TEST(Marks, bits_are_distinct_within_the_mask)
{
    EXPECT_EQ(MARK_SEEN | MARK_NOTRACK | MARK_PENDING | MARK_DONE, MARK_MASK);
    EXPECT_EQ(MARK_SEEN ^ MARK_NOTRACK ^ MARK_PENDING ^ MARK_DONE, MARK_MASK);
}

} // namespace
} // namespace margay::testing
