// SPDX-License-Identifier: Apache-2.0
// The table: to add a setting, add its row here and its field in config.h.
#include "agent/config/parse.h"

#include "agent/model/selector.h"

#include <array>

namespace margay::config {
namespace {

// Stores a parsed value; every row's parser ends here.
template <typename T, typename Field>
bool store(std::optional<T> value, Field& field)
{
    if (value)
        field = std::move(*value);
    return value.has_value();
}

bool store_text(std::string_view text, std::string& field)
{
    field = text;
    return true;
}

bool store_path(std::string_view text, std::string& field)
{
    field = text;
    return text.empty() || text.starts_with('/');
}

bool parse_datastore(std::string_view text, Config& c)
{
    const std::string word = lower(text);
    if (word == "etcdv3")
        c.datastore_given = Datastore::Etcd;
    else if (word == "file")
        c.datastore_given = Datastore::File;
    return text.empty() || c.datastore_given.has_value();
}

bool parse_endpoints(std::string_view text, Config& c)
{
    c.etcd_endpoints = split(text, ',');
    for (const std::string& url : c.etcd_endpoints)
        if (!is_etcd_url(url))
            return false;
    return true;
}

bool parse_router_id(std::string_view text, Config& c)
{
    c.router_id = text;
    const auto address = Ipv4::parse(text);
    return text.empty() || text == "hash" || (address && !address->is_zero());
}

bool parse_no_vxlan(std::string_view text, Config&)
{
    return parse_ipip_mode(text) == IpipMode::Never;
}

bool parse_interface_prefixes(std::string_view text, Config& c)
{
    c.interface_prefixes = split(text, ',');
    for (const std::string& prefix : c.interface_prefixes)
        if (!is_interface_prefix(prefix))
            return false;
    return !c.interface_prefixes.empty();
}

bool parse_uplinks(std::string_view text, Config& c)
{
    if (text == "auto")
        return true;
    c.uplinks = split(text, ',');
    return is_regex_list(text);
}

bool parse_xdp(std::string_view text, Config& c)
{
    for (const XdpMode mode : {XdpMode::Auto, XdpMode::Native, XdpMode::Generic, XdpMode::Off}) {
        if (lower(text) == to_string(mode)) {
            c.xdp = mode;
            return true;
        }
    }
    return false;
}

bool parse_ipip_enabled(std::string_view text, Config& c)
{
    if (text.empty())
        return true;
    c.ipip_enabled = parse_bool(text);
    return c.ipip_enabled.has_value();
}

bool parse_mtu(std::string_view text, Config& c)
{
    return read_number(text, 0, 65535, c.ipip_mtu) && (c.ipip_mtu == 0 || c.ipip_mtu >= 576);
}

bool parse_endpoint_to_host(std::string_view text, Config& c)
{
    const std::string word = lower(text);
    c.endpoint_to_host = word == "accept"   ? EndpointToHost::Accept
                         : word == "return" ? EndpointToHost::Return
                                            : EndpointToHost::Drop;
    return word == "drop" || word == "return" || word == "accept";
}

bool parse_cluster_id(std::string_view text, Config& c)
{
    c.cluster_id = Ipv4::parse(text);
    return text.empty() || (c.cluster_id && !c.cluster_id->is_zero());
}

bool parse_role(std::string_view text, Config& c)
{
    for (const Role role : {Role::Node, Role::RouteReflector})
        if (lower(text) == to_string(role)) {
            c.role = role;
            return true;
        }
    return false;
}

constexpr std::string_view kBool = "true, false";
constexpr std::string_view kPath = "an absolute path";
constexpr std::string_view kFailsafeAllowed =
    "none, or a comma list of protocol:[net:]port with tcp, udp or sctp and an IPv4 net";

constexpr Setting kSettings[] = {
    {"datastore-type", "CALICO_DATASTORE_TYPE DATASTORE_TYPE FELIX_DATASTORETYPE", "",
     "etcdv3, file", "kind of datastore; unset: etcdv3 if endpoints are given, else file",
     parse_datastore},
    {"etcd-endpoints", "CALICO_ETCD_ENDPOINTS ETCD_ENDPOINTS FELIX_ETCDENDPOINTS", "",
     "a comma list of http://host:port or https://host:port", "etcd servers", parse_endpoints},
    {"etcd-username", "CALICO_ETCD_USERNAME ETCD_USERNAME", "", "a name, with etcd-password",
     "etcd user", [](std::string_view t, Config& c) { return store_text(t, c.etcd_username); }},
    {"etcd-password", "CALICO_ETCD_PASSWORD ETCD_PASSWORD", "", "any text, with etcd-username",
     "password of the etcd user",
     [](std::string_view t, Config& c) { return store_text(t, c.etcd_password); }, true},
    {"etcd-ca-cert-file", "CALICO_ETCD_CA_CERT_FILE ETCD_CA_CERT_FILE FELIX_ETCDCAFILE", "", kPath,
     "PEM file of the CA that signed the etcd servers",
     [](std::string_view t, Config& c) { return store_path(t, c.etcd_ca_file); }},
    {"etcd-cert-file", "CALICO_ETCD_CERT_FILE ETCD_CERT_FILE FELIX_ETCDCERTFILE", "", kPath,
     "PEM file of the client certificate",
     [](std::string_view t, Config& c) { return store_path(t, c.etcd_cert_file); }},
    {"etcd-key-file", "CALICO_ETCD_KEY_FILE ETCD_KEY_FILE FELIX_ETCDKEYFILE", "", kPath,
     "PEM file of the client key",
     [](std::string_view t, Config& c) { return store_path(t, c.etcd_key_file); }},
    {"file-store", "MARGAY_FILE_STORE", "/var/lib/margay/store", kPath,
     "folder of YAML manifests for datastore type file",
     [](std::string_view t, Config& c) { return store_path(t, c.file_store); }},
    {"wait-for-datastore", "WAIT_FOR_DATASTORE", "false", kBool,
     "accepted; margayd always waits for the datastore",
     [](std::string_view t, Config& c) { return store(parse_bool(t), c.wait_for_datastore); }},

    {"nodename", "NODENAME FELIX_FELIXHOSTNAME", "", "1 to 253 letters, digits, '-', '.' and '_'",
     "name of this node; unset: the nodename file, HOSTNAME, the host name",
     [](std::string_view t, Config& c) {
         return store_text(t, c.nodename) && (t.empty() || is_node_name(t));
     }},
    {"nodename-file", "CALICO_NODENAME_FILE", "/var/lib/calico/nodename", kPath,
     "where the node's name is kept",
     [](std::string_view t, Config& c) { return store_path(t, c.nodename_file); }},
    {"ip", "IP", "", "autodetect, none, an IPv4 address or address/length",
     "address of this node; unset: the stored one, else autodetect",
     [](std::string_view t, Config& c) { return store(parse_node_ip(t), c.ip); }},
    {"ip-autodetection-method", "IP_AUTODETECTION_METHOD", "first-found",
     "first-found, interface=<regex>[,...], skip-interface=<regex>[,...], can-reach=<ip or name>, "
     "cidr=<cidr>[,...]",
     "how the node's address is found",
     [](std::string_view t, Config& c) {
         return store_text(t, c.ip_autodetection_method) && is_autodetection_method(t);
     }},
    {"disable-node-ip-check", "DISABLE_NODE_IP_CHECK", "false", kBool,
     "start although another node has the same address",
     [](std::string_view t, Config& c) { return store(parse_bool(t), c.disable_node_ip_check); }},
    {"as", "AS", "", "1 to 4294967295, or high.low", "AS number of this node",
     [](std::string_view t, Config& c) { return t.empty() || store(parse_as(t), c.as_number); }},
    {"router-id", "CALICO_ROUTER_ID", "", "hash, or an IPv4 address",
     "BGP identifier; unset: the node's address", parse_router_id},
    {"cluster-type", "CLUSTER_TYPE", "", "a comma list of words", "merged into ClusterInformation",
     [](std::string_view t, Config& c) { return store_text(t, c.cluster_type); }},
    {"k8s-node-ref", "CALICO_K8S_NODE_REF", "", "a Kubernetes node name",
     "written to the Node's orchRefs",
     [](std::string_view t, Config& c) { return store_text(t, c.k8s_node_ref); }},

    {"no-default-pools", "NO_DEFAULT_POOLS", "false", kBool, "create no address pool",
     [](std::string_view t, Config& c) { return store(parse_bool(t), c.no_default_pools); }},
    {"ipv4pool-cidr", "CALICO_IPV4POOL_CIDR", "", "none, or an IPv4 cidr with its length",
     "the default pool; unset: 192.168.0.0/16, or the first of 172.16.0.0/16 to 172.31.0.0/16 "
     "that holds no address of this host",
     [](std::string_view t, Config& c) { return store(parse_pool_cidr(t), c.pool_cidr); }},
    {"ipv4pool-ipip", "CALICO_IPV4POOL_IPIP", "Never", "Off, Never, Always, CrossSubnet",
     "IPIP mode of the default pool",
     [](std::string_view t, Config& c) { return store(parse_ipip_mode(t), c.pool_ipip); }},
    {"ipv4pool-vxlan", "CALICO_IPV4POOL_VXLAN", "Never", "Off, Never (Margay has no VXLAN)",
     "VXLAN mode of the default pool", parse_no_vxlan},
    {"ipv4pool-block-size", "CALICO_IPV4POOL_BLOCK_SIZE", "26", "20 to 32",
     "prefix length of the default pool's blocks",
     [](std::string_view t, Config& c) { return read_number(t, 20, 32, c.pool_block_size); }},
    {"ipv4pool-node-selector", "CALICO_IPV4POOL_NODE_SELECTOR", "all()", "a selector",
     "nodes that use the default pool",
     [](std::string_view t, Config& c) {
         return store_text(t, c.pool_node_selector) && model::Selector::parse(t).has_value();
     }},
    {"ipv4pool-nat-outgoing", "CALICO_IPV4POOL_NAT_OUTGOING", "true", kBool,
     "masquerade traffic that leaves the default pool",
     [](std::string_view t, Config& c) { return store(parse_bool(t), c.pool_nat_outgoing); }},
    {"ipv4pool-disable-bgp-export", "CALICO_IPV4POOL_DISABLE_BGP_EXPORT", "false", kBool,
     "do not announce the default pool",
     [](std::string_view t, Config& c) { return store(parse_bool(t), c.pool_disable_bgp_export); }},

    {"interface-prefix", "FELIX_INTERFACEPREFIX", "cali",
     "a comma list of prefixes, each shorter than 15 characters",
     "how the host side of workload interfaces is named", parse_interface_prefixes},
    {"uplinks", "MARGAY_UPLINKS", "auto", "auto, or a comma list of regular expressions",
     "interfaces to other nodes, never a workload's, loopback or tunl0; auto: those with an IPv4 "
     "address and those that paths to other nodes use",
     parse_uplinks},
    {"xdp", "MARGAY_XDP", "auto", "auto, native, generic, off", "decapsulation in XDP", parse_xdp},
    {"mark-mask", "MARGAY_MARK_MASK", "0x00000f00",
     "at least 4 adjacent bits in hex, none of 0xffffc000 (Calico's and kube-proxy's)",
     "packet mark bits that Margay may use",
     [](std::string_view t, Config& c) { return store(parse_mark_mask(t), c.mark_mask); }},
    {"flow-budget", "MARGAY_FLOW_BUDGET", "131072", "0 to 262144",
     "flows that one workload may hold of the table's 262144, further ones are judged packet by "
     "packet; 0: no limit",
     [](std::string_view t, Config& c) {
         return read_number(t, 0, Config::kMaxFlowBudget, c.flow_budget);
     }},
    {"ipip-enabled", "FELIX_IPINIPENABLED", "", kBool,
     "false: no IPIP whatever the pools say; unset: as the pools say", parse_ipip_enabled},
    {"ipip-mtu", "FELIX_IPINIPMTU", "0", "0, or 576 to 65535",
     "MTU inside the tunnel; 0: the uplink's minus 20", parse_mtu},
    {"allow-ipip-from-workloads", "FELIX_ALLOWIPIPPACKETSFROMWORKLOADS", "false", kBool,
     "let workloads send IPIP themselves",
     [](std::string_view t, Config& c) {
         return store(parse_bool(t), c.allow_ipip_from_workloads);
     }},
    {"allow-vxlan-from-workloads", "FELIX_ALLOWVXLANPACKETSFROMWORKLOADS", "false", kBool,
     "let workloads send VXLAN themselves",
     [](std::string_view t, Config& c) {
         return store(parse_bool(t), c.allow_vxlan_from_workloads);
     }},
    {"endpoint-to-host-action", "FELIX_DEFAULTENDPOINTTOHOSTACTION", "Drop", "Drop, Return, Accept",
     "what becomes of traffic of workloads to this host that their policies allow",
     parse_endpoint_to_host},
    {"workload-route-metric", "FELIX_IPV4NORMALROUTEPRIORITY", "1024", "1 to 2147483647",
     "metric of the routes to local workloads",
     [](std::string_view t, Config& c) {
         return read_number(t, 1, 0x7fffffff, c.workload_route_metric);
     }},
    {"external-nodes", "FELIX_EXTERNALNODESCIDRLIST", "", "a comma list of IPv4 cidrs",
     "senders of IPIP beside the nodes",
     [](std::string_view t, Config& c) { return store(parse_prefixes(t), c.external_nodes); }},
    {"failsafe-inbound", "FELIX_FAILSAFEINBOUNDHOSTPORTS",
     "tcp:22,udp:68,tcp:179,tcp:2379,tcp:2380,tcp:5473,tcp:6443,tcp:6666,tcp:6667",
     kFailsafeAllowed, "ports of this host that no host policy shall close (there are none yet)",
     [](std::string_view t, Config& c) { return store(parse_failsafe(t), c.failsafe_inbound); }},
    {"failsafe-outbound", "FELIX_FAILSAFEOUTBOUNDHOSTPORTS",
     "udp:53,udp:67,tcp:179,tcp:2379,tcp:2380,tcp:5473,tcp:6443,tcp:6666,tcp:6667",
     kFailsafeAllowed, "ports that this host shall always reach",
     [](std::string_view t, Config& c) { return store(parse_failsafe(t), c.failsafe_outbound); }},

    {"bgp-port", "MARGAY_BGP_PORT", "0", "0 to 65535",
     "port BGP listens on; 0: as BGPConfiguration says, else 179",
     [](std::string_view t, Config& c) { return read_number(t, 0, 65535, c.bgp_port); }},
    {"bgp-hold-time", "MARGAY_BGP_HOLD_TIME", "240", "3 to 65535",
     "seconds without a message after which a BGP peer is lost",
     [](std::string_view t, Config& c) { // RFC 4271 4.2
         return read_number(t, 3, 65535, c.bgp_hold_time);
     }},
    {"bfd", "MARGAY_BFD", "false", kBool,
     "a BFD session beside each BGP session, which ends with it (RFC 5882); the peers must have "
     "it, too",
     [](std::string_view t, Config& c) { return store(parse_bool(t), c.bfd); }},
    {"bfd-interval", "MARGAY_BFD_INTERVAL", "300", "10 to 60000",
     "milliseconds between BFD packets, both ways",
     [](std::string_view t, Config& c) { return read_number(t, 10, 60000, c.bfd_interval); }},
    {"bfd-multiplier", "MARGAY_BFD_MULTIPLIER", "3", "1 to 255",
     "BFD packets in a row that are lost before the peer is",
     [](std::string_view t, Config& c) { return read_number(t, 1, 255, c.bfd_multiplier); }},
    {"route-reflector-cluster-id", "MARGAY_ROUTE_REFLECTOR_CLUSTER_ID", "", "an IPv4 address",
     "makes this node a route reflector of that cluster: written to its Node; unset: as the Node "
     "says",
     parse_cluster_id},
    {"bgp-password-folder", "MARGAY_BGP_PASSWORD_FOLDER", "", kPath,
     "folder with the Secrets that BGPPeers name, as Kubernetes mounts them: SECRET/KEY; unset: "
     "sessions with a password do not start",
     [](std::string_view t, Config& c) { return store_path(t, c.bgp_password_folder); }},
    {"bgp-listen-range", "MARGAY_BGP_LISTEN_RANGE", "",
     "a comma list of PREFIX as=AS[+AS...] with, for each, any of: client, limit=N (1 to 10000; "
     "100), max-prefixes=N, password=SECRET/KEY, ttl-security=HOPS, filters=NAME[+NAME...]; AS is "
     "a number, or internal or external (then not client); no prefix twice",
     "from where BGP neighbours may come that no BGPPeer names; of several ranges the most "
     "specific counts",
     [](std::string_view t, Config& c) {
         return store(parse_listen_ranges(t), c.bgp_listen_ranges);
     }},
    {"bgp-listen-limit", "MARGAY_BGP_LISTEN_LIMIT", "1000", "1 to 10000",
     "neighbours of all listen ranges at a time",
     [](std::string_view t, Config& c) {
         return read_number(t, 1, Config::kMostListenPeers, c.bgp_listen_limit);
     }},
    {"bgp-max-prefixes", "MARGAY_BGP_MAX_PREFIXES", "0", "0 to 4294967295",
     "prefixes that a peer of the mesh or of a BGPPeer may tell; with more its session ends; 0: "
     "any number",
     [](std::string_view t, Config& c) {
         return read_number(t, 0, 0xffffffff, c.bgp_max_prefixes);
     }},
    {"bird-socket", "MARGAY_BIRD_SOCKET", "/var/run/calico/bird.ctl", "off, or an absolute path",
     "where margayd answers as BIRD does, for calicoctl node status; it also has processes named "
     "bird and calico-felix then; with IPv6 peers bird6.ctl and bird6 as well",
     [](std::string_view t, Config& c) {
         return store_path(t == "off" ? std::string_view() : t, c.bird_socket);
     }},

    {"role", "MARGAY_ROLE", "node", "node, route-reflector",
     "route-reflector: BGP alone, for a machine without pods", parse_role},
    {"pin-root", "MARGAY_PIN_ROOT", "/sys/fs/bpf/margay", kPath,
     "folder on a bpffs for pinned maps and programs",
     [](std::string_view t, Config& c) { return store_path(t, c.pin_root); }},
    {"run-dir", "MARGAY_RUN_DIR", "/var/run/margay", kPath,
     "folder of the control socket (control.sock)",
     [](std::string_view t, Config& c) { return store_path(t, c.run_dir); }},
    {"http-listen", "MARGAY_HTTP_LISTEN", "127.0.0.1:9099", "off, or address:port",
     "where /metrics, /healthz and /readyz are served",
     [](std::string_view t, Config& c) { return store(parse_listen(t), c.http); }},
    {"log-severity", "FELIX_LOGSEVERITYSCREEN", "info",
     "trace, debug, info, warning, error, fatal, none", "what is logged",
     [](std::string_view t, Config& c) { return store(parse_log_level(t), c.log_level); }},
};

} // namespace

std::span<const Setting> settings()
{
    return kSettings;
}

std::string flag(const Setting& setting)
{
    return "--" + std::string(setting.name);
}

std::string yaml_key(const Setting& setting)
{
    std::string key;
    bool word_begins = false;
    for (const char c : setting.name) {
        if (c == '-') {
            word_begins = true;
            continue;
        }
        key += word_begins && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
        word_begins = false;
    }
    return key;
}

std::string_view to_string(Role role)
{
    return role == Role::RouteReflector ? "route-reflector" : "node";
}

std::string_view to_string(Datastore store)
{
    return store == Datastore::Etcd ? "etcdv3" : "file";
}

std::string_view to_string(IpipMode mode)
{
    constexpr std::array<std::string_view, 3> names{"Never", "Always", "CrossSubnet"};
    return names[static_cast<std::size_t>(mode)];
}

std::string_view to_string(XdpMode mode)
{
    constexpr std::array<std::string_view, 4> names{"auto", "native", "generic", "off"};
    return names[static_cast<std::size_t>(mode)];
}

std::string_view to_string(LogLevel level)
{
    constexpr std::array<std::string_view, 7> names{"trace", "debug",    "info", "warning",
                                                    "error", "critical", "off"};
    return names[static_cast<std::size_t>(level)];
}

std::string_view to_string(Source source)
{
    constexpr std::array<std::string_view, 5> names{"default", "datastore", "file", "environment",
                                                    "flag"};
    return names[static_cast<std::size_t>(source)];
}

} // namespace margay::config
