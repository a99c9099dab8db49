// SPDX-License-Identifier: Apache-2.0
#include "maps/table/raw_map.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <vector>

namespace margay::maps {
namespace {

constexpr std::size_t kDumpBatch = 512;
constexpr int kEnotsupp = 524; // the kernel's ENOTSUPP leaks to user space from batch calls

bool lacks_batches(int err)
{
    return err == kEnotsupp || err == EOPNOTSUPP || err == EINVAL;
}

const std::byte* at(const void* base, std::size_t index, std::size_t size)
{
    return static_cast<const std::byte*>(base) + index * size;
}

bool all_zero(const void* value, std::size_t size)
{
    const auto* bytes = static_cast<const unsigned char*>(value);
    return std::all_of(bytes, bytes + size, [](unsigned char b) { return b == 0; });
}

} // namespace

Result<RawMap> RawMap::create(Fd fd, std::uint32_t key_size, std::uint32_t value_size)
{
    bpf_map_info info{};
    std::uint32_t length = sizeof(info);
    if (bpf_obj_get_info_by_fd(fd.get(), &info, &length) != 0)
        return system_error(errno, "read map info");
    if (info.key_size != key_size || info.value_size != value_size)
        return Error{Errc::Invalid, 0,
                     "map " + std::string(info.name) + " has key/value sizes " +
                         std::to_string(info.key_size) + "/" + std::to_string(info.value_size) +
                         ", wanted " + std::to_string(key_size) + "/" + std::to_string(value_size)};
    RawMap map;
    map.fd_ = std::move(fd);
    map.name_ = info.name;
    map.id_ = info.id;
    map.max_entries_ = info.max_entries;
    map.key_size_ = key_size;
    map.value_size_ = value_size;
    map.array_ = info.type == BPF_MAP_TYPE_ARRAY;
    if (map.array_ && info.map_flags & BPF_F_MMAPABLE && std::has_single_bit(value_size) &&
        value_size >= sizeof(std::uint64_t))
        map.memory_.emplace(map.fd_.get(), info.max_entries, value_size);
    return map;
}

Error RawMap::failure(const char* verb, int err) const
{
    Error error = system_error(err, std::string(verb) + " map " + name_);
    if (err == E2BIG || err == ENOSPC)
        error.code = Errc::Full;
    else if (err == ENOMEM || err == EBUSY || err == EAGAIN)
        error.code = Errc::Unavailable;
    return error;
}

int RawMap::write_one(const void* key, const void* value)
{
    return bpf_map_update_elem(fd_.get(), key, value, BPF_ANY) == 0 ? 0 : errno;
}

int RawMap::remove_one(const void* key)
{
    if (array_) {
        const std::vector<std::byte> zero(value_size_);
        const Progress zeroed = update(key, zero.data(), 1);
        return zeroed.status ? 0 : zeroed.status.error().sys;
    }
    if (bpf_map_delete_elem(fd_.get(), key) == 0)
        return 0;
    const int err = errno;
    return err == ENOENT ? 0 : err;
}

// What refers to the elements is written by system calls after these, which order them for programs.
Progress RawMap::update_memory(const void* keys, const void* values, std::size_t count)
{
    for (std::size_t done = 0; done < count; done++) {
        std::uint32_t index = 0;
        std::memcpy(&index, at(keys, done, key_size_), sizeof(index));
        const auto element = memory_->at(index);
        if (!element)
            return {done, failure("update", element.error().sys ? element.error().sys : E2BIG)};
        std::memcpy(*element, at(values, done, value_size_), value_size_);
    }
    return {count, {}};
}

Progress RawMap::update(const void* keys, const void* values, std::size_t count)
{
    if (memory_)
        return update_memory(keys, values, count);
    std::size_t done = 0;
    if (batches_ && count > 1) {
        auto n = static_cast<std::uint32_t>(count);
        if (bpf_map_update_batch(fd_.get(), keys, values, &n, nullptr) == 0)
            return {count, {}};
        const int err = errno;
        if (lacks_batches(err))
            batches_ = false;
        // Where the batch stopped, the single call below finds the same error or goes on.
        else if (err != EFAULT && n < count)
            done = n;
    }
    for (; done < count; done++) {
        const int err = write_one(at(keys, done, key_size_), at(values, done, value_size_));
        if (err != 0)
            return {done, failure("update", err)};
    }
    return {done, {}};
}

Progress RawMap::remove(const void* keys, std::size_t count)
{
    std::size_t done = 0;
    while (batches_ && !array_ && count - done > 1) {
        auto n = static_cast<std::uint32_t>(count - done);
        if (bpf_map_delete_batch(fd_.get(), at(keys, done, key_size_), &n, nullptr) == 0)
            return {count, {}};
        const int err = errno;
        if (lacks_batches(err)) {
            batches_ = false;
            break;
        }
        if (err != ENOENT)
            break; // the single calls say which key and why
        done += std::min<std::size_t>(n, count - done);
        if (done < count)
            done++; // the absent key itself
    }
    for (; done < count; done++) {
        const int err = remove_one(at(keys, done, key_size_));
        if (err != 0)
            return {done, failure("delete from", err)};
    }
    return {done, {}};
}

Status RawMap::dump(const std::function<void(const void*, const void*)>& each)
{
    // A zero element of an array is "nothing there": see TableBackend.
    const auto present = [&](const void* key, const void* value) {
        if (!array_ || !all_zero(value, value_size_))
            each(key, value);
    };
    if (memory_)
        return memory_->each(
            [&](std::uint32_t index, const std::byte* value) { present(&index, value); });
    if (batches_) {
        Status status = dump_batch(present);
        if (status || !lacks_batches(status.error().sys))
            return status;
        batches_ = false;
    }
    return dump_single(present);
}

Status RawMap::dump_batch(const std::function<void(const void*, const void*)>& each)
{
    std::size_t room = std::min<std::size_t>(kDumpBatch, std::max<std::size_t>(max_entries_, 1));
    const std::size_t cursor_size = std::max<std::size_t>(key_size_, sizeof(std::uint32_t));
    std::vector<std::byte> in(cursor_size);
    std::vector<std::byte> out(cursor_size);
    std::vector<std::byte> keys;
    std::vector<std::byte> values;
    bool first = true;
    for (;;) {
        keys.resize(room * key_size_);
        values.resize(room * value_size_);
        auto n = static_cast<std::uint32_t>(room);
        const int rc = bpf_map_lookup_batch(fd_.get(), first ? nullptr : in.data(), out.data(),
                                            keys.data(), values.data(), &n, nullptr);
        const int err = rc == 0 ? 0 : errno;
        if (err == ENOSPC) { // one hash bucket holds more entries than fit
            room *= 2;
            continue;
        }
        if (err != 0 && err != ENOENT)
            return failure("read", err);
        for (std::size_t i = 0; i < n; i++)
            each(at(keys.data(), i, key_size_), at(values.data(), i, value_size_));
        if (err == ENOENT) // the end
            return {};
        in.swap(out);
        first = false;
    }
}

Status RawMap::dump_single(const std::function<void(const void*, const void*)>& each)
{
    std::vector<std::byte> key(key_size_);
    std::vector<std::byte> next(key_size_);
    std::vector<std::byte> value(value_size_);
    bool first = true;
    while (bpf_map_get_next_key(fd_.get(), first ? nullptr : key.data(), next.data()) == 0) {
        first = false;
        key.swap(next);
        if (bpf_map_lookup_elem(fd_.get(), key.data(), value.data()) == 0)
            each(key.data(), value.data());
        else if (errno != ENOENT) // deleted between the two calls
            return failure("read", errno);
    }
    const int err = errno;
    return err == ENOENT ? Status{} : Status{failure("walk", err)};
}

} // namespace margay::maps
