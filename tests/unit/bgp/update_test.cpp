// SPDX-License-Identifier: Apache-2.0
#include "bgp/wire/message.h"
#include "support/addresses.h"
#include "support/bgp/codec.h"

#include <gmock/gmock.h>

#include <random>

namespace margay::bgp {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr WireSession kInternal{true, true};
constexpr WireSession kExternal{false, true};
constexpr WireSession kOldExternal{false, false};

const Bytes kNet{24, 192, 0, 2}; // 192.0.2.0/24
const Bytes kGoodOrigin{0x40, 1, 1, 0};
const Bytes kGoodPath{0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe8};
const Bytes kGoodHop{0x40, 3, 4, 10, 0, 0, 1};

Bytes joined(std::initializer_list<Bytes> parts)
{
    Bytes all;
    for (const Bytes& part : parts)
        all.insert(all.end(), part.begin(), part.end());
    return all;
}

Bytes body(const Bytes& withdrawn, const Bytes& attributes, const Bytes& nlri)
{
    Bytes out;
    ByteWriter writer(out);
    writer.u16(static_cast<std::uint16_t>(withdrawn.size()));
    writer.bytes(withdrawn);
    writer.u16(static_cast<std::uint16_t>(attributes.size()));
    writer.bytes(attributes);
    writer.bytes(nlri);
    return out;
}

Bytes with_good(const Bytes& attribute)
{
    return body({}, joined({kGoodOrigin, kGoodPath, kGoodHop, attribute}), kNet);
}

enum class Outcome { Accepted, Discarded, Withdrawn, Reset };

Outcome outcome(const Bytes& bytes, const WireSession& session)
{
    const auto result = decode_update(bytes, session);
    const Update* update = std::get_if<Update>(&result);
    if (!update)
        return Outcome::Reset;
    if (update->ipv4.announced.empty())
        return Outcome::Withdrawn;
    return update->faults.empty() ? Outcome::Accepted : Outcome::Discarded;
}

struct Case {
    const char* name;
    Bytes bytes;
    WireSession session;
    Outcome expected;
};

class Rfc7606 : public ::testing::TestWithParam<Case> {};

TEST_P(Rfc7606, fault_gets_the_treatment_of_its_row)
{
    const Case& c = GetParam();
    EXPECT_EQ(outcome(c.bytes, c.session), c.expected) << c.name;
}

Bytes list(std::initializer_list<Bytes> attributes)
{
    return body({}, joined(attributes), kNet);
}

INSTANTIATE_TEST_SUITE_P(
    Attributes, Rfc7606,
    ::testing::Values(
        Case{"good", list({kGoodOrigin, kGoodPath, kGoodHop}), kExternal, Outcome::Accepted},
        Case{"origin value", list({{0x40, 1, 1, 3}, kGoodPath, kGoodHop}), kExternal,
             Outcome::Withdrawn},
        Case{"origin length", list({{0x40, 1, 2, 0, 0}, kGoodPath, kGoodHop}), kExternal,
             Outcome::Withdrawn},
        Case{"origin flags", list({{0xc0, 1, 1, 0}, kGoodPath, kGoodHop}), kExternal,
             Outcome::Withdrawn},
        Case{"path segment type",
             list({kGoodOrigin, {0x40, 2, 6, 5, 1, 0, 0, 0xfd, 0xe8}, kGoodHop}), kExternal,
             Outcome::Withdrawn},
        Case{"path confederation",
             list({kGoodOrigin, {0x40, 2, 6, 3, 1, 0, 0, 0xfd, 0xe8}, kGoodHop}), kExternal,
             Outcome::Withdrawn},
        Case{"path overrun", list({kGoodOrigin, {0x40, 2, 6, 2, 2, 0, 0, 0xfd, 0xe8}, kGoodHop}),
             kExternal, Outcome::Withdrawn},
        Case{"path underrun",
             list({kGoodOrigin, {0x40, 2, 8, 2, 1, 0, 0, 0xfd, 0xe8, 2, 0}, kGoodHop}), kExternal,
             Outcome::Withdrawn},
        Case{"path AS 0", list({kGoodOrigin, {0x40, 2, 6, 2, 1, 0, 0, 0, 0}, kGoodHop}), kExternal,
             Outcome::Withdrawn},
        Case{"empty path", list({kGoodOrigin, {0x40, 2, 0}, kGoodHop}), kInternal,
             Outcome::Accepted},
        Case{"next hop length", list({kGoodOrigin, kGoodPath, {0x40, 3, 3, 10, 0, 0}}), kExternal,
             Outcome::Withdrawn},
        Case{"next hop loopback", list({kGoodOrigin, kGoodPath, {0x40, 3, 4, 127, 0, 0, 1}}),
             kExternal, Outcome::Withdrawn},
        Case{"next hop multicast", list({kGoodOrigin, kGoodPath, {0x40, 3, 4, 224, 0, 0, 1}}),
             kExternal, Outcome::Withdrawn},
        Case{"missing origin", list({kGoodPath, kGoodHop}), kExternal, Outcome::Withdrawn},
        Case{"missing path", list({kGoodOrigin, kGoodHop}), kExternal, Outcome::Withdrawn},
        Case{"missing next hop", list({kGoodOrigin, kGoodPath}), kExternal, Outcome::Withdrawn},
        Case{"med length", with_good({0x80, 4, 3, 0, 0, 1}), kExternal, Outcome::Withdrawn},
        Case{"local pref length", with_good({0x40, 5, 3, 0, 0, 1}), kInternal, Outcome::Withdrawn},
        Case{"local pref from outside", with_good({0x40, 5, 3, 0, 0, 1}), kExternal,
             Outcome::Discarded},
        Case{"atomic aggregate length", with_good({0x40, 6, 1, 0}), kExternal, Outcome::Discarded},
        Case{"aggregator length", with_good({0xc0, 7, 6, 0, 1, 10, 0, 0, 1}), kExternal,
             Outcome::Discarded},
        Case{"aggregator AS 0", with_good({0xc0, 7, 8, 0, 0, 0, 0, 10, 0, 0, 1}), kExternal,
             Outcome::Discarded},
        Case{"communities length", with_good({0xc0, 8, 5, 0, 0, 0, 0, 0}), kExternal,
             Outcome::Withdrawn},
        Case{"communities empty", with_good({0xc0, 8, 0}), kExternal, Outcome::Withdrawn},
        Case{"originator length", with_good({0x80, 9, 3, 0, 0, 0}), kInternal, Outcome::Withdrawn},
        Case{"originator from outside", with_good({0x80, 9, 4, 1, 2, 3, 4}), kExternal,
             Outcome::Discarded},
        Case{"cluster list length", with_good({0x80, 10, 5, 0, 0, 0, 0, 0}), kInternal,
             Outcome::Withdrawn},
        Case{"cluster list from outside", with_good({0x80, 10, 4, 1, 2, 3, 4}), kExternal,
             Outcome::Discarded},
        Case{"extended communities length", with_good({0xc0, 16, 7, 0, 0, 0, 0, 0, 0, 0}),
             kExternal, Outcome::Withdrawn},
        Case{"IPv6 communities length", with_good({0xc0, 25, 8, 0, 2, 0, 0, 0, 0, 0, 0}), kExternal,
             Outcome::Withdrawn},
        Case{"IPv6 communities empty", with_good({0xc0, 25, 0}), kExternal, Outcome::Withdrawn},
        Case{"IPv6 communities", with_good(joined({{0xc0, 25, 20, 0, 2}, Bytes(16, 0xfd), {0, 7}})),
             kExternal, Outcome::Accepted},
        Case{"IPv6 communities not optional", with_good({0x40, 25, 0}), kExternal,
             Outcome::Withdrawn},
        Case{"large communities length", with_good({0xc0, 32, 8, 0, 0, 0, 0, 0, 0, 0, 0}),
             kExternal, Outcome::Withdrawn},
        Case{"origin partial", list({{0x60, 1, 1, 0}, kGoodPath, kGoodHop}), kExternal,
             Outcome::Withdrawn},
        Case{"med partial", with_good({0xa0, 4, 4, 0, 0, 0, 1}), kExternal, Outcome::Withdrawn},
        Case{"communities partial", with_good({0xe0, 8, 4, 0, 0, 0, 1}), kExternal,
             Outcome::Accepted},
        Case{"lower bits of the flags", with_good({0xcf & 0xef, 8, 4, 0, 0, 0, 1}), kExternal,
             Outcome::Accepted},
        Case{"as4 path from a new speaker", with_good({0xc0, 17, 6, 2, 1, 0, 0, 0xfd, 0xe8}),
             kExternal, Outcome::Discarded},
        Case{"as4 aggregator from a new speaker", with_good({0xc0, 18, 8, 0, 0, 0, 1, 1, 1, 1, 1}),
             kExternal, Outcome::Discarded}));

INSTANTIATE_TEST_SUITE_P(
    List, Rfc7606,
    ::testing::Values(
        Case{"repeated", with_good(kGoodOrigin), kExternal, Outcome::Discarded},
        Case{"repeated MP_REACH",
             with_good(joined({{0x80, 14, 5, 0, 2, 1, 0, 0}, {0x80, 14, 5, 0, 2, 1, 0, 0}})),
             kExternal, Outcome::Reset},
        Case{"attribute overruns the list", with_good({0xc0, 8, 200, 0}), kExternal,
             Outcome::Withdrawn},
        Case{"list ends in a header", with_good({0xc0}), kExternal, Outcome::Withdrawn},
        Case{"unknown well-known", with_good({0x40, 77, 0}), kExternal, Outcome::Reset},
        Case{"unknown optional", with_good({0x80, 77, 1, 0}), kExternal, Outcome::Accepted},
        Case{"list longer than the message", {0, 0, 0, 9, 0x40}, kExternal, Outcome::Reset},
        Case{"withdrawn longer than the message", {0, 9, 0, 0}, kExternal, Outcome::Reset},
        Case{"prefix longer than 32",
             body({}, joined({kGoodOrigin, kGoodPath, kGoodHop}), {33, 1, 2, 3, 4, 5}), kExternal,
             Outcome::Reset},
        Case{"prefix cut", body({}, joined({kGoodOrigin, kGoodPath, kGoodHop}), {24, 1, 2}),
             kExternal, Outcome::Reset},
        Case{"withdrawn prefix longer than 32", body({40, 1, 2, 3, 4, 5}, {}, {}), kExternal,
             Outcome::Reset},
        Case{"MP_REACH cut", with_good({0x80, 14, 5, 0, 1, 1, 9, 0}), kExternal, Outcome::Reset},
        Case{"MP_REACH too short", with_good({0x80, 14, 4, 0, 1, 1, 0}), kExternal, Outcome::Reset},
        Case{"MP_UNREACH too short", with_good({0x80, 15, 2, 0, 1}), kExternal, Outcome::Reset},
        Case{"fault that cannot be withdrawn", body({}, {0x40, 1, 1, 9}, {}), kExternal,
             Outcome::Reset}));

Update decoded(const Bytes& bytes, const WireSession& session)
{
    auto result = decode_update(bytes, session);
    EXPECT_TRUE(std::holds_alternative<Update>(result));
    return std::holds_alternative<Update>(result) ? std::get<Update>(std::move(result)) : Update{};
}

Attributes rich()
{
    Attributes a;
    a.origin = Origin::Incomplete;
    a.as_path = AsPath({{PathSegment::Type::Sequence, {Asn{65000}, Asn{4200000000}}},
                        {PathSegment::Type::Set, {Asn{1}, Asn{2}}}});
    a.next_hop = Ipv4(0x0a000001);
    a.med = 7;
    a.local_pref = 2147482623;
    a.atomic_aggregate = true;
    a.aggregator = Aggregator{Asn{4200000000}, Ipv4(0x0a000009)};
    a.communities = {0xfde80001, kNoExport};
    a.originator_id = Ipv4(0x0a000002);
    a.cluster_list = {Ipv4(1), Ipv4(2)};
    a.others = {{0xc0, 32, Bytes(12, 5)}, {0xe0, 99, {1, 2, 3}}};
    return a;
}

TEST(UpdateCodec, treated_as_withdraw_names_the_prefixes_that_were_announced)
{
    const Update update = decoded(list({kGoodPath, kGoodHop}), kExternal);
    EXPECT_THAT(update.ipv4.withdrawn, ElementsAre(prefix("192.0.2.0/24")));
}

TEST(UpdateCodec, gives_back_every_attribute)
{
    const std::vector<Prefix4> prefixes{prefix("0.0.0.0/0"), prefix("10.1.2.3/32"),
                                        prefix("10.128.0.0/9")};
    Bytes message;
    ASSERT_EQ(encode_announce(rich(), kInternal, prefixes, message), 3u);
    const Update update = decoded(Bytes(message.begin() + kHeaderSize, message.end()), kInternal);
    ASSERT_EQ(update.ipv4.announced.size(), 1u);
    EXPECT_EQ(update.ipv4.announced[0].attributes->decode(), rich());
    EXPECT_EQ(prefixes_of(update.ipv4.announced[0].prefixes), prefixes);
    EXPECT_THAT(update.faults, IsEmpty());
}

TEST(UpdateCodec, two_octet_peer_gets_as_trans_and_the_wide_path_survives_the_way_through_it)
{
    Attributes sent = rich();
    sent.local_pref.reset();
    sent.originator_id.reset();
    sent.cluster_list.clear();
    const std::vector<Prefix4> prefixes{prefix("192.0.2.0/24")};
    Bytes message;
    ASSERT_EQ(encode_announce(sent, kOldExternal, prefixes, message), 1u);
    const Update update =
        decoded(Bytes(message.begin() + kHeaderSize, message.end()), kOldExternal);
    ASSERT_EQ(update.ipv4.announced.size(), 1u);
    EXPECT_EQ(update.ipv4.announced[0].attributes->decode().as_path, sent.as_path);
    EXPECT_EQ(update.ipv4.announced[0].attributes->decode().aggregator, sent.aggregator);
}

// RFC 4271 section 5.
TEST(UpdateCodec, aggregator_of_an_old_speaker_stays_partial)
{
    const Bytes path = {0x40, 2, 4, 2, 1, 0xfd, 0xe8}, aggregator = {0xe0, 7, 6, 0, 9, 1, 2, 3, 4};
    WireSession old;
    old.four_octet_as = false;
    AttributeList list;
    check_attributes(joined({kGoodOrigin, path, aggregator}), old, list);
    EXPECT_THAT(list.faults, IsEmpty());
    const Bytes kept = {0xe0, 7, 8, 0, 0, 0, 9, 1, 2, 3, 4};
    EXPECT_TRUE(std::ranges::equal(ByteView(list.octets).last(kept.size()), kept));
}

TEST(UpdateCodec, as4_path_longer_than_the_path_is_ignored)
{
    const Bytes narrow{0x40, 2, 4, 2, 1, 0xfd, 0xe8};
    const Bytes wide{0xc0, 17, 10, 2, 2, 0, 0, 0, 1, 0, 0, 0, 2};
    const Update update = decoded(list({kGoodOrigin, narrow, kGoodHop, wide}), kOldExternal);
    ASSERT_EQ(update.ipv4.announced.size(), 1u);
    EXPECT_EQ(update.ipv4.announced[0].attributes->decode().as_path.str(), "65000");
}

// RFC 6793 section 6.
TEST(UpdateCodec, confederation_in_an_as4_path_is_dropped_and_the_rest_counts)
{
    const Bytes narrow{0x40, 2, 6, 2, 2, 0xfd, 0xe8, 0x5b, 0xa0};
    const Bytes wide{0xc0, 17, 18, 3, 1, 0, 0, 0xfd, 0xff, 2, 1, 0, 1, 0, 1, 4, 1, 0, 0, 0, 9};
    const Update update = decoded(list({kGoodOrigin, narrow, kGoodHop, wide}), kOldExternal);
    ASSERT_EQ(update.ipv4.announced.size(), 1u);
    EXPECT_EQ(update.ipv4.announced[0].attributes->decode().as_path.str(), "65000 65537");
    EXPECT_THAT(update.faults, ElementsAre(AttributeFault{17, FaultAction::DiscardAttribute}));
    EXPECT_EQ(outcome(list({kGoodOrigin, {0x40, 2, 4, 3, 1, 0xfd, 0xe8}, kGoodHop}), kOldExternal),
              Outcome::Withdrawn)
        << "not so in AS_PATH";
}

// RFC 8092 section 2.
TEST(UpdateCodec, large_community_that_is_there_twice_is_kept_once)
{
    const Bytes one(12, 1), two(12, 2);
    const Update update =
        decoded(with_good(joined({{0xc0, 32, 48}, two, one, two, one})), kExternal);
    ASSERT_EQ(update.ipv4.announced.size(), 1u);
    EXPECT_THAT(update.ipv4.announced[0].attributes->decode().others,
                ElementsAre(RawAttribute{0xc0, 32, joined({two, one})}));
    EXPECT_THAT(update.faults, IsEmpty());
}

TEST(UpdateCodec, path_of_an_old_speaker_keeps_its_head_and_takes_the_wide_tail)
{
    const Bytes narrow{0x40, 2, 8, 2, 3, 0, 7, 0x5b, 0xa0, 0, 9};
    const Bytes wide{0xc0, 17, 10, 2, 2, 0, 1, 0, 1, 0, 0, 0, 9};
    const Update update = decoded(list({kGoodOrigin, narrow, kGoodHop, wide}), kOldExternal);
    ASSERT_EQ(update.ipv4.announced.size(), 1u);
    const AsPath joined = update.ipv4.announced[0].attributes->decode().as_path;
    EXPECT_EQ(joined.str(), "7 65537 9");
    EXPECT_EQ(joined.segments().size(), 1u);
}

TEST(UpdateCodec, joined_path_has_no_segment_that_is_too_long)
{
    Bytes narrow{0x50, 2, 2, 4, 2, 255}, wide{0xd0, 17, 3, 0xee, 2, 251};
    ByteWriter narrow_out(narrow), wide_out(wide);
    for (std::uint32_t i = 0; i < 255; ++i)
        narrow_out.u16(7);
    narrow_out.bytes(Bytes{2, 1, 0, 9});
    for (std::uint32_t i = 0; i < 251; ++i)
        wide_out.u32(65537);
    const Update update = decoded(list({kGoodOrigin, narrow, kGoodHop, wide}), kOldExternal);
    ASSERT_EQ(update.ipv4.announced.size(), 1u) << "five narrow ones, 251 wide ones";
    const AsPath path = update.ipv4.announced[0].attributes->decode().as_path;
    ASSERT_EQ(path.segments().size(), 2u);
    EXPECT_EQ(path.segments()[0].asns.size(), 5u);
    EXPECT_EQ(path.length(), 256u);
}

TEST(UpdateCodec, unknown_optional_transitive_is_carried_as_partial_and_others_are_not)
{
    const Update update =
        decoded(with_good(joined({{0xc0, 99, 2, 1, 2}, {0x80, 98, 1, 1}})), kExternal);
    ASSERT_EQ(update.ipv4.announced.size(), 1u);
    EXPECT_THAT(update.ipv4.announced[0].attributes->decode().others,
                ElementsAre(RawAttribute{0xe0, 99, {1, 2}}));
}

TEST(UpdateCodec, multiprotocol_ipv4_is_read_with_its_own_next_hop)
{
    const Bytes mp{0x80, 14, 13, 0, 1, 1, 4, 10, 0, 0, 9, 0, 24, 198, 51, 100};
    const Update update = decoded(body({}, joined({kGoodOrigin, kGoodPath, mp}), {}), kExternal);
    ASSERT_EQ(update.ipv4.announced.size(), 1u);
    EXPECT_EQ(update.ipv4.announced[0].attributes->next_hop.str(), "10.0.0.9");
    EXPECT_THAT(update.ipv4.announced[0].prefixes, ElementsAre(prefix("198.51.100.0/24")));
}

TEST(UpdateCodec, family_that_was_not_negotiated_is_ignored)
{
    const Bytes mp{0x80, 14, 9, 0, 2, 1, 0, 0, 24, 1, 2, 3};
    const Update update = decoded(body({}, joined({kGoodOrigin, kGoodPath, mp}), {}), kExternal);
    EXPECT_THAT(update.ipv4.announced, IsEmpty());
    EXPECT_THAT(update.ipv4.withdrawn, IsEmpty());
    EXPECT_FALSE(update.end_of_rib);
}

TEST(UpdateCodec, end_of_rib_is_an_empty_update_or_an_empty_unreach_and_nothing_else)
{
    Bytes message;
    encode_end_of_rib(kIpv4Unicast, message);
    EXPECT_EQ(decoded(Bytes(message.begin() + kHeaderSize, message.end()), kInternal).end_of_rib,
              kIpv4Unicast);
    EXPECT_EQ(decoded(body({}, {0x80, 15, 3, 0, 2, 1}, {}), kInternal).end_of_rib, (Family{2, 1}));
    EXPECT_FALSE(decoded(body(kNet, {}, {}), kInternal).end_of_rib);
    EXPECT_FALSE(decoded(body({}, {0x80, 15, 7, 0, 1, 1, 24, 1, 2, 3}, {}), kInternal).end_of_rib);
}

TEST(UpdateCodec, host_bits_are_cleared)
{
    EXPECT_THAT(decoded(body({20, 10, 1, 0xff}, {}, {}), kInternal).ipv4.withdrawn,
                ElementsAre(prefix("10.1.240.0/20")));
}

TEST(UpdateCodec, many_prefixes_fill_messages_to_the_limit_and_none_is_lost)
{
    std::vector<Prefix4> sent;
    for (std::uint32_t i = 0; i < 5000; ++i)
        sent.push_back(Prefix4{Ipv4(0x0a000000 + (i << 8)), 24});
    for (const bool withdraw : {false, true}) {
        std::vector<Prefix4> received;
        std::span<const Prefix4> rest(sent);
        while (!rest.empty()) {
            Bytes message;
            const std::size_t count = withdraw ? encode_withdraw(rest, message)
                                               : encode_announce(rich(), kInternal, rest, message);
            ASSERT_GT(count, 0u);
            ASSERT_LE(message.size(), kMaxMessage);
            rest = rest.subspan(count);
            const auto frame = next_frame(message);
            ASSERT_TRUE(std::holds_alternative<Frame>(frame));
            const ByteView view = std::get<Frame>(frame).body;
            Update update = decoded(Bytes(view.begin(), view.end()), kInternal);
            const auto got = prefixes_of(withdraw ? update.ipv4.withdrawn
                                                  : update.ipv4.announced.at(0).prefixes);
            received.insert(received.end(), got.begin(), got.end());
        }
        EXPECT_EQ(received, sent);
    }
}

TEST(UpdateCodec, attributes_that_leave_no_room_append_nothing)
{
    Attributes huge = rich();
    huge.others.push_back({0xc0, 100, Bytes(4090, 1)});
    const std::vector<Prefix4> prefixes{prefix("10.0.0.0/8")};
    Bytes out{1, 2, 3};
    EXPECT_EQ(encode_announce(huge, kInternal, prefixes, out), 0u);
    EXPECT_THAT(out, ElementsAre(1, 2, 3));
}

// What matters is that the sanitizers stay silent; the outcome only has to be one of the two.
TEST(UpdateCodec, truncated_or_scrambled_at_every_octet_never_reads_past_the_end)
{
    const std::vector<Prefix4> prefixes{prefix("192.0.2.0/24"), prefix("10.0.0.0/8")};
    Bytes message;
    ASSERT_EQ(encode_announce(rich(), kInternal, prefixes, message), 2u);
    const Bytes whole(message.begin() + kHeaderSize, message.end());
    std::mt19937 random(7);
    for (std::size_t size = 0; size <= whole.size(); ++size) {
        const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
        for (const WireSession& session : {kInternal, kExternal, kOldExternal}) {
            (void)decode_update(cut, session);
            for (int round = 0; round < 50 && size > 0; ++round) {
                Bytes scrambled = cut;
                scrambled[random() % size] = static_cast<std::uint8_t>(random());
                (void)decode_update(scrambled, session);
            }
        }
    }
}

TEST(AsPath, prepends_into_a_new_segment_when_the_first_is_full_or_a_set)
{
    AsPath path({{PathSegment::Type::Sequence, std::vector<Asn>(255, Asn{1})}});
    path.prepend(Asn{2});
    ASSERT_EQ(path.segments().size(), 2u);
    EXPECT_EQ(path.length(), 256u);
    AsPath set({{PathSegment::Type::Set, {Asn{1}, Asn{3}}}});
    EXPECT_EQ(set.neighbor(), std::nullopt);
    set.prepend(Asn{2});
    EXPECT_EQ(set.str(), "2 {1 3}");
    EXPECT_EQ(set.length(), 2u);
    EXPECT_EQ(set.neighbor(), Asn{2});
}

// What fits a message of RFC 8654 is taken.
TEST(LongAttributes, of_more_than_the_limit_are_withdrawn_and_prefixes_do_not_count)
{
    const auto of_size = [](std::size_t octets) {
        const std::size_t others = kGoodOrigin.size() + kGoodPath.size() + kGoodHop.size();
        const auto size = static_cast<std::uint16_t>(octets - others - 4);
        return joined({Bytes{0xd0, 100, static_cast<std::uint8_t>(size >> 8),
                             static_cast<std::uint8_t>(size & 0xff)},
                       Bytes(size, 7)});
    };
    EXPECT_EQ(outcome(with_good(of_size(20'000)), kInternal), Outcome::Accepted);
    EXPECT_EQ(outcome(with_good(of_size(kMostAttributeOctets - 16)), kInternal), Outcome::Accepted);
    EXPECT_EQ(outcome(with_good(of_size(kMostAttributeOctets + 16)), kInternal),
              Outcome::Withdrawn);

    Bytes reach{0, 1, 1, 4, 10, 0, 0, 1, 0};
    for (int i = 0; i < 5000; ++i)
        reach.insert(reach.end(), {24, 10, static_cast<std::uint8_t>(i / 256),
                                   static_cast<std::uint8_t>(i % 256)});
    const auto size = static_cast<std::uint16_t>(reach.size());
    const Bytes head{0x90, 14, static_cast<std::uint8_t>(size >> 8),
                     static_cast<std::uint8_t>(size & 0xff)};
    EXPECT_EQ(outcome(body({}, joined({head, reach, kGoodOrigin, kGoodPath}), {}), kInternal),
              Outcome::Accepted);
}

} // namespace
} // namespace margay::bgp
