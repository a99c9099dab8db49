// SPDX-License-Identifier: Apache-2.0
#include "bgp/wire/message.h"

#include <algorithm>
#include <array>

namespace margay::bgp {
namespace {

constexpr std::size_t kMarkerSize = 16;

// RFC 4271 6.1: the shortest and the longest that each type can be.
struct Limits {
    MessageType type;
    std::size_t min;
    std::size_t max;
};
constexpr std::array kLimits{
    Limits{MessageType::Open, 29, kMaxMessage},
    Limits{MessageType::Update, 23, kMaxExtendedMessage},
    Limits{MessageType::Notification, 21, kMaxExtendedMessage},
    Limits{MessageType::Keepalive, kHeaderSize, kHeaderSize},
    Limits{MessageType::RouteRefresh, kHeaderSize, kMaxExtendedMessage}, // RFC 7313: its own error
};

Notify header_fault(std::uint8_t subcode, Bytes data)
{
    return Notify{ErrorCode::Header, subcode, std::move(data)};
}

Notify bad_length(std::size_t length)
{
    return header_fault(header_error::kBadLength, {static_cast<std::uint8_t>(length >> 8),
                                                   static_cast<std::uint8_t>(length)});
}

} // namespace

std::variant<NeedMore, Frame, Notify> next_frame(ByteView stream, std::size_t max_message)
{
    if (stream.size() < kHeaderSize)
        return NeedMore{};
    ByteReader in(stream);
    const ByteView marker = in.take(kMarkerSize);
    const std::size_t length = in.u16();
    const std::uint8_t type = in.u8();

    if (!std::ranges::all_of(marker, [](std::uint8_t byte) { return byte == 0xff; }))
        return header_fault(header_error::kNotSynchronized, {});
    if (length < kHeaderSize || length > max_message)
        return bad_length(length);
    const auto limits = std::ranges::find(kLimits, static_cast<MessageType>(type), &Limits::type);
    if (limits == kLimits.end())
        return header_fault(header_error::kBadType, {type});
    if (length < limits->min || length > limits->max)
        return bad_length(length);
    if (stream.size() < length)
        return NeedMore{};
    return Frame{limits->type, stream.subspan(kHeaderSize, length - kHeaderSize), length};
}

Notify decode_notification(ByteView body)
{
    ByteReader in(body);
    Notify notify;
    notify.code = static_cast<ErrorCode>(in.u8());
    notify.subcode = in.u8();
    notify.data.assign(in.rest().begin(), in.rest().end());
    return notify;
}

RouteRefresh decode_route_refresh(ByteView body)
{
    ByteReader in(body);
    RouteRefresh refresh;
    refresh.family.afi = in.u16();
    refresh.kind = static_cast<RouteRefresh::Kind>(in.u8());
    refresh.family.safi = in.u8();
    return refresh;
}

std::size_t begin_message(MessageType type, Bytes& out)
{
    const std::size_t begin = out.size();
    out.insert(out.end(), kMarkerSize, 0xff);
    ByteWriter writer(out);
    writer.u16(0);
    writer.u8(static_cast<std::uint8_t>(type));
    return begin;
}

void end_message(std::size_t begin, Bytes& out)
{
    ByteWriter(out).patch_u16(begin + kMarkerSize, out.size() - begin);
}

void encode_open_message(const Open& open, Bytes& out)
{
    const std::size_t begin = begin_message(MessageType::Open, out);
    encode_open(open, out);
    end_message(begin, out);
}

void encode_keepalive(Bytes& out)
{
    end_message(begin_message(MessageType::Keepalive, out), out);
}

void encode_notification(const Notify& notify, Bytes& out)
{
    constexpr std::size_t kRoom = kMaxMessage - kHeaderSize - 2;
    const std::size_t begin = begin_message(MessageType::Notification, out);
    ByteWriter writer(out);
    writer.u8(static_cast<std::uint8_t>(notify.code));
    writer.u8(notify.subcode);
    writer.bytes(ByteView(notify.data).first(std::min(notify.data.size(), kRoom)));
    end_message(begin, out);
}

void encode_route_refresh(const RouteRefresh& refresh, Bytes& out)
{
    const std::size_t begin = begin_message(MessageType::RouteRefresh, out);
    ByteWriter writer(out);
    writer.u16(refresh.family.afi);
    writer.u8(static_cast<std::uint8_t>(refresh.kind));
    writer.u8(refresh.family.safi);
    end_message(begin, out);
}

} // namespace margay::bgp
