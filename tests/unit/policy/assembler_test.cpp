// SPDX-License-Identifier: Apache-2.0

#include "agent/policy/assembler.h"

#include <gtest/gtest.h>

namespace margay::policy {
namespace {

TEST(Assembler, jumps_reach_forward_and_backward)
{
    Assembler out;
    const auto top = out.label();
    const auto end = out.label();
    out.bind(top);
    out.jump_if32(Jump::Equal, Reg::R1, 7, end);
    out.move_imm(Reg::R0, 0);
    out.jump(top);
    out.bind(end);
    out.exit();

    const auto program = out.finish();
    ASSERT_TRUE(program) << program.error().what;
    EXPECT_EQ((*program)[0].off, 2);
    EXPECT_EQ((*program)[2].off, -3);
}

TEST(Assembler, code_after_a_jump_is_unreachable_until_a_label_that_is_jumped_to)
{
    Assembler out;
    const auto unused = out.label();
    const auto used = out.label();
    const auto later = out.label();
    out.jump(used);
    EXPECT_FALSE(out.reachable());
    out.bind(unused);
    EXPECT_FALSE(out.reachable());
    out.bind(used);
    EXPECT_TRUE(out.reachable());
    out.exit();
    out.expect(later);
    out.bind(later);
    EXPECT_TRUE(out.reachable());
}

TEST(Assembler, jump_further_than_16_bits_is_an_error_not_a_wrong_jump)
{
    for (const int distance : {32767, 32768}) {
        Assembler out;
        const auto far = out.label();
        out.jump(far);
        for (int i = 0; i < distance; ++i)
            out.move_imm(Reg::R0, 0);
        out.bind(far);
        out.exit();
        EXPECT_EQ(out.finish().has_value(), distance == 32767) << distance;
    }
}

TEST(Assembler, label_that_is_never_bound_is_an_error)
{
    Assembler out;
    out.jump(out.label());
    EXPECT_FALSE(out.finish());
}

} // namespace
} // namespace margay::policy
