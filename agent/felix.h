// SPDX-License-Identifier: Apache-2.0
// Felix: the FelixConfiguration of this node as settings of margayd.
//
// Pure. What flags, environment and file give wins over it (calico-facts 4.4), and
// config::with_datastore() sees to that; here is only which field is which setting, and as which
// text. Fields without a setting are read where they are used.

#pragma once

#include "agent/config/config.h"
#include "agent/model/resources.h"

namespace margay {

config::Values felix_settings(const model::FelixConfiguration& felix);

} // namespace margay
