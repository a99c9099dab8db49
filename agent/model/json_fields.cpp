// SPDX-License-Identifier: Apache-2.0

#include "agent/model/json_fields.h"

#include <algorithm>

namespace margay::model {

const boost::json::value* Fields::find(std::string_view name) const
{
    if (!object_)
        return nullptr;
    const auto* member = object_->if_contains(boost::json::string_view(name.data(), name.size()));
    return member && !member->is_null() ? member : nullptr;
}

void Fields::only(std::initializer_list<std::string_view> known) const
{
    if (!object_)
        return;
    for (const auto& [key, value] : *object_) {
        const std::string_view name(key.data(), key.size());
        if (!value.is_null() && std::ranges::find(known, name) == known.end())
            fail(quoted_for_people(name), "is a field that is not known here");
    }
}

Fields Fields::object(std::string_view name) const
{
    const auto* member = find(name);
    const auto* object = member ? member->if_object() : nullptr;
    if (member && !object)
        fail(name, "expected an object");
    return Fields(object, path(name), *report_);
}

std::optional<std::string> Fields::text(std::string_view name) const
{
    const auto* member = find(name);
    if (!member)
        return std::nullopt;
    const auto* string = member->if_string();
    if (!string) {
        fail(name, "expected a text");
        return std::nullopt;
    }
    if (string->empty())
        return std::nullopt;
    return std::string(string->data(), string->size());
}

std::optional<bool> Fields::flag(std::string_view name) const
{
    const auto* member = find(name);
    if (!member)
        return std::nullopt;
    if (const bool* value = member->if_bool())
        return *value;
    fail(name, "expected true or false");
    return std::nullopt;
}

std::optional<double> Fields::number(std::string_view name) const
{
    const auto* member = find(name);
    if (!member)
        return std::nullopt;
    boost::system::error_code error;
    const auto value = member->to_number<double>(error);
    if (!error)
        return value;
    fail(name, "expected a number");
    return std::nullopt;
}

std::optional<std::uint64_t> Fields::integer(std::string_view name, std::uint64_t min,
                                             std::uint64_t max) const
{
    const auto* member = find(name);
    if (!member)
        return std::nullopt;
    boost::system::error_code error;
    const auto value = member->to_number<std::uint64_t>(error);
    if (!error && value >= min && value <= max)
        return value;
    fail(name,
         "expected a whole number from " + std::to_string(min) + " to " + std::to_string(max));
    return std::nullopt;
}

std::optional<Selector> Fields::selector(std::string_view name) const
{
    const auto given = text(name);
    if (!given)
        return std::nullopt;
    auto selector = Selector::parse(*given);
    if (selector)
        return *std::move(selector);
    fail(name, selector.error().what);
    return std::nullopt;
}

std::optional<std::uint8_t> Fields::protocol(std::string_view name) const
{
    const auto* member = find(name);
    if (!member)
        return std::nullopt;
    if (!member->is_string()) {
        const auto number = integer(name, 1, 255);
        return number ? std::optional(static_cast<std::uint8_t>(*number)) : std::nullopt;
    }
    const auto given = text_or_empty(name);
    const auto protocol = parse_protocol(given);
    if (!protocol)
        fail(name, quoted_for_people(given) + " is not a protocol");
    return protocol;
}

std::optional<std::uint32_t> Fields::as_number(std::string_view name) const
{
    const auto* member = find(name);
    if (!member)
        return std::nullopt;
    if (!member->is_string()) {
        const auto number = integer(name, 0, 0xffffffff);
        return number ? std::optional(static_cast<std::uint32_t>(*number)) : std::nullopt;
    }
    const auto given = text(name);
    if (!given)
        return std::nullopt;
    const auto number = parse_as_number(*given);
    if (!number)
        fail(name, quoted_for_people(*given) + " is not an AS number");
    return number;
}

std::optional<std::chrono::milliseconds> Fields::duration(std::string_view name) const
{
    const auto given = text(name);
    if (!given)
        return std::nullopt;
    const auto duration = parse_duration(*given);
    if (!duration)
        fail(name, quoted_for_people(*given) + " is not a duration");
    return duration;
}

Labels Fields::labels(std::string_view name) const
{
    std::vector<Labels::Pair> labels;
    const auto members = object(name);
    if (!members)
        return {};
    for (const auto& [key, value] : *members.object_) {
        const std::string_view label(key.data(), key.size());
        const auto* string = value.if_string();
        if (string)
            labels.emplace_back(label, std::string_view(string->data(), string->size()));
        else if (!value.is_null())
            members.fail(quoted_for_people(label), "expected a text");
    }
    return Labels::from(std::move(labels));
}

std::vector<std::string> Fields::texts(std::string_view name) const
{
    std::vector<std::string> texts;
    for_each(name, [&](const boost::json::value& element, const std::string& where) {
        if (const auto* string = element.if_string())
            texts.emplace_back(string->data(), string->size());
        else
            report_->fail(where, "expected a text");
    });
    return texts;
}

Nets Fields::nets(std::string_view name) const
{
    Nets nets;
    std::size_t index = 0;
    for (const auto& text : texts(name)) {
        if (!add_net(nets, text))
            report_->fail(path(name) + "[" + std::to_string(index) + "]",
                          quoted_for_people(text) + " is not an address or prefix");
        ++index;
    }
    return nets;
}

std::vector<PortMatch> Fields::ports(std::string_view name) const
{
    std::vector<PortMatch> ports;
    for_each(name, [&](const boost::json::value& element, const std::string& where) {
        std::optional<PortMatch> port;
        boost::system::error_code error;
        if (const auto* string = element.if_string())
            port = parse_port({string->data(), string->size()});
        else if (const auto number = element.to_number<std::uint16_t>(error); !error)
            port = PortMatch{number, number, {}};
        if (port)
            ports.push_back(*port);
        else
            report_->fail(where, "expected a port, a range \"lo:hi\" or a port name");
    });
    return ports;
}

} // namespace margay::model
