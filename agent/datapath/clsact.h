// SPDX-License-Identifier: Apache-2.0
// Filters on a clsact qdisc: the tc hook of kernels before TCX (6.6).
//
// Our filters are known by handle and priority. The priority is the first one, so that no foreign
// filter decides before policy does.

#pragma once

#include <cstdint>
#include <optional>

#include "margay/result.h"

namespace margay::datapath::clsact {

// True if this call made the qdisc, false if it was there.
Result<bool> create_qdisc(std::uint32_t ifindex);
Status destroy_qdisc(std::uint32_t ifindex);
// Attaches, or exchanges the program of our filter in place.
Status attach(std::uint32_t ifindex, bool ingress, int program_fd);
Status detach(std::uint32_t ifindex, bool ingress);
// The id of the program that our filter runs.
std::optional<std::uint32_t> query(std::uint32_t ifindex, bool ingress);
// Whether any filter, ours or foreign, is on either side.
Result<bool> filters_left(std::uint32_t ifindex);

} // namespace margay::datapath::clsact
