// SPDX-License-Identifier: Apache-2.0
// A tc or XDP program that counts its packets and passes them on: the smallest thing to attach.

#pragma once

#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <vector>

#include "agent/datapath/attach.h"
#include "agent/datapath/pins.h"
#include "margay/fd.h"

namespace margay::datapath {

class CountingProgram {
public:
    explicit CountingProgram(bpf_prog_type type = BPF_PROG_TYPE_SCHED_CLS)
        : map_(bpf_map_create(BPF_MAP_TYPE_ARRAY, "mg_count", 4, 8, 1, nullptr))
    {
        const std::int32_t pass = type == BPF_PROG_TYPE_XDP ? 2 : -1; // XDP_PASS, TC_ACT_UNSPEC
        const std::vector<bpf_insn> code = {
            {BPF_ST | BPF_MEM | BPF_W, 10, 0, -4, 0},            // key = 0
            {BPF_ALU64 | BPF_MOV | BPF_X, 2, 10, 0, 0},          // r2 = r10
            {BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, -4},          // r2 -= 4
            {BPF_LD | BPF_DW | BPF_IMM, 1, 1, 0, map_.get()},    // r1 = map
            {0, 0, 0, 0, 0},
            {BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem},
            {BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 2, 0},             // null: skip the count
            {BPF_ALU64 | BPF_MOV | BPF_K, 1, 0, 0, 1},
            {BPF_STX | BPF_ATOMIC | BPF_DW, 0, 1, 0, BPF_ADD},   // *r0 += 1
            {BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, pass},
            {BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
        };
        program_ = Fd(bpf_prog_load(type, "mg_counting", "GPL", code.data(), code.size(), nullptr));
        EXPECT_TRUE(program_.valid()) << "needs root";
        bpf_prog_info info{};
        std::uint32_t length = sizeof(info);
        EXPECT_EQ(bpf_obj_get_info_by_fd(program_.get(), &info, &length), 0);
        id_ = info.id;
    }

    ProgramRef ref() const { return {program_.get(), id_}; }
    std::uint64_t count() const
    {
        const std::uint32_t key = 0;
        std::uint64_t value = 0;
        EXPECT_EQ(bpf_map_lookup_elem(map_.get(), &key, &value), 0);
        return value;
    }

private:
    Fd map_;
    Fd program_;
    std::uint32_t id_ = 0;
};

// A folder on the host's bpffs that is gone after the test.
class PinFolder {
public:
    PinFolder()
    {
        static int number = 0;
        EXPECT_TRUE(need_bpffs("/sys/fs/bpf"));
        path_ = "/sys/fs/bpf/mg" + std::to_string(::getpid()) + "-" + std::to_string(number++);
    }
    ~PinFolder() { EXPECT_TRUE(remove_tree(path_)); }
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

} // namespace margay::datapath
