// SPDX-License-Identifier: Apache-2.0
// The datastore's scalar notations: protocols, ports, AS numbers, durations, MAC addresses.
//
// Texts come from anybody who can write to the datastore. Each function returns nothing for
// a text that is not wholly in the notation; none guesses.

#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/model/resources.h"

namespace margay::model {

inline constexpr std::uint8_t kProtoIcmp = 1;
inline constexpr std::uint8_t kProtoIpip = 4;
inline constexpr std::uint8_t kProtoTcp = 6;
inline constexpr std::uint8_t kProtoUdp = 17;
inline constexpr std::uint8_t kProtoIcmpV6 = 58;
inline constexpr std::uint8_t kProtoSctp = 132;
inline constexpr std::uint8_t kProtoUdpLite = 136;

// The built-in profile that allows everything; never stored, calc knows it.
inline constexpr std::string_view kDefaultAllowProfile = "projectcalico-default-allow";

inline constexpr std::string_view kNamespaceLabel = "projectcalico.org/namespace";
inline constexpr std::string_view kOrchestratorLabel = "projectcalico.org/orchestrator";
inline constexpr std::string_view kServiceAccountLabel = "projectcalico.org/serviceaccount";

std::string lower(std::string_view text); // of ASCII letters

// "TCP" in any case, or a decimal number 1-255.
std::optional<std::uint8_t> parse_protocol(std::string_view text);
bool has_ports(std::uint8_t protocol); // TCP, UDP, SCTP

// "80", "8000:8010", or a name of [a-zA-Z0-9_.-]{1,128}.
std::optional<PortMatch> parse_port(std::string_view text);

// "64512", or dotted halves "1.10".
std::optional<std::uint32_t> parse_as_number(std::string_view text);

// "65001:10", or the large "65001:1:10".
std::optional<Community> parse_community(std::string_view text);

// Go's notation: "90s", "2m0s", "1.5h", "0".
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);

std::optional<Mac> parse_mac(std::string_view text);

std::optional<FailsafePort> parse_failsafe_port(std::string_view text); // "udp:10.0.0.0/8:68"
// "tcp:22,udp:10.0.0.0/8:68"; "none" is the empty list.
std::optional<std::vector<FailsafePort>> parse_failsafe_ports(std::string_view text);

// "true", "false" and their kin, in any case.
std::optional<bool> parse_bool(std::string_view text);

// A decimal number within [min, max], nothing else.
std::optional<long> parse_number(std::string_view text, long min, long max);

// "10.0.0.0/8", masked; without a length it is none.
std::optional<AnyPrefix> parse_any_prefix(std::string_view text);

// Adds a prefix or bare address of either family, masked. False: not an address.
bool add_net(Nets& nets, std::string_view text);

// Letters that Kubernetes allows in names and in keys of Secrets, and nothing that leads out of a folder.
bool is_plain_name(std::string_view text);

// `text` for a message: printable ASCII, in quotes, cut at 64 characters.
std::string quoted_for_people(std::string_view text);

} // namespace margay::model
