// SPDX-License-Identifier: Apache-2.0
#include "scale/cluster.h"

#include <boost/json.hpp>

#include <algorithm>
#include <cstdio>
#include <random>

namespace margay::bench {
namespace {

namespace json = boost::json;

const std::string kResources = "/calico/resources/v3/projectcalico.org/";
const std::string kIpam = "/calico/ipam/v2/";
constexpr int kApps = 400; // of which the local pods have the first kLocalApps
constexpr int kLocalApps = 50;
constexpr int kTeams = 10;
constexpr int kBlock = 64;

std::string n(const char* text, int number)
{
    return text + std::to_string(number);
}

KeyValue resource(const char* kind, const std::string& plural, const std::string& ns,
                  const std::string& name, json::object labels, json::object spec)
{
    char uid[40];
    std::snprintf(uid, sizeof(uid), "00000000-0000-4000-8000-%012zx",
                  std::hash<std::string>()(plural + "/" + name) & 0xffffffffffff);
    json::object metadata{
        {"name", name}, {"uid", uid}, {"creationTimestamp", "2026-01-02T03:04:05Z"}};
    if (!ns.empty())
        metadata["namespace"] = ns;
    if (!labels.empty())
        metadata["labels"] = std::move(labels);
    if (plural == "globalnetworkpolicies")
        metadata["annotations"] = {{"projectcalico.org/metadata", "{\"name\":\"" + name + "\"}"}};
    const json::object value{{"kind", kind},
                             {"apiVersion", "projectcalico.org/v3"},
                             {"metadata", std::move(metadata)},
                             {"spec", std::move(spec)}};
    return {kResources + plural + "/" + (ns.empty() ? "" : ns + "/") + name,
            json::serialize(value)};
}

std::string node_name(int node)
{
    return n("n", node + 1);
}

// Remote nodes stand behind the router, in many subnets.
std::string node_address(int node)
{
    return "172.20." + std::to_string(node / 100) + "." + std::to_string(node % 100 + 10);
}

// Node 0 has blocks 0 and 1, node i block i + 1.
std::string block_net(int block)
{
    const int address = block * kBlock;
    return "10.244." + std::to_string(address / 256) + "." + std::to_string(address % 256);
}

std::string pod_address(int node, int pod)
{
    const int address = (node == 0 ? 0 : node + 1) * kBlock + pod;
    return "10.244." + std::to_string(address / 256) + "." + std::to_string(address % 256);
}

KeyValue endpoint(int node, int pod, int number, std::mt19937& random)
{
    const bool local = node == 0;
    const std::string ns = n("ns", number % 50), name = n("pod", number);
    const int app =
        local ? pod % kLocalApps : kLocalApps + static_cast<int>(random() % (kApps - kLocalApps));
    // Half of the remote pods run what is also local: rules name them.
    const int shown = !local && number % 2 == 0 ? static_cast<int>(random() % kLocalApps) : app;
    char mac[18];
    std::snprintf(mac, sizeof(mac), "02:00:00:00:%02x:%02x", number / 256 % 256, number % 256);
    json::object spec{{"orchestrator", "k8s"},
                      {"node", node_name(node)},
                      {"containerID", n("c", number)},
                      {"pod", name},
                      {"endpoint", "eth0"},
                      {"ipNetworks", {pod_address(node, pod) + "/32"}},
                      {"profiles", {"kns." + ns}},
                      {"interfaceName", local ? n("cali", pod) : n("calir", number)},
                      {"mac", mac}};
    return resource("WorkloadEndpoint", "workloadendpoints", ns,
                    node_name(node) + "-k8s-" + name + "-eth0",
                    {{"app", n("a", shown)},
                     {"team", n("t", number % kTeams)},
                     {"projectcalico.org/namespace", ns},
                     {"projectcalico.org/orchestrator", "k8s"}},
                    std::move(spec));
}

json::object rule(const char* action, const char* protocol, json::object source,
                  json::object destination)
{
    json::object out{{"action", action}, {"protocol", protocol}};
    if (!source.empty())
        out["source"] = std::move(source);
    if (!destination.empty())
        out["destination"] = std::move(destination);
    return out;
}

std::string is_app(int app)
{
    return "app == '" + n("a", app) + "'";
}

KeyValue policy(const Scale& scale, int number, bool first_allows)
{
    std::mt19937 random(scale.seed * 100'000 + static_cast<unsigned>(number));
    const auto some = [&](int below) {
        return static_cast<int>(random() % static_cast<unsigned>(below));
    };
    const bool active = number < scale.active;
    const std::string selector = number == 0 ? is_app(2)
                                 : active    ? is_app(some(kLocalApps))
                                             : is_app(kApps + some(kApps));
    const auto port = [&] { return json::array{1000 + some(5000), "8000:9000"}; };
    const auto peer = [&](const char* label) {
        return json::object{
            {"selector", is_app(some(kApps)) + " && team in {'t1','t2','t3'} || " + label}};
    };
    json::array ingress{
        rule("Allow", "TCP", peer("has(canary)"), {{"ports", port()}}),
        rule("Deny", "TCP", {{"notSelector", is_app(some(kApps))}}, {{"ports", port()}}),
        rule("Allow", "UDP", {{"nets", {"10.244." + std::to_string(some(128)) + ".0/24"}}},
             {{"ports", port()}})};
    if (number == 0)
        ingress[0] = rule(first_allows ? "Allow" : "Deny", "UDP", {{"selector", is_app(1)}},
                          {{"ports", {kFlowPort}}});
    json::array egress{rule("Allow", "TCP", {}, peer("has(shared)")),
                       json::object{{"action", "Allow"}}};
    return resource("GlobalNetworkPolicy", "globalnetworkpolicies", "", n("p", number),
                    {{"projectcalico.org/tier", "default"}},
                    {{"tier", "default"},
                     {"order", number == 0 ? 1 : 10 + some(1000)},
                     {"selector", selector},
                     {"types", {"Ingress", "Egress"}},
                     {"ingress", std::move(ingress)},
                     {"egress", std::move(egress)}});
}

// A block whose first `used` addresses are taken.
void add_block(std::vector<KeyValue>& out, const std::string& node, int block, int used)
{
    const std::string net = block_net(block);
    json::array allocations, unallocated, attributes;
    for (int i = 0; i < kBlock; i++) {
        if (i < used) {
            allocations.push_back(i);
            attributes.push_back(
                {{"handle_id", "k8s-pod-network." + node + "-" + std::to_string(block) + "-" +
                                   std::to_string(i)},
                 {"secondary", {{"node", node}, {"namespace", "ns"}, {"pod", n("p", i)}}}});
        } else {
            allocations.push_back(nullptr);
            unallocated.push_back(i);
        }
    }
    const std::string key = net + "-26";
    out.emplace_back(kIpam + "host/" + node + "/ipv4/block/" + key,
                     R"({"state":"confirmed","deleted":false})");
    out.emplace_back(kIpam + "assignment/ipv4/block/" + key,
                     json::serialize(json::object{{"cidr", net + "/26"},
                                                  {"affinity", "host:" + node},
                                                  {"allocations", std::move(allocations)},
                                                  {"unallocated", std::move(unallocated)},
                                                  {"attributes", std::move(attributes)},
                                                  {"sequenceNumber", 1},
                                                  {"sequenceNumberForAllocation", json::object()},
                                                  {"deleted", false}}));
}

void add_frame(std::vector<KeyValue>& out)
{
    out.push_back(resource("IPPool", "ippools", "", "default-ipv4-ippool", {},
                           {{"cidr", "10.244.0.0/16"},
                            {"ipipMode", "Always"},
                            {"vxlanMode", "Never"},
                            {"natOutgoing", true},
                            {"blockSize", 26},
                            {"nodeSelector", "all()"},
                            {"allowedUses", {"Workload", "Tunnel"}}}));
    out.push_back(resource("BGPConfiguration", "bgpconfigurations", "", "default", {},
                           {{"nodeToNodeMeshEnabled", false}}));
    out.push_back(resource("Tier", "tiers", "", "default", {},
                           {{"order", 1'000'000}, {"defaultAction", "Deny"}}));
    for (int i = 0; i < 50; i++) {
        const std::string name = n("kns.ns", i);
        const json::array allow{json::object{{"action", "Allow"}}};
        out.push_back(resource("Profile", "profiles", "", name, {},
                               {{"labelsToApply", {{"pcns.projectcalico.org/name", n("ns", i)}}},
                                {"ingress", allow},
                                {"egress", allow}}));
    }
}

} // namespace

std::string local_address(int pod)
{
    return pod_address(0, pod);
}

KeyValue measured_policy(const Scale& scale, bool allow)
{
    return policy(scale, 0, allow);
}

std::vector<KeyValue> cluster(const Scale& scale)
{
    std::mt19937 random(scale.seed);
    std::vector<KeyValue> out;
    add_frame(out);
    // Address 0 of every block is the node's own.
    int number = 0;
    for (int pod = 1; pod <= scale.local; pod++)
        out.push_back(endpoint(0, pod, ++number, random));
    add_block(out, node_name(0), 0, std::min(kBlock, scale.local + 1));
    add_block(out, node_name(0), 1, std::max(0, scale.local + 1 - kBlock));
    for (int node = 1; node < scale.nodes; node++) {
        out.push_back(resource("Node", "nodes", "", node_name(node), {{"rack", n("r", node % 20)}},
                               {{"bgp",
                                 {{"ipv4Address", node_address(node) + "/24"},
                                  {"ipv4IPIPTunnelAddr", pod_address(node, 0)}}}}));
        const int left = scale.endpoints - number, nodes_left = scale.nodes - node;
        const int pods = std::min(kBlock - 1, left / nodes_left);
        for (int pod = 1; pod <= pods; pod++)
            out.push_back(endpoint(node, pod, ++number, random));
        add_block(out, node_name(node), node + 1, pods + 1);
    }
    for (int i = 0; i < scale.policies; i++)
        out.push_back(policy(scale, i, true));
    std::shuffle(out.begin(), out.end(), random);
    return out;
}

} // namespace margay::bench
