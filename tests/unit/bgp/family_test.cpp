// SPDX-License-Identifier: Apache-2.0
// UPDATEs of both families, with path identifiers and long messages (RFC 4760, 2545, 8950, 7911, 8654).
#include "support/addresses.h"
#include "support/bgp/codec.h"

#include <gmock/gmock.h>

namespace margay::bgp {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const WireSession kBoth{.ipv4 = {.carried = true, .ipv6_next_hop = true},
                        .ipv6 = {.carried = true}};

Prefix6 prefix6(const char* text)
{
    return Prefix6::parse(text).value();
}

Ip ip6(const char* text)
{
    return Ip(Ipv6::parse(text).value());
}

Attributes attributes_with(const Ip& next_hop)
{
    Attributes attributes;
    attributes.next_hop = next_hop;
    attributes.local_pref = 100;
    return attributes;
}

template <typename P>
Bytes announced(const Ip& next_hop, const std::vector<Nlri<P>>& nlri, const Encoding& encoding = {})
{
    Rewrite rewrite;
    rewrite.encoding = encoding;
    Bytes message;
    EXPECT_EQ(encode_announce(*test_pool().intern(attributes_with(next_hop)), rewrite,
                              std::span<const Nlri<P>>(nlri), message),
              nlri.size());
    return message;
}

Update update_of(const Bytes& message, const WireSession& session)
{
    const auto frame = next_frame(message, session.max_message);
    EXPECT_TRUE(std::holds_alternative<Frame>(frame));
    auto update = decode_update(std::get<Frame>(frame).body, session);
    EXPECT_TRUE(std::holds_alternative<Update>(update));
    return std::get<Update>(update);
}

// The body of an UPDATE with ORIGIN, an empty AS_PATH, and this MP_REACH_NLRI.
Bytes with_reach(const Bytes& reach)
{
    Bytes body{0, 0, 0, static_cast<std::uint8_t>(reach.size() + 10)};
    body.insert(body.end(), {0x80, 14, static_cast<std::uint8_t>(reach.size())});
    body.insert(body.end(), reach.begin(), reach.end());
    body.insert(body.end(), {0x40, 1, 1, 0, 0x40, 2, 0});
    return body;
}

Bytes reach_ipv6(std::initializer_list<const char*> next_hops, const Bytes& prefixes)
{
    Bytes reach{0, 2, 1, static_cast<std::uint8_t>(16 * next_hops.size())};
    for (const char* hop : next_hops) {
        const Ipv6 address = Ipv6::parse(hop).value();
        reach.insert(reach.end(), address.bytes().begin(), address.bytes().end());
    }
    reach.push_back(0);
    reach.insert(reach.end(), prefixes.begin(), prefixes.end());
    return reach;
}

TEST(Family, ipv6_routes_come_back_as_they_went)
{
    const std::vector<Nlri<Prefix6>> sent{prefix6("::/0"), prefix6("2001:db8::/32"),
                                          prefix6("2001:db8::1/128"), prefix6("2001:db8:80::/41")};
    const Update update = update_of(announced(ip6("2001:db8::9"), sent), kBoth);
    EXPECT_THAT(update.faults, IsEmpty());
    ASSERT_EQ(update.ipv6.announced.size(), 1u);
    EXPECT_EQ(update.ipv6.announced[0].prefixes, sent);
    EXPECT_EQ(update.ipv6.announced[0].attributes->decode(), attributes_with(ip6("2001:db8::9")));
    EXPECT_THAT(update.ipv4.announced, IsEmpty());

    Bytes gone;
    EXPECT_EQ(encode_withdraw(Encoding{}, std::span<const Nlri<Prefix6>>(sent), gone), 4u);
    EXPECT_EQ(update_of(gone, kBoth).ipv6.withdrawn, sent);
}

// RFC 7606 5.1: MP_REACH_NLRI is the first attribute.
TEST(Family, mp_reach_is_the_first_attribute)
{
    const std::vector<Nlri<Prefix6>> sent{prefix6("2001:db8::/32")};
    const Bytes message = announced(ip6("2001:db8::9"), sent);
    EXPECT_EQ(message[kHeaderSize + 5], 14);
}

// RFC 8950.
TEST(Family, ipv4_routes_have_ipv6_next_hops_where_both_said_so)
{
    const std::vector<Nlri<Prefix4>> sent{prefix("10.0.0.0/8")};
    const Bytes message = announced(ip6("2001:db8::9"), sent);
    const Update update = update_of(message, kBoth);
    ASSERT_EQ(update.ipv4.announced.size(), 1u);
    EXPECT_EQ(update.ipv4.announced[0].attributes->next_hop, ip6("2001:db8::9"));
    const Bytes body(message.begin() + kHeaderSize, message.end());
    const auto refused = decode_update(body, WireSession{});
    ASSERT_TRUE(std::holds_alternative<Notify>(refused)) << "16 octets are no IPv4 next hop";
    EXPECT_EQ(std::get<Notify>(refused).subcode, update_error::kOptional);
}

// RFC 4271 6.3.
TEST(Family, fault_that_ends_the_session_comes_with_its_attribute)
{
    const Bytes reach = {0x80, 14, 6, 0, 2, 1, 3, 1, 2}; // overruns
    const Bytes unreach = {0x90, 15, 0, 5, 0, 2, 1, 129, 0};
    const Bytes unknown = {0x40, 99, 2, 7, 7};
    for (const Bytes& attribute : {reach, unreach, unknown}) {
        Bytes body = {0, 0, 0, static_cast<std::uint8_t>(attribute.size() + 4), 0x40, 1, 1, 0};
        body.insert(body.end(), attribute.begin(), attribute.end());
        const auto refused = decode_update(body, kBoth);
        ASSERT_TRUE(std::holds_alternative<Notify>(refused));
        EXPECT_EQ(std::get<Notify>(refused).data, attribute);
    }
}

// RFC 4760 section 3.
TEST(Family, next_hop_attribute_says_nothing_where_all_prefixes_are_in_mp_reach)
{
    Bytes body = with_reach(reach_ipv6({"2001:db8::9"}, {32, 0x20, 1, 0xd, 0xb8}));
    body[3] = static_cast<std::uint8_t>(body[3] + 7);
    body.insert(body.end(), {0x40, 3, 4, 0, 0, 0, 0});
    const Update update = std::get<Update>(decode_update(body, kBoth));
    EXPECT_EQ(update.ipv6.announced.size(), 1u);
    EXPECT_TRUE(update.ipv6.withdrawn.empty());
}

TEST(Family, malformed_next_hop_attribute_is_so_beside_mp_reach_too)
{
    Bytes body = with_reach(reach_ipv6({"2001:db8::9"}, {32, 0x20, 1, 0xd, 0xb8}));
    body[3] = static_cast<std::uint8_t>(body[3] + 6);
    body.insert(body.end(), {0x40, 3, 3, 10, 0, 0});
    const Update update = std::get<Update>(decode_update(body, kBoth));
    EXPECT_TRUE(update.ipv6.announced.empty());
    EXPECT_EQ(update.ipv6.withdrawn.size(), 1u);
}

TEST(Family, both_families_travel_in_one_update)
{
    Bytes body = with_reach(reach_ipv6({"2001:db8::9"}, {32, 0x20, 1, 0xd, 0xb8}));
    body[3] = static_cast<std::uint8_t>(body[3] + 7);
    body.insert(body.end(), {0x40, 3, 4, 10, 0, 0, 9, 8, 10});
    const Update update = std::get<Update>(decode_update(body, kBoth));
    ASSERT_EQ(update.ipv4.announced.size(), 1u);
    ASSERT_EQ(update.ipv6.announced.size(), 1u);
    EXPECT_EQ(update.ipv4.announced[0].attributes->next_hop, Ip(Ipv4(0x0a000009)));
    EXPECT_EQ(update.ipv6.announced[0].attributes->next_hop, ip6("2001:db8::9"));
}

// RFC 2545 section 3: the global one counts; some put nothing there.
TEST(Family, of_two_ipv6_next_hops_the_global_one_counts)
{
    const Bytes net{32, 0x20, 1, 0xd, 0xb8};
    const auto next_hop = [&](std::initializer_list<const char*> hops) {
        const Update update =
            std::get<Update>(decode_update(with_reach(reach_ipv6(hops, net)), kBoth));
        return update.ipv6.announced.empty() ? std::string("none")
                                             : update.ipv6.announced[0].attributes->next_hop.str();
    };
    EXPECT_EQ(next_hop({"2001:db8::9", "fe80::1"}), "2001:db8::9");
    EXPECT_EQ(next_hop({"::", "fe80::1"}), "fe80::1");
    EXPECT_EQ(next_hop({"fe80::1"}), "fe80::1");
}

TEST(Family, link_local_next_hop_behind_a_global_one_is_told_apart)
{
    const Bytes net{32, 0x20, 1, 0xd, 0xb8};
    const auto link_local = [&](std::initializer_list<const char*> hops) {
        const Update update =
            std::get<Update>(decode_update(with_reach(reach_ipv6(hops, net)), kBoth));
        return update.link_local
                   ? update.link_local->global.str() + " " + update.link_local->link_local.str()
                   : std::string("none");
    };
    EXPECT_EQ(link_local({"2001:db8::9", "fe80::1"}), "2001:db8::9 fe80::1");
    EXPECT_EQ(link_local({"2001:db8::9", "2001:db8::8"}), "none");
    EXPECT_EQ(link_local({"::", "fe80::1"}), "none") << "alone it is the next hop";
    EXPECT_EQ(link_local({"2001:db8::9"}), "none");

    Rewrite rewrite;
    rewrite.next_hop = ip6("2001:db8::9");
    rewrite.link_local = Ipv6::parse("fe80::7");
    rewrite.in_mp_reach = true;
    const std::vector<Nlri<Prefix6>> sent{prefix6("2001:db8::/32")};
    const AttributesPtr attributes = test_pool().intern(attributes_with(ip6("2001:db8::9")));
    Bytes octets, message;
    write_attributes(attributes->octets(), *attributes, rewrite, octets);
    encode_announce(octets, rewrite, std::span<const Nlri<Prefix6>>(sent), message);
    const Update update = update_of(message, kBoth);
    ASSERT_TRUE(update.link_local);
    EXPECT_EQ(update.link_local->link_local, Ipv6::parse("fe80::7"));
    EXPECT_EQ(update.ipv6.announced.at(0).prefixes, sent);
}

// RFC 7606 7.11 and 7.3: a length that cannot be ends the session, an address that is none withdraws.
TEST(Family, bad_ipv6_next_hops)
{
    const Bytes net{32, 0x20, 1, 0xd, 0xb8};
    for (const char* hop : {"::", "::1", "ff02::1"}) {
        const Update update =
            std::get<Update>(decode_update(with_reach(reach_ipv6({hop}, net)), kBoth));
        EXPECT_THAT(update.ipv6.announced, IsEmpty()) << hop;
        EXPECT_THAT(update.ipv6.withdrawn, ElementsAre(Nlri(prefix6("2001:db8::/32")))) << hop;
    }
    Bytes four{0, 2, 1, 4, 10, 0, 0, 9, 0};
    four.insert(four.end(), net.begin(), net.end());
    EXPECT_TRUE(std::holds_alternative<Notify>(decode_update(with_reach(four), kBoth)));
    const Bytes too_long{129, 1};
    EXPECT_TRUE(std::holds_alternative<Notify>(
        decode_update(with_reach(reach_ipv6({"2001:db8::9"}, too_long)), kBoth)));
}

// RFC 4760 section 7.
TEST(Family, one_that_was_not_agreed_on_is_ignored)
{
    const Bytes body = with_reach(reach_ipv6({"2001:db8::9"}, {32, 0x20, 1, 0xd, 0xb8}));
    const Update update = std::get<Update>(decode_update(body, WireSession{}));
    EXPECT_THAT(update.ipv6.announced, IsEmpty());
    WireSession only6 = kBoth;
    only6.ipv4.carried = false;
    const std::vector<Nlri<Prefix4>> sent{prefix("10.0.0.0/8")};
    EXPECT_THAT(update_of(announced(Ip(Ipv4(0x0a000009)), sent), only6).ipv4.announced, IsEmpty());
}

// RFC 7911 section 3.
TEST(Family, path_identifiers_go_with_prefixes_of_both_families)
{
    WireSession session = kBoth;
    session.ipv4.add_path_in = session.ipv6.add_path_in = true;
    Encoding encoding;
    encoding.add_path = true;
    const std::vector<Nlri<Prefix4>> four{{prefix("10.0.0.0/8"), 1}, {prefix("10.0.0.0/8"), 77}};
    const std::vector<Nlri<Prefix6>> six{{prefix6("2001:db8::/32"), 0xffffffff}};
    const Ip next_hop(Ipv4(0x0a000009));
    EXPECT_EQ(update_of(announced(next_hop, four, encoding), session).ipv4.announced.at(0).prefixes,
              four);
    EXPECT_EQ(update_of(announced(ip6("2001:db8::9"), six, encoding), session)
                  .ipv6.announced.at(0)
                  .prefixes,
              six);
    Bytes gone;
    encode_withdraw(encoding, std::span<const Nlri<Prefix4>>(four), gone);
    EXPECT_EQ(update_of(gone, session).ipv4.withdrawn, four);
}

TEST(Family, each_has_its_end_of_rib)
{
    for (const Family family : {kIpv4Unicast, kIpv6Unicast}) {
        Bytes message;
        encode_end_of_rib(family, message);
        EXPECT_EQ(update_of(message, kBoth).end_of_rib, family);
    }
    Bytes message;
    encode_end_of_rib(kIpv6Unicast, message);
    WireSession only4 = kBoth;
    only4.ipv6.carried = false;
    EXPECT_THAT(update_of(message, only4).ipv6.withdrawn, IsEmpty());
}

// RFC 8654: where it was agreed on, and for nothing but what it says.
TEST(Family, extended_messages_are_filled_to_their_limit)
{
    std::vector<Nlri<Prefix6>> sent;
    for (std::uint32_t i = 0; i < 9000; ++i) {
        Ipv6::Bytes bytes{0x20, 1};
        bytes[6] = static_cast<std::uint8_t>(i >> 8);
        bytes[7] = static_cast<std::uint8_t>(i);
        sent.push_back(Prefix6{Ipv6(bytes), 64});
    }
    WireSession session = kBoth;
    session.max_message = kMaxExtendedMessage;
    Rewrite rewrite;
    rewrite.encoding.max_message = kMaxExtendedMessage;
    const AttributesPtr attributes = test_pool().intern(attributes_with(ip6("2001:db8::9")));
    Bytes message;
    const std::size_t count =
        encode_announce(*attributes, rewrite, std::span<const Nlri<Prefix6>>(sent), message);
    EXPECT_GT(message.size(), kMaxExtendedMessage - 9u);
    EXPECT_LE(message.size(), kMaxExtendedMessage);
    EXPECT_EQ(update_of(message, session).ipv6.announced.at(0).prefixes.size(), count);
    EXPECT_TRUE(std::holds_alternative<Notify>(next_frame(message, kMaxMessage)));

    Bytes open_message;
    encode_keepalive(open_message);
    open_message[16] = 0x10;
    open_message[17] = 0x01; // 4097 octets
    open_message[18] = 1; // OPEN
    EXPECT_TRUE(std::holds_alternative<Notify>(next_frame(open_message, kMaxExtendedMessage)));
}

// RFC 6793 4.2.3 doubles paths; one that is then longer than we take is no route.
// An old speaker's message with a path of so many full segments and one more.
Bytes body_with_narrow_path(std::size_t full_segments, std::uint8_t last)
{
    Bytes path;
    for (std::size_t i = 0; i <= full_segments; ++i) {
        const std::uint8_t count = i < full_segments ? 255 : last;
        path.insert(path.end(), {2, count});
        for (std::size_t n = 0; n < count; ++n)
            path.insert(path.end(), {0, 7});
    }
    Bytes body{0, 0};
    const std::size_t size = 4 + 4 + path.size() + 7;
    body.insert(body.end(),
                {static_cast<std::uint8_t>(size >> 8), static_cast<std::uint8_t>(size)});
    body.insert(body.end(), {0x40, 1, 1, 0, 0x50, 2, static_cast<std::uint8_t>(path.size() >> 8),
                             static_cast<std::uint8_t>(path.size())});
    body.insert(body.end(), path.begin(), path.end());
    body.insert(body.end(), {0x40, 3, 4, 10, 0, 0, 9, 8, 10});
    return body;
}

TEST(Family, path_that_is_too_long_when_widened_withdraws)
{
    WireSession session;
    session.four_octet_as = false;
    session.max_message = kMaxExtendedMessage;
    for (const Bytes& body : {body_with_narrow_path(80, 255), body_with_narrow_path(64, 31)}) {
        const Update update = std::get<Update>(decode_update(body, session));
        EXPECT_THAT(update.ipv4.announced, IsEmpty());
        EXPECT_THAT(update.ipv4.withdrawn, ElementsAre(Nlri(prefix("10.0.0.0/8"))));
    }
    Bytes withdrawal = body_with_narrow_path(80, 255); // 10.0.0.0/8 is withdrawn beside it
    withdrawal.resize(withdrawal.size() - 2);
    withdrawal[1] = 2;
    withdrawal.insert(withdrawal.begin() + 2, {8, 10});
    EXPECT_TRUE(std::holds_alternative<Update>(decode_update(withdrawal, session)));
    const Bytes longest = body_with_narrow_path(64, 8);
    const Update update = std::get<Update>(decode_update(longest, session));
    ASSERT_EQ(update.ipv4.announced.size(), 1u);
    Rewrite rewrite;
    rewrite.prepend = Asn{1};
    const AttributeSet& set = *update.ipv4.announced[0].attributes;
    EXPECT_EQ(rewritten(set, rewrite).as_path.length(), set.path_length + 1u);
}

} // namespace
} // namespace margay::bgp
