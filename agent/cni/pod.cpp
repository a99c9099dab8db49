// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/pod.h"

#include "agent/config/parse.h"
#include "agent/ipam/json.h"
#include "agent/startup/edit.h"

#include <openssl/evp.h>

#include <algorithm>

namespace margay::cni {
namespace {

namespace json = boost::json;

constexpr int kDeleteTries = 6;
constexpr std::size_t kIdInName = 11;    // characters of the container id in an interface name
constexpr std::size_t kMaxInterface = 15; // IFNAMSIZ without its zero

// Calico names a pod's interface by this hash; as an id it gives the same name.
std::string sha1_hex(const std::string& text)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    EVP_Digest(text.data(), text.size(), digest, &length, EVP_sha1(), nullptr);
    constexpr const char* digits = "0123456789abcdef";
    std::string hex;
    for (unsigned int i = 0; i < length; i++) {
        hex += digits[digest[i] >> 4];
        hex += digits[digest[i] & 15];
    }
    return hex;
}

// Locally administered, unicast.
std::string random_mac()
{
    std::string mac = "02";
    for (int i = 0; i < 5; i++)
        mac += ":" + startup::random_hex(1);
    return mac;
}

Error refused(const std::string& what, const std::string& value, const std::string& allowed)
{
    return Error{Errc::Invalid, 0, what + ": \"" + value + "\" is refused; allowed: " + allowed};
}

bool is_word(std::string_view text)
{
    return !text.empty() && text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRST"
                                                   "UVWXYZ0123456789_.-") == std::string_view::npos;
}

// A part of an endpoint's name or of a key.
bool is_segment(std::string_view text)
{
    return is_word(text) && text.front() != '-' && text.back() != '-';
}

bool is_mac(std::string_view text)
{
    if (text.size() != 17)
        return false;
    for (std::size_t i = 0; i < text.size(); i++) {
        const bool digit =
            std::string_view("0123456789abcdefABCDEF").find(text[i]) != std::string_view::npos;
        if (i % 3 == 2 ? text[i] != ':' : !digit)
            return false;
    }
    return true;
}

std::string doubled(const std::string& segment)
{
    std::string result;
    for (const char c : segment)
        result += c == '-' ? std::string("--") : std::string(1, c);
    return result;
}

std::string endpoint_key(const Pod& pod)
{
    return startup::resource_key("workloadendpoints", pod.ns + "/" + endpoint_name(pod));
}

// As strict as Calico's plugin: the flag must be there and true.
Status check_ready(store::Kv& kv)
{
    const auto entry = kv.get(startup::resource_key("clusterinformations", "default"));
    if (!entry)
        return entry.error();
    const auto object = *entry ? ipam::parse_object((*entry)->value, "ClusterInformation default")
                               : Result<json::object>(json::object());
    if (!object)
        return object.error();
    const json::value* spec = object->if_contains("spec");
    const json::value* ready =
        spec && spec->is_object() ? spec->get_object().if_contains("datastoreReady") : nullptr;
    if (ready && ready->is_bool() && ready->get_bool())
        return {};
    return Error{Errc::Unavailable, 0,
                 "the datastore is not ready: ClusterInformation default says no "
                 "datastoreReady=true (has margayd started, or is it locked?)"};
}

Status ensure_profile(store::Kv& kv, const Pod& pod, const Clock& clock)
{
    if (!pod.profiles.empty())
        return {};
    json::object profile = startup::new_resource("Profile", pod.network, clock.wall());
    profile["spec"] = {
        {"ingress",
         {{{"action", "Allow"}, {"source", {{"selector", "has(" + pod.network + ")"}}}}}},
        {"egress", {{{"action", "Allow"}}}},
        {"labelsToApply", {{pod.network, ""}}}};
    const auto created =
        startup::create_if_missing(kv, startup::resource_key("profiles", pod.network), profile);
    return created ? Status() : Status(created.error());
}

json::array encode_ports(const Pod& pod)
{
    json::array ports;
    for (const Port& port : pod.ports)
        ports.push_back({{"name", port.name},
                         {"protocol", port.protocol},
                         {"port", port.port},
                         {"hostPort", 0},
                         {"hostIP", ""}});
    return ports;
}

