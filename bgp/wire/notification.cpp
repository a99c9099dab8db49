// SPDX-License-Identifier: Apache-2.0
#include "bgp/wire/notification.h"

#include <algorithm>
#include <array>

namespace margay::bgp {
namespace {

constexpr std::size_t kMaxCommunication = 255;

struct Name {
    ErrorCode code;
    std::uint8_t subcode;
    std::string_view text;
};

constexpr std::array kNames{
    Name{ErrorCode::Header, 0, "Message Header Error"},
    Name{ErrorCode::Header, header_error::kNotSynchronized, "Connection Not Synchronized"},
    Name{ErrorCode::Header, header_error::kBadLength, "Bad Message Length"},
    Name{ErrorCode::Header, header_error::kBadType, "Bad Message Type"},
    Name{ErrorCode::Open, 0, "OPEN Message Error"},
    Name{ErrorCode::Open, open_error::kVersion, "Unsupported Version Number"},
    Name{ErrorCode::Open, open_error::kBadPeerAs, "Bad Peer AS"},
    Name{ErrorCode::Open, open_error::kBadIdentifier, "Bad BGP Identifier"},
    Name{ErrorCode::Open, open_error::kParameter, "Unsupported Optional Parameter"},
    Name{ErrorCode::Open, open_error::kHoldTime, "Unacceptable Hold Time"},
    Name{ErrorCode::Open, open_error::kCapability, "Unsupported Capability"},
    Name{ErrorCode::Update, 0, "UPDATE Message Error"},
    Name{ErrorCode::Update, update_error::kAttributeList, "Malformed Attribute List"},
    Name{ErrorCode::Update, update_error::kUnknownWellKnown, "Unrecognized Well-known Attribute"},
    Name{ErrorCode::Update, 3, "Missing Well-known Attribute"},
    Name{ErrorCode::Update, 4, "Attribute Flags Error"},
    Name{ErrorCode::Update, 5, "Attribute Length Error"},
    Name{ErrorCode::Update, 6, "Invalid ORIGIN Attribute"},
    Name{ErrorCode::Update, 8, "Invalid NEXT_HOP Attribute"},
    Name{ErrorCode::Update, update_error::kOptional, "Optional Attribute Error"},
    Name{ErrorCode::Update, update_error::kNetwork, "Invalid Network Field"},
    Name{ErrorCode::Update, 11, "Malformed AS_PATH"},
    Name{ErrorCode::HoldExpired, 0, "Hold Timer Expired"},
    Name{ErrorCode::Fsm, 0, "Finite State Machine Error"},
    Name{ErrorCode::Fsm, fsm_error::kInOpenSent, "Unexpected message in OpenSent"},
    Name{ErrorCode::Fsm, fsm_error::kInOpenConfirm, "Unexpected message in OpenConfirm"},
    Name{ErrorCode::Fsm, fsm_error::kInEstablished, "Unexpected message in Established"},
    Name{ErrorCode::Cease, 0, "Cease"},
    Name{ErrorCode::Cease, cease::kMaxPrefixes, "Maximum Number of Prefixes Reached"},
    Name{ErrorCode::Cease, cease::kAdminShutdown, "Administrative Shutdown"},
    Name{ErrorCode::Cease, cease::kPeerRemoved, "Peer De-configured"},
    Name{ErrorCode::Cease, cease::kAdminReset, "Administrative Reset"},
    Name{ErrorCode::Cease, cease::kRejected, "Connection Rejected"},
    Name{ErrorCode::Cease, cease::kConfigChange, "Other Configuration Change"},
    Name{ErrorCode::Cease, cease::kCollision, "Connection Collision Resolution"},
    Name{ErrorCode::Cease, cease::kOutOfResources, "Out of Resources"},
    Name{ErrorCode::Cease, cease::kHardReset, "Hard Reset"},
    Name{ErrorCode::Cease, cease::kBfdDown, "BFD Down"},
    Name{ErrorCode::RouteRefresh, 0, "ROUTE-REFRESH Message Error"},
    Name{ErrorCode::RouteRefresh, refresh_error::kBadLength, "Invalid Message Length"},
    Name{ErrorCode::SendHoldExpired, 0, "Send Hold Timer Expired"},
};

std::string_view name_of(ErrorCode code, std::uint8_t subcode)
{
    for (const std::uint8_t wanted : {subcode, std::uint8_t{0}}) {
        const auto found = std::ranges::find_if(
            kNames, [&](const Name& n) { return n.code == code && n.subcode == wanted; });
        if (found != kNames.end())
            return found->text;
    }
    return "Unknown Error";
}

// How many octets the UTF-8 character has that `text` begins with; 0 if it is none, or none that
// prints (RFC 3629 section 4, and C1 of ISO 6429).
std::size_t printable_character(ByteView text)
{
    const auto in = [&](std::size_t at, unsigned from, unsigned to) {
        return at < text.size() && text[at] >= from && text[at] <= to;
    };
    const unsigned first = text[0];
    if (first < 0x80)
        return first >= 0x20 && first != 0x7f ? 1 : 0;
    if (first >= 0xc2 && first <= 0xdf)
        return in(1, first == 0xc2 ? 0xa0 : 0x80, 0xbf) ? 2 : 0;
    const unsigned from = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    const unsigned to = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (first >= 0xe0 && first <= 0xef)
        return in(1, from, to) && in(2, 0x80, 0xbf) ? 3 : 0;
    if (first >= 0xf0 && first <= 0xf4)
        return in(1, from, to) && in(2, 0x80, 0xbf) && in(3, 0x80, 0xbf) ? 4 : 0;
    return 0;
}

// RFC 9003: one length octet and that much UTF-8. Whatever does not fit that is not shown.
std::string communication(const Notify& notify)
{
    const bool may_carry_text =
        notify.code == ErrorCode::Cease &&
        (notify.subcode == cease::kAdminShutdown || notify.subcode == cease::kAdminReset);
    if (!may_carry_text)
        return {};
    ByteReader in(notify.data);
    std::string text;
    for (ByteView rest = in.take(in.u8()); !rest.empty();) {
        const std::size_t size = printable_character(rest);
        text += size == 0 ? "?" : std::string(rest.begin(), rest.begin() + std::ptrdiff_t(size));
        rest = rest.subspan(std::max<std::size_t>(size, 1));
    }
    return text;
}

} // namespace

std::string describe(const Notify& notify)
{
    std::string text(name_of(notify.code, notify.subcode));
    text += " (" + std::to_string(static_cast<unsigned>(notify.code)) + "/" +
            std::to_string(notify.subcode) + ")";
    if (notify.is_hard_reset() && notify.data.size() >= 2) {
        const Notify inner{static_cast<ErrorCode>(notify.data[0]), notify.data[1],
                           Bytes(notify.data.begin() + 2, notify.data.end())};
        return inner.is_hard_reset() ? text : text + ": " + describe(inner);
    }
    const std::string said = communication(notify);
    return said.empty() ? text : text + ": \"" + said + "\"";
}

Notify hard_reset(const Notify& notify)
{
    Notify hard{ErrorCode::Cease, cease::kHardReset, {}};
    hard.data = {static_cast<std::uint8_t>(notify.code), notify.subcode};
    hard.data.insert(hard.data.end(), notify.data.begin(), notify.data.end());
    return hard;
}

Notify shutdown_notice(std::uint8_t subcode, std::string_view text)
{
    text = text.substr(0, kMaxCommunication);
    Notify notify{ErrorCode::Cease, subcode, {}};
    notify.data.push_back(static_cast<std::uint8_t>(text.size()));
    notify.data.insert(notify.data.end(), text.begin(), text.end());
    return notify;
}

} // namespace margay::bgp
