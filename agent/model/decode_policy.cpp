// SPDX-License-Identifier: Apache-2.0
// Policies, tiers and profiles.

#include <limits>

#include "agent/model/decode.h"
#include "agent/model/json_fields.h"

namespace margay::model {
namespace {

constexpr std::string_view kNameAnnotation = "projectcalico.org/metadata";
constexpr std::string_view kLegacyPrefix = "default.";

// Boost.JSON keeps a value's text apart; the annotation is JSON inside a JSON string.
std::optional<std::string> annotated_name(const Fields& metadata)
{
    const auto annotation = metadata.object("annotations").text(kNameAnnotation);
    if (!annotation)
        return std::nullopt;
    boost::system::error_code error;
    const auto json = boost::json::parse(*annotation, error);
    if (error || !json.is_object())
        return std::nullopt;
    Report unused;
    return Fields(&json.get_object(), "", unused).text("name");
}

// The name its author gave it: the annotation's; else the stored one, of which the older
// releases' "default." is cut.
std::string policy_name(const Document& document, const std::string& tier)
{
    if (auto name = annotated_name(document.metadata))
        return *std::move(name);
    std::string name = document.metadata.text("name").value_or(document.key.name);
    if (tier == "default" && name.starts_with(kLegacyPrefix))
        name.erase(0, kLegacyPrefix.size());
    return name;
}

std::optional<IcmpMatch> read_icmp(const Fields& rule, std::string_view name)
{
    const auto icmp = rule.object(name);
    if (!icmp)
        return std::nullopt;
    IcmpMatch match;
    if (const auto type = icmp.integer("type", 0, 254))
        match.type = static_cast<std::uint8_t>(*type);
    if (const auto code = icmp.integer("code", 0, 255))
        match.code = static_cast<std::uint8_t>(*code);
    if (match.code && !match.type)
        icmp.fail("code", "needs a type");
    return match;
}

EntityRule read_entity(const Fields& rule, std::string_view name)
{
    const auto fields = rule.object(name);
    EntityRule entity;
    entity.nets = fields.nets("nets");
    entity.not_nets = fields.nets("notNets");
    entity.selector = fields.selector("selector");
    entity.not_selector = fields.selector("notSelector");
    entity.namespace_selector = fields.selector("namespaceSelector");
    entity.ports = fields.ports("ports");
    entity.not_ports = fields.ports("notPorts");
    if (const auto accounts = fields.object("serviceAccounts"))
        entity.service_accounts = {accounts.texts("names"), accounts.selector("selector")};
    if (fields.object("services")) {
        entity.has_services = true;
        fields.not_enforced("services");
    }
    return entity;
}

bool is_icmp(std::optional<std::uint8_t> protocol)
{
    return protocol == kProtoIcmp || protocol == kProtoIcmpV6;
}

void check_rule(const Fields& fields, const Rule& rule)
{
    const auto needs_ports = [](const EntityRule& e) {
        return !e.ports.empty() || !e.not_ports.empty();
    };
    const bool ported = rule.protocol && has_ports(*rule.protocol);
    if (!ported && (needs_ports(rule.source) || needs_ports(rule.destination)))
        fields.fail("protocol", "ports need protocol TCP, UDP or SCTP");
    if (!is_icmp(rule.protocol) && (rule.icmp || rule.not_icmp))
        fields.fail("protocol", "ICMP fields need protocol ICMP or ICMPv6");
}

Rule read_rule(const Fields& fields)
{
    static constexpr std::pair<std::string_view, RuleAction> kActions[] = {
        {"Allow", RuleAction::Allow},
        {"Deny", RuleAction::Deny},
        {"Log", RuleAction::Log},
        {"Pass", RuleAction::Pass},
    };
    Rule rule;
    if (!fields.text("action"))
        fields.fail("action", "is missing");
    rule.action = fields.word("action", RuleAction::Deny, kActions);
    if (const auto version = fields.integer("ipVersion", 4, 6)) {
        rule.ip_version = static_cast<int>(*version);
        if (*version == 5)
            fields.fail("ipVersion", "is neither 4 nor 6");
    }
    rule.protocol = fields.protocol("protocol");
    rule.not_protocol = fields.protocol("notProtocol");
    rule.icmp = read_icmp(fields, "icmp");
    rule.not_icmp = read_icmp(fields, "notICMP");
    rule.source = read_entity(fields, "source");
    rule.destination = read_entity(fields, "destination");
    if (fields.object("http")) {
        rule.has_http = true;
        fields.not_enforced("http");
    }
    check_rule(fields, rule);
    return rule;
}

std::vector<Rule> read_rules(const Fields& spec, std::string_view name)
{
    std::vector<Rule> rules;
    spec.for_each_object(name,
                         [&rules](const Fields& fields) { rules.push_back(read_rule(fields)); });
    return rules;
}

// Absent or empty means both: so the dataplane reads it, whatever clients fill in at write time.
void read_types(const Fields& spec, Policy& policy)
{
    const auto types = spec.texts("types");
    if (types.empty())
        return;
    policy.ingress = policy.egress = false;
    for (const auto& type : types) {
        if (type == "Ingress")
            policy.ingress = true;
        else if (type == "Egress")
            policy.egress = true;
        else
            spec.fail("types", quoted_for_people(type) + " is neither Ingress nor Egress");
    }
}

void read_host_fields(const Fields& spec, Policy& policy)
{
    if (!policy.ns.empty())
        return;
    policy.do_not_track = spec.flag("doNotTrack").value_or(false);
    policy.pre_dnat = spec.flag("preDNAT").value_or(false);
    policy.apply_on_forward = spec.flag("applyOnForward").value_or(false);
    if (policy.do_not_track)
        spec.not_enforced("doNotTrack");
    if (policy.pre_dnat)
        spec.not_enforced("preDNAT");
    if (policy.apply_on_forward)
        spec.not_enforced("applyOnForward");
}

void read_identity(const Document& document, Policy& policy)
{
    policy.ns = document.key.ns;
    policy.tier = document.spec.text("tier").value_or("default");
    policy.name = policy_name(document, policy.tier);
}

// Runs one part of the decoder on a copy, and keeps the copy when nothing was wrong in that part.
template <typename Read>
bool read_cleanly(const Document& document, Policy& policy, Read read)
{
    Report report;
    Policy copy = policy;
    read(document.spec.with_report(report), copy);
    if (report.error)
        return false;
    policy = std::move(copy);
    return true;
}

std::vector<Rule> deny_all()
{
    return {Rule{}}; // a rule without conditions, and Deny is its default
}

// Before everything else of its tier: where the policy stood is not known.
constexpr double kFirst = -std::numeric_limits<double>::infinity();

// What can be trusted of a broken policy goes into `policy`, piece by piece. A selector that
// cannot be read is dropped, so that the policy selects more, never less.
void salvage(const Document& document, Policy& policy)
{
    const auto read = [&](auto part) { return read_cleanly(document, policy, part); };
    bool sound =
        read([](const Fields& spec, Policy& p) { p.tier = spec.text("tier").value_or("default"); });
    sound &= read([](const Fields& spec, Policy& p) {
        p.selector = spec.selector("selector").value_or(Selector());
    });
    sound &= read([](const Fields& spec, Policy& p) {
        p.service_account_selector = spec.selector("serviceAccountSelector");
    });
    sound &= read([](const Fields& spec, Policy& p) {
        if (p.ns.empty())
            p.namespace_selector = spec.selector("namespaceSelector");
    });
    sound &= read([](const Fields& spec, Policy& p) { p.order = spec.number("order"); });
    sound &= read([](const Fields& spec, Policy& p) { read_types(spec, p); });
    sound &= read([](const Fields& spec, Policy& p) { read_host_fields(spec, p); });
    Policy ruled = policy;
    const bool in = read_cleanly(document, ruled, [](const Fields& spec, Policy& p) {
        p.ingress_rules = read_rules(spec, "ingress");
    });
    const bool out = read_cleanly(document, ruled, [](const Fields& spec, Policy& p) {
        p.egress_rules = read_rules(spec, "egress");
    });
    // One bad list of rules leaves the other direction alone; an error elsewhere leaves none.
    if (sound && in != out)
        policy = std::move(ruled);
}

} // namespace

Resource decode_policy(const Document& document)
{
    Policy policy;
    read_identity(document, policy);
    policy.order = document.spec.number("order");
    policy.selector = document.spec.selector("selector").value_or(Selector());
    policy.service_account_selector = document.spec.selector("serviceAccountSelector");
    if (policy.ns.empty())
        policy.namespace_selector = document.spec.selector("namespaceSelector");
    read_types(document.spec, policy);
    read_host_fields(document.spec, policy);
    policy.ingress_rules = read_rules(document.spec, "ingress");
    policy.egress_rules = read_rules(document.spec, "egress");
    if (!document.spec)
        document.top.fail("spec", "is missing");
    return policy;
}

Policy stand_in_policy(const ResourceKey& key, std::string_view value)
{
    Policy policy;
    policy.stands_in = true;
    policy.name = key.name;
    policy.ns = key.ns;
    policy.tier = kUnreadableTier;
    policy.order = kFirst;
    policy.ingress_rules = deny_all();
    policy.egress_rules = deny_all();
    boost::system::error_code error;
    const auto json =
        boost::json::parse(boost::json::string_view(value.data(), value.size()), error);
    const auto* object = error ? nullptr : json.if_object();
    if (!object || !object->if_contains("spec") || !object->at("spec").is_object())
        return policy;
    Report report; // what is wrong has been reported by decode()
    const Fields top(object, "", report);
    const Document document{key, top, top.object("metadata"), top.object("spec")};
    salvage(document, policy);
    policy.name = policy_name(document, policy.tier);
    return policy;
}

Resource decode_tier(const Document& document)
{
    static constexpr std::pair<std::string_view, bool> kActions[] = {{"Deny", false},
                                                                     {"Pass", true}};
    Tier tier;
    tier.name = document.key.name;
    tier.order = document.spec.number("order");
    tier.pass_at_end = document.spec.word("defaultAction", false, kActions);
    return tier;
}

Resource decode_profile(const Document& document)
{
    Profile profile;
    profile.name = document.key.name;
    profile.labels_to_apply = document.spec.labels("labelsToApply");
    profile.ingress_rules = read_rules(document.spec, "ingress");
    profile.egress_rules = read_rules(document.spec, "egress");
    return profile;
}

} // namespace margay::model
