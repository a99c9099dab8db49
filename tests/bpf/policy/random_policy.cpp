// SPDX-License-Identifier: Apache-2.0

#include "random_policy.h"

#include <netinet/in.h>

#include <algorithm>

namespace margay::testing {

using namespace policy;

namespace {

const std::vector<SetId> kSets{0, 1, 31, 32, 33, 63, 64, 1000, 4094, 4095};
const std::vector<std::uint16_t> kPorts{0, 1, 79, 80, 81, 443, 1023, 1024, 8080, 65534, 65535};
const std::vector<std::uint8_t> kProtocols{IPPROTO_TCP, IPPROTO_TCP,  IPPROTO_TCP,  IPPROTO_UDP,
                                           IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_SCTP, IPPROTO_UDPLITE,
                                           0,           255};
const std::vector<Ipv4> kBases{Ipv4(0),          Ipv4(0x0a000000), Ipv4(0x0a010203),
                               Ipv4(0x0a0102ff), Ipv4(0x7fffffff), Ipv4(0x80000000),
                               Ipv4(0xc0a80101), Ipv4(0xffffffff)};
const std::vector<std::uint8_t> kLengths{0, 1, 8, 9, 16, 17, 24, 25, 31, 32, 32, 32};
const std::vector<std::uint8_t> kClassLengths{0, 8, 16, 24, 31, 32};
const std::vector<std::uint8_t> kIcmpTypes{0, 3, 8, 255};
const std::vector<std::uint8_t> kIcmpCodes{0, 1, 4, 255};

std::uint32_t last_address(const Prefix4& net)
{
    const auto host = net.length == 0 ? ~0u : net.length == 32 ? 0u : ~0u >> net.length;
    return net.network().addr.value() | host;
}

} // namespace

SetId RandomPolicy::set()
{
    return pick(kSets);
}
std::uint8_t RandomPolicy::protocol()
{
    return pick(kProtocols);
}
Prefix4 RandomPolicy::net()
{
    return Prefix4{pick(kBases), pick(kLengths)}.network();
}

PortRange RandomPolicy::range()
{
    const auto a = pick(kPorts);
    const auto b = chance(50) ? a : pick(kPorts);
    return {std::min(a, b), std::max(a, b)};
}

Classes RandomPolicy::classes()
{
    std::vector<ClassPrefix> prefixes;
    for (const auto& base : kBases)
        for (const auto length : kClassLengths) {
            const auto prefix = Prefix4{base, length}.network();
            const auto same = [&](const auto& p) { return p.prefix == prefix; };
            if (std::any_of(prefixes.begin(), prefixes.end(), same) || chance(30))
                continue;
            ClassPrefix entry{prefix, {}};
            for (const auto set : kSets)
                if (chance(40))
                    entry.sets.push_back(set);
            prefixes.push_back(std::move(entry));
        }
    return Classes(std::move(prefixes));
}

Program RandomPolicy::program()
{
    earlier_.clear();
    Program program;
    for (auto tiers = below(4); tiers > 0; --tiers) {
        Tier tier{"t" + std::to_string(tiers), {}, chance(40) ? TierEnd::Pass : TierEnd::Deny};
        for (auto policies = below(4); policies > 0; --policies)
            tier.policies.push_back(chance(25)
                                        ? a_list(tier.name + "/l" + std::to_string(policies))
                                        : a_policy(tier.name + "/p" + std::to_string(policies)));
        program.tiers.push_back(std::move(tier));
    }
    for (auto profiles = below(3); profiles > 0; --profiles)
        program.profiles.push_back(a_policy("profile/f" + std::to_string(profiles)));
    return program;
}

Policy RandomPolicy::a_policy(const std::string& name)
{
    Policy policy{name, {}};
    for (auto rules = below(9); rules > 0; --rules)
        policy.rules.push_back(rule());
    return policy;
}

// Many rules that differ in one port or one prefix, as people write them; some constants repeat.
Policy RandomPolicy::a_list(const std::string& name)
{
    Policy policy{name, {}};
    const bool by_port = chance(50);
    const bool of_source = chance(50);
    const auto length = pick(kLengths);
    for (auto rules = 4 + below(30); rules > 0; --rules) {
        Rule rule;
        rule.action = action();
        auto& listed = of_source ? rule.source : rule.destination;
        auto& other = of_source ? rule.destination : rule.source;
        if (chance(40))
            other = side(false);
        if (by_port) {
            const auto port =
                chance(70) ? pick(kPorts) : static_cast<std::uint16_t>(below(40) * 256);
            listed.ports = {{port, port}};
            rule.protocol = IPPROTO_TCP;
        } else {
            listed.nets = {
                Prefix4{chance(50) ? pick(kBases) : Ipv4(below(64) << 23), length}.network()};
            if (chance(20))
                rule.protocol = protocol();
        }
        policy.rules.push_back(std::move(rule));
    }
    return policy;
}

Action RandomPolicy::action()
{
    const auto die = below(100);
    return die < 45   ? Action::Allow
           : die < 80 ? Action::Deny
           : die < 90 ? Action::Pass
                      : Action::Log;
}

Rule RandomPolicy::rule()
{
    Rule rule;
    if (!earlier_.empty() && chance(40)) {
        rule = earlier_.back(); // a run with shared conditions
        const auto variant = side(rule.protocol && has_ports(*rule.protocol));
        (chance(50) ? rule.source : rule.destination) = variant;
    } else {
        if (chance(60))
            rule.protocol = protocol();
        if (chance(10))
            rule.not_protocol = protocol();
        const bool icmp = rule.protocol == IPPROTO_ICMP || (!rule.protocol && chance(5));
        const auto code = [&]() -> std::optional<std::uint8_t> {
            return chance(50) ? std::optional(pick(kIcmpCodes)) : std::nullopt;
        };
        if (icmp && chance(50))
            rule.icmp = Icmp{pick(kIcmpTypes), code()};
        if (icmp && chance(30))
            rule.not_icmp = Icmp{pick(kIcmpTypes), code()};
        // Seldom on a protocol without ports: the two sides must agree on nonsense as well.
        const bool ports = rule.protocol ? has_ports(*rule.protocol) || chance(5) : chance(15);
        rule.source = side(ports && chance(40));
        rule.destination = side(ports);
    }
    rule.action = action();
    earlier_.push_back(rule);
    return rule;
}

Side RandomPolicy::side(bool with_ports)
{
    Side side;
    const auto some = [&](std::uint32_t percent, auto& list, auto make) {
        if (!chance(percent))
            return;
        for (auto n = 1 + below(3); n > 0; --n)
            list.push_back(make());
    };
    some(20, side.nets, [&] { return net(); });
    some(8, side.not_nets, [&] { return net(); });
    if (chance(15))
        for (auto n = 1 + below(2); n > 0; --n)
            side.sets.push_back(set());
    some(8, side.not_sets, [&] { return set(); });
    if (with_ports)
        port_conditions(side);
    return side;
}

void RandomPolicy::port_conditions(Side& side)
{
    const auto named = [&] { return NamedPort{pick(kPorts), set()}; };
    if (chance(60))
        for (auto n = 1 + below(4); n > 0; --n)
            side.ports.push_back(range());
    if (chance(25))
        side.named_ports.push_back(named());
    if (chance(15))
        side.not_ports.push_back(range());
    if (chance(10))
        side.not_named_ports.push_back(named());
    side.match_no_port = chance(2);
}

Packet RandomPolicy::packet(const Program& program, const Classes& classes)
{
    Packet packet;
    packet.source = Ipv4(static_cast<std::uint32_t>(random_()));
    packet.destination = Ipv4(static_cast<std::uint32_t>(random_()));
    packet.protocol = protocol();
    packet.source_port = pick(kPorts);
    packet.destination_port = static_cast<std::uint16_t>(random_());
    packet.icmp_type = pick(kIcmpTypes);
    packet.icmp_code = pick(kIcmpCodes);
    std::vector<const Rule*> rules;
    for (const auto& tier : program.tiers)
        for (const auto& policy : tier.policies)
            for (const auto& rule : policy.rules)
                rules.push_back(&rule);
    for (const auto& profile : program.profiles)
        for (const auto& rule : profile.rules)
            rules.push_back(&rule);
    if (!rules.empty() && chance(90))
        aim(packet, *pick(rules), classes);
    if (chance(35))
        bend(packet);
    if (chance(80))
        drop_absent_headers(packet);
    return packet;
}

void RandomPolicy::aim(Packet& packet, const Rule& rule, const Classes& classes)
{
    aim_protocol(packet, rule);
    packet.source = address_for(rule.source, classes);
    packet.destination = address_for(rule.destination, classes);
    packet.source_port = port_for(rule.source);
    packet.destination_port = port_for(rule.destination);
}

void RandomPolicy::aim_protocol(Packet& packet, const Rule& rule)
{
    if (rule.protocol)
        packet.protocol = *rule.protocol;
    else if (rule.icmp || rule.not_icmp)
        packet.protocol = IPPROTO_ICMP;
    if (rule.icmp) {
        packet.icmp_type = rule.icmp->type;
        if (rule.icmp->code)
            packet.icmp_code = *rule.icmp->code;
    }
}

// A few tries: conditions on one side may exclude each other.
Ipv4 RandomPolicy::address_for(const Side& side, const Classes& classes)
{
    const auto in_set = classes.membership();
    Side addresses = side;
    addresses.ports.clear();
    addresses.named_ports.clear();
    addresses.not_ports.clear();
    addresses.not_named_ports.clear();
    addresses.match_no_port = false;
    Rule alone;
    alone.source = addresses;
    Packet trial;
    for (int i = 0; i < 12; ++i) {
        const bool by_net = !side.nets.empty() && (classes.prefixes().empty() || chance(60));
        trial.source = by_net                       ? address_in(pick(side.nets))
                       : classes.prefixes().empty() ? pick(kBases)
                                                    : address_in(pick(classes.prefixes()).prefix);
        if (matches(alone, trial, in_set))
            break;
    }
    return trial.source;
}

Ipv4 RandomPolicy::address_in(const Prefix4& net)
{
    const auto first = net.network().addr.value();
    const auto last = last_address(net);
    switch (below(8)) {
    case 0:
    case 1:
        return Ipv4(first);
    case 2:
    case 3:
        return Ipv4(last);
    case 4:
        return Ipv4(first - 1); // just outside; wraps around at the ends
    case 5:
        return Ipv4(last + 1);
    default:
        return Ipv4(first + static_cast<std::uint32_t>(random_()) %
                                (last - first + 1 ? last - first + 1 : ~0u));
    }
}

std::uint16_t RandomPolicy::port_for(const Side& side)
{
    auto ranges = side.ports;
    for (const auto& n : side.named_ports)
        ranges.push_back({n.port, n.port});
    if (ranges.empty() || chance(10))
        ranges.insert(ranges.end(), side.not_ports.begin(), side.not_ports.end());
    if (ranges.empty())
        return chance(50) ? pick(kPorts) : static_cast<std::uint16_t>(random_());
    const auto r = pick(ranges);
    switch (below(6)) {
    case 0:
        return static_cast<std::uint16_t>(r.first - 1);
    case 1:
        return static_cast<std::uint16_t>(r.last + 1);
    case 2:
    case 3:
        return r.first;
    default:
        return r.last;
    }
}

void RandomPolicy::bend(Packet& packet)
{
    switch (below(6)) {
    case 0:
        packet.source = pick(kBases);
        break;
    case 1:
        packet.destination = pick(kBases);
        break;
    case 2:
        packet.source_port = pick(kPorts);
        break;
    case 3:
        packet.destination_port = pick(kPorts);
        break;
    case 4:
        packet.protocol = protocol();
        break;
    default:
        packet.icmp_type = pick(kIcmpTypes);
        break;
    }
}

// As maps/policy.h promises: fields of headers that are not there are 0. Not always done, since no
// rule may look at them in any case.
void RandomPolicy::drop_absent_headers(Packet& packet)
{
    if (!has_ports(packet.protocol))
        packet.source_port = packet.destination_port = 0;
    if (packet.protocol != IPPROTO_ICMP)
        packet.icmp_type = packet.icmp_code = 0;
}

} // namespace margay::testing
