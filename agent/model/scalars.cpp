// SPDX-License-Identifier: Apache-2.0

#include "agent/model/scalars.h"

#include <algorithm>
#include <charconv>

namespace margay::model {
namespace {

bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool is_port_name(std::string_view text)
{
    return !text.empty() && text.size() <= 128 && std::all_of(text.begin(), text.end(), [](char c) {
        return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
               c == '.' || c == '-';
    });
}

struct Unit {
    std::string_view name;
    double milliseconds;
};

// Longer names first where one begins another.
constexpr Unit kUnits[] = {
    {"ns", 1e-6}, {"us", 1e-3}, {"ms", 1.0}, {"s", 1e3}, {"m", 6e4}, {"h", 3.6e6},
};

const Unit* unit_at(std::string_view text)
{
    for (const auto& unit : kUnits)
        if (text.starts_with(unit.name))
            return &unit;
    return nullptr;
}

} // namespace

std::string lower(std::string_view text)
{
    std::string result(text);
    for (char& c : result)
        if (c >= 'A' && c <= 'Z')
            c = static_cast<char>(c - 'A' + 'a');
    return result;
}

std::optional<std::uint8_t> parse_protocol(std::string_view text)
{
    static constexpr std::pair<std::string_view, std::uint8_t> kNames[] = {
        {"tcp", kProtoTcp},   {"udp", kProtoUdp},         {"icmp", kProtoIcmp},
        {"sctp", kProtoSctp}, {"udplite", kProtoUdpLite}, {"icmpv6", kProtoIcmpV6},
    };
    const auto name = lower(text);
    for (const auto& [known, number] : kNames)
        if (name == known)
            return number;
    const auto number = parse_number(text, 1, 255);
    return number ? std::optional(static_cast<std::uint8_t>(*number)) : std::nullopt;
}

bool has_ports(std::uint8_t protocol)
{
    return protocol == kProtoTcp || protocol == kProtoUdp || protocol == kProtoSctp;
}

std::optional<PortMatch> parse_port(std::string_view text)
{
    if (const auto number = parse_number(text, 0, 65535)) {
        const auto port = static_cast<std::uint16_t>(*number);
        return PortMatch{port, port, {}};
    }
    if (const auto colon = text.find(':'); colon != std::string_view::npos) {
        const auto first = parse_number(text.substr(0, colon), 0, 65535);
        const auto last = parse_number(text.substr(colon + 1), 0, 65535);
        if (!first || !last || *first > *last)
            return std::nullopt;
        return PortMatch{static_cast<std::uint16_t>(*first), static_cast<std::uint16_t>(*last), {}};
    }
    const bool digits_only = std::all_of(text.begin(), text.end(), is_digit);
    if (digits_only || !is_port_name(text))
        return std::nullopt;
    return PortMatch{0, 0, std::string(text)};
}

std::optional<std::uint32_t> parse_as_number(std::string_view text)
{
    if (const auto dot = text.find('.'); dot != std::string_view::npos) {
        const auto high = parse_number(text.substr(0, dot), 0, 65535);
        const auto low = parse_number(text.substr(dot + 1), 0, 65535);
        if (!high || !low)
            return std::nullopt;
        return static_cast<std::uint32_t>(*high) << 16 | static_cast<std::uint32_t>(*low);
    }
    const auto number = parse_number(text, 0, 0xffffffffL);
    return number ? std::optional(static_cast<std::uint32_t>(*number)) : std::nullopt;
}

std::optional<Community> parse_community(std::string_view text)
{
    const auto first = text.find(':');
    const auto last = text.rfind(':');
    if (first == std::string_view::npos)
        return std::nullopt;
    const bool large = first != last;
    const long limit = large ? 0xffffffffL : 0xffffL;
    const auto one = parse_number(text.substr(0, first), 0, limit);
    const auto three = parse_number(text.substr(last + 1), 0, limit);
    const auto two = large ? parse_number(text.substr(first + 1, last - first - 1), 0, limit) : 0;
    if (!one || !two || !three)
        return std::nullopt;
    if (!large)
        return static_cast<std::uint32_t>(*one << 16 | *three);
    return LargeCommunity{static_cast<std::uint32_t>(*one), static_cast<std::uint32_t>(*two),
                          static_cast<std::uint32_t>(*three)};
}

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text)
{
    if (text == "0")
        return std::chrono::milliseconds(0);
    if (text.empty() || text.size() > 64)
        return std::nullopt;
    double total = 0;
    while (!text.empty()) {
        double amount = 0;
        if (!is_digit(text.front()) && text.front() != '.')
            return std::nullopt; // from_chars would take "inf" and a sign
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), amount,
                                                  std::chars_format::fixed);
        if (error != std::errc())
            return std::nullopt;
        text.remove_prefix(static_cast<std::size_t>(end - text.data()));
        const Unit* unit = unit_at(text);
        if (!unit)
            return std::nullopt;
        text.remove_prefix(unit->name.size());
        total += amount * unit->milliseconds;
    }
    constexpr double kLimit = 1e15; // 30,000 years; keeps the conversion defined
    if (total > kLimit)
        return std::nullopt;
    return std::chrono::milliseconds(static_cast<std::int64_t>(total));
}

