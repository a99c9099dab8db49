// SPDX-License-Identifier: Apache-2.0
// The rows of the table in calico-facts 2.9, and what happens to a running node.
#include "world.h"

namespace margay::startup {
namespace {

using ::testing::IsEmpty;

struct TunnelTest : StartupTest {
    void SetUp() override { ASSERT_TRUE(start()); }

    ipam::Ipam ipam{kv, "n1", world.clock};
    ipam::Ipam other{kv, "n2", world.clock};

    void forget_field() { put_node("n1", R"({"bgp":{"ipv4Address":"192.0.2.11/24"}})"); }
    void set_field(Ipv4 address)
    {
        put_node("n1", R"({"bgp":{"ipv4Address":"192.0.2.11/24","ipv4IPIPTunnelAddr":")" +
                           address.str() + R"("}})");
    }
    Ipv4 field() const { return *Ipv4::parse(bgp("ipv4IPIPTunnelAddr")); }
    void expect_one_address_of_ours()
    {
        EXPECT_EQ(*ipam.held_by(tunnel_handle("n1")), std::vector<Ipv4>{field()});
        const auto holder = ipam.holder(field());
        EXPECT_EQ(holder->attributes.at("type"), "ipipTunnelAddress");
        EXPECT_EQ(holder->attributes.at("node"), "n1");
        world.check();
    }
    Ipv4 give_to(ipam::Ipam& to, const std::string& handle)
    {
        const auto assigned = to.auto_assign({.owner = {handle, {{"node", "n2"}}}});
        return assigned->addresses.at(0);
    }
};

TEST_F(TunnelTest, right_address_is_kept)
{
    const Ipv4 before = field();
    kv.writes.clear();
    ASSERT_TRUE(mend());
    EXPECT_EQ(field(), before);
    EXPECT_THAT(kv.writes, IsEmpty());
    expect_one_address_of_ours();
}

TEST_F(TunnelTest, without_a_pool_that_tunnels_the_address_is_released_and_the_field_cleared)
{
    auto pool = stored("ippools", "default-ipv4-ippool");
    const std::pair<const char*, boost::json::value> edits[] = {
        {"ipipMode", "Never"},
        {"disabled", true},
        {"allowedUses", boost::json::array{"Workload"}},
        {"nodeSelector", "rack == 'z'"},
    };
    for (const auto& [name, value] : edits) {
        auto changed = pool;
        member(changed, "spec")[name] = value;
        put("ippools", "default-ipv4-ippool", boost::json::serialize(changed));
        const auto state = mend();
        ASSERT_TRUE(state);
        EXPECT_EQ(state->tunnel_address, std::nullopt) << name;
        EXPECT_EQ(bgp("ipv4IPIPTunnelAddr"), "");
        EXPECT_EQ(world.in_use(), 0u);
        put("ippools", "default-ipv4-ippool", boost::json::serialize(pool));
        ASSERT_TRUE(mend());
        expect_one_address_of_ours();
    }
}

TEST_F(TunnelTest, empty_field_takes_the_address_that_the_handle_still_holds)
{
    const Ipv4 before = field();
    forget_field();
    ASSERT_TRUE(mend());
    EXPECT_EQ(field(), before);
    expect_one_address_of_ours();
}

TEST_F(TunnelTest, leftovers_of_a_crash_are_reduced_to_one)
{
    ASSERT_TRUE(
        ipam.auto_assign({.owner = {tunnel_handle("n1"), {{"node", "n1"}, {"type", kTunnelType}}},
                          .use = ipam::Use::Tunnel}));
    EXPECT_EQ(world.in_use(), 2u);
    forget_field();
    ASSERT_TRUE(mend());
    EXPECT_EQ(world.in_use(), 1u);
    expect_one_address_of_ours();
}

TEST_F(TunnelTest, address_outside_the_suitable_pools_is_exchanged)
{
    world.remove_pool("default-ipv4-ippool");
    world.pool("new", "10.7.0.0/24", 26, R"(,"ipipMode":"CrossSubnet")");
    ASSERT_TRUE(mend());
    EXPECT_TRUE(Prefix4::parse("10.7.0.0/24")->contains(field()));
    EXPECT_EQ(world.in_use(), 1u);
    expect_one_address_of_ours();
}

TEST_F(TunnelTest, address_without_owner_is_taken_over)
{
    ASSERT_TRUE(*ipam.release_by_handle(tunnel_handle("n1")));
    const Ipv4 old = field();
    ASSERT_TRUE(ipam.assign(old, ipam::Owner{}, ipam::Use::Tunnel));
    ASSERT_TRUE(mend());
    EXPECT_EQ(field(), old);
    EXPECT_EQ(world.in_use(), 1u);
    expect_one_address_of_ours();
}

TEST_F(TunnelTest, address_that_a_pod_has_is_left_to_it)
{
    const Ipv4 theirs = give_to(other, "pod");
    set_field(theirs);
    ASSERT_TRUE(mend());
    EXPECT_NE(field(), theirs);
    EXPECT_EQ(*ipam.holder(theirs)->handle, "pod");
    expect_one_address_of_ours();
}

TEST_F(TunnelTest, address_that_nobody_has_is_asked_for_again)
{
    const Ipv4 before = field();
    ASSERT_TRUE(*ipam.release_by_handle(tunnel_handle("n1")));
    ASSERT_TRUE(mend());
    EXPECT_EQ(field(), before);
    expect_one_address_of_ours();
}

TEST_F(TunnelTest, deleted_node_comes_back_with_the_same_addresses)
{
    const Ipv4 before = field();
    world.table->erase(resource_key("nodes", "n1"));
    ASSERT_TRUE(mend(before));
    EXPECT_EQ(field(), before);
    EXPECT_EQ(bgp("ipv4Address"), "192.0.2.11/24");

    // As calicoctl deletes a node: its addresses and affinities go too, and a pod may be faster.
    world.table->erase(resource_key("nodes", "n1"));
    ASSERT_TRUE(*other.release_by_handle(tunnel_handle("n1")));
    ASSERT_TRUE(other.assign(before, {"pod", {{"node", "n2"}}}, ipam::Use::Workload));
    ASSERT_TRUE(mend(before));
    EXPECT_NE(field(), before);
    expect_one_address_of_ours();
}

TEST_F(TunnelTest, two_nodes_never_share_a_tunnel_address)
{
    host.detected = Prefix4::parse("192.0.2.12/24");
    const auto second = prepare(kv, config(), "n2", host, world.clock);
    ASSERT_TRUE(second);
    EXPECT_NE(second->tunnel_address, field());
    EXPECT_EQ(world.blocks().size(), 2u);
    world.check();
}

} // namespace
} // namespace margay::startup
