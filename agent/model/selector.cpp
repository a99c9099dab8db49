// SPDX-License-Identifier: Apache-2.0
// Evaluation, canonical text and rewriting of selectors; the parser is in selector_parser.cpp.

#include "agent/model/selector.h"

#include <algorithm>

#include "agent/model/selector_tree.h"

namespace margay::model {
namespace {

using Tree = Selector::Node;
using Op = Tree::Op;

SelectorNode make(Op op, std::string key, std::vector<std::string> values)
{
    return std::make_shared<const Tree>(Tree{op, std::move(key), std::move(values), {}});
}

bool compares(const Tree& node, const std::string& value)
{
    switch (node.op) {
    case Op::Equal:
        return value == node.values.front();
    case Op::NotEqual:
        return value != node.values.front();
    case Op::In:
        return std::binary_search(node.values.begin(), node.values.end(), value);
    case Op::NotIn:
        return !std::binary_search(node.values.begin(), node.values.end(), value);
    case Op::Contains:
        return value.find(node.values.front()) != std::string::npos;
    case Op::StartsWith:
        return value.starts_with(node.values.front());
    case Op::EndsWith:
        return value.ends_with(node.values.front());
    default:
        return true; // Has
    }
}

bool evaluate(const Tree& node, const Labels& labels)
{
    const auto holds = [&labels](const SelectorNode& child) { return evaluate(*child, labels); };
    switch (node.op) {
    case Op::All:
    case Op::Global:
        return true;
    case Op::Not:
        return !holds(node.children.front());
    case Op::And:
        return std::all_of(node.children.begin(), node.children.end(), holds);
    case Op::Or:
        return std::any_of(node.children.begin(), node.children.end(), holds);
    default:
        break;
    }
    const std::string* value = labels.find(node.key);
    if (!value)
        return node.op == Op::NotEqual || node.op == Op::NotIn;
    return compares(node, *value);
}

std::string quoted(const std::string& value)
{
    const char quote = value.find('"') == std::string::npos ? '"' : '\'';
    return quote + value + quote;
}

std::string_view operator_text(Op op)
{
    switch (op) {
    case Op::Equal:
        return " == ";
    case Op::NotEqual:
        return " != ";
    case Op::In:
        return " in ";
    case Op::NotIn:
        return " not in ";
    case Op::Contains:
        return " contains ";
    case Op::StartsWith:
        return " starts with ";
    default:
        return " ends with ";
    }
}

std::string joined(const std::vector<std::string>& parts, std::string_view separator)
{
    std::string text;
    for (const auto& part : parts) {
        if (&part != &parts.front())
            text += separator;
        text += part;
    }
    return text;
}

std::string canonical(const Tree& node)
{
    std::vector<std::string> parts;
    switch (node.op) {
    case Op::All:
        return "all()";
    case Op::Global:
        return "global()";
    case Op::Has:
        return "has(" + node.key + ")";
    case Op::Not:
        return "!" + canonical(*node.children.front());
    case Op::And:
    case Op::Or:
        for (const auto& child : node.children)
            parts.push_back(canonical(*child));
        return "(" + joined(parts, node.op == Op::And ? " && " : " || ") + ")";
    case Op::In:
    case Op::NotIn:
        for (const auto& value : node.values)
            parts.push_back(quoted(value));
        return node.key + std::string(operator_text(node.op)) + "{" + joined(parts, ", ") + "}";
    default:
        return node.key + std::string(operator_text(node.op)) + quoted(node.values.front());
    }
}

SelectorNode prefixed(const SelectorNode& node, std::string_view prefix)
{
    Tree copy = *node;
    if (!copy.key.empty())
        copy.key.insert(0, prefix);
    for (auto& child : copy.children)
        child = prefixed(child, prefix);
    return std::make_shared<const Tree>(std::move(copy));
}

// Fewer objects have a given value than any, and fewer alternatives let in fewer.
bool narrower(const Selector::Condition& a, const Selector::Condition& b)
{
    const auto cost = [](const Selector::Condition& condition) {
        std::size_t sum = 0;
        constexpr std::size_t kAnyValue = 1000;
        for (const auto& requirement : condition)
            sum += requirement.values.empty() ? kAnyValue : requirement.values.size();
        return sum;
    };
    return cost(a) < cost(b);
}

void collect_requirements(const Tree& node, std::vector<Selector::Condition>& into);

// One condition of each side, joined; none if a side has none.
void collect_alternatives(const Tree& node, std::vector<Selector::Condition>& into)
{
    Selector::Condition joined;
    for (const auto& child : node.children) {
        std::vector<Selector::Condition> conditions;
        collect_requirements(*child, conditions);
        if (conditions.empty())
            return;
        const auto& best = *std::min_element(conditions.begin(), conditions.end(), narrower);
        joined.insert(joined.end(), best.begin(), best.end());
    }
    into.push_back(std::move(joined));
}

void collect_requirements(const Tree& node, std::vector<Selector::Condition>& into)
{
    switch (node.op) {
    case Op::Equal:
    case Op::In:
        into.push_back({Selector::Requirement{node.key, node.values}});
        break;
    case Op::Has:
    case Op::Contains:
    case Op::StartsWith:
    case Op::EndsWith:
        into.push_back({Selector::Requirement{node.key, {}}});
        break;
    case Op::And:
        for (const auto& child : node.children)
            collect_requirements(*child, into);
        break;
    case Op::Or:
        collect_alternatives(node, into);
        break;
    default:
        break; // a negation requires nothing by itself
    }
}

} // namespace

struct Selector::Parsed {
    SelectorNode root;
    std::string text;
};

Selector::Selector(std::shared_ptr<const Tree> root)
    : parsed_(std::make_shared<const Parsed>(Parsed{root, canonical(*root)}))
{
}

Selector::Selector()
{
    static const auto kAll = Selector(make(Op::All, {}, {})).parsed_;
    parsed_ = kAll;
}

Result<Selector> Selector::parse(std::string_view text)
{
    auto root = parse_selector(text);
    if (!root)
        return root.error();
    return Selector(*std::move(root));
}

Selector Selector::equals(std::string key, std::string value)
{
    return Selector(make(Op::Equal, std::move(key), {std::move(value)}));
}

Selector Selector::in(std::string key, std::vector<std::string> values)
{
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
    return Selector(make(Op::In, std::move(key), std::move(values)));
}

Selector Selector::has(std::string key)
{
    return Selector(make(Op::Has, std::move(key), {}));
}

Selector Selector::negation(const Selector& operand)
{
    return Selector(std::make_shared<const Tree>(Tree{Op::Not, {}, {}, {operand.parsed_->root}}));
}

Selector Selector::both(const Selector& left, const Selector& right)
{
    if (left.is_all())
        return right;
    if (right.is_all())
        return left;
    return Selector(std::make_shared<const Tree>(
        Tree{Op::And, {}, {}, {left.parsed_->root, right.parsed_->root}}));
}

bool Selector::matches(const Labels& labels) const
{
    return evaluate(*parsed_->root, labels);
}

const std::string& Selector::text() const
{
    return parsed_->text;
}

bool Selector::is_all() const
{
    return parsed_->root->op == Op::All;
}

bool Selector::is_global() const
{
    return parsed_->root->op == Op::Global;
}

Selector Selector::with_key_prefix(std::string_view prefix) const
{
    return Selector(prefixed(parsed_->root, prefix));
}

std::vector<Selector::Condition> Selector::requirements() const
{
    std::vector<Condition> found;
    collect_requirements(*parsed_->root, found);
    return found;
}

} // namespace margay::model
