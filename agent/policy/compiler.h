// SPDX-License-Identifier: Apache-2.0
// The compiler: from a Program to eBPF instructions (see maps/policy.h for what they read).
//
// A long program is cut into segments, each a program of its own; segment 0 belongs in the slot
// of "policies" that endpoints call, segment i in continuation slot i - 1. Install the
// continuations first and segment 0 last: a segment that is missing drops.
//
// Errors: Invalid (a set id that no class holds), Full (a single rule or the whole Program is too
// large, or continuation slots are missing). Nothing is ever left out: a Program compiles as a
// whole or not at all.

#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <string>
#include <vector>

#include "agent/policy/ir.h"
#include "margay/result.h"

namespace margay::policy {

// Descriptors of the maps that a program uses (maps/policy.h, maps/stats.h), and where the segments
// after the first will be.
struct CompileContext {
    int scratch = -1;
    int classes4 = -1; // values are class ids (__u32)
    int class_sets = -1;
    int policies = -1;
    int stages = -1;
    int counters = -1;
    std::vector<std::uint32_t> continuations; // slots of `policies`
};

// The text that stands beside the instructions from `instruction` on.
struct Line {
    std::uint32_t instruction = 0;
    std::string text;
};

struct Segment {
    std::vector<bpf_insn> instructions;
    std::vector<Line> lines; // ascending, the first at instruction 0
};

struct Compiled {
    std::vector<Segment> segments;
};

// How a Program is cut. A kernel may refuse more pending jumps than `jumps`, and a jump reaches no
// further than `instructions`. The defaults suit every kernel from 6.1 on; tests make them small.
struct SegmentLimits {
    std::size_t instructions = 28000;
    std::size_t jumps = 6000;
    std::size_t segments = 25; // of 33 tail calls; the hooks keep 8
};

// How many segments compile() will make: 1 + the continuation slots it needs.
Result<std::size_t> segment_count(const Program& program, const SegmentLimits& limits = {});

Result<Compiled> compile(const Program& program, const CompileContext& context,
                         const SegmentLimits& limits = {});

} // namespace margay::policy
