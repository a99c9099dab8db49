// SPDX-License-Identifier: Apache-2.0
// Octets by RFC 6396 4.3 and RFC 8050 4; integration.explain has a file read by bgpdump.
#include "bgp/wire/mrt.h"

#include <gmock/gmock.h>

namespace margay::bgp {
namespace {

using ::testing::ElementsAreArray;

const std::chrono::system_clock::time_point kNow{std::chrono::seconds(0x01020304)};
const std::chrono::system_clock::time_point kSince{std::chrono::seconds(0x01020300)};

Attributes plain(const Ip& next_hop)
{
    Attributes attributes;
    attributes.next_hop = next_hop;
    attributes.local_pref = 100;
    return attributes;
}

Bytes record_of(std::initializer_list<Bytes> parts)
{
    Bytes all;
    for (const Bytes& part : parts)
        all.insert(all.end(), part.begin(), part.end());
    return all;
}

TEST(Mrt, peers_are_a_table_with_their_addresses_of_either_family)
{
    const std::vector<MrtPeer> peers = {{Ip(Ipv4(0x0a000002)), Ipv4(0x0a0000ff), Asn{65001}},
                                        {*Ip::parse("fd00::2"), Ipv4(), Asn{4200000000}}};
    Bytes out;
    put_mrt_peers(kNow, Ipv4(0x0a000001), "v", peers, out);
    EXPECT_THAT(out, ElementsAreArray(record_of(
                         {{1, 2, 3, 4, 0, 13, 0, 1, 0, 0, 0, 47}, // header: 47 octets follow
                          {10, 0, 0, 1, 0, 1, 'v', 0, 2},
                          {0x02, 10, 0, 0, 0xff, 10, 0, 0, 2, 0, 0, 0xfd, 0xe9},
                          {0x03, 0, 0, 0, 0},
                          {0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2},
                          {0xfa, 0x56, 0xea, 0x00}})));
}

TEST(Mrt, ipv4_path_has_its_attributes_with_next_hop)
{
    const Attributes attributes = plain(Ip(Ipv4(0x0a000002)));
    const std::vector<MrtPath> paths = {{1, kSince, 0, &attributes}};
    Bytes out;
    EXPECT_EQ(put_mrt_paths(kNow, 7, *IpPrefix::parse("10.244.64.0/18"), paths, out), 1u);
    EXPECT_THAT(out, ElementsAreArray(record_of({{1, 2, 3, 4, 0, 13, 0, 2, 0, 0, 0, 39},
                                                 {0, 0, 0, 7, 18, 10, 244, 64, 0, 1},
                                                 {0, 1, 1, 2, 3, 0, 0, 21},
                                                 {0x40, 1, 1, 0}, // ORIGIN
                                                 {0x40, 2, 0}, // AS_PATH
                                                 {0x40, 3, 4, 10, 0, 0, 2}, // NEXT_HOP
                                                 {0x40, 5, 4, 0, 0, 0, 100}}))); // LOCAL_PREF
}

// 4.3.4: of MP_REACH_NLRI the length of the next hop, and the next hop.
TEST(Mrt, ipv6_path_has_a_short_mp_reach_in_the_place_of_its_type)
{
    Attributes attributes = plain(*Ip::parse("fd00::2"));
    attributes.communities = {0xfde80064};
    attributes.others = {{0xc0, 32, {0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3}}};
    const std::vector<MrtPath> paths = {{0, kSince, 0, &attributes}};
    Bytes out;
    put_mrt_paths(kNow, 0, *IpPrefix::parse("fd01::/16"), paths, out);
    EXPECT_THAT(out, ElementsAreArray(record_of(
                         {{1, 2, 3, 4, 0, 13, 0, 4, 0, 0, 0, 73},
                          {0, 0, 0, 0, 16, 0xfd, 1, 0, 1},
                          {0, 0, 1, 2, 3, 0, 0, 56},
                          {0x40, 1, 1, 0},
                          {0x40, 2, 0},
                          {0x40, 5, 4, 0, 0, 0, 100},
                          {0xc0, 8, 4, 0xfd, 0xe8, 0, 100},
                          {0x80, 14, 17, 16, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2},
                          {0xc0, 32, 12, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3}})));
}

TEST(Mrt, ipv4_path_with_a_next_hop_of_ipv6_has_mp_reach_and_no_next_hop)
{
    const Attributes attributes = plain(*Ip::parse("fd00::2"));
    const std::vector<MrtPath> paths = {{0, kSince, 0, &attributes}};
    Bytes out;
    put_mrt_paths(kNow, 0, *IpPrefix::parse("10.0.0.0/8"), paths, out);
    const Bytes hop = {0x80, 14, 17, 16, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2};
    ASSERT_GE(out.size(), hop.size());
    EXPECT_THAT(Bytes(out.end() - 20, out.end()), ElementsAreArray(hop));
    EXPECT_EQ(out[7], 2); // RIB_IPV4_UNICAST
}

// RFC 8050 4.1: the number stands between the time and the attributes.
TEST(Mrt, paths_with_numbers_are_a_record_of_their_own)
{
    const Attributes attributes = plain(Ip(Ipv4(0x0a000002)));
    const std::vector<MrtPath> paths = {{0, kSince, 0, &attributes},
                                        {1, kSince, 0x0b0c0d0e, &attributes},
                                        {2, kSince, 5, &attributes}};
    Bytes out;
    EXPECT_EQ(put_mrt_paths(kNow, 3, *IpPrefix::parse("10.0.0.0/8"), paths, out), 2u);
    const std::size_t first = 12 + 4 + 2 + 2 + 8 + 21;
    ASSERT_EQ(out.size(), first + 12 + 4 + 2 + 2 + 2 * (12 + 21));
    EXPECT_EQ(out[7], 2);
    EXPECT_EQ(out[first + 7], 8);
    const Bytes numbered(out.begin() + static_cast<std::ptrdiff_t>(first) + 12,
                         out.begin() + static_cast<std::ptrdiff_t>(first) + 32);
    EXPECT_THAT(numbered, ElementsAreArray({0, 0, 0, 4, 8,    10,   0,    2,    0, 1,
                                            1, 2, 3, 0, 0x0b, 0x0c, 0x0d, 0x0e, 0, 21}));
}

} // namespace
} // namespace margay::bgp
