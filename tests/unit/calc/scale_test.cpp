// SPDX-License-Identifier: Apache-2.0
// A cluster of realistic size: what a change touches, and that the order of arrival is no matter.
// The times are printed, not asserted.
#include <gmock/gmock.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>

#include "agent/calc/inventory.h"

namespace margay::calc {
namespace {

using model::Kind;
using model::Update;

std::string n(const char* text, int number)
{
    return text + std::to_string(number);
}

Update pod(int i, int local)
{
    model::WorkloadEndpoint endpoint;
    endpoint.name = n("w", i);
    endpoint.ns = n("ns", i % 50);
    endpoint.node = i < local ? "n0" : n("n", 1 + i % 499);
    endpoint.interface_name = n("cali", i);
    endpoint.addresses.v4 = {Prefix4::host(Ipv4(0x0a000000u + static_cast<std::uint32_t>(i)))};
    endpoint.labels = {{"projectcalico.org/namespace", endpoint.ns}, {"app", n("a", i % 200)}};
    endpoint.profiles = {n("kns.ns", i % 50)};
    return {{Kind::WorkloadEndpoint, endpoint.ns, endpoint.name}, endpoint};
}

// One in five selects an app that has local pods.
Update policy(int i, int rules)
{
    model::Policy policy;
    policy.name = n("p", i);
    policy.order = i % 7;
    policy.selector = model::Selector::equals("app", n(i % 5 == 0 ? "a" : "z", i / 5 % 100));
    for (int r = 0; r < rules; ++r) {
        model::Rule rule;
        rule.action = r % 3 ? model::RuleAction::Allow : model::RuleAction::Deny;
        rule.protocol = std::uint8_t{6};
        rule.source.selector = model::Selector::equals("app", n("a", (i * 7 + r) % 200));
        if (r == 0) // a label of the profile
            rule.source.selector =
                model::Selector::both(*rule.source.selector, model::Selector::has("pcns.team"));
        rule.destination.ports = {{static_cast<std::uint16_t>(1000 + r), 2000, {}}};
        policy.ingress_rules.push_back(rule);
    }
    return {{Kind::GlobalNetworkPolicy, "", policy.name}, policy};
}

std::vector<Update> cluster(int pods, int policies, int local)
{
    std::vector<Update> updates;
    for (int i = 0; i < pods; ++i)
        updates.push_back(pod(i, local));
    for (int i = 0; i < policies; ++i)
        updates.push_back(policy(i, 5));
    for (int i = 0; i < 50; ++i)
        updates.push_back({{Kind::Profile, "", n("kns.ns", i)},
                           model::Profile{n("kns.ns", i), {{"pcns.team", n("t", i % 5)}}, {}, {}}});
    for (int i = 0; i < 500; ++i) {
        model::Node node;
        node.name = n("n", i);
        node.ipv4_address = Prefix4{Ipv4(0xc0000200u + static_cast<std::uint32_t>(i)), 16};
        updates.push_back({{Kind::Node, "", node.name}, node});
    }
    model::IpPool pool;
    pool.name = "p";
    pool.cidr = *Prefix4::parse("10.0.0.0/8");
    pool.ipip_mode = model::Encapsulation::Always;
    updates.push_back({{Kind::IpPool, "", "p"}, pool});
    return updates;
}

// What the wanted state is, without the numbers that sets happened to get.
std::string essence(const model::Changes& changes)
{
    std::string text;
    const auto names = [&](const std::vector<policy::SetId>& ids) {
        std::set<std::string> sorted;
        for (const auto id : ids)
            sorted.insert(changes.sets.at(id)->name);
        for (const auto& name : sorted)
            text += " " + name;
    };
    for (const auto& [name, endpoint] : changes.endpoints) {
        text += name + ":";
        for (const auto& tier : endpoint->ingress->program.tiers)
            for (const auto& policy : tier.policies)
                for (const auto& rule : policy.rules) {
                    text += " " + policy.name;
                    names(rule.source.sets);
                }
        text += "\n";
    }
    for (const auto& [prefix, sets] : changes.classes) {
        text += prefix.str();
        names(*sets);
        text += "\n";
    }
    for (const auto& [prefix, route] : changes.routes)
        text += prefix.str() + " " + route->node + "\n";
    return text;
}

TEST(Scale, the_order_of_arrival_does_not_matter)
{
    auto updates = cluster(300, 60, 30);
    std::string first;
    for (unsigned seed = 0; seed < 4; ++seed) {
        std::shuffle(updates.begin(), updates.end(), std::mt19937(seed));
        Inventory inventory("n0", counting_set_ids());
        for (const auto& update : updates)
            inventory.apply(update);
        const auto now = essence(inventory.take_changes());
        if (first.empty())
            first = now;
        EXPECT_GT(now.size(), 1000u);
        ASSERT_EQ(now, first) << "seed " << seed;
    }
}

TEST(Scale, one_pod_touches_its_own_prefix_and_no_program)
{
    using Clock = std::chrono::steady_clock;
    const auto us = [](Clock::duration d) {
        return static_cast<long>(std::chrono::duration_cast<std::chrono::microseconds>(d).count());
    };
    Inventory inventory("n0", counting_set_ids());
    const auto updates = cluster(10'000, 1'000, 100);
    const auto start = Clock::now();
    for (const auto& update : updates)
        inventory.apply(update);
    const auto all = inventory.take_changes();
    const auto loaded = Clock::now();
    EXPECT_EQ(all.endpoints.size(), 100u);
    EXPECT_EQ(all.classes.size(), 10'000u) << "every app is named by some active rule";
    EXPECT_FALSE(inventory.dirty());

    auto moved = pod(4'001, 100);
    std::get<model::WorkloadEndpoint>(moved.value).addresses.v4 = {
        *Prefix4::parse("10.200.0.1/32")};
    const auto before = Clock::now();
    inventory.apply(moved);
    const auto changes = inventory.take_changes();
    const auto after = Clock::now();
    EXPECT_EQ(changes.classes.size(), 2u);
    EXPECT_TRUE(changes.endpoints.empty());
    EXPECT_TRUE(changes.sets.empty());
    EXPECT_TRUE(changes.routes.empty());
    inventory.apply(moved);
    EXPECT_TRUE(inventory.take_changes().empty()) << "the same again is no change";
    std::printf("10,000 endpoints, 1,000 policies: %ld us; one moved endpoint: %ld us\n",
                us(loaded - start), us(after - before));
}

TEST(Scale, endpoints_with_equal_lists_share_one_program)
{
    Inventory inventory("n0", counting_set_ids());
    for (const auto& update : cluster(2'000, 100, 200))
        inventory.apply(update);
    const auto changes = inventory.take_changes();
    std::set<policy::ProgramHash> hashes;
    std::set<const model::SharedProgram*> programs;
    for (const auto& [name, endpoint] : changes.endpoints) {
        hashes.insert(endpoint->ingress->hash);
        programs.insert(endpoint->ingress.get());
    }
    EXPECT_EQ(changes.endpoints.size(), 200u);
    EXPECT_EQ(hashes.size(), programs.size());
    EXPECT_LT(programs.size(), 101u);
}

} // namespace
} // namespace margay::calc
