// SPDX-License-Identifier: Apache-2.0
#include "agent/config/parse.h"

#include "margay/pattern.h"

#include <algorithm>
#include <bit>
#include <charconv>

namespace margay::config {
namespace {

// kube-proxy's drop and masquerade bits, and the half that Calico takes by default.
constexpr std::uint32_t kForeignMarks = 0xffff0000u | 0x0000c000u;

} // namespace

std::string_view trim(std::string_view text)
{
    constexpr std::string_view blanks = " \t\r\n";
    const auto begin = text.find_first_not_of(blanks);
    if (begin == std::string_view::npos)
        return {};
    return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

std::vector<std::string> split(std::string_view text, char separator)
{
    std::vector<std::string> parts;
    while (!text.empty()) {
        const auto end = text.find(separator);
        const auto part = trim(text.substr(0, end));
        if (!part.empty())
            parts.emplace_back(part);
        if (end == std::string_view::npos)
            break;
        text.remove_prefix(end + 1);
    }
    return parts;
}

std::optional<std::uint32_t> parse_as(std::string_view text)
{
    const auto number = model::parse_as_number(text);
    return number && *number != 0 ? number : std::nullopt;
}

std::optional<std::uint32_t> parse_mark_mask(std::string_view text)
{
    if (!text.starts_with("0x") && !text.starts_with("0X"))
        return std::nullopt;
    text.remove_prefix(2);
    std::uint32_t mask = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, ec] = std::from_chars(text.data(), end, mask, 16);
    if (ec != std::errc() || stop != end || (mask & kForeignMarks) != 0)
        return std::nullopt;
    const std::uint32_t run = mask >> std::countr_zero(mask);
    if (mask == 0 || (run & (run + 1)) != 0 || std::popcount(mask) < 4)
        return std::nullopt;
    return mask;
}

std::optional<NodeIp> parse_node_ip(std::string_view text)
{
    NodeIp ip;
    const std::string word = lower(text);
    if (word.empty())
        return ip;
    if (word == "autodetect" || word == "none") {
        ip.kind = word == "none" ? NodeIp::Kind::None : NodeIp::Kind::Autodetect;
        return ip;
    }
    const auto address = Prefix4::parse(text);
    if (!address || address->addr.is_zero() || address->length == 0)
        return std::nullopt;
    ip.kind = NodeIp::Kind::Fixed;
    ip.address = *address;
    ip.length_given = text.find('/') != std::string_view::npos;
    return ip;
}

std::optional<PoolCidr> parse_pool_cidr(std::string_view text)
{
    PoolCidr pool;
    if (text.empty())
        return pool;
    if (lower(text) == "none") {
        pool.kind = PoolCidr::Kind::None;
        return pool;
    }
    const auto cidr = Prefix4::parse(text);
    if (!cidr || text.find('/') == std::string_view::npos || cidr->length == 0)
        return std::nullopt;
    pool.kind = PoolCidr::Kind::Fixed;
    pool.cidr = cidr->network();
    return pool;
}

std::optional<IpipMode> parse_ipip_mode(std::string_view text)
{
    const std::string word = lower(text);
    if (word == "off" || word == "never")
        return IpipMode::Never;
    if (word == "always")
        return IpipMode::Always;
    if (word == "crosssubnet" || word == "cross-subnet")
        return IpipMode::CrossSubnet;
    return std::nullopt;
}

std::optional<LogLevel> parse_log_level(std::string_view text)
{
    const std::string word = lower(text);
    if (word == "warn")
        return LogLevel::Warning;
    for (int i = 0; i <= static_cast<int>(LogLevel::None); i++) {
        const auto level = static_cast<LogLevel>(i);
        if (word == to_string(level) || (level == LogLevel::Fatal && word == "fatal") ||
            (level == LogLevel::None && word == "none"))
            return level;
    }
    return std::nullopt;
}

std::optional<Listen> parse_listen(std::string_view text)
{
    if (lower(text) == "off")
        return Listen{};
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos)
        return std::nullopt;
    std::string_view host = text.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']'))
        host = host.substr(1, host.size() - 2);
    const auto port = parse_number(text.substr(colon + 1), 1, 65535);
    if (!port || !Ip::parse(host))
        return std::nullopt;
    return Listen{std::string(host), static_cast<std::uint16_t>(*port)};
}

std::optional<std::vector<FailsafePort>> parse_failsafe(std::string_view text)
{
    std::vector<FailsafePort> ports;
    if (lower(text) == "none")
        return ports;
    for (const std::string& item : split(text, ',')) {
        const auto port = model::parse_failsafe_port(item);
        if (!port || !model::has_ports(port->protocol) || (item[0] >= '0' && item[0] <= '9'))
            return std::nullopt; // the protocols that rules can name here, by their names
        ports.push_back(*port);
    }
    return ports;
}

std::optional<std::vector<Prefix4>> parse_prefixes(std::string_view text)
{
    std::vector<Prefix4> prefixes;
    for (const std::string& item : split(text, ',')) {
        const auto prefix = Prefix4::parse(item);
        if (!prefix)
            return std::nullopt;
        prefixes.push_back(prefix->network());
    }
    return prefixes;
}

bool is_autodetection_method(std::string_view text)
{
    if (text == "first-found")
        return true;
    const auto equals = text.find('=');
    if (equals == std::string_view::npos)
        return false;
    const std::string_view method = text.substr(0, equals);
    const std::string_view argument = trim(text.substr(equals + 1));
    if (argument.empty())
        return false;
    if (method == "interface" || method == "skip-interface")
        return is_regex_list(argument);
    if (method == "cidr")
        return parse_prefixes(argument).has_value();
    return method == "can-reach";
}

bool is_regex_list(std::string_view text)
{
    const auto items = split(text, ',');
    return !items.empty() && Pattern::compile_all(items).has_value();
}

bool is_etcd_url(std::string_view text)
{
    for (const std::string_view scheme : {"http://", "https://"}) {
        if (!text.starts_with(scheme))
            continue;
        const std::string_view rest = text.substr(scheme.size());
        const std::string_view authority = rest.substr(0, rest.find('/'));
        const auto colon = authority.rfind(':');
        if (colon == 0 || colon == std::string_view::npos)
            return false;
        return parse_number(authority.substr(colon + 1), 1, 65535).has_value();
    }
    return false;
}

bool is_interface_prefix(std::string_view text)
{
    // IFNAMSIZ is 16 with its zero; a prefix that fills it leaves no room for a name.
    return !text.empty() && text.size() < 15 &&
           text.find_first_of("/: \t") == std::string_view::npos;
}

bool is_node_name(std::string_view text)
{
    // The name becomes part of etcd keys: no '/', which would end it early.
    return !text.empty() && text.size() <= 253 && std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '.' || c == '_';
    });
}

} // namespace margay::config
