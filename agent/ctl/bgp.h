// SPDX-License-Identifier: Apache-2.0
// `margayctl bgp ...`: the commands that take arguments, or an answer in portions.

#pragma once

#include <CLI/CLI.hpp>

#include <functional>
#include <string>

namespace margay::ctl {

inline constexpr int kFailed = 1;

// What all commands are given.
struct Place {
    std::string run_dir;
    std::string output; // table or json

    std::string socket() const { return run_dir + "/control.sock"; }
    bool json() const { return output == "json"; }
};

// `chosen` is called after parsing; it gives the exit status. Both arguments outlive the app.
void add_bgp_commands(CLI::App& app, const Place& place, std::function<int()>& chosen);

} // namespace margay::ctl
