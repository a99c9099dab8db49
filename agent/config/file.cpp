// SPDX-License-Identifier: Apache-2.0
#include "agent/config/config.h"

#include <yaml-cpp/yaml.h>

namespace margay::config {
namespace {

Error wrong(const std::string& file_name, const std::string& what)
{
    return Error{Errc::Invalid, 0, file_name + ": " + what};
}

// yaml-cpp reports by exceptions; this is where they end.
Result<Values> read_map(const std::string& text, const std::string& file_name)
{
    const YAML::Node root = YAML::Load(text);
    Values values;
    if (root.IsNull())
        return values;
    if (!root.IsMap())
        return wrong(file_name, "not a map of settings");
    for (const auto& entry : root) {
        const auto key = entry.first.as<std::string>();
        const YAML::Node& node = entry.second;
        std::string value;
        if (node.IsScalar()) {
            value = node.Scalar();
        } else if (node.IsSequence()) {
            for (const auto& item : node) {
                if (!item.IsScalar())
                    return wrong(file_name,
                                 "\"" + key + "\" is neither a value nor a list of them");
                value += (value.empty() ? "" : ",") + item.Scalar();
            }
        } else if (!node.IsNull()) {
            return wrong(file_name, "\"" + key + "\" is neither a value nor a list of them");
        }
        if (!values.emplace(key, std::move(value)).second)
            return wrong(file_name, "\"" + key + "\" is given twice");
    }
    return values;
}

} // namespace

Result<Values> parse_yaml(const std::string& text, const std::string& file_name)
{
    try {
        return read_map(text, file_name);
    } catch (const YAML::Exception& e) {
        return wrong(file_name, e.what());
    }
}

} // namespace margay::config
