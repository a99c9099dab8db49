// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/sysctl.h"

#include "margay/fd.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>

namespace margay::kernel {
namespace {

// An interface name is one path component; the kernel itself refuses these as names.
bool is_component(std::string_view name)
{
    return !name.empty() && name != "." && name != ".." && name.find('/') == std::string_view::npos;
}

Result<int> read_number(const std::string& path)
{
    const auto text = read_sysctl(path);
    if (!text)
        return text.error();
    int number = 0;
    const auto parsed = std::from_chars(text->data(), text->data() + text->size(), number);
    if (parsed.ec != std::errc{})
        return Error{Errc::Invalid, 0, "sysctl " + path + ": not a number: " + *text};
    return number;
}

} // namespace

Result<std::string> read_sysctl(const std::string& path)
{
    const Fd fd(::open(("/proc/sys/" + path).c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) {
        Error error = system_error(errno, "read sysctl " + path);
        if (error.sys == ENOENT)
            error.code = Errc::NotFound;
        return error;
    }
    std::array<char, 4096> buffer;
    const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0)
        return system_error(errno, "read sysctl " + path);
    std::string value(buffer.data(), static_cast<std::size_t>(n));
    while (!value.empty() && value.back() == '\n')
        value.pop_back();
    return value;
}

Result<bool> write_sysctl(const Sysctl& setting)
{
    const auto present = read_sysctl(setting.path);
    if (!present && present.error().code == Errc::NotFound && setting.optional)
        return false;
    if (!present)
        return present.error();
    if (*present == setting.value)
        return false;
    const Fd fd(::open(("/proc/sys/" + setting.path).c_str(), O_WRONLY | O_CLOEXEC));
    const ssize_t n =
        fd.valid() ? ::write(fd.get(), setting.value.data(), setting.value.size()) : -1;
    if (n < 0)
        return system_error(errno, "write sysctl " + setting.path + "=" + setting.value);
    return true;
}

std::vector<Sysctl> workload_sysctls(std::string_view interface)
{
    if (!is_component(interface))
        return {};
    const std::string name(interface);
    const std::string v4 = "net/ipv4/conf/" + name + "/";
    const std::string v6 = "net/ipv6/conf/" + name + "/";
    return {
        {v4 + "route_localnet", "1"},   {"net/ipv4/neigh/" + name + "/proxy_delay", "0"},
        {v4 + "forwarding", "1"},       {v4 + "rp_filter", "0"},
        {v4 + "proxy_arp", "1"}, // last: answers make no sense before the rest is there
        {v6 + "accept_ra", "0", true},  {v6 + "proxy_ndp", "1", true},
        {v6 + "forwarding", "1", true},
    };
}

std::vector<Sysctl> global_sysctls()
{
    return {{"net/ipv4/ip_forward", "1"}};
}

Result<int> apply_sysctls(const std::vector<Sysctl>& settings)
{
    int written = 0;
    std::optional<Error> first;
    for (const Sysctl& setting : settings) {
        const auto changed = write_sysctl(setting);
        if (changed)
            written += *changed ? 1 : 0;
        else if (!first)
            first = changed.error();
    }
    if (first)
        return *first;
    return written;
}

Result<RpFilter> read_rp_filter(std::string_view interface)
{
    if (!is_component(interface))
        return Error{Errc::Invalid, 0, "interface name '" + std::string(interface) + "'"};
    const auto all = read_number("net/ipv4/conf/all/rp_filter");
    if (!all)
        return all.error();
    const auto own = read_number("net/ipv4/conf/" + std::string(interface) + "/rp_filter");
    if (!own)
        return own.error();
    return RpFilter{*all, *own};
}

} // namespace margay::kernel
