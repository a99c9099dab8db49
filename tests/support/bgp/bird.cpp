// SPDX-License-Identifier: Apache-2.0
// BIRD 2 as a Daemon. A neighbour is the protocol n<index>.

#include "support/bgp/daemon.h"
#include "support/bgp/lab.h"

#include <algorithm>
#include <array>
#include <sstream>

namespace margay::bgp::lab {
namespace {

std::string triple(std::string community) // "64512:5" → "64512,5"
{
    std::ranges::replace(community, ':', ',');
    return community;
}

std::string bird_route(const Route& route)
{
    std::string text = "  route " + route.prefix + " blackhole";
    if (!route.carries_communities())
        return text + ";\n";
    text += " {\n";
    for (const std::string& one : route.communities)
        text += "    bgp_community.add((" + triple(one) + "));\n";
    for (const std::string& one : route.large)
        text += "    bgp_large_community.add((" + triple(one) + "));\n";
    for (const std::string& one : route.targets)
        text += "    bgp_ext_community.add((rt," + triple(one) + "));\n";
    return text + "  };\n";
}

std::string bird_static(const DaemonConfig& config, bool v6)
{
    std::string text =
        std::string("protocol static ") + (v6 ? "own6 {\n  ipv6;\n" : "own4 {\n  ipv4;\n");
    for (const Route& route : config.routes)
        if (is_v6(route.prefix) == v6)
            text += bird_route(route);
    return text + "}\n";
}

std::string bird_channel(const Neighbor& neighbor, bool v6)
{
    std::string text = v6 ? "  ipv6 {" : "  ipv4 {";
    text += " import all; export where source = RTS_STATIC || source = RTS_BGP;";
    if (neighbor.add_path)
        text += " add paths on;";
    if ((neighbor.extended_next_hop || neighbor.extended_parameters) && !v6)
        text += " extended next hop on;";
    return text + " };\n";
}

// So many families that their capabilities are longer than 255 octets (RFC 9072).
constexpr std::array kManyFamilies{"ipv4 multicast", "ipv6 multicast", "vpn4 mpls", "vpn6 mpls",
                                   "ipv4 mpls",      "ipv6 mpls",      "flow4",     "flow6"};

std::string name_of_table(std::string family)
{
    std::ranges::replace(family, ' ', '_');
    return "t_" + family;
}

std::string bird_table(const std::string& family)
{
    return family.substr(0, family.find(' ')) + " table " + name_of_table(family) + ";\n";
}

std::string bird_many_channels()
{
    std::string text = "  long lived graceful restart on;\n";
    for (const std::string family : kManyFamilies) {
        const bool v4 = family.find('4') != std::string::npos && !family.starts_with("flow");
        text += "  " + family + " { table " + name_of_table(family) + "; add paths on; " +
                (v4 ? "extended next hop on; " : "") + "import none; export none; };\n";
    }
    return text;
}

std::string bird_session(const DaemonConfig& config, const Neighbor& neighbor, std::size_t index)
{
    std::ostringstream out;
    out << "protocol bgp n" << index << " {\n"
        << "  local " << own_address(config, neighbor) << " as " << config.as.value << ";\n"
        << "  neighbor " << neighbor.address.str() << " as " << neighbor.as.value << ";\n"
        << "  strict bind;\n" // other daemons are beside us
        << "  connect delay time 1; connect retry time 1; error wait time 1, 2;\n";
    if (neighbor.ttl_security > 0)
        out << "  multihop " << neighbor.ttl_security << "; ttl security on;\n";
    else
        out << "  multihop;\n"; // hosts of no common network
    if (neighbor.client)
        out << "  rr client;\n";
    if (!neighbor.password.empty())
        out << "  password \"" << neighbor.password << "\";\n";
    if (neighbor.restart_time)
        out << "  graceful restart on; graceful restart time " << neighbor.restart_time->count()
            << ";\n";
    if (neighbor.hold_time)
        out << "  hold time " << neighbor.hold_time->count() << ";\n";
    if (!neighbor.four_octet_as)
        out << "  enable as4 off;\n";
    if (neighbor.extended_messages)
        out << "  enable extended messages on;\n";
    if (neighbor.extended_parameters)
        out << bird_many_channels();
    if (has_family(neighbor, kIpv4Unicast))
        out << bird_channel(neighbor, false);
    if (has_family(neighbor, kIpv6Unicast))
        out << bird_channel(neighbor, true);
    out << "}\n";
    return out.str();
}

// "(64512,5) (rt, 64512, 7)" → "64512:5", "rt:64512:7"
std::set<std::string> bird_communities(std::string text)
{
    std::erase(text, ' ');
    std::ranges::replace(text, ',', ':');
    const auto parts = split(text, "()");
    return {parts.begin(), parts.end()};
}

std::set<std::string> without_kind(const std::set<std::string>& communities)
{
    std::set<std::string> values;
    for (const std::string& one : communities)
        values.insert(one.substr(one.find(':') + 1));
    return values;
}

void read_attribute(const std::string& name, const std::string& value, LearnedPath& path)
{
    if (name == "next_hop")
        path.next_hop = split(value, " ").front(); // a link-local one may follow
    else if (name == "as_path")
        path.as_path = value;
    else if (name == "local_pref")
        path.local_pref = static_cast<std::uint32_t>(std::stoul(value));
    else if (name == "community")
        path.communities = bird_communities(value);
    else if (name == "large_community")
        path.large = bird_communities(value);
    else if (name == "ext_community")
        path.targets = without_kind(bird_communities(value));
    else if (name == "originator_id")
        path.originator_id = value;
    else if (name == "cluster_list")
        path.clusters = split(value, " ");
}

class BirdDaemon : public Daemon {
public:
    std::vector<LearnedPath> learned(const std::string& prefix, const Ip& neighbor) override
    {
        std::vector<LearnedPath> paths;
        // A path is a line with "[protocol ...]" and lines with a tab and an attribute.
        for (const std::string& line :
             split(say("show route " + prefix + " all protocol " + name_of(neighbor)), "\n")) {
            const std::size_t colon = line.find(": ");
            if (line.front() != '\t' && line.find(" [") != std::string::npos)
                paths.emplace_back();
            else if (!paths.empty() && line.starts_with("\tBGP.") && colon != std::string::npos)
                read_attribute(line.substr(5, colon - 5), line.substr(colon + 2), paths.back());
        }
        return paths;
    }
    std::string offers(const Ip& neighbor) override
    {
        return between(about(neighbor), "Local capabilities", "Neighbor capabilities");
    }
    void refresh(const Ip& neighbor) override { say("reload in " + name_of(neighbor)); }
    void reset(const Ip& neighbor) override { say("restart " + name_of(neighbor)); }
    void shut(const Ip& neighbor, const std::string& text) override
    {
        say("disable " + name_of(neighbor) + " \"" + text + "\"");
    }

protected:
    Words command(bool after_a_crash) const override
    {
        Words words{"bird",          "-f", "-c", config_file(), "-s", in_folder("ctl"), "-P",
                    in_folder("pid")};
        if (after_a_crash)
            words.push_back("-R");
        return words;
    }
    std::string text_of(const DaemonConfig& config) const override
    {
        std::string text = "router id " + lab_address(config.host).str() +
                           ";\n"
                           "graceful restart wait 10;\n"
                           "protocol device {}\n"
                           "protocol direct { ipv4; ipv6; }\n" + // by which next hops are resolved
                           bird_static(config, false) +
                           bird_static(config, true);
        for (const std::string family : kManyFamilies)
            text += bird_table(family);
        for (std::size_t i = 0; i < config.neighbors.size(); ++i)
            text += bird_session(config, config.neighbors[i], i);
        return text;
    }
    bool answers() override
    {
        return say("show status").find("up and running") != std::string::npos;
    }
    Words ask_about(const Ip& neighbor) const override
    {
        return birdc("show protocols all " + name_of(neighbor));
    }
    void changed(const Route&, bool) override { say("configure"); }

private:
    std::string name_of(const Ip& neighbor) const
    {
        return "n" + std::to_string(index_of(neighbor));
    }
    Words birdc(const std::string& line) const { return {"birdc", "-s", in_folder("ctl"), line}; }
    std::string say(const std::string& line) const { return ask(birdc(line)); }
};

} // namespace

std::unique_ptr<Daemon> make_bird()
{
    return std::make_unique<BirdDaemon>();
}

} // namespace margay::bgp::lab
