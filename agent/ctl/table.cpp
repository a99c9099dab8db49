// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/table.h"

#include <boost/json.hpp>

#include <algorithm>
#include <utility>

namespace margay::ctl {
namespace {

namespace json = boost::json;

// Columns count characters, not bytes: names may hold UTF-8.
std::size_t width(std::string_view text)
{
    return static_cast<std::size_t>(
        std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
}

void pad(std::string& line, std::string_view text, std::size_t to)
{
    line += text;
    line.append(to - std::min(to, width(text)), ' ');
}

std::string cell_of(const json::object& row, std::string_view key)
{
    const auto* value = row.if_contains(key);
    return value == nullptr ? "-" : cell(*value);
}

} // namespace

std::string cell(const json::value& value)
{
    if (value.is_null())
        return "-";
    if (value.is_string())
        return value.as_string().empty() ? "-" : std::string(value.as_string());
    if (!value.is_array())
        return json::serialize(value);
    std::string joined;
    for (const auto& item : value.as_array()) {
        if (!joined.empty())
            joined += ',';
        joined += cell(item);
    }
    return joined.empty() ? "-" : joined;
}

std::string table(const json::array& rows, const std::vector<Column>& columns)
{
    Layout layout;
    return table(rows, columns, layout);
}

std::string table(const json::array& rows, const std::vector<Column>& columns, Layout& layout)
{
    std::vector<std::vector<std::string>> cells;
    layout.widths.resize(columns.size());
    if (!std::exchange(layout.titled, true))
        for (auto& line = cells.emplace_back(); const Column& column : columns)
            line.emplace_back(column.title);
    for (const auto& row : rows)
        for (auto& line = cells.emplace_back(); const Column& column : columns)
            line.push_back(row.is_object() ? cell_of(row.as_object(), column.key) : "-");
    for (const auto& line : cells)
        for (std::size_t i = 0; i < line.size(); i++)
            layout.widths[i] = std::max(layout.widths[i], width(line[i]));
    std::string text;
    for (const auto& line : cells) {
        std::string out;
        for (std::size_t i = 0; i < line.size(); i++)
            pad(out, line[i], i + 1 == line.size() ? 0 : layout.widths[i] + 2);
        text += out + "\n";
    }
    return text;
}

std::string fields(const json::object& object, const std::vector<Column>& lines)
{
    std::size_t widest = 0;
    for (const Column& line : lines)
        widest = std::max(widest, width(line.title));
    std::string text;
    for (const Column& line : lines) {
        std::string out;
        pad(out, line.title, widest + 2);
        text += out + cell_of(object, line.key) + "\n";
    }
    return text;
}

} // namespace margay::ctl
