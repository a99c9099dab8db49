// SPDX-License-Identifier: Apache-2.0
// Small helpers for the JSON of IPAM values. For .cpp files of this folder only: Boost.JSON is
// heavy.

#pragma once

#include "agent/ipam/block.h"

#include <boost/json.hpp>

#include <initializer_list>

namespace margay::ipam {

// Invalid, with `what` and the reason, unless the text is one JSON object.
Result<boost::json::object> parse_object(std::string_view text, const std::string& what);

std::optional<std::uint64_t> as_number(const boost::json::value& value);
const boost::json::string* string_field(const boost::json::object& object, std::string_view name);

OtherFields other_fields(const boost::json::object& object,
                         std::initializer_list<std::string_view> known);
void add_other_fields(boost::json::object& object, const OtherFields& other);

} // namespace margay::ipam
