// SPDX-License-Identifier: Apache-2.0
// What libbpf would print to stderr, kept instead: it goes into the Error of the call that failed.

#pragma once

#include <string>

namespace margay::datapath {

// Process-wide, as libbpf's own setting. Idempotent.
void capture_libbpf_text();
// The last warning since the previous call, and forgets it.
std::string take_libbpf_text();

} // namespace margay::datapath
