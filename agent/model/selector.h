// SPDX-License-Identifier: Apache-2.0
// Selector: a predicate over labels, in the language of the Calico API.
//
//   selector := and { "||" and }          and := operand { "&&" operand }
//   operand  := { "!" } ( "(" selector ")" | "all()" | "global()" | "has(" key ")"
//             | key ("==" | "!=" | "contains" | "starts with" | "ends with") string
//             | key ("in" | "not in") "{" [ string { "," string } ] "}" )
//
// A missing label makes "!=" and "not in" true and every other comparison false. Keys are
// [a-zA-Z0-9_./-]+ of at most 512 characters, strings are in ' or " without escapes, white space
// is blank and tab; a newline is an error. The text may come from anybody who can write to the
// datastore: nesting is bounded by kMaxDepth, and chains of "!", "&&" and "||" do not nest.
//
// A Selector is an immutable value that is cheap to copy. Two selectors with the same canonical
// text() are equal.

#pragma once

#include <compare>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/model/labels.h"
#include "margay/result.h"

namespace margay::model {

class Selector {
public:
    static constexpr int kMaxDepth = 64;              // of parentheses
    static constexpr std::size_t kMaxKeyLength = 512; // of a label's key

    // A key that is there, with one of the values (none: any value).
    struct Requirement {
        std::string key;
        std::vector<std::string> values;

        bool operator==(const Requirement&) const = default;
    };
    // Alternatives: every object that matches has one of them.
    using Condition = std::vector<Requirement>;

    Selector(); // all()
    // Blank text is all(). An error names the position, counted from 0, and what was wrong there.
    static Result<Selector> parse(std::string_view text);
    static Selector equals(std::string key, std::string value);
    static Selector in(std::string key, std::vector<std::string> values);
    static Selector has(std::string key);
    static Selector negation(const Selector& operand);
    // all() is dropped from a conjunction.
    static Selector both(const Selector& left, const Selector& right);

    bool matches(const Labels& labels) const;
    const std::string& text() const;
    bool is_all() const;
    bool is_global() const;
    // The same predicate over keys with `prefix` put before each.
    Selector with_key_prefix(std::string_view prefix) const;
    // Necessary conditions, for an index; none when nothing can be said.
    std::vector<Condition> requirements() const;

    bool operator==(const Selector& other) const { return text() == other.text(); }
    std::strong_ordering operator<=>(const Selector& other) const
    {
        return text() <=> other.text();
    }

    struct Node; // of the syntax tree; private to selector.cpp and selector_parser.cpp

private:
    explicit Selector(std::shared_ptr<const Node> root);

    struct Parsed;
    std::shared_ptr<const Parsed> parsed_;
};

} // namespace margay::model
