// SPDX-License-Identifier: Apache-2.0
// Passwords of sessions, from a folder that holds Secrets as Kubernetes mounts them.

#pragma once

#include "agent/model/bgp.h"
#include "margay/result.h"

#include <string>

namespace margay::bgp_rules {

// The contents of <folder>/<name>/<key>, without the line end that an editor leaves. The error names
// the file and never what is in it.
Result<std::string> read_password(const std::string& folder, const model::SecretKeyRef& secret);

} // namespace margay::bgp_rules
