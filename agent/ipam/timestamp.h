// SPDX-License-Identifier: Apache-2.0
// Times as the datastore writes them: RFC 3339 in UTC.

#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace margay::ipam {

using Time = std::chrono::system_clock::time_point;

std::string rfc3339(Time time); // whole seconds, "Z"
// Fractions and offsets are understood; the result has whole seconds.
std::optional<Time> parse_rfc3339(std::string_view text);
std::uint64_t unix_nanoseconds(Time time);

} // namespace margay::ipam
