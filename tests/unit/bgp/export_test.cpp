// SPDX-License-Identifier: Apache-2.0
// The rules of export: what a peer may be told, and with which attributes.
#include "bgp/rib/export.h"
#include "support/addresses.h"
#include "support/bgp/codec.h"
#include "support/bgp/peers.h"

#include <gmock/gmock.h>

namespace margay::bgp {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

AttributesPtr learned(void (*change)(Attributes&) = nullptr)
{
    Attributes a;
    a.next_hop = Ipv4(0x0a000009);
    a.as_path = AsPath({{PathSegment::Type::Sequence, {Asn{65001}}}});
    a.local_pref = 300;
    a.med = 5;
    if (change)
        change(a);
    return test_pool().intern(a);
}

// ---- Export ----

struct Source {
    PeerId peer = 3;
    bool internal = false;
    bool client = false;
};
constexpr Source kFromOutside{};
constexpr Source kFromInside{3, true, false};
constexpr Source kFromClient{3, true, true};
constexpr Source kFromUs{kOurselves, true, false};

// What a peer with this view decodes; nothing if the route is not for it.
std::optional<Attributes> told(const AttributesPtr& attributes, const Source& source,
                               const ExportView& view)
{
    Path best;
    best.peer = source.peer;
    best.received = best.accepted = attributes;
    PeerTraits from;
    from.internal = source.internal;
    from.client = source.client;
    from.identifier = Ipv4(33);
    if (!may_pass<Prefix4>(best, from, view))
        return std::nullopt;
    Bytes octets;
    write_attributes(attributes->octets(), *attributes,
                     rewrite_for<Prefix4>(*attributes, source.peer, from, view), octets);
    AttributeList list;
    check_attributes(octets, WireSession{view.internal, view.encoding.four_octet_as}, list);
    EXPECT_THAT(list.faults, IsEmpty());
    EXPECT_TRUE(list.has_origin && list.has_as_path && list.has_next_hop);
    return decode_canonical(list.octets, list.summary.next_hop);
}

TEST(Export, own_route_goes_to_internal_peers_with_own_next_hop_and_preference)
{
    Attributes own;
    own.local_pref = 2147482623;
    const auto out = told(test_pool().intern(own), kFromUs, internal_view());
    ASSERT_TRUE(out);
    EXPECT_EQ(out->next_hop, Ip(kOwnAddress));
    EXPECT_EQ(out->local_pref, 2147482623u);
    EXPECT_EQ(out->as_path.length(), 0u);
}

TEST(Export, internal_route_is_not_for_internal_peers)
{
    EXPECT_FALSE(told(learned(), kFromInside, internal_view()));
    EXPECT_TRUE(told(learned(), kFromInside, external_view()));
}

TEST(Export, external_route_goes_to_internal_peers_as_it_is)
{
    EXPECT_EQ(told(learned(), kFromOutside, internal_view()), learned()->decode());
}

TEST(Export, internal_peer_is_told_a_local_preference_in_any_case)
{
    const auto without = learned([](Attributes& a) { a.local_pref.reset(); });
    EXPECT_EQ(told(without, kFromOutside, internal_view())->local_pref, 100u);
}

TEST(Export, external_peer_gets_our_as_our_next_hop_and_nothing_internal)
{
    const auto reflected = learned([](Attributes& a) {
        a.originator_id = Ipv4(1);
        a.cluster_list = {Ipv4(2)};
        a.others = {{0x80, 98, {1}}, {0xc0, 99, {1}}};
    });
    const auto out = told(reflected, kFromInside, external_view());
    ASSERT_TRUE(out);
    EXPECT_EQ(out->as_path.str(), "64512 65001");
    EXPECT_EQ(out->next_hop, Ip(kOwnAddress));
    EXPECT_FALSE(out->local_pref);
    EXPECT_FALSE(out->med);
    EXPECT_FALSE(out->originator_id);
    EXPECT_THAT(out->cluster_list, IsEmpty());
    EXPECT_THAT(out->others, ElementsAre(RawAttribute{0xe0, 99, {1}})) << "partial: unknown to us";
}

// RFC 4360 section 6, 5701 section 2.
TEST(Export, extended_community_that_is_not_transitive_stays_within_the_as)
{
    constexpr std::uint8_t kNonTransitive = 0x40;
    for (const auto& [type, octets] : {std::pair{16, 8}, std::pair{25, 20}}) {
        Bytes passed(static_cast<std::size_t>(octets), 1), kept = passed;
        kept[0] = kNonTransitive;
        passed[0] = 0;
        Attributes a = learned()->decode();
        a.others = {{0xc0, static_cast<std::uint8_t>(type), kept}};
        a.others[0].value.insert(a.others[0].value.end(), passed.begin(), passed.end());
        const auto outside = told(test_pool().intern(a), kFromOutside, external_view());
        ASSERT_EQ(outside->others.size(), 1u);
        EXPECT_EQ(outside->others[0].value, passed);
        EXPECT_EQ(told(test_pool().intern(a), kFromOutside, internal_view())->others, a.others);
        a.others[0].value = kept;
        EXPECT_THAT(told(test_pool().intern(a), kFromOutside, external_view())->others, IsEmpty());
    }
}

TEST(Export, own_as_goes_into_a_new_segment_when_the_first_is_full_or_a_set)
{
    const auto full = learned([](Attributes& a) {
        a.as_path = AsPath({{PathSegment::Type::Sequence, std::vector<Asn>(255, Asn{1})}});
    });
    EXPECT_EQ(told(full, kFromOutside, external_view())->as_path.segments().size(), 2u);
    const auto set = learned(
        [](Attributes& a) { a.as_path = AsPath({{PathSegment::Type::Set, {Asn{1}, Asn{3}}}}); });
    EXPECT_EQ(told(set, kFromOutside, external_view())->as_path.str(), "64512 {1 3}");
    const auto empty = learned([](Attributes& a) { a.as_path = {}; });
    EXPECT_EQ(told(empty, kFromInside, external_view())->as_path.str(), "64512");
}

// RFC 2545 section 2: it means nothing beyond its link, so ours stands there, whatever was asked for.
TEST(Export, link_local_next_hop_is_never_passed_on)
{
    const auto link_local = learned([](Attributes& a) { a.next_hop = *Ipv6::parse("fe80::9"); });
    const PeerTraits from;
    ExportView view = internal_view();
    view.own_next_hop = *Ipv6::parse("2001:db8::1");
    view.own_link_local = Ipv6::parse("fe80::1");
    for (const NextHopMode mode : {NextHopMode::Auto, NextHopMode::Self, NextHopMode::Keep}) {
        view.next_hop = mode;
        const Rewrite rewrite = rewrite_for<Prefix6>(*link_local, 3, from, view);
        EXPECT_EQ(rewrite.next_hop, view.own_next_hop);
        EXPECT_EQ(rewrite.link_local, view.own_link_local);
    }
    const auto global = learned([](Attributes& a) { a.next_hop = *Ipv6::parse("2001:db8::9"); });
    const Rewrite kept = rewrite_for<Prefix6>(*global, 3, from, view);
    EXPECT_EQ(kept.next_hop, Ip(*Ipv6::parse("2001:db8::9")));
    EXPECT_EQ(kept.link_local, std::nullopt) << "ours is not its";
}

TEST(Export, nothing_is_announced_with_a_next_hop_of_nowhere)
{
    ExportView over_ipv6 = internal_view();
    over_ipv6.own_next_hop = Ip();
    EXPECT_FALSE(told(learned(), kFromUs, over_ipv6));
    EXPECT_TRUE(told(learned(), kFromOutside, over_ipv6)) << "its next hop is unchanged";
    over_ipv6.internal = false;
    EXPECT_FALSE(told(learned(), kFromOutside, over_ipv6));
}

TEST(Export, well_known_communities_hold_routes_back)
{
    const auto no_export = learned([](Attributes& a) { a.communities = {7, kNoExport}; });
    const auto no_advertise = learned([](Attributes& a) { a.communities = {kNoAdvertise}; });
    EXPECT_FALSE(told(no_export, kFromOutside, external_view()));
    EXPECT_TRUE(told(no_export, kFromOutside, internal_view()));
    EXPECT_FALSE(told(no_advertise, kFromOutside, internal_view()));
}

// RFC 4456 section 6.
TEST(Export, reflector_passes_clients_on_to_all_and_others_to_clients)
{
    ExportView client = internal_view();
    client.client = true;
    EXPECT_TRUE(told(learned(), kFromClient, internal_view()));
    EXPECT_TRUE(told(learned(), kFromClient, client));
    EXPECT_TRUE(told(learned(), kFromInside, client));
    EXPECT_FALSE(told(learned(), kFromInside, internal_view()));
}

// RFC 4456 section 8.
TEST(Export, reflected_route_says_who_began_it_and_through_which_clusters_it_came)
{
    const auto first = told(learned(), kFromClient, internal_view());
    ASSERT_TRUE(first);
    EXPECT_EQ(first->originator_id, Ipv4(33));
    EXPECT_THAT(first->cluster_list, ElementsAre(Ipv4(99)));
    EXPECT_EQ(first->next_hop, learned()->next_hop);
    const auto further = learned([](Attributes& a) {
        a.originator_id = Ipv4(1);
        a.cluster_list = {Ipv4(2)};
    });
    const auto second = told(further, kFromClient, internal_view());
    EXPECT_EQ(second->originator_id, Ipv4(1));
    EXPECT_THAT(second->cluster_list, ElementsAre(Ipv4(99), Ipv4(2)));
}

} // namespace
} // namespace margay::bgp
