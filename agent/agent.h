// SPDX-License-Identifier: Apache-2.0
// Agent: margayd's parts, put together. The only file that sees all of them.
//
// News comes in by callbacks (datastore, kernel, BGP), is applied to the pure parts at once, and
// leaves in one turn for the whole burst: turn() hands what calc and routing want to data path,
// kernel, firewall and BGP, then flushes with a budget, and comes again while something is left.
// Nothing is flushed before the first snapshot is complete, and nothing that an earlier run left
// is removed before that. See agent/README.md.

#pragma once

#include "agent/calc/inventory.h"
#include "agent/config/config.h"
#include "agent/datapath/datapath.h"
#include "agent/felix.h"
#include "agent/intake.h"
#include "agent/kernel/links.h"
#include "agent/kernel/nftables.h"
#include "agent/kernel/resolve.h"
#include "agent/kernel/routes.h"
#include "agent/learned_routes.h"
#include "agent/paths.h"
#include "agent/peering.h"
#include "agent/registration.h"
#include "agent/remote_paths.h"
#include "agent/route_claims.h"
#include "agent/routing/join.h"
#include "agent/servers.h"
#include "margay/loop.h"
#include "margay/pattern.h"

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>

namespace margay {

class Agent {
public:
    static Result<std::unique_ptr<Agent>> create(Executor& executor, Log log,
                                                 const config::Config& config);
    ~Agent();
    Agent(const Agent&) = delete;
    Agent& operator=(const Agent&) = delete;

    // Ends sessions without a word to who keeps our routes meanwhile (RFC 4724); programs and guard stay.
    void stop();
    LoopStats& loop() { return loop_; } // of whoever runs the executor

private:
    friend class Report; // reads, never writes

    Agent(Executor& executor, Log log, const config::Config& config, std::string node);

    // Start, in this order: the guard before anything can be forwarded, the data path as the last
    // run left it, then the sources of news.
    Status start();
    Status start_kernel();
    template <typename P>
    typename kernel::RouteTableOf<P>::Callbacks
    route_callbacks(kernel::ResolverOf<typename P::Address>& resolver, const char* topic);
    LearnedRoutes::Kernel kernel_of_learned();
    Status start_datapath();
    Status start_store();
    Status start_servers();

    // News.
    void on_links(const std::vector<kernel::LinkChange>& changes);
    void on_targets(const std::vector<Ipv4>& targets);
    void on_targets6(const std::vector<Ipv6>& targets);
    void use_neighbour(Ipv4 target);
    void on_bgp_routes(std::span<const bgp::RouteChange> changes);
    void on_bgp_routes6(std::span<const bgp::RouteChange6> changes);
    void on_bgp_settled();
    void set_bgp_settled();
    void on_registered(const startup::NodeState& state);

    // Turns.
    void schedule_turn(std::chrono::milliseconds delay = {});
    void turn();
    void apply(const model::Changes& changes);
    void apply_endpoints(const model::Changes& changes);
    void apply_routes(const model::Changes& changes);
    void apply_nodes(const model::Changes& changes);
    void apply_pools(const model::Changes& changes);
    void apply_own_node(const model::OwnNode& own);
    void take_own_node();
    void apply_felix(const model::FelixConfiguration& felix);
    void apply_bgp(const model::Changes& changes);
    void want_peer_routes();
    std::map<std::string, Ipv4> peering_addresses() const;
    void ensure_peering_addresses();
    void apply_interface_prefixes(const std::vector<std::string>& before);
    void apply_external_nodes();
    void apply_paths();
    void flush();

