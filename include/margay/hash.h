// SPDX-License-Identifier: Apache-2.0
// The step of keyed hashes: a product of 128 bits, folded. Who uses it puts a secret into it.

#pragma once

#include <cstdint>

namespace margay {

__extension__ using Wide = unsigned __int128; // g++ has it as an extension

inline std::uint64_t mixed(std::uint64_t a, std::uint64_t b)
{
    const Wide product = static_cast<Wide>(a) * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

} // namespace margay
