// SPDX-License-Identifier: Apache-2.0
// Assembler: eBPF instructions with labels.
//
// It knows whether the place it stands at can be reached, because the verifier refuses a program
// with an instruction that cannot: callers ask reachable() before they emit what may be dead.
// Immediates are given as the bits that the 32-bit comparison sees.

#pragma once

#include <linux/bpf.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "margay/result.h"

namespace margay::policy {

enum class Reg : std::uint8_t { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 };

enum class Size : std::uint8_t { Byte = BPF_B, Half = BPF_H, Word = BPF_W, Double = BPF_DW };

enum class Jump : std::uint8_t {
    Equal = BPF_JEQ,
    NotEqual = BPF_JNE,
    Greater = BPF_JGT, // unsigned, as all below
    AtMost = BPF_JLE,
    AtLeast = BPF_JGE,
    SomeBits = BPF_JSET,
};

class Assembler {
public:
    struct Label {
        std::size_t id = 0;
    };

    Label label();
    void bind(Label label);
    // Promises a jump to the label that is emitted only after it was bound.
    void expect(Label label) { labels_[label.id].referenced = true; }
    bool referenced(Label label) const { return labels_[label.id].referenced; }
    bool reachable() const { return reachable_; }

    void load(Size size, Reg to, Reg from, int offset);
    void store(Size size, Reg to, int offset, Reg value);
    void store_imm(Size size, Reg to, int offset, std::uint32_t value);
    void move(Reg to, Reg from);
    void move_imm(Reg to, std::uint32_t value); // zero-extends
    void add(Reg to, Reg value);                // 64 bits
    void add_imm(Reg to, std::int32_t value);   // 64 bits
    void subtract_imm32(Reg to, std::uint32_t value);
    void and_imm32(Reg to, std::uint32_t value);
    void big_endian16(Reg reg); // network order to host order and back
    void map(Reg to, int map_fd);

    void jump(Label to);
    void jump_if32(Jump condition, Reg reg, std::uint32_t value, Label to);
    void jump_if_zero(Reg pointer, Label to); // 64 bits
    void jump_if_not_zero(Reg pointer, Label to);
    void call(int helper);
    void exit();

    std::size_t size() const { return instructions_.size(); }
    std::size_t conditional_jumps() const { return conditional_jumps_; }

    // Patches the jumps. Errc::Full when one reaches further than 16 bits.
    Result<std::vector<bpf_insn>> finish();

private:
    struct LabelState {
        std::size_t position = 0;
        bool bound = false;
        bool referenced = false;
    };
    struct Fixup {
        std::size_t instruction = 0;
        std::size_t label = 0;
    };

    void emit(int code, Reg dst, Reg src, int offset, std::uint32_t imm);
    void emit_jump(int code, Reg reg, std::uint32_t imm, Label to);

    std::vector<bpf_insn> instructions_;
    std::vector<LabelState> labels_;
    std::vector<Fixup> fixups_;
    std::size_t conditional_jumps_ = 0;
    bool reachable_ = true;
};

} // namespace margay::policy
