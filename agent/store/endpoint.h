// SPDX-License-Identifier: Apache-2.0
// Endpoint: one etcd URL, "http://host:port" or "https://host:port".

#pragma once

#include <string>
#include <string_view>

#include "margay/result.h"

namespace margay::store {

struct Endpoint {
    bool tls = false;
    std::string authority; // "host:port"; an IPv6 host stands in brackets
};

Result<Endpoint> parse_endpoint(std::string_view url);

// The first key after all keys that begin with `prefix`; "\0" (etcd's "no end") if there is none.
std::string prefix_end(std::string_view prefix);

} // namespace margay::store
