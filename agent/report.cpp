// SPDX-License-Identifier: Apache-2.0
#include "agent/report.h"

#include "agent/agent.h"
#include "agent/bgp_report.h"
#include "agent/common_report.h"
#include "agent/policy/describe.h"
#include "agent/status/metrics.h"
#include "maps/stages.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <boost/json.hpp>

#include <cctype>

namespace margay {
namespace {

namespace json = boost::json;

std::string mac_text(const datapath::MacBytes& mac)
{
    return fmt::format("{:02x}", fmt::join(mac, ":"));
}

// A Program line by line, as it is evaluated.
std::vector<std::string> program_text(const policy::Program& program)
{
    std::vector<std::string> lines = policy::describe_rules(program);
    for (const policy::Tier& tier : program.tiers)
        lines.push_back("end of tier " + tier.name + ": " +
                        (tier.end == policy::TierEnd::Deny ? "deny" : "pass"));
    lines.emplace_back("nothing matched: deny");
    return lines;
}

std::string packet_text(const datapath::Record& record)
{
    switch (record.protocol) {
    case IPPROTO_TCP:
    case IPPROTO_UDP:
        return fmt::format("{} {}:{} > {}:{}", record.protocol == IPPROTO_TCP ? "tcp" : "udp",
                           record.source.str(), record.source_port, record.destination.str(),
                           record.destination_port);
    case IPPROTO_ICMP:
        return fmt::format("icmp {} > {} type {} code {}", record.source.str(),
                           record.destination.str(), record.icmp_type, record.icmp_code);
    default:
        if (record.source.is_zero() && record.destination.is_zero())
            return "headers not read"; // the reason says why
        return fmt::format("proto {} {} > {}", record.protocol, record.source.str(),
                           record.destination.str());
    }
}

const char* route_kind_name(std::uint32_t kind)
{
    switch (kind) {
    case ROUTE_NONE:
        return "pool";
    case ROUTE_ENDPOINT:
        return "endpoint";
    case ROUTE_HOST:
        return "host";
    case ROUTE_REMOTE:
        return "remote";
    case ROUTE_BLACKHOLE:
        return "blackhole";
    default:
        return "outside";
    }
}

} // namespace

Result<std::string> Report::answer(const status::Request& request) const
{
    using Maker = json::object (Report::*)() const;
    static const std::map<std::string, Maker> kMakers = {
        {"status", &Report::status},       {"endpoints", &Report::endpoints},
        {"policies", &Report::policies},   {"routes", &Report::routes},
        {"bgp-peers", &Report::bgp_peers}, {"drops", &Report::drops},
        {"events", &Report::events},       {"programs", &Report::programs},
        {"config", &Report::config}};
    if (auto answer = bgp_answer(agent_.peering_.get(), request))
        return std::move(*answer);
    const auto maker = kMakers.find(request.command);
    if (maker == kMakers.end())
        return Error{Errc::Invalid, 0,
                     "unknown command '" + request.command +
                         "'; margayctl and margayd differ in version?"};
    return json::serialize((this->*maker->second)());
}

std::string Report::link_name(std::uint32_t ifindex) const
{
    const kernel::Link* link = agent_.links_.table().find(ifindex);
    return link != nullptr ? link->name : "-";
}

json::array Report::problems() const
{
    json::array out = problems_report(agent_.intake_);
    for (const std::string& refused : agent_.refused_settings_)
        out.push_back({{"key", "FelixConfiguration"},
                       {"what", "bad"},
                       {"reason", refused},
                       {"in_force", "the setting as it was given to margayd"}});
    return out;
}

json::array Report::hooks() const
{
    json::array out;
    for (const auto& hook : agent_.datapath_->status().hooks)
        out.push_back({{"interface", link_name(hook.ifindex)},
                       {"ifindex", hook.ifindex},
                       {"hook", hook.hook},
                       {"program", hook.program.empty() ? "an earlier build's" : hook.program},
                       {"program_id", hook.program_id},
                       {"attach", hook.kind}});
    return out;
}

json::array Report::maps() const
{
    json::array out;
    for (const auto& table : agent_.datapath_->status().tables)
        out.push_back({{"name", table.name},
                       {"entries", table.entries},
                       {"max", table.max_entries},
                       {"pending", table.pending}});
    return out;
}

json::object Report::status() const
{
    json::object out =
        status_head(agent_.config_, agent_.node_, agent_.servers_, agent_.not_ready());
    const model::OwnNode& own = agent_.own_node_;
    out["address"] = own.address ? json::value(own.address->str()) : json::value();
    out["address_why"] = agent_.registration_ ? agent_.registration_->detection() : "";
    out["tunnel_address"] =
        own.tunnel_address ? json::value(own.tunnel_address->str()) : json::value();
    json::array blocks;
    for (const Prefix4& block : own.blocks)
        blocks.emplace_back(block.str());
    out["blocks"] = std::move(blocks);
    out["store"] = store_report(agent_.config_, agent_.intake_);
    out["hooks"] = hooks();
    json::array programs;
    for (const auto& [name, id] : agent_.datapath_->status().programs)
        programs.push_back({{"name", name}, {"id", id}});
    out["programs"] = std::move(programs);
    out["maps"] = maps();
    out["peers"] = bgp_peer_rows(agent_.peering_.get());
    out["problems"] = problems();
    std::vector<std::string> warnings;
    for (const auto& [topic, text] : agent_.warnings_)
        if (!text.empty())
            warnings.push_back(topic + ": " + text);
    std::ranges::move(bgp_warnings(agent_.peering_.get()), std::back_inserter(warnings));
    if (const auto trouble = agent_.servers_.presence_trouble(); !trouble.empty())
        warnings.push_back("calicoctl cannot see this node: " + trouble);
    out["warnings"] = warning_rows(warnings, agent_.config_);
    return out;
}

json::object Report::endpoints() const
{
    json::array rows;
    for (const auto& info : agent_.datapath_->endpoints().list()) {
        const auto wanted = agent_.endpoints_.find(info.name);
        json::object row{
            {"interface", info.name}, {"ifindex", info.want.ifindex}, {"slot", info.slot}};
        if (wanted != agent_.endpoints_.end()) {
            row["name"] = wanted->second.id.ns + "/" + wanted->second.id.name;
            json::array addresses;
            for (const Ipv4 address : wanted->second.addresses)
                addresses.emplace_back(address.str());
            row["addresses"] = std::move(addresses);
            row["profiles"] = texts(wanted->second.profiles);
        }
        if (info.actual) {
            row["ingress"] = info.actual->ingress_policy;
            row["egress"] = info.actual->egress_policy;
            row["generation"] = info.actual->generation;
        }
        row["state"] = !info.problem.empty() ? info.problem
                       : info.actual         ? "programmed"
                                             : "pending";
        rows.push_back(std::move(row));
    }
    for (const auto& [interface, wanted] : agent_.endpoints_)
        if (!agent_.slots_.contains(interface))
            rows.push_back({{"name", wanted.id.ns + "/" + wanted.id.name},
                            {"interface", interface},
                            {"state", "interface is not there"}});
    return {{"endpoints", std::move(rows)}};
}

json::object Report::policies() const
{
    json::array rows;
    for (const auto& info : agent_.datapath_->policies().list()) {
        json::array users;
        for (const auto& endpoint : agent_.datapath_->endpoints().list()) {
            if (!endpoint.actual)
                continue;
            if (endpoint.actual->ingress_policy == info.slot)
                users.emplace_back(endpoint.name + " ingress");
            if (endpoint.actual->egress_policy == info.slot)
                users.emplace_back(endpoint.name + " egress");
        }
        rows.push_back({{"slot", info.slot},
                        {"rules", policy::rule_count(info.program->program)},
                        {"instructions", info.instructions},
                        {"segments", info.segments},
                        {"used_by", std::move(users)},
                        {"text", texts(program_text(info.program->program))}});
    }
    return {{"programs", std::move(rows)}};
}

// The first way's, and the next hops and MACs of all in one order.
void Report::add_paths(json::object& row, const datapath::PathWants& paths) const
{
    const datapath::PathWant way = paths.empty() ? datapath::PathWant{} : paths.front();
    std::string via, macs;
    for (const datapath::PathWant& path : paths) {
        via += (via.empty() ? "" : ", ") + path.next_hop.str();
        const kernel::Target* target =
            agent_.resolver_.find(path.encap ? path.outer_destination : path.next_hop);
        if (target != nullptr && target->neighbour.state == kernel::Neighbour::State::Resolved)
            macs += (macs.empty() ? "" : ", ") + mac_text(target->neighbour.mac);
    }
    row["via"] = paths.empty() ? json::value() : json::value(via);
    row["encap"] = way.encap;
    if (way.encap)
        row["outer"] = way.outer_source.str() + " > " + way.outer_destination.str();
    row["mtu"] = way.mtu;
    row["state"] = paths.empty() ? "unreachable" : way.encap ? "ipip" : "direct";
    if (!macs.empty())
        row["mac"] = macs;
}

// What BGP learned of IPv6.
void Report::add_learned(json::array& rows) const
{
    for (const auto& [prefix, hops] : agent_.learned6_.list()) {
        std::string via;
        for (const kernel::NextHop6& hop : hops)
            via += (via.empty() ? "" : ", ") + hop.gateway.str();
        const kernel::Link* link =
            hops.empty() ? nullptr : agent_.links_.table().find(hops.front().ifindex);
        rows.push_back({{"prefix", prefix.str()},
                        {"kind", "kernel"},
                        {"via", via},
                        {"device", link != nullptr ? link->name : ""},
                        {"from", "bgp"},
                        {"state", hops.empty() ? "unreachable" : "kernel only"}});
    }
}

json::object Report::routes() const
{
    json::array rows;
    for (const auto& [prefix, want] : agent_.datapath_->routes().wanted()) {
        json::object row{{"prefix", prefix.str()}, {"kind", route_kind_name(want.kind)}};
        if (want.kind == ROUTE_ENDPOINT)
            if (const auto name = agent_.datapath_->endpoints().name_of(want.endpoint))
                row["device"] = *name;
        if (want.kind == ROUTE_REMOTE) {
            if (const routing::Decision* decision = agent_.join_.find(prefix))
                row["node"] = decision->node;
            if (const PlannedPath* path = agent_.remote_.plan_of(prefix)) {
                row["device"] = path->device;
                row["from"] = path->why;
            }
            add_paths(row, want.paths);
        }
        rows.push_back(std::move(row));
    }
    for (const auto& [prefix, path] : agent_.remote_.plans())
        if (agent_.datapath_->routes().find(prefix) == nullptr)
            rows.push_back({{"prefix", prefix.str()},
                            {"kind", "kernel"},
                            {"via", path->via.str()},
                            {"device", path->device},
                            {"from", path->why},
                            {"state", path->kernel_route ? "kernel only" : "unreachable"}});
    add_learned(rows);
    return {{"routes", std::move(rows)}};
}

json::object Report::bgp_peers() const
{
    auto out = bgp_peers_report(agent_.peering_.get());
    out["settled"] = agent_.join_.bgp_settled();
    return out;
}

json::array Report::records() const
{
    json::array rows;
    for (const datapath::Record& record : agent_.datapath_->drops()) {
        std::string by = record.rule;
        if (!record.endpoint.empty())
            by = by.empty() ? record.endpoint : record.endpoint + ": " + by;
        rows.push_back({{"time", timestamp(record.time)},
                        {"kind", record.log ? "log" : "drop"},
                        {"reason", record.reason},
                        {"text", record.text},
                        {"hook", record.hook},
                        {"interface", link_name(record.ifindex)},
                        {"packet", packet_text(record)},
                        {"length", record.length},
                        {"by", by}});
    }
    return rows;
}

json::object Report::drops() const
{
    json::array counters;
    if (const auto read = agent_.datapath_->counters())
        for (const datapath::Counter& counter : *read)
            if (counter.reason.kind == REASON_KIND_DROP && counter.packets > 0)
                counters.push_back({{"reason", counter.reason.label},
                                    {"text", counter.reason.text},
                                    {"packets", counter.packets},
                                    {"bytes", counter.bytes}});
    return {{"counters", std::move(counters)}, {"events", records()}};
}

json::object Report::events() const
{
    return {{"events", records()}};
}

// From the kernel, with what each slot is for. An array that lost its programs shows.
json::object Report::programs() const
{
    std::map<std::pair<std::string, std::uint32_t>, std::string> purpose;
#define STAGE_ROW(id, program) purpose[{"stages", STAGE_##id}] = #program;
    STAGES(STAGE_ROW)
#undef STAGE_ROW
    for (const auto& info : agent_.datapath_->policies().list())
        purpose[{"policies", info.slot}] =
            fmt::format("{} rules, {} endpoints' directions",
                        policy::rule_count(info.program->program), info.users);
    json::array rows;
    const auto add = [&rows](const std::string& array, std::uint32_t slot, const json::value& id,
                             std::string_view program, std::string_view what) {
        rows.push_back({{"array", array},
                        {"slot", slot},
                        {"program_id", id},
                        {"program", program},
                        {"purpose", what}});
    };
    for (const char* array : {"stages", "policies"}) {
        const auto filled = agent_.datapath_->filled_slots(array);
        if (!filled) {
            add(array, 0, nullptr, "-", filled.error().what);
            continue;
        }
        for (const auto& slot : *filled) {
            const auto known = purpose.extract({array, slot.number});
            add(array, slot.number, slot.program_id, slot.program,
                known ? known.mapped() : "continues another, or rests until its number is free");
        }
    }
    for (const auto& [slot, what] : purpose) // the kernel has nothing there
        add(slot.first, slot.second, nullptr, "MISSING", what);
    return {{"slots", std::move(rows)}};
}

json::object Report::config() const
{
    return json::parse(config::print_json(agent_.settings_)).as_object();
}

std::string Report::metrics() const
{
    status::MetricsText text;
    add_common_metrics(text, agent_.not_ready().empty(), agent_.loop_, agent_.intake_, problems(),
                       agent_.peering_.get());
    text.gauge("margay_endpoints", "Local workload endpoints",
               static_cast<double>(agent_.endpoints_.size()));
    text.gauge("margay_policy_programs", "Compiled policy programs",
               static_cast<double>(agent_.datapath_->policies().list().size()));
    text.gauge("margay_remote_prefixes", "Prefixes of other nodes",
               static_cast<double>(agent_.remote_.size()));
    const std::pair<const char*, std::size_t> counts[] = {
        {"ipv4", agent_.kernel_routes_.present_count()},
        {"ipv6", agent_.kernel_routes6_.present_count()}};
    for (const auto& [family, count] : counts)
        text.gauge("margay_kernel_routes", "Routes of ours in the kernel's table",
                   static_cast<double>(count), {{"family", family}});
    if (const auto counters = agent_.datapath_->counters())
        for (const datapath::Counter& counter : *counters) {
            const char* name = counter.reason.kind == REASON_KIND_DROP   ? "margay_drops_total"
                               : counter.reason.kind == REASON_KIND_PASS ? "margay_packets_total"
                                                                         : "margay_events_total";
            const char* help = counter.reason.kind == REASON_KIND_DROP ? "Dropped packets by reason"
                               : counter.reason.kind == REASON_KIND_PASS ? "Passed packets by way"
                                                                         : "What happened besides";
            text.counter(name, help, static_cast<double>(counter.packets),
                         {{"reason", std::string(counter.reason.label)}});
        }
    const auto datapath = agent_.datapath_->status();
    for (const auto& table : datapath.tables) {
        text.gauge("margay_map_entries", "Entries the agent keeps in a map",
                   static_cast<double>(table.entries), {{"map", table.name}});
        text.gauge("margay_map_max_entries", "Room of a map", table.max_entries,
                   {{"map", table.name}});
    }
    text.gauge("margay_datapath_pending", "Changes not yet in the kernel",
               static_cast<double>(datapath.pending));
    return text.str();
}

} // namespace margay
