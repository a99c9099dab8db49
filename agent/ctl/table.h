// SPDX-License-Identifier: Apache-2.0
// Tables for people out of margayd's JSON answers: a list of objects, a column a key.

#pragma once

#include <boost/json/fwd.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace margay::ctl {

struct Column {
    std::string_view title;
    std::string_view key;
};

// A value as one cell: lists joined by commas, absent and null as "-".
std::string cell(const boost::json::value& value);

// `rows` is an array of objects. Columns as wide as their widest cell, the last one ragged.
std::string table(const boost::json::array& rows, const std::vector<Column>& columns);

// A table in portions: titles once, columns that only grow.
struct Layout {
    std::vector<std::size_t> widths;
    bool titled = false;
};
std::string table(const boost::json::array& rows, const std::vector<Column>& columns,
                  Layout& layout);

// "key  value" lines of an object's scalars.
std::string fields(const boost::json::object& object, const std::vector<Column>& lines);

} // namespace margay::ctl
