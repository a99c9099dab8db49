// SPDX-License-Identifier: Apache-2.0
// Loads what the compiler made. The program's type is sched_cls with expected_attach_type 0: the
// hooks that tail-call it must be loaded with the same.

#pragma once

#include <string>

#include "agent/policy/compiler.h"
#include "margay/fd.h"
#include "margay/result.h"

namespace margay::policy {

// `name` is what bpftool shows: cut to 15 characters, others than [A-Za-z0-9_] become '_'. A
// kernel that refuses the line info gets the program without it. Errors carry the last useful
// line of the verifier.
Result<Fd> load(const Segment& segment, const std::string& name);

} // namespace margay::policy
