// SPDX-License-Identifier: Apache-2.0
// Routes for the tests of this folder, from text.

#pragma once

#include "agent/bgp/route.h"

#include <string_view>

namespace margay::bgp_rules {

inline model::AnyPrefix any(std::string_view text)
{
    if (const auto v4 = Prefix4::parse(text))
        return *v4;
    return Prefix6::parse(text).value();
}

inline bgp::AttributePool& pool()
{
    static bgp::AttributePool one;
    return one;
}

inline bgp::Attributes with_path(std::vector<std::uint32_t> as_numbers)
{
    bgp::Attributes attributes;
    for (auto as = as_numbers.rbegin(); as != as_numbers.rend(); ++as)
        attributes.as_path.prepend(bgp::Asn(*as));
    return attributes;
}

inline Route route(std::string_view prefix, const bgp::Attributes& attributes = {},
                   Circumstances circumstances = {})
{
    return Route(any(prefix), pool().intern(attributes), std::move(circumstances));
}

} // namespace margay::bgp_rules
