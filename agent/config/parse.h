// SPDX-License-Identifier: Apache-2.0
// Values as text. Each function takes trimmed text and gives nothing when it is not allowed.

#pragma once

#include "agent/config/config.h"
#include "agent/model/scalars.h"

namespace margay::config {

using model::lower;
using model::parse_bool;
using model::parse_number;

std::string_view trim(std::string_view text);
std::vector<std::string> split(std::string_view text, char separator); // trimmed, without empties

std::optional<std::uint32_t> parse_as(std::string_view text); // plain or dotted "hi.lo"
std::optional<std::uint32_t> parse_mark_mask(std::string_view text);
std::optional<NodeIp> parse_node_ip(std::string_view text);
std::optional<PoolCidr> parse_pool_cidr(std::string_view text);
std::optional<IpipMode> parse_ipip_mode(std::string_view text);
std::optional<LogLevel> parse_log_level(std::string_view text);
std::optional<Listen> parse_listen(std::string_view text);
std::optional<std::vector<FailsafePort>> parse_failsafe(std::string_view text);
std::optional<std::vector<Prefix4>> parse_prefixes(std::string_view text);
std::optional<std::vector<ListenRange>> parse_listen_ranges(std::string_view text);

// A number from `least` to `most` into the field.
template <typename Field>
bool read_number(std::string_view text, long least, long most, Field& field)
{
    const auto number = parse_number(text, least, most);
    if (number)
        field = static_cast<Field>(*number);
    return number.has_value();
}

bool is_autodetection_method(std::string_view text);
bool is_regex_list(std::string_view text);
bool is_etcd_url(std::string_view text);
bool is_interface_prefix(std::string_view text);
bool is_node_name(std::string_view text);

} // namespace margay::config
