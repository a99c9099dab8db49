// SPDX-License-Identifier: Apache-2.0
#include "bgp/wire/communities.h"

#include <gmock/gmock.h>

namespace margay::bgp {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Attributes with(std::uint8_t type, Bytes value)
{
    Attributes attributes;
    attributes.others = {{0xc0, type, std::move(value)}};
    return attributes;
}

TEST(Communities, well_known_ones_have_names)
{
    EXPECT_EQ(community_text(kNoExport), "no-export");
    EXPECT_EQ(community_text(kNoAdvertise), "no-advertise");
    EXPECT_EQ(community_text(kNoExportSubconfed), "no-export-subconfed");
    EXPECT_EQ(community_text(0xfde80064), "65000:100");
}

TEST(Communities, large_ones_are_three_numbers)
{
    const Attributes attributes =
        with(32, {0xfa, 0x56, 0xea, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5});
    EXPECT_THAT(large_communities(attributes), ElementsAre("4200000000:1:2", "3:4:5"));
    EXPECT_THAT(extended_communities(attributes), IsEmpty());
}

TEST(Communities, extended_ones_are_read_in_their_three_forms)
{
    const Attributes attributes = with(
        16, {0x00, 0x02, 0xfd, 0xe8, 0,    0, 0, 100, 0x41, 0x03, 10,   0,    0,    1,    0, 7,
             0x02, 0x02, 0xfa, 0x56, 0xea, 0, 0, 9,   0x43, 0x02, 0xde, 0xad, 0xbe, 0xef, 0, 1});
    EXPECT_THAT(extended_communities(attributes),
                ElementsAre("target:65000:100", "origin:10.0.0.1:7", "target:4200000000:9",
                            "0x4302deadbeef0001"));
}

TEST(Communities, tail_that_is_no_community_is_left_out)
{
    EXPECT_THAT(large_communities(with(32, {0, 0, 0, 1, 0, 0, 0, 2})), IsEmpty());
}

} // namespace
} // namespace margay::bgp
