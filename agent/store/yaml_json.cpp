// SPDX-License-Identifier: Apache-2.0
#include "agent/store/yaml_json.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>

namespace margay::store {
namespace {

namespace json = boost::json;

constexpr int kMaxDepth = 64;
constexpr std::size_t kMaxValues = 500'000;

// Fields whose scalars are text, however they look.
constexpr std::array kTextFields{
    std::string_view("name"),
    std::string_view("namespace"),
    std::string_view("uid"),
    std::string_view("creationTimestamp"),
    std::string_view("node"),
    std::string_view("orchestrator"),
    std::string_view("workload"),
    std::string_view("containerID"),
    std::string_view("pod"),
    std::string_view("endpoint"),
    std::string_view("mac"),
    std::string_view("interfaceName"),
    std::string_view("nodeName"),
    std::string_view("serviceAccountName"),
    std::string_view("tier"),
    std::string_view("clusterGUID"),
    std::string_view("clusterType"),
    std::string_view("calicoVersion"),
    std::string_view("selector"),
    std::string_view("notSelector"),
    std::string_view("resourceVersion"),
};
// Fields that are maps from text to text.
constexpr std::array kTextMaps{
    std::string_view("labels"),
    std::string_view("annotations"),
    std::string_view("labelsToApply"),
};

template <typename List>
bool holds(const List& list, std::string_view name)
{
    return std::find(list.begin(), list.end(), name) != list.end();
}

Error invalid_at(const YAML::Node& node, const std::string& what)
{
    return {Errc::Invalid, 0, what + " at line " + std::to_string(node.Mark().line + 1)};
}

template <typename Number>
std::optional<Number> whole_number(std::string_view text, int base)
{
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc{} || end != text.data() + text.size())
        return {};
    return value;
}

std::optional<json::value> as_integer(std::string_view text)
{
    if (text.starts_with('+'))
        text.remove_prefix(1);
    if (text.starts_with("0x"))
        if (auto hex = whole_number<std::uint64_t>(text.substr(2), 16))
            return json::value(*hex);
    if (text.size() > 1 && text[0] == '0') // octal, as YAML 1.1 has it
        if (auto octal = whole_number<std::uint64_t>(text.substr(1), 8))
            return json::value(*octal);
    if (auto decimal = whole_number<std::int64_t>(text, 10))
        return json::value(*decimal);
    return {};
}

std::optional<json::value> as_float(std::string_view text)
{
    if (text.find_first_not_of("+-.0123456789eE") != std::string_view::npos ||
        text.find_first_of("0123456789") == std::string_view::npos)
        return {};
    if (text.starts_with('+'))
        text.remove_prefix(1);
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value))
        return {};
    return json::value(value);
}

json::value plain_scalar(const std::string& text)
{
    constexpr std::array kNulls{std::string_view(""), std::string_view("~"),
                                std::string_view("null"), std::string_view("Null"),
                                std::string_view("NULL")};
    constexpr std::array kTrue{std::string_view("true"), std::string_view("True"),
                               std::string_view("TRUE"), std::string_view("yes"),
                               std::string_view("Yes"),  std::string_view("on"),
                               std::string_view("On")};
    constexpr std::array kFalse{std::string_view("false"), std::string_view("False"),
                                std::string_view("FALSE"), std::string_view("no"),
                                std::string_view("No"),    std::string_view("off"),
                                std::string_view("Off")};
    if (holds(kNulls, text))
        return nullptr;
    if (holds(kTrue, text))
        return true;
    if (holds(kFalse, text))
        return false;
    if (auto number = as_integer(text))
        return *number;
    if (auto number = as_float(text))
        return *number;
    return json::value(text);
}

class Converter {
public:
    Result<json::value> convert(const YAML::Node& node, int depth, bool text);

private:
    Result<json::value> map(const YAML::Node& node, int depth, bool text);
    Result<json::value> list(const YAML::Node& node, int depth, bool text);

    std::size_t values_ = 0;
};

Result<json::value> Converter::convert(const YAML::Node& node, int depth, bool text)
{
    if (depth > kMaxDepth)
        return invalid_at(node, "nested too deeply");
    if (++values_ > kMaxValues)
        return invalid_at(node, "too many values");
    switch (node.Type()) {
    case YAML::NodeType::Map:
        return map(node, depth, text);
    case YAML::NodeType::Sequence:
        return list(node, depth, text);
    case YAML::NodeType::Scalar: {
        const bool quoted = node.Tag() == "!" || node.Tag() == "tag:yaml.org,2002:str";
        return quoted || text ? json::value(node.Scalar()) : plain_scalar(node.Scalar());
    }
    default:
        return json::value(nullptr);
    }
}

Result<json::value> Converter::map(const YAML::Node& node, int depth, bool text)
{
    json::object object;
    for (const auto& field : node) {
        if (!field.first.IsScalar())
            return invalid_at(field.first, "a field name that is no text");
        const std::string& name = field.first.Scalar();
        if (object.contains(name))
            return invalid_at(field.first, "field \"" + name + "\" twice");
        const bool is_text =
            text || holds(kTextMaps, name) || (field.second.IsScalar() && holds(kTextFields, name));
        auto value = convert(field.second, depth + 1, is_text);
        if (!value)
            return value.error();
        object.emplace(name, std::move(*value));
    }
    return json::value(std::move(object));
}

Result<json::value> Converter::list(const YAML::Node& node, int depth, bool text)
{
    json::array array;
    for (const auto& element : node) {
        auto value = convert(element, depth + 1, text);
        if (!value)
            return value.error();
        array.push_back(std::move(*value));
    }
    return json::value(std::move(array));
}

} // namespace

Result<json::value> to_json(const YAML::Node& node)
{
    return Converter().convert(node, 0, false);
}

} // namespace margay::store
