// SPDX-License-Identifier: Apache-2.0
// Random policies, and packets that hit them where it hurts: at the edges of ranges, prefixes and
// words of sets. Everything follows from the seed.

#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "agent/policy/evaluator.h"
#include "agent/policy/ir.h"
#include "policy_rig.h"

namespace margay::testing {

class RandomPolicy {
public:
    explicit RandomPolicy(std::uint64_t seed) : random_(seed) {}

    Classes classes();
    policy::Program program();
    // Most packets are made to match some rule of the program, then some are bent a little.
    policy::Packet packet(const policy::Program& program, const Classes& classes);

private:
    std::uint32_t below(std::uint32_t n)
    {
        return std::uniform_int_distribution<std::uint32_t>(0, n - 1)(random_);
    }
    bool chance(std::uint32_t percent) { return below(100) < percent; }
    template <typename T>
    const T& pick(const std::vector<T>& items)
    {
        return items[below(static_cast<std::uint32_t>(items.size()))];
    }

    policy::Policy a_policy(const std::string& name);
    policy::Policy a_list(const std::string& name);
    policy::Rule rule();
    policy::Action action();
    policy::Side side(bool with_ports);
    void port_conditions(policy::Side& side);
    policy::PortRange range();
    Prefix4 net();
    policy::SetId set();
    std::uint8_t protocol();

    void aim(policy::Packet& packet, const policy::Rule& rule, const Classes& classes);
    void aim_protocol(policy::Packet& packet, const policy::Rule& rule);
    Ipv4 address_for(const policy::Side& side, const Classes& classes);
    Ipv4 address_in(const Prefix4& net);
    std::uint16_t port_for(const policy::Side& side);
    void bend(policy::Packet& packet);
    void drop_absent_headers(policy::Packet& packet);

    std::mt19937_64 random_;
    std::vector<policy::Rule> earlier_; // of this program: rules that share conditions
};

} // namespace margay::testing
