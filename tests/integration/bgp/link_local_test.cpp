// SPDX-License-Identifier: Apache-2.0
// Sessions between link-local addresses, which mean something by their interface only: dialed, accepted,
// by a range, with BIRD; and the next hops that are told over them (RFC 2545).

#include "support/bgp/lab_test.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <net/if.h>

namespace margay::bgp::lab {
namespace {

using ::testing::HasSubstr;

constexpr std::uint16_t kPort = 1790;
const Ip kLeft = Ip::parse("fe80::a").value(), kRight = Ip::parse("fe80::b").value();
const Ipv6 kGlobal = Ipv6::parse("fd99::1").value();

// One end of a wire in the lab's own namespace: "left" is fe80::a, "right" fe80::b.
struct End {
    std::unique_ptr<Speaker> speaker;
    std::map<Prefix6, NextHop> routes;

    End(Executor& executor, const char* id, std::uint16_t port, std::optional<Ipv6> global = {},
        const Ip& listens_at = Ip(Ipv6()))
    {
        SpeakerConfig config;
        config.local_as = Asn{64512};
        config.router_id = Ipv4::parse(id).value();
        config.listen_port = port;
        config.listen_address = listens_at;
        config.address6 = global;
        Callbacks callbacks;
        callbacks.on_routes6 = [this](std::span<const RouteChange6> changes) {
            for (const RouteChange6& change : changes) {
                routes.erase(change.prefix);
                if (!change.best.empty())
                    routes.emplace(change.prefix, change.best.front());
            }
        };
        speaker = std::make_unique<Speaker>(executor, lab_log(), config, std::move(callbacks));
        EXPECT_TRUE(speaker->listen());
        speaker->announcements_complete();
    }
    PeerStatus peer() const
    {
        const auto all = speaker->peers();
        return all.empty() ? PeerStatus{} : all.front();
    }
    bool up() const { return peer().state == State::Established; }
};

struct LinkLocalTest : LabTest {
    void SetUp() override
    {
        LabTest::SetUp();
        if (IsSkipped())
            return;
        ASSERT_EQ(std::system("ip link add left type veth peer name right && "
                              "ip link set left addrgenmode none up && "
                              "ip link set right addrgenmode none up && "
                              "ip address add fe80::a/64 dev left nodad && "
                              "ip address add fe80::b/64 dev right nodad"),
                  0);
    }
    void TearDown() override { EXPECT_EQ(std::system("ip link del left"), 0); }
};

// Of the end that has this interface.
PeerConfig peer_on(const char* interface, const Ip& address)
{
    PeerConfig peer;
    peer.name = std::string("on-") + interface;
    peer.address = address;
    peer.interface = interface;
    peer.port = kPort;
    peer.remote_as = Asn{64512};
    peer.families = {kIpv6Unicast};
    peer.connect_retry = std::chrono::milliseconds(200);
    return peer;
}

const Prefix6 kOurNet6 = Prefix6::parse("2001:db8:1::/48").value();
const Prefix6 kTheirNet6 = Prefix6::parse("2001:db8:2::/48").value();

TEST_F(LinkLocalTest, ipv6_next_hop_over_ipv4_is_what_the_link_has_beside_our_address)
{
    ASSERT_EQ(std::system("ip address add 10.98.0.1/24 dev left && "
                          "ip address add fd98::1/64 dev left nodad && "
                          "ip address add 10.98.0.2/24 dev right"),
              0);
    const Ip left_address = Ipv4::parse("10.98.0.1").value(),
             right_address = Ipv4::parse("10.98.0.2").value();
    End left(executor, "10.99.0.1", kPort, {}, left_address), right(executor, "10.99.0.2", 0);
    PeerConfig waits = peer_on("", right_address), dials = peer_on("", left_address);
    waits.passive = true;
    dials.source = right_address;
    left.speaker->set_peers({waits});
    right.speaker->set_peers({dials});
    left.speaker->announce(kOurNet6);
    ASSERT_TRUE(until([&] { return right.routes.size() == 1; })) << right.peer().why_down;
    EXPECT_EQ(right.routes.at(kOurNet6).gateway, Ip::parse("fd98::1").value());
    right.speaker->announce(kTheirNet6);
    EXPECT_TRUE(until([&] { return right.speaker->routes().size() == 2; }));
    EXPECT_TRUE(left.routes.empty()) << "that end has no IPv6 address to give";
}

TEST_F(LinkLocalTest, next_hop_comes_with_its_interface_and_both_addresses)
{
    End left(executor, "10.99.0.1", kPort, kGlobal), right(executor, "10.99.0.2", 0);
    PeerConfig waits = peer_on("left", kRight);
    waits.passive = true;
    left.speaker->set_peers({waits});
    right.speaker->set_peers({peer_on("right", kLeft)});
    left.speaker->announce(kOurNet6);
    right.speaker->announce(kTheirNet6);
    ASSERT_TRUE(until([&] { return left.routes.size() == 1 && right.routes.size() == 1; }))
        << left.peer().why_down << " / " << right.peer().why_down;
    const NextHop global = right.routes.at(kOurNet6);
    EXPECT_EQ(global.gateway, Ip(kGlobal)) << "RFC 2545: the global one, and behind it";
    EXPECT_EQ(global.link_local, kLeft.v6());
    EXPECT_EQ(global.interface, ::if_nametoindex("right"));
    const NextHop alone = left.routes.at(kTheirNet6);
    EXPECT_EQ(alone.gateway, kRight);
    EXPECT_EQ(alone.interface, ::if_nametoindex("left"));
    EXPECT_EQ(left.peer().interface, "left");
}

TEST_F(LinkLocalTest, same_address_on_another_interface_is_another_peer)
{
    End left(executor, "10.99.0.1", kPort), right(executor, "10.99.0.2", 0);
    left.speaker->set_peers({peer_on("elsewhere", kRight)});
    right.speaker->set_peers({peer_on("right", kLeft)});
    EXPECT_TRUE(until([&] { return left.speaker->refused_connections() > 0; }));
    EXPECT_TRUE(until([&] {
        return left.peer().why_down.find("there is no interface elsewhere") != std::string::npos;
    })) << left.peer().why_down;
    PeerConfig nowhere = peer_on("left", kRight);
    nowhere.interface.clear();
    left.speaker->set_peers({nowhere});
    EXPECT_TRUE(until([&] {
        return left.peer().why_down.find("needs its interface") != std::string::npos;
    })) << left.peer().why_down;
}

TEST_F(LinkLocalTest, neighbour_of_a_range_is_known_by_its_interface)
{
    End left(executor, "10.99.0.1", kPort), right(executor, "10.99.0.2", 0);
    PeerRange range;
    range.prefix = IpPrefix::parse("fe80::/10").value();
    range.peer.name = "Dynamic";
    range.peer.remote_as = Asn{64512};
    range.peer.families = {kIpv6Unicast};
    left.speaker->set_peers({});
    left.speaker->set_ranges({range});
    right.speaker->set_peers({peer_on("right", kLeft)});
    ASSERT_TRUE(until([&] { return left.up(); })) << right.peer().why_down;
    EXPECT_EQ(left.peer().name, "Dynamic_fe80__b_left");
    EXPECT_EQ(left.peer().interface, "left");
    right.speaker->announce(kOurNet6);
    ASSERT_TRUE(until([&] { return left.routes.size() == 1; }));
    EXPECT_EQ(left.routes.at(kOurNet6).interface, ::if_nametoindex("left"));
}

TEST_F(LinkLocalTest, with_bird_both_ways)
{
    End left(executor, "10.99.0.1", kPort);
    PeerConfig waits = peer_on("left", kRight);
    waits.passive = true;
    left.speaker->set_peers({waits});
    left.speaker->announce(kOurNet6);
    Bird bird("router id 10.99.0.2; protocol device {}\n"
              "protocol static { ipv6; route 2001:db8:2::/48 blackhole; }\n"
              "protocol bgp ours { local fe80::b as 64512; neighbor fe80::a%right port 1790 as "
              "64512; direct; connect delay time 1; connect retry time 1;\n"
              "  ipv6 { import all; export where source = RTS_STATIC; }; }\n");
    bird.start();
    ASSERT_TRUE(until([&] { return left.routes.size() == 1; })) << bird.ask("show protocols all");
    EXPECT_EQ(left.routes.at(kTheirNet6).gateway, kRight);
    EXPECT_EQ(left.routes.at(kTheirNet6).interface, ::if_nametoindex("left"));
    EXPECT_TRUE(until([&] { return bird.shows("show route all", "via fe80::a on right"); }))
        << bird.ask("show route all");
}

} // namespace
} // namespace margay::bgp::lab
