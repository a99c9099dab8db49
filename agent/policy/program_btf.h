// SPDX-License-Identifier: Apache-2.0
// BTF for generated programs: a function's name and signature, and a line of text for each rule,
// so that `bpftool prog dump xlated` prints the policy beside its instructions.

#pragma once

#include <linux/bpf.h>

#include <string>
#include <vector>

#include "agent/policy/compiler.h"
#include "margay/fd.h"
#include "margay/result.h"

namespace margay::policy {

struct ProgramBtf {
    Fd btf;
    std::vector<bpf_func_info> functions;
    std::vector<bpf_line_info> lines;
};

// `function` is a C identifier.
Result<ProgramBtf> make_program_btf(const std::string& function, const std::vector<Line>& lines);

} // namespace margay::policy