json::object encode_endpoint(const Pod& pod, Ipv4 address, const Clock& clock)
{
    json::object object =
        startup::new_resource("WorkloadEndpoint", endpoint_name(pod), clock.wall());
    json::object& metadata = startup::member(object, "metadata");
    metadata["namespace"] = pod.ns;
    json::object& labels = startup::member(metadata, "labels");
    for (const auto& [name, value] : pod.labels)
        labels[name] = value;
    labels["projectcalico.org/namespace"] = pod.ns;
    labels["projectcalico.org/orchestrator"] = "cni";
    const auto profiles =
        pod.profiles.empty() ? std::vector<std::string>{pod.network} : pod.profiles;
    object["spec"] = {{"orchestrator", "cni"},
                      {"node", pod.node},
                      {"containerID", pod.container_id},
                      {"pod", pod.name},
                      {"endpoint", pod.endpoint},
                      {"ipNetworks", {Prefix4::host(address).str()}},
                      {"profiles", json::array(profiles.begin(), profiles.end())},
                      {"interfaceName", pod.interface},
                      {"mac", pod.mac}};
    if (!pod.ports.empty())
        startup::member(object, "spec")["ports"] = encode_ports(pod);
    return object;
}

// What an earlier add() of this container stored; nothing when there is no endpoint.
Result<std::optional<Attached>> find_attached(store::Kv& kv, const Pod& pod)
{
    const auto entry = kv.get(endpoint_key(pod));
    if (!entry)
        return entry.error();
    if (!*entry)
        return std::optional<Attached>();
    auto object = ipam::parse_object((*entry)->value, endpoint_key(pod));
    if (!object)
        return object.error();
    json::object& spec = startup::member(*object, "spec");
    const json::value* networks = spec.if_contains("ipNetworks");
    const auto* text = networks && networks->is_array() && !networks->get_array().empty()
                           ? networks->get_array()[0].if_string()
                           : nullptr;
    const auto address = text ? Prefix4::parse(*text) : std::nullopt;
    if (!address)
        return Error{Errc::Invalid, 0,
                     endpoint_key(pod) + " has no IPv4 address: delete the pod first"};
    return std::optional(Attached{address->addr, startup::text(spec, "interfaceName"),
                                  startup::text(spec, "mac"), endpoint_name(pod),
                                  pod.container_id});
}

std::string go_time(ipam::Time time)
{
    std::string text = ipam::rfc3339(time); // 2026-01-02T03:04:05Z
    text[10] = ' ';
    return text.substr(0, 19) + " +0000 UTC";
}

Result<Ipv4> take_address(ipam::Ipam& ipam, const Pod& pod, const Clock& clock)
{
    // Left behind by an add() that lost the datastore in the middle.
    const auto leftover = ipam.release_by_handle(handle(pod));
    if (!leftover)
        return leftover.error();
    const ipam::AssignRequest request{.owner = {handle(pod),
                                                {{"node", pod.node},
                                                 {"namespace", pod.ns},
                                                 {"pod", pod.name},
                                                 {"timestamp", go_time(clock.wall())}}},
                                      .pools = pod.pools};
    const auto assigned = ipam.auto_assign(request);
    if (!assigned)
        return assigned.error();
    if (assigned->addresses.empty())
        return Error{assigned->shortfall.error().code, 0,
                     "no address for the pod: " + assigned->shortfall.error().what};
    return assigned->addresses.front();
}

Status write_endpoint(store::Kv& kv, const Pod& pod, Ipv4 address, const Clock& clock)
{
    const auto created =
        kv.create(endpoint_key(pod), json::serialize(encode_endpoint(pod, address, clock)));
    if (!created)
        return created.error();
    return created->status("create WorkloadEndpoint " + endpoint_name(pod));
}

Result<Ipv4> attach(store::Kv& kv, ipam::Ipam& ipam, const Pod& pod, const Clock& clock)
{
    const auto address = take_address(ipam, pod, clock);
    if (!address)
        return address;
    if (Status ok = ensure_profile(kv, pod, clock); !ok)
        return ok.error();
    if (Status ok = write_endpoint(kv, pod, *address, clock); !ok)
        return ok.error();
    return address;
}

