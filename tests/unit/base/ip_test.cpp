// SPDX-License-Identifier: Apache-2.0
#include "margay/ip.h"

#include <gtest/gtest.h>

namespace margay {
namespace {

TEST(PrefixTest, keeps_host_bits_until_asked_for_the_network)
{
    const auto p = Prefix4::parse("192.0.2.11/24");
    ASSERT_TRUE(p);
    EXPECT_EQ(p->str(), "192.0.2.11/24");
    EXPECT_EQ(p->network().str(), "192.0.2.0/24");
}

TEST(PrefixTest, bare_address_is_a_host_prefix)
{
    EXPECT_EQ(Prefix4::parse("10.0.0.1")->length, 32);
    EXPECT_EQ(Prefix6::parse("2001:db8::1")->length, 128);
}

TEST(PrefixTest, garbage_is_refused)
{
    for (const char* text :
         {"", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8x", "10.0.0/8", "x"})
        EXPECT_FALSE(Prefix4::parse(text)) << text;
    EXPECT_FALSE(Prefix6::parse("2001:db8::/129"));
}

TEST(PrefixTest, contains_at_the_edges_of_the_mask)
{
    const auto all = *Prefix4::parse("0.0.0.0/0");
    const auto block = *Prefix4::parse("10.0.0.64/26");
    EXPECT_TRUE(all.contains(Ipv4::parse("255.255.255.255").value()));
    EXPECT_TRUE(block.contains(*Ipv4::parse("10.0.0.127")));
    EXPECT_FALSE(block.contains(*Ipv4::parse("10.0.0.128")));
    EXPECT_FALSE(block.contains(*Prefix4::parse("10.0.0.0/25")));
    EXPECT_TRUE(block.overlaps(*Prefix4::parse("10.0.0.0/25")));
    EXPECT_EQ(Prefix6::parse("2001:db8:ffff::/33")->network().str(), "2001:db8:8000::/33");
}

} // namespace
} // namespace margay
