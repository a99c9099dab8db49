// SPDX-License-Identifier: Apache-2.0
#include "agent/ipam/block.h"

#include <gmock/gmock.h>

#include "support/addresses.h"

namespace margay::ipam {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const Prefix4 kFourAddresses = *Prefix4::parse("10.20.4.64/30");
const Owner kPod{"net.pod", {{"node", "n1"}, {"pod", "web-0"}}};
const Owner kOther{"net.other", {{"node", "n1"}}};

struct BlockTest : ::testing::Test {
    Time now = *parse_rfc3339("2026-01-02T03:04:05Z");
    Block block = new_block(kFourAddresses, "host:n1", now);
};

TEST_F(BlockTest, new_block_offers_every_address_and_remembers_its_claim)
{
    EXPECT_THAT(block.unallocated, ElementsAre(0u, 1u, 2u, 3u));
    EXPECT_EQ(block.claim_time, "2026-01-02T03:04:05Z");
    EXPECT_EQ(block.sequence, 1767323045000000000u);
    EXPECT_TRUE(block.empty());
}

TEST_F(BlockTest, addresses_of_one_owner_share_an_attribute)
{
    EXPECT_THAT(assign(block, 2, kPod), ElementsAre(ip("10.20.4.64"), ip("10.20.4.65")));
    EXPECT_THAT(assign(block, 1, kOther), ElementsAre(ip("10.20.4.66")));

    EXPECT_THAT(block.attributes, SizeIs(2));
    EXPECT_EQ(block.in_use(ip("10.20.4.65"))->handle, "net.pod");
    EXPECT_EQ(block.in_use(ip("10.20.4.67")), nullptr);
    EXPECT_THAT(addresses_of(block, "net.pod\rsuffix"), SizeIs(2));
}

TEST_F(BlockTest, reserved_addresses_are_passed_over_and_stay_free)
{
    const auto given =
        assign(block, 4, kPod, [](Ipv4 address) { return address == ip("10.20.4.65"); });

    EXPECT_THAT(given, ElementsAre(ip("10.20.4.64"), ip("10.20.4.66"), ip("10.20.4.67")));
    EXPECT_THAT(block.unallocated, ElementsAre(1u));
}

TEST_F(BlockTest, freed_address_comes_back_last)
{
    (void)assign(block, 1, kPod);
    ASSERT_TRUE(release(block, {{ip("10.20.4.64"), "net.pod"}}, now));
    collect_garbage(block, now, std::chrono::seconds(0));

    EXPECT_THAT(assign(block, 4, kPod), ElementsAre(ip("10.20.4.65"), ip("10.20.4.66"),
                                                    ip("10.20.4.67"), ip("10.20.4.64")));
}

TEST_F(BlockTest, late_release_does_not_free_an_address_given_to_somebody_else_since)
{
    (void)assign(block, 1, kPod);
    const auto old = block.sequence_of.at(0);
    block.sequence++;
    ASSERT_TRUE(release(block, {{ip("10.20.4.64")}}, now));
    collect_garbage(block, now, std::chrono::seconds(0));
    ASSERT_TRUE(assign_address(block, ip("10.20.4.64"), kOther));

    const auto late = release(block, {{ip("10.20.4.64"), {}, old}}, now);
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().code, Errc::Conflict);
    EXPECT_NE(block.in_use(ip("10.20.4.64")), nullptr);
}

TEST_F(BlockTest, mismatch_of_one_handle_releases_nothing)
{
    (void)assign(block, 1, kPod);
    (void)assign(block, 1, kOther);

    const auto released =
        release(block, {{ip("10.20.4.64"), "net.pod"}, {ip("10.20.4.65"), "net.pod"}}, now);
    ASSERT_FALSE(released);
    EXPECT_EQ(released.error().code, Errc::Conflict);
    EXPECT_THAT(addresses_of(block, "net.pod"), SizeIs(1));
}

TEST_F(BlockTest, address_not_given_is_reported_not_refused)
{
    EXPECT_THAT(*release(block, {{ip("10.20.4.64"), "x"}}, now), ElementsAre(ip("10.20.4.64")));
}

TEST_F(BlockTest, cooldown_keeps_a_released_address_until_its_time_is_over)
{
    (void)assign(block, 1, kPod);
    ASSERT_TRUE(release(block, {{ip("10.20.4.64")}}, now));

    collect_garbage(block, now + std::chrono::seconds(30), std::chrono::seconds(30));
    EXPECT_FALSE(block.empty());
    EXPECT_EQ(block.in_use(ip("10.20.4.64")), nullptr);
    const Status early = assign_address(block, ip("10.20.4.64"), kOther);
    EXPECT_EQ(early.error().code, Errc::Conflict);

    collect_garbage(block, now + std::chrono::seconds(31), std::chrono::seconds(30));
    EXPECT_TRUE(block.empty());
    EXPECT_THAT(block.attributes, IsEmpty());
    EXPECT_THAT(block.sequence_of, IsEmpty());
}

