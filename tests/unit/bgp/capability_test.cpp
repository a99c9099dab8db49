// SPDX-License-Identifier: Apache-2.0
// Capabilities: what the two OPENs say and what comes of it.
#include "bgp/session/negotiation.h"
#include "bgp/wire/message.h"

#include <gmock/gmock.h>

namespace margay::bgp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Open decoded_open(const Bytes& body)
{
    const auto open = decode_open(body);
    EXPECT_TRUE(std::holds_alternative<Open>(open));
    return std::holds_alternative<Open>(open) ? std::get<Open>(open) : Open{};
}

// An OPEN of AS 65000 with these optional parameters.
Bytes open_with(const Bytes& parameters)
{
    Bytes body{4, 0xfd, 0xe8, 0, 90, 10, 0, 0, 1};
    body.insert(body.end(), parameters.begin(), parameters.end());
    return body;
}

Open open_with_capability(const Bytes& capability)
{
    Bytes parameters{static_cast<std::uint8_t>(capability.size() + 2), 2,
                     static_cast<std::uint8_t>(capability.size())};
    parameters.insert(parameters.end(), capability.begin(), capability.end());
    return decoded_open(open_with(parameters));
}

SessionConfig both_families()
{
    SessionConfig config;
    config.local_as = config.remote_as = Asn{64512};
    config.router_id = Ipv4(1);
    config.families = {kIpv4Unicast, kIpv6Unicast};
    config.ipv6_next_hop = true;
    return config;
}

Negotiated negotiated(const SessionConfig& config, const Open& peer)
{
    const auto result = negotiate(config, peer);
    EXPECT_TRUE(std::holds_alternative<Negotiated>(result));
    return std::holds_alternative<Negotiated>(result) ? std::get<Negotiated>(result) : Negotiated{};
}

Open open_of_peer(const SessionConfig& config = both_families())
{
    SessionConfig peer = config;
    peer.router_id = Ipv4(2);
    return make_open(peer, {});
}

TEST(Capability, our_open_comes_back_as_it_was)
{
    SessionConfig config = both_families();
    config.restart_on_notification = true;
    const Open open = make_open(config, {true, true});
    Bytes body;
    encode_open(open, body);
    EXPECT_EQ(decoded_open(body), open);
    EXPECT_TRUE(open.capabilities.extended_message);
    EXPECT_TRUE(open.capabilities.enhanced_refresh);
    EXPECT_TRUE(open.capabilities.graceful_restart->notification);
    EXPECT_EQ(open.capabilities.add_path.size(), 2u);
}

// RFC 9072: more than 255 octets of parameters need lengths of two.
TEST(Capability, many_capabilities_make_extended_parameters)
{
    Open open = make_open(both_families(), {});
    for (std::uint8_t safi = 64; safi < 130; ++safi)
        open.capabilities.families.push_back({1, safi});
    Bytes body;
    encode_open(open, body);
    EXPECT_GT(body.size(), 300u);
    EXPECT_EQ(body[9], 255);
    EXPECT_EQ(body[10], 255);
    EXPECT_EQ(decoded_open(body), open);
}

// RFC 9072 section 2: the first length counts for nothing then, but must not be zero.
TEST(Capability, extended_parameters_are_read_whatever_the_short_length_says)
{
    const Bytes rest{255, 0, 7, 2, 0, 4, 2, 0, 70, 0};
    for (const int length : {1, 10, 255}) {
        Bytes parameters{static_cast<std::uint8_t>(length)};
        parameters.insert(parameters.end(), rest.begin(), rest.end());
        const Open open = decoded_open(open_with(parameters));
        EXPECT_TRUE(open.capabilities.route_refresh);
        EXPECT_TRUE(open.capabilities.enhanced_refresh);
    }
    Bytes short_of_one{10};
    short_of_one.insert(short_of_one.end(), rest.begin(), rest.end() - 1);
    EXPECT_TRUE(std::holds_alternative<Notify>(decode_open(open_with(short_of_one))));
}

// RFC 7911 section 4.
TEST(Capability, add_path_with_a_value_that_it_does_not_name_is_not_understood)
{
    for (const std::uint8_t what : {std::uint8_t{0}, std::uint8_t{4}, std::uint8_t{0xff}})
        EXPECT_THAT(open_with_capability({69, 8, 0, 1, 1, 3, 0, 2, 1, what}).capabilities.add_path,
                    IsEmpty())
            << int{what};
    EXPECT_THAT(open_with_capability({69, 8, 0, 1, 1, 3, 0, 1, 1, 1}).capabilities.add_path,
                ElementsAre(AddPath{kIpv4Unicast, true, true}))
        << "the first of a family counts";
}

TEST(Capability, next_hops_of_another_family_are_ignored)
{
    const Open open = open_with_capability({5, 12, 0, 1, 0, 1, 0, 2, 0, 2, 0, 1, 0, 1});
    EXPECT_THAT(open.capabilities.ipv6_next_hop, ElementsAre(kIpv4Unicast));
}

