// SPDX-License-Identifier: Apache-2.0
#include "maps/table/mapped_array.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace margay::maps {
namespace {

constexpr std::size_t kWindow = std::size_t{1} << 18; // of whole pages, wherever

} // namespace

MappedArray::MappedArray(int map, std::uint32_t elements, std::uint32_t element)
    : map_(map), elements_(elements), element_(element)
{
}

MappedArray::MappedArray(MappedArray&& other) noexcept
    : map_(other.map_), elements_(other.elements_), element_(other.element_),
      windows_(std::exchange(other.windows_, {}))
{
}

MappedArray::~MappedArray()
{
    for (const auto& [offset, window] : windows_)
        ::munmap(window, std::min(kWindow, std::size_t{elements_} * element_ - offset));
}

Result<std::byte*> MappedArray::at(std::uint32_t index)
{
    const std::size_t place = std::size_t{index} * element_;
    const std::size_t offset = place / kWindow * kWindow;
    if (index >= elements_)
        return Error{Errc::Full, 0, "array has no element " + std::to_string(index)};
    auto window = windows_.find(offset);
    if (window == windows_.end()) {
        const std::size_t length = std::min(kWindow, std::size_t{elements_} * element_ - offset);
        void* memory = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, map_,
                              static_cast<off_t>(offset));
        if (memory == MAP_FAILED)
            return system_error(errno, "map array");
        window = windows_.emplace(offset, static_cast<std::byte*>(memory)).first;
    }
    return window->second + (place - offset);
}

Status MappedArray::each(const std::function<void(std::uint32_t, const std::byte*)>& f) const
{
    const std::size_t length = std::size_t{elements_} * element_;
    void* memory = ::mmap(nullptr, length, PROT_READ, MAP_SHARED, map_, 0);
    if (memory == MAP_FAILED)
        return system_error(errno, "map array");
    for (std::uint32_t i = 0; i < elements_; i++)
        f(i, static_cast<const std::byte*>(memory) + std::size_t{i} * element_);
    ::munmap(memory, length);
    return {};
}

} // namespace margay::maps
