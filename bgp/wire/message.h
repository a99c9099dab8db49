// SPDX-License-Identifier: Apache-2.0
// Framing: the header, one message out of a byte stream, and the small messages
// (RFC 4271 4.1, 4.4, 4.5; ROUTE-REFRESH: RFC 2918).
//
// next_frame() judges a header as soon as its 19 octets are there and needs no more of a message
// that it refuses. The Frame points into the caller's buffer.

#pragma once

#include "bgp/wire/notification.h"
#include "bgp/wire/open.h"
#include "bgp/wire/types.h"

#include <variant>

namespace margay::bgp {

inline constexpr std::size_t kHeaderSize = 19;
inline constexpr std::size_t kMaxMessage = 4096;

enum class MessageType : std::uint8_t {
    Open = 1,
    Update = 2,
    Notification = 3,
    Keepalive = 4,
    RouteRefresh = 5,
};

struct NeedMore {};

struct Frame {
    MessageType type = MessageType::Keepalive;
    ByteView body;
    std::size_t size = 0; // octets to drop from the stream
};

std::variant<NeedMore, Frame, Notify> next_frame(ByteView stream);

Notify decode_notification(ByteView body);
Family decode_route_refresh(ByteView body); // next_frame() has checked the length

// Each appends one whole message.
void encode_open_message(const Open& open, Bytes& out);
void encode_keepalive(Bytes& out);
void encode_notification(const Notify& notify, Bytes& out);
void encode_route_refresh(Family family, Bytes& out);

// For encoders of other messages: writes a header and returns where it begins; end_message()
// fills in the length.
std::size_t begin_message(MessageType type, Bytes& out);
void end_message(std::size_t begin, Bytes& out);

} // namespace margay::bgp
