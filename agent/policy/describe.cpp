// SPDX-License-Identifier: Apache-2.0

#include "agent/policy/describe.h"

#include <netinet/in.h>

namespace margay::policy {

namespace {

constexpr std::size_t kListed = 4; // items of a list that are printed

std::string text_of(const Prefix4& net)
{
    return net.str();
}
std::string text_of(SetId set)
{
    return std::to_string(set);
}
std::string text_of(const NamedPort& p)
{
    return std::to_string(p.port) + "@set" + std::to_string(p.set);
}
std::string text_of(const PortRange& r)
{
    auto text = std::to_string(r.first);
    if (r.last != r.first)
        text += "-" + std::to_string(r.last);
    return text;
}

template <typename T>
std::string listed(const char* label, const std::vector<T>& items)
{
    if (items.empty())
        return {};
    std::string text = label;
    for (std::size_t i = 0; i < items.size() && i < kListed; ++i)
        text += (i ? "," : "") + text_of(items[i]);
    if (items.size() > kListed)
        text += ",+" + std::to_string(items.size() - kListed);
    return text;
}

std::string side_text(const char* word, const Side& side)
{
    auto text = listed(" ", side.nets) + listed(" not ", side.not_nets) +
                listed(" set ", side.sets) + listed(" not set ", side.not_sets) +
                listed(" port ", side.ports) + listed(" named port ", side.named_ports) +
                listed(" not port ", side.not_ports) +
                listed(" not named port ", side.not_named_ports);
    if (side.match_no_port)
        text += " port none";
    return text.empty() ? text : word + text;
}

std::string protocol_text(std::uint8_t protocol)
{
    switch (protocol) {
    case IPPROTO_ICMP:
        return "icmp";
    case IPPROTO_TCP:
        return "tcp";
    case IPPROTO_UDP:
        return "udp";
    case IPPROTO_SCTP:
        return "sctp";
    default:
        return "proto " + std::to_string(protocol);
    }
}

std::string icmp_text(const Icmp& icmp)
{
    auto text = "type " + std::to_string(icmp.type);
    if (icmp.code)
        text += " code " + std::to_string(*icmp.code);
    return text;
}

} // namespace

const char* action_name(Action action)
{
    switch (action) {
    case Action::Allow:
        return "Allow";
    case Action::Deny:
        return "Deny";
    case Action::Log:
        return "Log";
    case Action::Pass:
        return "Pass";
    }
    return "?";
}

std::string describe_match(const Rule& rule)
{
    std::string text;
    if (rule.protocol)
        text += " " + protocol_text(*rule.protocol);
    if (rule.not_protocol)
        text += " not " + protocol_text(*rule.not_protocol);
    if (rule.icmp)
        text += " " + icmp_text(*rule.icmp);
    if (rule.not_icmp)
        text += " not " + icmp_text(*rule.not_icmp);
    text += side_text(" from", rule.source) + side_text(" to", rule.destination);
    return text.empty() ? "any" : text.substr(1);
}

std::vector<std::string> describe_rules(const Program& program)
{
    std::vector<std::string> texts;
    const auto add = [&](const std::string& where, const Policy& policy) {
        for (std::size_t i = 0; i < policy.rules.size(); ++i)
            texts.push_back(where + policy.name + ", rule " + std::to_string(i) + " (" +
                            action_name(policy.rules[i].action) +
                            "): " + describe_match(policy.rules[i]));
    };
    for (const auto& tier : program.tiers)
        for (const auto& policy : tier.policies)
            add("tier " + tier.name + ", policy ", policy);
    for (const auto& profile : program.profiles)
        add("", profile);
    return texts;
}

} // namespace margay::policy
