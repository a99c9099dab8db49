// SPDX-License-Identifier: Apache-2.0
#include "support/bgp/daemon.h"

#include "support/bgp/lab.h"
#include "support/process.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

#include <sys/stat.h>
#include <unistd.h>

namespace margay::bgp::lab {
namespace {

constexpr int kAttemptsToAnswer = 1000; // of 10 ms

bool contains_in_any_case(std::string text, std::string_view lower)
{
    std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
    return text.find(lower) != std::string::npos;
}

} // namespace

const std::vector<DaemonKind>& daemon_kinds()
{
    static const std::vector<DaemonKind> kinds{
        {"bird", "BIRD 2", make_bird},
        {"frr", "FRR", make_frr},
        {"gobgp", "GoBGP", make_gobgp},
        {"openbgpd", "OpenBGPD", make_openbgpd},
    };
    return kinds;
}

Daemon::Daemon() : folder_(testing::make_temp_folder("bgp")) {}

Daemon::~Daemon()
{
    process_.kill();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
}

Status Daemon::start(const DaemonConfig& config)
{
    config_ = config;
    return start_process(false);
}

Status Daemon::restart()
{
    return start_process(true);
}

Status Daemon::start_process(bool after_a_crash)
{
    write_config();
    if (Status status = process_.start(command(after_a_crash), in_folder("log")); !status)
        return status;
    for (int attempt = 0; !answers(); ++attempt) {
        if (!process_.running() || attempt == kAttemptsToAnswer)
            return Error{Errc::Invalid, 0, last_words()};
        ::usleep(10'000);
    }
    started();
    return {};
}

void Daemon::write_config() const
{
    // Passwords could be in it: OpenBGPD refuses a file that others can read.
    const mode_t before = ::umask(077);
    testing::write_file(config_file(), text_of(config_));
    ::umask(before);
}

void Daemon::announce(const Route& route)
{
    config_.routes.push_back(route);
    write_config();
    changed(route, true);
}

void Daemon::withdraw(const std::string& prefix)
{
    const auto found = std::ranges::find(config_.routes, prefix, &Route::prefix);
    if (found == config_.routes.end())
        return;
    const Route route = *found;
    config_.routes.erase(found);
    write_config();
    changed(route, false);
}

bool Daemon::up(const Ip& neighbor)
{
    for (const std::string& line : split(about(neighbor), "\n"))
        if (line.find("BGP state") != std::string::npos)
            return contains_in_any_case(line, "established");
    return false;
}

std::string Daemon::about(const Ip& neighbor)
{
    return ask(ask_about(neighbor));
}

std::string Daemon::log() const
{
    return testing::read_file(in_folder("log"));
}

std::string Daemon::last_words() const
{
    const auto lines = split(log(), "\n");
    std::string text;
    for (std::size_t i = lines.size() > 3 ? lines.size() - 3 : 0; i < lines.size(); ++i)
        text += (text.empty() ? "" : " | ") + lines[i];
    for (std::size_t at = 0; (at = text.find(folder_ + "/")) != std::string::npos;)
        text.erase(at, folder_.size() + 1);
    return text.empty() ? "it wrote nothing" : text;
}

std::string Daemon::ask(const Words& command)
{
    return testing::run(command).out;
}

std::size_t Daemon::index_of(const Ip& neighbor) const
{
    const auto found = std::ranges::find(config_.neighbors, neighbor, &Neighbor::address);
    return static_cast<std::size_t>(found - config_.neighbors.begin());
}

std::string own_address(const DaemonConfig& config, const Neighbor& neighbor)
{
    return (neighbor.address.is_v4() ? lab_address(config.host) : lab_address6(config.host)).str();
}

bool is_internal(const DaemonConfig& config, const Neighbor& neighbor)
{
    return config.as == neighbor.as;
}

bool has_family(const Neighbor& neighbor, Family family)
{
    return std::ranges::find(neighbor.families, family) != neighbor.families.end();
}

bool is_v6(const std::string& prefix)
{
    return prefix.find(':') != std::string::npos;
}

std::string between(const std::string& text, std::string_view from, std::string_view to)
{
    const std::size_t begin = text.find(from);
    if (begin == std::string::npos)
        return "";
    std::string joined;
    for (const std::string& word : split(text.substr(begin, text.find(to, begin) - begin), " \t\n"))
        joined += (joined.empty() ? "" : " ") + word;
    return joined;
}

std::vector<std::string> split(const std::string& text, std::string_view separators)
{
    std::vector<std::string> parts;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find_first_of(separators, at), text.size());
        if (end > at)
            parts.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    return parts;
}

} // namespace margay::bgp::lab
