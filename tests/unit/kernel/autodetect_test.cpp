// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/autodetect.h"

#include <gmock/gmock.h>
#include <net/if.h>

namespace margay::kernel {
namespace {

using ::testing::HasSubstr;

struct Interface {
    IfIndex ifindex;
    const char* name;
    std::vector<const char*> addresses;
    std::uint32_t mtu = 1500;
    bool up = true;
};

LinkTable table_of(const std::vector<Interface>& interfaces)
{
    LinkTable table;
    for (const Interface& interface : interfaces) {
        Link link;
        link.ifindex = interface.ifindex;
        link.name = interface.name;
        link.mtu = interface.mtu;
        link.flags = interface.up ? IFF_UP : 0;
        table.set(link);
        for (const char* address : interface.addresses)
            table.set(Address{interface.ifindex, *Prefix4::parse(address), 0, false});
    }
    return table;
}

const std::vector<Interface> kHost{
    {1, "lo", {"127.0.0.1/8", "10.99.0.1/32"}}, {2, "eth0", {"192.0.2.5/24", "192.0.2.6/24"}},
    {3, "docker0", {"172.17.0.1/16"}},          {4, "eth1", {"169.254.7.7/16", "198.51.100.5/25"}},
    {5, "nodelocaldns", {"10.1.1.1/32"}},       {6, "cali1234", {"10.2.2.2/32"}},
};

std::string winner(const char* method, const std::vector<Interface>& interfaces = kHost,
                   std::optional<Ipv4> source = std::nullopt)
{
    const auto parsed = parse_autodetect_method(method);
    if (!parsed)
        return "refused: " + parsed.error().what;
    const auto detection = detect_address(*parsed, table_of(interfaces), source);
    return detection->winner ? detection->winner->address.str() : "none";
}

struct Case {
    const char* method;
    const char* winner;
};

struct MethodTest : ::testing::TestWithParam<Case> {};

TEST_P(MethodTest, chooses)
{
    EXPECT_EQ(winner(GetParam().method), GetParam().winner);
}

INSTANTIATE_TEST_SUITE_P(
    Autodetect, MethodTest,
    ::testing::Values(Case{"", "198.51.100.5/25"}, // newest interface first, link-local passed over
                      Case{"first-found", "198.51.100.5/25"}, //
                      Case{"interface=eth0", "192.0.2.5/24"}, // first address of the interface
                      Case{"interface=th", "198.51.100.5/25"}, // unanchored
                      Case{"interface=^eth0$,docker",
                           "172.17.0.1/16"}, // any pattern; no exclusion list
                      Case{"interface=nothing", "none"}, //
                      Case{"interface=^lo$", "10.99.0.1/32"}, // loopback addresses are not global
                      Case{"skip-interface=eth1", "192.0.2.5/24"}, //
                      Case{"skip-interface=eth.*", "none"}, // the exclusion list stays in force
                      Case{"skip-interface=eth1,eth0", "none"}, //
                      Case{"cidr=172.16.0.0/12", "172.17.0.1/16"}, // no exclusion list
                      Case{"cidr=203.0.113.0/24,192.0.2.0/24", "192.0.2.5/24"}, //
                      Case{"cidr=169.254.0.0/16", "none"}, // must be global unicast
                      Case{"cidr=0.0.0.0/0", "10.2.2.2/32"})); //

TEST(AutodetectTest, can_reach_takes_the_source_with_its_length_from_any_interface)
{
    EXPECT_EQ(winner("can-reach=10.9.9.9", kHost, *Ipv4::parse("192.0.2.6")), "192.0.2.6/24");
    EXPECT_EQ(winner("can-reach=10.9.9.9", kHost, *Ipv4::parse("172.17.0.1")), "172.17.0.1/16");
    EXPECT_EQ(winner("can-reach=10.9.9.9", kHost, *Ipv4::parse("192.0.2.77")), "none");
}

TEST(AutodetectTest, every_excluded_interface_of_calico_is_excluded)
{
    for (const char* name : {"docker0",        "cbr0",         "dummy0",
                             "podman1",        "virbr0",       "lxcbr0",
                             "veth12",         "lo",           "lo1",
                             "longnic0",       "br-abc",       "cali1",
                             "tunl0",          "flannel.1",    "kube-ipvs0",
                             "cni0",           "vxlan.calico", "vxlan-v6.calico",
                             "wireguard.cali", "wg-v6.cali",   "nodelocaldns"})
        EXPECT_EQ(winner("", {{2, name, {"192.0.2.5/24"}}}), "none") << name;
    for (const char* name : {"eth0", "xdocker0", "br0", "vxlanxcalico", "ens3", "bond0"})
        EXPECT_EQ(winner("", {{2, name, {"192.0.2.5/24"}}}), "192.0.2.5/24") << name;
}

TEST(AutodetectTest, link_state_is_not_looked_at)
{
    EXPECT_EQ(winner("", {{2, "eth0", {"192.0.2.5/24"}, 1500, false}}), "192.0.2.5/24");
}

TEST(AutodetectTest, result_says_why_each_other_address_lost)
{
    const auto detection =
        detect_address(*parse_autodetect_method("first-found"), table_of(kHost)).value();
    const std::string text = detection.str();
    EXPECT_THAT(text, HasSubstr("198.51.100.5/25 on eth1 (first global address"));
    EXPECT_THAT(
        text, HasSubstr("not 172.17.0.1/16 on docker0: interface matches the excluded ^docker.*"));
    EXPECT_THAT(text, HasSubstr("not 169.254.7.7/16 on eth1: not a global unicast address"));
    EXPECT_THAT(text, HasSubstr("not 192.0.2.5/24 on eth0: comes later"));
    EXPECT_EQ(detection.losers.size(), 8u) << "all addresses but the winner";
}

TEST(AutodetectTest, text_of_a_host_with_many_addresses_stays_one_line_to_read)
{
    std::vector<Interface> many{{2, "eth0", {"192.0.2.5/24"}}};
    for (IfIndex i = 100; i < 200; ++i)
        many.push_back({i, "docker", {"10.0.0.1/24"}});
    const std::string text = detect_address({}, table_of(many))->str();
    EXPECT_THAT(text, HasSubstr("; and 92 more"));
    EXPECT_LT(text.size(), 1000u);
}

TEST(AutodetectTest, wrong_method_is_refused_with_its_value_and_what_is_allowed)
{
    EXPECT_THAT(winner("first"), HasSubstr("'first'; allowed: first-found, interface="));
    EXPECT_THAT(winner("kubernetes-internal-ip"), HasSubstr("refused"));
    EXPECT_THAT(winner("interface=*eth"), HasSubstr("refused: interface pattern '*eth'"));
    EXPECT_THAT(winner("interface="), HasSubstr("no pattern"));
    EXPECT_THAT(winner("cidr=10.0.0.0/33"), HasSubstr("not a CIDR: '10.0.0.0/33'"));
    EXPECT_THAT(winner("can-reach="), HasSubstr("refused"));
}

TEST(AutodetectTest, global_unicast_is_go_s_rule)
{
    for (const char* text : {"10.0.0.1", "192.168.0.1", "8.8.8.8", "100.64.0.1"})
        EXPECT_TRUE(is_global_unicast(*Ipv4::parse(text))) << text;
    for (const char* text :
         {"0.0.0.0", "127.0.0.1", "169.254.1.1", "224.0.0.1", "239.1.1.1", "255.255.255.255"})
        EXPECT_FALSE(is_global_unicast(*Ipv4::parse(text))) << text;
}

TEST(AutodetectTest, address_without_length_takes_that_of_its_interface)
{
    EXPECT_EQ(with_interface_length(*Ipv4::parse("198.51.100.5"), table_of(kHost)).str(),
              "198.51.100.5/25");
    EXPECT_EQ(with_interface_length(*Ipv4::parse("203.0.113.1"), table_of(kHost)).str(),
              "203.0.113.1/32");
}

TEST(AutodetectTest, host_mtu_is_the_smallest_of_the_matching_interfaces_that_are_up)
{
    const LinkTable table = table_of({{1, "lo", {}, 65536},
                                      {2, "eth0", {}, 9000},
                                      {3, "ens5", {}, 8900},
                                      {4, "eth1", {}, 1400, false},
                                      {5, "cali1", {}, 1300}});
    const auto host = detect_host_mtu(table);
    EXPECT_EQ(host->mtu, 8900u);
    EXPECT_EQ(host->interface, "ens5");
    EXPECT_EQ(detect_host_mtu(table_of({{1, "bond0", {}, 9000}}))->mtu, 1460u);
    EXPECT_EQ(detect_host_mtu(table, "^cali")->mtu, 1300u);
    EXPECT_FALSE(detect_host_mtu(table, "["));
}

} // namespace
} // namespace margay::kernel
