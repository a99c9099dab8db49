// SPDX-License-Identifier: Apache-2.0
// Sizes and offsets as the BTF of a built object states them.

#pragma once

#include <bpf/btf.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <string>

namespace margay::testing {

class Btf {
public:
    explicit Btf(const char* object) : btf_(btf__parse_elf(object, nullptr), &btf__free)
    {
        if (btf_)
            return;
        std::fprintf(stderr, "no BTF in %s\n", object);
        std::abort();
    }

    // Neither is ever right for a type that is not there.
    std::size_t size(const char* type) const
    {
        const btf_type* found = find(type);
        return found ? found->size : std::numeric_limits<std::size_t>::max();
    }

    std::size_t offset(const char* type, const char* field) const
    {
        const btf_type* found = find(type);
        const btf_member* members = found ? btf_members(found) : nullptr;
        for (__u32 i = 0; found && i < btf_vlen(found); i++) {
            if (std::strcmp(btf__name_by_offset(btf_.get(), members[i].name_off), field) == 0)
                return btf_member_bit_offset(found, i) / 8;
        }
        return std::numeric_limits<std::size_t>::max();
    }

private:
    const btf_type* find(const char* type) const
    {
        const int id = btf__find_by_name_kind(btf_.get(), type, BTF_KIND_STRUCT);
        return id < 0 ? nullptr : btf__type_by_id(btf_.get(), static_cast<__u32>(id));
    }

    std::unique_ptr<btf, void (*)(btf*)> btf_;
};

} // namespace margay::testing
