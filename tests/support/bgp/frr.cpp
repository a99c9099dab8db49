// SPDX-License-Identifier: Apache-2.0
// FRR's bgpd alone as a Daemon: without zebra every next hop is valid, and no kernel table is filled.

#include "support/bgp/daemon.h"
#include "support/bgp/json.h"
#include "support/bgp/lab.h"

#include <sstream>

namespace margay::bgp::lab {
namespace {

std::string frr_family(bool v6)
{
    return v6 ? "ipv6" : "ipv4";
}

// One route map for each network: "network ... route-map own<index>".
std::string frr_route_map(const Route& route, const std::string& name)
{
    std::string text = "route-map " + name + " permit 10\n";
    const auto set = [&](const char* what, const std::vector<std::string>& values) {
        if (values.empty())
            return;
        text += std::string(" set ") + what;
        for (const std::string& value : values)
            text += " " + value;
        text += "\n";
    };
    set("community", route.communities);
    set("large-community", route.large);
    set("extcommunity rt", route.targets);
    return text + "exit\n";
}

std::string frr_map_name(const Route& route)
{
    std::string name = "own-" + route.prefix;
    for (char& c : name)
        if (c == '/' || c == '.' || c == ':')
            c = '-';
    return name;
}

std::string frr_network(const Route& route)
{
    return "network " + route.prefix +
           (route.carries_communities() ? " route-map " + frr_map_name(route) : "");
}

std::string frr_session(const DaemonConfig& config, const Neighbor& neighbor)
{
    const std::string head = " neighbor " + neighbor.address.str() + " ";
    std::ostringstream out;
    out << head << "remote-as " << neighbor.as.value << "\n"
        << head << "update-source " << own_address(config, neighbor) << "\n"
        << head << "timers connect 1\n"
        << head << "advertisement-interval 0\n";
    if (!is_internal(config, neighbor)) // hosts of no common network
        out << head << "disable-connected-check\n";
    if (neighbor.ttl_security > 0)
        out << head << "ttl-security hops " << neighbor.ttl_security << "\n";
    if (!neighbor.password.empty())
        out << head << "password " << neighbor.password << "\n";
    if (neighbor.hold_time)
        out << head << "timers " << neighbor.hold_time->count() / 3 << " "
            << neighbor.hold_time->count() << "\n";
    if (!neighbor.four_octet_as)
        out << head << "dont-capability-negotiate\n";
    if (neighbor.extended_parameters)
        out << head << "extended-optional-parameters\n";
    if (neighbor.extended_next_hop)
        out << head << "capability extended-nexthop\n";
    return out.str();
}

// What it would tell of itself over an IPv4 session is no IPv6 next hop.
constexpr const char* kOwnNextHop6 = "own-next-hop6";

std::string frr_family_session(const Neighbor& neighbor, bool v6)
{
    const std::string head = "  neighbor " + neighbor.address.str() + " ";
    if (!has_family(neighbor, v6 ? kIpv6Unicast : kIpv4Unicast))
        return "  no neighbor " + neighbor.address.str() + " activate\n";
    std::string text = head + "activate\n" + head + "send-community all\n";
    if (v6 && neighbor.address.is_v4())
        text += head + "route-map " + kOwnNextHop6 + " out\n";
    if (neighbor.client)
        text += head + "route-reflector-client\n";
    if (neighbor.add_path)
        text += head + "addpath-tx-all-paths\n";
    return text;
}

std::string frr_address_family(const DaemonConfig& config, bool v6)
{
    std::string text = " address-family " + frr_family(v6) + " unicast\n";
    for (const Route& route : config.routes)
        if (is_v6(route.prefix) == v6)
            text += "  " + frr_network(route) + "\n";
    for (const Neighbor& neighbor : config.neighbors)
        text += frr_family_session(neighbor, v6);
    return text + " exit-address-family\n";
}

// With coalesce-time 0 it may send End-of-RIB before its routes.
std::string frr_restart(const DaemonConfig& config)
{
    for (const Neighbor& neighbor : config.neighbors)
        if (neighbor.restart_time)
            return " bgp graceful-restart\n bgp graceful-restart preserve-fw-state\n"
                   " bgp graceful-restart restart-time " +
                   std::to_string(neighbor.restart_time->count()) + "\n" +
                   (neighbor.restart_on_notification ? " no bgp hard-administrative-reset\n" : "");
    return " bgp graceful-restart-disable\n coalesce-time 0\n";
}

LearnedPath frr_path(const Json& path)
{
    LearnedPath learned;
    learned.next_hop = path["nexthops"][0]["ip"].str();
    learned.as_path = path["aspath"]["string"].str();
    if (learned.as_path == "Local")
        learned.as_path.clear();
    if (const Json preference = path["locPrf"])
        learned.local_pref = preference.number();
    path["community"]["list"].each([&](const Json& one) { learned.communities.insert(one.str()); });
    path["largeCommunity"]["list"].each([&](const Json& one) { learned.large.insert(one.str()); });
    for (const std::string& one : split(path["extendedCommunity"]["string"].str(), " "))
        learned.targets.insert(one.substr(one.find(':') + 1)); // "RT:64512:7"
    learned.originator_id = path["originatorId"].str();
    path["clusterList"]["list"].each(
        [&](const Json& one) { learned.clusters.push_back(one.str()); });
    return learned;
}

class FrrDaemon : public Daemon {
public:
    std::vector<LearnedPath> learned(const std::string& prefix, const Ip& neighbor) override
    {
        std::vector<LearnedPath> paths;
        const Json answer = Json::parse(
            ask(vtysh({"show bgp " + frr_family(is_v6(prefix)) + " unicast " + prefix + " json"})));
        answer["paths"].each([&](const Json& path) {
            if (path["peer"]["peerId"].str() == neighbor.str())
                paths.push_back(frr_path(path));
        });
        return paths;
    }
    std::string offers(const Ip& neighbor) override
    {
        return between(about(neighbor), "Neighbor capabilities", "Message statistics");
    }
    void refresh(const Ip& neighbor) override
    {
        ask(vtysh({"clear bgp ipv4 unicast " + neighbor.str() + " soft in"}));
    }
    void reset(const Ip& neighbor) override { ask(vtysh({"clear bgp " + neighbor.str()})); }
    void shut(const Ip& neighbor, const std::string& text) override
    {
        ask(vtysh({"configure terminal", router(),
                   "neighbor " + neighbor.str() + " shutdown message " + text}));
    }

protected:
    Words command(bool) const override
    {
        return {"/usr/lib/frr/bgpd",
                "--skip_runas",
                "--no_zebra",
                "--no_kernel",
                "--config_file",
                config_file(),
                "--pid_file",
                in_folder("pid"),
                "--vty_socket",
                in_folder(""),
                "--vty_port",
                "0",
                "--listenon",
                lab_address(config().host).str(),
                "--listenon",
                lab_address6(config().host).str(),
                "--log",
                "stdout"};
    }
    std::string text_of(const DaemonConfig& config) const override
    {
        std::ostringstream out;
        // Before their use: after it, a route map takes effect 5 s later.
        for (const Route& route : config.routes)
            if (route.carries_communities())
                out << frr_route_map(route, frr_map_name(route));
        out << "route-map " << kOwnNextHop6 << " permit 10\n set ipv6 next-hop global "
            << lab_address6(config.host).str() << "\nexit\n";
        out << "router bgp " << config.as.value << "\n"
            << " bgp router-id " << lab_address(config.host).str() << "\n"
            << " bgp cluster-id " << lab_address(config.host).str() << "\n"
            << " no bgp ebgp-requires-policy\n"
            << " no bgp network import-check\n"
            << " bgp log-neighbor-changes\n"
            << frr_restart(config);
        for (const Neighbor& neighbor : config.neighbors)
            out << frr_session(config, neighbor);
        out << frr_address_family(config, false) << frr_address_family(config, true);
        return out.str();
    }
    bool answers() override
    {
        return Json::parse(ask(vtysh({"show bgp summary json"}))).is_object();
    }
    Words ask_about(const Ip& neighbor) const override
    {
        return vtysh({"show bgp neighbors " + neighbor.str()});
    }
    void changed(const Route& route, bool there) override
    {
        Words lines{"configure terminal"};
        if (there && route.carries_communities())
            for (const std::string& line : split(frr_route_map(route, frr_map_name(route)), "\n"))
                lines.push_back(line);
        lines.push_back(router());
        lines.push_back("address-family " + frr_family(is_v6(route.prefix)) + " unicast");
        lines.push_back((there ? "" : "no ") + frr_network(route));
        ask(vtysh(lines));
    }

private:
    std::string router() const { return "router bgp " + std::to_string(config().as.value); }
    Words vtysh(const Words& lines) const
    {
        Words words{"vtysh", "--vty_socket", in_folder(""), "-d", "bgpd"};
        for (const std::string& line : lines) {
            words.push_back("-c");
            words.push_back(line);
        }
        return words;
    }
};

} // namespace

std::unique_ptr<Daemon> make_frr()
{
    return std::make_unique<FrrDaemon>();
}

} // namespace margay::bgp::lab
