// SPDX-License-Identifier: Apache-2.0
// ByteReader and ByteWriter: the only way to and from the wire.
//
// Numbers are big-endian on the wire and host-order in the program. A reader never looks past its
// end: a short read returns zero, sticks, and is asked about once, by ok(), after a whole
// structure was read. Copies of bytes are made only where they outlive the message.

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace margay::bgp {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;

class ByteReader {
public:
    explicit ByteReader(ByteView bytes) : rest_(bytes) {}

    bool ok() const { return ok_; }
    std::size_t left() const { return rest_.size(); }
    bool at_end() const { return rest_.empty(); }
    ByteView rest() const { return rest_; }

    // `count` bytes, or none and !ok() when there are fewer.
    ByteView take(std::size_t count)
    {
        if (count > rest_.size()) {
            ok_ = false;
            rest_ = {};
            return {};
        }
        const ByteView taken = rest_.first(count);
        rest_ = rest_.subspan(count);
        return taken;
    }
    std::uint8_t u8() { return static_cast<std::uint8_t>(number(1)); }
    std::uint16_t u16() { return static_cast<std::uint16_t>(number(2)); }
    std::uint32_t u32() { return number(4); }

private:
    std::uint32_t number(std::size_t count)
    {
        std::uint32_t value = 0;
        for (const std::uint8_t byte : take(count))
            value = value << 8 | byte;
        return value;
    }

    ByteView rest_;
    bool ok_ = true;
};

// Appends to a vector of the caller's.
class ByteWriter {
public:
    explicit ByteWriter(Bytes& out) : out_(out) {}

    void u8(std::uint8_t value) { out_.push_back(value); }
    void u16(std::uint16_t value)
    {
        u8(static_cast<std::uint8_t>(value >> 8));
        u8(static_cast<std::uint8_t>(value));
    }
    void u32(std::uint32_t value)
    {
        u16(static_cast<std::uint16_t>(value >> 16));
        u16(static_cast<std::uint16_t>(value));
    }
    void bytes(ByteView bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }

    std::size_t size() const { return out_.size(); }
    // Lengths that are known only after what they measure was written.
    void patch_u8(std::size_t at, std::size_t value)
    {
        out_[at] = static_cast<std::uint8_t>(value);
    }
    void patch_u16(std::size_t at, std::size_t value)
    {
        patch_u8(at, value >> 8);
        patch_u8(at + 1, value);
    }

private:
    Bytes& out_;
};

} // namespace margay::bgp
