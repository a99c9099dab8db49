// SPDX-License-Identifier: Apache-2.0

#include "agent/model/resources.h"

namespace margay::model {
namespace {

std::string host_of(const std::string& affinity)
{
    constexpr std::string_view kHost = "host:";
    return affinity.starts_with(kHost) ? affinity.substr(kHost.size()) : "";
}

} // namespace

std::optional<Ipv4> Node::host_address() const
{
    if (ipv4_address)
        return ipv4_address->addr;
    for (const char* type : {"InternalIP", "ExternalIP"})
        for (const auto& address : addresses)
            if (address.type == type && address.ip.is_v4())
                return address.ip.v4();
    return std::nullopt;
}

std::string IpamBlock::host() const
{
    return affinity ? host_of(*affinity) : "";
}

std::string BlockAffinity::host() const
{
    return host_of(owner);
}

} // namespace margay::model
