// SPDX-License-Identifier: Apache-2.0
// Quarantine: what becomes of a stored value that does not decode, or that we cannot enforce.
//
// A bad value is named once, and the last good one of its key stays in force. Without a good one
// a policy is replaced by its stand-in, which denies (decode.h); a workload endpoint stays
// unknown, so its interface stays denied; any other kind counts as absent. Valid fields without
// effect yet are named in the same way.

#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/model/decode.h"

namespace margay::model {

struct Issue {
    enum class Kind {
        Bad,         // the value does not decode
        Skipped,     // an entry of a list does not; the rest of the value is in force
        NotEnforced, // valid, without effect in this version
    };

    Kind kind = Kind::Bad;
    std::string key{};    // as stored
    std::string reason{}; // "spec.order: expected a number"
    std::string
        in_force{}; // what holds in its place: "the last good value", "denies all it selects"

    auto operator<=>(const Issue&) const = default;
};

std::string_view issue_kind_name(Issue::Kind kind); // "bad", "skipped", "not-enforced"

class Quarantine {
public:
    // The stored key now holds `value`, or nothing. Returns the change for the model, if any.
    std::optional<Update> admit(std::string_view key, std::optional<std::string_view> value);

    // Named since the last call: log them, and they are logged once.
    std::vector<Issue> take_news();
    // All that is wrong now, by key.
    std::vector<Issue> issues() const;

private:
    std::string in_place_of_bad(const ResourceKey& key) const;
    std::optional<Update> admit_bad(const ResourceKey& key, std::string_view value);
    void name(const std::string& path, std::vector<Issue> issues);

    std::set<ResourceKey> in_force_; // keys whose last good value the model holds
    std::map<std::string, std::vector<Issue>, std::less<>> issues_;
    std::vector<Issue> news_;
};

} // namespace margay::model
