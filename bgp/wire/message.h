// SPDX-License-Identifier: Apache-2.0
// Framing: the header, one message out of a byte stream, and the small messages
// (RFC 4271 4.1, 4.4, 4.5; ROUTE-REFRESH: RFC 2918, 7313; extended messages: RFC 8654).
//
// next_frame() judges a header as soon as its 19 octets are there and needs no more of a message
// that it refuses. The Frame points into the caller's buffer.

#pragma once

#include "bgp/wire/attributes.h"
#include "bgp/wire/notification.h"
#include "bgp/wire/open.h"
#include "bgp/wire/types.h"

#include <variant>

namespace margay::bgp {

inline constexpr std::size_t kHeaderSize = 19;

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

// `max_message`: of what was agreed on (RFC 8654); OPEN and KEEPALIVE never are longer than 4096.
std::variant<NeedMore, Frame, Notify> next_frame(ByteView stream,
                                                 std::size_t max_message = kMaxMessage);

Notify decode_notification(ByteView body);

// RFC 2918; what the octet between AFI and SAFI says: RFC 7313.
struct RouteRefresh {
    enum class Kind : std::uint8_t { Request = 0, Begin = 1, End = 2 };
    Kind kind = Kind::Request; // other values are to be ignored
    Family family;
};
RouteRefresh decode_route_refresh(ByteView body); // 4 octets

// Each appends one whole message.
void encode_open_message(const Open& open, Bytes& out);
void encode_keepalive(Bytes& out);
void encode_notification(const Notify& notify, Bytes& out);
void encode_route_refresh(const RouteRefresh& refresh, Bytes& out);

// For encoders of other messages: writes a header and returns where it begins; end_message()
// fills in the length.
std::size_t begin_message(MessageType type, Bytes& out);
void end_message(std::size_t begin, Bytes& out);

} // namespace margay::bgp
