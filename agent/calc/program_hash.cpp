// SPDX-License-Identifier: Apache-2.0

#include "agent/calc/program_hash.h"

#include <cstdio>

namespace margay::calc {
namespace {

// Two FNV-1a lanes over the same bytes, with different starts and a final avalanche each. Every
// list is preceded by its length and every optional by a flag, so the bytes are unambiguous.
class Hasher {
public:
    void number(std::uint64_t value)
    {
        for (int i = 0; i < 8; ++i)
            byte(static_cast<std::uint8_t>(value >> (8 * i)));
    }
    void text(const std::string& value)
    {
        number(value.size());
        for (const char c : value)
            byte(static_cast<std::uint8_t>(c));
    }
    template <typename T, typename Each>
    void list(const std::vector<T>& values, Each each)
    {
        number(values.size());
        for (const auto& value : values)
            each(value);
    }
    template <typename T, typename Each>
    void maybe(const std::optional<T>& value, Each each)
    {
        number(value ? 1 : 0);
        if (value)
            each(*value);
    }
    std::string hex() const
    {
        char text[33];
        std::snprintf(text, sizeof text, "%016llx%016llx",
                      static_cast<unsigned long long>(mixed(first_)),
                      static_cast<unsigned long long>(mixed(second_)));
        return text;
    }

private:
    void byte(std::uint8_t value)
    {
        constexpr std::uint64_t kPrime = 0x100000001b3u;
        first_ = (first_ ^ value) * kPrime;
        second_ = (second_ ^ (value + 0x5bu)) * kPrime + (second_ >> 47);
    }
    static std::uint64_t mixed(std::uint64_t x)
    {
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
        return x ^ (x >> 31);
    }

    std::uint64_t first_ = 0xcbf29ce484222325u;
    std::uint64_t second_ = 0x9ae16a3b2f90404fu;
};

void hash_side(Hasher& h, const policy::Side& side)
{
    const auto net = [&h](const Prefix4& p) { h.number(std::uint64_t{p.addr.value()} << 8 | p.length); };
    const auto set = [&h](policy::SetId id) { h.number(id); };
    const auto range = [&h](const policy::PortRange& r) { h.number(r.first), h.number(r.last); };
    const auto named = [&h](const policy::NamedPort& p) { h.number(p.port), h.number(p.set); };
    h.list(side.nets, net);
    h.list(side.not_nets, net);
    h.list(side.sets, set);
    h.list(side.not_sets, set);
    h.list(side.ports, range);
    h.list(side.named_ports, named);
    h.number(side.match_no_port ? 1 : 0);
    h.list(side.not_ports, range);
    h.list(side.not_named_ports, named);
}

void hash_rule(Hasher& h, const policy::Rule& rule)
{
    const auto number = [&h](std::uint64_t value) { h.number(value); };
    const auto icmp = [&](const policy::Icmp& match) {
        h.number(match.type);
        h.maybe(match.code, number);
    };
    h.number(static_cast<std::uint64_t>(rule.action));
    h.maybe(rule.protocol, number);
    h.maybe(rule.not_protocol, number);
    h.maybe(rule.icmp, icmp);
    h.maybe(rule.not_icmp, icmp);
    hash_side(h, rule.source);
    hash_side(h, rule.destination);
}

} // namespace

std::string program_hash(const policy::Program& program)
{
    Hasher h;
    const auto rule = [&h](const policy::Rule& r) { hash_rule(h, r); };
    const auto policy = [&](const policy::Policy& p) {
        h.text(p.name);
        h.list(p.rules, rule);
    };
    h.list(program.tiers, [&](const policy::Tier& tier) {
        h.text(tier.name);
        h.list(tier.policies, policy);
        h.number(static_cast<std::uint64_t>(tier.end));
    });
    h.list(program.profiles, policy);
    return h.hex();
}

} // namespace margay::calc
