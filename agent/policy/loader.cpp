// SPDX-License-Identifier: Apache-2.0

#include "agent/policy/loader.h"

#include <bpf/bpf.h>

#include <cctype>
#include <cerrno>
#include <string_view>

#include "agent/policy/program_btf.h"

namespace margay::policy {

namespace {

std::string program_name(const std::string& name)
{
    auto clean = name.substr(0, BPF_OBJ_NAME_LEN - 1);
    for (auto& c : clean)
        if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_')
            c = '_';
    if (clean.empty() || std::isdigit(static_cast<unsigned char>(clean.front())))
        clean = "p" + clean;
    return clean.substr(0, BPF_OBJ_NAME_LEN - 1); // the same rule as for C identifiers
}

// The verifier ends with statistics; what it objects to stands in the line before them.
std::string last_useful_line(std::string_view log)
{
    std::string_view useful;
    while (!log.empty()) {
        const auto end = log.find('\n');
        const auto line = log.substr(0, end);
        if (!line.empty() && !line.starts_with("processed ") &&
            !line.starts_with("verification time") && !line.starts_with("stack depth"))
            useful = line;
        if (end == std::string_view::npos)
            break;
        log.remove_prefix(end + 1);
    }
    return std::string(useful);
}

bpf_prog_load_opts options_for(const ProgramBtf* btf)
{
    bpf_prog_load_opts options{};
    options.sz = sizeof(options);
    if (btf) {
        options.prog_btf_fd = static_cast<__u32>(btf->btf.get());
        options.func_info = btf->functions.data();
        options.func_info_cnt = static_cast<__u32>(btf->functions.size());
        options.func_info_rec_size = sizeof(bpf_func_info);
        options.line_info = btf->lines.data();
        options.line_info_cnt = static_cast<__u32>(btf->lines.size());
        options.line_info_rec_size = sizeof(bpf_line_info);
    }
    return options;
}

// By value: the pointer is to const in libbpf 1.1 and not in later ones.
int try_load(const Segment& segment, const std::string& name, bpf_prog_load_opts options)
{
    return bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, name.c_str(), "Dual BSD/GPL",
                         segment.instructions.data(), segment.instructions.size(), &options);
}

// Loads once more for the log's sake. The buffer is large because kernels before 6.4 keep the
// beginning of a log that does not fit, and the objection stands at its end.
std::string explain(const Segment& segment, const std::string& name)
{
    std::string log(std::size_t{16} << 20, '\0');
    auto options = options_for(nullptr);
    options.log_buf = log.data();
    options.log_size = static_cast<__u32>(log.size());
    options.log_level = 1;
    const Fd unexpected(try_load(segment, name, options));
    return last_useful_line(log.c_str());
}

} // namespace

Result<Fd> load(const Segment& segment, const std::string& name)
{
    const auto clean = program_name(name);
    if (const auto btf = make_program_btf(clean, segment.lines)) {
        Fd fd(try_load(segment, clean, options_for(&*btf)));
        if (fd.valid())
            return fd;
    }
    Fd fd(try_load(segment, clean, options_for(nullptr)));
    if (fd.valid())
        return fd;
    const int sys = errno;
    return system_error(sys, "load policy program " + clean + ": " + explain(segment, clean));
}

} // namespace margay::policy
