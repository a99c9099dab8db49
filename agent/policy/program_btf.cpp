// SPDX-License-Identifier: Apache-2.0

#include "agent/policy/program_btf.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>

#include <memory>

namespace margay::policy {

namespace {

struct BtfDeleter {
    void operator()(btf* b) const { btf__free(b); }
};
using BtfPtr = std::unique_ptr<btf, BtfDeleter>;

constexpr std::size_t kTextMax = 200; // of a line: it stands in a terminal

// bpftool prints the text as it is: what a tenant chose as a name must not move the cursor.
std::string printable(const std::string& text)
{
    auto clean = text.substr(0, kTextMax);
    for (auto& c : clean)
        if (c < ' ' || c > '~')
            c = '?';
    return clean;
}

// int function(struct __sk_buff *skb). Returns the id of the function's type, or < 0.
int add_function(btf* b, const std::string& name)
{
    const int number = btf__add_int(b, "int", 4, BTF_INT_SIGNED);
    const int context = btf__add_fwd(b, "__sk_buff", BTF_FWD_STRUCT);
    const int pointer = btf__add_ptr(b, context);
    const int prototype = btf__add_func_proto(b, number);
    if (number < 0 || context < 0 || pointer < 0 || prototype < 0 ||
        btf__add_func_param(b, "skb", pointer) < 0)
        return -1;
    return btf__add_func(b, name.c_str(), BTF_FUNC_STATIC, prototype);
}

} // namespace

Result<ProgramBtf> make_program_btf(const std::string& function, const std::vector<Line>& lines)
{
    const BtfPtr b(btf__new_empty());
    if (!b)
        return system_error(errno, "new BTF for program " + function);
    const int type = add_function(b.get(), function);
    const int file = btf__add_str(b.get(), "policy");
    if (type < 0 || file < 0)
        return Error{Errc::Internal, 0, "BTF types of program " + function};

    ProgramBtf result;
    result.functions.push_back({0, static_cast<__u32>(type)});
    __u32 number = 0;
    for (const auto& line : lines) {
        const int text = btf__add_str(b.get(), printable(line.text).c_str());
        if (text < 0)
            return Error{Errc::Full, -text, "BTF text of program " + function};
        const auto row = ++number & 0x3fffff; // 22 bits of row, 10 of column
        result.lines.push_back(
            {line.instruction, static_cast<__u32>(file), static_cast<__u32>(text), row << 10});
    }

    __u32 size = 0;
    const void* data = btf__raw_data(b.get(), &size);
    if (!data)
        return Error{Errc::Internal, 0, "BTF bytes of program " + function};
    result.btf = Fd(bpf_btf_load(data, size, nullptr));
    if (!result.btf.valid())
        return system_error(errno, "load BTF of program " + function);
    return result;
}

} // namespace margay::policy
