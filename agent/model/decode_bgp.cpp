// SPDX-License-Identifier: Apache-2.0
// BGPConfiguration, BGPPeer, BGPFilter.

#include "agent/model/json_fields.h"

#include <algorithm>

namespace margay::model {
namespace {

std::optional<SecretKeyRef> secret(const Fields& fields, std::string_view name)
{
    const auto password = fields.object(name);
    if (!password)
        return std::nullopt;
    const auto reference = password.object("secretKeyRef");
    if (!reference) { // a session that should have a password must not come up without one
        password.fail("secretKeyRef", "is missing");
        return std::nullopt;
    }
    SecretKeyRef ref{reference.text_or_empty("name"), reference.text_or_empty("key")};
    for (const auto& [field, value] : {std::pair("name", ref.name), std::pair("key", ref.key)})
        if (!is_plain_name(value))
            reference.fail(field, quoted_for_people(value) + " is not a name of a Secret's");
    return ref;
}

std::optional<std::uint32_t> priority(const Fields& fields, std::string_view name)
{
    const auto value = fields.integer(name, 1, kMaxRoutePriority);
    return value ? std::optional(static_cast<std::uint32_t>(*value)) : std::nullopt;
}

std::optional<Ip> address(const Fields& fields, std::string_view name)
{
    const auto given = fields.text(name);
    if (!given)
        return std::nullopt;
    const auto ip = Ip::parse(*given);
    if (!ip)
        fields.fail(name, quoted_for_people(*given) + " is not an address");
    return ip;
}

std::optional<std::uint32_t> real_as_number(const Fields& fields, std::string_view name)
{
    const auto number = fields.as_number(name);
    if (number == 0u) // RFC 7607
        fields.fail(name, "0 is nobody's AS number");
    return number;
}

// ---- BGPConfiguration --------------------------------------------------------------------------

Nets cidrs(const Fields& spec, std::string_view name)
{
    Nets nets;
    spec.for_each_object(name, [&nets](const Fields& entry) {
        const auto text = entry.text_or_empty("cidr");
        if (!parse_any_prefix(text) || !add_net(nets, text))
            entry.fail("cidr", quoted_for_people(text) + " is not a prefix");
    });
    return nets;
}

using NamedCommunities = std::vector<std::pair<std::string, Community>>;

NamedCommunities named_communities(const Fields& spec)
{
    NamedCommunities named;
    spec.for_each_object("communities", [&named](const Fields& entry) {
        const auto value = entry.text_or_empty("value");
        const auto community = parse_community(value);
        if (!community)
            entry.fail("value", quoted_for_people(value) + " is not a community");
        named.emplace_back(entry.text_or_empty("name"), community.value_or(Community{}));
    });
    return named;
}

// A value, or a name of the same object's list.
std::optional<Community> community_of(const std::string& text, const NamedCommunities& named)
{
    for (const auto& [name, value] : named)
        if (name == text)
            return value;
    return parse_community(text);
}

std::vector<PrefixAdvertisement> advertisements(const Fields& spec)
{
    const auto named = named_communities(spec);
    std::vector<PrefixAdvertisement> list;
    spec.for_each_object("prefixAdvertisements", [&](const Fields& entry) {
        PrefixAdvertisement advertisement;
        const auto text = entry.text_or_empty("cidr");
        const auto cidr = parse_any_prefix(text);
        if (!cidr)
            entry.fail("cidr", quoted_for_people(text) + " is not a prefix");
        advertisement.cidr = cidr.value_or(AnyPrefix{});
        for (const auto& word : entry.texts("communities")) {
            const auto community = community_of(word, named);
            if (!community)
                entry.fail("communities",
                           quoted_for_people(word) + " is neither a community nor the name of one");
            advertisement.communities.push_back(community.value_or(Community{}));
        }
        list.push_back(std::move(advertisement));
    });
    return list;
}

void read_services(const Fields& spec, BgpConfiguration& config)
{
    config.service_cluster_ips = cidrs(spec, "serviceClusterIPs");
    config.service_external_ips = cidrs(spec, "serviceExternalIPs");
    config.service_load_balancer_ips = cidrs(spec, "serviceLoadBalancerIPs");
    static constexpr std::pair<std::string_view, bool> kAggregation[] = {{"Enabled", true},
                                                                         {"Disabled", false}};
    config.aggregates_load_balancer_ips =
        spec.word("serviceLoadBalancerAggregation", true, kAggregation);
}

} // namespace

Resource decode_bgp_configuration(const Document& document)
{
    const auto& spec = document.spec;
    BgpConfiguration config;
    config.name = document.key.name;
    config.mesh_enabled = spec.flag("nodeToNodeMeshEnabled");
    config.as_number = real_as_number(spec, "asNumber");
    if (const auto port = spec.integer("listenPort", 1, 65535))
        config.listen_port = static_cast<std::uint16_t>(*port);
    config.mesh_restart_time = spec.duration("nodeMeshMaxRestartTime");
    config.mesh_password = secret(spec, "nodeMeshPassword");
    config.log_severity_screen = spec.text("logSeverityScreen");
    config.bind_mode = spec.text("bindMode");
    config.route_priority4 = priority(spec, "ipv4NormalRoutePriority");
    config.route_priority6 = priority(spec, "ipv6NormalRoutePriority");
    if (spec.has("prefixAdvertisements"))
        config.prefix_advertisements = advertisements(spec);
    read_services(spec, config);
    if (const auto peering = address(spec, "localWorkloadPeeringIPV4")) {
        if (!peering->is_v4())
            spec.fail("localWorkloadPeeringIPV4", "is no IPv4 address");
        else
            config.workload_peering4 = peering->v4();
    }
    // Services: what others announce is passed on, but without Kubernetes none is announced here.
    for (const char* field :
         {"serviceClusterIPs", "serviceExternalIPs", "serviceLoadBalancerIPs",
          "localWorkloadPeeringIPV6", "ignoredInterfaces", "programClusterRoutes"})
        if (spec.has(field))
            spec.not_enforced(field);
    return config;
}

// ---- BGPPeer -----------------------------------------------------------------------------------

namespace {

// "ip", "ip:port", "[ip6]:port".
void read_peer_ip(const Fields& spec, BgpPeer& peer)
{
    const auto given = spec.text("peerIP");
    if (!given)
        return;
    std::string_view host = *given;
    std::string_view port;
    if (host.starts_with('[')) {
        const auto end = host.find(']');
        const bool has_port = end != std::string_view::npos && host.substr(end).starts_with("]:");
        port = has_port ? host.substr(end + 2) : "none";
        host = host.substr(1, end == std::string_view::npos ? end : end - 1);
    } else if (const auto colon = host.find(':'); colon != host.npos && colon == host.rfind(':')) {
        port = host.substr(colon + 1);
        host = host.substr(0, colon);
    }
    peer.address = Ip::parse(host);
    const auto number = parse_number(port, 1, 65535);
    if (!peer.address || (!port.empty() && !number) || given->ends_with(':'))
        spec.fail("peerIP", quoted_for_people(*given) + " is not an address, nor one with a port");
    if (number)
        peer.port = static_cast<std::uint16_t>(*number);
}

void check_peer(const Fields& spec, const BgpPeer& peer)
{
    if (!peer.node.empty() && peer.node_selector)
        spec.fail("nodeSelector", "excludes node");
    const int ways = int{spec.has("peerIP")} + int{peer.peer_selector.has_value()} +
                     int{peer.workload_selector.has_value()};
    if (ways == 0)
        spec.fail("peerIP", "is missing, and so are peerSelector and localWorkloadSelector");
    if (ways > 1)
        spec.fail("peerSelector", "one of peerIP, peerSelector and localWorkloadSelector excludes "
                                  "the others");
    if (peer.peer_selector && spec.has("asNumber"))
        spec.fail("asNumber", "is of the nodes themselves where peerSelector says who they are");
    if ((peer.address || peer.workload_selector) && !spec.has("asNumber"))
        spec.fail("asNumber", "is missing");
    if (peer.reachable_by && peer.address && peer.reachable_by->is_v4() != peer.address->is_v4())
        spec.fail("reachableBy", "is of another family than peerIP");
}

void read_times(const Fields& spec, BgpPeer& peer)
{
    using std::chrono::seconds;
    peer.max_restart_time = spec.duration("maxRestartTime");
    if (peer.max_restart_time && *peer.max_restart_time > seconds(4095)) // RFC 4724: twelve bits
        spec.fail("maxRestartTime", "is more than 4095 s");
    peer.keepalive_time = spec.duration("keepaliveTime");
    if (peer.keepalive_time &&
        (*peer.keepalive_time < seconds(1) || *peer.keepalive_time > seconds(65535)))
        spec.fail("keepaliveTime", "is not within 1 s and 65535 s");
}

// Names that the datastore takes for names: a list of them is also known by their joined text.
std::vector<std::string> filter_names(const Fields& spec)
{
    auto names = spec.texts("filters");
    for (const auto& name : names)
        if (!is_plain_name(name))
            spec.fail("filters", quoted_for_people(name) + " is not a name");
    return names;
}

std::uint8_t octet(const Fields& spec, std::string_view name)
{
    return static_cast<std::uint8_t>(spec.integer(name, 0, 255).value_or(0));
}

} // namespace

Resource decode_bgp_peer(const Document& document)
{
    const auto& spec = document.spec;
    BgpPeer peer;
    peer.name = document.key.name;
    peer.node = spec.text_or_empty("node");
    peer.node_selector = spec.selector("nodeSelector");
    read_peer_ip(spec, peer);
    peer.as_number = real_as_number(spec, "asNumber").value_or(0);
    peer.peer_selector = spec.selector("peerSelector");
    peer.workload_selector = spec.selector("localWorkloadSelector");
    peer.local_as_number = real_as_number(spec, "localASNumber");
    // The newer field wins over the one that it replaces.
    const bool keep = spec.flag("keepOriginalNextHop").value_or(false);
    static constexpr std::pair<std::string_view, NextHopMode> kNextHops[] = {
        {"Auto", NextHopMode::Auto}, {"Self", NextHopMode::Self}, {"Keep", NextHopMode::Keep}};
    peer.next_hop =
        spec.word("nextHopMode", keep ? NextHopMode::Keep : NextHopMode::Auto, kNextHops);
    peer.password = secret(spec, "password");
    static constexpr std::pair<std::string_view, bool> kSources[] = {{"UseNodeIP", true},
                                                                     {"None", false}};
    peer.from_node_address = spec.word("sourceAddress", true, kSources);
    read_times(spec, peer);
    peer.allowed_own_as = octet(spec, "numAllowedLocalASNumbers");
    peer.ttl_security = octet(spec, "ttlSecurity");
    peer.reachable_by = address(spec, "reachableBy");
    peer.filters = filter_names(spec);
    static constexpr std::pair<std::string_view, bool> kReverse[] = {{"Auto", true},
                                                                     {"Manual", false}};
    peer.reverse = spec.word("reversePeering", true, kReverse);
    check_peer(spec, peer);
    if (peer.reachable_by && (!peer.reachable_by->is_v4() || peer.workload_selector))
        spec.not_enforced("reachableBy");
    return peer;
}

// ---- BGPFilter ---------------------------------------------------------------------------------

namespace {

using FilterRule = BgpFilterRule;
constexpr std::size_t kLongestPath = 64; // that an operation prepends, or a rule looks for

void read_lengths(const Fields& fields, int bits, FilterRule& rule)
{
    const auto lengths = fields.object("prefixLength");
    if (!lengths)
        return;
    const auto length = [&](const char* name) -> std::optional<std::uint8_t> {
        const auto value = lengths.integer(name, 0, static_cast<std::uint64_t>(bits));
        return value ? std::optional(static_cast<std::uint8_t>(*value)) : std::nullopt;
    };
    rule.min_length = length("min");
    rule.max_length = length("max");
    if (rule.cidr_match != FilterRule::CidrMatch::In &&
        rule.cidr_match != FilterRule::CidrMatch::NotIn)
        fields.fail("prefixLength", "goes with In and NotIn only");
}

void read_cidr(const Fields& fields, bool v6, FilterRule& rule)
{
    static constexpr std::pair<std::string_view, FilterRule::CidrMatch> kMatches[] = {
        {"Equal", FilterRule::CidrMatch::Equal},
        {"NotEqual", FilterRule::CidrMatch::NotEqual},
        {"In", FilterRule::CidrMatch::In},
        {"NotIn", FilterRule::CidrMatch::NotIn}};
    rule.cidr_match = fields.word("matchOperator", FilterRule::CidrMatch::In, kMatches);
    if (fields.has("cidr") != fields.has("matchOperator"))
        fields.fail("cidr", "goes with matchOperator");
    if (fields.has("prefixLength") && !fields.has("cidr"))
        fields.fail("prefixLength", "goes with cidr");
    const auto text = fields.text("cidr");
    if (!text)
        return;
    rule.cidr = parse_any_prefix(*text);
    if (!rule.cidr || std::holds_alternative<Prefix6>(*rule.cidr) != v6)
        fields.fail("cidr", quoted_for_people(*text) + " is not a prefix of the list's family");
    read_lengths(fields, v6 ? Ipv6::kBits : Ipv4::kBits, rule);
}

void read_community(const Fields& fields, FilterRule& rule)
{
    const auto communities = fields.object("communities");
    if (!communities)
        return;
    const auto values = communities.texts("values");
    if (values.size() != 1)
        return communities.fail("values", "expected one community");
    rule.community = parse_community(values[0]);
    if (!rule.community)
        communities.fail("values", quoted_for_people(values[0]) + " is not a community");
}

std::vector<std::uint32_t> as_numbers(const Fields& fields, std::string_view name)
{
    std::vector<std::uint32_t> numbers;
    fields.for_each(name, [&](const boost::json::value& element, const std::string& where) {
        std::optional<std::uint32_t> number;
        boost::system::error_code error;
        if (const auto* text = element.if_string())
            number = parse_as_number({text->data(), text->size()});
        else if (const auto value = element.to_number<std::uint32_t>(error); !error)
            number = value;
        if (!number)
            fields.report().fail(where, "expected an AS number");
        numbers.push_back(number.value_or(0));
    });
    if (numbers.size() > kLongestPath)
        fields.fail(name, "is longer than any path should be");
    return numbers;
}

BgpOperation read_operation(const Fields& fields)
{
    fields.only({"addCommunity", "prependASPath", "setPriority"});
    const auto community = fields.object("addCommunity");
    const auto prepend = fields.object("prependASPath");
    const auto set_priority = fields.object("setPriority");
    if (int{bool(community)} + int{bool(prepend)} + int{bool(set_priority)} != 1) {
        fields.fail("addCommunity", "expected one of addCommunity, prependASPath and setPriority");
        return {};
    }
    if (prepend) {
        PrependAsPath operation{as_numbers(prepend, "prefix")};
        if (operation.as_numbers.empty())
            prepend.fail("prefix", "is missing");
        return operation;
    }
    if (set_priority) {
        const auto value = priority(set_priority, "value");
        if (!value)
            set_priority.fail("value", "is missing");
        return SetPriority{value.value_or(kNormalRoutePriority)};
    }
    const auto text = community.text_or_empty("value");
    const auto value = parse_community(text);
    if (!value)
        community.fail("value", quoted_for_people(text) + " is not a community");
    return AddCommunity{value.value_or(Community{})};
}

FilterRule read_filter_rule(const Fields& fields, bool v6)
{
    // A rule with a field that we do not know would match more than it says.
    fields.only({"cidr", "matchOperator", "prefixLength", "source", "interface", "peerType",
                 "communities", "asPathPrefix", "priority", "action", "operations"});
    FilterRule rule;
    read_cidr(fields, v6, rule);
    static constexpr std::pair<std::string_view, bool> kSources[] = {{"RemotePeers", true}};
    rule.learned = fields.word("source", false, kSources);
    rule.interface_name = fields.text_or_empty("interface");
    static constexpr std::pair<std::string_view, FilterRule::PeerType> kPeers[] = {
        {"eBGP", FilterRule::PeerType::External}, {"iBGP", FilterRule::PeerType::Internal}};
    rule.peer_type = fields.word("peerType", FilterRule::PeerType::Any, kPeers);
    read_community(fields, rule);
    rule.as_path_prefix = as_numbers(fields, "asPathPrefix");
    rule.priority = priority(fields, "priority");
    static constexpr std::pair<std::string_view, FilterRule::Action> kActions[] = {
        {"Accept", FilterRule::Action::Accept}, {"Reject", FilterRule::Action::Reject}};
    rule.action = fields.word("action", FilterRule::Action::Continue, kActions);
    fields.for_each_object("operations", [&rule](const Fields& operation) {
        rule.operations.push_back(read_operation(operation));
    });
    if (!rule.interface_name.empty() && v6) // of a learned route we do not know it there
        fields.not_enforced("interface");
    return rule;
}

BgpFilterRules read_filter_rules(const Fields& spec, std::string_view name, bool v6)
{
    BgpFilterRules rules;
    spec.for_each_object(
        name, [&](const Fields& fields) { rules.push_back(read_filter_rule(fields, v6)); });
    return rules;
}

} // namespace

Resource decode_bgp_filter(const Document& document)
{
    const auto& spec = document.spec;
    BgpFilter filter;
    filter.name = document.key.name;
    filter.import4 = read_filter_rules(spec, "importV4", false);
    filter.export4 = read_filter_rules(spec, "exportV4", false);
    filter.import6 = read_filter_rules(spec, "importV6", true);
    filter.export6 = read_filter_rules(spec, "exportV6", true);
    return filter;
}

} // namespace margay::model
