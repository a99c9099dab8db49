// SPDX-License-Identifier: Apache-2.0
// The syntax tree of a selector. Private to agent/model: everybody else sees selector.h.

#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/model/selector.h"

namespace margay::model {

struct Selector::Node {
    enum class Op {
        All,
        Global,
        Has,
        Equal,
        NotEqual,
        In,
        NotIn,
        Contains,
        StartsWith,
        EndsWith,
        Not,
        And,
        Or,
    };
    using Ref = std::shared_ptr<const Node>;

    Op op = Op::All;
    std::string key{};                 // of the comparisons and Has
    std::vector<std::string> values{}; // In, NotIn: sorted, unique; other comparisons: one
    std::vector<Ref> children{};       // Not: one; And, Or: two or more
};

using SelectorNode = Selector::Node::Ref;

Result<SelectorNode> parse_selector(std::string_view text);

} // namespace margay::model
