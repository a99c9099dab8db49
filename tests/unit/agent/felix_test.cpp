// SPDX-License-Identifier: Apache-2.0
#include "agent/felix.h"

#include <netinet/in.h>

#include <gmock/gmock.h>

namespace margay {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

config::Config given(config::Values environment)
{
    config::Inputs inputs;
    inputs.environment = std::move(environment);
    auto config = config::resolve(inputs);
    EXPECT_TRUE(config) << (config ? "" : config.error().what);
    return config ? *config : config::Config{};
}

model::FelixConfiguration everything()
{
    model::FelixConfiguration felix;
    felix.interface_prefix = "cali,tap";
    felix.ipip_enabled = false;
    felix.ipip_mtu = 1400;
    felix.allow_ipip_from_workloads = true;
    felix.allow_vxlan_from_workloads = true;
    felix.default_endpoint_to_host_action = "Return";
    felix.route_metric = 2000;
    felix.external_nodes = {*Prefix4::parse("10.9.0.0/16"), *Prefix4::parse("10.8.0.1/32")};
    felix.failsafe_inbound = std::vector<model::FailsafePort>{
        {IPPROTO_TCP, 22, {}}, {IPPROTO_UDP, 68, *Prefix4::parse("10.0.0.0/8")}};
    felix.failsafe_outbound = std::vector<model::FailsafePort>{};
    felix.log_severity_screen = "Warning";
    return felix;
}

TEST(Felix, every_field_becomes_its_setting)
{
    const auto [config, refused] = config::with_datastore(given({}), felix_settings(everything()));
    EXPECT_THAT(refused, IsEmpty());
    EXPECT_THAT(config.interface_prefixes, ElementsAre("cali", "tap"));
    EXPECT_EQ(config.ipip_enabled, false);
    EXPECT_EQ(config.ipip_mtu, 1400u);
    EXPECT_TRUE(config.allow_ipip_from_workloads);
    EXPECT_TRUE(config.allow_vxlan_from_workloads);
    EXPECT_EQ(config.endpoint_to_host, config::EndpointToHost::Return);
    EXPECT_EQ(config.workload_route_metric, 2000u);
    EXPECT_THAT(config.external_nodes,
                ElementsAre(*Prefix4::parse("10.9.0.0/16"), *Prefix4::parse("10.8.0.1/32")));
    EXPECT_THAT(config.failsafe_inbound,
                ElementsAre(config::FailsafePort{IPPROTO_TCP, 22},
                            config::FailsafePort{IPPROTO_UDP, 68, *Prefix4::parse("10.0.0.0/8")}));
    EXPECT_THAT(config.failsafe_outbound, IsEmpty());
    EXPECT_EQ(config.log_level, config::LogLevel::Warning);
}

TEST(Felix, environment_wins_over_every_field)
{
    const auto mine = given({{"FELIX_INTERFACEPREFIX", "eni"},
                             {"FELIX_IPINIPENABLED", "true"},
                             {"FELIX_IPINIPMTU", "1300"},
                             {"FELIX_ALLOWIPIPPACKETSFROMWORKLOADS", "false"},
                             {"FELIX_ALLOWVXLANPACKETSFROMWORKLOADS", "false"},
                             {"FELIX_DEFAULTENDPOINTTOHOSTACTION", "ACCEPT"},
                             {"FELIX_IPV4NORMALROUTEPRIORITY", "7"},
                             {"FELIX_EXTERNALNODESCIDRLIST", "192.0.2.1/32"},
                             {"FELIX_FAILSAFEINBOUNDHOSTPORTS", "tcp:1"},
                             {"FELIX_FAILSAFEOUTBOUNDHOSTPORTS", "tcp:2"},
                             {"FELIX_LOGSEVERITYSCREEN", "debug"}});
    const auto [config, refused] = config::with_datastore(mine, felix_settings(everything()));
    EXPECT_THAT(config.interface_prefixes, ElementsAre("eni"));
    EXPECT_EQ(config.ipip_enabled, true);
    EXPECT_EQ(config.ipip_mtu, 1300u);
    EXPECT_FALSE(config.allow_ipip_from_workloads);
    EXPECT_FALSE(config.allow_vxlan_from_workloads);
    EXPECT_EQ(config.endpoint_to_host, config::EndpointToHost::Accept);
    EXPECT_EQ(config.workload_route_metric, 7u);
    EXPECT_THAT(config.external_nodes, ElementsAre(*Prefix4::parse("192.0.2.1/32")));
    EXPECT_EQ(config.failsafe_inbound[0].port, 1);
    EXPECT_EQ(config.failsafe_outbound[0].port, 2);
    EXPECT_EQ(config.log_level, config::LogLevel::Debug);
}

TEST(Felix, object_that_sets_nothing_changes_nothing)
{
    EXPECT_THAT(felix_settings({}), IsEmpty());
}

} // namespace
} // namespace margay