std::optional<Mac> parse_mac(std::string_view text)
{
    Mac mac{};
    if (text.size() != mac.size() * 3 - 1)
        return std::nullopt;
    for (std::size_t i = 0; i < mac.size(); ++i) {
        const char* digits = text.data() + i * 3;
        const auto [end, error] = std::from_chars(digits, digits + 2, mac[i], 16);
        const bool separated = i + 1 == mac.size() || digits[2] == ':' || digits[2] == '-';
        if (error != std::errc() || end != digits + 2 || !separated)
            return std::nullopt;
    }
    return mac;
}

std::optional<FailsafePort> parse_failsafe_port(std::string_view text)
{
    const auto first = text.find(':');
    const auto last = text.rfind(':');
    if (first == std::string_view::npos)
        return std::nullopt;
    const auto protocol = parse_protocol(text.substr(0, first));
    const auto port = parse_number(text.substr(last + 1), 0, 65535);
    if (!protocol || !port)
        return std::nullopt;
    FailsafePort result{*protocol, static_cast<std::uint16_t>(*port), {}};
    if (first != last) {
        const auto net = Prefix4::parse(text.substr(first + 1, last - first - 1));
        if (!net)
            return std::nullopt;
        result.net = net->network();
    }
    return result;
}

std::optional<std::vector<FailsafePort>> parse_failsafe_ports(std::string_view text)
{
    std::vector<FailsafePort> ports;
    if (lower(text) == "none")
        return ports;
    while (!text.empty()) {
        const auto comma = std::min(text.find(','), text.size());
        auto item = text.substr(0, comma);
        text.remove_prefix(std::min(comma + 1, text.size()));
        while (item.starts_with(' '))
            item.remove_prefix(1);
        while (item.ends_with(' '))
            item.remove_suffix(1);
        const auto port = parse_failsafe_port(item);
        if (!port)
            return std::nullopt;
        ports.push_back(*port);
    }
    return ports;
}

std::optional<bool> parse_bool(std::string_view text)
{
    const auto word = lower(text);
    for (const char* yes : {"true", "1", "yes", "y", "t"})
        if (word == yes)
            return true;
    for (const char* no : {"false", "0", "no", "n", "f"})
        if (word == no)
            return false;
    return std::nullopt;
}

std::optional<long> parse_number(std::string_view text, long min, long max)
{
    long number = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc() || stop != end || text.front() == '-' || number < min || number > max)
        return std::nullopt;
    return number;
}

std::optional<AnyPrefix> parse_any_prefix(std::string_view text)
{
    if (text.find('/') == std::string_view::npos)
        return std::nullopt;
    if (const auto v4 = Prefix4::parse(text))
        return v4->network();
    if (const auto v6 = Prefix6::parse(text))
        return v6->network();
    return std::nullopt;
}

bool add_net(Nets& nets, std::string_view text)
{
    if (const auto v4 = Prefix4::parse(text)) {
        nets.v4.push_back(v4->network());
        return true;
    }
    if (const auto v6 = Prefix6::parse(text)) {
        nets.v6.push_back(v6->network());
        return true;
    }
    return false;
}

bool is_plain_name(std::string_view text)
{
    return !text.empty() && text.size() <= 253 && text != "." && !text.starts_with("..") &&
           std::ranges::all_of(text, [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '_' || c == '.';
           });
}

std::string quoted_for_people(std::string_view text)
{
    constexpr std::size_t kLongest = 64;
    std::string result = "'";
    for (const char c : text.substr(0, kLongest))
        result += c >= ' ' && c <= '~' ? c : '?';
    result += text.size() > kLongest ? "...'" : "'";
    return result;
}

} // namespace margay::model
