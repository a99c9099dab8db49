// SPDX-License-Identifier: Apache-2.0
// Text to syntax tree, by recursive descent over the characters. Only a parenthesis recurses.

#include <algorithm>
#include <optional>

#include "agent/model/selector_tree.h"

namespace margay::model {
namespace {

using Tree = Selector::Node;
using Op = Tree::Op;

bool is_key_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '/' || c == '-';
}

SelectorNode leaf(Op op, std::string_view key = {}, std::vector<std::string> values = {})
{
    return std::make_shared<const Tree>(Tree{op, std::string(key), std::move(values), {}});
}

struct WordOperator {
    std::string_view first;
    std::string_view second; // may be parted from the first by blanks
    Op op;
};

constexpr WordOperator kWordOperators[] = {
    {"contains", "", Op::Contains},
    {"starts", "with", Op::StartsWith},
    {"ends", "with", Op::EndsWith},
    {"not", "in", Op::NotIn},
    {"in", "", Op::In},
};

class Parser {
public:
    explicit Parser(std::string_view text) : text_(text) {}

    Result<SelectorNode> run()
    {
        skip_blanks();
        if (at_end())
            return leaf(Op::All);
        auto tree = alternatives(0);
        if (tree && !at_end())
            return fail("expected '&&', '||' or the end");
        return tree;
    }

private:
    Result<SelectorNode> alternatives(int depth) { return chain(Op::Or, "||", depth); }

    // alternatives := conjunction { "||" conjunction }, and conjunction likewise of operands.
    Result<SelectorNode> chain(Op op, std::string_view separator, int depth)
    {
        Tree node{op, {}, {}, {}};
        do {
            auto part = op == Op::Or ? chain(Op::And, "&&", depth) : operand(depth);
            if (!part)
                return part;
            node.children.push_back(*std::move(part));
        } while (accept(separator));
        if (node.children.size() == 1)
            return node.children.front();
        return SelectorNode(std::make_shared<const Tree>(std::move(node)));
    }

    Result<SelectorNode> operand(int depth)
    {
        bool negated = false;
        skip_blanks();
        while (peek() == '!' && peek(1) != '=') {
            ++at_;
            negated = !negated;
            skip_blanks();
        }
        auto tree = peek() == '(' ? parenthesis(depth) : term();
        if (tree && negated)
            return SelectorNode(std::make_shared<const Tree>(Tree{Op::Not, {}, {}, {*tree}}));
        return tree;
    }

    Result<SelectorNode> parenthesis(int depth)
    {
        if (depth >= Selector::kMaxDepth)
            return fail("parentheses are nested too deep");
        ++at_;
        auto tree = alternatives(depth + 1);
        if (tree && !accept(")"))
            return fail("expected ')'");
        return tree;
    }

    Result<SelectorNode> term()
    {
        const std::size_t start = at_;
        const auto key = take_key();
        if (key.empty())
            return fail(at_end() ? "the selector ends too early" : "expected a label or '('");
        if (peek() == '(') {
            if (key == "all" || key == "global")
                return call_without_argument(key == "all" ? Op::All : Op::Global);
            if (key == "has")
                return call_has();
        }
        if (key.size() > Selector::kMaxKeyLength)
            return fail_at(start, "a label is longer than 512 characters");
        return comparison(key);
    }

    Result<SelectorNode> call_without_argument(Op op)
    {
        ++at_;
        if (!accept(")"))
            return fail("expected ')'");
        return leaf(op);
    }

    Result<SelectorNode> call_has()
    {
        ++at_;
        skip_blanks();
        const std::size_t start = at_;
        const auto key = take_key();
        if (key.empty())
            return fail("expected a label in has()");
        if (key.size() > Selector::kMaxKeyLength)
            return fail_at(start, "a label is longer than 512 characters");
        if (!accept(")"))
            return fail("expected ')'");
        return leaf(Op::Has, key);
    }

    Result<SelectorNode> comparison(std::string_view key)
    {
        const auto op = take_operator();
        if (!op)
            return fail("expected an operator after the label");
        if (*op == Op::In || *op == Op::NotIn)
            return set_of_strings(key, *op);
        auto value = string_literal();
        if (!value)
            return value.error();
        return leaf(*op, key, {*std::move(value)});
    }

    std::optional<Op> take_operator()
    {
        if (accept("=="))
            return Op::Equal;
        if (accept("!="))
            return Op::NotEqual;
        for (const auto& word : kWordOperators)
            if (accept_words(word))
                return word.op;
        return std::nullopt;
    }

    bool accept_words(const WordOperator& word)
    {
        const std::size_t start = at_;
        bool found = accept(word.first);
        if (found && !word.second.empty())
            found = accept(word.second);
        if (found && !at_end() && !is_key_char(peek()))
            return true;
        at_ = start;
        return false;
    }

    Result<SelectorNode> set_of_strings(std::string_view key, Op op)
    {
        if (!accept("{"))
            return fail("expected '{'");
        std::vector<std::string> values;
        while (!accept("}")) {
            auto value = string_literal();
            if (!value)
                return value.error();
            values.push_back(*std::move(value));
            if (accept(","))
                continue; // a trailing comma is accepted
            if (!accept("}"))
                return fail("expected ',' or '}'");
            break;
        }
        std::sort(values.begin(), values.end());
        values.erase(std::unique(values.begin(), values.end()), values.end());
        return leaf(op, key, std::move(values));
    }

    Result<std::string> string_literal()
    {
        skip_blanks();
        const char quote = peek();
        if (quote != '\'' && quote != '"')
            return fail("expected a string in quotes");
        const std::size_t end = text_.find(quote, at_ + 1);
        if (end == std::string_view::npos)
            return fail("a string is not closed");
        const auto value = text_.substr(at_ + 1, end - at_ - 1);
        at_ = end + 1;
        return std::string(value);
    }

    std::string_view take_key()
    {
        const std::size_t start = at_;
        while (!at_end() && is_key_char(text_[at_]))
            ++at_;
        return text_.substr(start, at_ - start);
    }

    bool accept(std::string_view literal)
    {
        skip_blanks();
        if (!text_.substr(at_).starts_with(literal))
            return false;
        at_ += literal.size();
        return true;
    }

    void skip_blanks()
    {
        while (!at_end() && (text_[at_] == ' ' || text_[at_] == '\t'))
            ++at_;
    }

    bool at_end() const { return at_ >= text_.size(); }
    char peek(std::size_t ahead = 0) const
    {
        return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
    }
    Error fail(std::string_view why) const { return fail_at(at_, why); }
    static Error fail_at(std::size_t where, std::string_view why)
    {
        return Error{Errc::Invalid, 0,
                     "position " + std::to_string(where) + ": " + std::string(why)};
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

} // namespace

Result<SelectorNode> parse_selector(std::string_view text)
{
    return Parser(text).run();
}

} // namespace margay::model