Status remove_endpoint(store::Kv& kv, const Pod& pod)
{
    const std::string key = endpoint_key(pod);
    for (int i = 0; i < kDeleteTries; i++) {
        const auto entry = kv.get(key);
        if (!entry)
            return entry.error();
        if (!*entry)
            return {};
        auto object = ipam::parse_object((*entry)->value, key);
        if (object &&
            startup::text(startup::member(*object, "spec"), "containerID") != pod.container_id)
            return {}; // another sandbox took the name
        const auto removed = kv.remove(key, (*entry)->mod_revision);
        if (!removed)
            return removed.error();
        if (removed->refused != Errc::Conflict)
            return {};
    }
    return Error{Errc::Conflict, 0, "delete " + key + ": it keeps changing"};
}

} // namespace

Result<Pod> complete(Pod pod)
{
    if (!is_segment(pod.name))
        return refused("--pod", pod.name, "letters, digits, '_', '.' and inner '-'");
    if (!is_segment(pod.ns))
        return refused("--namespace", pod.ns, "letters, digits, '_', '.' and inner '-'");
    if (!is_segment(pod.node))
        return refused("--node", pod.node, "letters, digits, '_', '.' and inner '-'");
    if (!is_word(pod.network))
        return refused("--network", pod.network, "letters, digits, '_', '.' and '-'");
    if (!is_segment(pod.endpoint) || pod.endpoint.size() > kMaxInterface)
        return refused("--endpoint", pod.endpoint, "an interface name");
    if (pod.container_id.empty())
        pod.container_id = sha1_hex(pod.ns + "." + pod.name);
    if (!is_segment(pod.container_id))
        return refused("--container-id", pod.container_id, "letters, digits, '_', '.', inner '-'");
    if (pod.interface.empty())
        pod.interface = pod.interface_prefix + pod.container_id.substr(0, kIdInName);
    if (!is_word(pod.interface) || pod.interface.size() > kMaxInterface)
        return refused("--interface", pod.interface, "at most 15 letters, digits, '_', '.', '-'");
    if (pod.mac.empty())
        pod.mac = random_mac();
    if (!is_mac(pod.mac))
        return refused("--mac", pod.mac, "six pairs of hex digits with ':' between");
    return pod;
}

Result<Attached> add(store::Kv& kv, const Pod& pod, const Clock& clock)
{
    if (Status ok = check_ready(kv); !ok)
        return ok.error();
    const auto present = find_attached(kv, pod);
    if (!present)
        return present.error();
    if (*present)
        return **present;
    ipam::Ipam ipam(kv, pod.node, clock);
    const auto address = attach(kv, ipam, pod, clock);
    if (address)
        return Attached{*address, pod.interface, pod.mac, endpoint_name(pod), pod.container_id};
    // The answer to the endpoint's write may be what was lost: it goes before its address does.
    if (Status undone = del(kv, pod, clock, Keep::Nothing); !undone)
        return Error{address.error().code, 0,
                     address.error().what + "; and could not be undone (" + undone.error().what +
                         "): call del"};
    return address.error();
}

Status del(store::Kv& kv, const Pod& pod, const Clock& clock, Keep keep)
{
    if (Status ok = remove_endpoint(kv, pod); !ok || keep == Keep::Address)
        return ok;
    ipam::Ipam ipam(kv, pod.node, clock);
    for (const std::string& id : {handle(pod), pod.ns + "." + pod.name}) { // the second is legacy
        const auto released = ipam.release_by_handle(id);
        if (!released)
            return released.error();
    }
    return {};
}

std::string handle(const Pod& pod)
{
    return pod.network + "." + pod.container_id;
}

std::string endpoint_name(const Pod& pod)
{
    return doubled(pod.node) + "-cni-" + doubled(pod.container_id) + "-" + doubled(pod.endpoint);
}

Result<Port> parse_port(std::string_view text)
{
    const auto parts = config::split(text, ':');
    const auto number = parts.size() == 3 ? model::parse_number(parts[2], 1, 65535) : std::nullopt;
    std::string protocol = parts.size() == 3 ? parts[1] : "";
    std::ranges::transform(protocol, protocol.begin(), [](char c) {
        return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    });
    const bool known = protocol == "TCP" || protocol == "UDP" || protocol == "SCTP";
    if (!number || !known || !is_word(parts[0]))
        return refused("--port", std::string(text), "name:tcp|udp|sctp:1..65535");
    return Port{parts[0], protocol, static_cast<std::uint16_t>(*number)};
}

} // namespace margay::cni
