// SPDX-License-Identifier: Apache-2.0
#include "bench/bgp/device.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include <unistd.h>

namespace margay::bgp_bench {
namespace {

std::string own_address()
{
    return kDeviceAddress.str();
}

// ---- margay ------------------------------------------------------------------------------------

Launch margay_launch(const std::string& program, const std::string&, const Setup& setup)
{
    Launch launch;
    launch.argv = {program,       "--as",     std::to_string(kDeviceAs), "--id",
                   own_address(), "--listen", own_address() + ":179",    "--quiet"};
    for (const Neighbor& neighbor : setup.neighbors) {
        launch.argv.push_back("--peer");
        launch.argv.push_back("address=" + neighbor.address.str() +
                              ",as=" + std::to_string(neighbor.as) +
                              ",hold=" + std::to_string(setup.hold_time) + ",passive" +
                              (neighbor.client ? ",client" : ""));
    }
    for (const Prefix4& prefix : setup.own) {
        launch.argv.push_back("--announce");
        launch.argv.push_back(prefix.str());
    }
    return launch;
}

// ---- BIRD --------------------------------------------------------------------------------------

// "multihop": the neighbours are host addresses, of no common network. "direct" gives BIRD the
// routes to them, by which it resolves next hops.
std::string bird_neighbor(const Neighbor& neighbor, const Setup& setup, std::size_t number)
{
    std::ostringstream out;
    out << "protocol bgp n" << number << " {\n"
        << "  local " << own_address() << " as " << kDeviceAs << ";\n"
        << "  neighbor " << neighbor.address.str() << " as " << neighbor.as << ";\n"
        << "  multihop; passive on; hold time " << setup.hold_time << ";\n"
        << "  error wait time 1, 2; startup hold time 60;\n"
        << (neighbor.client ? "  rr client;\n" : "")
        << "  ipv4 { import all; export where source = RTS_BGP"
        << (setup.own.empty() ? "" : " || source = RTS_STATIC") << "; };\n"
        << "}\n";
    return out.str();
}

std::string bird_own_routes(const std::vector<Prefix4>& own)
{
    std::string text = "protocol static {\n  ipv4;\n";
    for (const Prefix4& prefix : own)
        text += "  route " + prefix.str() + " blackhole;\n";
    return text + "}\n";
}

Launch bird_launch(const std::string& program, const std::string& folder, const Setup& setup)
{
    Launch launch;
    launch.config_file = "bird.conf";
    launch.config =
        "router id " + own_address() + ";\nprotocol device {}\n" + "protocol direct { ipv4; }\n";
    if (!setup.own.empty())
        launch.config += bird_own_routes(setup.own);
    std::size_t number = 0;
    for (const Neighbor& neighbor : setup.neighbors)
        launch.config += bird_neighbor(neighbor, setup, ++number);
    launch.argv = {program, "-f",
                   "-c",    folder + "/bird.conf",
                   "-s",    folder + "/bird.ctl",
                   "-P",    folder + "/bird.pid"};
    return launch;
}

// ---- FRR ---------------------------------------------------------------------------------------

std::string frr_neighbor(const Neighbor& neighbor)
{
    const std::string head = " neighbor " + neighbor.address.str() + " ";
    std::string text =
        head + "remote-as " + std::to_string(neighbor.as) + "\n" + head + "passive\n";
    if (!neighbor.internal())
        text += head + "disable-connected-check\n";
    return text;
}

std::string frr_config(const Setup& setup, bool coalesce)
{
    std::ostringstream out;
    out << "router bgp " << kDeviceAs << "\n"
        << " bgp router-id " << own_address() << "\n"
        << " no bgp ebgp-requires-policy\n"
        << " timers bgp " << setup.hold_time / 3 << " " << setup.hold_time << "\n"
        << (coalesce ? "" : " coalesce-time 0\n")
        << (setup.own.empty() ? "" : " no bgp network import-check\n");
    for (const Neighbor& neighbor : setup.neighbors)
        out << frr_neighbor(neighbor);
    out << " address-family ipv4 unicast\n";
    for (const Neighbor& neighbor : setup.neighbors)
        if (neighbor.client)
            out << "  neighbor " << neighbor.address.str() << " route-reflector-client\n";
    for (const Prefix4& prefix : setup.own)
        out << "  network " << prefix.str() << "\n";
    out << " exit-address-family\n";
    return out.str();
}

// bgpd alone: without zebra every next hop is valid, and there is no kernel table to fill.
Launch frr_launch_with(const std::string& program, const std::string& folder, const Setup& setup,
                       bool coalesce)
{
    Launch launch;
    launch.config_file = "bgpd.conf";
    launch.config = frr_config(setup, coalesce);
    launch.argv = {program,       "--skip_runas",       "--no_zebra",
                   "--no_kernel", "--config_file",      folder + "/bgpd.conf",
                   "--pid_file",  folder + "/bgpd.pid", "--vty_socket",
                   folder,        "--vty_port",         "0",
                   "--listenon",  own_address(),        "--log",
                   "stdout"};
    return launch;
}

Launch frr_launch(const std::string& program, const std::string& folder, const Setup& setup)
{
    return frr_launch_with(program, folder, setup, true);
}

Launch frr_c0_launch(const std::string& program, const std::string& folder, const Setup& setup)
{
    return frr_launch_with(program, folder, setup, false);
}

// ---- OpenBGPD ----------------------------------------------------------------------------------

std::string openbgpd_neighbor(const Neighbor& neighbor, const Setup& setup)
{
    std::ostringstream out;
    out << "neighbor " << neighbor.address.str() << " {\n"
        << "  remote-as " << neighbor.as << "\n  passive\n  holdtime " << setup.hold_time << "\n"
        << (neighbor.internal() ? "" : "  multihop 2\n")
        << (neighbor.client ? "  route-reflector\n" : "") << "}\n";
    return out.str();
}

Launch openbgpd_launch(const std::string& program, const std::string& folder, const Setup& setup)
{
    Launch launch;
    launch.config_file = "bgpd.conf";
    launch.config = "AS " + std::to_string(kDeviceAs) + "\nrouter-id " + own_address() +
                    "\nfib-update no\nlisten on " + own_address() + "\nsocket \"" + folder +
                    "/bgpd.ctl\"\n";
    for (const Prefix4& prefix : setup.own)
        launch.config += "network " + prefix.str() + "\n";
    for (const Neighbor& neighbor : setup.neighbors)
        launch.config += openbgpd_neighbor(neighbor, setup);
    launch.config += "allow from any\nallow to any\n";
    launch.argv = {program, "-d", "-f", folder + "/bgpd.conf"};
    return launch;
}

// ---- GoBGP -------------------------------------------------------------------------------------

std::string gobgp_neighbor(const Neighbor& neighbor, const Setup& setup)
{
    std::ostringstream out;
    out << "[[neighbors]]\n"
        << "  [neighbors.config]\n    neighbor-address = \"" << neighbor.address.str()
        << "\"\n    peer-as = " << neighbor.as << "\n"
        << "  [neighbors.transport.config]\n    passive-mode = true\n"
        << "  [neighbors.timers.config]\n    hold-time = " << setup.hold_time
        << "\n    keepalive-interval = " << setup.hold_time / 3 << "\n";
    if (!neighbor.internal())
        out << "  [neighbors.ebgp-multihop.config]\n    enabled = true\n    multihop-ttl = 2\n";
    if (neighbor.client)
        out << "  [neighbors.route-reflector.config]\n    route-reflector-client = true\n"
            << "    route-reflector-cluster-id = \"" << own_address() << "\"\n";
    return out.str();
}

Launch gobgp_launch(const std::string& program, const std::string& folder, const Setup& setup)
{
    Launch launch;
    launch.config_file = "gobgpd.conf";
    launch.config = "[global.config]\n  as = " + std::to_string(kDeviceAs) + "\n  router-id = \"" +
                    own_address() + "\"\n  port = 179\n  local-address-list = [\"" + own_address() +
                    "\"]\n";
    for (const Neighbor& neighbor : setup.neighbors)
        launch.config += gobgp_neighbor(neighbor, setup);
    launch.argv = {program,
                   "-f",
                   folder + "/gobgpd.conf",
                   "--api-hosts",
                   "127.0.0.1:50051",
                   "--pprof-disable",
                   "-l",
                   "warn",
                   "-p"};
    return launch;
}

constexpr Device kDevices[] = {
    {"margay", "bgp/ as a process", "", "bgp_speaker", "", true, true, margay_launch},
    {"bird", "BIRD", "bird2", "/usr/sbin/bird", "--version", true, false, bird_launch},
    {"frr", "FRR, bgpd alone", "frr", "/usr/lib/frr/bgpd", "--version", true, false, frr_launch},
    {"frr-c0", "the same with coalesce-time 0", "frr", "/usr/lib/frr/bgpd", "--version", true,
     false, frr_c0_launch},
    {"openbgpd", "OpenBGPD", "openbgpd", "/usr/sbin/bgpd", "-V", true, false, openbgpd_launch},
    {"gobgp", "GoBGP", "gobgpd", "/usr/bin/gobgpd", "--version", false, false, gobgp_launch},
};

std::string program_path(const Device& device)
{
    if (device.program.front() == '/')
        return std::string(device.program);
    std::error_code ignored;
    const char* folder = std::getenv("MARGAY_BIN");
    const std::filesystem::path beside_us =
        std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
    return (folder ? std::filesystem::path(folder) : beside_us) / device.program;
}

} // namespace

std::span<const Device> devices()
{
    return kDevices;
}

const Device* find_device(std::string_view name)
{
    for (const Device& device : kDevices)
        if (device.name == name)
            return &device;
    return nullptr;
}

std::optional<std::string> installed_program(const Device& device)
{
    std::string path = program_path(device);
    if (::access(path.c_str(), X_OK) != 0)
        return std::nullopt;
    return path;
}

std::string remedy(const Device& device)
{
    if (device.package.empty())
        return "build the target " + std::string(device.program) +
               ", or set MARGAY_BIN to the folder it is in (looked for " + program_path(device) +
               ")";
    return "deploy/deps.sh bench, or install the package " + std::string(device.package);
}

std::string version_of(const Device& device)
{
    const auto program = installed_program(device);
    if (!program || device.version_flag.empty())
        return "";
    const std::string command = *program + " " + std::string(device.version_flag) + " 2>&1";
    std::string text;
    if (FILE* pipe = ::popen(command.c_str(), "r")) {
        char line[256];
        if (std::fgets(line, sizeof line, pipe))
            text = line;
        ::pclose(pipe);
    }
    if (!text.empty() && text.back() == '\n')
        text.pop_back();
    return text;
}

} // namespace margay::bgp_bench
