// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/autodetect.h"

#include "margay/fd.h"
#include "margay/pattern.h"

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>

namespace margay::kernel {
namespace {

using MethodKind = AutodetectMethod::Kind;

constexpr const char* kAllowed =
    "first-found, interface=<regex>[,<regex>...], "
    "skip-interface=<regex>[,<regex>...], can-reach=<address or name>, "
    "cidr=<cidr>[,<cidr>...]";

constexpr std::size_t kLosersToldInText = 8; // service proxies keep thousands on one device

std::vector<std::string> split(std::string_view text)
{
    std::vector<std::string> parts;
    for (std::size_t start = 0; start <= text.size();) {
        const std::size_t comma = std::min(text.find(',', start), text.size());
        std::string_view part = text.substr(start, comma - start);
        while (!part.empty() && part.front() == ' ')
            part.remove_prefix(1);
        while (!part.empty() && part.back() == ' ')
            part.remove_suffix(1);
        if (!part.empty())
            parts.emplace_back(part);
        start = comma + 1;
    }
    return parts;
}

// What a method says of one address: empty when it may win, else why not.
struct Judge {
    const AutodetectMethod& method;
    std::vector<Pattern> included;
    std::vector<Pattern> excluded;
    std::optional<Ipv4> reach_source;

    static Result<Judge> make(const AutodetectMethod& method, std::optional<Ipv4> reach_source)
    {
        std::vector<std::string> include;
        std::vector<std::string> exclude;
        if (method.kind == MethodKind::Interface)
            include = method.patterns;
        if (method.kind == MethodKind::FirstFound || method.kind == MethodKind::SkipInterface)
            exclude = excluded_interfaces();
        if (method.kind == MethodKind::SkipInterface)
            exclude.insert(exclude.end(), method.patterns.begin(), method.patterns.end());
        auto included = Pattern::compile_all(include);
        if (!included)
            return included.error();
        auto excluded = Pattern::compile_all(exclude);
        if (!excluded)
            return excluded.error();
        return Judge{method, std::move(*included), std::move(*excluded), reach_source};
    }