    // Pieces of wanted state.
    void want_endpoint(const std::string& interface);
    void want_local_route(const Prefix4& prefix, const model::WantedRoute& route);
    using Plans = std::unordered_map<const routing::Decision*, PlannedPathPtr>; // of one pass
    void plan(const Prefix4& prefix, Plans& plans);
    void want_kernel_route(const Prefix4& prefix, const PlannedPath* before,
                           const PlannedPath* planned);
    const kernel::Link* link_towards(Ipv4 gateway) const;
    bool is_announced(const Prefix4& prefix) const;
    void write_static_neighbours();
    void want_node(const Prefix4& source, bool external);
    void forget_node(const Prefix4& source);
    void retry_nodes();
    void want_nat_sets();
    void want_host_addresses();
    void set_datapath_config();
    void update_uplinks();
    void check_rp_filter(const std::string& device, bool is_uplink);
    Status start_firewall();
    kernel::FirewallConfig firewall_config() const;
    bool note_judged_devices();
    void install_firewall();
    void update_firewall();
    void ensure_tunnel_device();
    kernel::Route workload_route(const Prefix4& prefix, kernel::IfIndex ifindex) const;
    void adopt_workload(const kernel::Link& link);
    bool is_workload(std::string_view name) const;
    LocalFacts local_facts() const;
    bool wants_uplink(const kernel::Link& link) const;
    void warn_once(const std::string& topic, const std::string& text);
    void warn_if(const char* what, const Prefix4& prefix, const Status& status);

    std::vector<std::string> not_ready() const;

    Executor& executor_;
    Log log_;
    const config::Config config_; // what was given here
    config::Config settings_; // and what FelixConfiguration adds
    const std::string node_;
    SystemClock clock_;

    // The kernel.
    std::optional<kernel::NetlinkSocket> netlink_;
    std::unique_ptr<kernel::Firewall> firewall_;
    std::unique_ptr<kernel::FirewallWatch> firewall_watch_;
    kernel::LinkMonitor links_;
    kernel::Resolver resolver_;
    kernel::RouteTable kernel_routes_;
    kernel::Resolver6 resolver6_;
    kernel::RouteTable6 kernel_routes6_;
    kernel::FirewallSets firewall_sets_;
    bool firewall_dirty_ = false; // sets
    bool firewall_rules_dirty_ = false; // and rules

    // The data path.
    std::unique_ptr<datapath::Datapath> datapath_;
    bool adopted_ = false; // a previous run left its state in force
    std::vector<Pattern> uplink_patterns_; // config_.uplinks
    std::set<kernel::IfIndex> uplinks_;
    bool uplinks_due_ = true;
    RouteClaims routes_;

    // The datastore and what is made of it.
    Intake intake_;
    std::unique_ptr<Registration> registration_;
    calc::Inventory calc_;
    routing::Join join_;
    std::unique_ptr<Peering> peering_;
    bool stated_ = false; // all of the first snapshot has been handed on
    bool flushed_once_ = false; // and is in force
    bool routes_complete_ = false; // BGP has had its say as well

    // What is wanted now, kept to complete it when other news comes.
    std::map<std::string, model::WantedEndpoint> endpoints_; // by interface
    std::map<std::string, std::uint32_t> slots_; // of endpoints_ in the data path
    std::set<std::string> neighbours_due_; // endpoints whose ARP entry may be missing
    std::map<Prefix4, model::WantedRoute> local_routes_;
    std::map<Ipv4, model::WantedNode> nodes_;
    std::set<Prefix4> external_nodes_;
    std::map<Prefix4, bool> refused_nodes_; // no room in the data path; true: external
    std::map<Prefix4, model::WantedPool> pools_;
    RemotePaths remote_;
    LearnedRoutes learned6_;
    std::map<Prefix4, kernel::Route> peer_routes_; // to BGP peers with reachableBy
    std::set<Ipv4> host_addresses_;
    bool peering_addresses_due_ = true; // of the host, towards workloads that are BGP peers
    model::OwnNode own_node_; // as it is in force
    model::OwnNode told_own_node_; // as the datastore has it
    bool own_node_stated_ = false;
    bool own_node_held_ = false; // deleted, and what it was stays in force until it is back
    model::FelixConfiguration felix_;
    std::vector<std::string> refused_settings_; // of felix_
    std::map<std::string, std::string> warnings_; // by topic, what is wrong now

    Servers servers_;
    Timer turn_timer_;
    LoopStats loop_;
};

// Does the name begin with one of them?
bool has_prefix(std::string_view name, const std::vector<std::string>& prefixes);

// The four mark bits within the configured mask, lowest first.
struct constants mark_constants(std::uint32_t mask);

// `margayd --cleanup`: removes everything that Margay put on this host. Refuses while a margayd
// answers on the control socket.
Status cleanup_host(const config::Config& config,
                    const std::function<void(const std::string&)>& say);

} // namespace margay
