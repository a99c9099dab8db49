// SPDX-License-Identifier: Apache-2.0
#include "agent/model/selector.h"

#include <gmock/gmock.h>

namespace margay::model {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Labels kLabels{{"a", "b"}, {"role", "web-frontend"}, {"k8s.io/x_y", "1"}, {"in", "out"}};

bool matches(std::string_view text, const Labels& labels = kLabels)
{
    const auto selector = Selector::parse(text);
    EXPECT_TRUE(selector) << text << ": " << (selector ? "" : selector.error().what);
    return selector && selector->matches(labels);
}

std::string parse_error(std::string_view text)
{
    const auto selector = Selector::parse(text);
    EXPECT_FALSE(selector) << text;
    return selector ? "" : selector.error().what;
}

std::string canonical(std::string_view text)
{
    const auto selector = Selector::parse(text);
    return selector ? selector->text() : selector.error().what;
}

// One test a row of the language table.

TEST(SelectorRow, equality_is_false_for_a_missing_label)
{
    EXPECT_TRUE(matches("a == 'b'"));
    EXPECT_FALSE(matches("a == 'c'"));
    EXPECT_FALSE(matches("z == 'b'"));
}

TEST(SelectorRow, inequality_is_true_for_a_missing_label)
{
    EXPECT_FALSE(matches("a != 'b'"));
    EXPECT_TRUE(matches("a != 'c'"));
    EXPECT_TRUE(matches("z != 'b'"));
}

TEST(SelectorRow, set_is_false_for_a_missing_label)
{
    EXPECT_TRUE(matches("a in {'x', 'b'}"));
    EXPECT_FALSE(matches("a in {'x', 'y'}"));
    EXPECT_FALSE(matches("z in {'b'}"));
}

TEST(SelectorRow, not_in_set_is_true_for_a_missing_label)
{
    for (const char* op : {"not in", "notin", "not \t in"}) {
        EXPECT_FALSE(matches(std::string("a ") + op + " {'b'}")) << op;
        EXPECT_TRUE(matches(std::string("a ") + op + " {'c'}")) << op;
        EXPECT_TRUE(matches(std::string("z ") + op + " {'b'}")) << op;
    }
}

TEST(SelectorRow, prefix_suffix_substring_are_false_for_a_missing_label)
{
    EXPECT_TRUE(matches("role starts with 'web'"));
    EXPECT_FALSE(matches("role starts with 'front'"));
    EXPECT_FALSE(matches("z starts with 'web'"));
    EXPECT_TRUE(matches("role ends with 'end'"));
    EXPECT_FALSE(matches("role ends with 'web'"));
    EXPECT_FALSE(matches("z ends with ''"));
    EXPECT_TRUE(matches("role contains '-'"));
    EXPECT_FALSE(matches("role contains '+'"));
    EXPECT_FALSE(matches("z contains ''"));
}

TEST(SelectorRow, presence_and_absence)
{
    EXPECT_TRUE(matches("has(a)"));
    EXPECT_FALSE(matches("has(z)"));
    EXPECT_FALSE(matches("!has(a)"));
    EXPECT_TRUE(matches("!has(z)"));
}

TEST(SelectorRow, all_and_empty_text_match_everything)
{
    for (const char* text : {"all()", "", "  ", "\t", "all( )"})
        EXPECT_TRUE(matches(text, Labels{})) << "'" << text << "'";
    EXPECT_EQ(canonical(" "), "all()");
}

TEST(SelectorRow, global_matches_at_parse_level)
{
    EXPECT_TRUE(matches("global()"));
    EXPECT_TRUE(Selector::parse("global()")->is_global());
    EXPECT_FALSE(Selector::parse("all()")->is_global());
}

TEST(SelectorRow, not_binds_to_one_operand_and_and_binds_before_or)
{
    EXPECT_TRUE(matches("!!has(a)"));
    EXPECT_TRUE(matches("! ! !has(z)"));
    EXPECT_TRUE(matches("!has(z) && has(a)"));
    EXPECT_FALSE(matches("!(!has(z) && has(a))"));
    EXPECT_TRUE(matches("has(a) || has(z) && has(z)"));
    EXPECT_FALSE(matches("(has(a) || has(z)) && has(z)"));
    EXPECT_TRUE(matches("!has(a) || a != 'c'"));
}

TEST(SelectorLexical, identifiers_take_slash_dot_dash_underscore)
{
    EXPECT_TRUE(matches("k8s.io/x_y == '1'"));
    EXPECT_TRUE(matches("has(k8s.io/x_y)"));
    EXPECT_TRUE(matches("in == 'out'")) << "a word operator may name a label";
    EXPECT_TRUE(matches("in in {'out'}"));
}

TEST(SelectorLexical, a_label_has_at_most_512_characters)
{
    const std::string longest(512, 'x');
    EXPECT_TRUE(matches("!has(" + longest + ")"));
    EXPECT_FALSE(matches(longest + " == 'a'"));
    EXPECT_THAT(parse_error("has(" + longest + "x)"), HasSubstr("512"));
    EXPECT_THAT(parse_error(longest + "x == 'a'"), HasSubstr("position 0: "));
}

TEST(SelectorLexical, strings_have_no_escapes_and_either_quote)
{
    EXPECT_TRUE(matches("a == \"it's\"", {{"a", "it's"}}));
    EXPECT_TRUE(matches("a == 'x\\'", {{"a", "x\\"}}));
    EXPECT_THAT(parse_error("a == 'b"), HasSubstr("not closed"));
}

TEST(SelectorLexical, white_space_is_blank_and_tab_only)
{
    EXPECT_TRUE(matches("\ta\t==\t'b' \t&& has(a)"));
    EXPECT_TRUE(matches("a=='b'&&has( a )"));
    EXPECT_EQ(parse_error("a == 'b'\n"), "position 8: expected '&&', '||' or the end");
    parse_error("a ==\n'b'");
    parse_error("\n");
    parse_error("a == 'b' &&\r has(a)");
}

TEST(SelectorLexical, has_with_a_space_before_the_parenthesis_is_an_error)
{
    EXPECT_THAT(parse_error("has (a)"), HasSubstr("position 4: expected an operator"));
    parse_error("all ()");
}

TEST(SelectorLexical, word_operators_need_a_border_and_their_inner_blank_does_not)
{
    EXPECT_TRUE(matches("role startswith 'web' && role endswith 'end'"));
    EXPECT_TRUE(matches("a in{'b'}"));
    parse_error("a inx {'b'}");
    parse_error("a containsb 'b'");
    parse_error("a in");
}

TEST(SelectorLexical, empty_set_and_trailing_comma_are_accepted)
{
    EXPECT_FALSE(matches("a in {}"));
    EXPECT_TRUE(matches("a not in { }"));
    EXPECT_TRUE(matches("a in {'b',}"));
    parse_error("a in {,}");
    parse_error("a in {'b' 'c'}");
    parse_error("a in {'b'");
}

TEST(SelectorLexical, single_operators_and_leftovers_are_errors)
{
    for (const char* text : {"a = 'b'", "has(a) & has(b)", "has(a) | has(b)", "a", "!", "(", "()",
                             "a == 'b')", "== 'b'", "a == b", "has(a) has(b)", "has()",
                             "a == 'b' &&", "a == 'b' || ", "a !== 'b'", "#"})
        parse_error(text);
}

TEST(SelectorHostile, deep_nesting_is_refused_and_long_chains_are_not)
{
    const std::string deep(100'000, '(');
    EXPECT_THAT(parse_error(deep + "has(a)"), HasSubstr("nested too deep"));
    EXPECT_TRUE(matches(std::string(200'000, '!') + "has(a)"));
    std::string chain = "has(z)";
    for (int i = 0; i < 20'000; ++i)
        chain += " || has(z)";
    EXPECT_TRUE(matches(chain + " || has(a)"));
    const std::string allowed(Selector::kMaxDepth, '(');
    EXPECT_TRUE(matches(allowed + "has(a)" + std::string(Selector::kMaxDepth, ')')));
}

TEST(SelectorText, is_canonical)
{
    EXPECT_EQ(canonical("a=='b'&&(has(c)||!has(d))"), R"((a == "b" && (has(c) || !has(d))))");
    EXPECT_EQ(canonical("a in {'z','b',\"z\"}"), R"(a in {"b", "z"})");
    EXPECT_EQ(canonical("a notin {'z'} && a startswith 'q\"'"),
              R"((a not in {"z"} && a starts with 'q"'))");
    EXPECT_EQ(*Selector::parse("a == 'b'"), *Selector::parse(" ((a==\"b\")) "));
}

TEST(SelectorText, survives_a_round_trip)
{
    for (const char* text :
         {"a == 'b' && c != \"d'\" || !(has(e) && f in {'g', 'h'})",
          "a not in {} || b ends with 'x' || c contains 'y'", "global() && all()"}) {
        const auto once = canonical(text);
        EXPECT_EQ(canonical(once), once);
    }
}

TEST(SelectorRewrite, prefix_goes_before_every_key)
{
    const auto selector = Selector::parse("a == 'b' && !(has(c) || d in {'e'})");
    EXPECT_EQ(selector->with_key_prefix("pcns.").text(),
              R"((pcns.a == "b" && !(has(pcns.c) || pcns.d in {"e"})))");
}

TEST(SelectorRewrite, all_vanishes_from_a_conjunction)
{
    const auto named = Selector::equals("n", "v");
    EXPECT_EQ(Selector::both(Selector(), named), named);
    EXPECT_EQ(Selector::both(named, Selector()), named);
    EXPECT_EQ(Selector::both(named, Selector::negation(Selector::has("x"))).text(),
              R"((n == "v" && !has(x)))");
}

TEST(SelectorRequirements, name_what_every_match_must_have)
{
    using R = Selector::Requirement;
    using C = Selector::Condition;
    EXPECT_THAT(Selector::parse("a == 'b' && c in {'d','e'} && has(f) && g != 'h'")->requirements(),
                ElementsAre(C{R{"a", {"b"}}}, C{R{"c", {"d", "e"}}}, C{R{"f", {}}}));
    EXPECT_TRUE(Selector::parse("!(a == 'b')")->requirements().empty());
}

TEST(SelectorRequirements, an_alternative_names_the_narrowest_of_each_side)
{
    using R = Selector::Requirement;
    using C = Selector::Condition;
    EXPECT_THAT(Selector::parse("a == 'b' || c == 'd'")->requirements(),
                ElementsAre(C{R{"a", {"b"}}, R{"c", {"d"}}}));
    EXPECT_THAT(Selector::parse("has(x) && a == 'b' && e in {'f','g'} || has(c)")->requirements(),
                ElementsAre(C{R{"a", {"b"}}, R{"c", {}}}));
    EXPECT_THAT(Selector::parse("h == 'i' && (a == 'b' || c == 'd')")->requirements(),
                ElementsAre(C{R{"h", {"i"}}}, C{R{"a", {"b"}}, R{"c", {"d"}}}));
    EXPECT_TRUE(Selector::parse("a == 'b' || c != 'd'")->requirements().empty())
        << "one side that requires nothing";
}

} // namespace
} // namespace margay::model