    std::string objection(const std::string& interface, Ipv4 address) const
    {
        if (const Pattern* pattern = first_match(excluded, interface))
            return "interface matches the excluded " + pattern->text();
        if (method.kind == MethodKind::Interface && !first_match(included, interface))
            return "interface matches no pattern";
        // The kernel's own choice of a source is not judged further.
        if (method.kind == MethodKind::CanReach)
            return address == reach_source ? ""
                                           : "not the source address towards " + method.destination;
        if (!is_global_unicast(address))
            return "not a global unicast address";
        const bool inside =
            std::any_of(method.cidrs.begin(), method.cidrs.end(),
                        [&](const Prefix4& cidr) { return cidr.contains(address); });
        if (method.kind == MethodKind::Cidr && !inside)
            return "in none of the given CIDRs";
        return {};
    }
};

std::string praise(const AutodetectMethod& method, const std::string& interface)
{
    switch (method.kind) {
    case MethodKind::FirstFound:
        return "first global address, newest interface first (first-found)";
    case MethodKind::Interface:
        return interface + " matches interface=";
    case MethodKind::SkipInterface:
        return "first global address outside skip-interface=";
    case MethodKind::CanReach:
        return "source address towards " + method.destination;
    case MethodKind::Cidr:
        return "first address inside cidr=";
    }
    return {};
}

Result<AutodetectMethod> with_patterns(MethodKind kind, std::string_view value,
                                       std::string_view whole)
{
    AutodetectMethod method;
    method.kind = kind;
    method.patterns = split(value);
    if (method.patterns.empty())
        return Error{Errc::Invalid, 0, "'" + std::string(whole) + "': no pattern given"};
    if (const auto compiled = Pattern::compile_all(method.patterns); !compiled)
        return compiled.error();
    return method;
}

Result<AutodetectMethod> with_cidrs(std::string_view value, std::string_view whole)
{
    AutodetectMethod method;
    method.kind = MethodKind::Cidr;
    for (const std::string& text : split(value)) {
        const auto cidr = Prefix4::parse(text);
        if (!cidr)
            return Error{Errc::Invalid, 0,
                         "'" + std::string(whole) + "': not a CIDR: '" + text + "'"};
        method.cidrs.push_back(*cidr);
    }
    if (method.cidrs.empty())
        return Error{Errc::Invalid, 0, "'" + std::string(whole) + "': no CIDR given"};
    return method;
}

} // namespace

Result<AutodetectMethod> parse_autodetect_method(std::string_view text)
{
    AutodetectMethod method;
    if (text.empty() || text == "first-found")
        return method;
    const std::size_t equals = text.find('=');
    if (equals != std::string_view::npos) {
        const std::string_view name = text.substr(0, equals);
        const std::string_view value = text.substr(equals + 1);
        if (name == "interface")
            return with_patterns(MethodKind::Interface, value, text);
        if (name == "skip-interface")
            return with_patterns(MethodKind::SkipInterface, value, text);
        if (name == "cidr")
            return with_cidrs(value, text);
        if (name == "can-reach" && !value.empty()) {
            method.kind = MethodKind::CanReach;
            method.destination = value;
            return method;
        }
    }
    return Error{Errc::Invalid, 0,
                 "autodetection method '" + std::string(text) + "'; allowed: " + kAllowed};
}

std::string Detection::str() const
{
    std::string text =
        winner ? winner->address.str() + " on " + winner->interface + " (" + winner->why + ")"
               : std::string("no address found");
    for (std::size_t i = 0; i < std::min(losers.size(), kLosersToldInText); ++i)
        text += "; not " + losers[i].address.str() + " on " + losers[i].interface + ": " +
                losers[i].why;
    if (losers.size() > kLosersToldInText)
        text += "; and " + std::to_string(losers.size() - kLosersToldInText) + " more";
    return text;
}

Result<Detection> detect_address(const AutodetectMethod& method, const LinkTable& table,
                                 std::optional<Ipv4> reach_source)
{
    const auto judge = Judge::make(method, reach_source);
    if (!judge)
        return judge.error();
    Detection detection;
    for (auto entry = table.links().rbegin(); entry != table.links().rend(); ++entry) {
        const Link& link = entry->second;
        for (const Address& address : table.addresses(link.ifindex)) {
            std::string why = judge->objection(link.name, address.prefix.addr);
            if (why.empty() && !detection.winner) {
                detection.winner = Candidate{link.name, address.prefix, praise(method, link.name)};
                continue;
            }
            if (why.empty())
                why = "comes later";
            detection.losers.push_back({link.name, address.prefix, why});
        }
    }
    return detection;
}

bool is_global_unicast(Ipv4 address)
{
    const std::uint32_t value = address.value();
    const bool loopback = value >> 24 == 127;
    const bool multicast = value >> 28 == 14;
    const bool link_local = value >> 16 == 0xa9fe;
    return value != 0 && value != 0xffffffff && !loopback && !multicast && !link_local;
}

const std::vector<std::string>& excluded_interfaces()
{
    // "^lo" has no end on purpose: Calico excludes lo1 and longnic0 too.
    static const std::vector<std::string> patterns{"^docker.*",
                                                   "^cbr.*",
                                                   "^dummy.*",
                                                   "^podman.*",
                                                   "^virbr.*",
                                                   "^lxcbr.*",
                                                   "^veth.*",
                                                   "^lo",
                                                   "^br-.*",
                                                   "^cali.*",
                                                   "^tunl.*",
                                                   "^flannel.*",
                                                   "^kube-ipvs.*",
                                                   "^cni.*",
                                                   "^vxlan\\.calico.*",
                                                   "^vxlan-v6\\.calico.*",
                                                   "^wireguard\\.cali.*",
                                                   "^wg-v6\\.cali.*",
                                                   "^nodelocaldns.*"};
    return patterns;
}

Prefix4 with_interface_length(Ipv4 address, const LinkTable& table)
{
    for (const auto& [ifindex, link] : table.links())
        for (const Address& candidate : table.addresses(ifindex))
            if (candidate.prefix.addr == address)
                return candidate.prefix;
    return Prefix4::host(address);
}

Result<HostMtu> detect_host_mtu(const LinkTable& table, std::string_view pattern)
{
    const auto wanted = Pattern::compile(std::string(pattern));
    if (!wanted)
        return wanted.error();
    HostMtu smallest;
    for (const auto& [ifindex, link] : table.links()) {
        if (!link.up() || link.mtu == 0 || !wanted->matches(link.name))
            continue;
        if (smallest.interface.empty() || link.mtu < smallest.mtu)
            smallest = {link.mtu, link.name};
    }
    return smallest;
}

namespace {

// The local address that the kernel would use towards `destination`; nothing is sent.
Result<Ipv4> source_towards(const std::string& destination)
{
    addrinfo hints{};
    hints.ai_family = AF_INET;
    hints.ai_socktype = SOCK_DGRAM;
    addrinfo* found = nullptr;
    if (const int status = ::getaddrinfo(destination.c_str(), "80", &hints, &found))
        return Error{Errc::Unavailable, 0,
                     "can-reach=" + destination + ": " + ::gai_strerror(status)};
    sockaddr_in target{};
    std::copy_n(reinterpret_cast<const char*>(found->ai_addr), sizeof(target),
                reinterpret_cast<char*>(&target));
    ::freeaddrinfo(found);

    const Fd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!fd.valid() ||
        ::connect(fd.get(), reinterpret_cast<sockaddr*>(&target), sizeof(target)) != 0)
        return system_error(errno, "can-reach=" + destination);
    sockaddr_in own{};
    socklen_t size = sizeof(own);
    if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&own), &size) != 0)
        return system_error(errno, "can-reach=" + destination);
    return Ipv4::from_be(own.sin_addr.s_addr);
}

} // namespace

Result<Detection> autodetect(const AutodetectMethod& method)
{
    auto socket = NetlinkSocket::open();
    if (!socket)
        return socket.error();
    const auto table = read_links(*socket);
    if (!table)
        return table.error();
    std::optional<Ipv4> source;
    if (method.kind == MethodKind::CanReach) {
        const auto found = source_towards(method.destination);
        if (!found)
            return found.error();
        source = *found;
    }
    return detect_address(method, *table, source);
}

} // namespace margay::kernel
