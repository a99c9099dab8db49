// SPDX-License-Identifier: Apache-2.0
// Which datastore the settings name: the same for margayd and for margay-pod.
#pragma once

#include "agent/config/config.h"
#include "agent/store/store.h"

namespace margay::startup {

store::StoreConfig store_config(const config::Config& config);

} // namespace margay::startup
