// SPDX-License-Identifier: Apache-2.0
#include "agent/model/scalars.h"

#include <gmock/gmock.h>

namespace margay::model {
namespace {

using std::chrono::milliseconds;

TEST(Scalars, protocol_is_a_name_in_any_case_or_a_number)
{
    EXPECT_EQ(parse_protocol("TCP"), 6);
    EXPECT_EQ(parse_protocol("udp"), 17);
    EXPECT_EQ(parse_protocol("Icmp"), 1);
    EXPECT_EQ(parse_protocol("ICMPv6"), 58);
    EXPECT_EQ(parse_protocol("SCTP"), 132);
    EXPECT_EQ(parse_protocol("UDPLite"), 136);
    EXPECT_EQ(parse_protocol("47"), 47);
    for (const char* bad : {"", "0", "256", "-1", "tcp ", "1.0"})
        EXPECT_FALSE(parse_protocol(bad)) << bad;
}

TEST(Scalars, port_is_a_number_a_range_or_a_name)
{
    EXPECT_EQ(parse_port("80"), (PortMatch{80, 80, ""}));
    EXPECT_EQ(parse_port("0:65535"), (PortMatch{0, 65535, ""}));
    EXPECT_EQ(parse_port("http-8"), (PortMatch{0, 0, "http-8"}));
    for (const std::string& bad : {std::string(), std::string("70000"), std::string("9:8"),
                                   std::string("1:"), std::string("a b"), std::string(129, 'x')})
        EXPECT_FALSE(parse_port(bad)) << bad;
}

TEST(Scalars, as_number_may_be_dotted)
{
    EXPECT_EQ(parse_as_number("64512"), 64512u);
    EXPECT_EQ(parse_as_number("1.10"), 65546u);
    EXPECT_EQ(parse_as_number("4294967295"), 0xffffffffu);
    for (const char* bad : {"", "4294967296", "1.65536", "1.2.3", "-1"})
        EXPECT_FALSE(parse_as_number(bad)) << bad;
}

TEST(Scalars, duration_is_gos_notation)
{
    EXPECT_EQ(parse_duration("0s"), milliseconds(0));
    EXPECT_EQ(parse_duration("0"), milliseconds(0));
    EXPECT_EQ(parse_duration("2m0s"), milliseconds(120'000));
    EXPECT_EQ(parse_duration("1h1.5s"), milliseconds(3'601'500));
    EXPECT_EQ(parse_duration("250ms"), milliseconds(250));
    for (const char* bad : {"", "5", "s", "-5s", "infs", "1e9h", "5 s", "99999999999999999999h"})
        EXPECT_FALSE(parse_duration(bad)) << bad;
}

TEST(Scalars, mac)
{
    EXPECT_EQ(parse_mac("ee:EE:00:01:02:ff"), (Mac{0xee, 0xee, 0, 1, 2, 0xff}));
    for (const char* bad :
         {"", "ee:ee:ee:ee:ee", "ee:ee:ee:ee:ee:e", "ee:ee:ee:ee:ee:gg", "ee.ee.ee.ee.ee.ee"})
        EXPECT_FALSE(parse_mac(bad)) << bad;
}

TEST(Scalars, failsafe_ports)
{
    const std::vector<FailsafePort> expected{{6, 22, {}}, {17, 68, *Prefix4::parse("10.0.0.0/8")}};
    EXPECT_EQ(parse_failsafe_ports("tcp:22, udp:10.1.0.0/8:68"), expected);
    EXPECT_EQ(parse_failsafe_ports("none"), std::vector<FailsafePort>());
    for (const char* bad : {"22", "tcp:", "tcp:x:22", ",", "tcp:22:"})
        EXPECT_FALSE(parse_failsafe_ports(bad)) << bad;
}

TEST(Scalars, hostile_text_is_tamed_for_people)
{
    EXPECT_EQ(quoted_for_people("a\n\x1b[1m"), "'a??[1m'");
    EXPECT_EQ(quoted_for_people(std::string(65, 'x')), "'" + std::string(64, 'x') + "...'");
}

} // namespace
} // namespace margay::model
