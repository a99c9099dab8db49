// SPDX-License-Identifier: Apache-2.0
// World: a datastore of JSON texts before an Inventory, and the wanted state behind it, in words.
//
// put() and gone() go the whole way of a stored value: key, Quarantine, decoder, Inventory. The
// wanted state is what the deltas so far add up to.

#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "agent/calc/inventory.h"
#include "agent/model/quarantine.h"

namespace margay::calc {

class World {
public:
    static constexpr const char* kOwn = "n1";

    explicit World(SetIds ids = counting_set_ids()) : inventory(kOwn, std::move(ids)) {}

    // `path` below the resources' prefix ("tiers/t"), or a whole key; `body` is the JSON after
    // "spec":, and `labels` the JSON of metadata.labels.
    void put(const std::string& path, const std::string& spec, const std::string& labels = "{}")
    {
        put_raw(key(path), R"({"metadata":{"name":")" + path.substr(path.rfind('/') + 1) +
                               R"(","labels":)" + labels + R"(},"spec":)" + spec + "}");
    }
    void put_raw(const std::string& path, const std::string& value) { admit(key(path), value); }
    void gone(const std::string& path) { admit(key(path), std::nullopt); }

    // A workload endpoint "<ns>/<name>" of `node`, on interface "cali-<name>".
    void pod(const std::string& ns, const std::string& name, const std::string& address,
             const std::string& labels = "{}", const std::string& node = kOwn,
             const std::string& more = R"("profiles":["open"])")
    {
        put("workloadendpoints/" + ns + "/" + name,
            R"({"node":")" + node +
                R"(","orchestrator":"cni","endpoint":"eth0","interfaceName":"cali-)" + name +
                R"(","ipNetworks":[")" + address + R"("],)" + more + "}",
            labels);
    }
    // A profile "open" that allows everything, and a tier "default".
    void usual()
    {
        put("profiles/open", R"({"ingress":[{"action":"Allow"}],"egress":[{"action":"Allow"}]})");
        put("tiers/default", R"({"order":1000000,"defaultAction":"Deny"})");
    }
    void gnp(const std::string& name, const std::string& spec)
    {
        put("globalnetworkpolicies/" + name, spec);
    }
    void np(const std::string& ns, const std::string& name, const std::string& spec)
    {
        put("networkpolicies/" + ns + "/" + name, spec);
    }
    void block(const std::string& cidr, const std::string& host,
               const std::string& allocations = "", const std::string& attributes = "")
    {
        const auto prefix = *Prefix4::parse(cidr);
        std::string list = allocations;
        if (list.empty())
            for (int i = 0; i < 1 << (32 - prefix.length); ++i)
                list += i ? ",null" : "null";
        put_raw("/calico/ipam/v2/assignment/ipv4/block/" + dashed(cidr),
                R"({"cidr":")" + cidr + R"(",)" +
                    (host.empty() ? "" : R"("affinity":"host:)" + host + R"(",)") +
                    R"("allocations":[)" + list + R"(],"attributes":[)" + attributes + "]}");
    }
    void affinity(const std::string& host, const std::string& cidr, const std::string& value)
    {
        put_raw("/calico/ipam/v2/host/" + host + "/ipv4/block/" + dashed(cidr), value);
    }
    void node(const std::string& name, const std::string& bgp_fields,
              const std::string& labels = "{}")
    {
        put("nodes/" + name, R"({"bgp":{)" + bgp_fields + "}}", labels);
    }

    // The deltas since the last call, added to the tables below.
    model::Changes sync()
    {
        auto changes = inventory.take_changes();
        add(endpoints, changes.endpoints);
        add(sets, changes.sets);
        add(classes, changes.classes);
        add(routes, changes.routes);
        add(nodes, changes.nodes);
        add(pools, changes.pools);
        add(announcements, changes.announcements);
        add(sessions, changes.bgp_sessions);
        add(filters, changes.bgp_filters);
        if (changes.own_node)
            own = *changes.own_node;
        if (changes.bgp)
            bgp = *changes.bgp;
        if (changes.bgp_export)
            bgp_export = *changes.bgp_export;
        if (changes.felix)
            felix = *changes.felix;
        return changes;
    }

    // What judges the pod, after sync(). "" when the endpoint is unknown.
    std::string ingress(const std::string& name)
    {
        sync();
        const auto at = endpoints.find("cali-" + name);
        return at == endpoints.end() ? "" : text(at->second.ingress->program);
    }
    std::string egress(const std::string& name)
    {
        sync();
        const auto at = endpoints.find("cali-" + name);
        return at == endpoints.end() ? "" : text(at->second.egress->program);
    }
    // The only rule of the only policy, as text; "" when it was left out.
    std::string only_rule(const std::string& pod_name, bool is_ingress = true)
    {
        sync();
        const auto& wanted = endpoints.at("cali-" + pod_name);
        const auto& program = (is_ingress ? wanted.ingress : wanted.egress)->program;
        EXPECT_EQ(program.tiers.size(), 1u);
        EXPECT_EQ(program.tiers.at(0).policies.size(), 1u);
        const auto& rules = program.tiers.at(0).policies.at(0).rules;
        EXPECT_LE(rules.size(), 1u);
        return rules.empty() ? "" : text(rules.at(0));
    }
    // "10.0.0.1/32 10.0.0.2/32": the prefixes that carry the set of that name.
    std::string members(const std::string& name) const
    {
        std::string found;
        for (const auto& [prefix, ids] : classes)
            for (const auto id : ids)
                if (sets.contains(id) && sets.at(id).name == name)
                    found += (found.empty() ? "" : " ") + prefix.str();
        return found;
    }

    std::string text(const policy::Program& program) const
    {
        std::string out;
        for (const auto& tier : program.tiers) {
            out += "tier " + tier.name + (tier.end == policy::TierEnd::Deny ? " deny" : " pass") +
                   "\n";
            for (const auto& policy : tier.policies)
                out += "  " + text(policy);
        }
        for (const auto& profile : program.profiles)
            out += text(profile);
        return out;
    }
    std::string text(const policy::Policy& policy) const
    {
        std::string out = policy.name + ":";
        for (const auto& rule : policy.rules)
            out += " [" + text(rule) + "]";
        return out + "\n";
    }
    std::string text(const policy::Rule& rule) const
    {
        static const char* const kActions[] = {"Allow", "Deny", "Log", "Pass"};
        std::string out = kActions[static_cast<int>(rule.action)];
        if (rule.protocol)
            out += " proto " + std::to_string(*rule.protocol);
        if (rule.not_protocol)
            out += " proto !" + std::to_string(*rule.not_protocol);
        if (rule.icmp)
            out += " icmp " + text(*rule.icmp);
        if (rule.not_icmp)
            out += " icmp !" + text(*rule.not_icmp);
        return out + text(" from", rule.source) + text(" to", rule.destination);
    }

    Inventory inventory;
    model::Quarantine quarantine;
    std::map<std::string, model::WantedEndpoint> endpoints;
    std::map<policy::SetId, model::WantedSet> sets;
    std::map<Prefix4, std::vector<policy::SetId>> classes;
    std::map<Prefix4, model::WantedRoute> routes;
    std::map<Ipv4, model::WantedNode> nodes;
    std::map<Prefix4, model::WantedPool> pools;
    std::map<Prefix4, model::Announcement> announcements;
    std::map<std::string, model::BgpSession> sessions;
    std::map<std::string, model::BgpFilter> filters;
    model::BgpExport bgp_export;
    model::OwnNode own;
    model::LocalBgp bgp;
    model::FelixConfiguration felix;

