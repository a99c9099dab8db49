// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/nftables.h"

#include "agent/kernel/attributes.h"

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <nftables/libnftables.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <sstream>
#include <string_view>
#include <utility>

namespace margay::kernel {
namespace {

constexpr const char* kListCommand = "list table inet margay";
constexpr std::string_view kCommentPrefix = "margay rules ";

// FNV-1a, 64 bits: it tells versions of our own text apart, nobody attacks it.
std::string digest_of(std::string_view text)
{
    std::uint64_t hash = 0xcbf29ce484222325u;
    for (const char c : text)
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    char hex[20];
    std::snprintf(hex, sizeof(hex), "%016llx", static_cast<unsigned long long>(hash));
    return hex;
}

// The rules alone: two configurations with other set contents are the same rules.
Result<std::string> rules_digest(const FirewallConfig& config)
{
    const auto text = render_firewall(config, {});
    if (!text)
        return text.error();
    return digest_of(*text);
}

// As nft lists them: in order, without those that another one covers.
std::vector<std::string> without_covered(std::vector<std::string> prefixes)
{
    std::ranges::sort(prefixes);
    std::vector<std::string> kept;
    for (std::string& prefix : prefixes)
        if (kept.empty() || !prefix.starts_with(kept.back()))
            kept.push_back(std::move(prefix));
    return kept;
}

bool covers(const std::vector<std::string>& prefixes, const std::vector<std::string>& wanted)
{
    return std::ranges::all_of(wanted, [&](const std::string& name) {
        return std::ranges::any_of(
            prefixes, [&](const std::string& prefix) { return name.starts_with(prefix); });
    });
}

// The guard alone, whatever the NAT rules are.
FirewallConfig guard_of(const FirewallConfig& config)
{
    FirewallConfig guard;
    guard.workload_prefixes = without_covered(config.workload_prefixes);
    guard.guard = config.guard;
    guard.judged = config.judged;
    guard.pending = config.pending;
    guard.bypass = config.bypass;
    return guard;
}

std::string guard_comment(const std::string& digest)
{
    return " guard " + digest;
}

std::string with_comment(std::string table, const std::string& digest, const std::string& guard)
{
    const std::size_t body = table.find('\n') + 1;
    return table.insert(body, "  comment \"" + std::string(kCommentPrefix) + digest +
                                  guard_comment(guard) + "\"\n");
}

// The workload prefixes of a table of ours as it is listed: the names in its one rule by iifname.
std::vector<std::string> guarded_prefixes(const std::string& table)
{
    const auto rule = table.find("iifname");
    const std::string line =
        rule == std::string::npos ? "" : table.substr(rule, table.find('\n', rule) - rule);
    std::vector<std::string> prefixes;
    for (std::size_t at = line.find('"'); at != std::string::npos;) {
        const auto end = line.find("*\"", at);
        if (end == std::string::npos)
            break;
        prefixes.push_back(line.substr(at + 1, end - at - 1));
        at = line.find('"', end + 2);
    }
    return without_covered(std::move(prefixes));
}

std::string trimmed(const std::string& line)
{
    const std::size_t start = line.find_first_not_of(" \t");
    return start == std::string::npos ? std::string() : line.substr(start);
}

// How many rules each chain of a listing has, in our text and in nft's alike.
std::map<std::string, int> count_rules(const std::string& listing)
{
    std::map<std::string, int> counts;
    std::istringstream lines(listing);
    std::string chain;
    for (std::string raw; std::getline(lines, raw);) {
        const std::string line = trimmed(raw);
        if (line.starts_with("chain ")) {
            chain = line;
            counts[chain] = 0;
        } else if (line == "}") {
            chain.clear();
        } else if (!chain.empty() && !line.empty() && !line.starts_with("type ")) {
            ++counts[chain];
        }
    }
    return counts;
}

// All set contents at once: flushed and filled in one transaction.
std::string refill(const FirewallSets& sets)
{
    std::string text;
    for (const char* name : {"attached", "uplinks", "nat_sources", "nat_exempt", "tunnel_blocks"})
        text += std::string("flush set inet margay ") + name + "\n";
    return text + render_set_changes({}, sets);
}

bool is_ours(const nlmsghdr* message)
{
    return Attributes(message, sizeof(nfgenmsg)).text(NFTA_TABLE_NAME) == kFirewallTable;
}

// Is the guard of the listed table that of `guard`, and whole?
Result<bool> guard_stands(const std::string& present, const FirewallConfig& guard)
{
    const auto digest = rules_digest(guard);
    const auto table = render_firewall(guard, {});
    if (!digest || !table)
        return digest ? table.error() : digest.error();
    if (present.find(guard_comment(*digest)) == std::string::npos)
        return false;
    const auto rules = count_rules(present);
    for (const auto& [chain, count] : count_rules(*table)) {
        const auto found = rules.find(chain);
        if (found == rules.end() || found->second < count)
            return false; // somebody took a part of it
    }
    return true;
}

} // namespace

// The table's name is the first attribute of every message that can damage it.
static_assert(NFTA_TABLE_NAME == 1 && NFTA_CHAIN_TABLE == 1 && NFTA_RULE_TABLE == 1);

Result<std::unique_ptr<Firewall>> Firewall::open()
{
    nft_ctx* context = nft_ctx_new(NFT_CTX_DEFAULT);
    if (!context)
        return Error{Errc::System, 0, "open nftables"};
    nft_ctx_buffer_output(context);
    nft_ctx_buffer_error(context);
    // Rules without counters and sets without elements: what tells whether rules are as we left
    // them.
    nft_ctx_output_set_flags(context, NFT_CTX_OUTPUT_STATELESS | NFT_CTX_OUTPUT_TERSE);
    return std::unique_ptr<Firewall>(new Firewall(context));
}

Firewall::~Firewall()
{
    nft_ctx_free(context_);
}

Result<std::string> Firewall::run(const std::string& commands, const std::string& what)
{
    const int status = nft_run_cmd_from_buffer(context_, commands.c_str());
    const char* output = nft_ctx_get_output_buffer(context_);
    const std::string text = output ? output : "";
    const char* words = nft_ctx_get_error_buffer(context_);
    if (status == 0)
        return text;
    std::string first(words ? words : "");
    first.resize(std::min(first.find('\n'), first.size()));
    return Error{Errc::System, 0, "nftables: " + what + ": " + first};
}

Result<std::string> Firewall::shape()
{
    return run(kListCommand, "list table margay");
}

Result<bool> Firewall::install(const FirewallConfig& config, const FirewallSets& sets)
{
    const auto digest = rules_digest(config);
    if (!digest)
        return digest.error();
    const auto guard = rules_digest(guard_of(config));
    if (!guard)
        return guard.error();
    const auto table = render_firewall(config, sets);
    if (!table)
        return table.error();

    const auto present = shape(); // an error: no table
    const bool right = present &&
                       present->find(std::string(kCommentPrefix) + *digest) != std::string::npos &&
                       count_rules(*present) == count_rules(*table) &&
                       (!installed_ || digest_ != *digest || *present == shape_);
    // "add" before "delete", which would fail where there is no table.
    const auto done = right ? run(refill(sets), "fill the sets of table margay")
                            : run("add table inet margay\ndelete table inet margay\n" +
                                      with_comment(*table, *digest, *guard),
                                  "install table margay");
    if (!done)
        return done.error();
    const auto now = shape();
    if (!now)
        return now.error();
    config_ = config;
    sets_ = sets;
    digest_ = *digest;
    shape_ = *now;
    installed_ = true;
    return !right;
}

Result<bool> Firewall::adopt(const FirewallConfig& config)
{
    const auto present = shape(); // an error: no table
    if (!present)
        return false;
    const FirewallConfig ours = guard_of(config);
    FirewallConfig theirs = ours;
    theirs.workload_prefixes = guarded_prefixes(*present);
    auto stands = guard_stands(*present, ours);
    if (stands && !*stands && covers(theirs.workload_prefixes, ours.workload_prefixes))
        stands = guard_stands(*present, theirs);
    if (!stands || !*stands)
        return stands;
    config_ = config;
    digest_.clear(); // no set of rules that install() would take for its own
    shape_ = *present;
    installed_ = true;
    return true;
}

Status Firewall::update(const FirewallSets& sets)
{
    if (!installed_)
        return Error{Errc::Internal, 0, "nftables: update before install"};
    const std::string changes = render_set_changes(sets_, sets);
    if (changes.empty())
        return {};
    if (run(changes, "change the sets of table margay")) {
        sets_ = sets;
        return {};
    }
    const auto installed = install(FirewallConfig(config_), sets);
    return installed ? Status{} : Status{installed.error()};
}

Result<bool> Firewall::intact()
{
    if (!installed_)
        return false;
    const auto now = shape();
    return now && *now == shape_;
}

std::vector<std::string> Firewall::workload_prefixes()
{
    const auto present = shape();
    return present ? guarded_prefixes(*present) : std::vector<std::string>();
}

Status Firewall::remove()
{
    installed_ = false;
    const auto done =
        run("add table inet margay\ndelete table inet margay\n", "remove table margay");
    return done ? Status{} : Status{done.error()};
}

Status FirewallWatch::start()
{
    NetlinkMonitor::Callbacks callbacks{
        [this](const nlmsghdr* message) {
            const int type = NFNL_MSG_TYPE(message->nlmsg_type);
            const bool harms = type == NFT_MSG_DELTABLE || type == NFT_MSG_DELCHAIN ||
                               type == NFT_MSG_DELRULE || type == NFT_MSG_NEWRULE;
            if (harms && is_ours(message))
                damaged_ = true;
        },
        [this] {
            if (std::exchange(damaged_, false))
                on_damage_();
        },
        [this] { damaged_ = true; }, // unknown: have it looked at
    };
    auto monitor = NetlinkMonitor::open(executor_, NETLINK_NETFILTER, {NFNLGRP_NFTABLES},
                                        std::move(callbacks));
    if (!monitor)
        return monitor.error();
    monitor_ = std::move(*monitor);
    return {};
}

} // namespace margay::kernel
