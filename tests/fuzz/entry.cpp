// SPDX-License-Identifier: Apache-2.0
// libFuzzer's way in. FUZZ_TARGET is one of input.h's.
#include "fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    margay::fuzz::FUZZ_TARGET({data, size});
    return 0;
}
