// SPDX-License-Identifier: Apache-2.0
// Addresses as tests write them. Text that is none throws, which fails the test.

#pragma once

#include <string_view>

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

} // namespace margay
