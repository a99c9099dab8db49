// SPDX-License-Identifier: Apache-2.0
// GoBGP as a Daemon. Its configuration knows no routes: they are added once it runs.

#include "support/bgp/daemon.h"
#include "support/bgp/json.h"
#include "support/bgp/lab.h"

#include <sstream>

namespace margay::bgp::lab {
namespace {

std::string gobgp_family(const Neighbor& neighbor, bool v6)
{
    std::ostringstream out;
    out << "  [[neighbors.afi-safis]]\n"
        << "    [neighbors.afi-safis.config]\n      afi-safi-name = \"" << (v6 ? "ipv6" : "ipv4")
        << "-unicast\"\n";
    if (neighbor.restart_time)
        out << "    [neighbors.afi-safis.mp-graceful-restart.config]\n      enabled = true\n";
    if (neighbor.add_path)
        out << "    [neighbors.afi-safis.add-paths.config]\n      receive = true\n      send-max = "
               "8\n";
    return out.str();
}

std::string gobgp_session(const DaemonConfig& config, const Neighbor& neighbor)
{
    std::ostringstream out;
    out << "[[neighbors]]\n  [neighbors.config]\n"
        << "    neighbor-address = \"" << neighbor.address.str() << "\"\n"
        << "    peer-as = " << neighbor.as.value << "\n";
    if (!neighbor.password.empty())
        out << "    auth-password = \"" << neighbor.password << "\"\n";
    out << "  [neighbors.transport.config]\n    local-address = \"" << own_address(config, neighbor)
        << "\"\n  [neighbors.timers.config]\n    connect-retry = 1\n";
    if (neighbor.hold_time)
        out << "    hold-time = " << neighbor.hold_time->count()
            << "\n    keepalive-interval = " << neighbor.hold_time->count() / 3 << "\n";
    if (neighbor.ttl_security > 0)
        out << "  [neighbors.ttl-security.config]\n    enabled = true\n    ttl-min = "
            << 256 - neighbor.ttl_security << "\n";
    else if (!is_internal(config, neighbor))
        out << "  [neighbors.ebgp-multihop.config]\n    enabled = true\n    multihop-ttl = 2\n";
    if (neighbor.client)
        out << "  [neighbors.route-reflector.config]\n    route-reflector-client = true\n"
            << "    route-reflector-cluster-id = \"" << lab_address(config.host).str() << "\"\n";
    if (neighbor.restart_time)
        out << "  [neighbors.graceful-restart.config]\n    enabled = true\n    restart-time = "
            << neighbor.restart_time->count() << "\n    notification-enabled = "
            << (neighbor.restart_on_notification ? "true" : "false") << "\n";
    if (has_family(neighbor, kIpv4Unicast))
        out << gobgp_family(neighbor, false);
    if (has_family(neighbor, kIpv6Unicast))
        out << gobgp_family(neighbor, true);
    return out.str();
}

void read_gobgp_attribute(const Json& attribute, LearnedPath& path)
{
    const Json value = attribute["value"];
    switch (attribute["type"].number()) {
    case 2:
        attribute["as_paths"].each([&](const Json& segment) {
            segment["asns"].each([&](const Json& as) {
                path.as_path += (path.as_path.empty() ? "" : " ") + as.str();
            });
        });
        break;
    case 3:
    case 14:
        path.next_hop = attribute["nexthop"].str();
        break;
    case 5:
        path.local_pref = value.number();
        break;
    case 8:
        attribute["communities"].each([&](const Json& one) {
            path.communities.insert(std::to_string(one.number() >> 16) + ":" +
                                    std::to_string(one.number() & 0xffff));
        });
        break;
    case 9:
        path.originator_id = value.str();
        break;
    case 10:
        value.each([&](const Json& one) { path.clusters.push_back(one.str()); });
        break;
    case 16:
        value.each([&](const Json& one) { path.targets.insert(one["value"].str()); });
        break;
    case 32:
        value.each([&](const Json& one) {
            path.large.insert(one["ASN"].str() + ":" + one["LocalData1"].str() + ":" +
                              one["LocalData2"].str());
        });
        break;
    default:
        break;
    }
}

class GobgpDaemon : public Daemon {
public:
    std::vector<LearnedPath> learned(const std::string& prefix, const Ip& neighbor) override
    {
        std::vector<LearnedPath> paths;
        const Json answer = Json::parse(
            ask(gobgp({"global", "rib", prefix, "-a", is_v6(prefix) ? "ipv6" : "ipv4", "-j"})));
        answer[prefix].each([&](const Json& path) {
            if (path["neighbor-ip"].str() != neighbor.str())
                return;
            paths.emplace_back();
            path["attrs"].each([&](const Json& one) { read_gobgp_attribute(one, paths.back()); });
        });
        return paths;
    }
    std::string offers(const Ip& neighbor) override
    {
        return between(about(neighbor), "Neighbor capabilities", "Message statistics");
    }
    void refresh(const Ip& neighbor) override
    {
        ask(gobgp({"neighbor", neighbor.str(), "softresetin"}));
    }
    void reset(const Ip& neighbor) override { ask(gobgp({"neighbor", neighbor.str(), "reset"})); }
    void shut(const Ip& neighbor, const std::string& text) override
    {
        ask(gobgp({"neighbor", neighbor.str(), "shutdown", "--reason", text}));
    }

protected:
    Words command(bool after_a_crash) const override
    {
        Words words{
            "/usr/bin/gobgpd", "-f", config_file(), "--api-hosts", "127.0.0.1:" + api_port(),
            "--pprof-disable", "-l", "debug",       "-p"};
        if (after_a_crash)
            words.push_back("-r");
        return words;
    }
    std::string text_of(const DaemonConfig& config) const override
    {
        const std::string id = lab_address(config.host).str();
        std::string text = "[global.config]\n  as = " + std::to_string(config.as.value) +
                           "\n  router-id = \"" + id +
                           "\"\n  port = 179\n  local-address-list = [\"" + id + "\", \"" +
                           lab_address6(config.host).str() + "\"]\n";
        for (const Neighbor& neighbor : config.neighbors)
            text += gobgp_session(config, neighbor);
        return text;
    }
    bool answers() override
    {
        return ask(gobgp({"global"})).find("Router-ID") != std::string::npos;
    }
    Words ask_about(const Ip& neighbor) const override
    {
        return gobgp({"neighbor", neighbor.str()});
    }
    void changed(const Route& route, bool there) override
    {
        Words words{
            "global",    "rib", there ? "add" : "del", "-a", is_v6(route.prefix) ? "ipv6" : "ipv4",
            route.prefix};
        // In the order of its grammar. "origin": by default a route of its own is "incomplete".
        // "nexthop": what it would tell of itself over an IPv4 session is no IPv6 next hop.
        if (there && is_v6(route.prefix))
            words.insert(words.end(), {"nexthop", lab_address6(config().host).str()});
        if (there)
            for (const std::string& word : attributes(route))
                words.push_back(word);
        ask(gobgp(words));
    }
    void started() override
    {
        for (const Route& route : config().routes)
            changed(route, true);
    }

private:
    static Words attributes(const Route& route)
    {
        Words words{"origin", "igp"};
        const auto add = [&](const char* what, const std::vector<std::string>& values,
                             const char* between) {
            std::string joined;
            for (const std::string& value : values)
                joined += (joined.empty() ? "" : between) + value;
            if (!joined.empty())
                words.insert(words.end(), {what, joined});
        };
        add("community", route.communities, ",");
        add("large-community", route.large, ",");
        add("rt", route.targets, " ");
        return words;
    }
    std::string api_port() const { return std::to_string(50050 + config().host); }
    Words gobgp(const Words& words) const
    {
        Words command{"/usr/bin/gobgp", "-p", api_port()};
        command.insert(command.end(), words.begin(), words.end());
        return command;
    }
};

} // namespace

std::unique_ptr<Daemon> make_gobgp()
{
    return std::make_unique<GobgpDaemon>();
}

} // namespace margay::bgp::lab
