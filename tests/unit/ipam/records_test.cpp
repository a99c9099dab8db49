// SPDX-License-Identifier: Apache-2.0
#include "agent/ipam/records.h"

#include <gmock/gmock.h>

namespace margay::ipam {
namespace {

const Prefix4 kBlockCidr = *Prefix4::parse("10.20.4.64/26");

TEST(Records, keys_are_those_of_calico)
{
    EXPECT_EQ(block_key(kBlockCidr), "/calico/ipam/v2/assignment/ipv4/block/10.20.4.64-26");
    EXPECT_EQ(affinity_key("node-1", kBlockCidr),
              "/calico/ipam/v2/host/node-1/ipv4/block/10.20.4.64-26");
    EXPECT_EQ(handle_key("ipip-tunnel-addr-n1"), "/calico/ipam/v2/handle/ipip-tunnel-addr-n1");
    EXPECT_EQ(cidr_of_key(block_key(kBlockCidr)), kBlockCidr);
    EXPECT_EQ(cidr_of_key(affinity_key("node-1", kBlockCidr)), kBlockCidr);
    for (const char* key : {"", "/a/b", "/a/10.20.4.65-26", "/a/10.20.4.64-x", "/a/fe80::-64"})
        EXPECT_EQ(cidr_of_key(key), std::nullopt) << key;
}

TEST(Records, affinity_without_state_is_confirmed_and_rubbish_claims_nothing)
{
    using State = Affinity::State;
    EXPECT_EQ(decode_affinity("").state, State::Confirmed);
    EXPECT_EQ(decode_affinity(R"({"deleted":false})").state, State::Confirmed);
    EXPECT_EQ(decode_affinity(R"({"state":""})").state, State::Confirmed);
    EXPECT_EQ(decode_affinity(R"({"state":"confirmed"})").state, State::Confirmed);
    EXPECT_EQ(decode_affinity(R"({"state":"pending"})").state, State::Pending);
    EXPECT_EQ(decode_affinity(R"({"state":"pendingDeletion"})").state, State::PendingDeletion);
    EXPECT_EQ(decode_affinity(R"({"state":"new"})").state, State::Pending);
    EXPECT_EQ(decode_affinity("rubbish").state, State::Pending);
    EXPECT_EQ(encode_affinity(Affinity{State::PendingDeletion, {}}),
              R"({"state":"pendingDeletion","deleted":false})");
}

TEST(Records, handle_keeps_counts_and_unknown_fields)
{
    constexpr const char* stored = R"({"block":{"10.20.4.64/26":2},"deleted":false,"new":1})";
    const auto handle = decode_handle(stored, "h");
    EXPECT_EQ(handle->blocks.at("10.20.4.64/26"), 2u);
    EXPECT_EQ(encode_handle(*handle), stored);
    EXPECT_FALSE(decode_handle("rubbish", "h"));
}

TEST(Records, fields_missing_in_the_configuration_mean_false)
{
    EXPECT_TRUE(IpamConfig{}.auto_allocate_blocks) << "no object at all: the defaults";
    const auto config = decode_config(R"({"strict_affinity":true})");
    EXPECT_TRUE(config->strict_affinity);
    EXPECT_FALSE(config->auto_allocate_blocks);
    EXPECT_EQ(decode_config(R"({"ipCooldownSeconds":99999})")->cooldown.count(), 1200);
    EXPECT_EQ(decode_config(R"({"maxBlocksPerHost":4})")->max_blocks_per_host, 4u);
    EXPECT_FALSE(decode_config("rubbish"));
}

} // namespace
} // namespace margay::ipam
