// SPDX-License-Identifier: Apache-2.0
// Pattern: a regular expression (ECMAScript) of an operator, matched anywhere in a name.
//
// The one place where std::regex is used: it reports errors by exceptions only, and costs every
// source that includes it seconds of compilation.

#pragma once

#include "margay/result.h"

#include <memory>
#include <string>
#include <vector>

namespace margay {

class Pattern {
public:
    // Errc::Invalid, with the text and the fault.
    static Result<Pattern> compile(const std::string& text);
    static Result<std::vector<Pattern>> compile_all(const std::vector<std::string>& texts);

    bool matches(const std::string& name) const;
    const std::string& text() const { return text_; }

private:
    struct Compiled;
    Pattern(std::string text, std::shared_ptr<const Compiled> compiled)
        : text_(std::move(text)), compiled_(std::move(compiled))
    {
    }

    std::string text_;
    std::shared_ptr<const Compiled> compiled_; // never changed, so copies share it
};

// The first pattern that matches, or null.
const Pattern* first_match(const std::vector<Pattern>& patterns, const std::string& name);

} // namespace margay
