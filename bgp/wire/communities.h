// SPDX-License-Identifier: Apache-2.0
// Communities as people write them: RFC 1997, 4360 and 8092.

#pragma once

#include "bgp/wire/attributes.h"

#include <string>
#include <vector>

namespace margay::bgp {

// "64512:100", or the name of a well-known one: "no-export".
std::string community_text(std::uint32_t community);

// Of the attributes that are carried without being interpreted; empty where there is none.
std::vector<std::string> large_communities(const Attributes& attributes);    // "64512:1:2"
std::vector<std::string> extended_communities(const Attributes& attributes); // "target:64512:100"

} // namespace margay::bgp