TEST_F(BlockTest, garbage_collection_renumbers_the_attributes_that_stay)
{
    (void)assign(block, 1, kPod);
    (void)assign(block, 1, kOther);
    ASSERT_TRUE(release(block, {{ip("10.20.4.64")}}, now));
    collect_garbage(block, now, std::chrono::seconds(0));

    EXPECT_THAT(block.attributes, SizeIs(1));
    EXPECT_EQ(block.in_use(ip("10.20.4.65"))->handle, "net.other");
}

TEST_F(BlockTest, address_in_use_is_not_given_again)
{
    ASSERT_TRUE(assign_address(block, ip("10.20.4.66"), kPod));
    EXPECT_EQ(assign_address(block, ip("10.20.4.66"), kOther).error().code, Errc::Exists);
    EXPECT_THAT(block.unallocated, ElementsAre(0u, 1u, 3u));
}

constexpr const char* kStored =
    R"({"cidr":"10.20.4.64/30","affinity":"host:n1","affinity_claim_time":"2026-01-02T03:04:05Z",)"
    R"("allocations":[0,null,1,2],"unallocated":[1],)"
    R"("attributes":[{"handle_id":"ipip-tunnel-addr-n1","secondary":{"node":"n1"}},)"
    R"({"handle_id":"h","secondary":{"pod":"web-0"},"alternateOwnerAttrs":{"pod":"b"}},)"
    R"({"releasedAt":"2026-01-02T03:04:05Z"}],)"
    R"("sequenceNumber":1767323045000000002,)"
    R"("sequenceNumberForAllocation":{"0":1767323045000000000,"2":1767323045000000001},)"
    R"("deleted":false,"futureField":{"a":[1,2]}})";

TEST(BlockJson, what_others_wrote_comes_back_byte_for_byte)
{
    const auto block = decode_block(kStored, kFourAddresses);
    ASSERT_TRUE(block) << block.error().what;
    EXPECT_EQ(encode_block(*block), kStored);
    EXPECT_EQ(block->sequence_of.at(2), 1767323045000000001u);
}

TEST(BlockJson, block_without_owner_stays_without)
{
    Block block = new_block(kFourAddresses, "host:n1", Time{});
    block.affinity.reset();
    const std::string text = encode_block(block);
    EXPECT_THAT(text, HasSubstr(R"("affinity":null)"));
    EXPECT_EQ(decode_block(text, kFourAddresses)->affinity, std::nullopt);
}

TEST(BlockJson, deprecated_host_affinity_is_read)
{
    std::string text = encode_block(new_block(kFourAddresses, "x", Time{}));
    text.replace(text.find(R"("affinity":"x")"), 14, R"("hostAffinity":"n7")");
    EXPECT_EQ(decode_block(text, kFourAddresses)->affinity, "host:n7");
}

TEST(BlockJson, address_that_is_neither_given_nor_listed_is_free_again)
{
    std::string text = kStored;
    text.replace(text.find("\"unallocated\":[1]"), 17, "\"unallocated\":[]");
    EXPECT_THAT(decode_block(text, kFourAddresses)->unallocated, ElementsAre(1u));
}

TEST(BlockJson, blocks_that_contradict_themselves_are_refused)
{
    const std::pair<const char*, const char*> edits[] = {
        {"[0,null,1,2]", "[0,null,1]"},          // too few
        {"[0,null,1,2]", "[0,null,1,3]"},        // no such attribute
        {"[0,null,1,2]", "[0,null,1,-1]"},       // a negative index
        {"[0,null,1,2]", "7"},                   // no list
        {"\"unallocated\":[1]", "\"unallocated\":[0]"},   // free and given at once
        {"\"unallocated\":[1]", "\"unallocated\":[1,1]"}, // would be given twice
        {"\"unallocated\":[1]", "\"unallocated\":[4]"},   // beyond the block
        {"10.20.4.64/30", "10.20.4.68/30"},      // another key
        {"1767323045000000002", "\"x\""},
        {"{\"0\":", "{\"9\":"},
        {"{\"node\":\"n1\"}", "{\"node\":1}"},
        {"{\"cidr\"", "[{\"cidr\""},
    };
    for (const auto& [from, to] : edits) {
        std::string text = kStored;
        text.replace(text.find(from), std::string_view(from).size(), to);
        const auto block = decode_block(text, kFourAddresses);
        ASSERT_FALSE(block) << to;
        EXPECT_EQ(block.error().code, Errc::Invalid);
    }
    EXPECT_FALSE(decode_block(kStored, *Prefix4::parse("10.0.0.0/8")));
}

TEST(Timestamp, offsets_and_fractions_are_understood_and_rubbish_is_not)
{
    const auto time = parse_rfc3339("2026-01-02T03:04:05Z");
    EXPECT_EQ(parse_rfc3339("2026-01-02T05:04:05.123456+02:00"), time);
    EXPECT_EQ(rfc3339(*time), "2026-01-02T03:04:05Z");
    for (const char* text :
         {"", "yesterday", "2026-01-02", "2026-01-02T03:04:05", "2026-01-02T03:04:05+2"})
        EXPECT_EQ(parse_rfc3339(text), std::nullopt) << text;
}

} // namespace
} // namespace margay::ipam
