// SPDX-License-Identifier: Apache-2.0
// Addresses as tests write them. Text that is none throws, which fails the test.

#pragma once

#include <cstdint>
#include <string_view>
#include <type_traits>

#include "margay/ip.h"

namespace margay {

inline Ipv4 ip(std::string_view text)
{
    return Ipv4::parse(text).value();
}

inline Prefix4 prefix(std::string_view text)
{
    return Prefix4::parse(text).value();
}

inline Ipv6 ip6(std::string_view text)
{
    return Ipv6::parse(text).value();
}

inline Prefix6 prefix6(std::string_view text)
{
    return Prefix6::parse(text).value();
}

// For tests of both families: 10.0.0.0/26, or what stands for it in IPv6, 2001:db8:a00::/58.
template <typename P>
P prefix_of(std::string_view text)
{
    const Prefix4 plain = prefix(text);
    if constexpr (std::is_same_v<P, Prefix4>) {
        return plain;
    } else {
        const std::uint32_t value = plain.addr.value();
        Ipv6::Bytes bytes{0x20, 0x01, 0x0d, 0xb8};
        for (int i = 0; i < 4; ++i)
            bytes[static_cast<std::size_t>(4 + i)] =
                static_cast<std::uint8_t>(value >> (24 - 8 * i));
        return {Ipv6(bytes), static_cast<std::uint8_t>(32 + plain.length)};
    }
}

} // namespace margay
