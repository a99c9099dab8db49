// SPDX-License-Identifier: Apache-2.0

#include "agent/model/quarantine.h"

#include <algorithm>
#include <utility>

namespace margay::model {
namespace {

// What holds of a value of which `field` has no effect. One such field takes the endpoint with it
// (calc's Inventory::is_suppressed()), one takes the rule with it (calc's RuleResolver).
std::string beside(const ResourceKey& key, const std::string& field)
{
    if (key.kind == Kind::WorkloadEndpoint && field == "spec.allowSpoofedSourcePrefixes")
        return "nothing, unless workloadSourceSpoofing is Any: then everything else of it";
    if (key.kind == Kind::HostEndpoint)
        return "its labels and addresses, for selectors";
    if (field == "spec.cidr (IPv6)")
        return "what it says of BGP's export";
    if (field == "spec.localWorkloadSelector" || field == "spec.doNotTrack" ||
        field == "spec.preDNAT")
        return "nothing";
    if (key.kind == Kind::BgpFilter)
        return "everything else of it; for routes of peers, whose interface is not known, this "
               "rule "
               "rejects what its other fields match, or is left out";
    if (field.starts_with("spec.service"))
        return "what others announce of it is passed on, nothing is announced here";
    if (field.ends_with(".services") || field.ends_with(".http"))
        return "everything else of it; this rule is left out if it allows or logs, else it denies "
               "what its other fields match";
    return "everything else of it";
}

std::vector<Issue> remarks(const std::string& path, const Decoded& decoded)
{
    std::vector<Issue> issues;
    for (const auto& entry : decoded.skipped)
        issues.push_back({Issue::Kind::Skipped, path, entry, "the rest of the value"});
    for (const auto& field : decoded.not_enforced)
        issues.push_back(
            {Issue::Kind::NotEnforced, path, field, beside(decoded.update.key, field)});
    return issues;
}

bool is_policy(const ResourceKey& key)
{
    return key.kind == Kind::GlobalNetworkPolicy || key.kind == Kind::NetworkPolicy;
}

} // namespace

std::string_view issue_kind_name(Issue::Kind kind)
{
    switch (kind) {
    case Issue::Kind::Bad:
        return "bad";
    case Issue::Kind::Skipped:
        return "skipped";
    case Issue::Kind::NotEnforced:
        break;
    }
    return "not-enforced";
}

std::optional<Update> Quarantine::admit(std::string_view path,
                                        std::optional<std::string_view> value)
{
    const auto key = parse_key(path);
    if (!key)
        return std::nullopt;
    const std::string name_of_key(path);
    if (!value) {
        in_force_.erase(*key);
        issues_.erase(name_of_key);
        return Update{*key, std::monostate()};
    }
    auto decoded = decode(*key, *value);
    if (!decoded) {
        name(name_of_key,
             {{Issue::Kind::Bad, name_of_key, decoded.error().what, in_place_of_bad(*key)}});
        return admit_bad(*key, *value);
    }
    name(name_of_key, remarks(name_of_key, *decoded));
    if (decoded->update.is_deletion())
        in_force_.erase(*key);
    else
        in_force_.insert(*key);
    return std::move(decoded->update);
}

std::string Quarantine::in_place_of_bad(const ResourceKey& key) const
{
    if (in_force_.contains(key))
        return "the last good value";
    if (is_policy(key))
        return "a policy that denies";
    if (key.kind == Kind::BgpFilter)
        return "nothing: peers that name it are told no route, and theirs are not used";
    return key.kind == Kind::WorkloadEndpoint ? "nothing: the workload is denied" : "nothing";
}

std::optional<Update> Quarantine::admit_bad(const ResourceKey& key, std::string_view value)
{
    if (in_force_.contains(key))
        return std::nullopt;
    if (is_policy(key))
        return Update{key, stand_in_policy(key, value)};
    return std::nullopt;
}

void Quarantine::name(const std::string& path, std::vector<Issue> issues)
{
    const auto known = issues_.find(path);
    for (const auto& issue : issues) {
        const bool old =
            known != issues_.end() &&
            std::find(known->second.begin(), known->second.end(), issue) != known->second.end();
        if (!old)
            news_.push_back(issue);
    }
    if (issues.empty())
        issues_.erase(path);
    else
        issues_.insert_or_assign(path, std::move(issues));
}

std::vector<Issue> Quarantine::take_news()
{
    return std::exchange(news_, {});
}

std::vector<Issue> Quarantine::issues() const
{
    std::vector<Issue> all;
    for (const auto& [key, issues] : issues_)
        all.insert(all.end(), issues.begin(), issues.end());
    return all;
}

} // namespace margay::model
