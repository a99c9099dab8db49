// SPDX-License-Identifier: Apache-2.0
// Config: what margayd was told, by flags, environment, a YAML file, or not at all.
//
// settings.cpp holds one table with a row for each setting; the flag, the YAML key, --help, the
// printed table of `margayd config` and the one in README.md are derived from it. A value comes
// from the first of: flag, environment, file, the datastore's FelixConfiguration (with_datastore(),
// once it is known), default; `effective` remembers which. The
// environment is that of calico-node, so a node moves over without a new manifest; variables of
// calico-node that change nothing here are named in `warnings` instead of being swallowed.
//
// resolve() is pure. It finds every wrong value at once and refuses them together, each with its
// name, the value and what is allowed. An empty value counts as not given, as in calico-node.

#pragma once

#include "agent/model/resources.h"
#include "margay/ip.h"
#include "margay/result.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace margay::config {

enum class Role { Node, RouteReflector };
enum class Datastore { Etcd, File };
enum class IpipMode { Never, Always, CrossSubnet };
enum class XdpMode { Auto, Native, Generic, Off };
enum class LogLevel { Trace, Debug, Info, Warning, Error, Fatal, None };
enum class EndpointToHost { Drop, Return, Accept };
enum class Source { Default, Datastore, File, Environment, Flag };

std::string_view to_string(Role);
std::string_view to_string(Datastore);
std::string_view to_string(IpipMode); // as an IPPool's ipipMode spells it
std::string_view to_string(XdpMode);
std::string_view to_string(LogLevel); // as spdlog spells its levels
std::string_view to_string(Source);

// Where a listener binds. No host: the listener is off.
struct Listen {
    std::string host;
    std::uint16_t port = 0;

    bool off() const { return host.empty(); }
    bool operator==(const Listen&) const = default;
};

using model::FailsafePort;

// The IP variable.
struct NodeIp {
    enum class Kind {
        Keep, // the stored address; autodetect when none is stored
        Autodetect, // always
        None, // no IPv4 address: no BGP and no IPIP
        Fixed,
    };
    Kind kind = Kind::Keep;
    Prefix4 address{}; // Fixed only
    bool length_given = false; // else it is taken from the interface that has the address

    bool operator==(const NodeIp&) const = default;
};

// CALICO_IPV4POOL_CIDR.
struct PoolCidr {
    enum class Kind { Choose, None, Fixed };
    Kind kind = Kind::Choose;
    Prefix4 cidr{};

    bool operator==(const PoolCidr&) const = default;
};

// From where BGP neighbours may come that are not configured by name.
struct ListenRange {
    IpPrefix prefix{};
    bool internal = false; // of our AS, or
    bool external = false; // of any other, or
    std::vector<std::uint32_t> as_numbers{}; // of one of these
    bool client = false; // of us as route reflector
    std::uint32_t limit = 100; // at a time
    std::optional<std::uint32_t> max_prefixes{}; // of each
    std::uint8_t ttl_security = 0;
    std::string secret{}; // in the password folder; empty: without
    std::string secret_key{};
    std::vector<std::string> filters{}; // names of BGPFilters, in order

    bool operator==(const ListenRange&) const = default;
};

struct Setting;

// One effective value and where it came from.
struct Effective {
    const Setting* setting = nullptr;
    std::string value; // as given; secrets are hidden when printed
    Source source = Source::Default;
    std::string origin; // "ETCD_ENDPOINTS", "--etcd-endpoints", "etcdEndpoints in <file>"
};

struct Config {
    // Datastore
    std::optional<Datastore> datastore_given;
    std::vector<std::string> etcd_endpoints; // URLs
    std::string etcd_username;
    std::string etcd_password;
    std::string etcd_ca_file;
    std::string etcd_cert_file;
    std::string etcd_key_file;
    std::string file_store; // folder of manifests
    bool wait_for_datastore = false;

    // Node
    std::string nodename; // empty: startup decides (nodename file, HOSTNAME, host name)
    std::string nodename_file;
    NodeIp ip;
    std::string ip_autodetection_method; // syntax is checked here, meaning is agent/kernel's
    bool disable_node_ip_check = false;
    std::string cluster_type; // comma list
    std::string k8s_node_ref;
    std::optional<std::uint32_t> as_number;
    std::string router_id; // "", "hash" or an address

    // Default pool
    bool no_default_pools = false;
    PoolCidr pool_cidr;
    IpipMode pool_ipip = IpipMode::Never;
    int pool_block_size = 26;
    std::string pool_node_selector;
    bool pool_nat_outgoing = true;
    bool pool_disable_bgp_export = false;

