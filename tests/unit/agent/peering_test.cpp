// SPDX-License-Identifier: Apache-2.0
#include "agent/peering.h"

#include <gtest/gtest.h>

namespace margay {
namespace {

const Ipv4 kAddress = *Ipv4::parse("172.31.1.11");

config::Config settings_of_90_s()
{
    config::Config settings;
    settings.bgp_hold_time = std::chrono::seconds(90);
    return settings;
}

TEST(RouterId, without_a_setting_it_is_the_nodes_address)
{
    EXPECT_EQ(router_id("", "n1", kAddress), kAddress);
}

TEST(RouterId, address_in_the_setting_is_taken_as_it_is)
{
    EXPECT_EQ(router_id("192.0.2.7", "n1", kAddress), *Ipv4::parse("192.0.2.7"));
}

// `printf NAME | sha256sum`: the first four bytes.
TEST(RouterId, hash_is_the_begin_of_the_sha256_of_the_nodes_name)
{
    EXPECT_EQ(router_id("hash", "node-1", kAddress).str(), "53.151.27.230");
}

// 224 and above would be multicast or reserved: 32 less.
TEST(RouterId, hash_is_never_multicast)
{
    EXPECT_EQ(router_id("hash", "n13", kAddress).str(), "212.245.13.237");
}

TEST(RouterId, first_byte_of_223_stays)
{
    EXPECT_EQ(router_id("hash", "n29", kAddress).str(), "223.197.144.131");
}

TEST(PeerConfig, every_field_of_a_session_reaches_the_library)
{
    model::BgpSession session;
    session.address = Ip(*Ipv4::parse("192.0.2.1"));
    session.port = 1790;
    session.as_number = 65001;
    session.local_as_number = 65002;
    session.source = Ip(kAddress);
    session.passive = true;
    session.reflector_client = true;
    session.next_hop = model::NextHopMode::Keep;
    session.ttl_security = 3;
    session.allowed_own_as = 2;
    session.restart_time = std::chrono::milliseconds(30500);
    session.keepalive_time = std::chrono::seconds(7);
    session.filters = {"b", "a"};
    config::Config settings = settings_of_90_s();
    settings.bgp_max_prefixes = 5000;
    const auto config = peer_config("Node_x", session, "sesame", settings);
    bgp::PeerConfig wanted;
    wanted.name = "Node_x";
    wanted.address = session.address;
    wanted.port = 1790;
    wanted.remote_as = bgp::Asn{65001};
    wanted.local_as = bgp::Asn{65002};
    wanted.source = Ip(kAddress);
    wanted.passive = true;
    wanted.password = "sesame";
    wanted.ttl_security = 3;
    wanted.next_hop = bgp::NextHopMode::Keep;
    wanted.allowed_own_as = 2;
    wanted.reflector_client = true;
    wanted.policy = "b,a";
    wanted.restart_time = std::chrono::seconds(30);
    wanted.hold_time = std::chrono::seconds(90);
    wanted.keepalive_time = std::chrono::seconds(7);
    wanted.max_prefixes = 5000;
    EXPECT_EQ(config, wanted);
}

TEST(PeerRange, every_field_of_a_listen_range_reaches_the_library)
{
    config::ListenRange range;
    range.prefix = *IpPrefix::parse("10.1.0.0/24");
    range.as_numbers = {65001, 65002, 65003};
    range.client = true;
    range.limit = 7;
    range.max_prefixes = 1000;
    range.ttl_security = 2;
    range.filters = {"b", "a"};
    const auto made = peer_range(range, 64512, "sesame", std::chrono::seconds(90));
    EXPECT_EQ(made.prefix, range.prefix);
    EXPECT_EQ(made.limit, 7u);
    bgp::PeerConfig wanted;
    wanted.name = "Dynamic";
    wanted.remote_as = bgp::Asn{65001};
    wanted.also_as = {bgp::Asn{65002}, bgp::Asn{65003}};
    wanted.max_prefixes = 1000;
    wanted.password = "sesame";
    wanted.ttl_security = 2;
    wanted.reflector_client = true;
    wanted.policy = "b,a";
    wanted.hold_time = std::chrono::seconds(90);
    wanted.keepalive_time = std::chrono::seconds(30);
    EXPECT_EQ(made.peer, wanted);
}

TEST(PeerRange, internal_is_our_as_and_external_any_other)
{
    config::ListenRange range;
    range.prefix = *IpPrefix::parse("fd00::/64");
    range.internal = true;
    auto made = peer_range(range, 64999, "", std::chrono::seconds(90));
    EXPECT_EQ(made.peer.remote_as, bgp::Asn{64999});
    EXPECT_FALSE(made.peer.any_external_as);
    EXPECT_EQ(made.peer.families, std::vector{bgp::kIpv6Unicast});
    range.internal = false;
    range.external = true;
    made = peer_range(range, 64999, "", std::chrono::seconds(90));
    EXPECT_TRUE(made.peer.any_external_as);
}

TEST(PeerConfig, what_a_session_does_not_say_is_the_usual)
{
    model::BgpSession session;
    session.address = Ip(*Ipv6::parse("2001:db8::1"));
    const auto config = peer_config("x", session, "", settings_of_90_s());
    EXPECT_EQ(config.families, std::vector{bgp::kIpv6Unicast});
    EXPECT_EQ(config.local_as, std::nullopt);
    EXPECT_EQ(config.source, std::nullopt);
    EXPECT_EQ(config.keepalive_time, std::chrono::seconds(30));
    EXPECT_EQ(config.restart_time, std::chrono::seconds(120));
    EXPECT_EQ(config.next_hop, bgp::NextHopMode::Auto);
    EXPECT_EQ(config.policy, "");
    session.next_hop = model::NextHopMode::Self;
    EXPECT_EQ(peer_config("x", session, "", settings_of_90_s()).next_hop, bgp::NextHopMode::Self);
}

} // namespace
} // namespace margay
