// SPDX-License-Identifier: Apache-2.0
#include "integration/datapath/two_pods.h"

#include <net/if.h>
#include <spdlog/sinks/null_sink.h>

#include <cstdio>

#include "agent/policy/hash.h"

namespace margay::datapath {

namespace {

MacBytes mac(const std::string& text)
{
    MacBytes bytes{};
    std::sscanf(text.c_str(), "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &bytes[0], &bytes[1], &bytes[2],
                &bytes[3], &bytes[4], &bytes[5]);
    return bytes;
}

std::string link_mac(const Netns& netns, const std::string& device)
{
    const std::string text = netns.must("ip -o link show dev " + device);
    const auto at = text.find("link/ether ");
    return text.substr(at + 11, 17);
}

} // namespace

model::ProgramRef shared(policy::Program program)
{
    auto shared = std::make_shared<model::SharedProgram>();
    shared->hash = policy::canonical_hash(program);
    shared->program = std::move(program);
    return shared;
}

model::ProgramRef program_with(policy::Rule rule, const std::string& name)
{
    policy::Program program;
    program.profiles.push_back({name, {std::move(rule)}});
    return shared(std::move(program));
}

model::ProgramRef allow_all()
{
    policy::Rule rule;
    rule.action = policy::Action::Allow;
    return program_with(rule, "profile/allow");
}

model::ProgramRef allow_all_but(policy::SetId set)
{
    policy::Rule deny;
    deny.action = policy::Action::Deny;
    deny.source.sets = {set};
    policy::Rule allow;
    allow.action = policy::Action::Allow;
    policy::Program program;
    program.profiles.push_back({"profile/not-bad", {deny, allow}});
    return shared(std::move(program));
}

model::ProgramRef allow_from(policy::SetId set)
{
    policy::Rule rule;
    rule.action = policy::Action::Allow;
    rule.source.sets = {set};
    return program_with(rule, "profile/from-friends");
}

Log quiet()
{
    return std::make_shared<spdlog::logger>("datapath",
                                            std::make_shared<spdlog::sinks::null_sink_st>());
}

bool is_established(const Background& ping)
{
    return eventually([&] { return ping.output().find("icmp_seq=5 ") != std::string::npos; });
}

Pod::Pod(const Netns& node, int number)
    : netns("pod" + std::to_string(number)), name("cali" + std::to_string(number)),
      address(*Ipv4::parse("10.65.0." + std::to_string(number)))
{
    add_veth(node, name, netns, "eth0");
    const std::string host = link_mac(node, name);
    host_mac = mac(host);
    pod_mac = mac(link_mac(netns, "eth0"));
    netns.must("ip link set lo up; ip addr add " + address.str() +
               "/32 dev eth0 && ip route add 169.254.1.1 dev eth0 && "
               "ip route add default via 169.254.1.1 dev eth0 && "
               "ip neigh add 169.254.1.1 lladdr " +
               host + " dev eth0 nud permanent");
    ifindex = inside(node, [&] { return if_nametoindex(name.c_str()); });
}

std::pair<std::string, bool> DatapathTest::uplink_programs(std::uint32_t ifindex) const
{
    std::pair<std::string, bool> found;
    for (const auto& state : datapath->status().hooks) {
        if (state.ifindex == ifindex && state.hook == "ingress")
            found.first = state.program;
        if (state.ifindex == ifindex && state.hook == "xdp")
            found.second = true;
    }
    return found;
}

} // namespace margay::datapath
