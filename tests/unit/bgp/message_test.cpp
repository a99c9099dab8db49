// SPDX-License-Identifier: Apache-2.0
#include "bgp/wire/message.h"

#include <gmock/gmock.h>

namespace margay::bgp {
namespace {

using ::testing::ElementsAre;

Bytes header(std::size_t length, std::uint8_t type)
{
    Bytes bytes(16, 0xff);
    ByteWriter out(bytes);
    out.u16(static_cast<std::uint16_t>(length));
    out.u8(type);
    return bytes;
}

Notify refusal(const Bytes& stream)
{
    const auto frame = next_frame(stream);
    const Notify* notify = std::get_if<Notify>(&frame);
    EXPECT_NE(notify, nullptr);
    return notify ? *notify : Notify{};
}

Open full_open()
{
    Open open;
    open.as = Asn{4200000001};
    open.hold_time = Seconds(240);
    open.identifier = Ipv4(0x0a000001);
    open.capabilities.families = {kIpv4Unicast};
    open.capabilities.four_octet_as = open.as;
    open.capabilities.route_refresh = true;
    open.capabilities.graceful_restart =
        GracefulRestart{true, Seconds(120), {{kIpv4Unicast, true}}};
    return open;
}

Bytes body_of(const Open& open)
{
    Bytes body;
    encode_open(open, body);
    return body;
}

Notify open_refusal(const Bytes& body)
{
    const auto open = decode_open(body);
    const Notify* notify = std::get_if<Notify>(&open);
    EXPECT_NE(notify, nullptr);
    return notify ? *notify : Notify{};
}

TEST(Frame, needs_more_until_the_last_octet_is_there)
{
    Bytes stream;
    encode_route_refresh({RouteRefresh::Kind::Request, kIpv4Unicast}, stream);
    for (std::size_t size = 0; size < stream.size(); ++size)
        EXPECT_TRUE(std::holds_alternative<NeedMore>(next_frame(ByteView(stream).first(size))));
    const auto whole = next_frame(stream);
    ASSERT_TRUE(std::holds_alternative<Frame>(whole));
    EXPECT_EQ(std::get<Frame>(whole).size, stream.size());
    EXPECT_EQ(decode_route_refresh(std::get<Frame>(whole).body).family, kIpv4Unicast);
}

TEST(Frame, is_refused_with_the_subcode_of_rfc_4271_6_1)
{
    Bytes marker = header(19, 4);
    marker[3] = 0;
    EXPECT_EQ(refusal(marker), (Notify{ErrorCode::Header, 1, {}}));
    EXPECT_EQ(refusal(header(18, 4)), (Notify{ErrorCode::Header, 2, {0, 18}}));
    EXPECT_EQ(refusal(header(4097, 2)), (Notify{ErrorCode::Header, 2, {0x10, 0x01}}));
    EXPECT_EQ(refusal(header(28, 1)), (Notify{ErrorCode::Header, 2, {0, 28}})) << "OPEN";
    EXPECT_EQ(refusal(header(22, 2)), (Notify{ErrorCode::Header, 2, {0, 22}})) << "UPDATE";
    EXPECT_EQ(refusal(header(20, 3)), (Notify{ErrorCode::Header, 2, {0, 20}})) << "NOTIFICATION";
    EXPECT_EQ(refusal(header(20, 4)), (Notify{ErrorCode::Header, 2, {0, 20}})) << "KEEPALIVE";
    EXPECT_EQ(refusal(header(19, 0)), (Notify{ErrorCode::Header, 3, {0}}));
    EXPECT_EQ(refusal(header(19, 6)), (Notify{ErrorCode::Header, 3, {6}}));
}

TEST(OpenCodec, gives_back_every_field)
{
    const auto decoded = decode_open(body_of(full_open()));
    ASSERT_TRUE(std::holds_alternative<Open>(decoded));
    EXPECT_EQ(std::get<Open>(decoded), full_open());
}

TEST(OpenCodec, wide_as_shows_as_as_trans_in_the_two_octet_field)
{
    const Bytes body = body_of(full_open());
    EXPECT_THAT((Bytes{body[1], body[2]}), ElementsAre(0x5b, 0xa0));
}

TEST(OpenCodec, peer_without_capabilities_has_its_two_octet_as_and_carries_ipv4)
{
    const Bytes body{4, 0xfc, 0x00, 0, 90, 10, 0, 0, 2, 0};
    const auto decoded = decode_open(body);
    ASSERT_TRUE(std::holds_alternative<Open>(decoded));
    EXPECT_EQ(std::get<Open>(decoded).as, Asn{64512});
    EXPECT_TRUE(std::get<Open>(decoded).capabilities.carries(kIpv4Unicast));
    EXPECT_FALSE(std::get<Open>(decoded).capabilities.four_octet_as);
}

TEST(OpenCodec, is_refused_with_the_subcode_of_rfc_4271_6_2)
{
    const Bytes good{4, 0xfc, 0x00, 0, 90, 10, 0, 0, 2, 0};
    const auto with = [&](std::size_t at, std::uint8_t value) {
        Bytes body = good;
        body[at] = value;
        return body;
    };
    EXPECT_EQ(open_refusal(with(0, 3)), (Notify{ErrorCode::Open, 1, {0, 4}}));
    EXPECT_EQ(open_refusal(with(4, 1)), (Notify{ErrorCode::Open, 6, {}}));
    EXPECT_EQ(open_refusal(with(4, 2)), (Notify{ErrorCode::Open, 6, {}}));
    EXPECT_EQ(open_refusal({4, 0xfc, 0, 0, 90, 0, 0, 0, 0, 0}), (Notify{ErrorCode::Open, 3, {}}));
    EXPECT_EQ(open_refusal({4, 0, 0, 0, 90, 10, 0, 0, 2, 0}), (Notify{ErrorCode::Open, 2, {}}));
    EXPECT_EQ(open_refusal(with(9, 4)), (Notify{ErrorCode::Open, 0, {}})) << "parameters missing";
    Bytes unknown_parameter = with(9, 2);
    unknown_parameter.insert(unknown_parameter.end(), {7, 0});
    EXPECT_EQ(open_refusal(unknown_parameter), (Notify{ErrorCode::Open, 4, {}}));
    Bytes short_capability = with(9, 7);
    short_capability.insert(short_capability.end(), {2, 5, 65, 3, 0, 0, 1});
    EXPECT_EQ(open_refusal(short_capability), (Notify{ErrorCode::Open, 0, {}}));
}

// RFC 6793 section 4.1.
TEST(OpenCodec, narrow_as_is_that_of_the_capability_or_stands_for_it)
{
    const auto body = [](std::uint16_t narrow, std::uint8_t wide) {
        return Bytes{4,
                     static_cast<std::uint8_t>(narrow >> 8),
                     static_cast<std::uint8_t>(narrow),
                     0,
                     90,
                     10,
                     0,
                     0,
                     2,
                     8,
                     2,
                     6,
                     65,
                     4,
                     0,
                     0,
                     0xfc,
                     wide};
    };
    EXPECT_TRUE(std::holds_alternative<Open>(decode_open(body(0xfc00, 0))));
    EXPECT_TRUE(std::holds_alternative<Open>(decode_open(body(23456, 0))));
    EXPECT_EQ(open_refusal(body(0xfc00, 1)), (Notify{ErrorCode::Open, 2, {}}));
    EXPECT_EQ(open_refusal(body(0, 0)), (Notify{ErrorCode::Open, 2, {}}));
}

TEST(OpenCodec, open_without_capabilities_has_no_parameters)
{
    Open open = full_open();
    open.as = Asn{64512};
    open.capabilities = {};
    const Bytes body = body_of(open);
    EXPECT_EQ(body.size(), 10u);
    EXPECT_EQ(body.back(), 0);
    EXPECT_EQ(std::get<Open>(decode_open(body)), open);
}

TEST(OpenCodec, unknown_capability_is_skipped)
{
    const Bytes body{4, 0xfc, 0x00, 0, 90, 10, 0, 0, 2, 9, 2, 7, 200, 3, 1, 2, 3, 2, 0};
    const auto decoded = decode_open(body);
    ASSERT_TRUE(std::holds_alternative<Open>(decoded));
    EXPECT_TRUE(std::get<Open>(decoded).capabilities.route_refresh);
}

TEST(OpenCodec, truncated_at_every_octet_is_refused_and_never_read_past)
{
    const Bytes body = body_of(full_open());
    for (std::size_t size = 0; size < body.size(); ++size) {
        const Bytes cut(body.begin(), body.begin() + static_cast<std::ptrdiff_t>(size));
        EXPECT_TRUE(std::holds_alternative<Notify>(decode_open(cut))) << size;
    }
}

TEST(NotificationCodec, text_names_code_and_shutdown_communication)
{
    EXPECT_EQ(describe({ErrorCode::Open, 2, {}}), "Bad Peer AS (2/2)");
    EXPECT_EQ(describe({ErrorCode::Open, 99, {}}), "OPEN Message Error (2/99)");
    EXPECT_EQ(describe(shutdown_notice(cease::kAdminShutdown, "bye\n")),
              "Administrative Shutdown (6/2): \"bye?\"");
    EXPECT_EQ(describe({ErrorCode::Cease, 2, {200, 'x'}}), "Administrative Shutdown (6/2)")
        << "a length that lies shows nothing";
}

// It goes into logs and JSON.
TEST(NotificationCodec, text_of_the_peers_is_shown_as_valid_utf_8)
{
    const Bytes text = {'a',  0xc3, 0xa4, 0xe2, 0x82, 0xac, 0xff,
                        0xc2, 0x85, 0xed, 0xa0, 0x80, 0xc3};
    Notify notify{ErrorCode::Cease, cease::kAdminReset, {static_cast<std::uint8_t>(text.size())}};
    notify.data.insert(notify.data.end(), text.begin(), text.end());
    EXPECT_TRUE(describe(notify).ends_with("\"a\u00e4\u20ac??????"
                                           "?\""))
        << describe(notify);
}

TEST(NotificationCodec, long_data_is_cut_to_one_message)
{
    Bytes stream;
    encode_notification({ErrorCode::Update, 1, Bytes(9000, 7)}, stream);
    const auto frame = next_frame(stream);
    ASSERT_TRUE(std::holds_alternative<Frame>(frame));
    EXPECT_EQ(std::get<Frame>(frame).size, kMaxMessage);
    EXPECT_EQ(decode_notification(std::get<Frame>(frame).body).subcode, 1);
}

} // namespace
} // namespace margay::bgp
