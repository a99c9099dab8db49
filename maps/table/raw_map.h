// SPDX-License-Identifier: Apache-2.0
// RawMap: the bpf(2) calls on one map, by the batch where the kernel can, else one by one.
//
// Hash maps batch since 5.6, LPM tries and others only on some kernels: the first batch call that
// is refused as unsupported switches the object to single calls for good. An array with
// BPF_F_MMAPABLE is written as memory. Keys and values are untyped here; kernel_table.h gives them
// types.

#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "maps/table/backend.h"
#include "maps/table/mapped_array.h"
#include "margay/fd.h"
#include "margay/result.h"

namespace margay::maps {

class RawMap {
public:
    // Refuses a map whose key or value has another size. Duplicates nothing: owns `fd`.
    static Result<RawMap> create(Fd fd, std::uint32_t key_size, std::uint32_t value_size);

    // `count` keys, and values, one behind the other. Errors: Full when the map has no room,
    // Unavailable when trying again can help, else System.
    Progress update(const void* keys, const void* values, std::size_t count);
    Progress remove(const void* keys, std::size_t count);
    Status dump(const std::function<void(const void* key, const void* value)>& each);

    int fd() const { return fd_.get(); }
    std::uint32_t id() const { return id_; }
    const std::string& name() const { return name_; }
    std::uint32_t max_entries() const { return max_entries_; }

    // For tests: how the kernels behave that lack batch calls.
    void forbid_batches() { batches_ = false; }

private:
    RawMap() = default;
    int write_one(const void* key, const void* value);
    Progress update_memory(const void* keys, const void* values, std::size_t count);
    int remove_one(const void* key);
    Status dump_single(const std::function<void(const void*, const void*)>& each);
    Status dump_batch(const std::function<void(const void*, const void*)>& each);
    Error failure(const char* verb, int err) const;

    Fd fd_;
    std::string name_;
    std::uint32_t id_ = 0;
    std::uint32_t max_entries_ = 0;
    std::uint32_t key_size_ = 0;
    std::uint32_t value_size_ = 0;
    bool array_ = false; // elements cannot be deleted, only zeroed
    bool batches_ = true;
    std::optional<MappedArray> memory_; // of fd_
};

} // namespace margay::maps