TEST(Capability, wrong_lengths_are_refused)
{
    for (const Bytes& capability :
         {Bytes{69, 3, 0, 1, 1}, Bytes{5, 5, 0, 1, 0, 1, 0}, Bytes{6, 1, 0}, Bytes{70, 1, 0}}) {
        Bytes parameters{static_cast<std::uint8_t>(capability.size() + 2), 2,
                         static_cast<std::uint8_t>(capability.size())};
        parameters.insert(parameters.end(), capability.begin(), capability.end());
        EXPECT_TRUE(std::holds_alternative<Notify>(decode_open(open_with(parameters))))
            << int{capability[0]};
    }
}

TEST(Negotiation, what_both_say_is_agreed_on)
{
    const Negotiated result = negotiated(both_families(), open_of_peer());
    EXPECT_EQ(result.wire.max_message, kMaxExtendedMessage);
    EXPECT_EQ(result.wire.ipv4, (WireFamily{true, true, true, true}));
    EXPECT_EQ(result.wire.ipv6, (WireFamily{true, true, true, false}));
    EXPECT_TRUE(result.enhanced_refresh);
    EXPECT_TRUE(result.keeps_routes());
    EXPECT_FALSE(result.keeps_routes_on_notification());
}

TEST(Negotiation, what_the_peer_does_not_say_is_not)
{
    Open peer = open_of_peer();
    peer.capabilities = {};
    const Negotiated plain = negotiated(both_families(), peer);
    EXPECT_EQ(plain.wire.ipv4, (WireFamily{true, false, false, false}));
    EXPECT_FALSE(plain.wire.ipv6.carried);
    EXPECT_EQ(plain.wire.max_message, kMaxMessage);
    EXPECT_FALSE(plain.enhanced_refresh);
    EXPECT_FALSE(plain.keeps_routes());

    peer = open_of_peer();
    peer.capabilities.add_path = {{kIpv4Unicast, false, true}};
    const Negotiated one_way = negotiated(both_families(), peer);
    EXPECT_TRUE(one_way.wire.ipv4.add_path_in);
    EXPECT_FALSE(one_way.wire.ipv4.add_path_out);
    EXPECT_FALSE(one_way.wire.ipv6.add_path_in);
}

TEST(Negotiation, what_we_do_not_want_is_not)
{
    SessionConfig config = both_families();
    config.add_path = config.ipv6_next_hop = false;
    config.families = {kIpv6Unicast};
    const Negotiated result = negotiated(config, open_of_peer());
    EXPECT_FALSE(result.wire.ipv4.carried);
    EXPECT_EQ(result.wire.ipv6, (WireFamily{true, false, false, false}));
    const Open ours = make_open(config, {});
    EXPECT_THAT(ours.capabilities.add_path, IsEmpty());
    EXPECT_THAT(ours.capabilities.ipv6_next_hop, IsEmpty());
}

// RFC 5492 section 3: the NOTIFICATION names what is missing.
TEST(Negotiation, no_common_family_is_refused_with_the_ones_that_we_have)
{
    SessionConfig config = both_families();
    config.families = {kIpv6Unicast};
    Open peer = open_of_peer();
    peer.capabilities.families = {kIpv4Unicast};
    const auto result = negotiate(config, peer);
    ASSERT_TRUE(std::holds_alternative<Refusal>(result));
    const Refusal& refusal = std::get<Refusal>(result);
    EXPECT_EQ(refusal.notify.subcode, open_error::kCapability);
    EXPECT_THAT(refusal.notify.data, ElementsAre(1, 4, 0, 2, 0, 1));
    EXPECT_THAT(refusal.why, HasSubstr("IPv6 unicast"));
}

// RFC 8538: both must say so.
TEST(Negotiation, routes_outlive_a_notification_where_both_want_it)
{
    SessionConfig config = both_families();
    config.restart_on_notification = true;
    EXPECT_TRUE(negotiated(config, open_of_peer(config)).keeps_routes_on_notification());
    EXPECT_FALSE(negotiated(config, open_of_peer()).keeps_routes_on_notification());
    EXPECT_FALSE(negotiated(both_families(), open_of_peer(config)).keeps_routes_on_notification());
}

TEST(Notification, hard_reset_says_what_is_in_it)
{
    const Notify notify = hard_reset(shutdown_notice(cease::kAdminShutdown, "bye"));
    EXPECT_TRUE(notify.is_hard_reset());
    EXPECT_EQ(describe(notify), "Hard Reset (6/9): Administrative Shutdown (6/2): \"bye\"");
    EXPECT_EQ(describe(hard_reset(notify)), "Hard Reset (6/9)") << "not one in another";
}

} // namespace
} // namespace margay::bgp
