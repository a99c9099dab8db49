// SPDX-License-Identifier: Apache-2.0
// What a fuzzer feeds: octets, of which each target makes its choices, and claims that always hold.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

namespace margay::fuzz {

using Octets = std::span<const std::uint8_t>;

// The targets: each takes any octets and ends the process when a claim does not hold.
void run_wire(Octets octets);
void run_fsm(Octets octets);
void run_rib(Octets octets);
void run_bfd(Octets octets);

// One choice after another; zeros at the end.
class Input {
public:
    explicit Input(Octets octets) : rest_(octets) {}

    bool at_end() const { return rest_.empty(); }
    Octets rest() const { return rest_; }
    std::uint8_t u8()
    {
        if (rest_.empty())
            return 0;
        const std::uint8_t octet = rest_.front();
        rest_ = rest_.subspan(1);
        return octet;
    }
    std::uint16_t u16()
    {
        const std::uint8_t high = u8();
        return static_cast<std::uint16_t>(high << 8 | u8());
    }
    bool flag() { return u8() & 1; }
    std::size_t below(std::size_t end) { return u8() % end; }
    Octets take(std::size_t count)
    {
        const Octets taken = rest_.first(count < rest_.size() ? count : rest_.size());
        rest_ = rest_.subspan(taken.size());
        return taken;
    }

private:
    Octets rest_;
};

inline void claim(bool holds, const char* what)
{
    if (holds)
        return;
    std::fprintf(stderr, "does not hold: %s\n", what);
    std::abort();
}

} // namespace margay::fuzz
