// SPDX-License-Identifier: Apache-2.0
#include "agent/peering.h"

#include <gtest/gtest.h>

namespace margay {
namespace {

const Ipv4 kAddress = *Ipv4::parse("172.31.1.11");

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

} // namespace
} // namespace margay
