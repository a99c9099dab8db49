// SPDX-License-Identifier: Apache-2.0
// MappedArray: the elements of a BPF_F_MMAPABLE array as memory. No system call an element, and none a
// batch.
//
// Writes are mapped by the window, when first needed: what is mapped counts as memory of the process.

#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>

#include "margay/result.h"

namespace margay::maps {

class MappedArray {
public:
    // `element` is the size of a value, of which a window holds a whole number (a power of two).
    MappedArray(int map, std::uint32_t elements, std::uint32_t element);
    ~MappedArray();
    MappedArray(MappedArray&& other) noexcept;
    MappedArray& operator=(MappedArray&&) = delete;

    // An element's place; errors as mmap's.
    Result<std::byte*> at(std::uint32_t index);
    // Every element in turn, through a mapping that does not last.
    Status each(const std::function<void(std::uint32_t, const std::byte*)>& f) const;

private:
    int map_;
    std::uint32_t elements_;
    std::uint32_t element_;
    std::map<std::size_t, std::byte*> windows_; // by offset
};

} // namespace margay::maps
