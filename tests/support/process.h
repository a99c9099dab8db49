// SPDX-License-Identifier: Apache-2.0
// Processes for tests: run a command to its end, or start one that dies with the test program.

#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace margay::testing {

struct RunResult {
    int exit_code = -1; // 128 + signal when killed
    std::string out;    // standard output and error together
};

// No shell: arguments are passed as they are.
RunResult run(const std::vector<std::string>& command);

// Standard output and error go to the end of `log_file`. SIGKILLed when this program dies.
pid_t spawn(const std::vector<std::string>& command, const std::string& log_file);

// SIGKILL and wait. Does nothing for a pid below 1.
void kill_and_wait(pid_t pid);

std::string make_temp_folder(const std::string& name); // "/tmp/mg-<name>-XXXXXX"
std::uint16_t free_tcp_port();                         // of 127.0.0.1, free a moment ago
std::string read_file(const std::string& path);
void write_file(const std::string& path, const std::string& text);

} // namespace margay::testing
