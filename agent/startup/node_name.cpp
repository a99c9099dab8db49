// SPDX-License-Identifier: Apache-2.0
#include "agent/startup/startup.h"

#include "agent/config/parse.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace margay::startup {
namespace {

std::string read_name(const std::string& path)
{
    std::ifstream in(path);
    std::ostringstream content;
    content << in.rdbuf();
    return std::string(config::trim(content.str()));
}

// Whole or not at all: a CNI plugin reads the file at any moment.
Status write_name(const std::string& path, const std::string& name)
{
    std::error_code error;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
    const std::string temporary = path + ".new";
    {
        std::ofstream out(temporary, std::ios::trunc);
        out << name;
        out.close();
        if (!out)
            return system_error(errno, "write " + temporary);
    }
    std::filesystem::rename(temporary, path, error);
    if (error)
        return system_error(error.value(), "rename " + temporary + " to " + path);
    return {};
}

} // namespace

Result<std::string> node_name(const config::Config& config, const std::string& stored,
                              const std::string& hostname_variable, const std::string& hostname)
{
    const std::string choices[] = {config.nodename, std::string(config::trim(stored)),
                                   config::lower(config::trim(hostname_variable)),
                                   config::lower(config::trim(hostname))};
    for (const std::string& name : choices) {
        if (name.empty())
            continue;
        if (!config::is_node_name(name))
            return Error{Errc::Invalid, 0,
                         "node name \"" + name +
                             "\" is refused; set NODENAME to letters, digits, "
                             "'-', '.' and '_'"};
        return name;
    }
    return Error{Errc::NotFound, 0, "this node has no name: set NODENAME"};
}

Result<std::string> current_node_name(const config::Config& config)
{
    const char* const variable = std::getenv("HOSTNAME");
    char host[256] = {};
    if (gethostname(host, sizeof(host) - 1) != 0)
        return system_error(errno, "read the host name");
    return node_name(config, read_name(config.nodename_file), variable ? variable : "", host);
}

Result<std::string> settle_node_name(const config::Config& config)
{
    auto name = current_node_name(config);
    if (!name || config.nodename_file.empty() || *name == read_name(config.nodename_file))
        return name;
    if (Status ok = write_name(config.nodename_file, *name); !ok)
        return ok.error();
    return name;
}

} // namespace margay::startup
