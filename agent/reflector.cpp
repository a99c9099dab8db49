// SPDX-License-Identifier: Apache-2.0
#include "agent/reflector.h"

#include "agent/bgp_report.h"
#include "agent/common_report.h"
#include "agent/config/config.h"
#include "agent/explain/bgp_metrics.h"
#include "agent/model/key.h"
#include "agent/startup/datastore.h"

#include <boost/json.hpp>

#include <filesystem>
#include <fstream>

namespace margay {
namespace {

// The rest of the datastore is not looked at: it may be a hundred thousand pods.
bool concerns_bgp(const model::ResourceKey& key)
{
    switch (key.kind) {
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
    return start_store();
}

Status Reflector::start_servers()
{
    auto control = status::ControlServer::create(
        executor_, log_, config_.control_socket(),
        [this](const status::Request& request) { return answer(request); },
        {{"bgp-monitor", &bgp_feed_}});
    if (!control)
        return control.error();
    control_ = std::move(*control);
    start_presence();
    if (config_.http.off())
        return {};
    auto http = status::HttpServer::create(
        executor_, log_, Ip::parse(config_.http.host).value_or(Ip()), config_.http.port,
        [this](const std::string& target) {
            return http_report(
                target, [this] { return not_ready(); }, [this] { return metrics(); });
        });
    if (!http)
        return http.error();
    http_ = std::move(*http);
    return {};
}

void Reflector::start_presence()
{
    if (config_.bird_socket.empty())
        return;
    explain::BirdFacts facts;
    facts.version = MARGAY_VERSION;
    facts.started = started_;
    facts.device = [](const Prefix4&) { return std::string(); }; // no route of its leads anywhere
    presence_ = std::make_unique<explain::Presence>(
        executor_, log_, bird_faces(config_, std::move(facts), [this] { return peering_.get(); }));
    presence_->start();
}

// The mark of an earlier run says that peers may still have what it told them: they are then asked to
// keep it until we have heard everybody (RFC 4724 4.1). It lies where a reboot clears it.
Status Reflector::start_store()
{
    const auto wanted = startup::store_config(config_);
    if (auto valid = store::validate(wanted); !valid)
        return valid;
    auto made = store::make_store(executor_, log_, wanted);
    if (!made)
        return made.error();
    store_ = std::move(*made);
    auto kv = store::make_kv(wanted);
    if (!kv)
        return kv.error();
    registration_ = std::make_unique<Registration>(executor_, log_, config_, node_, std::move(*kv),
                                                   [](const startup::NodeState&) {});
    std::error_code ignored;
    peering_ = std::make_unique<Peering>(
        executor_, log_, config_, node_, std::filesystem::exists(config_.reflector_mark(), ignored),
        Peering::Callbacks{
            [this](std::span<const bgp::RouteChange> changes) { bgp_monitor_.on_routes(changes); },
            [this] {
                log_->info("BGP has settled");
                std::ofstream(config_.reflector_mark()).flush();
            },
            [] {}, [this](const bgp::PeerStatus& peer) { bgp_monitor_.on_peer(peer); },
            [this](std::span<const bgp::RouteChange6> changes) {
                bgp_monitor_.on_routes6(changes);
            }});
    registration_->begin(links_.table());
    store_->start(store::Callbacks{
        [this](std::vector<store::Entry> entries, std::int64_t revision) {
            on_snapshot(std::move(entries), revision);
        },
        [this](std::vector<store::Change> changes) { on_changes(std::move(changes)); },
        [this](bool connected, const std::string& reason) {
            if (connected)
                log_->info("datastore connected endpoint={}", store_->status().endpoint);
            else
                log_->warn("datastore lost: {}", reason);
        },
        {}});
    return {};
}

void Reflector::stop()
{
    if (peering_)
        peering_->shutdown(bgp::Speaker::Goodbye::Restart);
    if (store_)
        store_->stop();
    presence_.reset();
    control_.reset();
    http_.reset();
}

// ---- News --------------------------------------------------------------------------------------

void Reflector::on_snapshot(std::vector<store::Entry> entries, std::int64_t revision)
{
    for (const store::Entry& entry : entries)
        admit(entry.key, entry.value);
    log_->info("datastore snapshot keys={} revision={}", entries.size(), revision);
    synced_ = true;
    report_issues();
    turn();
}

void Reflector::on_changes(std::vector<store::Change> changes)
{
    for (const store::Change& change : changes)
        admit(change.key,
              change.value ? std::optional<std::string_view>(*change.value) : std::nullopt);
    report_issues();
    turn();
}

void Reflector::admit(std::string_view path, std::optional<std::string_view> value)
{
    const auto key = model::parse_key(path);
    if (!key || !concerns_bgp(*key))
        return;
    if (const auto update = quarantine_.admit(path, value))
        apply(*update);
}

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

void Reflector::report_issues()
{
    for (const model::Issue& issue : quarantine_.take_news())
        log_->warn("datastore value {} key={} reason=\"{}\"", model::issue_kind_name(issue.kind),
                   issue.key, issue.reason);
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
    const auto texts = [](const std::vector<std::string>& list) {
        return json::array(list.begin(), list.end());
    };
    json::object out;
    const auto why = not_ready();
    out["node"] = node_;
    out["version"] = MARGAY_VERSION;
    out["role"] = config::to_string(config_.role);
    out["since"] = timestamp(started_);
    out["ready"] = why.empty();
    out["not_ready"] = texts(why);
    const auto address = registration_ ? registration_->state().address : std::nullopt;
    out["address"] = address ? json::value(address->str()) : json::value();
    out["address_why"] = registration_ ? registration_->detection() : "";
    out["store"] = store_report(config_, store_.get());
    out["peers"] = bgp_peer_rows(peering_.get());
    out["problems"] = problems_report(quarantine_, store_.get());
    json::array rows;
    for (const std::string& text : warnings())
        rows.push_back(json::object{{"text", text}});
    out["warnings"] = std::move(rows);
    return out;
}

std::vector<std::string> Reflector::warnings() const
{
    auto warnings = bgp_warnings(peering_.get());
    if (was_registered_ && !in_a_cluster_)
        warnings.push_back(
            "this node reflects for nobody: its Node has no routeReflectorClusterID, "
            "and route-reflector-cluster-id is not set");
    warnings.insert(warnings.end(), config_.warnings.begin(), config_.warnings.end());
    return warnings;
}

std::string Reflector::metrics() const
{
    status::MetricsText text;
    text.gauge("margay_ready", "1 when everything of the datastore is in force",
               not_ready().empty());
    add_loop_metrics(text, loop_);
    add_store_metrics(text, store_.get());
    add_problem_metrics(text, problems_report(quarantine_, store_.get()));
    if (peering_ && peering_->speaker())
        explain::add_bgp_metrics(*peering_->speaker(), text);
    return text.str();
}

std::vector<std::string> Reflector::not_ready() const
{
    std::vector<std::string> why;
    if (registration_ && !registration_->done())
        why.push_back("registration: " + registration_->trouble());
    if (registration_ && !registration_->state().conflict.empty())
        why.push_back(registration_->state().conflict);
    if (!synced_)
        why.emplace_back("datastore: no complete snapshot yet");
    return why;
}

} // namespace margay
