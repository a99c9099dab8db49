// SPDX-License-Identifier: Apache-2.0
// The resources that IPAM goes by, as they are stored.

#pragma once

#include "agent/ipam/pools.h"

#include <string>
#include <string_view>

namespace margay::ipam {

// "/calico/resources/v3/projectcalico.org/<plural>/"
std::string resource_prefix(std::string_view plural);

Result<Pool> decode_pool(const std::string& value, const std::string& key);
// Only the IPv4 ones.
Result<std::vector<Prefix4>> decode_reservation(const std::string& value, const std::string& key);
// metadata.labels; a value that cannot be read has none.
model::Labels decode_labels(const std::string& value);

} // namespace margay::ipam
