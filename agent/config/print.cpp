// SPDX-License-Identifier: Apache-2.0
#include "agent/config/parse.h"

#include <boost/json.hpp>

#include <algorithm>

namespace margay::config {
namespace {

std::string shown(const Effective& value)
{
    return value.setting->secret && !value.value.empty() ? "***" : value.value;
}

std::string origin(const Effective& value)
{
    return value.origin.empty() ? std::string(to_string(value.source))
                                : std::string(to_string(value.source)) + " " + value.origin;
}

std::string padded(std::string text, std::size_t width)
{
    text.resize(std::max(width, text.size()), ' ');
    return text;
}

} // namespace

std::string print_table(const Config& config)
{
    std::size_t name_width = 7;
    std::size_t value_width = 5;
    for (const Effective& value : config.effective) {
        name_width = std::max(name_width, value.setting->name.size());
        value_width = std::max(value_width, std::min<std::size_t>(shown(value).size(), 40));
    }
    std::string text =
        padded("SETTING", name_width) + "  " + padded("VALUE", value_width) + "  SOURCE\n";
    for (const Effective& value : config.effective)
        text += padded(std::string(value.setting->name), name_width) + "  " +
                padded(shown(value), value_width) + "  " + origin(value) + "\n";
    for (const std::string& warning : config.warnings)
        text += "warning: " + warning + "\n";
    return text;
}

std::string print_json(const Config& config)
{
    boost::json::array rows;
    for (const Effective& value : config.effective)
        rows.push_back({{"name", std::string(value.setting->name)},
                        {"value", shown(value)},
                        {"source", to_string(value.source)},
                        {"origin", value.origin}});
    boost::json::array warnings(config.warnings.begin(), config.warnings.end());
    const boost::json::object document{{"settings", rows}, {"warnings", warnings}};
    return boost::json::serialize(document) + "\n";
}

std::string settings_markdown()
{
    std::string text = "| flag | environment | YAML key | default | allowed | meaning |\n"
                       "|---|---|---|---|---|---|\n";
    for (const Setting& setting : settings()) {
        std::string variables;
        for (const std::string& variable : split(setting.env, ' '))
            variables += (variables.empty() ? "`" : ", `") + variable + "`";
        const std::string fallback =
            setting.fallback.empty() ? "" : "`" + std::string(setting.fallback) + "`";
        text += "| `" + flag(setting) + "` | " + variables + " | `" + yaml_key(setting) + "` | " +
                fallback + " | " + std::string(setting.allowed) + " | " +
                std::string(setting.help) + " |\n";
    }
    return text;
}

} // namespace margay::config
