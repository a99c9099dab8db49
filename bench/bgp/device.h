// SPDX-License-Identifier: Apache-2.0
// Devices under test: how each BGP daemon is told the same thing.
//
// To add a daemon: a row in devices() and the function that writes its configuration.

#pragma once

#include "margay/ip.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace margay::bgp_bench {

inline constexpr std::uint32_t kDeviceAs = 64512;
inline constexpr Ipv4 kDeviceAddress{10u << 24 | 255u << 16 | 1}; // 10.255.0.1

struct Neighbor {
    Ipv4 address;
    std::uint32_t as = 0;
    bool client = false; // of the route reflector

    bool internal() const { return as == kDeviceAs; }
};

// What the daemon is to do: wait at port 179 for these neighbours, and pass on everything.
struct Setup {
    std::vector<Neighbor> neighbors;
    std::vector<Prefix4> own; // routes that it announces by itself
    std::uint16_t hold_time = 90;
};

// `config` is written to `config_file` in the daemon's folder before `argv` runs.
struct Launch {
    std::vector<std::string> argv;
    std::string config_file;
    std::string config;
};

struct Device {
    std::string_view name;
    std::string_view about;
    std::string_view package;      // Debian's; empty: part of this repository
    std::string_view program;      // absolute path, or a name in MARGAY_BIN
    std::string_view version_flag; // empty: has none
    bool originates;               // its configuration can give it routes of its own
    bool tells_turns;              // what its event loop did, when it is asked to end
    Launch (*launch)(const std::string& program, const std::string& folder, const Setup& setup);
};

std::span<const Device> devices();
const Device* find_device(std::string_view name);
// Empty when it is not installed.
std::optional<std::string> installed_program(const Device& device);
// Where to get it, for messages.
std::string remedy(const Device& device);
// The first line that the program says about itself.
std::string version_of(const Device& device);

} // namespace margay::bgp_bench
