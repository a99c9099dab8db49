// SPDX-License-Identifier: Apache-2.0
// Addresses that Margay gives interfaces. They carry its number, so that nobody else's is ever taken away.

#pragma once

#include "agent/kernel/links.h"

#include <functional>
#include <string>

namespace margay::kernel {

enum class Scope { Global, Link }; // as a source: for everybody, or towards the link alone

Status add_address(NetlinkSocket& socket, const Link& link, const Prefix4& prefix,
                   Scope scope = Scope::Global);
Status remove_address(NetlinkSocket& socket, const Link& link, const Prefix4& prefix);

// Those of Margay's on interfaces that `of` picks.
Status remove_own_addresses(NetlinkSocket& socket, const std::function<bool(const Link&)>& of);

} // namespace margay::kernel
