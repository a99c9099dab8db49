// SPDX-License-Identifier: Apache-2.0
#include "agent/ipam/timestamp.h"

#include <cstdio>
#include <ctime>

namespace margay::ipam {
namespace {

// "+02:00" as seconds; nothing when it is no offset.
std::optional<int> parse_offset(std::string_view text)
{
    if (text == "Z" || text == "z")
        return 0;
    int hours = 0;
    int minutes = 0;
    char sign = 0;
    const std::string copy(text);
    if (copy.size() != 6 || std::sscanf(copy.c_str(), "%c%2d:%2d", &sign, &hours, &minutes) != 3)
        return std::nullopt;
    if ((sign != '+' && sign != '-') || hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
        return std::nullopt;
    const int seconds = hours * 3600 + minutes * 60;
    return sign == '+' ? seconds : -seconds;
}

} // namespace

std::string rfc3339(Time time)
{
    const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
    std::tm parts{};
    gmtime_r(&seconds, &parts);
    char text[32];
    const std::size_t length = std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
    return std::string(text, length);
}

std::optional<Time> parse_rfc3339(std::string_view text)
{
    std::tm parts{};
    const std::string copy(text);
    const char* rest = strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
    if (!rest)
        return std::nullopt;
    if (*rest == '.')
        for (rest++; *rest >= '0' && *rest <= '9';)
            rest++;
    const auto offset = parse_offset(rest);
    if (!offset)
        return std::nullopt;
    return std::chrono::system_clock::from_time_t(timegm(&parts) - *offset);
}

std::uint64_t unix_nanoseconds(Time time)
{
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count());
}

} // namespace margay::ipam
