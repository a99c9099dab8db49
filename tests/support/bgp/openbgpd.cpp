// SPDX-License-Identifier: Apache-2.0
// OpenBGPD as a Daemon.

#include "support/bgp/daemon.h"
#include "support/bgp/json.h"
#include "support/bgp/lab.h"

#include <sstream>

namespace margay::bgp::lab {
namespace {

std::string openbgpd_network(const Route& route)
{
    std::string text = "network " + route.prefix;
    if (!route.carries_communities())
        return text + "\n";
    text += " set {";
    for (const std::string& one : route.communities)
        text += " community " + one;
    for (const std::string& one : route.large)
        text += " large-community " + one;
    for (const std::string& one : route.targets)
        text += " ext-community rt " + one;
    return text + " }\n";
}

std::string openbgpd_session(const DaemonConfig& config, const Neighbor& neighbor)
{
    std::ostringstream out;
    out << "neighbor " << neighbor.address.str() << " {\n"
        << "  remote-as " << neighbor.as.value << "\n"
        << "  local-address " << own_address(config, neighbor) << "\n"
        << "  announce restart " << (neighbor.restart_time ? "yes" : "no") << "\n"
        << "  announce IPv4 " << (has_family(neighbor, kIpv4Unicast) ? "unicast" : "none") << "\n"
        << "  announce IPv6 " << (has_family(neighbor, kIpv6Unicast) ? "unicast" : "none") << "\n";
    if (neighbor.ttl_security > 0)
        out << "  ttl-security yes\n";
    if (neighbor.ttl_security > 1)
        out << "  multihop " << neighbor.ttl_security << "\n";
    else if (neighbor.ttl_security == 0 && !is_internal(config, neighbor))
        out << "  multihop 2\n";
    if (neighbor.client)
        out << "  route-reflector " << lab_address(config.host).str() << "\n";
    if (!neighbor.password.empty())
        out << "  tcp md5sig password \"" << neighbor.password << "\"\n";
    if (neighbor.hold_time)
        out << "  holdtime " << neighbor.hold_time->count() << "\n";
    if (!neighbor.four_octet_as)
        out << "  announce as-4byte no\n";
    if (neighbor.add_path)
        out << "  announce add-path recv yes\n  announce add-path send all\n";
    if (neighbor.extended_next_hop)
        out << "  announce extended nexthop yes\n";
    if (neighbor.enhanced_refresh)
        out << "  announce enhanced refresh yes\n";
    if (neighbor.restart_on_notification)
        out << "  announce graceful notification yes\n";
    if (neighbor.extended_messages)
        out << "  announce extended message yes\n";
    out << "}\n";
    return out.str();
}

LearnedPath openbgpd_path(const Json& path)
{
    LearnedPath learned;
    learned.next_hop = path["exit_nexthop"].str();
    learned.as_path = path["aspath"].str();
    if (const Json preference = path["localpref"])
        learned.local_pref = preference.number();
    path["communities"].each([&](const Json& one) { learned.communities.insert(one.str()); });
    path["large_communities"].each([&](const Json& one) { learned.large.insert(one.str()); });
    path["extended_communities"].each([&](const Json& one) {
        learned.targets.insert(one.str().substr(one.str().find(' ') + 1)); // "rt 64512:7"
    });
    path["attributes"].each([&](const Json& attribute) {
        if (const Json originator = attribute["originator"])
            learned.originator_id = originator.str();
        attribute["cluster_list"].each(
            [&](const Json& one) { learned.clusters.push_back(one.str()); });
    });
    return learned;
}

class OpenbgpdDaemon : public Daemon {
public:
    std::vector<LearnedPath> learned(const std::string& prefix, const Ip& neighbor) override
    {
        std::vector<LearnedPath> paths;
        const Json answer = Json::parse(ask(bgpctl({"-j", "show", "rib", "detail", prefix})));
        answer["rib"].each([&](const Json& path) {
            if (path["neighbor"]["remote_addr"].str() == neighbor.str())
                paths.push_back(openbgpd_path(path));
        });
        return paths;
    }
    std::string offers(const Ip& neighbor) override
    {
        const Json answer = Json::parse(ask(bgpctl({"-j", "show", "neighbor", neighbor.str()})));
        return answer["neighbors"][0]["session"]["local"]["capabilities"].text();
    }
    void refresh(const Ip& neighbor) override
    {
        ask(bgpctl({"neighbor", neighbor.str(), "refresh"}));
    }
    void reset(const Ip& neighbor) override { ask(bgpctl({"neighbor", neighbor.str(), "clear"})); }
    void shut(const Ip& neighbor, const std::string& text) override
    {
        ask(bgpctl({"neighbor", neighbor.str(), "down", text}));
    }

protected:
    Words command(bool) const override { return {"/usr/sbin/bgpd", "-d", "-f", config_file()}; }
    std::string text_of(const DaemonConfig& config) const override
    {
        std::string text = "AS " + std::to_string(config.as.value) + "\nrouter-id " +
                           lab_address(config.host).str() + "\nfib-update no\nlisten on " +
                           lab_address(config.host).str() + "\nlisten on " +
                           lab_address6(config.host).str() + "\nsocket \"" + in_folder("ctl") +
                           "\"\n";
        for (const Route& route : config.routes)
            text += openbgpd_network(route);
        for (const Neighbor& neighbor : config.neighbors)
            text += openbgpd_session(config, neighbor);
        return text + "allow from any\nallow to any\n";
    }
    bool answers() override
    {
        return Json::parse(ask(bgpctl({"-j", "show", "neighbor"}))).is_object();
    }
    Words ask_about(const Ip& neighbor) const override
    {
        return bgpctl({"show", "neighbor", neighbor.str()});
    }
    void changed(const Route&, bool) override { ask(bgpctl({"reload"})); }

private:
    Words bgpctl(const Words& words) const
    {
        Words command{"bgpctl", "-s", in_folder("ctl")};
        command.insert(command.end(), words.begin(), words.end());
        return command;
    }
};

} // namespace

std::unique_ptr<Daemon> make_openbgpd()
{
    return std::make_unique<OpenbgpdDaemon>();
}

} // namespace margay::bgp::lab