private:
    static std::string key(const std::string& path)
    {
        return path.starts_with('/') ? path : std::string(model::kWatchedPrefixes[0]) + path;
    }
    static std::string dashed(std::string cidr)
    {
        cidr[cidr.find('/')] = '-';
        return cidr;
    }
    void admit(const std::string& path, std::optional<std::string> value)
    {
        auto update =
            quarantine.admit(path, value ? std::optional<std::string_view>(*value) : std::nullopt);
        if (update)
            inventory.apply(*std::move(update));
    }
    template <typename Key, typename Value>
    static void add(std::map<Key, Value>& table, const model::Delta<Key, Value>& delta)
    {
        for (const auto& [key, value] : delta) {
            if (value) {
                table.insert_or_assign(key, *value);
            } else {
                EXPECT_TRUE(table.contains(key)) << "a deletion of what was never told";
                table.erase(key);
            }
        }
    }
    static std::string text(const policy::Icmp& icmp)
    {
        return std::to_string(icmp.type) + (icmp.code ? "/" + std::to_string(*icmp.code) : "");
    }
    std::string set_text(policy::SetId id) const { return "{" + sets.at(id).name + "}"; }
    std::string text(const char* word, const policy::Side& side) const
    {
        std::string out;
        for (const auto& net : side.nets)
            out += " " + net.str();
        for (const auto& net : side.not_nets)
            out += " !" + net.str();
        for (const auto set : side.sets)
            out += " " + set_text(set);
        for (const auto set : side.not_sets)
            out += " !" + set_text(set);
        for (const auto& port : side.ports)
            out += " port " + std::to_string(port.first) + "-" + std::to_string(port.last);
        for (const auto& port : side.named_ports)
            out += " port " + std::to_string(port.port) + "@" + set_text(port.set);
        if (side.match_no_port)
            out += " port none";
        for (const auto& port : side.not_ports)
            out += " port !" + std::to_string(port.first) + "-" + std::to_string(port.last);
        for (const auto& port : side.not_named_ports)
            out += " port !" + std::to_string(port.port) + "@" + set_text(port.set);
        return out.empty() ? "" : word + out;
    }
};

} // namespace margay::calc
