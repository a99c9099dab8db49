// SPDX-License-Identifier: Apache-2.0
// What fuzzing found once is tried again, without a fuzzer.
#include "fuzz/input.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

namespace margay::fuzz {
namespace {

struct Target {
    const char* name;
    void (*run)(Octets);
};

std::vector<std::uint8_t> contents(const std::filesystem::path& file)
{
    std::ifstream in(file, std::ios::binary);
    const std::vector<char> read((std::istreambuf_iterator<char>(in)), {});
    return {read.begin(), read.end()};
}

class Corpus : public ::testing::TestWithParam<Target> {};

TEST_P(Corpus, every_input_of_the_past_holds_what_the_target_claims)
{
    std::vector<std::filesystem::path> files;
    for (const auto& entry :
         std::filesystem::directory_iterator(std::filesystem::path(FUZZ_CORPUS) / GetParam().name))
        files.push_back(entry.path());
    std::ranges::sort(files);
    ASSERT_FALSE(files.empty());
    for (const auto& file : files) {
        // Seen only when a claim or a sanitizer ends the process.
        std::fprintf(stderr, "%s\n", file.filename().c_str());
        GetParam().run(contents(file));
    }
}

INSTANTIATE_TEST_SUITE_P(Targets, Corpus,
                         ::testing::Values(Target{"wire", run_wire}, Target{"fsm", run_fsm},
                                           Target{"rib", run_rib}, Target{"bfd", run_bfd}),
                         [](const auto& target) { return std::string(target.param.name); });

} // namespace
} // namespace margay::fuzz
