// SPDX-License-Identifier: Apache-2.0
// What Calico's client library adds to an object when it writes it, kind by kind.

#pragma once

#include <boost/json/object.hpp>

#include <string>
#include <string_view>

#include "margay/result.h"

namespace margay::store {

// A WorkloadEndpoint's name follows from its spec; gives it if absent, refuses another one.
Status name_by_spec(std::string_view kind, boost::json::object& metadata,
                    const boost::json::object& spec);

Status add_defaults(std::string_view kind, boost::json::object& metadata,
                    boost::json::object& spec);

} // namespace margay::store
