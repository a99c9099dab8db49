// SPDX-License-Identifier: Apache-2.0
// The text of the firewall table. Every name and number in it was checked or comes from a typed
// value: nothing of the configuration reaches nft as syntax.
#include "agent/kernel/nftables.h"

#include <algorithm>
#include <cctype>
#include <cstdio>

namespace margay::kernel {
namespace {

constexpr std::size_t kMaxInterfaceName = 15;
constexpr const char* kTable = "inet margay";

bool is_interface_name(std::string_view name)
{
    return !name.empty() && name.size() <= kMaxInterfaceName &&
           std::all_of(name.begin(), name.end(), [](unsigned char c) {
               return std::isalnum(c) || c == '_' || c == '-' || c == '.' || c == '@';
           });
}

Error invalid(const std::string& what, std::string_view value)
{
    return Error{Errc::Invalid, 0, "firewall: " + what + " '" + std::string(value) + "'"};
}

std::string hex(std::uint32_t value)
{
    char text[16];
    std::snprintf(text, sizeof(text), "0x%08x", value);
    return text;
}

// "a", "b*" ... as an anonymous set, for iifname and oifname.
Result<std::string> name_set(const std::vector<std::string>& names, bool all_are_prefixes)
{
    std::string text = "{ ";
    for (std::string name : names) {
        bool is_prefix = all_are_prefixes;
        if (!name.empty() && (name.back() == '*' || name.back() == '+')) {
            name.pop_back();
            is_prefix = true;
        }
        if (!is_interface_name(name))
            return invalid("not an interface name:", name);
        text += "\"" + name + (is_prefix ? "*" : "") + "\", ";
    }
    text.resize(text.size() - 2);
    return text + " }";
}

std::string match(const MarkMatch& mark)
{
    return "meta mark & " + hex(mark.mask) + " == " + hex(mark.value);
}

std::string mismatch(const MarkMatch& mark)
{
    return "meta mark & " + hex(mark.mask) + " != " + hex(mark.value);
}

template <typename T>
std::string text_of(const T& element)
{
    if constexpr (std::is_same_v<T, Prefix4>)
        return element.length == 32 ? element.addr.str() : element.str();
    else
        return std::to_string(element);
}

template <typename T>
std::string elements(const std::set<T>& all)
{
    std::string text;
    for (const T& element : all)
        text += (text.empty() ? "" : ", ") + text_of(element);
    return text;
}

template <typename T>
std::string set_block(const char* name, const char* type, const std::set<T>& contents)
{
    std::string text = std::string("  set ") + name + " {\n    type " + type + "\n";
    if (std::is_same_v<T, Prefix4>)
        text += "    flags interval\n";
    if (!contents.empty())
        text += "    elements = { " + elements(contents) + " }\n";
    return text + "  }\n";
}

std::string chain(const char* name, const char* base, const std::vector<std::string>& rules)
{
    std::string text = std::string("  chain ") + name + " {\n    type " + base + "\n";
    for (const std::string& rule : rules)
        text += "    " + rule + "\n";
    return text + "  }\n";
}

Status check(const FirewallConfig& config)
{
    if (config.workload_prefixes.empty())
        return invalid("no workload interface prefix", "");
    if (config.guard &&
        (config.judged.mask == 0 || (config.judged.value & config.judged.mask) == 0))
        return invalid("the mark of judged traffic must have a bit:", hex(config.judged.value));
    if (config.bypass && (config.bypass->value & config.bypass->mask) == 0)
        return invalid("the mark of bypass traffic must have a bit:", hex(config.bypass->value));
    if (config.nat_ports && config.nat_ports->first > config.nat_ports->second)
        return invalid("NAT port range", std::to_string(config.nat_ports->first) + "-" +
                                             std::to_string(config.nat_ports->second));
    return {};
}

// A packet from a workload interface that no program of ours has judged; a packet to one that no
// program of ours will judge. IPv4 and IPv6. Before connection tracking, so that what is dropped
// leaves no entry there.
std::string guard_chains(const FirewallConfig& config, const std::string& workloads)
{
    if (!config.guard)
        return {};
    return chain("guard_from", "filter hook prerouting priority -310; policy accept;",
                 {"iifname " + workloads + " " + mismatch(config.judged) + " counter drop"}) +
           chain("guard_to", "filter hook postrouting priority -310; policy accept;",
                 {"oifname " + workloads + " oif != @attached counter drop"});
}

// Whose egress policy waits for the hook behind the stack, and would leave without passing one.
std::string pending_chains(const FirewallConfig& config)
{
    if (!config.pending)
        return {};
    const std::string pending = match(*config.pending);
    return chain("pending_forward", "filter hook forward priority -310; policy accept;",
                 {pending + " oif != @attached oif != @uplinks counter drop"}) +
           chain("pending_input", "filter hook input priority -310; policy accept;",
                 {pending + " counter drop"});
}

std::string notrack_chain(const FirewallConfig& config)
{
    if (!config.bypass)
        return {};
    return chain("bypass", "filter hook prerouting priority -300; policy accept;",
                 {match(*config.bypass) + " notrack"});
}

std::string masquerade(const FirewallConfig& config, bool with_ports)
{
    std::string text =
        config.nat_address ? "snat ip to " + config.nat_address->str() : "masquerade";
    if (with_ports)
        text += (config.nat_address ? ":" : " to :") + std::to_string(config.nat_ports->first) +
                "-" + std::to_string(config.nat_ports->second);
    return text + " fully-random";
}

// Before the usual source NAT (100): the first chain that decides about a connection wins, and an
// explicit source equal to the present one keeps later chains from changing it.
Result<std::string> nat_chain(const FirewallConfig& config)
{
    std::vector<std::string> rules;
    if (config.bypass)
        rules.push_back(match(*config.bypass) + " return");
    if (config.tunnel_address)
        rules.push_back("ip daddr @tunnel_blocks fib saddr type local snat ip to " +
                        config.tunnel_address->str());
    std::string condition = "ip saddr @nat_sources ip daddr != @nat_exempt ";
    if (!config.nat_out_interfaces.empty()) {
        const auto names = name_set(config.nat_out_interfaces, false);
        if (!names)
            return names.error();
        condition += "oifname " + *names + " ";
    }
    if (config.nat_ports)
        rules.push_back(condition + "meta l4proto { tcp, udp } " + masquerade(config, true));
    rules.push_back(condition + masquerade(config, false));
    return chain("nat", "nat hook postrouting priority 99; policy accept;", rules);
}

template <typename T>
void render_difference(std::string& text, const char* name, const std::set<T>& before,
                       const std::set<T>& after)
{
    std::set<T> removed;
    std::set<T> added;
    std::set_difference(before.begin(), before.end(), after.begin(), after.end(),
                        std::inserter(removed, removed.end()));
    std::set_difference(after.begin(), after.end(), before.begin(), before.end(),
                        std::inserter(added, added.end()));
    const auto command = [&](const char* verb, const std::set<T>& some) {
        if (!some.empty())
            text += std::string(verb) + " element " + kTable + " " + name + " { " + elements(some) +
                    " }\n";
    };
    command("delete", removed);
    command("add", added);
}

} // namespace

std::set<Prefix4> without_covered(const std::set<Prefix4>& prefixes)
{
    // In order of the set a covering prefix comes before what it covers: same or smaller address,
    // and of equal addresses the shorter first.
    std::set<Prefix4> kept;
    std::set<Prefix4> networks;
    for (const Prefix4& prefix : prefixes)
        networks.insert(prefix.network());
    for (const Prefix4& prefix : networks)
        if (kept.empty() || !kept.rbegin()->contains(prefix))
            kept.insert(kept.end(), prefix);
    return kept;
}

Result<std::string> render_firewall(const FirewallConfig& config, const FirewallSets& sets)
{
    if (Status status = check(config); !status)
        return status.error();
    const auto workloads = name_set(config.workload_prefixes, true);
    if (!workloads)
        return workloads.error();
    const auto nat = nat_chain(config);
    if (!nat)
        return nat.error();
    return std::string("table ") + kTable + " {\n" +
           set_block("attached", "iface_index", sets.attached) +
           set_block("uplinks", "iface_index", sets.uplinks) +
           set_block("nat_sources", "ipv4_addr", without_covered(sets.nat_sources)) +
           set_block("nat_exempt", "ipv4_addr", without_covered(sets.nat_exempt)) +
           set_block("tunnel_blocks", "ipv4_addr", without_covered(sets.tunnel_blocks)) +
           guard_chains(config, *workloads) + pending_chains(config) + notrack_chain(config) +
           *nat + "}\n";
}

std::string render_set_changes(const FirewallSets& before, const FirewallSets& after)
{
    std::string text;
    render_difference(text, "attached", before.attached, after.attached);
    render_difference(text, "uplinks", before.uplinks, after.uplinks);
    render_difference(text, "nat_sources", without_covered(before.nat_sources),
                      without_covered(after.nat_sources));
    render_difference(text, "nat_exempt", without_covered(before.nat_exempt),
                      without_covered(after.nat_exempt));
    render_difference(text, "tunnel_blocks", without_covered(before.tunnel_blocks),
                      without_covered(after.tunnel_blocks));
    return text;
}

} // namespace margay::kernel
