// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/table.h"

#include <boost/json.hpp>
#include <gtest/gtest.h>

namespace margay::ctl {
namespace {

namespace json = boost::json;

TEST(TableTest, columns_are_as_wide_as_their_widest_cell)
{
    const auto rows = json::parse(R"([{"a":"x","b":1},{"a":"länger","b":22}])").as_array();
    EXPECT_EQ(table(rows, {{"A", "a"}, {"B", "b"}}), "A       B\n"
                                                     "x       1\n"
                                                     "länger  22\n");
}

TEST(TableTest, absent_null_and_empty_cells_are_a_dash)
{
    const auto rows = json::parse(R"([{"b":null,"c":"","d":[]}])").as_array();
    EXPECT_EQ(table(rows, {{"A", "a"}, {"B", "b"}, {"C", "c"}, {"D", "d"}}),
              "A  B  C  D\n-  -  -  -\n");
}

TEST(TableTest, lists_are_joined)
{
    EXPECT_EQ(cell(json::parse(R"(["10.0.0.1", 2, true])")), "10.0.0.1,2,true");
}

TEST(TableTest, fields_align_their_values)
{
    const auto object = json::parse(R"({"n":"n1","r":5})").as_object();
    EXPECT_EQ(fields(object, {{"Node", "n"}, {"Revision", "r"}}), "Node      n1\nRevision  5\n");
}

TEST(TableTest, portions_have_one_title_and_columns_that_only_grow)
{
    const std::vector<Column> columns = {{"A", "a"}, {"B", "b"}};
    Layout layout;
    EXPECT_EQ(table({json::object{{"a", "wide"}, {"b", 1}}}, columns, layout),
              "A     B\nwide  1\n");
    EXPECT_EQ(table({json::object{{"a", "x"}, {"b", 2}}}, columns, layout), "x     2\n");
}

} // namespace
} // namespace margay::ctl
