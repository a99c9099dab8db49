// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/libbpf_text.h"

#include <bpf/libbpf.h>

#include <array>
#include <cstdarg>
#include <cstdio>
#include <utility>

namespace margay::datapath {
namespace {

// libbpf gives its callback no context, so this one string is global; one thread writes it.
std::string& last_text()
{
    static std::string text;
    return text;
}

int keep(libbpf_print_level level, const char* format, va_list arguments)
{
    if (level != LIBBPF_WARN)
        return 0;
    std::array<char, 1024> line{};
    const int length = std::vsnprintf(line.data(), line.size(), format, arguments);
    std::string text(line.data());
    while (!text.empty() && text.back() == '\n')
        text.pop_back();
    // A verifier log is one multi-line warning and has its own way to the user.
    if (text.find('\n') == std::string::npos && !text.empty())
        last_text() = std::move(text);
    return length;
}

} // namespace

void capture_libbpf_text()
{
    libbpf_set_print(keep);
}

std::string take_libbpf_text()
{
    return std::exchange(last_text(), {});
}

} // namespace margay::datapath
