// SPDX-License-Identifier: Apache-2.0
// YAML to JSON. Plain scalars get their type by YAML's core schema, except where the field is a
// string by its name: `node: 12` is the node "12".

#pragma once

#include <boost/json/value.hpp>
#include <yaml-cpp/yaml.h>

#include "margay/result.h"

namespace margay::store {

// Bounded in depth and in the number of values, so that aliases of aliases cannot explode.
Result<boost::json::value> to_json(const YAML::Node& node);

} // namespace margay::store