    // Data path
    std::vector<std::string> interface_prefixes;
    std::vector<std::string> uplinks; // regular expressions; empty: found by routing
    XdpMode xdp = XdpMode::Auto;
    std::uint32_t mark_mask = 0;
    static constexpr std::uint32_t kMaxFlowBudget = 262144; // the table's size
    std::uint32_t flow_budget = 0; // flows that one workload may hold; 0: no limit
    std::optional<bool> ipip_enabled; // absent: on when a pool asks for it
    std::uint32_t ipip_mtu = 0; // 0: host MTU - 20
    bool allow_ipip_from_workloads = false;
    bool allow_vxlan_from_workloads = false;
    EndpointToHost endpoint_to_host = EndpointToHost::Drop;
    std::uint32_t workload_route_metric = 0;
    std::vector<Prefix4> external_nodes; // further senders of IPIP
    std::vector<FailsafePort> failsafe_inbound;
    std::vector<FailsafePort> failsafe_outbound;

    // BGP
    std::uint16_t bgp_port = 0; // 0: BGPConfiguration's listenPort, else 179
    std::chrono::seconds bgp_hold_time{0};
    std::string bgp_password_folder; // empty: none
    std::vector<ListenRange> bgp_listen_ranges;
    static constexpr std::uint32_t kMostListenPeers = 10000;
    std::uint32_t bgp_listen_limit = 0; // of all ranges
    std::uint32_t bgp_max_prefixes = 0; // of a configured peer; 0: any number
    bool bfd = false;
    std::chrono::milliseconds bfd_interval{0};
    std::uint8_t bfd_multiplier = 0;
    std::optional<Ipv4> cluster_id; // written to the own Node's routeReflectorClusterID
    std::string bird_socket; // where calicoctl looks for BIRD; empty: nowhere

    // The process
    Role role = Role::Node;
    std::string pin_root;
    std::string run_dir;
    Listen http; // /metrics, /healthz, /readyz
    LogLevel log_level = LogLevel::Info;

    std::vector<Effective> effective; // one for each row of settings(), in its order
    std::vector<std::string> warnings; // for the log, once

    Datastore datastore() const;
    std::string control_socket() const { return run_dir + "/control.sock"; }
    std::string bird6_socket() const // beside that of IPv4, under the name that calicoctl knows
    {
        return bird_socket.substr(0, bird_socket.rfind('/') + 1) + "bird6.ctl";
    }
    // A route reflector that runs, or ran since the host started, leaves it.
    std::string reflector_mark() const { return run_dir + "/reflecting"; }
    // The value of this setting and its source; nullptr when there is no such setting.
    const Effective* find(std::string_view name) const;
    bool given(std::string_view name) const; // by flag, environment or file
};

// A row of the table.
struct Setting {
    std::string_view name; // flag is "--" + name
    std::string_view env; // variables, best first, separated by blanks
    std::string_view fallback; // the default, as text
    std::string_view allowed; // completes "allowed: "
    std::string_view help;
    bool (*parse)(std::string_view text, Config& into); // false: not allowed
    bool secret = false;
};

std::span<const Setting> settings();
std::string flag(const Setting& setting); // "--etcd-endpoints"
std::string yaml_key(const Setting& setting); // "etcdEndpoints"

using Values = std::map<std::string, std::string, std::less<>>;

struct Inputs {
    Values flags; // by setting name
    Values environment; // by variable; names that begin with FELIX_ are matched in any case
    Values file; // by YAML key
    std::string file_name;
};

// Errc::Invalid with one line for each wrong value.
Result<Config> resolve(const Inputs& inputs);

// The configuration with what the datastore says, by setting name, wherever nothing was given
// here. A value that is not allowed changes nothing and has a line in `refused`.
struct Overlaid {
    Config config;
    std::vector<std::string> refused;
};
Overlaid with_datastore(const Config& given, const Values& datastore);

// The YAML file as values: scalars as they are, lists joined by commas.
Result<Values> parse_yaml(const std::string& text, const std::string& file_name);

// What the command line asks for.
struct Invocation {
    enum class Action {
        Run,
        PrintConfig, // `margayd config`: print `text`
        Cleanup, // remove everything Margay put on this host
        Exit, // --help, --version or a wrong command line: print `text`, exit with `status`
    };
    Action action = Action::Run;
    Config config; // not for Exit
    std::string text;
    int status = 0;
};

// Reads flags, environment and the file (--config, MARGAY_CONFIG, else /etc/margay/margayd.yaml
// if it is there). `environment` is as main()'s third argument.
Invocation from_command_line(int argc, const char* const* argv, const char* const* environment);

Values environment_values(const char* const* environment);

std::string print_table(const Config& config);
std::string print_json(const Config& config);
std::string settings_markdown(); // the table of README.md

} // namespace margay::config
