// SPDX-License-Identifier: Apache-2.0
// The emitter: one segment of a program as instructions.
//
// Shape. Rules stand one after another in a chain; what stands in the chain of a rule is its most
// selective condition only, as a jump that is not taken when the rule does not match. The rest of
// the rule, its body, stands behind the chain and jumps back into it when it fails. So a rule
// that does not match costs one compare, and the branch predictor's tables stay empty.
// A run of rules with a common condition is guarded by it once. A run of rules that each ask the
// same value for equality with a constant (ports, prefixes of one length) is searched by bisection:
// at most one constant is equal, so the order of the run matters only among rules with the same.
//
// The verifier. Fields are loaded from the map again after every place where two paths meet:
// a value from memory is unknown, so it never follows one path a known port and another path an
// unknown one through the rest of the chain. Between such places loaded values are kept in
// registers.
//
// Registers: R6 scratch, R7 and R8 the set words of source and destination, R9 the context,
// R0 temporary, R1 to R5 loaded values.

#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/policy/assembler.h"
#include "agent/policy/compiler.h"
#include "agent/policy/lower.h"
#include "agent/policy/plan.h"

namespace margay::policy {

class SegmentEmitter {
public:
    // All referenced objects must outlive the emitter. `texts` holds a line for each ordinal.
    SegmentEmitter(const Lowered& lowered, const Plan& plan, const CompileContext& context,
                   const std::vector<std::string>& texts, std::size_t segment);

    Result<Segment> run();

private:
    using Label = Assembler::Label;

    // A value that a register can hold. Two questions about the same value share its load.
    struct Value {
        enum class Kind : std::uint8_t { Byte, PortRaw, PortHost, Masked, SetWord };
        Kind kind = Kind::Byte;
        bool destination = false;
        std::uint32_t parameter = 0; // offset, mask or word
        auto operator<=>(const Value&) const = default;
    };

    // Rules [first, first + length) of a chain, each with a condition on `value` being a constant.
    struct Run {
        Value value;
        std::size_t length = 0;
    };
    // A constant of a run and where its rules' bodies begin.
    struct Case {
        std::uint32_t constant = 0;
        std::uint32_t ordinal = 0; // of its first rule
        Label start;
    };

    // What remains to be asked of a rule whose first condition holds.
    struct Body {
        Label start;
        Label next; // back into the chain
        Label pass;
        LoweredRule rule; // without its first condition
    };

    void prologue();
    void load_classes(bool destination);
    void load_missing_classes(const std::vector<LoweredRule>& rules);
    void part(const Part& part);
    void chain(std::vector<LoweredRule>& rules, std::size_t begin, std::size_t end, Label pass);
    std::pair<ConditionId, std::size_t> longest_guard(const std::vector<LoweredRule>& rules,
                                                      std::size_t begin, std::size_t end) const;
    Run longest_run(const std::vector<LoweredRule>& rules, std::size_t begin,
                    std::size_t end) const;
    void guarded(std::vector<LoweredRule>& rules, std::size_t begin, std::size_t end,
                 ConditionId shared, Label pass);
    void searched(std::vector<LoweredRule>& rules, std::size_t begin, const Run& run, Label pass);
    void bisect(Reg reg, const std::vector<Case>& cases, std::size_t begin, std::size_t end,
                Label none);
    void rule_in_chain(const LoweredRule& rule, Label pass);
    void body(const Body& body);
    void act(const LoweredRule& rule, Label next, Label pass);
    void remember_log(std::uint32_t ordinal);
    // The value that a condition compares with a constant, if that is all it does.
    static std::optional<std::pair<Value, std::uint32_t>> equality(const Condition& condition);
    std::optional<ConditionId> find_equality(const LoweredRule& rule, const Value& value) const;
    void end_of_segment();
    void continuations();
    void exits();
    void count_drop();

    void jump_if(const Condition& condition, bool holds, Label to);
    void jump_if_any(const std::vector<Alternative>& any, Label to);
    void jump_if_none(const std::vector<Alternative>& any, Label to);
    void jump_if(const Alternative& alternative, bool holds, Label to);
    void jump_if(const Check& check, bool holds, Label to);
    void jump_if_port_in_range(const Check& check, bool holds, Label to);
    void jump_if_sets(const Check& check, bool holds, Label to);

    Reg value(const Value& value);
    void load_value(const Value& value, Reg to);
    void bind(Label label);
    void decide(std::uint32_t rule, Label verdict);
    Label pass_label(std::size_t block);
    Label continuation(std::size_t segment);
    void note(const std::string& text);

    const Lowered& lowered_;
    const Plan& plan_;
    const CompileContext& context_;
    const std::vector<std::string>& texts_;
    const std::size_t segment_;

    Assembler out_;
    Segment result_;
    std::vector<Body> bodies_;
    std::map<std::size_t, Label> block_starts_;
    std::map<std::size_t, Label> continuations_; // by segment
    std::array<bool, 2> has_classes_{}; // source, destination
    Label allow_, deny_, default_deny_, unknown_class_, write_, drop_;

    static constexpr std::size_t kKept = 5; // R1 to R5
    std::array<std::optional<Value>, kKept> kept_;
    std::size_t next_kept_ = 0; // round robin
};

} // namespace margay::policy
