// SPDX-License-Identifier: Apache-2.0
#include "agent/reflector.h"

#include "agent/bgp_report.h"
#include "agent/common_report.h"
#include "agent/config/config.h"
#include "agent/model/key.h"
#include "agent/startup/datastore.h"

#include <boost/json.hpp>

#include <filesystem>
#include <fstream>

namespace margay {
namespace {

// The rest of the datastore is not looked at: it may be a hundred thousand pods.
bool concerns_bgp(std::string_view path)
{
    const auto key = model::parse_key(path);
    if (!key)
        return false;
    switch (key->kind) {
    case model::Kind::Node:
    case model::Kind::IpPool:
    case model::Kind::BgpConfiguration:
    case model::Kind::BgpPeer:
    case model::Kind::BgpFilter:
    case model::Kind::BlockAffinity:
        return true;
    default:
        return false;
    }
}

template <typename T>
const T* value_of(const model::Update& update)
{
    return std::get_if<T>(&update.value); // nullptr: it is gone
}

} // namespace

Reflector::Reflector(Executor& executor, Log log, const config::Config& config, std::string node)
    : log_(std::move(log)), executor_(executor), config_(config), node_(std::move(node)),
      links_(executor,
             [this](const auto&) {
                 if (registration_)
                     registration_->look_again();
             }),
      resolver_(
          executor, [this](const auto& targets) { peering_->on_targets(targets); },
          kernel::Resolver::HearsRoutes::ByItself),
      resolver6_(
          executor, [this](const auto& targets) { peering_->on_targets(targets); },
          kernel::Resolver6::HearsRoutes::ByItself),
      intake_(executor, log_,
              {concerns_bgp, [this](const model::Update& update) { apply(update); },
               [this] { turn(); }}),
      calc_(node_)
{
}

Result<std::unique_ptr<Reflector>> Reflector::create(Executor& executor, Log log,
                                                     const config::Config& config)
{
    auto node = startup::settle_node_name(config);
    if (!node)
        return node.error();
    std::unique_ptr<Reflector> reflector(new Reflector(executor, std::move(log), config, *node));
    if (const auto started = reflector->start(); !started)
        return started.error();
    return reflector;
}

Status Reflector::start()
{
    log_->info("margayd {} starts as route reflector node={}", MARGAY_VERSION, node_);
    if (auto started = start_servers(); !started)
        return started;
    if (auto started = links_.start(); !started)
        return started;
    if (auto started = resolver_.start(); !started)
        return started;
    if (auto started = resolver6_.start(); !started)
        return started;
    return start_store();
}

Status Reflector::start_servers()
{
    return servers_.start(
        executor_, log_, config_,
        {[this](const status::Request& request) { return answer(request); },
         [this] { return not_ready(); }, [this] { return metrics(); },
         [this] { return peering_.get(); },
         [](const Prefix4&) { return std::string(); }}); // no route of its leads anywhere
}

// The mark of an earlier run says that peers may still have what it told them: they are then asked to
// keep it until we have heard everybody (RFC 4724 4.1). It lies where a reboot clears it.
Status Reflector::start_store()
{
    auto kv = intake_.open(startup::store_config(config_));
    if (!kv)
        return kv.error();
    registration_ = std::make_unique<Registration>(executor_, log_, config_, node_, std::move(*kv),
                                                   [](const startup::NodeState&) {});
    std::error_code ignored;
    peering_ = std::make_unique<Peering>(
        executor_, log_, config_, node_, std::filesystem::exists(config_.reflector_mark(), ignored),
        resolver_, resolver6_,
        Peering::Callbacks{
            [this](std::span<const bgp::RouteChange> changes) {
                servers_.bgp_monitor().on_routes(changes);
            },
            [this] {
                log_->info("BGP has settled");
                std::ofstream(config_.reflector_mark()).flush();
            },
            [] {}, [this](const bgp::PeerStatus& peer) { servers_.bgp_monitor().on_peer(peer); },
            [this](std::span<const bgp::RouteChange6> changes) {
                servers_.bgp_monitor().on_routes6(changes);
            }});
    registration_->begin(links_.table());
    intake_.start();
    return {};
}

void Reflector::stop()
{
    if (peering_)
        peering_->shutdown(bgp::Speaker::Goodbye::Restart);
    intake_.stop();
    servers_.stop();
}

// ---- News --------------------------------------------------------------------------------------

void Reflector::apply(const model::Update& update)
{
    const std::string& name = update.key.name;
    switch (update.key.kind) {
    case model::Kind::Node:
        return apply_node(name, value_of<model::Node>(update));
    case model::Kind::IpPool:
        return calc_.set_pool(name, value_of<model::IpPool>(update));
    case model::Kind::BgpConfiguration:
        return calc_.set_configuration(name, value_of<model::BgpConfiguration>(update));
    case model::Kind::BgpPeer:
        return calc_.set_peer(name, value_of<model::BgpPeer>(update));
    case model::Kind::BgpFilter:
        return calc_.set_filter(name, value_of<model::BgpFilter>(update));
    case model::Kind::BlockAffinity:
        return calc_.set_affinity(update.key, value_of<model::BlockAffinity>(update));
    default:
        return;
    }
}

// While the own Node is away it is being written again, and the sessions go on.
void Reflector::apply_node(const std::string& name, const model::Node* node)
{
    calc_.set_node(name, node);
    if (name != node_)
        return;
    Registration::Seen seen;
    seen.present = node != nullptr;
    if (node) {
        seen.address = node->ipv4_address;
        seen.tunnel_address = node->ipip_tunnel_address;
    }
    in_a_cluster_ = node && !node->route_reflector_cluster_id.empty();
    registration_->check(seen);
    was_registered_ |= seen.present;
    peering_->hold(was_registered_ && !seen.present);
}

void Reflector::turn()
{
    if (!calc_.dirty())
        return;
    model::Changes changes;
    calc_.take_changes(changes);
    peering_->apply(changes);
}

// ---- What it tells -----------------------------------------------------------------------------

Result<std::string> Reflector::answer(const status::Request& request) const
{
    namespace json = boost::json;
    if (request.command == "status")
        return json::serialize(status());
    if (request.command == "bgp-peers")
        return json::serialize(bgp_peers_report(peering_.get()));
    if (auto answer = bgp_answer(peering_.get(), request))
        return std::move(*answer);
    if (request.command == "config")
        return config::print_json(config_);
    return Error{Errc::Invalid, 0,
                 "this margayd is a route reflector and has no '" + request.command + "'"};
}

boost::json::object Reflector::status() const
{
    namespace json = boost::json;
    json::object out = status_head(config_, node_, servers_, not_ready());
    const auto address = registration_ ? registration_->state().address : std::nullopt;
    out["address"] = address ? json::value(address->str()) : json::value();
    out["address_why"] = registration_ ? registration_->detection() : "";
    out["store"] = store_report(config_, intake_);
    out["peers"] = bgp_peer_rows(peering_.get());
    out["problems"] = problems_report(intake_);
    out["warnings"] = warning_rows(warnings(), config_);
    return out;
}

std::vector<std::string> Reflector::warnings() const
{
    auto warnings = bgp_warnings(peering_.get());
    if (was_registered_ && !in_a_cluster_)
        warnings.push_back(
            "this node reflects for nobody: its Node has no routeReflectorClusterID, "
            "and route-reflector-cluster-id is not set");
    return warnings;
}

std::string Reflector::metrics() const
{
    status::MetricsText text;
    add_common_metrics(text, not_ready().empty(), loop_, intake_, problems_report(intake_),
                       peering_.get());
    return text.str();
}

std::vector<std::string> Reflector::not_ready() const
{
    return datastore_not_ready(registration_.get(), intake_);
}

} // namespace margay
