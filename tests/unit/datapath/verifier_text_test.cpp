// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/probe.h"

#include <gtest/gtest.h>

namespace margay::datapath {
namespace {

TEST(VerifierTextTest, last_line_that_is_no_statistic_explains_the_refusal)
{
    EXPECT_EQ(last_useful_line("0: (bf) r6 = r1\n"
                               "; return *p;\n"
                               "R1 invalid mem access 'map_value_or_null'\n"
                               "verification time 83 usec\n"
                               "stack depth 8\n"
                               "processed 12 insns (limit 1000000) max_states_per_insn 0\n"
                               "-- END PROG LOAD LOG --\n\n"),
              "R1 invalid mem access 'map_value_or_null'");
}

TEST(VerifierTextTest, empty_log_gives_nothing_and_an_unfinished_line_counts)
{
    EXPECT_EQ(last_useful_line(""), "");
    EXPECT_EQ(last_useful_line("\n  \n"), "");
    EXPECT_EQ(last_useful_line("processed 1 insns\nlast"), "last");
}

} // namespace
} // namespace margay::datapath
