// SPDX-License-Identifier: Apache-2.0
// Firewall: the one nftables table that margayd owns ("inet margay").
//
// It holds
//  - the guard (design, invariant 18): nothing from a workload interface enters the stack without
//    the mark that our programs set, and nothing leaves to a workload interface on which our
//    programs are not attached. It stays while margayd is dead;
//  - notrack for bypass traffic, the safety net of invariant 2;
//  - natOutgoing: masquerade from NAT pools to everywhere but the pools;
//  - the source of host traffic to tunnelled blocks: the tunnel address (invariant 15).
//
// The table is written by one transaction, so there is no moment without guard; set contents are
// updated one by one. Tables of others are never touched, and traffic that concerns no pod passes
// no rule of ours that could drop or change it.

#pragma once

#include "agent/kernel/links.h"
#include "margay/ip.h"
#include "margay/result.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

struct nft_ctx;

namespace margay::kernel {

// A packet carries a mark when (mark & mask) == value.
struct MarkMatch {
    std::uint32_t value = 0;
    std::uint32_t mask = 0;
};

struct FirewallConfig {
    std::vector<std::string> workload_prefixes{"cali"};
    bool guard = true;
    MarkMatch judged;                // set by from_workload on what it hands to the stack
    std::optional<MarkMatch> bypass; // kept from conntrack and NAT
    // Set on packets of workloads whose egress policy is still to be judged behind the stack:
    // they may leave by an interface with our programs only.
    std::optional<MarkMatch> pending;
    std::optional<Ipv4> tunnel_address;
    // natOutgoing only towards these; empty: any. A trailing "*" or "+" is a prefix match.
    std::vector<std::string> nat_out_interfaces;
    std::optional<std::pair<std::uint16_t, std::uint16_t>> nat_ports; // TCP and UDP source ports
    std::optional<Ipv4> nat_address; // SNAT instead of masquerade
};

struct FirewallSets {
    std::set<Prefix4> nat_sources; // pools with natOutgoing
    std::set<Prefix4> nat_exempt; // all pools; and host addresses with IPPoolsAndHostIPs
    std::set<Prefix4> tunnel_blocks; // remote blocks behind a tunnel
    std::set<IfIndex> attached; // workload interfaces with our programs on both hooks
    std::set<IfIndex> uplinks; // other interfaces with our programs on both hooks
    bool operator==(const FirewallSets&) const = default;
};

inline constexpr const char* kFirewallTable = "margay";

// Pure. The whole table as one transaction that replaces what is there. Invalid: a name or value
// that must not reach nft.
Result<std::string> render_firewall(const FirewallConfig& config, const FirewallSets& sets);
// Pure. The commands that lead from `before` to `after`; empty when they are the same.
std::string render_set_changes(const FirewallSets& before, const FirewallSets& after);
// Prefixes without those covered by another one: interval sets refuse overlaps.
std::set<Prefix4> without_covered(const std::set<Prefix4>& prefixes);

class Firewall {
public:
    // In the network namespace of the calling thread.
    static Result<std::unique_ptr<Firewall>> open();
    ~Firewall();
    Firewall(const Firewall&) = delete;
    Firewall& operator=(const Firewall&) = delete;

    // Makes the table what it should be. true: it was written; false: the rules were right
    // already, and at most set contents were changed.
    Result<bool> install(const FirewallConfig& config, const FirewallSets& sets);
    // true: an earlier run left a table whose guard is that of `config`, or covers further workload
    // prefixes, which the datastore told that run. It stays in force with its sets and NAT rules,
    // of which the caller knows little before it has heard the datastore, and counts as installed.
    // The next change of sets must come by install().
    Result<bool> adopt(const FirewallConfig& config);
    // Set contents only. Falls back to install() when the table is not what we left.
    Status update(const FirewallSets& sets);
    // Are the rules in the kernel those that install() left? Set contents are not compared.
    Result<bool> intact();
    // Of the table that is there; empty without one.
    std::vector<std::string> workload_prefixes();
    // --cleanup. No table is not an error.
    Status remove();

private:
    explicit Firewall(nft_ctx* context) : context_(context) {}
    Result<std::string> run(const std::string& commands, const std::string& what);
    Result<std::string> shape();

    nft_ctx* context_;
    FirewallConfig config_;
    FirewallSets sets_;
    std::string digest_;
    std::string shape_; // chains and number of rules, as listed right after install()
    bool installed_ = false;
};

// Tells when somebody removes the table or parts of it (`nft flush ruleset`, a restart of the
// nftables service): the guard would be open until it is installed again. Our own install() is told
// too, so the callback asks intact() before it acts.
class FirewallWatch {
public:
    FirewallWatch(Executor& executor, std::function<void()> on_damage)
        : executor_(executor), on_damage_(std::move(on_damage))
    {
    }
    Status start();

private:
    Executor& executor_;
    std::function<void()> on_damage_;
    bool damaged_ = false;
    std::unique_ptr<NetlinkMonitor> monitor_;
};

} // namespace margay::kernel
