// SPDX-License-Identifier: Apache-2.0
// PolicyRig: compiled policies run by the kernel, many packets a system call.
//
// It has maps of its own with the layouts of maps/policy.h. A driver program takes the next
// judgement from an array, fills scratch and tail-calls the policy; the terminal stage writes
// scratch into another array. BPF_PROG_TEST_RUN's repeat runs the driver once a packet.

#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "agent/policy/compiler.h"
#include "agent/policy/evaluator.h"
#include "maps/policy.h"
#include "maps/stats.h"
#include "margay/fd.h"
#include "margay/result.h"

namespace margay::testing {

// The address sets of a test: a prefix and the sets that its addresses are in. The longest
// prefix counts alone, as in the map.
struct ClassPrefix {
    Prefix4 prefix;
    std::vector<policy::SetId> sets;
};

class Classes {
public:
    explicit Classes(std::vector<ClassPrefix> prefixes) : prefixes_(std::move(prefixes)) {}
    const std::vector<ClassPrefix>& prefixes() const { return prefixes_; }
    policy::SetMembership membership() const;

private:
    const ClassPrefix* longest_match(Ipv4 addr) const;

    std::vector<ClassPrefix> prefixes_;
};

class PolicyRig {
public:
    static constexpr std::uint32_t kBatch = 4096;
    static constexpr std::uint32_t kContinuations = 64;

    static Result<PolicyRig> create();

    Status set_classes(const Classes& classes);
    // Compiles, loads and installs all segments.
    Status install(const policy::Program& program, const policy::SegmentLimits& limits = {});
    std::size_t segments() const { return programs_.size(); }
    // Does a line of the installed program say so? Tells which shapes a test has reached.
    bool has_line(const std::string& words) const;
    const std::vector<Fd>& programs() const { return programs_; }

    // At most kBatch packets. What the policy did not finish comes back as POLICY_UNDECIDED.
    Result<std::vector<judgement>> judge(const std::vector<policy::Packet>& packets);

    // What the last packet's program returned to the hook: TC_ACT_OK from the terminal stage,
    // TC_ACT_SHOT from a policy that could not go on, TC_ACT_RECLASSIFY where none was called.
    std::uint32_t last_return() const { return last_return_; }

    // Nanoseconds a packet, the driver and the terminal stage included, `rounds` times the batch.
    Result<double> measure(const std::vector<policy::Packet>& packets, std::uint32_t rounds);

    // Removes the program from a slot of "policies" or the stage from "stages".
    Status remove_policy(std::uint32_t slot);
    Status remove_stage();
    // What policies dropped because nobody was there to go on.
    Result<counter> missed() const;
    const policy::CompileContext& context() const { return context_; }

private:
    Status make_maps();
    Status load_harness();
    Status fill(const std::vector<policy::Packet>& packets);
    Result<std::uint32_t> run(std::uint32_t repeat); // returns ns a repetition

    Fd scratch_, classes4_, class_sets_, policies_, stages_, counters_, inputs_, results_, cursor_;
    Fd driver_, terminal_;
    std::vector<Fd> programs_;
    std::vector<std::string> lines_;
    std::uint32_t last_return_ = 0;
    policy::CompileContext context_;
};

policy::Outcome outcome_of(const judgement& j);

} // namespace margay::testing
