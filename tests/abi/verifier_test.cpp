// SPDX-License-Identifier: Apache-2.0
// Every object passes the verifier of the running kernel; what it had to look at is printed, so that
// growth is seen. Maps are shrunk: their size is no concern of the verifier.

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <cstdio>
#include <string>

namespace margay::testing {
namespace {

constexpr unsigned kInstructionBudget = 100000; // of the kernel's 1,000,000

struct Verifier : ::testing::TestWithParam<const char*> {
    void SetUp() override
    {
        if (geteuid() != 0)
            GTEST_SKIP() << "needs root";
    }
};

void print_and_check(const bpf_program* program)
{
    bpf_prog_info info{};
    __u32 size = sizeof(info);
    ASSERT_EQ(bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size), 0);
    std::printf("%-16s verified %6u  xlated %6u bytes  jited %6u bytes\n",
                bpf_program__name(program), info.verified_insns, info.xlated_prog_len,
                info.jited_prog_len);
    EXPECT_LT(info.verified_insns, kInstructionBudget);
    EXPECT_GT(info.nr_line_info, 0u) << "bpftool shows the source";
}

TEST_P(Verifier, accepts)
{
    const std::string path = std::string(MARGAY_BPF_DIR) + "/" + GetParam() + ".bpf.o";
    bpf_object* object = bpf_object__open_file(path.c_str(), nullptr);
    ASSERT_NE(object, nullptr);
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, object)
    {
        if (bpf_map__max_entries(map) > 4096 && bpf_map__type(map) != BPF_MAP_TYPE_RINGBUF)
            bpf_map__set_max_entries(map, 4096);
    }
    ASSERT_EQ(bpf_object__load(object), 0);
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, object) print_and_check(program);
    bpf_object__close(object);
}

INSTANTIATE_TEST_SUITE_P(Objects, Verifier,
                         ::testing::Values("from_workload", "to_workload", "from_uplink",
                                           "to_uplink", "uplink_xdp", "stages", "collect"),
                         [](const auto& chosen) { return chosen.param; });

} // namespace
} // namespace margay::testing
