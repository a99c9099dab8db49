// SPDX-License-Identifier: Apache-2.0

#include "agent/policy/assembler.h"

#include <limits>

namespace margay::policy {

Assembler::Label Assembler::label()
{
    labels_.push_back({});
    return {labels_.size() - 1};
}

void Assembler::bind(Label label)
{
    auto& state = labels_[label.id];
    state.position = instructions_.size();
    state.bound = true;
    reachable_ |= state.referenced;
}

void Assembler::load(Size size, Reg to, Reg from, int offset)
{
    emit(BPF_LDX | BPF_MEM | static_cast<int>(size), to, from, offset, 0);
}

void Assembler::store(Size size, Reg to, int offset, Reg value)
{
    emit(BPF_STX | BPF_MEM | static_cast<int>(size), to, value, offset, 0);
}

void Assembler::store_imm(Size size, Reg to, int offset, std::uint32_t value)
{
    emit(BPF_ST | BPF_MEM | static_cast<int>(size), to, Reg::R0, offset, value);
}

void Assembler::move(Reg to, Reg from)
{
    emit(BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0);
}

void Assembler::move_imm(Reg to, std::uint32_t value)
{
    emit(BPF_ALU | BPF_MOV | BPF_K, to, Reg::R0, 0, value);
}

void Assembler::add(Reg to, Reg value)
{
    emit(BPF_ALU64 | BPF_ADD | BPF_X, to, value, 0, 0);
}

void Assembler::add_imm(Reg to, std::int32_t value)
{
    emit(BPF_ALU64 | BPF_ADD | BPF_K, to, Reg::R0, 0, static_cast<std::uint32_t>(value));
}

void Assembler::subtract_imm32(Reg to, std::uint32_t value)
{
    emit(BPF_ALU | BPF_SUB | BPF_K, to, Reg::R0, 0, value);
}

void Assembler::and_imm32(Reg to, std::uint32_t value)
{
    emit(BPF_ALU | BPF_AND | BPF_K, to, Reg::R0, 0, value);
}

void Assembler::big_endian16(Reg reg)
{
    emit(BPF_ALU | BPF_END | BPF_TO_BE, reg, Reg::R0, 0, 16);
}

void Assembler::map(Reg to, int map_fd)
{
    emit(BPF_LD | BPF_DW | BPF_IMM, to, static_cast<Reg>(BPF_PSEUDO_MAP_FD), 0,
         static_cast<std::uint32_t>(map_fd));
    emit(0, Reg::R0, Reg::R0, 0, 0); // the second half of the 64-bit immediate
}

void Assembler::jump(Label to)
{
    emit_jump(BPF_JMP | BPF_JA, Reg::R0, 0, to);
    reachable_ = false;
}

void Assembler::jump_if32(Jump condition, Reg reg, std::uint32_t value, Label to)
{
    ++conditional_jumps_;
    emit_jump(BPF_JMP32 | static_cast<int>(condition) | BPF_K, reg, value, to);
}

void Assembler::jump_if_zero(Reg pointer, Label to)
{
    ++conditional_jumps_;
    emit_jump(BPF_JMP | BPF_JEQ | BPF_K, pointer, 0, to);
}

void Assembler::jump_if_not_zero(Reg pointer, Label to)
{
    ++conditional_jumps_;
    emit_jump(BPF_JMP | BPF_JNE | BPF_K, pointer, 0, to);
}

void Assembler::call(int helper)
{
    emit(BPF_JMP | BPF_CALL, Reg::R0, Reg::R0, 0, static_cast<std::uint32_t>(helper));
}

void Assembler::exit()
{
    emit(BPF_JMP | BPF_EXIT, Reg::R0, Reg::R0, 0, 0);
    reachable_ = false;
}

Result<std::vector<bpf_insn>> Assembler::finish()
{
    for (const auto& fixup : fixups_) {
        const auto& target = labels_[fixup.label];
        if (!target.bound)
            return Error{Errc::Internal, 0, "assemble: jump to a label that was never bound"};
        const auto distance = static_cast<std::ptrdiff_t>(target.position) -
                              static_cast<std::ptrdiff_t>(fixup.instruction) - 1;
        if (distance > std::numeric_limits<std::int16_t>::max() ||
            distance < std::numeric_limits<std::int16_t>::min())
            return Error{Errc::Full, 0, "assemble: jump over " + std::to_string(distance)};
        instructions_[fixup.instruction].off = static_cast<std::int16_t>(distance);
    }
    return std::move(instructions_);
}

void Assembler::emit(int code, Reg dst, Reg src, int offset, std::uint32_t imm)
{
    bpf_insn instruction{};
    instruction.code = static_cast<__u8>(code);
    instruction.dst_reg = static_cast<__u8>(static_cast<__u8>(dst) & 0xf);
    instruction.src_reg = static_cast<__u8>(static_cast<__u8>(src) & 0xf);
    instruction.off = static_cast<__s16>(offset);
    instruction.imm = static_cast<__s32>(imm);
    instructions_.push_back(instruction);
}

void Assembler::emit_jump(int code, Reg reg, std::uint32_t imm, Label to)
{
    labels_[to.id].referenced = true;
    fixups_.push_back({instructions_.size(), to.id});
    emit(code, reg, Reg::R0, 0, imm);
}

} // namespace margay::policy
