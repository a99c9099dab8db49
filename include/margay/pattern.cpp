// SPDX-License-Identifier: Apache-2.0
#include "margay/pattern.h"

#include <regex>

namespace margay {

struct Pattern::Compiled {
    std::regex regex;
};

Result<Pattern> Pattern::compile(const std::string& text)
{
    try { // the only way std::regex refuses a text
        return Pattern(text, std::make_shared<const Compiled>(
                                 std::regex(text, std::regex::ECMAScript | std::regex::nosubs)));
    } catch (const std::regex_error& error) {
        return Error{Errc::Invalid, 0, "interface pattern '" + text + "': " + error.what()};
    }
}

Result<std::vector<Pattern>> Pattern::compile_all(const std::vector<std::string>& texts)
{
    std::vector<Pattern> patterns;
    for (const std::string& text : texts) {
        auto pattern = compile(text);
        if (!pattern)
            return pattern.error();
        patterns.push_back(std::move(*pattern));
    }
    return patterns;
}

bool Pattern::matches(const std::string& name) const
{
    return std::regex_search(name, compiled_->regex);
}

const Pattern* first_match(const std::vector<Pattern>& patterns, const std::string& name)
{
    for (const Pattern& pattern : patterns)
        if (pattern.matches(name))
            return &pattern;
    return nullptr;
}

} // namespace margay
