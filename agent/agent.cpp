// SPDX-License-Identifier: Apache-2.0
// Start and news; agent_turn.cpp has what a turn does with them, by agent_apply, agent_paths and
// agent_node.
#include "agent/agent.h"

#include "agent/bgp_report.h"
#include "agent/kernel/sysctl.h"
#include "agent/report.h"
#include "agent/startup/datastore.h"

#include <algorithm>
#include <array>

namespace margay {

Agent::Agent(Executor& executor, Log log, const config::Config& config, std::string node)
    : executor_(executor), log_(std::move(log)), config_(config), settings_(config),
      node_(std::move(node)), links_(executor, [this](const auto& changes) { on_links(changes); }),
      resolver_(executor, [this](const auto& targets) { on_targets(targets); }),
      kernel_routes_(executor, route_callbacks<Prefix4>(resolver_, "kernel routes")),
      resolver6_(executor, [this](const auto& targets) { on_targets6(targets); }),
      kernel_routes6_(executor, route_callbacks<Prefix6>(resolver6_, "IPv6 kernel routes")),
      routes_([this](const Prefix4& prefix, const datapath::RouteWant* route) -> Status {
          if (route == nullptr) {
              datapath_->forget_route(prefix);
              return {};
          }
          const Status wanted = datapath_->want_route(prefix, *route);
          warn_if("route ", prefix, wanted);
          return wanted;
      }),
      intake_(executor, log_,
              {{},
               [this](const model::Update& update) { calc_.apply(update); },
               [this] { schedule_turn(); }}),
      calc_(node_, calc::SetIds{[this](const std::string& name) -> std::optional<policy::SetId> {
                                    const auto id = datapath_->claim_set(name);
                                    warn_once("address set " + name, id ? "" : id.error().what);
                                    return id ? std::optional(*id) : std::nullopt;
                                },
                                [this](const std::string& name) { datapath_->release_set(name); }}),
      remote_(
          [this](Ipv4 hop) {
              (void)resolver_.watch(hop);
              // A neighbour that the kernel knew already is no news that on_targets() would bring.
              use_neighbour(hop);
          },
          [this](Ipv4 hop) { resolver_.unwatch(hop); }),
      learned6_(kernel_of_learned()), turn_timer_(executor)
{
}

template <typename P>
typename kernel::RouteTableOf<P>::Callbacks
Agent::route_callbacks(kernel::ResolverOf<typename P::Address>& resolver, const char* topic)
{
    typename kernel::RouteTableOf<P>::Callbacks callbacks;
    callbacks.is_workload = [this](const std::string& name) { return is_workload(name); };
    callbacks.on_settled = [this] { schedule_turn(); };
    callbacks.on_report = [this](const kernel::RouteReportOf<P>& report) {
        log_->warn("kernel route: {}", report.text);
    };
    callbacks.on_change = [&resolver](const P& prefix) { resolver.on_route(prefix); };
    callbacks.on_missed = [&resolver] { resolver.on_overrun(); };
    callbacks.on_trouble = [this, topic](const std::string& text) { warn_once(topic, text); };
    return callbacks;
}

LearnedRoutes::Kernel Agent::kernel_of_learned()
{
    return {
        [this](Ipv6 hop) { (void)resolver6_.watch_way(hop); },
        [this](Ipv6 hop) { resolver6_.unwatch_way(hop); },
        [this](Ipv6 hop) { return resolver6_.find(hop); },
        [this](kernel::Route6 route) { kernel_routes6_.want(std::move(route)); },
        [this](const kernel::RouteKey6& key) { kernel_routes6_.unwant(key); },
    };
}

Agent::~Agent() = default;

Result<std::unique_ptr<Agent>> Agent::create(Executor& executor, Log log,
                                             const config::Config& config)
{
    auto node = startup::settle_node_name(config);
    if (!node)
        return node.error();
    std::unique_ptr<Agent> agent(new Agent(executor, std::move(log), config, *node));
    if (const auto started = agent->start(); !started)
        return started.error();
    return agent;
}

Status Agent::start()
{
    log_->info("margayd {} starts node={}", MARGAY_VERSION, node_);
    for (const auto step :
         {&Agent::start_servers, &Agent::start_kernel, &Agent::start_datapath, &Agent::start_store})
        if (auto done = (this->*step)(); !done)
            return done;
    return {};
}

Status Agent::start_servers()
{
    const Report report(*this);
    return servers_.start(
        executor_, log_, config_,
        {[report](const status::Request& request) { return report.answer(request); },
         [this] { return not_ready(); }, [report] { return report.metrics(); },
         [this] { return peering_.get(); },
         [this](const Prefix4& prefix) {
             const PlannedPath* path = remote_.plan_of(prefix);
             return path == nullptr ? std::string() : path->device;
         }});
}

Status Agent::start_kernel()
{
    auto socket = kernel::NetlinkSocket::open();
    if (!socket)
        return socket.error();
    netlink_.emplace(std::move(*socket));
    auto patterns = Pattern::compile_all(config_.uplinks);
    if (!patterns)
        return patterns.error();
    uplink_patterns_ = std::move(*patterns);
    auto firewall = kernel::Firewall::open();
    if (!firewall)
        return firewall.error();
    firewall_ = std::move(*firewall);
    if (auto guarded = start_firewall(); !guarded)
        return guarded;
    firewall_watch_ = std::make_unique<kernel::FirewallWatch>(executor_, [this] {
        const auto intact = firewall_->intact(); // our own changes are told, too
        if (intact && *intact)
            return;
        log_->warn("nftables table {} was changed by somebody else: installing it again",
                   kernel::kFirewallTable);
        install_firewall();
    });
    if (auto watching = firewall_watch_->start(); !watching)
        return watching;
    if (const auto set = kernel::apply_sysctls(kernel::global_sysctls()); !set)
        warn_once("sysctl", set.error().what);
    if (auto started = links_.start(); !started)
        return started;
    if (auto started = kernel_routes_.start(); !started)
        return started;
    if (auto started = kernel_routes6_.start(); !started)
        return started;
    if (auto started = resolver6_.start(); !started)
        return started;
    return resolver_.start();
}

// The guard of an earlier run goes on as it is, with the interfaces that it lets through: what we
// could install before the datastore has spoken would shut out every pod.
Status Agent::start_firewall()
{
    firewall_rules_dirty_ = true; // the first turn completes it
    const auto adopted = firewall_->adopt(firewall_config());
    if (!adopted)
        return adopted.error();
    if (*adopted) // what FelixConfiguration told that run holds until it is heard again
        settings_.interface_prefixes = firewall_->workload_prefixes();
    else
        install_firewall();
    return {};
}

Status Agent::start_datapath()
{
    datapath::Options options;
    options.programs.pin_root = config_.pin_root;
    options.programs.constants = mark_constants(config_.mark_mask);
    options.on_hooks_changed = [this] { schedule_turn(); };
    auto opened = datapath::Datapath::open(executor_, clock_, log_, options);
    if (!opened)
        return opened.error();
    datapath_ = std::move(*opened);
    adopted_ = !datapath_->status().hooks.empty();
    log_->info("data path {} pins={}", adopted_ ? "adopted from the last run" : "new",
               config_.pin_root);
    return {};
}

Status Agent::start_store()
{
    calc_.set_ipip_enabled(config_.ipip_enabled);
    auto kv = intake_.open(startup::store_config(config_));
    if (!kv)
        return kv.error();
    registration_ = std::make_unique<Registration>(
        executor_, log_, config_, node_, std::move(*kv),
        [this](const startup::NodeState& state) { on_registered(state); });
    peering_ = std::make_unique<Peering>(
        executor_, log_, config_, node_, adopted_, resolver_, resolver6_,
        Peering::Callbacks{
            [this](std::span<const bgp::RouteChange> changes) { on_bgp_routes(changes); },
            [this] { on_bgp_settled(); },
            [this] {
                join_.begin_relearning();
                learned6_.begin_relearning();
            },
            [this](const bgp::PeerStatus& peer) { servers_.bgp_monitor().on_peer(peer); },
            [this](std::span<const bgp::RouteChange6> changes) { on_bgp_routes6(changes); }});
    registration_->begin(links_.table());
    intake_.start();
    return {};
}

void Agent::stop()
{
    if (peering_)
        peering_->shutdown(bgp::Speaker::Goodbye::Restart);
    intake_.stop();
    servers_.stop();
}

// --- News ----------------------------------------------------------------------------------------

void Agent::on_links(const std::vector<kernel::LinkChange>& changes)
{
    using What = kernel::LinkChange::What;
    for (const kernel::LinkChange& change : changes) {
        const kernel::Link& link = change.link;
        const bool workload = is_workload(link.name);
        if (change.what == What::Vanished) {
            datapath_->device_gone(link.ifindex);
            uplinks_.erase(link.ifindex);
            check_rp_filter(link.name, false);
        }
        peering_addresses_due_ |= workload;
        if (workload && change.what != What::AddressesChanged) {
            if (change.what != What::Vanished)
                adopt_workload(link);
            else
                want_endpoint(link.name);
        }
    }
    if (std::ranges::all_of(changes, [this](const auto& c) { return is_workload(c.link.name); })) {
        schedule_turn();
        return;
    }
    want_host_addresses();
    uplinks_due_ = true;
    remote_.set_all_due(); // MTU or MAC of an uplink may have changed
    ensure_tunnel_device();
    if (peering_)
        want_peer_routes();
    if (registration_)
        registration_->look_again();
    schedule_turn();
}

void Agent::on_targets(const std::vector<Ipv4>& targets)
{
    if (peering_)
        peering_->on_targets(targets);
    remote_.set_due(targets);
    for (const Ipv4 target : targets)
        use_neighbour(target);
    schedule_turn();
}

void Agent::on_targets6(const std::vector<Ipv6>& targets)
{
    if (peering_)
        peering_->on_targets(targets);
    learned6_.set_due(targets);
    schedule_turn();
}

// What the resolver knows of the way's first hop, for the fast path.
void Agent::use_neighbour(Ipv4 target)
{
    const kernel::Target* found = resolver_.find(target);
    if (found == nullptr || !found->path)
        return;
    const bool known = found->neighbour.state == kernel::Neighbour::State::Resolved;
    datapath_->set_neighbour(found->path->ifindex, found->path->next_hop(target),
                             known ? std::optional(found->neighbour.mac) : std::nullopt);
}

void Agent::on_bgp_routes(std::span<const bgp::RouteChange> changes)
{
    servers_.bgp_monitor().on_routes(changes);
    for (const bgp::RouteChange& change : changes) {
        std::vector<Ipv4> hops;
        for (const bgp::NextHop& hop : change.best)
            if (hop.gateway.is_v4()) // the data path has no IPv6 next hops yet
                hops.push_back(hop.gateway.v4());
        join_.set_learned(change.prefix, std::move(hops), change.local_pref);
    }
    // In the same turn of the event loop in which the UPDATE was parsed. Not a whole turn(): that
    // may change the speaker, which is calling us.
    if (!intake_.synced())
        return;
    apply_paths();
    flush();
}

void Agent::on_bgp_routes6(std::span<const bgp::RouteChange6> changes)
{
    servers_.bgp_monitor().on_routes6(changes);
    learned6_.learn(changes);
    if (!intake_.synced())
        return;
    apply_paths(); // as for IPv4
    flush();
}

void Agent::on_bgp_settled()
{
    log_->info("BGP has settled: every peer has told its routes, or cannot");
    set_bgp_settled();
    schedule_turn();
}

void Agent::set_bgp_settled()
{
    join_.set_bgp_settled();
    learned6_.set_settled();
}

void Agent::on_registered(const startup::NodeState& state)
{
    if (!own_node_held_ && own_node_.tunnel_address && !state.tunnel_address)
        take_own_node(); // given up, and held no longer
    const bool news =
        state.address != own_node_.address || state.tunnel_address != own_node_.tunnel_address;
    if (state.address && news)
        log_->info("registered node={} address={} tunnel={} chosen: {}", node_,
                   state.address->str(),
                   state.tunnel_address ? state.tunnel_address->str() : "none",
                   registration_->detection());
    schedule_turn();
}

void Agent::adopt_workload(const kernel::Link& link)
{
    if (const auto set = kernel::apply_sysctls(kernel::workload_sysctls(link.name)); !set)
        log_->warn("interface {}: {}", link.name, set.error().what);
    datapath_->want_workload_device(link.ifindex);
    want_endpoint(link.name);
}

bool has_prefix(std::string_view name, const std::vector<std::string>& prefixes)
{
    return std::ranges::any_of(
        prefixes, [name](const std::string& prefix) { return name.starts_with(prefix); });
}

bool Agent::is_workload(std::string_view name) const
{
    return has_prefix(name, settings_.interface_prefixes);
}

void Agent::warn_once(const std::string& topic, const std::string& text)
{
    if (text.empty()) {
        warnings_.erase(topic);
        return;
    }
    auto& known = warnings_[topic];
    if (known == text)
        return;
    known = text;
    log_->warn("{}: {}", topic, text);
}

void Agent::warn_if(const char* what, const Prefix4& prefix, const Status& status)
{
    if (!status)
        return warn_once(what + prefix.str(), status.error().what);
    if (!warnings_.empty()) // the usual case costs no text
        warnings_.erase(what + prefix.str());
}

struct constants mark_constants(std::uint32_t mask)
{
    struct constants out = {};
    out.mark_mask = mask;
    std::array<__u32*, 4> bits{&out.mark_seen, &out.mark_notrack, &out.mark_pending,
                               &out.mark_done};
    for (__u32* bit : bits) {
        *bit = mask & (~mask + 1);
        mask &= mask - 1;
    }
    return out;
}

} // namespace margay
